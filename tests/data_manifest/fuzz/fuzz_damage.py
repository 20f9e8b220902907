"""How files are damaged: at random everywhere, and on purpose where their format keeps its sizes."""

from __future__ import annotations

import json
import pickle
import re
import struct
import zlib
from io import BytesIO

import numpy as np
import pydicom
from fuzz_targets import EXAM
from pydicom.dataelem import DataElement

SIZES = (0, 1, 2, 7, 255, 4096, 7745, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = ("", "nan", "inf", "-1", "0", "1e309", "9" * 400, "NA", "true", '"', "'", ",", ";", "\n",
         "a\0b", "../../etc/passwd", "/", "\u202e", "\ud83e\udd93", "[" * 5000, "[[]]", "(1,2)",
         "L", "MLO", "malignant", "=1+1", "1;2;3", "1 1;1 1;1 1", "-0.0", "%s", "\\")  # fmt: skip


def damage(data: bytes, name: str, rng: np.random.Generator) -> bytes:
    """The file, spoiled once to three times."""
    ways = [*ANYWHERE, *BY_FORMAT.get(_format(data, name), []) * 3]
    for _ in range(int(rng.integers(1, 4))):
        data = ways[int(rng.integers(len(ways)))](data, rng)
    return data


def _format(data: bytes, name: str) -> str:
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[128:132] == b"DICM":
        return "dicom"
    starts = {b"P5": "pgm", b"P2": "pgm", b"II*\0": "tiff", b"\xff\xd8": "jpeg"}
    found = next((kind for start, kind in starts.items() if data.startswith(start)), "")
    return found or name.rsplit(".", 1)[-1]


def _pick(items, rng: np.random.Generator):
    items = list(items)
    return items[int(rng.integers(len(items)))]


# ------------------------------------------------------------------ anywhere
def truncated(data: bytes, rng) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def flipped(data: bytes, rng) -> bytes:
    out = bytearray(data)
    for place in rng.integers(max(1, len(out)), size=int(rng.integers(1, 12))):
        if out:
            out[place] ^= 1 << int(rng.integers(8))
    return bytes(out)


def overwritten(data: bytes, rng) -> bytes:
    """A stretch of noise, or of one value."""
    start, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 64))
    noise = rng.bytes(length) if rng.random() < 0.5 else bytes([_pick((0, 255), rng)]) * length
    return data[:start] + noise[: max(0, len(data) - start)] + data[start + length :]


def cut_out(data: bytes, rng) -> bytes:
    start = int(rng.integers(len(data) + 1))
    return data[:start] + data[start + int(rng.integers(1, 200)) :]


def doubled(data: bytes, rng) -> bytes:
    start = int(rng.integers(len(data) + 1))
    return data[:start] + data[start : start + int(rng.integers(1, 400))] + data[start:]


def forged_number(data: bytes, rng) -> bytes:
    """Two or four bytes anywhere become a size that is 0, at a limit, or huge."""
    form = _pick("<H >H <I >I".split(), rng)
    width = struct.calcsize(form)
    if len(data) < width:
        return data
    place, value = int(rng.integers(len(data) - width + 1)), _pick(SIZES, rng)
    return data[:place] + struct.pack(form, value % 256**width) + data[place + width :]


ANYWHERE = [truncated, flipped, overwritten, cut_out, doubled, forged_number]


