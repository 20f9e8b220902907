"""The four case lists of CBIS-DDSM: one row per lesion and film, and which rows a protocol takes.

* In every row one of the quoted paths ends in a newline.  'N/A' is a text.
* Masses and calcifications were split separately: 31 patients are in training and test once both
  are taken together.  A film with both is stored twice, once under each list (71 views).
* The number of a lesion is no safe key from one view to the other: `P_01623 RIGHT 1` is malignant on
  CC and benign on MLO, and in `P_00419 LEFT` the numbers 1 and 2 have changed places.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from data_manifest.folders import on_disk
from data_manifest.manifest import exclusion
from data_manifest.published_sets import read_list
from lesionlib.errors import InputError

PROTOCOLS = {"mass": ("mass",), "calc": ("calc",), "pooled": ("mass", "calc")}
PATHOLOGY = {"MALIGNANT": "malignant", "BENIGN": "benign", "BENIGN_WITHOUT_CALLBACK": "benign"}
# of a kind: the columns of its density and of its two descriptions
COLUMNS = {
    "mass": ("breast_density", "mass shape", "mass margins"),
    "calc": ("breast density", "calc type", "calc distribution"),
}
PATH = r"[^/]*(/[^/]*){3}"  # Case/Study/Series/file
RULES = {
    "patient_id": ("patient_id", r"P_\d{5}"),
    "left or right breast": ("side", {"LEFT": "LEFT", "RIGHT": "RIGHT"}),
    "image view": ("view", {"CC": "CC", "MLO": "MLO"}),
    "abnormality id": ("number", r"\d+"),
    "assessment": ("birads", "[0-6]"),
    "pathology": ("listed", {name: name for name in PATHOLOGY}),
    "subtlety": ("subtlety", "[0-5]"),
    "image file path": ("image", PATH),
    "cropped image file path": ("crop", PATH),
    "ROI mask file path": ("mask", PATH),
}


def read_lists(folder: Path, kinds: tuple[str, ...]) -> pd.DataFrame:
    """The lists of the given kinds ("mass", "calc"), masses first, training before test.

    Returns
    -------
    DataFrame
        One row per lesion and film: list ("mass_train", ...), split ("" for the official training
        part, "test"), patient_id, laterality, view, kind, number, film (patient, side and view),
        lesion_id, finding_id, pathology, truth, birads, subtype, density, subtlety, listed (the
        pathology in the words of the list), image_case and roi_case (the archive's folders),
        image_series, roi_series (their SeriesInstanceUIDs; two where crop and mask are apart).

    Raises
    ------
    InputError
        For a list that is missing or is not as the official one.
    """
    parts = [_list(folder, kind, part) for kind in kinds for part in ("train", "test")]
    rows = pd.concat(parts, ignore_index=True)
    # a number that is malignant on one view and benign on the other is two findings; the views keep
    # the pathology of the list
    doubtful = rows.groupby("finding_id")["pathology"].transform("nunique") > 1
    own = rows["finding_id"] + "_" + rows["view"]
    return rows.assign(finding_id=rows["finding_id"].mask(doubtful, own))


def on_these_films(folder: Path, kinds: tuple[str, ...], films: set[str]) -> list[dict]:
    """An exclusion for each lesion of the other kind that is on a film of the protocol."""
    out = []
    for kind in (kind for kind in COLUMNS if kind not in kinds):
        if not _files(folder, kind, "train"):
            what = f"without the lists of kind {kind}, outside windows may hold such lesions"
            warnings.warn(f"CBIS-DDSM: {what}", stacklevel=3)
            continue
        rows = read_lists(folder, (kind,))
        rows = rows.loc[rows["film"].isin(films), ["lesion_id", "film"]]
        reason = f"a lesion of the other lists ({kind}), on a film of the protocol"
        out += [exclusion("lesion", name, "protocol", reason, film) for name, film in rows.values]
    return out


def _files(folder: Path, kind: str, part: str) -> list[Path]:
    name = f"{kind}_case_description_{part}_set.csv"
    places = [folder, *(place for place in sorted(folder.iterdir()) if place.is_dir())]
    return [file for place in places if (file := on_disk(place / name)).is_file()]


def _list(folder: Path, kind: str, part: str) -> pd.DataFrame:
    found = _files(folder, kind, part)
    if not found:
        remedy = "Put the four case lists of the archive's page into the data folder"
        raise InputError(f"no {kind}_case_description_{part}_set.csv", folder, remedy)
    names = zip(COLUMNS[kind], (("density", "[0-4]"), ("type", str), ("form", str)), strict=True)
    raw = read_list(found[0], RULES | dict(names))
    image, crop, mask = (raw[c].str.split("/", expand=True) for c in ("image", "crop", "mask"))
    breast = raw["patient_id"] + "_" + raw["side"]
    film = breast + "_" + raw["view"]
    own = f"_{kind}_" + raw["number"]
    never_biopsied = raw["listed"] == "BENIGN_WITHOUT_CALLBACK"
    return raw.assign(
        list=f"{kind}_{part}",
        split="test" if part == "test" else "",
        laterality=raw["side"].str[0],
        kind=kind,
        film=film,
        lesion_id=film + own,
        finding_id=breast + own,
        pathology=raw["listed"].map(PATHOLOGY),
        truth=np.where(never_biopsied, "followup", "biopsy"),
        subtype=raw["type"] + ", " + raw["form"],
        image_case=image[0],
        roi_case=mask[0],
        image_series=image[2],
        roi_series=[tuple(sorted({a, b})) for a, b in zip(crop[2], mask[2], strict=True)],
    )


def count(rows: pd.DataFrame) -> dict:
    """What each list holds, and what both kinds hold together, named as in expected_counts.json."""
    facts: dict = {"lists": {}}
    for name, part in rows.groupby("list", sort=False):
        lesion = part["patient_id"] + part["laterality"] + part["number"]
        facts["lists"][name] = _facts(part) | {
            "images": part["image_case"].nunique(),
            "lesions": lesion.nunique(),
            "crop_and_mask_in_two_series": int((part["roi_series"].str.len() > 1).sum()),
            "sha256": _digest(part),
        }
    if rows["kind"].nunique() > 1:
        used, lost = select(rows, without_callback=True)
        parts = {"train": used[used["split"] == ""], "test": used[used["split"] == "test"]}
        facts["pooled"] = {k: _facts(v) | {"films": v["film"].nunique()} for k, v in parts.items()}
        twice = rows["image_case"].nunique() - rows["film"].nunique()
        facts["pooled"] |= {"rows_left_out": len(lost), "films_stored_twice": twice}
    return facts


def _facts(part: pd.DataFrame) -> dict:
    kinds = {kind.lower(): int((part["listed"] == kind).sum()) for kind in PATHOLOGY}
    return {"rows": len(part), **kinds, "patients": part["patient_id"].nunique()}


def _digest(part: pd.DataFrame) -> str:
    """Of the sorted lines ``patient|side|view|number|pathology|assessment|subtlety``."""
    columns = ["patient_id", "side", "view", "number", "listed", "birads", "subtlety"]
    lines = sorted("|".join(values) for values in part[columns].to_numpy())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def select(rows: pd.DataFrame, without_callback: bool) -> tuple[pd.DataFrame, list[dict]]:
    """The rows that the protocol uses, and an exclusion for each of the others.

    Patients who are in both parts leave the training part; the official test part stays whole.
    without_callback : whether benign lesions that were never recalled, nor biopsied, are used.
    """
    test = set(rows.loc[rows["split"] == "test", "patient_id"])
    leaking = (rows["split"] == "") & rows["patient_id"].isin(test)
    unproven = (rows["truth"] == "followup") & (not without_callback) & ~leaking
    reasons = {
        "training lesion of a patient of the test part": leaking,
        "benign without callback: not biopsied": unproven,
    }
    lost = [
        exclusion("lesion", name, "protocol", reason, film)
        for reason, gone in reasons.items()
        for name, film in rows.loc[gone, ["lesion_id", "film"]].itertuples(index=False)
    ]
    return rows[~(leaking | unproven)], lost
