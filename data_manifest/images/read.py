"""Reading one image or mask: PGM, PNG, TIFF, JPEG and DICOM, decided by content, not by suffix.

Promises: pixels come as the file holds them (no window, no stretching), 2-D, uint8 or uint16, bright
tissue on dark background; sizes are checked before anything is decoded; whatever is wrong with a
file ends in an InputError of one line.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from data_manifest.images.dicom_header import FILE_KINDS
from data_manifest.images.dicom_pixels import decode
from data_manifest.images.image import DAMAGED, MAX_PIXELS, Image, check_size
from data_manifest.input_files import input_file
from lesionlib.errors import InputError

BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION = 258, 262, 274  # tags of TIFF
MOST_TEXT = 2**27  # bytes
STARTS = {"pgm": (b"P5", b"P2"), "png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
STARTS |= {"tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")}
_DIGIT_OR_BLANK = bytes(
    ord("0" if k in b"0123456789" else " " if k in b" \t\n\v\f\r" else "x") for k in range(256)
)
JPEG_BLACK = range(128)  # its compression leaves faint echoes of the border
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
        more than 45 million pixels, and DICOM files of a kind that is not accepted.
    """
    path = Path(path)
    data = _read_bytes(path)
    kind = _format(data, path)
    if kind == "dicom":
        return decode(data, path, accept, grey)
    if kind == "pgm":
        return Image(*_pgm(data, path))
    return Image(*_grey(_opened(data, path, kind), path))


def read_mask(path: Path | str, value: int | None = None) -> np.ndarray:
    """A mask file as a bool array (rows, cols).

    Parameters
    ----------
    value : the stored grey level, or the number of a palette's colour, that marks the lesion (JPEG:
        within 32 levels, since its compression blurs them); None: all that is not black (JPEG:
        above 127).

    Raises
    ------
    InputError
        As :func:`read_image`; for a value below 64 in a JPEG, or one with other levels of the mask
        near it; an empty mask is no error here.
    """
    return mask_of(*read_mask_levels(path), value)


