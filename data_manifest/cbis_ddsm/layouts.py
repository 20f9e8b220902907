"""The layouts in which CBIS-DDSM is found on disks: which file belongs to which case.

dicom : the archive's DICOM files in any folders: ``Case/StudyUID/SeriesUID/000000.dcm``,
    ``Case/07-20-2016-DDSM-123/1.000000-ROI mask images-456/1-1.dcm``, or files with random names in
    one folder.  A file's case comes from the SeriesInstanceUID in its header, which the case lists
    name, and otherwise from the folder that is called like the case.  (PatientID is a case's name in
    this set, and wrong in some; SeriesDescription is missing in some.)
kaggle : ``jpeg/<SeriesUID>/1-172.jpg`` with ``csv/dicom_info.csv``, which holds the headers of the
    DICOM files they were made from; 8 bits, lossy.
compact : films squeezed to 800 x 800 px with one box per lesion;
    ``images.csv``, ``rois.csv``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pydicom

from data_manifest.folders import Names, files_below
from data_manifest.images.dicom_header import one_line_errors
from data_manifest.published_sets import read_list
from lesionlib.errors import InputError

CASE = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_P_\d{5}_(?:LEFT|RIGHT)_(?:CC|MLO)(?:_\d+)?")
NUMBERS = ["Rows", "Columns", "BitsStored"]  # of a file's header


@dataclass(frozen=True)
class File:
    """A file of the set as its header describes it.

    path : below the data folder.  rows, cols : px of the film or mask.  stored : bits per px in the
    archive (8: a mask; 16: a mammogram or a crop).  bits : of the file here.
    resized : the file has other proportions than rows x cols.
    """

    path: str
    rows: int
    cols: int
    stored: int
    bits: int
    resized: bool = False


def recognise(folder: Path) -> str:
    """The name of the layout in `folder`."""
    names = Names(folder)
    if names.find("rois.csv"):
        return "compact"
    return "kaggle" if names.find("csv/dicom_info.csv") else "dicom"


def find_files(folder: Path, layout: str, rows: pd.DataFrame) -> dict[str, list[File]]:
    """Case -> its files, for the cases of `rows`, in the order of their paths.

    rows : of :func:`data_manifest.cbis_ddsm.lists.read_lists`.
    Raises InputError if the layout's own tables are missing or not as they should be.
    """
    series = dict(zip(rows["image_series"], rows["image_case"], strict=True))
    for case, names in zip(rows["roi_case"], rows["roi_series"], strict=True):
        series |= dict.fromkeys(names, case)
    found: dict[str, list[File]] = {}
    for case, file in FINDERS[layout](folder, series):
        found.setdefault(case, []).append(file)
    return found


# ------------------------------------------------------------------ DICOM, in any folders
def _dicom(folder: Path, series: dict[str, str]) -> Iterator[tuple[str, File]]:
    cases = set(series.values())
    for file in files_below(folder)[0]:
        parts = file.split("/")[:-1]
        named = next((part for part in parts if part in cases), "")
        if not named and any(map(CASE.fullmatch, parts)):
            continue  # a case of another list
        header = _header(folder / file)
        case = series.get(header["SeriesInstanceUID"], named) if header else ""
        if case:
            yield case, _file(file, header)


def _header(file: Path) -> dict:
    """The few header values that are needed; empty for whatever is not a whole DICOM file."""
    if file.suffix.lower() not in (".dcm", ".dicom", ""):
        return {}
    wanted = ["SeriesInstanceUID", *NUMBERS]
    try:
        with one_line_errors(file):
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=wanted)
            numbers = {name: int(header[name].value) for name in NUMBERS}
            return numbers | {"SeriesInstanceUID": str(header.get("SeriesInstanceUID", ""))}
    except InputError:  # the case counts as missing
        return {}


def _file(path: str, header: dict, bits: int | None = None) -> File:
    rows, cols, stored = (int(header[name]) for name in NUMBERS)
    return File(path, rows, cols, stored, bits or stored)


# ------------------------------------------------------------------ JPEG, with the headers apart
def _kaggle(folder: Path, series: dict[str, str]) -> Iterator[tuple[str, File]]:
    names = Names(folder)
    table = _table(folder / "csv" / "dicom_info.csv", ["image_path"], NUMBERS)
    for row in table.sort_values("image_path").to_dict("records"):
        place = Path(*Path(row["image_path"]).parts[-3:])  # jpeg/<SeriesUID>/1-172.jpg
        case = series.get(place.parent.name, "")
        if case and (found := names.find(place.as_posix())):
            yield case, _file(found, row, bits=8)


# ------------------------------------------------------------------ squeezed films with boxes
def _compact(folder: Path, series: dict[str, str]) -> Iterator[tuple[str, File]]:
    sizes, names = ["native_rows", "native_cols"], Names(folder)
    table = _table(folder / "images.csv", ["file", "official_image_path"], sizes)
    for row in table.to_dict("records"):
        case = series.get(Path(row["official_image_path"]).parent.name, "")
        if case and (found := names.find(row["file"])):
            size = (int(row[name]) for name in sizes)
            yield case, File(found, *size, stored=16, bits=8, resized=True)


FINDERS = {"dicom": _dicom, "kaggle": _kaggle, "compact": _compact}


def with_boxes(rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The rows of the mass lists with the boxes of the compact layout: columns x0, y0, x1, y1.

    Where a film has several lesions and it is not known which box is whose, a box gets an id of its
    own, and a pathology only if all those lesions share it; otherwise it is unknown.
    """
    sizes = ["native_x", "native_y", "native_w", "native_h"]
    boxes = _table(folder / "rois.csv", ["image_id", "box_no", "abnormality_id"], sizes)
    boxes["lesion_id"] = boxes["image_id"] + "_mass_" + boxes["abnormality_id"]
    x, y, w, h = (boxes[name] for name in sizes)
    boxes = boxes.assign(x0=x, y0=y, x1=x + w, y1=y + h)
    corners = ["lesion_id", "x0", "y0", "x1", "y1"]
    known = rows.merge(boxes[boxes["abnormality_id"] != ""][corners], on="lesion_id")
    open_rows = rows[~rows["lesion_id"].isin(known["lesion_id"])]
    open_boxes = boxes[boxes["abnormality_id"] == ""]
    loose = [_loose(part, open_boxes) for _, part in open_rows.groupby("film")]
    return pd.concat([known, *loose], ignore_index=True)


def _loose(rows: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """The rows of one film next to as many boxes, with what holds for every pairing of them."""
    own = boxes[boxes["image_id"] == rows["film"].iloc[0]]
    if len(own) != len(rows):
        where = f"rois.csv, {rows['film'].iloc[0]}"
        what = f"{len(own)} boxes for {len(rows)} lesions of the case lists"
        raise InputError(what, where, "Take rois.csv as distributed")
    out = rows.assign(**{name: own[name].to_numpy() for name in ("x0", "y0", "x1", "y1")})
    out["lesion_id"] = (own["image_id"] + "_mass_box" + own["box_no"]).to_numpy()
    out["finding_id"] = out["lesion_id"]
    open_values = {"pathology": "unknown", "truth": "reader", "subtype": "", "birads": ""}
    differing = [name for name in open_values if rows[name].nunique() > 1]
    return out.assign(**{name: open_values[name] for name in differing})


def _table(file: Path, texts: list[str], numbers: list[str]) -> pd.DataFrame:
    """The named columns of a CSV file; rows without one of the numbers are left out."""
    rules = {name: (name, str) for name in texts} | {name: (name, float) for name in numbers}
    return read_list(file, rules).dropna()
