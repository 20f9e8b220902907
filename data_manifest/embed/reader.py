"""EMBED, the Emory breast imaging data set: biopsied findings and regions of interest (ROI), in DICOM.

Jeong et al., Radiology: Artificial Intelligence 5 (2023).  The clinical table has one row per
finding, the metadata table one row per file, and only the breast (patient, exam and side) joins
them; the page ``data_manifest/embed`` has all rules.  Those that shape the code:

* A finding whose side is B or empty belongs to both breasts; its pathology counts only for the
  breast that `bside` names.  A finding with several rows has its most severe one.
* `path_severity` 0 (invasive) and 1 (in situ) are malignant; 4 (benign) is benign, and so are 2
  (high risk) and 3 (borderline) unless `borderline` says otherwise; 5 (normal tissue) and 6 (no
  breast cancer) are no lesion's pathology.
* `asses` is a letter: N (BI-RADS 1), B (2), others in BIRADS.  An unknown one is never negative.
* Which finding an ROI marks is not written down.  An ROI has a pathology only if its image has no
  more ROIs than its breast has findings, and all these findings are of one class.
* `ROI_coords` is text, ``[[ymin, xmin, ymax, xmax], ...]``: read number by number, never evaluated.
  A `match_level` of 2 says that the ROI was carried over from another image.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from data_manifest import published_sets as published
from data_manifest.folders import Names, on_disk
from data_manifest.manifest import Manifest, exclusion
from data_manifest.published_sets import BREAST
from data_manifest.table.reader import without_images

TOP = "tables"
SEVERITIES = {f"{k}{end}": float(k) for k in range(7) for end in ("", ".0")} | {"": None}
CLINICAL = {
    "empi_anon": ("patient_id", published.ID),
    "acc_anon": ("exam_id", published.ID),
    "numfind": ("numfind", published.ID),
    "side": ("sides", {"L": "L", "R": "R", "B": "LR", "": "LR"}),
    "asses": ("asses", "[A-Z]?"),
    "bside": ("bside", {"L": "L", "R": "R", "": ""}),
    "path_severity": ("path_severity", SEVERITIES),
}
METADATA = {
    "empi_anon": ("patient_id", published.ID),
    "acc_anon": ("exam_id", published.ID),
    "anon_dicom_path": ("path", str),
    "FinalImageType": ("type", str),
    "ImageLateralityFinal": ("laterality", str),
    "ViewPosition": ("view", str),
    "spot_mag": ("spot", {"": False, "0": False, "0.0": False, "1": True, "1.0": True}),
    "ROI_coords": ("rois", str),
    "match_level": ("levels", str),
}
SOURCES = {"2D": "ffdm", "C-view": "synth2d"}
BIRADS = {"A": "0", "N": "1", "B": "2", "P": "3", "S": "4", "M": "5", "K": "6"}
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

    Images with neither a usable ROI nor a negative breast are listed as excluded.

    Parameters
    ----------
    tables : folder of EMBED_OpenData_clinical.csv and EMBED_OpenData_metadata.csv (or `_reduced`).
    images : folder that holds cohort_1 and cohort_2 (to our knowledge the distributed name).
    c_view : take synthetic images from tomosynthesis, too.
    borderline : what path_severity 2 and 3 are: "benign", or "exclude" (no pathology).
    partial : go on with the files that are there; those missing are listed as excluded.

    Raises
    ------
    InputError
        For a missing table or column, an unknown code, no usable image, and missing files.
    """
    folder = Path(folder)
    published.check_option("borderline", borderline, ("benign", "exclude"))
    rows = _by_breast(_list(folder / tables, "clinical", CLINICAL))
    files = _files(_list(folder / tables, "metadata", METADATA), images, c_view)
    marked = files[files["rois"].str.contains(r"\d")]
    breasts = set(marked[BREAST].itertuples(index=False, name=None))
    files["negative"] = files.set_index(BREAST).index.isin(_negative_breasts(rows) - breasts)
    unfit = files[files["reason"] != ""][["image_id", "reason"]].itertuples(index=False)
    out = [exclusion("image", name, "tables", reason) for name, reason in unfit]
    lesions, lost = _lesions(marked, _truths(rows, breasts, borderline))
    whole = {"patients": files["patient_id"].nunique(), "exams": files["exam_id"].nunique()}
    # shown next to the published totals, which are not known to be those of the tables
    counted = {"in_metadata": whole | {"images": len(files)}}
    used = files[files["reason"] == ""].assign(rows=0, cols=0)
    found = published.assemble("EMBED", folder, used, lesions, out + lost, counted)
    there = found.images["file"].map(Names(folder).find)
    absent = found.images.loc[there == "", "image_id"].tolist()
    found.images["file"] = there.mask(there == "", found.images["file"])
    published.missing_images(absent, len(found.images), folder, partial)
    return without_images(found, absent)


