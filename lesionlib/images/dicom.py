"""DICOM: stored values to pixels, with the header's size and kind checked first.

What is done, and in this order: size and kind are checked; stored values are decoded; rescale slope
and intercept are applied; MONOCHROME1 (or an inverse presentation shape) is inverted; padding becomes
background.  No VOI window is applied: the networks see the full range, as GMIC does.
No header value that can tell who the patient is enters an error message.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lesionlib.errors import InputError
from lesionlib.images.read import DAMAGED, check_size

TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"


def decode(data: bytes, path: Path) -> dict:
    """The fields of :class:`lesionlib.images.read.Image` from the bytes of a DICOM file.

    Raises InputError for a damaged file, no pixels, colour, several frames, tomosynthesis, raw data
    "for processing", more pixels than allowed, or a codec that is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of values that break the standard
        try:
            return _decoded(_header(data), path)
        except (InputError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # decoders raise their own kinds, even panics of Rust
            cause = f"DICOM not readable: {type(error).__name__}"
            raise InputError(cause, path, DAMAGED + ", or install the codec") from None


def _decoded(header: Dataset, path: Path) -> dict:
    _check_kind(header, path)
    stored = _stored(header, path)
    lowest, bits = _range(header)
    pixels, bits = _rescaled(header, stored, lowest, bits)
    if _inverse(header):
        pixels = (2**bits - 1) - pixels
    pixels[_padding(header, stored)] = 0
    pixels = pixels.astype(np.uint8 if bits <= 8 else np.uint16)
    view = str(header.get("ViewPosition", "") or "").upper()
    return {
        "pixels": pixels,
        "bits": max(8, bits),
        "spacing_mm": _spacing(header),
        "laterality": _laterality(header),
        "oriented": True,
        "view": "MLO" if view == "ML" else view if view in ("CC", "MLO") else "",
    }


def _header(data: bytes) -> Dataset:
    header = pydicom.dcmread(BytesIO(data), force=True)
    if "TransferSyntaxUID" not in header.file_meta:  # exported without its preamble
        implicit, _ = header.original_encoding
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        header.file_meta.TransferSyntaxUID = syntax
    return header


def _number(header: Dataset, name: str, default: float) -> float:
    value = header.get(name)
    try:
        return default if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return default


def _check_kind(header: Dataset, path: Path) -> None:
    if "PixelData" not in header:
        raise InputError("DICOM without pixels", path, "Leave the file out, or export it again")
    check_size(int(_number(header, "Rows", 0)), int(_number(header, "Columns", 0)), path)
    frames = int(_number(header, "NumberOfFrames", 1))
    samples = int(_number(header, "SamplesPerPixel", 1))
    if frames > 1 or header.get("SOPClassUID") == TOMOSYNTHESIS:
        raise InputError(f"{frames} frames (tomosynthesis?)", path, "Give 2-D mammograms")
    if samples != 1:
        raise InputError(f"colour, {samples} samples a pixel", path, "Give grey mammograms")
    if header.get("PresentationIntentType") == "FOR PROCESSING":
        raise InputError("raw data, FOR PROCESSING", path, "Give the image FOR PRESENTATION")
    if not 8 <= int(_number(header, "BitsStored", 0)) <= 16:
        raise InputError("BitsStored is not 8 to 16", path, DAMAGED)


def _stored(header: Dataset, path: Path) -> np.ndarray:
    values = header.pixel_array
    if values.ndim != 2:
        raise InputError(f"pixels of {values.ndim} dimensions, expected 2", path, DAMAGED)
    return values.astype(np.int32)


def _range(header: Dataset) -> tuple[int, int]:
    bits = int(header.BitsStored)
    signed = int(_number(header, "PixelRepresentation", 0)) == 1
    return (-(2 ** (bits - 1)) if signed else 0), bits


def _rescaled(
    header: Dataset, stored: np.ndarray, lowest: int, bits: int
) -> tuple[np.ndarray, int]:
    """Stored values, rescaled, shifted so that the lowest possible value is 0."""
    slope = _number(header, "RescaleSlope", 1.0)
    if slope in (0.0, 1.0):  # the intercept is taken away with the lowest value
        return stored - lowest, bits
    scaled = np.rint((stored - lowest) * abs(slope)).astype(np.int32)
    top = int(np.rint((2**bits - 1) * abs(slope)))
    if top > 65535:  # a steeper slope changes nothing but the unit
        scaled, top = stored - lowest, 2**bits - 1
    scaled = top - scaled if slope < 0 else scaled
    return scaled, max(8, top.bit_length())


def _inverse(header: Dataset) -> bool:
    """MONOCHROME1 and PresentationLUTShape INVERSE say the same thing: invert once."""
    inverse = header.get("PresentationLUTShape") == "INVERSE"
    return inverse or header.get("PhotometricInterpretation") == "MONOCHROME1"


def _padding(header: Dataset, stored: np.ndarray) -> np.ndarray:
    value = header.get("PixelPaddingValue")
    if value is None or not isinstance(value, int):
        return np.zeros(stored.shape, bool)
    limit = header.get("PixelPaddingRangeLimit")
    limit = limit if isinstance(limit, int) else value
    return (stored >= min(value, limit)) & (stored <= max(value, limit))


def _laterality(header: Dataset) -> str:
    side = str(header.get("ImageLaterality") or header.get("Laterality") or "").upper()
    return side if side in ("L", "R") else ""


def _spacing(header: Dataset) -> float:
    """mm per px at the breast: detector spacing over magnification, or of the scanned film."""
    pair = header.get("ImagerPixelSpacing") or header.get("NominalScannedPixelSpacing")
    try:
        spacing = float(pair[0]) if pair else float("nan")
    except (TypeError, ValueError, IndexError):
        return float("nan")
    magnification = _number(header, "EstimatedRadiographicMagnificationFactor", 1.0)
    return spacing / magnification if magnification >= 1 else spacing
