"""INbreast: 410 digital mammograms with hand-drawn outlines (Moreira et al. 2012).

* `INbreast.csv` has a blank column of patients; the patient is the second part of the file name,
  ``22670094_e1f51192f7bf3f5f_MG_R_CC_ANON.dcm``, and may have several exams (follow-ups).
* The outlines of an image are in ``AllXML/<File Name>.xml``, a property list, as points "(x, y)".
  They are read as two numbers and clipped to the image, whose size only its DICOM header states.
* To our knowledge every grain of a calcification is outlined by itself, thousands in all; a grain
  is not a finding, so these outlines are left out unless asked for.  Clusters stay.
* No lesion has a biopsy on record.  BI-RADS, one value per image, can replace it where asked for.
"""

from __future__ import annotations

import os
import plistlib
import re
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np
import pandas as pd

from data_manifest import published_sets as published
from data_manifest.folders import Names, on_disk
from data_manifest.images.dicom_header import read_header
from data_manifest.manifest import Manifest, exclusion
from data_manifest.shapes import polygon_text
from lesionlib.errors import InputError

TOP = "inbreast.csv"
# BI-RADS 3 is left out: neither called benign nor sent to biopsy
PROXY = dict.fromkeys(("1", "2"), "benign")
PROXY |= dict.fromkeys(("4a", "4b", "4c", "5", "6"), "malignant")
VIEWS = {"CC": "CC", "ML": "MLO", "MLO": "MLO"}
RULES = {
    "Laterality": ("laterality", published.SIDES),
    "View": ("view", VIEWS | {"FB": "FB"}),
    "Acquisition date": ("date", str),
    "File Name": ("image_id", r"\d+"),
    "Bi-Rads": ("birads", {grade: grade for grade in (*PROXY, "3")}),
}
# how names of regions begin; others (Unnamed, Point 1, Point 3) are "other"
KINDS = {"mass": "mass", "spiculated": "mass", "espiculated": "mass"}
KINDS |= {"cluster": "calc", "calcification": "calc", "distortion": "distortion"}
KINDS |= {"asymmetry": "asymmetry", "assymetry": "asymmetry"}
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

    Kept are images with a usable outline, and breasts of BI-RADS 1 without a mark as negative.

    Parameters
    ----------
    truth : None: every pathology is unknown.  "birads_proxy": BI-RADS 1 and 2 count as benign, 4
        to 6 as malignant; lesions of BI-RADS 3 are listed as excluded.
    single_calcifications : keep the outlines of single grains (regions named Calcification).
    partial : go on with the image files that are there; those missing are listed as excluded.

    Raises
    ------
    InputError
        For a missing or unreadable list, no folder AllXML, missing images, and renamed files.
    """
    folder = Path(folder)
    published.check_option("truth", truth, published.TRUTHS)
    listed = published.read_list(folder / "INbreast.csv", RULES, unique=["image_id"])
    if not on_disk(folder / "AllXML").is_dir():
        raise InputError("no folder AllXML", folder, "Unpack the outlines next to the list")
    files, passed = _image_files(folder)
    missing = [name for name in listed["image_id"] if name not in files]
    out = published.missing_images(missing, len(listed), folder, partial)
    images, regions, unread = _read_files(folder, listed, files)
    out, lesions = passed + out + unread, []
    for region in regions:
        reason = _no_lesion(region, bool(truth), single_calcifications)
        if reason:
            out.append(exclusion("lesion", region["lesion_id"], *reason, region["image_id"]))
        else:
            lesions.append(region)
    lesions = published.with_proxy(pd.DataFrame(lesions), PROXY, truth)
    return published.assemble("INbreast", folder, images, lesions, out, _counted(listed))


def _image_files(folder: Path) -> tuple[dict[str, Path], list[dict]]:
    """File Name -> its DICOM file, and exclusions; InputError for a renamed file, without patient."""
    files, (found, passed) = {}, published.dicom_files(folder)
    for file in map(Path(folder).joinpath, found):
        parts = _FILE.fullmatch(file.name)
        if parts is None:
            what = "the file name lacks the patient, the second part of <number>_<patient>_MG_..."
            remedy = "Keep the files under the names that they were distributed with"
            raise InputError(what, file.name, remedy)
        files.setdefault(parts[1], file)
    return files, passed


def _read_files(folder: Path, listed: pd.DataFrame, files: dict[str, Path]) -> tuple:
    """The table of images, a row for each region, and exclusions for what cannot be read."""
    images, regions, out, names = [], [], [], Names(folder)
    for row in listed.to_dict("records"):
        name, found, size = row["image_id"], [], (np.inf, np.inf)
        try:
            found = read_regions(folder / names.find(f"AllXML/{name}.xml"))
            if name in files and row["view"] == "FB":
                out.append(exclusion("image", name, "views", "view FB: neither CC nor MLO"))
            elif name in files:
                images.append(_image(row, folder, files[name]) | {"regions": len(found)})
                size = images[-1]["cols"], images[-1]["rows"]
        except InputError as error:
            out.append(exclusion("image", name, "files", error.what))
        for k, (kind, points) in enumerate(found, start=1):
            region = {"lesion_id": f"{name}_{k}", "image_id": name, "birads": row["birads"]}
            kinds = [known for word, known in KINDS.items() if kind.lower().startswith(word)]
            region |= {"subtype": kind, "kind": next(iter(kinds), "other")}
            text = polygon_text(np.clip(points, 0, size))
            regions.append(region | {"geom": "polygon", "polygon": text, "points": len(points)})
    if not images:
        raise InputError("no image of the list can be used", folder, "Copy the files again")
    return _with_breasts(pd.DataFrame(images)), regions, out


def read_regions(file: Path) -> list[tuple[str, np.ndarray]]:
    """Name and points (n, 2), x and y in px, of every region of an outline file; none: no file.

    Raises InputError for a file that is no property list of regions with points "(x, y)", among
    them one that declares entities, by which a few lines can grow to fill the memory.
    """
    if not os.path.isfile(file):
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


def _image(row: dict, folder: Path, file: Path) -> dict:
    """A row of the table of images; InputError where the list and the file name differ."""
    _, patient, side, view = _FILE.fullmatch(file.name).groups()
    if (side.upper(), VIEWS.get(view.upper())) != (row["laterality"], row["view"]):
        raise InputError("side or view differ between the list and the file name")
    place = {"patient_id": patient.lower(), "file": file.relative_to(folder).as_posix()}
    return row | place | published.facts_of(read_header(file))


def _with_breasts(images: pd.DataFrame) -> pd.DataFrame:
    """The exam, numbered by date within the patient (no date is kept), and negative breasts."""
    dates = images.groupby("patient_id")["date"]
    number = dates.transform(lambda date: pd.factorize(date, sort=True)[0] + 1)
    images = images.assign(exam_id=images["patient_id"] + "_" + number.astype(str))
    clean = (images["birads"] == "1") & (images["regions"] == 0)
    return images.assign(negative=published.whole_breasts(images, clean))


def _no_lesion(region: dict, proxy: bool, grains: bool) -> tuple[str, str] | None:
    """Stage and reason why a region is no lesion; None for a lesion."""
    if region["points"] < 3:
        return "outlines", "a mark of one or two points: no area"
    if region["subtype"].lower() == "calcification" and not grains:
        return "outlines", "a single calcification: no finding of its own"
    if proxy and region["birads"] not in PROXY:
        return "truth", "BI-RADS 3: neither benign nor malignant by the proxy"
    return None


def _counted(listed: pd.DataFrame) -> dict:
    """What the list holds, under the names of the expected counts."""
    columns = {"by_birads": "birads", "by_view": "view", "by_side": "laterality"}
    counts = {name: listed[column].value_counts().to_dict() for name, column in columns.items()}
    return {"rows": len(listed), **counts}
