"""CBIS-DDSM: films with masses and calcifications, an outline and a pathology each (Lee et al. 2017).

:mod:`lists <data_manifest.cbis_ddsm.lists>` reads the four case lists,
:mod:`layouts <data_manifest.cbis_ddsm.layouts>` finds the files,
:mod:`masks <data_manifest.cbis_ddsm.masks>` decides which file is the mask and whether it fits.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_manifest.cbis_ddsm import layouts, lists, masks
from data_manifest.checks import check_manifest
from data_manifest.manifest import Manifest, exclusion
from data_manifest.published_sets import check_option, missing_images
from lesionlib.errors import InputError


def read(
    folder: Path | str,
    *,
    abnormality: str = "mass",
    benign_without_callback: bool = True,
    part: str = "both",
    layout: str = "auto",
    partial: bool = False,
) -> Manifest:
    """The manifest of a folder with the case lists (or in one folder below) and the films.

    The official training part has no split yet: its validation part is drawn from it later.

    Parameters
    ----------
    abnormality : the protocol: "mass" or "calc", with the official split of that list, or "pooled":
        both, less the training lesions of patients of either test part, each film once.
    benign_without_callback : use benign lesions that were not recalled (truth "followup"); the
        others have truth "biopsy".
    part : "both" official parts, or "training" alone: for choices before the test part is looked
        at.  Its patients are then split as those of a set without a split.
    layout : "dicom", "kaggle", "compact", or "auto": as the content says.
    partial : go on with the films and masks that are there; the others are listed as excluded.

    Raises
    ------
    InputError
        For an unknown option, lists that are missing or not the official ones, and missing files.
    """
    folder = Path(folder)
    check_option("abnormality", abnormality, lists.PROTOCOLS)
    check_option("part", part, ("both", "training"))
    check_option("layout", layout, ("auto", *layouts.FINDERS))
    kinds = lists.PROTOCOLS[abnormality]
    whole = lists.read_lists(folder, kinds)
    layout = layouts.recognise(folder) if layout == "auto" else layout
    if layout == "compact" and kinds != ("mass",):
        what = "the compact layout holds the films of the mass lists only"
        raise InputError(what, folder, "Set data.options: {abnormality: mass}")
    files = layouts.find_files(folder, layout, whole)
    listed = layouts.with_boxes(whole, folder) if layout == "compact" else whole
    listed = listed[(listed["split"] == "") | (part == "both")]
    rows, unused = lists.select(listed, benign_without_callback)
    images, lesions, lost = masks.place(rows, files)
    wanted = rows["image_case"].unique().tolist() + ([] if "x0" in rows else [*rows["roi_case"]])
    missing = [case for case in wanted if case not in files]
    what = "cases of the lists have no readable file"
    missing_images(missing, len(wanted), folder, partial, what)
    unused += lost
    unused += _unused_films(listed, images, unused)
    unused += lists.on_these_films(folder, kinds, {image["image_id"] for image in images})
    frames = (pd.DataFrame(table) for table in (images, lesions, unused))
    return check_manifest(Manifest("CBIS-DDSM", folder, *frames, counted=lists.count(whole)))


def _unused_films(rows: pd.DataFrame, images: list[dict], unused: list[dict]) -> list[dict]:
    """An exclusion for each film file of the lists that is no image of the manifest."""
    used = {image["case"] for image in images}
    why = {row["id"]: (row["stage"], row["reason"]) for row in unused}
    out = []
    for case, names in rows.groupby("image_case", sort=False)["lesion_id"].agg(list).items():
        if case in used:
            continue
        if all(name in why for name in names):
            stage, reason = why[names[-1]]
            reason = f"no lesion left: {reason}"
        else:
            stage, reason = "same film twice", "its lesions lie on the copy in the other list"
        out.append(exclusion("image", case, stage, reason))
    return out
