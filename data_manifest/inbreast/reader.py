"""INbreast: 410 digital mammograms with hand-drawn outlines (Moreira et al. 2012).

What the reader knows of the set:

* `INbreast.csv` is separated by semicolons.  Its column of patients is blanked; the patient is the
  second part of the file name, ``22670094_e1f51192f7bf3f5f_MG_R_CC_ANON.dcm``, and may have several
  exams (follow-ups).  ``ML`` in a file name is the MLO view.
* The outlines of an image lie in ``AllXML/<File Name>.xml``, a property list, as points "(x, y)".
  They are read as two numbers and clipped to the image, whose size stands in its DICOM header only.
* Regions of one or two points are marks without an area.  Names of regions vary in their spelling.
* To our knowledge every grain of a calcification is outlined by itself, thousands in all; a grain
  is not a finding, so these outlines are left out unless asked for.  Clusters stay.
* No lesion has a biopsy on record.  BI-RADS, one value an image, can stand in where asked for.
"""

from __future__ import annotations

import plistlib
import re
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np
import pandas as pd

from data_manifest import published_sets as published
from data_manifest.checks import check_manifest
from data_manifest.images.dicom_header import read_header
from data_manifest.manifest import Manifest, exclusion
from data_manifest.shapes import polygon_text
from lesionlib.errors import InputError

LIST = "INbreast.csv"
COLUMNS = ("Laterality", "View", "Acquisition date", "File Name", "Bi-Rads")
# BI-RADS 3 is left out: neither called benign nor sent to biopsy
PROXY = dict.fromkeys(("1", "2"), "benign")
PROXY |= dict.fromkeys(("4a", "4b", "4c", "5", "6"), "malignant")
BIRADS = {*PROXY, "3"}
VIEWS = {"CC": "CC", "ML": "MLO", "MLO": "MLO"}
KINDS = {
    "mass": "mass",
    "spiculated region": "mass",
    "espiculated region": "mass",
    "cluster": "calc",
    "calcification": "calc",
    "calcifications": "calc",
    "distortion": "distortion",
    "asymmetry": "asymmetry",
    "assymetry": "asymmetry",
}  # others (Unnamed, Point 1, Point 3): "other"
MAX_XML_BYTES = 50_000_000
_FILE = re.compile(r"(\d+)_([0-9a-zA-Z]+)_MG_([LR])_([A-Z]+)_.*\.dcm", re.IGNORECASE)
_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_POINT = re.compile(rf"\s*\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)\s*")


def read(
    folder: Path | str,
    *,
    truth: str | None = None,
    single_calcifications: bool = False,
    partial: bool = False,
) -> Manifest:
    """The manifest of a folder with `INbreast.csv`, `AllXML` and the DICOM files in or below it.

    truth : None: every pathology is unknown.  "birads_proxy": BI-RADS 1 and 2 stand for benign, 4
        to 6 for malignant; lesions of BI-RADS 3 are listed as excluded.
    single_calcifications : keep the outlines of single grains (regions named Calcification).
    partial : go on with the image files that are there; those missing are listed as excluded.

    Kept are images with a usable outline, and breasts of BI-RADS 1 without a mark as negative.
    Raises InputError for a missing or unreadable list, no folder AllXML, missing images, renamed
    files, and whatever :meth:`Manifest.validate` refuses.
    """
    folder = Path(folder)
    proxy = published.proxy_asked(truth)
    listed = _read_list(folder)
    files = _image_files(folder)
    missing = [name for name in listed["File Name"] if name not in files]
    absent = published.missing_images(missing, len(listed), folder, partial)
    images, regions, unread = _read_files(folder, listed, files)
    lesions, left_out = _lesions(regions, images, proxy, single_calcifications)
    images, untrue = published.with_truth(images, lesions)
    exclusions = pd.DataFrame(absent + unread + left_out + untrue)
    lesions = pd.DataFrame(lesions)
    return check_manifest(
        Manifest("INbreast", folder, images, lesions, exclusions, _counted(listed))
    )


# ------------------------------------------------------------------ the list and the files
def _read_list(folder: Path) -> pd.DataFrame:
    listed = published.read_list(folder / LIST, COLUMNS, separator=";")
    listed["Bi-Rads"] = listed["Bi-Rads"].str.lower()
    known = listed["Bi-Rads"].isin(BIRADS) & listed["Laterality"].isin(["L", "R"])
    known &= listed["File Name"].str.fullmatch(r"\d+") & ~listed["File Name"].duplicated()
    if not known.all():
        row = int(np.argmin(known)) + 2  # row 1 is the header
        what = "a row without a file number of its own, side L or R, and BI-RADS 1 to 6"
        raise InputError(what, f"{LIST}, row {row}", "Take the list as distributed")
    if not (folder / "AllXML").is_dir():
        raise InputError("no folder AllXML", folder, "Unpack the outlines beside the list")
    return listed


def _image_files(folder: Path) -> dict[str, Path]:
    """File Name -> its DICOM file.  A file that was renamed has lost its patient: InputError."""
    files = {}
    for file in sorted(folder.rglob("[!.]*.dcm")):
        parts = _FILE.fullmatch(file.name)
        if parts is None:
            raise InputError(
                "the file name lacks the patient, the second part of <number>_<patient>_MG_...",
                file.name,
                "Keep the files under the names that they were distributed with",
            )
        files.setdefault(parts[1], file)
    return files


