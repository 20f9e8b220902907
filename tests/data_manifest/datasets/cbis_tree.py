"""A small made-up CBIS-DDSM: case lists and files in each of the layouts it is found in."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ROWS, COLS = 160, 128  # of a film
COLUMNS = "patient_id,{density},left or right breast,image view,abnormality id,abnormality type,"
COLUMNS += "{labels},assessment,pathology,subtlety,image file path,cropped image file path,"
COLUMNS += "ROI mask file path"
HEADS = {
    "mass": COLUMNS.format(density="breast_density", labels="mass shape,mass margins"),
    "calc": COLUMNS.format(density="breast density", labels="calc type,calc distribution"),
}
PARTS = {"train": "Training", "test": "Test"}


@dataclass(frozen=True)
class Roi:
    """One row of a case list; the disc of its mask has its centre at (x, y)."""

    kind: str
    part: str
    patient: str
    side: str
    view: str
    number: int
    pathology: str
    x: int = 40
    y: int = 80
    two_series: bool = False  # crop and mask in two series
    exchanged: bool = False  # the list's columns of crop and mask
    mask_shape: tuple[int, int] = (ROWS, COLS)

    @property
    def image_case(self) -> str:
        where = f"{PARTS[self.part]}_{self.patient}_{self.side}_{self.view}"
        return f"{self.kind.title()}-{where}"

    @property
    def roi_case(self) -> str:
        return f"{self.image_case}_{self.number}"

    @property
    def id(self) -> str:
        return f"{self.patient}_{self.side}_{self.view}_{self.kind}_{self.number}"


# one of everything: two views, a film with a mass and a calcification, and a second mass on it
ROIS = [
    Roi("mass", "train", "P_00001", "LEFT", "CC", 1, "MALIGNANT"),
    Roi("mass", "train", "P_00001", "LEFT", "MLO", 1, "MALIGNANT", 40, 90, True, True),
    Roi("mass", "train", "P_00002", "RIGHT", "CC", 1, "BENIGN", exchanged=True),
    Roi("mass", "train", "P_00003", "LEFT", "CC", 1, "BENIGN_WITHOUT_CALLBACK"),
    Roi("mass", "train", "P_00004", "LEFT", "CC", 1, "BENIGN", y=60),
    Roi("mass", "train", "P_00004", "LEFT", "CC", 3, "BENIGN_WITHOUT_CALLBACK", y=110),
    Roi("mass", "test", "P_00005", "RIGHT", "MLO", 1, "MALIGNANT"),
    Roi("mass", "test", "P_00006", "LEFT", "CC", 1, "BENIGN"),
    Roi("calc", "train", "P_00004", "LEFT", "CC", 2, "MALIGNANT", y=85),
    Roi("calc", "train", "P_00006", "LEFT", "CC", 2, "BENIGN", y=50),
    Roi("calc", "test", "P_00007", "RIGHT", "CC", 1, "MALIGNANT"),
]


def uid(*names: str) -> str:
    return "1.3.6." + str(int(hashlib.sha256("/".join(names).encode()).hexdigest()[:12], 16))


def series_of(roi: Roi, what: str) -> str:
    """SeriesInstanceUID of a row's "image", "crop" or "mask"."""
    if what == "image":
        return uid(roi.image_case)
    return uid(roi.roi_case, "crop" if roi.two_series and what == "crop" else "roi")


def _path(roi: Roi, what: str) -> str:
    case = roi.image_case if what == "image" else roi.roi_case
    second = {"mass": "mask", "calc": "crop"}[roi.kind]
    name = "000001.dcm" if what == second and not roi.two_series else "000000.dcm"
    return f"{case}/{uid(case, 'study')}/{series_of(roi, what)}/{name}"


