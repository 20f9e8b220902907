"""DICOM mammograms written by the tests, a patient's data in every field that can hold them."""

from __future__ import annotations

from pathlib import Path

import gdcm
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"
VALUES = np.arange(80, dtype=np.uint16).reshape(8, 10) * 12
WIDE = np.arange(4096, dtype=np.uint16).reshape(64, 64)
# in each field that names a person, a place, a time or a device; the tests search for "SECRET" & Co.
SECRETS = {
    "PatientName": "SECRET^Anna", "PatientID": "SECRET-17", "PatientBirthDate": "19480229",
    "PatientAge": "077Y", "PatientAddress": "SECRET street", "OtherPatientIDs": "SECRET-18",
    "AccessionNumber": "SECRETACC", "InstitutionName": "SECRET hospital",
    "InstitutionAddress": "SECRET town", "ReferringPhysicianName": "SECRET^Doctor",
    "StationName": "SECRETROOM", "StudyDescription": "SECRET study",
    "SeriesDescription": "SECRET series", "PhysiciansOfRecord": "SECRET^Owner",
    "PerformingPhysicianName": "SECRET^Reader", "OperatorsName": "SECRET^Hand",
    "DeviceSerialNumber": "SECRET-SN", "ImageComments": "SECRET comment",
    "StudyDate": "20190229", "ContentDate": "20190229", "StudyTime": "235959", "StudyID": "SECRETST",
    "ProtocolName": "SECRET protocol", "RequestedProcedureDescription": "SECRET request",
}  # fmt: skip
TRACES = ("SECRET", "Anna", "19480229", "20190229", "235959", "1.2.826.0.1.77")


def breast(edge: str = "left", rows: int = 160, cols: int = 128) -> np.ndarray:
    """uint16: noisy tissue of about 2000 on 0, half an ellipse at a side edge."""
    y, x = np.mgrid[0:rows, 0:cols] + 0.5
    inside = ((y - rows / 2) / (0.45 * rows)) ** 2 + (x / (0.8 * cols)) ** 2 < 1
    grey = 2000 + 200 * np.random.default_rng(1).standard_normal(inside.shape)
    grey = np.where(inside, np.clip(grey, 1, 4095), 0).astype(np.uint16)
    return grey if edge == "left" else np.ascontiguousarray(grey[:, ::-1])


def mammogram(values: np.ndarray = VALUES, **tags) -> FileDataset:
    """A left MLO view for presentation; `tags` replace or, if None, remove elements."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID") or MAMMOGRAPHY
    meta.MediaStorageSOPInstanceUID = tags.get("SOPInstanceUID") or "1.2.826.0.1.77.1"
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    fields = {
        **SECRETS, "SOPClassUID": MAMMOGRAPHY, "SOPInstanceUID": "1.2.826.0.1.77.1",
        "StudyInstanceUID": "1.2.826.0.1.77.2", "SeriesInstanceUID": "1.2.826.0.1.77.3",
        "Modality": "MG", "PresentationIntentType": "FOR PRESENTATION",
        "Rows": values.shape[-2], "Columns": values.shape[-1], "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": values.itemsize * 8,
        "BitsStored": 12 if values.itemsize == 2 else 8, "PixelRepresentation": 0,
        "ImageLaterality": "L", "ViewPosition": "MLO", "ImagerPixelSpacing": [0.07, 0.07],
    }  # fmt: skip
    fields |= {"PixelRepresentation": int(values.dtype.kind == "i"), **tags}
    fields.setdefault("HighBit", (fields["BitsStored"] or 12) - 1)
    fields.setdefault("PixelData", values.tobytes())
    for name, value in fields.items():
        if value is not None:
            setattr(made, name, value)
    if "PixelData" in made:
        made["PixelData"].VR = "OW" if fields["BitsAllocated"] == 16 else "OB"
    block = made.private_block(0x0013, "SECRET CREATOR", create=True)
    block.add_new(0x10, "LO", "SECRET private")
    return made


def write(path: Path, values: np.ndarray = VALUES, *, preamble: bool = True, **tags) -> Path:
    """The file of a :func:`mammogram`, with or without preamble and file meta information."""
    made = mammogram(values, **tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    if preamble:
        made.save_as(path, enforce_file_format=True)
    else:
        bare = Dataset({element.tag: element for element in made})
        pydicom.dcmwrite(path, bare, implicit_vr=False, little_endian=True)
    return path


def write_breast(path: Path, side: str = "L", size=(40, 30), **tags) -> Path:
    """A breast as bright half, at the left edge for side "L"; `tags` replace or remove elements."""
    pixels = np.zeros(size, np.uint16)
    pixels[:, : size[1] // 2] = np.arange(1, size[1] // 2 + 1) + 100
    pixels = pixels if side == "L" else np.ascontiguousarray(pixels[:, ::-1])
    return write(path, pixels, **{"ImageLaterality": side, **tags})


def write_compressed(path: Path, syntax: UID, values: np.ndarray = VALUES, **tags) -> Path:
    """The same, encoded by pydicom's plugins."""
    made = mammogram(values, **tags)
    made.compress(syntax, values, generate_instance_uid=False)
    made.save_as(path, enforce_file_format=True)
    return path


def write_jpeg(path: Path, process: str, values: np.ndarray = VALUES, **tags) -> Path:
    """The same, encoded by GDCM: JPEGLosslessProcess14, JPEGLosslessProcess14_1, ..."""
    plain = write(path.with_suffix(".plain"), values, **tags)
    reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    plain.unlink()
    return path


def lut(entries: list[int], first: int, bits: int) -> Dataset:
    """An item of a modality or VOI LUT sequence."""
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first, bits])
    item.add_new(0x00283006, "US", entries)
    return item


def code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "SECRET meaning"
    return item
