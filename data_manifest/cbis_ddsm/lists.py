"""The four case lists of CBIS-DDSM: one row a lesion on one film, and which rows a protocol takes.

What has to be known of the lists:

* A newline stands inside the quotes at the end of a path in every row: only a path's folders are
  used.  'N/A' is a text.
* The column of density is `breast_density` (mass) or `breast density` (calcification).
* Masses and calcifications were split separately: 31 patients are in training and test once both
  are taken together.
* A film with a mass and a calcification is stored twice, once under each list (71 views): the lists
  of the other kind tell of lesions that a protocol of one kind does not take.
* The number of a lesion is no safe key from one view to the other: `P_01623 RIGHT 1` is malignant on
  CC and benign on MLO, and in `P_00419 LEFT` the numbers 1 and 2 have changed places.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from data_manifest.manifest import exclusion
from lesionlib.errors import InputError

PROTOCOLS = {"mass": ("mass",), "calc": ("calc",), "pooled": ("mass", "calc")}
PATHOLOGY = {"MALIGNANT": "malignant", "BENIGN": "benign", "BENIGN_WITHOUT_CALLBACK": "benign"}
LABELS = {"mass": ("mass_shape", "mass_margins"), "calc": ("calc_type", "calc_distribution")}
PATHS = ("image_file_path", "cropped_image_file_path", "ROI_mask_file_path")
NEEDED = ("patient_id", "left_or_right_breast", "image_view", "abnormality_id", "assessment")
NEEDED += ("pathology", "subtlety", "breast_density", *PATHS)


def read_lists(folder: Path, kinds: tuple[str, ...]) -> pd.DataFrame:
    """The lists of the given kinds ("mass", "calc"), masses first, training before test.

    Columns: list ("mass_train", ...), split ("" for the official training part, "test"), patient_id,
    laterality, view, kind, number, film (patient, side and view), lesion_id, finding_id, pathology,
    truth, birads, subtype, density, subtlety, listed (the pathology as it stands in the list),
    image_case and roi_case (the archive's folders), image_series, roi_series (their
    SeriesInstanceUIDs; two where crop and mask lie apart).

    Raises InputError for a list that is missing or does not have the official columns.
    """
    parts = [_list(folder, kind, part) for kind in kinds for part in ("train", "test")]
    return _own_findings(pd.concat(parts, ignore_index=True))


def on_these_films(folder: Path, kinds: tuple[str, ...], films: set[str]) -> list[dict]:
    """An exclusion for each lesion of the other kind that lies on a film of the protocol."""
    out = []
    for kind in (kind for kind in LABELS if kind not in kinds):
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
    return sorted([*folder.glob(name), *folder.glob(f"*/{name}")])


def _list(folder: Path, kind: str, part: str) -> pd.DataFrame:
    name = f"{kind}_case_description_{part}_set.csv"
    found = _files(folder, kind, part)
    if not found:
        remedy = "Put the four case lists of the archive's page into the data folder"
        raise InputError(f"no {name}", folder, remedy)
    try:
        raw = pd.read_csv(found[0], dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError):
        raise InputError("not a readable table", name, "Take the list as distributed") from None
    raw = raw.rename(columns=lambda c: c.strip().replace(" ", "_"))
    lacking = [c for c in (*NEEDED, *LABELS[kind]) if c not in raw]
    if lacking:
        raise InputError(f"no column '{lacking[0]}'", name, "Take the list as distributed")
    if raw.empty or not isinstance(raw.index, pd.RangeIndex):  # an index: fields without a column
        raise InputError("no rows of the official form", name, "Take the list as distributed")
    _check_values(raw, name)
    return _rows(raw, kind, part)


def _check_values(raw: pd.DataFrame, name: str) -> None:
    right = raw["pathology"].isin(PATHOLOGY) & raw["left_or_right_breast"].isin(["LEFT", "RIGHT"])
    right &= raw["image_view"].isin(["CC", "MLO"])
    for path in PATHS:
        right &= raw[path].str.count("/") == 3
    if not right.all():
        line = int((~right).to_numpy().argmax()) + 1
        what = (
            "pathology, side, view or a path Case/Study/Series/file is not as in the official list"
        )
        raise InputError(what, f"{name}, row {line}", "Take the list as distributed")


def _rows(raw: pd.DataFrame, kind: str, part: str) -> pd.DataFrame:
    folders = {path: raw[path].str.split("/", expand=True) for path in PATHS}
    image, crop, mask = (folders[path] for path in PATHS)
    breast = raw["patient_id"] + "_" + raw["left_or_right_breast"]
    film = breast + "_" + raw["image_view"]
    own = f"_{kind}_" + raw["abnormality_id"]
    never_biopsied = raw["pathology"] == "BENIGN_WITHOUT_CALLBACK"
    return pd.DataFrame(
        {
            "list": f"{kind}_{part}",
            "split": "test" if part == "test" else "",
            "patient_id": raw["patient_id"],
            "laterality": raw["left_or_right_breast"].str[0],
            "view": raw["image_view"],
            "kind": kind,
            "number": raw["abnormality_id"],
            "film": film,
            "lesion_id": film + own,
            "finding_id": breast + own,
            "pathology": raw["pathology"].map(PATHOLOGY),
            "truth": np.where(never_biopsied, "followup", "biopsy"),
            "birads": raw["assessment"],
            "subtype": raw[LABELS[kind][0]] + ", " + raw[LABELS[kind][1]],
            "density": raw["breast_density"],
            "subtlety": raw["subtlety"],
            "listed": raw["pathology"],
            "image_case": image[0],
            "roi_case": mask[0],
            "image_series": image[2],
            "roi_series": [tuple(sorted({a, b})) for a, b in zip(crop[2], mask[2], strict=True)],
        }
    )


def _own_findings(rows: pd.DataFrame) -> pd.DataFrame:
    """Rule: a number that is malignant on one view and benign on the other is two findings.

    The views keep the pathology of the list, and their finding_id gets the view added.
    """
    doubtful = rows.groupby("finding_id")["pathology"].transform("nunique") > 1
    apart = rows["finding_id"] + "_" + rows["view"]
    return rows.assign(finding_id=rows["finding_id"].mask(doubtful, apart))


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
        facts["pooled"]["rows_left_out"] = len(lost)
        facts["pooled"]["films_stored_twice"] = (
            rows["image_case"].nunique() - rows["film"].nunique()
        )
    return facts


def _facts(part: pd.DataFrame) -> dict:
    kinds = {kind.lower(): int((part["listed"] == kind).sum()) for kind in PATHOLOGY}
    return {"rows": len(part), **kinds, "patients": part["patient_id"].nunique()}


def _digest(part: pd.DataFrame) -> str:
    """Of the sorted lines ``patient|side|view|number|pathology|assessment|subtlety``."""
    side = part["laterality"].map({"L": "LEFT", "R": "RIGHT"})
    columns = [part["patient_id"], side, part["view"], part["number"], part["listed"]]
    lines = sorted(
        "|".join(v) for v in zip(*columns, part["birads"], part["subtlety"], strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def select(rows: pd.DataFrame, without_callback: bool) -> tuple[pd.DataFrame, list[dict]]:
    """The rows that the protocol uses, and an exclusion for each of the others.

    Patients who are in both parts leave the training part; the official test part stays whole.
    without_callback : whether benign lesions that were never recalled, nor biopsied, are used.
    """
    test = set(rows.loc[rows["split"] == "test", "patient_id"])
    leaking = (rows["split"] == "") & rows["patient_id"].isin(test)
    unproven = (rows["truth"] == "followup") & (not without_callback) & ~leaking
    lost = [
        exclusion("lesion", name, "protocol", reason, film)
        for gone, reason in (
            (leaking, "training lesion of a patient of the test part"),
            (unproven, "benign without callback: not biopsied"),
        )
        for name, film in rows.loc[gone, ["lesion_id", "film"]].itertuples(index=False)
    ]
    return rows[~(leaking | unproven)], lost
