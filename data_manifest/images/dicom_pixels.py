"""DICOM pixels: stored values to grey levels, in the order of the standard (PS3.3, C.11 and C.7.6).

Every step but the last works on a table of all possible stored values, not on the image:
modality (LUT or slope and intercept) -> VOI (LUT or window), if asked -> inversion -> padding.
Sizes are checked before anything is decoded: those of the header, of uncompressed data, and those
that a compressed stream states itself.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_manifest.images.dicom_header import (
    REMEDIES,
    VIEW_KINDS,
    ImageHeader,
    check_accept,
    header_of,
    number,
    one_line_errors,
    parse,
    text,
    words,
)
from data_manifest.images.image import DAMAGED, Image
from data_manifest.images.own_process import in_own_process
from lesionlib.errors import InputError

if TYPE_CHECKING:  # slow to import, and most runs read no DICOM
    from pydicom.dataset import Dataset

PIXEL_TAGS = """PixelData ModalityLUTSequence RescaleSlope RescaleIntercept VOILUTSequence
    WindowCenter WindowWidth VOILUTFunction PixelPaddingValue PixelPaddingRangeLimit""".split()
GREYS = ("raw", "voi")
DEAD = 0.02  # % of the pixels, the darkest, that may be dead ones
HEADER_FACTS = ("spacing_mm", "laterality", "view", "chest_wall")
FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}  # JPEG's SOF, and JPEG-LS's


def decode(data: bytes, path: Path, accept: tuple[str, ...] = (), grey: str = "raw") -> Image:
    """The image in the bytes of a DICOM file.

    Parameters
    ----------
    accept : kinds of file that are refused unless named, see ``dicom_header.FILE_KINDS``.
    grey : "raw": rescaled stored values, the full range, as the networks of Shen et al. 2021 were
        trained; "voi": the first VOI LUT or else the first window of the header is applied, too.

    Raises
    ------
    InputError
        For a damaged file, no pixels, colour, several frames, tomosynthesis, a size that is too
        large or not that of the data, a file of a kind not accepted, a VOI window without width,
        or a codec that is not installed.
    """
    if grey not in GREYS:
        raise InputError(f"grey = '{grey}'", "canvas.grey", "Write 'raw' or 'voi'")
    check_accept(accept)
    with one_line_errors(path):
        stated = parse(BytesIO(data), path, PIXEL_TAGS)
        header = header_of(stated, path)
        _refuse(stated, header, path, accept)
        pixels, bits, applied = _pixels(stated, header, path, grey)
    facts = {name: getattr(header, name) for name in HEADER_FACTS}
    return Image(pixels, bits, oriented=True, grey=applied, **facts)


def _refuse(stated: Dataset, header: ImageHeader, path: Path, accept: tuple[str, ...]) -> None:
    """What the table of images names is its author's choice, so kinds of view are not refused."""
    for kind, why in header.refusals.items():
        if kind not in (*accept, *VIEW_KINDS):
            raise InputError(why, path, REMEDIES[kind])
    if "PixelData" not in stated:
        raise InputError("DICOM without pixels", path, REMEDIES["pixels"])
    _check_length(stated, header, path)


def _check_length(stated: Dataset, header: ImageHeader, path: Path) -> None:
    """InputError where the data do not hold the pixels of the header.

    Writers pad uncompressed data, but not by a row or more: then the header's size is wrong.
    """
    from pydicom.encaps import generate_frames
    from pydicom.uid import RLELossless

    size = (header.rows, header.cols)
    syntax = stated.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        row, there = size[1] * stated.BitsAllocated // 8, len(stated.PixelData)
        need = size[0] * row
        if not need <= there < need + max(row, 2):
            raise InputError(f"{there} bytes of pixels, the header says {need}", path, DAMAGED)
    elif syntax != RLELossless:
        found = _stream_size(next(generate_frames(stated.PixelData, number_of_frames=1)))
        if found != size:
            what = f"{found[0]} rows x {found[1]} cols in the compressed data"
            raise InputError(f"{what}, the header says {size[0]} x {size[1]}", path, DAMAGED)