def read_mask_levels(path: Path | str) -> tuple[np.ndarray, Sequence[int]]:
    """The stored levels of a mask file, and those that are black (of a JPEG 0 to 127)."""
    path = Path(path)
    data = _read_bytes(path)
    kind = _format(data, path)
    if kind == "dicom":
        return decode(data, path, FILE_KINDS).pixels, (0,)
    if kind == "pgm":
        return _pgm(data, path)[0], (0,)
    image = _opened(data, path, kind)
    if kind == "jpeg":
        return _grey(image, path)[0], JPEG_BLACK
    if image.mode == "P":
        colours = np.reshape(image.getpalette("RGB"), (-1, 3)).any(axis=1)
        black = [k for k in np.flatnonzero(~colours).tolist() if image.histogram()[k]]
        return np.asarray(_as_stored(image)), black or (0,)
    levels = _grey(image, path)[0]
    depth = data[24] if kind == "png" else image.tag_v2.get(BITS_PER_SAMPLE, (8,))[0]
    return (levels // (255 // (2**depth - 1)) if depth < 8 else levels), (0,)


def mask_of(levels: np.ndarray, black: Sequence[int], value: int | None) -> np.ndarray:
    """Levels -> bool; see :func:`read_mask`."""
    if value is None:
        return ~np.isin(levels, black)
    if black is not JPEG_BLACK:
        return levels == value
    counts = sum(np.bincount(row, minlength=256) for row in levels)
    distance = np.abs(np.arange(256) - value)
    other = counts[(distance > 16) & (distance <= 64)].max()
    if value < 64 or other > 0.1 * counts[distance <= 16].sum():
        what = f"mask_value {value} is not told from other levels in a JPEG"
        raise InputError(what, "", "Save the mask as PNG")
    return (distance <= 32)[levels]


def is_dicom(start: bytes) -> bool:
    """Whether the first 132 bytes of a file are DICOM's: with its preamble or without."""
    headless = start[:2] in (b"\x08\0", b"\x02\0") and start[3:4] == b"\0"
    return start[128:132] == b"DICM" or headless


# ------------------------------------------------------------------ containers
def _read_bytes(path: Path) -> bytes:
    data = input_file(path).read_bytes()
    if not data:
        raise InputError("empty file, 0 bytes", path, DAMAGED)
    return data


def _format(data: bytes, path: Path) -> str:
    if is_dicom(data):  # first, since its preamble may be a TIFF header
        return "dicom"
    for kind, starts in STARTS.items():
        if data.startswith(starts):
            return kind
    what = "neither PGM, PNG, TIFF, JPEG nor DICOM"
    raise InputError(what, path, "Convert the file to one of them")


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
    if head.group(1) == b"2":
        body = data[head.end() :]
        if len(body) > MOST_TEXT:
            raise InputError(f"PGM text of {len(body) >> 20} MiB", path, "Save it as PNG")
        kinds = body.translate(_DIGIT_OR_BLANK)
        if b"x" in kinds or b"000000" in kinds:
            raise InputError(f"PGM text holds more than numbers 0 to {top}", path, DAMAGED)
        values = np.fromstring(body, np.int32, sep=" ")[: rows * cols]
    else:
        there = (len(data) - head.end()) // kind.itemsize
        values = np.frombuffer(data, kind, min(there, rows * cols), head.end())
    if values.size < rows * cols:
        raise InputError(f"truncated: {values.size} of {rows * cols} px", path, DAMAGED)
    pixels = values.reshape(rows, cols)
    if int(pixels.max()) > top:
        raise InputError(f"levels up to {pixels.max()}, PGM maximum {top}", path, DAMAGED)
    return pixels.astype(kind.newbyteorder("=")), max(8, top.bit_length())


def _opened(data: bytes, path: Path, kind: str) -> Pillow.Image:
    """PNG, JPEG or TIFF through Pillow, as stored: no format's orientation tag turns it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes are checked below, before decoding
            image = Pillow.open(BytesIO(data), formats=[kind.upper()])
            check_size(image.height, image.width, path)
            if getattr(image, "n_frames", 1) > 1:
                raise InputError(f"{image.n_frames} pages", path, "Give one image a file")
            image.getexif()[ORIENTATION] = 1  # Pillow turns TIFF by it, and nothing else
            image.load()
    except Pillow.DecompressionBombError:
        raise InputError(f"more than {MAX_PIXELS:,} px", path, DAMAGED) from None
    except UnidentifiedImageError:
        what = f"{kind.upper()} header not readable, or of an unusual kind"
        raise InputError(what, path, f"{DAMAGED}, as PNG") from None
    except InputError:
        raise
    except Exception as error:  # each of Pillow's decoders raises its own kinds on damaged data
        cause = str(error) or type(error).__name__
        raise InputError(f"damaged or truncated {kind.upper()}: {cause}", path, DAMAGED) from None
    return image


def _as_stored(image: Pillow.Image) -> Pillow.Image:
    """The image in its stored size, where Pillow expected that loading turns it."""
    return image.copy() if image.size != image.im.size else image


def _grey(image: Pillow.Image, path: Path) -> tuple[np.ndarray, int]:
    pixels = np.asarray(_as_stored(image))
    if image.mode == "RGB" and (pixels == pixels[..., :1]).all():  # grey stored as colour
        return np.ascontiguousarray(pixels[..., 0]), 8
    if image.mode not in _GREY_BITS:
        what = f"not a grey image of 8 or 16 bits (mode {image.mode})"
        raise InputError(what, path, "Convert it to grey")
    bits = _GREY_BITS[image.mode]
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.dtype.kind == "i" and (pixels.min() < 0 or pixels.max() > 65535):
        raise InputError(f"levels {pixels.min()} to {pixels.max()}", path, "Give 8 or 16 bits")
    if bits == 16 and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0:
        pixels = 65535 - pixels  # WhiteIsZero: Pillow inverts the other depths only
    return pixels.astype(np.uint8 if bits == 8 else np.uint16), bits