def write_lists(folder: Path, rois=ROIS) -> Path:
    """The lists that have rows, with the newline of the archive's files inside a quoted path."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in HEADS:
        for part in PARTS:
            lines = []
            for roi in (r for r in rois if (r.kind, r.part) == (kind, part)):
                crop, mask = _path(roi, "crop"), _path(roi, "mask")
                if roi.exchanged:
                    crop, mask = mask, crop
                ends = (crop + "\n", mask) if kind == "calc" else (crop, mask + "\n")
                row = [roi.patient, "3", roi.side, roi.view, roi.number, kind, "OVAL", "N/A", "4"]
                lines.append([*row, roi.pathology, "2", _path(roi, "image"), *ends])
            name = f"{kind}_case_description_{part}_set.csv"
            if not lines:
                continue
            with open(folder / name, "w", newline="") as file:
                file.write(HEADS[kind] + "\n")
                csv.writer(file, lineterminator="\n").writerows(lines)
    return folder


# ------------------------------------------------------------------ pixels
def film(roi: Roi) -> np.ndarray:
    """uint16: half an ellipse of tissue at the left edge of a left breast's film."""
    y, x = np.mgrid[0:ROWS, 0:COLS] + 0.5
    inside = ((y - ROWS / 2) / (0.45 * ROWS)) ** 2 + (x / (0.8 * COLS)) ** 2 < 1
    noise = np.random.default_rng(int(roi.patient[2:])).integers(0, 4000, inside.shape)
    pixels = np.where(inside, 30000 + noise, noise // 8).astype(np.uint16)
    return pixels if roi.side == "LEFT" else np.ascontiguousarray(pixels[:, ::-1])


def mask(roi: Roi) -> np.ndarray:
    """uint8, 0 and 255: a disc of 8 px, brought to the mask's own size."""
    rows, cols = roi.mask_shape
    y, x = np.mgrid[0:rows, 0:cols] + 0.5
    x0 = roi.x if roi.side == "LEFT" else COLS - roi.x
    near = (x * COLS / cols - x0) ** 2 + (y * ROWS / rows - roi.y) ** 2 <= 64
    return np.where(near, 255, 0).astype(np.uint8)


def crop(roi: Roi) -> np.ndarray:
    """uint16: what the archive cut out and stretched."""
    return np.linspace(0, 65535, 24 * 24).reshape(24, 24).astype(np.uint16)


def write_dicom(path: Path, pixels: np.ndarray, series: str, patient: str, described: str = ""):
    """A DICOM file with the header that the archive's files have: PatientID is the case's name."""
    bits = 8 * pixels.dtype.itemsize
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = uid(str(path))
    header = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    fields = {"SOPClassUID": meta.MediaStorageSOPClassUID, "Modality": "MG", "PatientID": patient}
    fields |= {"SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "SeriesInstanceUID": series}
    fields |= {"Rows": pixels.shape[0], "Columns": pixels.shape[1], "SamplesPerPixel": 1}
    fields |= {"PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 0}
    fields |= {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1}
    fields |= {"PixelData": pixels.tobytes()}
    if described:
        fields["SeriesDescription"] = described
    for name, value in fields.items():
        setattr(header, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


# ------------------------------------------------------------------ layouts
def _files(rois) -> list[tuple[Roi, str, np.ndarray]]:
    """Every file of the set: its row, what it is, its pixels; a film once a case."""
    films = {roi.image_case: (roi, "image", film(roi)) for roi in rois}
    rest = [
        (roi, what, make(roi)) for roi in rois for what, make in (("crop", crop), ("mask", mask))
    ]
    return [*films.values(), *rest]


def classic(folder: Path, rois=ROIS) -> Path:
    """Case/StudyUID/SeriesUID/00000n.dcm, under the names of the lists' paths."""
    for roi, what, pixels in _files(rois):
        case = roi.image_case if what == "image" else roi.roi_case
        write_dicom(folder / "CBIS-DDSM" / _path(roi, what), pixels, series_of(roi, what), case)
    return write_lists(folder, rois)


def descriptive(folder: Path, rois=ROIS) -> Path:
    """Case/date/series description/1-n.dcm; the order of crop and mask changes from row to row.

    The headers name no series of the lists, so that only the folders tell the case.
    """
    names = {"image": "full mammogram images", "crop": "cropped images", "mask": "ROI mask images"}
    for number, (roi, what, pixels) in enumerate(_files(rois)):
        case = roi.image_case if what == "image" else roi.roi_case
        first = what == "image" or (what == "mask") == (number // 2 % 2 == 0)
        own = what if what == "image" or roi.two_series else "mask"
        place = folder / case / f"07-20-2016-DDSM-{number % 9}" / f"1.000000-{names[own]}-12"
        name = "1-1.dcm" if first or roi.two_series else "1-2.dcm"
        write_dicom(place / name, pixels, uid("other", case, what), case, names[what])
    return write_lists(folder, rois)


def flat(folder: Path, rois=ROIS) -> Path:
    """Random names in one folder; PatientID is of no use, SeriesDescription is missing."""
    for roi, what, pixels in _files(rois):
        name = hashlib.md5(f"{roi.roi_case}{what}".encode()).hexdigest() + ".dcm"
        useless = f"{roi.patient}_{roi.side}_{roi.view}_{roi.number}.dcm"
        write_dicom(folder / name, pixels, series_of(roi, what), useless)
    return write_lists(folder, rois)


def kaggle(folder: Path, rois=ROIS) -> Path:
    """jpeg/<SeriesUID>/1-nnn.jpg, 8 bits and lossy, with the headers in csv/dicom_info.csv."""
    lines = []
    for number, (roi, what, pixels) in enumerate(_files(rois)):
        stored = 8 * pixels.dtype.itemsize
        grey = (pixels >> (stored - 8)).astype(np.uint8)
        place = folder / "jpeg" / series_of(roi, what)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(place / f"1-{number:03d}.jpg", quality=75)
        path = f"CBIS-DDSM/jpeg/{place.name}/1-{number:03d}.jpg"
        lines.append((path, stored, *pixels.shape, "P_00562_LEFT_CC_2.dcm"))
    write_lists(folder / "csv", rois)
    columns = ["image_path", "BitsStored", "Rows", "Columns", "PatientID"]
    pd.DataFrame(lines, columns=columns).to_csv(folder / "csv" / "dicom_info.csv", index=False)
    return folder


SQUEEZED = 64  # px a side of a compact film


def compact(folder: Path, rois=ROIS, known: bool = True) -> Path:
    """Square JPEG films with boxes; `known`: which box is which lesion."""
    masses = [roi for roi in rois if roi.kind == "mass"]
    films = {roi.image_case: roi for roi in masses}
    images, boxes = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for case, roi in films.items():
        grey = Image.fromarray((film(roi) >> 8).astype(np.uint8))
        grey.resize((SQUEEZED, SQUEEZED), Image.Resampling.BOX).save(folder / f"images/{case}.jpg")
        images.append((f"images/{case}.jpg", ROWS, COLS, _path(roi, "image")))
        for number, one in enumerate([r for r in masses if r.image_case == case], start=1):
            x = one.x if one.side == "LEFT" else COLS - one.x
            which = str(one.number) if known else ""
            boxes.append(
                (f"{one.patient}_{one.side}_{one.view}", number, which, x - 8, one.y - 8, 16, 16)
            )
    names = ["file", "native_rows", "native_cols", "official_image_path"]
    pd.DataFrame(images, columns=names).to_csv(folder / "images.csv", index=False)
    names = ["image_id", "box_no", "abnormality_id", "native_x", "native_y", "native_w", "native_h"]
    pd.DataFrame(boxes, columns=names).to_csv(folder / "rois.csv", index=False)
    write_lists(folder / "official_csv", rois)
    return folder