# ------------------------------------------------------------------ pictures
def png_chunk(data: bytes, rng) -> bytes:
    """A chunk goes, comes twice, or states another size, depth or colour, its checksum right."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        length = struct.unpack(">I", data[place : place + 4])[0]
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    if not chunks:
        return data
    k = int(rng.integers(len(chunks)))
    kind, body = chunks[k]
    if kind == b"IHDR" and len(body) == 13:
        body = bytearray(body)
        start, form = _pick([(0, ">I"), (4, ">I"), (8, ">B"), (9, ">B"), (12, ">B")], rng)
        value = _pick(SIZES, rng) % 256 ** struct.calcsize(form)
        body[start : start + struct.calcsize(form)] = struct.pack(form, value)
        chunks[k] = (kind, bytes(body))
    else:
        chunks[k : k + 1] = [] if rng.random() < 0.5 else [(kind, body), (kind, body)]
    packed = (struct.pack(">I", len(b)) + t + b + struct.pack(">I", zlib.crc32(t + b))
              for t, b in chunks)  # fmt: skip
    return data[:8] + b"".join(packed)


def pgm_header(data: bytes, rng) -> bytes:
    """One of the three numbers of the header."""
    numbers = list(re.finditer(rb"\d+", data[:40]))[1:4]
    if not numbers:
        return data
    found = _pick(numbers, rng)
    value = _pick([*(b"%d" % n for n in SIZES), b"9" * 30, b"-3", b"", b"1.5"], rng)
    return data[: found.start()] + value + data[found.end() :]


def tiff_entry(data: bytes, rng) -> bytes:
    """One field of one entry of the first directory: its tag, type, count or value."""
    if len(data) < 10:
        return data
    start = struct.unpack("<I", data[4:8])[0]
    if start + 14 > len(data):
        return data
    count = struct.unpack("<H", data[start : start + 2])[0]
    entry = start + 2 + 12 * int(rng.integers(max(1, min(count, 40))))
    offset, form = _pick([(0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<I")], rng)
    width = struct.calcsize(form)
    value = struct.pack(form, _pick(SIZES, rng) % 256**width)
    return data[: entry + offset] + value + data[entry + offset + width :]


def jpeg_segment(data: bytes, rng) -> bytes:
    """The size in the frame's header, or a segment that goes."""
    frame = re.search(rb"\xff[\xc0\xc2]..\x08", data, re.DOTALL)
    if frame and rng.random() < 0.5:
        place = frame.end() + _pick((0, 2), rng)
        return data[:place] + struct.pack(">H", _pick(SIZES, rng) % 65536) + data[place + 2 :]
    marks = [m.start() for m in re.finditer(rb"\xff[\xc0-\xfe]", data)]
    if len(marks) < 2:
        return data
    k = int(rng.integers(len(marks) - 1))
    return data[: marks[k]] + data[marks[k + 1] :]


# ------------------------------------------------------------------ DICOM
FORGED = {
    "Rows": SIZES[:10], "Columns": SIZES[:10], "NumberOfFrames": ("0", "2", "99999999", "-1", "x"),
    "SamplesPerPixel": (0, 3, 65535), "BitsAllocated": (0, 1, 8, 12, 32, 64, 65535),
    "BitsStored": (0, 1, 7, 8, 10, 16, 17, 65535), "HighBit": (0, 7, 15, 65535),
    "PixelRepresentation": (0, 1, 2, 65535), "PlanarConfiguration": (0, 1, 9),
    "PhotometricInterpretation": ("MONOCHROME1", "RGB", "PALETTE COLOR", "YBR_FULL", "", "x"),
    "RescaleSlope": ("0", "-1", "1e300", "nan", "inf", "x", ""),
    "RescaleIntercept": ("-1024", "1e300", "nan", "x"),
    "WindowWidth": ("0", "-5", "nan", "x", ""), "WindowCenter": ("nan", "1e300", "x", ""),
    "PixelPaddingValue": (0, 1, 4095, 65535), "PixelPaddingRangeLimit": (0, 7, 65535),
    "ImagerPixelSpacing": (["0", "0"], ["nan", "1"], ["x"], []),
    "EstimatedRadiographicMagnificationFactor": ("0", "-2", "nan", "x"),
    "ImageLaterality": ("R", "B", "", "x" * 80), "ViewPosition": ("CC", "XCCL", "", "x" * 80),
    "PatientOrientation": (["P", "F"], ["A"], ["F", "A"], ["x", "y"]),
    "PresentationLUTShape": ("INVERSE", "IDENTITY", "x"), "VOILUTFunction": ("SIGMOID", "x"),
    "PresentationIntentType": ("FOR PROCESSING", "x"), "BurnedInAnnotation": ("YES", ""),
    "SOPClassUID": ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.13.1.3", "", "x"),
    "Modality": ("SR", "CT", ""), "PixelData": (b"", b"\0", b"\0" * 999), "ImageType": ("", "x"),
    "BreastImplantPresent": ("YES",), "SeriesInstanceUID": ("", "9.9"), "PatientID": ("", "x"),
}  # fmt: skip
SYNTAX_UIDS = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
               "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50",
               "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
               "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201", "1.2.3", "")  # fmt: skip


def dicom_element(data: bytes, rng) -> bytes:
    """An element goes, or holds another value; or the file claims another transfer syntax.

    Left as it is where pydicom cannot write what has become of it.
    """
    try:
        header = pydicom.dcmread(BytesIO(data), force=True)
        way = rng.random()
        if way < 0.35:
            del header[_pick(sorted(header.keys()), rng)]
        elif way < 0.85:
            name = _pick(FORGED, rng)
            tag, value = pydicom.datadict.tag_for_keyword(name), _pick(FORGED[name], rng)
            kind = "OW" if name == "PixelData" else pydicom.datadict.dictionary_VR(tag)
            kind = "US" if "or" in kind else kind
            header[tag] = DataElement(tag, kind, value, validation_mode=0)
        else:
            header.file_meta.TransferSyntaxUID = _pick(SYNTAX_UIDS, rng)
        out = BytesIO()
        header.save_as(out, enforce_file_format=False)
        return out.getvalue()
    except Exception:  # the header was already damaged
        return flipped(data, rng)