# ------------------------------------------------------------------ the two tables
def _list(folder: Path, name: str, rules: dict) -> pd.DataFrame:
    whole = folder / f"EMBED_OpenData_{name}.csv"
    reduced = whole.with_stem(f"{whole.stem}_reduced")
    use_reduced = on_disk(reduced).is_file() and not on_disk(whole).is_file()
    return published.read_list(reduced if use_reduced else whole, rules)


def _by_breast(clinical: pd.DataFrame) -> pd.DataFrame:
    """One row per clinical row and breast: those of both sides twice.

    severity : `path_severity` where `bside` is this breast, else NaN.
    """
    rows = clinical.assign(laterality=clinical["sides"].map(list))
    rows = rows.explode("laterality", ignore_index=True)
    severity = rows["path_severity"].astype(float)
    return rows.assign(severity=severity.where(rows["bside"] == rows["laterality"]))


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
    """The metadata with image_id, file, source and, if an image is not taken, the reason."""
    paths = [PurePosixPath(p.replace("..", "").lstrip("/")) for p in metadata["path"]]
    parts = [path.parts[-4:] for path in paths]  # cohort, patient, exam, file
    files = metadata.assign(
        image_id=[PurePosixPath(p[-1]).stem if p else "" for p in parts],
        file=[PurePosixPath(images, *p).as_posix() for p in parts],
        source=metadata["type"].map(SOURCES),
        reason="",
    )
    tests = {
        "side is neither L nor R": ~files["laterality"].isin(["L", "R"]),
        "view is neither CC nor MLO": ~files["view"].isin(["CC", "MLO"]),
        "spot or magnification view": files["spot"],
        "image type not taken": ~files["type"].isin(SOURCES if c_view else ["2D"]),
    }
    for reason, failed in tests.items():  # the last one counts
        files.loc[failed, "reason"] = reason
    return files


def _negative_breasts(rows: pd.DataFrame) -> set[tuple]:
    """Breasts (patient, exam, side) that the findings know to be without a biopsied lesion."""
    biopsied = rows.loc[rows["path_severity"].notna(), ["patient_id", "bside"]]
    biopsied = set(biopsied.itertuples(index=False, name=None))
    clear = rows["asses"].isin(["N", "B"]).groupby([rows[c] for c in BREAST]).all()
    # a biopsy of an unknown side may be of either
    return {b for b in clear.index[clear] if not {(b[0], b[2]), (b[0], "")} & biopsied}


# ------------------------------------------------------------------ regions of interest
def _lesions(marked: pd.DataFrame, truths: dict) -> tuple[pd.DataFrame, list[dict]]:
    """Rows of the lesions, and exclusions of the ROIs and findings that are left out."""
    lesions, out = [], []
    for row in marked.to_dict("records"):
        truth = truths.get(tuple(row[c] for c in BREAST))
        boxes = parse_boxes(row["rois"])
        levels = re.findall(r"\d+", row["levels"])
        for k, box in enumerate(boxes or [()], start=1):
            name = f"{row['image_id']}_{k}"
            level = levels[k - 1] if 0 < len(boxes) == len(levels) else ""
            if reason := _roi_reason(row["reason"], truth, len(boxes), box, level):
                out.append(exclusion("lesion", name, "tables", reason, row["image_id"]))
                continue
            lesion = {"lesion_id": name, "image_id": row["image_id"]} | truth
            lesion |= {"finding_id": truth["finding"] or name, "truth": "biopsy", "geom": "box"}
            lesions.append(lesion | dict(zip(("y0", "x0", "y1", "x1"), box, strict=True)))
        if truth and truth["number"] > len(boxes) and not row["reason"]:
            name, reason = f"{row['image_id']}_unmarked", "findings of its breast without an ROI"
            out.append(exclusion("lesion", name, "tables", reason, row["image_id"]))
    return pd.DataFrame(lesions), out


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
        return "more ROIs than findings: which one was biopsied is not known"
    return truth["reason"]