def _read_files(folder: Path, listed: pd.DataFrame, files: dict[str, Path]) -> tuple:
    """The table of images, the regions (row of the list, number, name, points), and exclusions."""
    images, regions, out = [], [], []
    for row in listed.to_dict("records"):
        name = row["File Name"]
        try:
            found = read_regions(folder / "AllXML" / f"{name}.xml")
            regions += [(row, k, *region) for k, region in enumerate(found, start=1)]
            if name in files and row["View"] not in VIEWS:
                reason = f"view {row['View']}: neither CC nor MLO"
                out.append(exclusion("image", name, "views", reason))
            elif name in files:
                images.append(_image(row, folder, files[name]) | {"regions": len(found)})
        except InputError as error:
            out.append(exclusion("image", name, "files", error.what))
    if not images:
        raise InputError("no image of the list can be used", folder, "Copy the files again")
    return _with_breasts(pd.DataFrame(images)), regions, out


def read_regions(file: Path) -> list[tuple[str, np.ndarray]]:
    """Name and points (n, 2), x and y in px, of every region of an outline file; none: no file.

    Raises InputError for a file that is no property list of regions with points "(x, y)", among
    them one that declares entities, by which a few lines can grow to fill the memory.
    """
    if not file.is_file():
        return []
    try:
        if file.stat().st_size > MAX_XML_BYTES:
            raise ValueError("too large")
        content = plistlib.loads(file.read_bytes(), fmt=plistlib.FMT_XML)
        regions = content["Images"][0]["ROIs"]
        return [(str(roi["Name"]).strip(), _points(roi["Point_px"])) for roi in regions]
    except (ValueError, LookupError, TypeError, AttributeError, ExpatError):
        raise InputError("outlines not readable", file.name, "Copy the file again") from None


def _points(texts: list[str]) -> np.ndarray:
    found = [_POINT.fullmatch(text) for text in texts]
    if None in found:
        raise ValueError("not a point (x, y)")
    return np.array([point.groups() for point in found], dtype=np.float64).reshape(-1, 2)


# ------------------------------------------------------------------ rows of the manifest
def _image(row: dict, folder: Path, file: Path) -> dict:
    """A row of the table of images; InputError where the list and the file name differ."""
    _, patient, side, view = _FILE.fullmatch(file.name).groups()
    if (side.upper(), VIEWS.get(view.upper())) != (row["Laterality"], VIEWS[row["View"]]):
        raise InputError("side or view differ between the list and the file name")
    return published.facts_of(read_header(file)) | {
        "image_id": row["File Name"],
        "patient_id": patient.lower(),
        "laterality": row["Laterality"],
        "view": VIEWS[row["View"]],
        "file": file.relative_to(folder).as_posix(),
        "birads": row["Bi-Rads"],
        "date": row["Acquisition date"],
    }


def _with_breasts(images: pd.DataFrame) -> pd.DataFrame:
    """The exam, numbered by date within the patient (no date is kept), and negative breasts."""
    dates = images.groupby("patient_id")["date"]
    number = dates.transform(lambda date: pd.factorize(date, sort=True)[0] + 1)
    images = images.assign(exam_id=images["patient_id"] + "_" + number.astype(str))
    clean = (images["birads"] == "1") & (images["regions"] == 0)
    return images.assign(negative=published.whole_breasts(images, clean))


def _lesions(regions: list, images: pd.DataFrame, proxy: bool, grains: bool) -> tuple[list, list]:
    """The usable regions as lesions, and a row of exclusions for each other one."""
    sizes = images.set_index("image_id")[["cols", "rows"]].T
    lesions, out = [], []
    for row, k, name, points in regions:
        image_id = row["File Name"]
        if image_id in sizes:
            points = np.clip(points, 0, sizes[image_id])
        lesion = _lesion(row, f"{image_id}_{k}", name, points, proxy)
        if len(points) < 3:
            reason = "outlines", "a mark of one or two points: no area"
        elif name.lower() == "calcification" and not grains:
            reason = "outlines", "a single calcification: no finding of its own"
        elif proxy and lesion["pathology"] == "unknown":
            reason = "truth", "BI-RADS 3: neither benign nor malignant by the proxy"
        else:
            lesions.append(lesion)
            continue
        out.append(exclusion("lesion", lesion["lesion_id"], *reason, image_id))
    lesions, unusable = published.usable_lesions(lesions, images)
    return lesions, out + unusable


def _lesion(row: dict, lesion_id: str, name: str, points: np.ndarray, proxy: bool) -> dict:
    return {
        "lesion_id": lesion_id,
        "finding_id": lesion_id,
        "image_id": row["File Name"],
        "pathology": PROXY.get(row["Bi-Rads"], "unknown") if proxy else "unknown",
        "truth": published.PROXY if proxy else "reader",
        "kind": KINDS.get(name.lower(), "other"),
        "subtype": name,
        "geom": "polygon",
        "polygon": polygon_text(points),
        "birads": row["Bi-Rads"],
    }


def _counted(listed: pd.DataFrame) -> dict:
    """What the list holds, under the names of the expected counts."""
    columns = {"by_birads": "Bi-Rads", "by_view": "View", "by_side": "Laterality"}
    counts = {name: listed[column].value_counts().to_dict() for name, column in columns.items()}
    return {"rows": len(listed), **counts}