def _stream_size(stream: bytes) -> tuple[int, int]:
    """rows, cols that a JPEG, JPEG-LS or JPEG 2000 stream states itself; 0, 0 if it does not."""
    at = stream.find(b"\xff\x4f\xff\x51", 0, 1024)  # JPEG 2000: start of codestream, size
    if at >= 0:
        right, lower, left, upper = struct.unpack(">4I", stream[at + 8 : at + 24])
        return lower - upper, right - left
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        if stream[at + 1] in FRAME_MARKERS:
            return struct.unpack(">HH", stream[at + 5 : at + 9])
        filler = stream[at + 1] == 0xFF
        at += 1 if filler else 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return 0, 0


# ------------------------------------------------------------------ grey levels
def _pixels(
    stated: Dataset, header: ImageHeader, path: Path, grey: str
) -> tuple[np.ndarray, int, str]:
    """uint8 or uint16 (rows, cols), the bits of their scale, and what was applied."""
    signed = number(stated, "PixelRepresentation") == 1
    lowest = -(2 ** (header.bits - 1)) if signed else 0
    stored = _stored(stated, path)
    if stored.shape != (header.rows, header.cols):
        raise InputError(f"decoded to {stored.ndim} dimensions or another size", path, DAMAGED)
    stored = _in_range(stored, header.bits, signed)
    table, bits, applied = _table(stated, header.bits, lowest, path, grey)
    table = 2**bits - 1 - table if header.inverse else table
    pixels = table.astype(np.uint8 if bits <= 8 else np.uint16)[stored]
    padding = _padding(stated, stored, lowest)
    if signed and applied in ("raw", "voi none") and not padding.all():
        # the lowest possible value is rarely the background, nor is that of a few dead pixels
        low = int(np.percentile(pixels[~padding], DEAD, method="lower"))
        pixels = np.maximum(pixels, low) - low
    pixels[padding] = 0
    return pixels, max(8, bits), applied


