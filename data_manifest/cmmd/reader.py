"""CMMD: 5,202 digital mammograms of 1,775 women, each with a biopsied breast (Cui et al. 2021).

No lesion has a place, so none can be trained on or scored: all are listed as excluded.  What remains
are the images and the class of their breasts (:func:`read_breasts`), for the context network.

* The list has one row per biopsied breast; 30 women have a benign and a malignant one.
* Patient, side, view and chest wall of an image are in its DICOM header only.
* 1,458 images show the other breast.  Nobody says that it is healthy: it is not negative.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from data_manifest import published_sets as published
from data_manifest.checks import check_manifest
from data_manifest.images.dicom_header import header_of, one_line_errors, parse, text
from data_manifest.input_files import input_file
from data_manifest.manifest import Manifest, exclusion
from lesionlib.errors import InputError

TOP = "*clinical*.[cx]*"
LIST = r"(?!\.).*clinical.*\.(csv|xlsx)"
RULES = {
    "ID1": ("patient_id", r"D[12]-\d{4}"),
    "LeftRight": ("laterality", published.SIDES),
    "abnormality": ("abnormality", {a: a for a in ("calcification", "mass", "both")}),
    "classification": ("pathology", {"Benign": "benign", "Malignant": "malignant"}),
    "subtype": ("subtype", str),
}


def read(folder: Path | str, *, partial: bool = False) -> Manifest:
    """The manifest, without lesions, of a folder with the clinical list and DICOM files in any place.

    `negative` is false for a biopsied breast, not known for the other.  `partial` allows lost files.
    Raises InputError for a faulty list, a folder without images, and breasts without an image.
    """
    folder, rows = Path(folder), []
    breasts = read_breasts(folder)
    names = breasts["patient_id"] + "_" + breasts["laterality"]
    files, out = published.dicom_files(folder)
    for file in files:
        try:
            rows.append(_image(folder / file, set(breasts["patient_id"])) | {"file": file})
        except InputError as error:
            out.append(exclusion("image", file, "files", error.what))
    if not rows:
        raise InputError("no DICOM file of the set", folder, "Point data.folder at the download")
    images = pd.DataFrame(rows)
    again = images.groupby("image_id").cumcount().map(lambda n: f"_{n + 1}" if n else "")
    shown = images["patient_id"] + "_" + images["laterality"]
    negative = pd.Series(False, index=images.index, dtype="boolean").mask(~shown.isin(names))
    images = images.assign(image_id=images["image_id"] + again, negative=negative)
    absent = names[~names.isin(shown)].tolist()
    published.missing_images(absent, len(names), folder, partial, "breasts have no image file")
    why = {True: ("files", "no image file of its breast"), False: ("outlines", "no place given")}
    out += [exclusion("lesion", name, *why[name in absent]) for name in names]
    # no list names the images, so that only their number tells a missing one
    total = {"images_total": len(images), "images_labelled": int(negative.notna().sum())}
    counted = _counted(breasts) | ({} if partial else total)
    return check_manifest(Manifest("CMMD", folder, images, None, pd.DataFrame(out), counted))


def read_breasts(folder: Path | str) -> pd.DataFrame:
    """One row per biopsied breast: patient_id, laterality (join by both), pathology and more.

    Raises InputError for a missing or faulty list, and for a breast listed twice.
    """
    names = [f for f in Path(folder).iterdir() if re.fullmatch(LIST, f.name, re.IGNORECASE)]
    found = sorted(names, key=lambda file: (file.suffix.lower(), file))
    if not found:
        raise InputError("no clinical list *clinical*.xlsx or .csv", folder, "Add it to the images")
    return published.read_list(found[0], RULES, unique=["patient_id", "laterality"])


def _image(file: Path, patients: set[str]) -> dict:
    """Its row of the manifest; no other patient than those of the list is ever passed on."""
    with open(input_file(file), "rb") as data, one_line_errors(file):
        header = header_of(elements := parse(data, file, identify=True), file)
    facts, patient = published.facts_of(header), text(elements, "PatientID")
    if patient not in patients:
        raise InputError("its patient is not in the list")
    if not header.laterality:
        raise InputError("no side in its header")
    side, view, wall = header.laterality, header.view or "other", header.chest_wall or "auto"
    row = {"image_id": f"{patient}_{side}_{view}", "patient_id": patient, "exam_id": patient}
    return facts | row | {"laterality": side, "view": view, "chest_wall": wall}


def _counted(breasts: pd.DataFrame) -> dict:
    """What the list holds, under the names of the expected counts."""
    patients = breasts.groupby("patient_id")
    return {
        "rows_breasts": len(breasts),
        "patients": patients.ngroups,
        "by_class": breasts["pathology"].value_counts().to_dict(),
        "by_abnormality": breasts["abnormality"].value_counts().to_dict(),
        "patients_two_breasts": int((patients.size() == 2).sum()),
        "patients_benign_and_malignant": int((patients["pathology"].nunique() == 2).sum()),
        "subtype_filled": int((breasts["subtype"] != "").sum()),
    }
