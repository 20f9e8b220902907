"""CBIS-DDSM: films with masses and calcifications, an outline and a pathology each (Lee et al. 2017).

:mod:`lists <data_manifest.cbis_ddsm.lists>` reads the four case lists,
:mod:`layouts <data_manifest.cbis_ddsm.layouts>` finds the files,
:mod:`masks <data_manifest.cbis_ddsm.masks>` decides which file is the mask and whether it fits.
Each names the traps that it knows; the page ``data_manifest/cbis_ddsm`` has them all.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_manifest.cbis_ddsm import layouts, lists, masks
from data_manifest.cbis_ddsm.layouts import File
from data_manifest.checks import check_manifest
from data_manifest.manifest import Manifest, exclusion
from lesionlib.errors import InputError, nearest


def read(
    folder: Path | str,
    *,
    abnormality: str = "mass",
    benign_without_callback: bool = True,
    layout: str = "auto",
    partial: bool = False,
) -> Manifest:
    """The manifest of a folder with the case lists (or in one folder below) and the films.

    abnormality : the protocol: "mass" or "calc", with the official split of that list, or "pooled":
        both, less the training lesions of patients of either test part, each film once.
    benign_without_callback : use benign lesions that were not recalled (truth "followup"); the
        others have truth "biopsy".
    layout : "dicom", "kaggle", "compact", or "auto": as the content says.
    partial : go on with the films and masks that are there; the others are listed as excluded.

    The official training part has no split yet: the manifest draws its validation part from it.
    Raises InputError for an unknown option, lists that are missing or not the official ones, and
    missing files.
    """
    folder = Path(folder)
    _check("abnormality", abnormality, lists.PROTOCOLS)
    _check("layout", layout, ("auto", *layouts.FINDERS))
    kinds = lists.PROTOCOLS[abnormality]
    whole = lists.read_lists(folder, kinds)
    layout = layouts.recognise(folder) if layout == "auto" else layout
    if layout == "compact" and kinds != ("mass",):
        remedy = "Set data.options: {abnormality: mass}"
        raise InputError(
            "the compact layout holds the films of the mass lists only", folder, remedy
        )
    files = layouts.find_files(folder, layout, whole)
    listed = layouts.with_boxes(whole, folder) if layout == "compact" else whole
    rows, unused = lists.select(listed, benign_without_callback)
    images, lesions, lost = masks.place(rows, files)
    _check_missing(folder, rows, files, partial)
    unused += lost
    unused += _unused_films(listed, images, unused)
    unused += lists.on_these_films(folder, kinds, {image["image_id"] for image in images})
    frames = (pd.DataFrame(table) for table in (images, lesions, unused))
    return check_manifest(Manifest("CBIS-DDSM", folder, *frames, counted=lists.count(whole)))


def _check(name: str, value: object, known) -> None:
    if value not in known:
        raise InputError(f"{name} = '{value}'", "data.options", nearest(str(value), known))


def _check_missing(
    folder: Path, rows: pd.DataFrame, files: dict[str, list[File]], partial: bool
) -> None:
    """InputError if a case has no file at all; with `partial`, if no case has one."""
    wanted = list(dict.fromkeys(rows["image_case"]))
    there = sum(case in files for case in wanted)
    if "x0" not in rows:
        wanted += rows["roi_case"].tolist()
    missing = [case for case in wanted if case not in files]
    if missing and not (partial and there):
        others = "or set data.options: {partial: true}" if there else "or check the path"
        raise InputError(
            f"{len(missing)} of {len(wanted)} cases of the lists have no readable file, "
            f"first {missing[0]}",
            folder,
            f"Complete the download, {others}",
        )


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
