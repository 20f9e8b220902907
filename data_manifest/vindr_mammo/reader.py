"""VinDr-Mammo: 5,000 digital exams with boxes around findings (Nguyen et al. 2023).

`finding_annotations.csv` has one row per box, and one row "No Finding" for each image without any.
To our knowledge no patient is named: an exam counts as one.  Findings of BI-RADS 1 and 2 are not
marked, so that only a breast of BI-RADS 1 is taken for one without a lesion.  No pathology is on
record; BI-RADS 3 to 5 of a box can replace it where asked for.  42 of 2,254 boxes leave their image.
"""

from __future__ import annotations

import ast
import math
import warnings
from pathlib import Path

import pandas as pd

from data_manifest import published_sets as published
from data_manifest.folders import Names
from data_manifest.images.dicom_header import read_header
from data_manifest.manifest import Manifest
from lesionlib.errors import InputError

TOP = LIST = "finding_annotations.csv"
ID = r"[\w-]{1,64}"  # it becomes part of a path
RULES = {
    "study_id": ("patient_id", ID),
    "image_id": ("image_id", ID),
    "laterality": ("laterality", published.SIDES),
    "view_position": ("view", {"CC": "CC", "MLO": "MLO"}),
    "height": ("rows", int),
    "width": ("cols", int),
    "breast_birads": ("breast_birads", {f"BI-RADS {k}": str(k) for k in range(1, 6)}),
    "finding_categories": ("categories", str),
    "finding_birads": ("birads", {"": ""} | {f"BI-RADS {k}": str(k) for k in (3, 4, 5)}),
    "xmin": ("x0", float),
    "ymin": ("y0", float),
    "xmax": ("x1", float),
    "ymax": ("y1", float),
    # training patients have no split yet, so that validation is drawn from them; test stays as it is
    "split": ("split", {"training": "", "test": "test"}),
}
PROXY = {"3": "benign", "4": "malignant", "5": "malignant"}
# of several categories the first in this order names the kind; `subtype` has all of them
KINDS = {
    "Mass": "mass",
    "Suspicious Calcification": "calc",
    "Architectural Distortion": "distortion",
    "Asymmetry": "asymmetry",
    "Focal Asymmetry": "asymmetry",
    "Global Asymmetry": "asymmetry",
    "Suspicious Lymph Node": "other",
    "Skin Thickening": "other",
    "Skin Retraction": "other",
    "Nipple Retraction": "other",
}
NO_FINDING = ["No Finding"]


def read(folder: Path | str, *, truth: str | None = None, partial: bool = False) -> Manifest:
    """The manifest of a folder with `finding_annotations.csv` and ``images/<study>/<image>.dicom``.

    Kept are images with a usable box, and breasts of BI-RADS 1 without a box as negative.

    Parameters
    ----------
    truth : None: every pathology is unknown.  "birads_proxy": boxes of BI-RADS 3 count as benign,
        of 4 and 5 as malignant; those without a BI-RADS value stay unknown.
    partial : go on with the image files that are there; those missing are listed as excluded.

    Raises
    ------
    InputError
        For a missing or unreadable list, a value that is not of its kind, and missing images.
    """
    folder = Path(folder)
    published.check_option("truth", truth, published.TRUTHS)
    listed = _read_list(folder / LIST)
    boxes = listed[listed["marked"]]
    images = _images(listed)
    found = images["file"].map(Names(folder).find)
    there = found != ""
    absent = images.loc[~there, "image_id"].tolist()
    out = published.missing_images(absent, len(images), folder, partial)
    counted = _counted(listed, images)
    images = images.assign(file=found)[there]
    images = images.assign(spacing_mm=[_spacing(folder / file) for file in images["file"]])
    lesions = published.with_proxy(_lesions(boxes), PROXY, truth)
    return published.assemble("VinDr-Mammo", folder, images, lesions, out, counted)


