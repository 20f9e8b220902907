"""EMBED, the Emory breast imaging data set: biopsied findings and regions of interest (ROI), in DICOM.

Jeong et al., Radiology: Artificial Intelligence 5 (2023).  The clinical table has a row a finding, the
metadata table a row a file, and nothing but the breast joins them.  What the reader knows of it:

* Joined on patient, exam and side; a finding whose side is B or empty belongs to both breasts.
  Joined on the exam alone, findings would land on the wrong breast.
* A pathology counts for the breast that `bside` names, and only there.
* `path_severity` 0 (invasive) and 1 (in situ) are malignant; 4 (benign) is benign, and so are 2
  (high risk) and 3 (borderline) unless `borderline` says otherwise; 5 (normal tissue) and 6 (no
  breast cancer) are no lesion's pathology.  A finding with several rows has its most severe one.
* Which finding an ROI marks is not written down.  An ROI has a pathology only if its image has no
  more ROIs than its breast has findings, and all these findings are of one class; all other ROIs
  are listed as excluded.
* ROIs of `match_level` 2 were carried over from another image and are left out.
* An image may have fewer ROIs than its breast has findings; the others are listed as one exclusion,
  since their place on it is not known.
* `ROI_coords` is text, ``[[ymin, xmin, ymax, xmax], ...]``: read number by number, never evaluated.
* Some ROIs are reported to lie on the wrong side of the film: off the breast, they are listed as
  excluded when the image is read.  Nothing tells of one that still meets the breast.
* A breast is negative if all its findings are assessed N or B (BI-RADS 1 or 2) without a biopsy, no
  image of it has an ROI, and no exam of the patient has a biopsy on that side.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from data_manifest.checks import check_manifest
from data_manifest.manifest import Manifest, exclusion
from data_manifest.published_sets import missing_images, read_list, with_truth
from data_manifest.table.reader import without_images
from lesionlib.errors import InputError

CLINICAL = ("empi_anon", "acc_anon", "numfind", "side", "asses", "bside", "path_severity")
METADATA = ("empi_anon", "acc_anon", "anon_dicom_path", "FinalImageType", "ImageLateralityFinal",
            "ViewPosition", "spot_mag", "ROI_coords", "match_level")  # fmt: skip
SOURCES = {"2D": "ffdm", "C-view": "synth2d"}
BIRADS = {"A": "0", "N": "1", "B": "2", "P": "3", "S": "4", "M": "5", "K": "6"}
BREAST = ["empi_anon", "acc_anon", "breast"]  # a breast in an exam
_NUMBER = r"\s*(-?\d{1,6}(?:\.\d*)?)\s*"
_BOX = re.compile(r"[\[(]" + ",".join([_NUMBER] * 4) + r",?\s*[\])]")


def read(
    folder: Path | str,
    *,
    tables: str = "tables",
    images: str = "images",
    c_view: bool = False,
    borderline: str = "benign",
    partial: bool = False,
) -> Manifest:
    """The manifest of a folder with the set's two tables and its DICOM files.

    tables : folder of EMBED_OpenData_clinical.csv and EMBED_OpenData_metadata.csv (or `_reduced`).
    images : folder that holds cohort_1 and cohort_2 (to our knowledge the distributed name).
    c_view : take synthetic images from tomosynthesis, too.
    borderline : what path_severity 2 and 3 are: "benign", or "exclude" (no pathology).
    partial : go on with the files that are there; those missing are listed as excluded.

    Images with neither a usable ROI nor a negative breast are listed as excluded.
    Raises InputError for a missing table or column, no usable image, and missing files.
    """
    folder = Path(folder)
    if borderline not in ("benign", "exclude"):
        raise InputError(f"borderline = '{borderline}'", "data.options", "Write benign or exclude")
    rows = _by_breast(_list(folder / tables, "clinical", CLINICAL))
    files = _files(_list(folder / tables, "metadata", METADATA), images, c_view)
    marked = set(files.loc[_has_roi(files), BREAST].itertuples(index=False, name=None))
    files["negative"] = files.set_index(BREAST).index.isin(_negative_breasts(rows) - marked)
    lesions, lost = _lesions(files, _truths(rows, marked, borderline))
    used, useless = with_truth(_images(files[files["reason"] == ""]), lesions)
    unfit = files[files["reason"] != ""]
    unfit = unfit[["image_id", "reason"]].rename(columns={"image_id": "id"})
    unfit = unfit.assign(level="image", stage="tables")
    out = pd.concat([unfit, pd.DataFrame([*useless, *lost])])
    lesions = pd.DataFrame(lesions)
    found = check_manifest(Manifest("EMBED", folder, used, lesions, out, _counted(files)))
    there = [(folder / file).is_file() for file in found.images["file"]]
    absent = found.images.loc[~np.array(there), "image_id"].tolist()
    missing_images(absent, len(used), folder, partial)
    return without_images(found, absent, "files", "image file missing") if absent else found


def _counted(files: pd.DataFrame) -> dict:
    """Shown beside the published totals, which are not known to be those of the tables."""
    whole = {"patients": files["empi_anon"].nunique(), "exams": files["acc_anon"].nunique()}
    return {"in_metadata": whole | {"images": len(files)}}


# ------------------------------------------------------------------ the two tables
def _list(folder: Path, name: str, columns: tuple) -> pd.DataFrame:
    whole = folder / f"EMBED_OpenData_{name}.csv"
    reduced = folder / f"EMBED_OpenData_{name}_reduced.csv"
    return read_list(reduced if reduced.is_file() and not whole.is_file() else whole, columns)


def _by_breast(clinical: pd.DataFrame) -> pd.DataFrame:
    """One row a clinical row and breast: those of both sides (B or empty) twice.

    severity : `path_severity` where `bside` is this breast, else NaN.
    """
    sides = clinical["side"].map({"L": ["L"], "R": ["R"]})
    sides = sides.where(sides.notna(), pd.Series([["L", "R"]] * len(clinical)))
    rows = clinical.assign(breast=sides).explode("breast", ignore_index=True)
    severity = pd.to_numeric(rows["path_severity"], errors="coerce")
    return rows.assign(severity=severity.where(rows["bside"] == rows["breast"]))


def _truths(rows: pd.DataFrame, marked: set[tuple], borderline: str) -> dict[tuple, dict]:
    """Marked breast -> what its findings tell of an ROI.

    number, finding, birads : of its findings; of a single one.
    pathology, reason : that of all of them, or empty with the reason.
    """
    found = rows[(rows["asses"] != "N") | rows["severity"].notna()]  # N: nothing was found
    found = found[found.set_index(BREAST).index.isin(marked)]
    worst = found.groupby([*BREAST, "numfind"], sort=False).agg(
        severity=("severity", "min"), asses=("asses", "first")
    )
    benign = (2, 3, 4) if borderline == "benign" else (4,)
    classes = {0: "malignant", 1: "malignant"} | dict.fromkeys(benign, "benign")
    worst["pathology"] = worst["severity"].map(classes).fillna("")
    truths = {}
    for breast, group in worst.groupby(level=list(range(3)), sort=False):
        kinds = list(group["pathology"].unique())
        truths[breast] = {
            "number": len(group),
            "finding": "_".join(group.index[0][1:]) if len(group) == 1 else "",
            "pathology": kinds[0] if len(kinds) == 1 else "",
            "reason": _reason(group["severity"], kinds),
            "birads": BIRADS.get(group["asses"].iloc[0], "") if len(group) == 1 else "",
        }
    return truths


def _reason(severity: pd.Series, kinds: list[str]) -> str:
    if len(kinds) > 1:
        return "its breast has findings of several classes"
    if kinds[0]:
        return ""
    if severity.isna().any():
        return "no pathology of this breast"
    return f"path_severity {severity.iloc[0]:g} is taken for no class"


def _files(metadata: pd.DataFrame, images: str, c_view: bool) -> pd.DataFrame:
    """The metadata with image_id, file, breast and, if an image is not taken, the reason."""
    paths = [PurePosixPath(p.replace("..", "").lstrip("/")) for p in metadata["anon_dicom_path"]]
    parts = [path.parts[-4:] for path in paths]  # cohort, patient, exam, file
    files = metadata.assign(
        image_id=[PurePosixPath(p[-1]).stem if p else "" for p in parts],
        file=[PurePosixPath(images, *p).as_posix() for p in parts],
        breast=metadata["ImageLateralityFinal"],
        reason="",
    )
    wanted = SOURCES if c_view else ["2D"]
    tests = {
        "side is neither L nor R": ~files["breast"].isin(["L", "R"]),
        "view is neither CC nor MLO": ~files["ViewPosition"].isin(["CC", "MLO"]),
        "spot or magnification view": pd.to_numeric(files["spot_mag"], errors="coerce") == 1,
        "image type not taken": ~files["FinalImageType"].isin(list(wanted)),
    }
    for reason, failed in tests.items():  # the last one counts
        files.loc[failed, "reason"] = reason
    return files


def _negative_breasts(rows: pd.DataFrame) -> set[tuple]:
    """Breasts (patient, exam, side) that the findings know to be without a biopsied lesion."""
    biopsied = rows.loc[rows["path_severity"] != "", ["empi_anon", "bside"]]
    biopsied = set(biopsied.itertuples(index=False, name=None))
    clear = rows["asses"].isin(["N", "B"]).groupby([rows[c] for c in BREAST]).all()
    # a biopsy of an unknown side may be of either
    return {b for b in clear.index[clear] if not {(b[0], b[2]), (b[0], "")} & biopsied}


# ------------------------------------------------------------------ regions of interest
def _has_roi(files: pd.DataFrame) -> pd.Series:
    return files["ROI_coords"].str.contains(r"\d")


def _lesions(files: pd.DataFrame, truths: dict) -> tuple[list[dict], list[dict]]:
    """Rows of the lesions, and of the ROIs that are left out."""
    lesions, out = [], []
    for row in files[_has_roi(files)].to_dict("records"):
        truth = truths.get(tuple(row[c] for c in BREAST))
        boxes = parse_boxes(row["ROI_coords"])
        levels = re.findall(r"\d+", row["match_level"])
        for k, box in enumerate(boxes or [()], start=1):
            name = f"{row['image_id']}_{k}"
            level = levels[k - 1] if 0 < len(boxes) == len(levels) else ""
            reason = _roi_reason(row["reason"], truth, len(boxes), box, level)
            if reason:
                out.append(exclusion("lesion", name, "tables", reason, row["image_id"]))
            else:
                lesions.append(_lesion(name, row["image_id"], truth, box))
        if truth and truth["number"] > len(boxes) and not row["reason"]:
            name, reason = f"{row['image_id']}_unmarked", "findings of its breast without an ROI"
            out.append(exclusion("lesion", name, "tables", reason, row["image_id"]))
    return lesions, out


def parse_boxes(text: str) -> list[tuple[float, ...]]:
    """`ROI_coords` -> ymin, xmin, ymax, xmax (px) of each; empty if it is of another form."""
    boxes = _BOX.findall(text)
    rest = _BOX.sub("", text)
    return [] if rest.strip("[(,)] \n") else [tuple(map(float, box)) for box in boxes]


def _roi_reason(image: str, truth: dict | None, number: int, box: tuple, level: str) -> str:
    """Why an ROI has no place or no pathology; empty if it has both."""
    if image:
        return f"its image: {image}"
    if not box or box[2] - box[0] < 2 or box[3] - box[1] < 2:
        return "ROI_coords are no box"
    if level != "1":
        return "match_level is not 1: carried over from another image"
    if truth is None:
        return "no finding in this breast"
    if number > truth["number"] and truth["pathology"]:
        return "more ROIs than findings: which one was biopsied is not told"
    return truth["reason"]


def _lesion(name: str, image_id: str, truth: dict, box: tuple) -> dict:
    y0, x0, y1, x1 = box
    row = {"lesion_id": name, "finding_id": truth["finding"] or name, "image_id": image_id}
    row |= {"pathology": truth["pathology"], "truth": "biopsy", "birads": truth["birads"]}
    return row | {"geom": "box", "x0": x0, "y0": y0, "x1": x1, "y1": y1}


# ------------------------------------------------------------------ rows of the manifest
def _images(used: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": used["image_id"],
            "patient_id": used["empi_anon"],
            "exam_id": used["acc_anon"],
            "laterality": used["breast"],
            "view": used["ViewPosition"],
            "file": used["file"],
            "source": used["FinalImageType"].map(SOURCES),
            "negative": used["negative"],
        }
    )
