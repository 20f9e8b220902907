"""What is damaged: small valid files and data sets, and the reading of each.

A target holds the files of a valid folder and says which of them may be damaged and how the folder
is read.  Every header and list carries `SECRET` as its patient, which no error may repeat.
"""

from __future__ import annotations

import json
import pickle
import plistlib
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from made_up_dicom import write_jpeg

SECRET = "Zebra"
MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"
ROWS, COLS = 48, 40


@dataclass(frozen=True)
class Target:
    """files : path -> content.  damaged : those that are spoiled.  read : reads the folder."""

    files: dict[str, bytes]
    damaged: tuple[str, ...]
    read: Callable[[Path], object]


# ------------------------------------------------------------------ pictures
def breast(bits: int = 12) -> np.ndarray:
    """A bright quarter at the left edge, with a little texture."""
    pixels = np.zeros((ROWS, COLS), np.uint8 if bits == 8 else np.uint16)
    pixels[6:-6, :20] = np.arange(20) * 2 ** (bits - 5) // 1 % 2**bits
    return pixels


def pillow(kind: str, pixels: np.ndarray, **options) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def dicom(syntax: UID = ExplicitVRLittleEndian, **changed) -> bytes:
    """A mammogram of a left breast, MLO, with windows, spacing, padding and a patient."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = MAMMOGRAM
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    pixels = breast(12)
    values = {
        "SOPClassUID": MAMMOGRAM, "SOPInstanceUID": "1.2.3.4", "Modality": "MG",
        "PatientName": SECRET, "PatientID": SECRET, "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.5", "ImageLaterality": "L", "ViewPosition": "MLO",
        "PatientOrientation": ["A", "F"], "ImageType": ["DERIVED", "PRIMARY"],
        "PresentationIntentType": "FOR PRESENTATION", "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1, "Rows": ROWS, "Columns": COLS, "BitsAllocated": 16,
        "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleSlope": "1",
        "RescaleIntercept": "0", "WindowCenter": ["2000", "1000"], "WindowWidth": ["4000", "2000"],
        "ImagerPixelSpacing": ["0.07", "0.07"], "PixelPaddingValue": 0, "BurnedInAnnotation": "NO",
        "PixelData": pixels.tobytes(), **changed,
    }  # fmt: skip
    for name, value in values.items():
        setattr(header, name, value)
    out = BytesIO()
    if syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        header.compress(syntax, generate_instance_uid=False)
    header.file_meta.TransferSyntaxUID = syntax
    header.save_as(out, enforce_file_format=True)
    return out.getvalue()


SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless,
            JPEGLSLossless, UID("1.2.840.10008.1.2.1.99"))  # fmt: skip


def jpeg_lossless(process: str) -> bytes:
    """The same mammogram as GDCM encodes it; only GDCM decodes it."""
    with tempfile.TemporaryDirectory() as folder:
        tags = {"ImageLaterality": "L", "PatientName": SECRET, "PatientID": SECRET}
        return write_jpeg(Path(folder) / "a.dcm", process, breast(12), **tags).read_bytes()


@cache
def pictures() -> dict[str, list[bytes]]:
    """Kind of file -> valid files of that kind."""
    grey, deep = breast(8), breast(16)
    plain = b"P2\n# scan\n5 4\n255\n" + b" ".join(b"%d" % (k * 9) for k in range(20))
    palette = BytesIO()
    Image.fromarray(grey).convert("P").save(palette, "PNG")
    signed = dict(PixelRepresentation=1, PhotometricInterpretation="MONOCHROME1", RescaleSlope="2")
    return {
        "dicom": [*map(dicom, SYNTAXES), dicom(**signed)],
        "png": [pillow("PNG", grey), pillow("PNG", deep), palette.getvalue()],
        "pgm": [
            b"P5\n%d %d\n255\n" % (COLS, ROWS) + grey.tobytes(),
            b"P5 %d %d 4095 " % (COLS, ROWS) + breast(12).astype(">u2").tobytes(),
            plain,
        ],
        "tiff": [
            pillow("TIFF", deep),
            pillow("TIFF", grey, compression="tiff_lzw"),
            pillow("TIFF", deep, compression="tiff_adobe_deflate"),
        ],
        "jpeg": [pillow("JPEG", grey, quality=90), pillow("JPEG", grey, progressive=True)],
        "jpeg_lossless": [jpeg_lossless(f"JPEGLosslessProcess14{end}") for end in ("", "_1")],
    }


IMAGE_ROW = {"image_id": "a", "patient_id": SECRET, "exam_id": "e", "laterality": "L",
             "view": "MLO", "file": "image", "rows": 0, "cols": 0, "spacing_mm": None, "bits": 16,
             "polarity": "MONOCHROME2", "source": "ffdm", "chest_wall": "auto"}  # fmt: skip
BOX_ROW = {"lesion_id": "l", "geom": "box", "x0": 4.0, "y0": 10.0, "x1": 12.0, "y1": 20.0}
MASK_ROW = {"lesion_id": "m", "geom": "mask", "mask_file": "image", "mask_value": None}


def to_canvas(folder: Path) -> object:
    """An image file as mammogram, as mask, and all the way to its canvas."""
    from data_manifest.images.prepare import Task, prepare
    from data_manifest.images.read import read_image, read_mask
    from lesionlib.errors import InputError

    task = Task(str(folder), IMAGE_ROW, [BOX_ROW, MASK_ROW], 96, 64, 1.0, 8, "zero", "uint16")
    prepared = prepare(task)
    try:
        read_mask(folder / "image")
    except InputError:
        pass
    image = read_image(folder / "image", grey="voi")
    assert image.pixels.ndim == 2 and image.pixels.dtype in (np.uint8, np.uint16)
    assert int(image.pixels.max()) < 2**image.bits
    return prepared


# ------------------------------------------------------------------ data sets
def csv(*rows: dict, sep: str = ",") -> bytes:
    return pd.DataFrame(list(rows)).to_csv(index=False, sep=sep).encode()


def reader(dataset: str, **options) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from data_manifest.registry import read_as_it_is

        return read_as_it_is(dataset, folder, **options)

    return read


def table() -> Target:
    image = {"patient_id": "P1", "laterality": "L", "rows": ROWS, "cols": COLS, "bits": 8,
             "spacing_mm": 0.07, "negative": ""}  # fmt: skip
    images = csv({"image_id": "a", "view": "CC", "file": "a.png", **image},
                 {"image_id": "b", "view": "MLO", "file": "b.png", **image})  # fmt: skip
    lesions = csv(
        {"image_id": "a", "lesion_id": "1", "pathology": "benign", "geom": "polygon",
         "polygon": "1 1;9 1;9 9", "x0": "", "cx": ""},
        {"image_id": "b", "lesion_id": "1", "pathology": "benign", "geom": "circle",
         "polygon": "", "x0": "", "cx": "9", "cy": "20", "r": "5"},
        {"image_id": "b", "lesion_id": "2", "pathology": "malignant", "geom": "mask",
         "mask_file": "b.png"},
    )  # fmt: skip
    files = {"images.csv": images, "lesions.csv": lesions, "a.png": b"x", "b.png": b"x"}
    return Target(files, ("images.csv", "lesions.csv"), reader("table"))


def mini_mias() -> Target:
    rows = ["mdb001 G CIRC B 535 425 197", "mdb002 G NORM", "mdb003 D CALC M *NOTE 3*",
            "mdb004 D ARCH M 477 133 30", "mdb004 D ARCH B 300 200 26"]  # fmt: skip
    files = {"Info.txt": ("A prose text.\r\n\r\n" + "\r\n".join(rows)).encode()}
    files |= {f"mdb{k:03d}.pgm": b"P5\n2 2\n255\n0000" for k in range(1, 5)}
    return Target(files, ("Info.txt",), reader("mini_mias", partial=True))


def cbis_ddsm() -> Target:
    files = {}
    for part, name in (("Training", "train"), ("Test", "test")):
        case = f"Mass-{part}_P_00001_LEFT_CC"
        row = {"patient_id": "P_00001" if part == "Test" else "P_00002", "breast_density": 3,
               "left or right breast": "LEFT", "image view": "CC", "abnormality id": 1,
               "abnormality type": "mass", "mass shape": "OVAL", "mass margins": "N/A",
               "assessment": 4, "pathology": "BENIGN" if part == "Test" else "MALIGNANT",
               "subtlety": 5, "image file path": f"{case}/1.1/1.2/000000.dcm",
               "cropped image file path": f"{case}_1/1.3/1.4/000000.dcm",
               "ROI mask file path": f"{case}_1/1.3/1.4/000001.dcm\n"}  # fmt: skip
        files[f"mass_case_description_{name}_set.csv"] = csv(row)
        files[f"{case}/1.1/1.2/000000.dcm"] = dicom(SeriesInstanceUID="1.2", BitsStored=16)
        files[f"{case}_1/1.3/1.4/000001.dcm"] = dicom(SeriesInstanceUID="1.4", BitsStored=8)
    return Target(files, tuple(files), reader("cbis_ddsm", partial=True))


def inbreast() -> Target:
    row = {"Patient ID": "removed", "Patient age": "", "Laterality": "L", "View": "MLO",
           "Acquisition date": "201001", "File Name": "22670094", "ACR": "2", "Bi-Rads": "4a"}  # fmt: skip
    points = ["(3.0, 12.5)", "(15.0, 12.5)", "(15.0, 30.0)", "(3.0, 30.0)"]
    roi = {"Name": "Mass", "NumberOfPoints": 4, "Point_px": points}
    xml = plistlib.dumps({"Images": [{"ImageIndex": 0, "ROIs": [roi, roi | {"Name": "Point 1"}]}]})
    files = {"INbreast.csv": csv(row, sep=";"), "AllXML/22670094.xml": xml,
             "AllDICOMs/22670094_e1f51192f7bf3f5f_MG_L_ML_ANON.dcm": dicom()}  # fmt: skip
    return Target(files, tuple(files), reader("inbreast", truth="birads_proxy", partial=True))


def vindr_mammo() -> Target:
    row = {"study_id": "s1", "series_id": "r1", "image_id": "i1", "laterality": "L",
           "view_position": "MLO", "height": ROWS, "width": COLS, "breast_birads": "BI-RADS 4",
           "breast_density": "DENSITY C", "finding_categories": "['Mass', 'Skin Retraction']",
           "finding_birads": "BI-RADS 4", "xmin": 2.5, "ymin": 10.1, "xmax": 18.0, "ymax": 30.0,
           "split": "training"}  # fmt: skip
    none = row | {"image_id": "i2", "view_position": "CC", "finding_categories": "['No Finding']"}
    files = {"finding_annotations.csv": csv(row, none)}
    files |= {f"images/s1/{name}.dicom": dicom() for name in ("i1", "i2")}
    return Target(files, tuple(files), reader("vindr_mammo", truth="birads_proxy", partial=True))


def cmmd() -> Target:
    row = {"ID1": "D1-0001", "LeftRight": "L", "Age": 44, "number": 2, "abnormality": "mass",
           "classification": "Benign", "subtype": ""}  # fmt: skip
    sheet = BytesIO()
    pd.DataFrame([row]).to_excel(sheet, index=False)
    name = "CMMD_clinicaldata_revision.xlsx"
    files = {name: sheet.getvalue(), "a/1-1.dcm": dicom(PatientID="D1-0001")}
    return Target(files, tuple(files), reader("cmmd", partial=True))


def embed() -> Target:
    finding = {"empi_anon": "1", "acc_anon": "2", "numfind": 1, "side": "L", "asses": "S",
               "bside": "L", "path_severity": 1.0}  # fmt: skip
    clear = finding | {
        "empi_anon": "3",
        "acc_anon": "4",
        "asses": "N",
        "bside": "",
        "path_severity": "",
    }
    file = {"empi_anon": "1", "acc_anon": "2", "anon_dicom_path": "/x/cohort_1/1/2/a.dcm",
            "FinalImageType": "2D", "ImageLateralityFinal": "L", "ViewPosition": "CC",
            "spot_mag": "", "ROI_coords": "[[10, 3, 20, 15]]", "match_level": "[1]"}  # fmt: skip
    other = file | {
        "empi_anon": "3",
        "acc_anon": "4",
        "anon_dicom_path": "/x/cohort_1/3/2/b.dcm",
        "ROI_coords": "[]",
    }
    files = {"tables/EMBED_OpenData_clinical.csv": csv(finding, clear),
             "tables/EMBED_OpenData_metadata.csv": csv(file, other)}  # fmt: skip
    tables = tuple(files)
    files |= {f"images/cohort_1/{place}.dcm": b"x" for place in ("1/2/a", "3/2/b")}
    return Target(files, tables, reader("embed", partial=True))


EXAM = {
    "horizontal_flip": "NO", "L-CC": ["a"], "R-CC": ["b"], "L-MLO": [], "R-MLO": [],
    "cancer_label": {"left_benign": 1, "left_malignant": 0, "right_benign": 0,
                     "right_malignant": 0, "benign": 1, "malignant": 0, "unknown": 0},
    "L-CC_benign_seg": ["a_mask"], "best_center": {"L-CC": [[1011.0, -222.0]]},
}  # fmt: skip


def nyu(form: str) -> Target:
    film = np.zeros((ROWS, COLS), np.uint16)
    film[4:40, :30] = 900
    mask = np.zeros((ROWS, COLS), np.uint8)
    mask[10:25, 3:18] = 255
    exams = [EXAM, EXAM | {"L-CC": ["c"], "R-CC": [], "horizontal_flip": "YES"}]
    if form == "json":
        lists = json.dumps({"one": exams, "two": exams[:1]}).encode()
    else:
        lists = pickle.dumps(exams, int(form))
    name = f"exams.{'json' if form == 'json' else 'pkl'}"
    files = {name: lists, "a_mask.png": pillow("PNG", mask)}
    files |= {f"{stem}.png": pillow("PNG", film) for stem in "abc"}
    options = {"masks": "image", "partial": True, "named": "one" if form == "json" else ""}
    return Target(files, (name, name, "a_mask.png", "a.png"), reader("nyu", **options))


DATA_SETS = {
    "table": table, "mini_mias": mini_mias, "cbis_ddsm": cbis_ddsm, "inbreast": inbreast,
    "vindr_mammo": vindr_mammo, "cmmd": cmmd, "embed": embed, "nyu_json": lambda: nyu("json"),
    "nyu_pickle0": lambda: nyu("0"), "nyu_pickle4": lambda: nyu("4"),
}  # fmt: skip
# twice as many cases for files that come from elsewhere than from a list's author
NAMES = ("dicom", "png", "pgm", "tiff", "jpeg", *DATA_SETS, "dicom", "png", "tiff")
LATER = ("jpeg_lossless",)


@cache
def targets(name: str) -> list[Target]:
    """The valid variants of a target."""
    if name in DATA_SETS:
        return [DATA_SETS[name]()]
    return [Target({"image": data}, ("image",), to_canvas) for data in pictures()[name]]