# ------------------------------------------------------------------ text
def _text(change):
    def changed(data: bytes, rng) -> bytes:
        text = data.decode("utf-8", "surrogateescape")
        return change(text, rng).encode("utf-8", "surrogatepass")

    return changed


def other_word(text: str, rng) -> str:
    words = list(re.finditer(r"[^,;\s<>\"'\[\](){}:]+", text))
    if not words:
        return text
    found = _pick(words, rng)
    return text[: found.start()] + _pick(WORDS, rng) + text[found.end() :]


def line_gone(text: str, rng) -> str:
    lines = text.split("\n")
    k = int(rng.integers(len(lines)))
    return "\n".join(lines[:k] + lines[k + 1 :] if rng.random() < 0.6 else lines + [lines[k]])


def column_gone(text: str, rng) -> str:
    sep = ";" if text.count(";") > text.count(",") else ","
    lines = [line.split(sep) for line in text.split("\n")]
    k = int(rng.integers(max(map(len, lines))))
    return "\n".join(sep.join(cells[:k] + cells[k + 1 :]) for cells in lines)


def tag_gone(text: str, rng) -> str:
    tags = list(re.finditer(r"<[^>]*>|[\[\]{}]", text))
    if not tags:
        return text
    found = _pick(tags, rng)
    kept = found.group() * _pick((0, 0, 2, 3000), rng)
    return text[: found.start()] + kept + text[found.end() :]


def entity(text: str, rng) -> str:
    """A text that grows without end where entities are obeyed."""
    doctype = '<!DOCTYPE plist [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    return re.sub(r"<!DOCTYPE[^>]*>", doctype, text).replace("Mass", "&b;")


def other_encoding(data: bytes, rng) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(_pick(("utf-16", "utf-32", "utf-8-sig"), rng), "replace")


# ------------------------------------------------------------------ values
def other_value(value, rng):
    """`value` with one node, at any depth, replaced, left out or doubled."""
    if rng.random() < 0.3 or not isinstance(value, dict | list) or not value:
        odd = [None, True, -1, 2**70, 1e308, "", "../x", [], {}, [[[]]], [value], {"a": value}]
        return _pick([*odd, "x" * 5000, *WORDS[:10]], rng)
    if isinstance(value, list):
        k = int(rng.integers(len(value)))
        new = [other_value(value[k], rng)] if rng.random() < 0.8 else [value[k]] * 2
        return value[:k] + new + value[k + 1 :]
    key = _pick(value, rng)
    if rng.random() < 0.2:
        return {k: v for k, v in value.items() if k != key}
    return value | {key: other_value(value[key], rng)}


def json_value(data: bytes, rng) -> bytes:
    try:
        return json.dumps(other_value(json.loads(data), rng)).encode()
    except (ValueError, RecursionError):
        return flipped(data, rng)


CALL = b"cbuiltins\nexec\n(S'raise SystemExit(7)'\ntR."  # a reader that runs it is found out


def pickle_value(data: bytes, rng) -> bytes:
    """Another value, or instructions that call a function, claim a length, or a place."""
    if rng.random() < 0.5:
        return pickle.dumps(other_value([EXAM, EXAM | {"L-CC": ["c"]}], rng), int(rng.integers(6)))
    forged = [CALL, CALL, b"\x80\x04\x8c\x08builtins\x94\x8c\x04exit\x93)R.",
              b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little"), b"r\xff\xff\xff\x7f",
              b"\x8a\xff", b"T\xff\xff\xff\x7f", b"B\xff\xff\xff\xff", b"\x95" + b"\xff" * 8,
              b"(" * 300, b"0" * 9, b"Q", b"\x82\x01", b"b", b"R", b"h\xfe", b"2" * 50]  # fmt: skip
    place = _pick((0, 2, int(rng.integers(len(data) + 1))), rng)
    return data[:place] + _pick(forged, rng) + data[place:]


TEXT = [_text(other_word), _text(other_word), _text(line_gone), other_encoding]
BY_FORMAT = {
    "png": [png_chunk], "pgm": [pgm_header], "tiff": [tiff_entry], "jpeg": [jpeg_segment],
    "dicom": [dicom_element], "csv": [*TEXT, _text(column_gone)], "txt": TEXT,
    "xml": [*TEXT, _text(tag_gone), _text(entity)], "json": [*TEXT, _text(tag_gone), json_value],
    "pkl": [pickle_value],
}  # fmt: skip
