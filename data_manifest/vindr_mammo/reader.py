"""VinDr-Mammo: 5,000 digital exams with boxes around findings (Nguyen et al. 2023).

What the reader knows of the set:

* `finding_annotations.csv` has one row a box, and one row "No Finding" for each image without any.
  The file of breast-level annotations has one row an image and adds nothing to it; it is not read.
* The categories of a finding are a Python list written as text; a finding may have several.
* Boxes are given in fractions of pixels; 42 of 2,254 leave their image and are clipped.
* To our knowledge no patient is named: an exam stands for one.  One breast has a view twice.
* Findings of BI-RADS 1 and 2 are not marked.  Only a breast of BI-RADS 1 is taken for one without a
  lesion; one of BI-RADS 2 holds benign findings whose place is not known.
* No pathology is on record.  BI-RADS 3 to 5 of a box can stand in where it is asked for.
"""

from __future__ import annotations

import ast
import math
import os
import warnings
from pathlib import Path

import pandas as pd

from data_manifest import published_sets as published
from data_manifest.checks import check_manifest
from data_manifest.images.dicom_header import read_header
from data_manifest.manifest import Manifest
from lesionlib.errors import InputError

LIST = "finding_annotations.csv"
IMAGE = ("study_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = (*IMAGE, "finding_categories", "finding_birads", *CORNERS, "split")
PROXY = {"BI-RADS 3": "benign", "BI-RADS 4": "malignant", "BI-RADS 5": "malignant"}
NO_FINDING = ["No Finding"]
# of several categories the first in this order names the kind; all of them stand in `subtype`
KINDS = {
    "Mass": "mass",
    "Suspicious Calcification": "calc",
    "Architectural Distortion": "distortion",
    "Asymmetry": "asymmetry",
    "Focal Asymmetry": "asymmetry",
    "Global Asymmetry": "asymmetry",
}  # the skin, the nipple, lymph nodes: "other"
# training patients have no split yet, so that validation is drawn from them; test stays as it is
SPLITS = {"training": "", "test": "test"}


def read(folder: Path | str, *, truth: str | None = None, partial: bool = False) -> Manifest:
    """The manifest of a folder with `finding_annotations.csv` and ``images/<study>/<image>.dicom``.

    truth : None: every pathology is unknown.  "birads_proxy": boxes of BI-RADS 3 stand for benign,
        of 4 and 5 for malignant; those without a BI-RADS value stay unknown.
    partial : go on with the image files that are there; those missing are listed as excluded.

    Kept are images with a usable box, and breasts of BI-RADS 1 without a box as negative.
    Raises InputError for a missing or unreadable list, a value that is not of its kind, missing
    images, and whatever :meth:`Manifest.validate` refuses.
    """
    folder = Path(folder)
    proxy = published.proxy_asked(truth)
    listed = _read_list(folder / LIST)
    whole = _images(listed)
    there = _files(folder, whole["file"])
    missing = whole.loc[~there, "image_id"].tolist()
    absent = published.missing_images(missing, len(whole), folder, partial)
    boxes = listed[listed["marked"]]
    lesions = [_lesion(row, proxy) for row in _clipped(boxes).to_dict("records")]
    lesions, unusable = published.usable_lesions(lesions, whole[there])
    images, untrue = published.with_truth(whole[there], lesions)
    images = images.assign(spacing_mm=[_spacing(folder / file) for file in images["file"]])
    exclusions = pd.DataFrame(absent + unusable + untrue)
    lesions, counted = pd.DataFrame(lesions), _counted(listed, whole)
    return check_manifest(Manifest("VinDr-Mammo", folder, images, lesions, exclusions, counted))


# ------------------------------------------------------------------ the list
def _read_list(file: Path) -> pd.DataFrame:
    """The list with numbers as numbers, categories as lists, and whether a row marks a finding."""
    listed = published.read_list(file, COLUMNS)
    for column in ("height", "width", *CORNERS):
        text, listed[column] = listed[column], pd.to_numeric(listed[column], errors="coerce")
        optional = column in CORNERS
        _refuse(listed[column].isna() & ~(optional & (text == "")), f"{column} is no number")
    for column in ("study_id", "image_id"):  # they become part of a path
        _refuse(~listed[column].str.fullmatch(r"[\w-]{1,64}"), f"{column} is no id")
    for column, known in (("laterality", ("L", "R")), ("split", SPLITS)):
        _refuse(~listed[column].isin(known), f"{column} is not one of {', '.join(known)}")
    categories = listed["finding_categories"].map(_categories)
    _refuse(categories.isna(), "finding_categories is no list of texts")
    marked = categories.map(lambda names: names != NO_FINDING)
    number = marked.groupby(listed["image_id"]).cumsum()
    return listed.assign(finding_categories=categories, marked=marked, number=number)


def _refuse(wrong: pd.Series, what: str) -> None:
    if wrong.any():
        row = int(wrong.to_numpy().argmax()) + 2  # row 1 is the header
        raise InputError(what, f"{LIST}, row {row}", "Take the list as distributed")


def _categories(text: str) -> list[str] | None:
    """The list written in `text`; None where it is none.  Literals only: nothing is executed."""
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    valid = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    return names if valid else None


def _clipped(boxes: pd.DataFrame) -> pd.DataFrame:
    """Boxes cut at the edges of their images; a corner that is not given stays so."""
    count = int(_leaves_image(boxes).sum())
    if count:
        what = f"{count} of {len(boxes)} boxes leave their image and are clipped"
        warnings.warn(f"VinDr-Mammo: {what}", stacklevel=3)
    x, y = boxes[["xmin", "xmax"]], boxes[["ymin", "ymax"]]
    x = x.clip(lower=0).clip(upper=boxes["width"], axis=0)
    y = y.clip(lower=0).clip(upper=boxes["height"], axis=0)
    return boxes.assign(**x, **y)


def _leaves_image(boxes: pd.DataFrame) -> pd.Series:
    low = (boxes[["xmin", "ymin"]] < 0).any(axis=1)
    return low | (boxes["xmax"] > boxes["width"]) | (boxes["ymax"] > boxes["height"])


# ------------------------------------------------------------------ rows of the manifest
def _images(listed: pd.DataFrame) -> pd.DataFrame:
    """One row an image of the list, with its BI-RADS and whether its breast is without a lesion."""
    marked = listed.groupby("image_id")["marked"].any()
    first = listed.drop_duplicates("image_id").reset_index(drop=True)
    images = pd.DataFrame(
        {
            "image_id": first["image_id"],
            "patient_id": first["study_id"],
            "exam_id": first["study_id"],
            "laterality": first["laterality"],
            "view": first["view_position"].where(
                first["view_position"].isin(["CC", "MLO"]), "other"
            ),
            "file": "images/" + first["study_id"] + "/" + first["image_id"] + ".dicom",
            "rows": first["height"],
            "cols": first["width"],
            "split": first["split"].map(SPLITS),
            "breast_birads": first["breast_birads"],
        }
    )
    clean = (images["breast_birads"] == "BI-RADS 1") & ~images["image_id"].map(marked)
    return images.assign(negative=published.whole_breasts(images, clean))


def _files(folder: Path, files: pd.Series) -> pd.Series:
    """Which of the files are there; each folder is listed once."""
    present: dict[str, set[str]] = {}
    for study in files.str.rpartition("/")[0].unique():
        place = folder / study
        present[study] = set(os.listdir(place)) if place.is_dir() else set()
    return files.map(lambda file: file.rpartition("/")[2] in present[file.rpartition("/")[0]])


def _spacing(file: Path) -> float:
    """mm per px from the header; nan where it cannot be read, which the image store reports."""
    try:
        return read_header(file).spacing_mm
    except InputError:
        return math.nan


def _lesion(row: dict, proxy: bool) -> dict:
    lesion_id = f"{row['image_id']}_{row['number']}"
    names = row["finding_categories"]
    return {
        "lesion_id": lesion_id,
        "finding_id": lesion_id,
        "image_id": row["image_id"],
        "pathology": PROXY.get(row["finding_birads"], "unknown") if proxy else "unknown",
        "truth": published.PROXY if proxy else "reader",
        "kind": next((kind for name, kind in KINDS.items() if name in names), "other"),
        "subtype": ", ".join(names),
        "geom": "box",
        "x0": row["xmin"],
        "y0": row["ymin"],
        "x1": row["xmax"],
        "y1": row["ymax"],
        "birads": row["finding_birads"].removeprefix("BI-RADS "),
    }


def _counted(listed: pd.DataFrame, images: pd.DataFrame) -> dict:
    """What the list holds, under the names of the expected counts."""
    boxes = listed[listed["marked"]]
    birads = boxes["finding_birads"].replace("", "missing")
    breasts = images.drop_duplicates(["patient_id", "laterality"])
    studies = listed.drop_duplicates("study_id")
    return {
        "rows": len(listed),
        "studies": len(studies),
        "images": len(images),
        "box_rows": len(boxes),
        "no_finding_rows": len(listed) - len(boxes),
        "images_with_box": boxes["image_id"].nunique(),
        "studies_with_box": boxes["study_id"].nunique(),
        "box_rows_by_split": boxes["split"].value_counts().to_dict(),
        "studies_by_split": studies["split"].value_counts().to_dict(),
        "finding_birads_of_boxes": birads.value_counts().to_dict(),
        "boxes_partly_outside_image": int(_leaves_image(boxes).sum()),
        "boxes_with_several_categories": int((boxes["finding_categories"].map(len) > 1).sum()),
        "breasts_by_birads": breasts["breast_birads"].value_counts().to_dict(),
    }
