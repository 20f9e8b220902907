"""Reading one image or mask: PGM, PNG, TIFF, JPEG and DICOM, decided by content, not by suffix.

Promises: pixels come as the file holds them (no window, no stretching), 2-D, uint8 or uint16, bright
tissue on dark background; sizes are checked before anything is decoded; whatever is wrong with a
file ends in an InputError of one line.
"""

from __future__ import annotations

import re
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from data_manifest.images.dicom_header import FILE_KINDS
from data_manifest.images.dicom_pixels import decode
from data_manifest.images.image import DAMAGED, MAX_PIXELS, Image, check_size
from lesionlib.errors import InputError

_GREY_BITS = {"1": 8, "L": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 16}


def read_image(path: Path | str, *, accept: tuple[str, ...] = (), grey: str = "raw") -> Image:
    """A mammogram from a PGM, PNG, TIFF, JPEG or DICOM file.

    Parameters
    ----------
    accept, grey : of DICOM files, see :func:`data_manifest.images.dicom_pixels.decode`; other files
        have neither kinds nor windows.

    Raises
    ------
    InputError
        For a missing, empty, damaged or truncated file, an unknown format, colour, several frames,
        more than 60 million pixels, and DICOM files of a kind that is not accepted.
    """
    path = Path(path)
    data = _read_bytes(path)
    kind = _format(data, path)
    if kind == "dicom":
        return decode(data, path, accept, grey)
    return Image(*(_pgm(data, path) if kind == "pgm" else _raster(data, path, kind)))


def read_mask(path: Path | str, value: int | None = None) -> np.ndarray:
    """A mask file as a bool array (rows, cols).

    Parameters
    ----------
    value : the grey level that marks the lesion; None: every level above 0 (JPEG: above 127, since
        its compression leaves faint echoes of the border).

    Raises
    ------
    InputError
        As :func:`read_image`; an empty mask is no error here.
    """
    levels, lossy = read_mask_levels(path)
    return mask_of(levels, lossy, value)


def read_mask_levels(path: Path | str) -> tuple[np.ndarray, bool]:
    """The grey levels of a mask file and whether its compression is lossy (JPEG)."""
    path = Path(path)
    data = _read_bytes(path)
    kind = _format(data, path)
    if kind == "dicom":
        return decode(data, path, FILE_KINDS).pixels, False
    if kind == "pgm":
        return _pgm(data, path)[0], False
    return _raster(data, path, kind, palette=True)[0], kind == "jpeg"


def mask_of(levels: np.ndarray, lossy: bool, value: int | None) -> np.ndarray:
    """Grey levels -> bool; see :func:`read_mask`."""
    if value is not None:
        return levels == value
    return levels > (127 if lossy else 0)


def is_dicom(start: bytes) -> bool:
    """Whether the first 132 bytes of a file are DICOM's: with its preamble or without."""
    headless = start[:2] in (b"\x08\0", b"\x02\0") and start[3:4] == b"\0"
    return start[128:132] == b"DICM" or headless


# ------------------------------------------------------------------ containers
def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError("no such file", path, "Check the path, or complete the data") from None
    except OSError as error:
        raise InputError(f"not readable: {error.strerror}", path, "Check the file") from None
    if not data:
        raise InputError("empty file, 0 bytes", path, DAMAGED)
    return data


def _format(data: bytes, path: Path) -> str:
    if is_dicom(data):  # first, since its preamble may be a TIFF header
        return "dicom"
    if data[:2] in (b"P5", b"P2"):
        return "pgm"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    raise InputError(
        "neither PGM, PNG, TIFF, JPEG nor DICOM", path, "Convert the file to one of them"
    )


def _pgm(data: bytes, path: Path) -> tuple[np.ndarray, int]:
    """Netpbm grey, binary (P5) or text (P2).  (Pillow would stretch levels below 8 or 16 bits.)"""
    head = re.match(rb"P([25])" + rb"(?:\s+(?:#[^\n]*\n\s*)*(\d+))" * 3 + rb"\s", data)
    if head is None:
        raise InputError("PGM header not readable", path, DAMAGED)
    cols, rows, top = (int(v) for v in head.groups()[1:])
    check_size(rows, cols, path)
    if not 1 <= top <= 65535:
        raise InputError(f"PGM maximum {top}, allowed 1 to 65535", path, DAMAGED)
    kind = np.dtype(np.uint8 if top < 256 else ">u2")
    body = data[head.end() :]
    if head.group(1) == b"2":
        words = body.split()[: rows * cols]
        if not all(word.isdigit() and len(word) <= 5 and int(word) <= top for word in words):
            raise InputError(f"PGM text holds more than numbers 0 to {top}", path, DAMAGED)
        values = np.array(words, dtype=np.int64).astype(kind)
    else:
        values = np.frombuffer(body[: len(body) // kind.itemsize * kind.itemsize], kind)
    if values.size < rows * cols:
        raise InputError(f"truncated: {values.size} of {rows * cols} px", path, DAMAGED)
    pixels = values[: rows * cols].reshape(rows, cols).astype(kind.newbyteorder("="))
    if int(pixels.max()) > top:
        raise InputError(f"levels up to {pixels.max()}, PGM maximum {top}", path, DAMAGED)
    return pixels, max(8, top.bit_length())


def _raster(data: bytes, path: Path, kind: str, *, palette: bool = False) -> tuple[np.ndarray, int]:
    """PNG, JPEG or TIFF through Pillow; `palette`: take palette indices (masks)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes are checked below, before decoding
            image = Pillow.open(BytesIO(data), formats=[kind.upper()])
            check_size(image.height, image.width, path)
            if getattr(image, "n_frames", 1) > 1:
                raise InputError(f"{image.n_frames} pages", path, "Give one image a file")
            image.load()
    except Pillow.DecompressionBombError:
        raise InputError(f"more than {MAX_PIXELS:,} px", path, DAMAGED) from None
    except UnidentifiedImageError:
        raise InputError(f"{kind.upper()} header not readable", path, DAMAGED) from None
    except InputError:
        raise
    except Exception as error:  # each of Pillow's decoders raises its own kinds on damaged data
        cause = str(error) or type(error).__name__
        raise InputError(f"damaged or truncated {kind.upper()}: {cause}", path, DAMAGED) from None
    return _grey(image, path, palette)


def _grey(image: Pillow.Image, path: Path, palette: bool) -> tuple[np.ndarray, int]:
    if image.mode == "RGB":
        channels = np.asarray(image)
        if (channels == channels[..., :1]).all():  # grey stored as colour
            return np.ascontiguousarray(channels[..., 0]), 8
    elif image.mode in _GREY_BITS or (palette and image.mode == "P"):
        pixels = np.asarray(image)
        bits = _GREY_BITS.get(image.mode, 8)
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * 255
        if pixels.dtype.kind == "i" and (pixels.min() < 0 or pixels.max() > 65535):
            raise InputError(f"levels {pixels.min()} to {pixels.max()}", path, "Give 8 or 16 bits")
        return pixels.astype(np.uint8 if bits == 8 else np.uint16), bits
    raise InputError(
        f"not a grey image of 8 or 16 bits (mode {image.mode})", path, "Convert it to grey"
    )
