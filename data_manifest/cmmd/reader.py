"""CMMD: 5,202 digital mammograms of 1,775 women, each with a biopsied breast (Cui et al. 2021).

The set says which breast was biopsied and what was found, and not where: there are no outlines.
The score of Wu et al. 2020 is that of a place, so none of these lesions can be trained on or
scored; all are listed as excluded.  What is left are the images and the class of their breasts:
:func:`read_breasts` gives it, for a context network that learns from whole images.

What the reader knows of the set:

* The list has one row a biopsied breast, by patient and side; 30 women have a benign and a
  malignant breast, so that a patient has no class.
* The side of an image stands only in its DICOM header.
* 1,458 images show the other breast.  Nobody says that it is healthy: it is not negative.
* PatientOrientation tells where columns lead: A (anterior) from a chest wall at the left edge of
  the file, P (posterior) to one at the right.
* Images have 8 bits and a sigmoid display window, which is not applied; those of D1-1343 have 16.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd

from data_manifest import published_sets as published
from data_manifest.checks import check_manifest
from data_manifest.images.dicom_header import header_of, one_line_errors, parse, text
from data_manifest.manifest import Manifest, exclusion
from lesionlib.errors import InputError

COLUMNS = ("ID1", "LeftRight", "abnormality", "classification", "subtype")
_PATIENT = re.compile(r"D[12]-\d{4}")


def read(folder: Path | str, *, partial: bool = False) -> Manifest:
    """The manifest of a folder with the clinical list (XLSX or CSV) and DICOM files in or below it.

    The files may lie in any folders and have any names; patient, side and view are taken from their
    headers.  The manifest has no lesions: none can be placed, and all are listed as excluded.
    `negative` is false for a biopsied breast and empty, not known, for the other.
    partial : go on with the image files that are there.

    Raises InputError for a missing or unreadable list, a folder without images, and whatever
    :meth:`Manifest.validate` refuses.
    """
    folder = Path(folder)
    breasts = read_breasts(folder)
    images, exclusions = _images(folder, breasts)
    exclusions += _unplaced(breasts, images, folder, partial)
    biopsied = _breast(images).isin(_breast(breasts))
    negative = pd.Series(False, index=images.index, dtype="boolean").mask(~biopsied)
    counted = _counted(breasts)
    if not partial:  # no list names the images, so that only their number tells a missing one
        counted |= {"images_total": len(images), "images_labelled": int(biopsied.sum())}
    images, exclusions = images.assign(negative=negative), pd.DataFrame(exclusions)
    return check_manifest(Manifest("CMMD", folder, images, pd.DataFrame(), exclusions, counted))


def read_breasts(folder: Path | str) -> pd.DataFrame:
    """One row a biopsied breast: patient_id, laterality, pathology, abnormality, subtype.

    Joined to the manifest's images by patient_id and laterality, never by patient_id alone.
    Raises InputError for a missing or unreadable list, a breast listed twice, and unknown classes.
    """
    file = _list_file(Path(folder))
    listed = published.read_list(file, COLUMNS)
    breasts = pd.DataFrame(
        {
            "patient_id": listed["ID1"],
            "laterality": listed["LeftRight"].str.upper(),
            "pathology": listed["classification"].str.lower(),
            "abnormality": listed["abnormality"].str.lower(),
            "subtype": listed["subtype"],
        }
    )
    good = breasts["patient_id"].str.fullmatch(_PATIENT) & breasts["laterality"].isin(["L", "R"])
    good &= breasts["pathology"].isin(["benign", "malignant"])
    good &= ~breasts.duplicated(["patient_id", "laterality"])
    if not good.all():
        row = int((~good).to_numpy().argmax()) + 2  # row 1 is the header
        what = "a row without a breast of its own (D1-0001, L or R) and a class benign or malignant"
        raise InputError(what, f"{file.name}, row {row}", "Take the list as distributed")
    return breasts


def _list_file(folder: Path) -> Path:
    """The clinical list; a CSV goes before the distributed XLSX."""
    for suffix in ("csv", "xlsx"):
        found = sorted(folder.glob(f"*linical*.{suffix}"))
        if found:
            return found[0]
    remedy = "Put CMMD_clinicaldata_revision.xlsx, or a CSV of it, beside the images"
    raise InputError("no clinical list *clinical*.xlsx or .csv", folder, remedy)


def _breast(table: pd.DataFrame) -> pd.Series:
    return table["patient_id"] + "_" + table["laterality"]


def _unplaced(breasts: pd.DataFrame, images: pd.DataFrame, folder: Path, partial: bool) -> list:
    """A row of exclusions for the lesion of each breast; InputError if a breast has no image."""
    names = _breast(breasts)
    shown = set(_breast(images))
    absent = [name for name in names if name not in shown]
    if absent and not partial:
        raise InputError(
            f"{len(absent)} of {len(names)} breasts have no image file, first {absent[0]}",
            folder,
            "Complete the download, or set data.options: {partial: true}",
        )
    why = {True: ("outlines", "no place given"), False: ("files", "no image file of its breast")}
    return [exclusion("lesion", name, *why[name in shown]) for name in names]


# ------------------------------------------------------------------ the images
def _images(folder: Path, breasts: pd.DataFrame) -> tuple[pd.DataFrame, list[dict]]:
    """One row an image that can be used, and a row of exclusions for each other file."""
    rows, out, seen = [], [], Counter()
    patients = set(breasts["patient_id"])
    for file in sorted(folder.rglob("[!.]*.dcm")):
        place = file.relative_to(folder).as_posix()
        try:
            row = _image(file, patients)
        except InputError as error:
            out.append(exclusion("image", place, "files", error.what))
            continue
        name = f"{row['patient_id']}_{row['laterality']}_{row['view']}"
        seen[name] += 1
        row["image_id"] = name if seen[name] == 1 else f"{name}_{seen[name]}"
        rows.append(row | {"file": place})
    if not rows:
        raise InputError("no DICOM file of the set", folder, "Point data.folder at the download")
    return pd.DataFrame(rows), out


def _image(file: Path, patients: set[str]) -> dict:
    """Its row but for id and file; no other patient than those of the list is ever passed on."""
    with open(file, "rb") as data, one_line_errors(file):
        elements = parse(data, file, identify=True)
        header = header_of(elements, file)
    facts, patient = published.facts_of(header), text(elements, "PatientID")
    if patient not in patients:
        raise InputError("its patient is not in the list")
    if not header.laterality:
        raise InputError("no side in its header")
    return facts | {
        "patient_id": patient,
        "exam_id": patient,
        "laterality": header.laterality,
        "view": header.view or "other",
        "chest_wall": header.chest_wall or "auto",
    }


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