def _in_range(stored: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """uint16, stored values above the lowest possible one.

    The bits above BitsStored are no part of a value: old writers keep overlays there.  Where all of
    them are a sign, a signed value can be below the range, and takes its lowest.
    """
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    unsigned = stored.view(f"u{stored.itemsize}")
    if signed:
        lowest = 2 ** (bits - 1)
        spare = stored.view(f"i{stored.itemsize}") >> bits
        if spare.min() == -1 and spare.max() <= 0 and 8 * stored.itemsize > bits + 1:
            stored = np.maximum(stored, -lowest)
            unsigned = stored.view(unsigned.dtype)
        unsigned = unsigned + unsigned.dtype.type(lowest)
    return (unsigned & (2**bits - 1)).astype(np.uint16, copy=False)


def _stored(stated: Dataset, path: Path) -> np.ndarray:
    """The stored values, (rows, cols) if the file is as its header says.

    GDCM ends the whole process on damaged JPEG 2000 and, in 3 of 800 damaged files, JPEG Lossless:
    it is left to what nothing else decodes, and has a process of its own.  Of JPEG 2000, Pillow is
    slower and needs more memory than pylibjpeg, and comes last.
    """
    from pydicom.pixels import get_decoder

    plugins = get_decoder(stated.file_meta.TransferSyntaxUID).available_plugins
    if plugins == ("gdcm",):
        try:
            return in_own_process(_decoded, stated, "gdcm")
        except ChildProcessError:
            raise InputError("the compressed data end their decoder", path, DAMAGED) from None
    plugins = [name for name in plugins if name != "gdcm"]
    *others, last = sorted(plugins, key="pillow".__eq__) or [""]
    for plugin in others:
        with suppress(Exception):  # each decoder raises its own kinds; the last one's are reported
            return _decoded(stated, plugin)
    return _decoded(stated, last)


def _decoded(stated: Dataset, plugin: str) -> np.ndarray:
    stated.pixel_array_options(decoding_plugin=plugin, correct_unused_bits=False)
    return stated.pixel_array


def _table(
    stated: Dataset, bits: int, lowest: int, path: Path, grey: str
) -> tuple[np.ndarray, int, str]:
    """Grey level of each stored value lowest, lowest + 1, ...; its bits; what was applied."""
    stored = np.arange(2**bits) + lowest
    little_endian = stated.file_meta.TransferSyntaxUID.is_little_endian
    modality = stated.get("ModalityLUTSequence")
    if modality:
        values, out_bits = _looked_up(modality[0], stored, little_endian)
    else:
        values = stored * number(stated, "RescaleSlope", 1) + number(stated, "RescaleIntercept")
        out_bits = bits
    voi = stated.get("VOILUTSequence")
    if grey == "voi" and voi:
        return *_looked_up(voi[0], np.rint(values).astype(np.int64), little_endian), "voi lut"
    if grey == "voi" and ("WindowCenter" in stated or "WindowWidth" in stated):
        shares, function = _windowed(stated, values, path)
        return np.rint(shares * (2**out_bits - 1)).astype(np.int32), out_bits, f"voi {function}"
    applied = "raw" if grey == "raw" else "voi none"
    if modality:
        return values, out_bits, applied
    return *_rescaled(stored - lowest, number(stated, "RescaleSlope", 1), bits), applied


def _looked_up(item: Dataset, values: np.ndarray, little_endian: bool) -> tuple[np.ndarray, int]:
    """Values through the table of a modality or VOI LUT item, and the bits of its entries.

    Values before its first or behind its last entry take that entry.
    """
    count, first, bits = (int(v) % 2**16 for v in item.LUTDescriptor)
    count = count or 2**16
    if first >= 2**15 and values[0] < 0:  # a negative number, read as unsigned
        first -= 2**16
    content = item.LUTData
    if isinstance(content, bytes):  # of 16-bit words
        content = np.frombuffer(content, "<u2" if little_endian else ">u2")
        if len(content) < count:  # each of two entries
            content = content.astype("<u2").view(np.uint8)
    entries = np.atleast_1d(np.asarray(content, dtype=np.int32))[:count] & 0xFFFF
    if not 8 <= bits <= 16 or len(entries) < count:
        raise ValueError("damaged LUT")
    if entries.max() >= 2**bits:
        raise InputError(f"LUT of {bits} bits with entries up to {entries.max()}", "", _NO_VOI)
    return entries[np.clip(values - first, 0, count - 1)], bits


def _windowed(stated: Dataset, values: np.ndarray, path: Path) -> tuple[np.ndarray, str]:
    """Values through the first window, 0 to 1, and the function's name (PS3.3, C.11.2.1)."""
    function = text(stated, "VOILUTFunction") or "LINEAR"
    names = ("WindowCenter", "WindowWidth")
    centre, width = (float((words(stated, name) or ["nan"])[0]) for name in names)
    if not np.isfinite([centre, width]).all():
        raise InputError("VOI window without centre or width", path, _NO_VOI)
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise InputError("VOI function that the standard does not know", path, _NO_VOI)
    if not (width >= 1 if function == "LINEAR" else width > 0):
        raise InputError(f"VOI window of width {width:g}", path, _NO_VOI)
    if function == "SIGMOID":
        slope = np.clip(-4 * (values - centre) / width, -700, 700)
        return 1 / (1 + np.exp(slope)), "sigmoid"
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64), "linear"
    return np.clip((values - centre) / width + 0.5, 0, 1), function.lower()


_NO_VOI = "Read it with canvas.grey: raw, or correct the header"


def _rescaled(above: np.ndarray, slope: float, bits: int) -> tuple[np.ndarray, int]:
    """Stored values above the lowest one, rescaled so that the lowest result is 0.

    The intercept is thereby taken away.  A slope that leaves 16 bits changes nothing but the unit.
    """
    top = 2**bits - 1
    if abs(slope) not in (0.0, 1.0) and np.rint(top * abs(slope)) <= 65535:
        above = np.rint(above * abs(slope)).astype(np.int32)
        top = int(above[-1])
        bits = max(8, top.bit_length())
    return (top - above if slope < 0 else above).astype(np.int32), bits


def _padding(stated: Dataset, stored: np.ndarray, lowest: int) -> np.ndarray:
    """Where the image is padding: one stored value, or all from it to the range's limit."""
    value = stated.get("PixelPaddingValue")
    if not isinstance(value, int):
        return np.zeros(stored.shape, bool)
    limit = stated.get("PixelPaddingRangeLimit")
    places = [_place(v, lowest) for v in (value, limit if isinstance(limit, int) else value)]
    return (stored >= min(places)) & (stored <= max(places))


def _place(value: int, lowest: int) -> int:
    """A stored value above the lowest one, whether it was read with its sign or without."""
    value %= 2**16
    value -= 2**16 if lowest and value >= 2**15 else 0
    return max(value - lowest, 0)