def _read_list(file: Path) -> pd.DataFrame:
    """The list with categories as lists, whether a row marks a finding, and its number."""
    listed = published.read_list(file, RULES)
    categories = listed["categories"].map(_categories)
    published.refuse(categories.isna(), "finding_categories is no list of known ones", file.name)
    marked = categories.map(lambda names: names != NO_FINDING)
    number = marked.groupby(listed["image_id"]).cumsum()
    return listed.assign(categories=categories, marked=marked, number=number)


def _categories(text: str) -> list[str] | None:
    """The list written in `text`; None where it is none.  Literals only: nothing is executed."""
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    known = isinstance(names, list) and names and all(n in [*KINDS, *NO_FINDING] for n in names)
    return names if known else None


def _images(listed: pd.DataFrame) -> pd.DataFrame:
    """One row per image of the list, with its BI-RADS and whether its breast has no lesion."""
    marked = listed.groupby("image_id")["marked"].any()
    images = listed.drop_duplicates("image_id")
    images = images.assign(
        exam_id=images["patient_id"],
        file="images/" + images["patient_id"] + "/" + images["image_id"] + ".dicom",
    )
    clean = (images["breast_birads"] == "1") & ~images["image_id"].map(marked)
    return images.assign(negative=published.whole_breasts(images, clean))


def _spacing(file: Path) -> float:
    """mm per px from the header; nan where it cannot be read, which the image store reports."""
    try:
        return read_header(file).spacing_mm
    except InputError:
        return math.nan


def _lesions(boxes: pd.DataFrame) -> pd.DataFrame:
    """Boxes cut at the edges of their images; a corner that is not given stays so."""
    count = int(_leaves_image(boxes).sum())
    if count:
        what = f"{count} of {len(boxes)} boxes leave their image and are clipped"
        warnings.warn(f"VinDr-Mammo: {what}", stacklevel=3)
    x = boxes[["x0", "x1"]].clip(lower=0).clip(upper=boxes["cols"], axis=0)
    y = boxes[["y0", "y1"]].clip(lower=0).clip(upper=boxes["rows"], axis=0)
    names = boxes["categories"]
    return boxes.assign(
        **x,
        **y,
        lesion_id=boxes["image_id"] + "_" + boxes["number"].astype(str),
        kind=names.map(lambda own: next(kind for name, kind in KINDS.items() if name in own)),
        subtype=names.map(", ".join),
        geom="box",
    )


def _leaves_image(boxes: pd.DataFrame) -> pd.Series:
    low = (boxes[["x0", "y0"]] < 0).any(axis=1)
    return low | (boxes["x1"] > boxes["cols"]) | (boxes["y1"] > boxes["rows"])


def _counted(listed: pd.DataFrame, images: pd.DataFrame) -> dict:
    """What the list holds, under the names of the expected counts."""
    listed = listed.assign(split=listed["split"].replace("", "training"))
    boxes = listed[listed["marked"]]
    birads = ("BI-RADS " + boxes["birads"]).where(boxes["birads"] != "", "missing")
    breasts = images.drop_duplicates(["patient_id", "laterality"])
    studies = listed.drop_duplicates("patient_id")
    return {
        "rows": len(listed),
        "studies": len(studies),
        "images": len(images),
        "box_rows": len(boxes),
        "no_finding_rows": len(listed) - len(boxes),
        "images_with_box": boxes["image_id"].nunique(),
        "studies_with_box": boxes["patient_id"].nunique(),
        "box_rows_by_split": boxes["split"].value_counts().to_dict(),
        "studies_by_split": studies["split"].value_counts().to_dict(),
        "finding_birads_of_boxes": birads.value_counts().to_dict(),
        "boxes_partly_outside_image": int(_leaves_image(boxes).sum()),
        "boxes_with_several_categories": int((boxes["categories"].map(len) > 1).sum()),
        "breasts_by_birads": ("BI-RADS " + breasts["breast_birads"]).value_counts().to_dict(),
    }
