"""The header of a DICOM mammogram: what it shows, how it is oriented, and whether it may be used.

Only the elements of an allow-list are read, so nothing about the patient reaches a manifest, a log
or an error: values are passed on as numbers or as words of this module.  Identifiers leave it only
as salted hashes, and are not even read where no salt is given.
"""

from __future__ import annotations

import hmac
import logging
import math
import re
import warnings
from collections.abc import MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from data_manifest.ids import plain_id
from data_manifest.images.image import DAMAGED, MAX_PIXELS
from data_manifest.input_files import input_file
from lesionlib.errors import InputError, nearest

if TYPE_CHECKING:  # slow to import, and most runs read no DICOM
    from pydicom.dataset import Dataset

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame kinds below it
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1."  # slices, and the projections they are made of
RAW = ("1.2.840.10008.5.1.4.1.1.1.2.1", "1.2.840.10008.5.1.4.1.1.1.1.1")  # MG and DX for processing
DEFLATED = b"1.2.840.10008.1.2.1.99"
SPACING_MM = (0.02, 0.3)  # what a mammogram can have
SQUARE = 1.01  # ratio of the sides of a pixel, from rounding
MAGNIFIED = 1.2  # contact views are stated with up to about 1.1

HEADER_TAGS = """SOPClassUID Modality ImageType ConversionType PresentationIntentType Rows Columns
    NumberOfFrames SamplesPerPixel BitsAllocated BitsStored HighBit PixelRepresentation
    PhotometricInterpretation PresentationLUTShape BurnedInAnnotation BreastImplantPresent
    ImageLaterality Laterality PatientOrientation ViewPosition ViewCodeSequence
    ViewModifierCodeSequence ImagerPixelSpacing PixelSpacing PixelSpacingCalibrationType
    NominalScannedPixelSpacing EstimatedRadiographicMagnificationFactor SeriesNumber
    InstanceNumber""".split()
ID_TAGS = {"patient": "PatientID", "exam": "StudyInstanceUID", "series": "SeriesInstanceUID"}
ID_TAGS |= {"instance": "SOPInstanceUID"}

PLAIN_VIEWS = ("CC", "MLO")
SIDES = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
# codes of SNOMED CT and of its predecessor SNOMED RT (DICOM PS3.16, CID 4014 and 4015)
VIEW_CODES = {
    "399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO",
    "399260004": "ML", "R-10224": "ML", "399352003": "LM", "R-10228": "LM",
    "399099002": "LMO", "R-10230": "LMO", "399192008": "XCCL", "R-1024A": "XCCL",
    "399101009": "XCCM", "R-1024B": "XCCM", "399196006": "FB", "R-10244": "FB",
}  # fmt: skip
MODIFIER_CODES = {
    "399055006": "spot", "R-102D7": "spot", "399163009": "magnification",
    "R-102D6": "magnification", "399209000": "implant", "R-102D5": "implant",
}  # fmt: skip

# Reasons to refuse a file; these give way to `accept`, the further ones of REMEDIES never do.
FILE_KINDS = ("for_processing", "secondary_capture", "burned_in", "orientation", "laterality")
VIEW_KINDS = ("modality", "view", "spot", "magnification", "implant", "modifier")
REMEDIES = {
    "pixels": "Leave the file out, or export it again",
    "frames": "Give 2-D mammograms",
    "colour": "Give grey mammograms",
    "size": DAMAGED,
    "bits": DAMAGED,
    "for_processing": "Give the image FOR PRESENTATION, or accept 'for_processing'",
    "secondary_capture": "Give the original image; of a scanned film write source film, or accept "
    "'secondary_capture'",
    "burned_in": "Leave the image out, or accept 'burned_in'",
    "orientation": "Turn the image, or accept 'orientation'",
    "laterality": "Correct the header, or accept 'laterality': ImageLaterality holds then",
}


@dataclass(frozen=True)
class ImageHeader:
    """What the header of one file says.

    Attributes
    ----------
    rows, cols, frames : 0 rows where the file holds no image.  bits : BitsStored.
    inverse : low stored values are bright (MONOCHROME1, or an inverse presentation shape).
    laterality : "L", "R", or "" where neither the header nor the file name says.
    view : "CC", "MLO", "other", or "" where the header does not say.
    chest_wall : "left" or "right" edge of the pixels, from the patient's orientation; "" if absent.
    spacing_mm : mm per px at the breast; nan where the header does not say.
    source : "film", "ffdm" or "synth2d".
    number : series and instance number; in a series of reprocessed images the last has the highest.
    refusals : kind -> reason, for each kind of `REMEDIES` and `VIEW_KINDS` that holds.
    patient, exam, series, instance : salted hashes of 16 hex digits; "" where absent or no salt.
    plain_patient : that of the patient's plain id, see :func:`data_manifest.ids.plain_id`.
    """

    rows: int
    cols: int
    frames: int
    bits: int
    inverse: bool
    laterality: str
    view: str
    chest_wall: str
    spacing_mm: float
    source: str
    number: tuple[int, int]
    refusals: dict[str, str] = field(default_factory=dict)
    patient: str = ""
    plain_patient: str = ""
    exam: str = ""
    series: str = ""
    instance: str = ""

    def refusal(self, accept: tuple[str, ...] = ()) -> str | None:
        """The first reason not to use the image that `accept` does not waive; None: use it."""
        return next((why for kind, why in self.refusals.items() if kind not in accept), None)

    @property
    def for_processing(self) -> bool:
        return "for_processing" in self.refusals


def read_header(path: Path | str, salt: str = "") -> ImageHeader:
    """The header of a DICOM file, with or without preamble; its pixels are not read.

    Parameters
    ----------
    salt : secret text for the hashes of identifiers; without it they stay empty.

    Raises
    ------
    InputError
        For a missing or damaged file.
    """
    path = input_file(path)
    with one_line_errors(path), open(path, "rb") as file:
        return header_of(parse(file, path, identify=bool(salt)), path, salt)


def hashed(identifier: str, salt: str) -> str:
    """16 hex digits that stand for an identifier; without the salt nobody can find it."""
    text = str(identifier or "").strip()
    return hmac.digest(salt.encode(), text.encode(), "sha256").hex()[:16] if text and salt else ""


def check_accept(accept: tuple[str, ...]) -> None:
    """InputError for a word that waives nothing."""
    known = (*FILE_KINDS, *VIEW_KINDS, "filled")
    for word in accept:
        if word not in known:
            raise InputError(f"accept = '{word}' is not known", "accept", nearest(word, known))


# ------------------------------------------------------------------ reading
@contextmanager
def one_line_errors(path: Path):
    """Whatever pydicom or a decoder raises becomes an InputError; what they warn of or log is kept
    back, since it may quote the header."""
    log, before = logging.getLogger("pydicom"), logging.getLogger("pydicom").disabled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.disabled = True
        try:
            yield
        except (InputError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # decoders raise their own kinds, even panics of Rust
            cause = f"DICOM not readable: {type(error).__name__}"
            raise InputError(cause, path, DAMAGED + ", or install the codec") from None
        finally:
            log.disabled = before


def parse(
    file: BinaryIO, path: Path, more: tuple[str, ...] = (), *, identify: bool = False
) -> Dataset:
    """The allowed elements, up to the pixels; `more` names further ones, PixelData among them."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    start = file.read(2048)
    file.seek(0)
    if DEFLATED in start:  # would be inflated as a whole before its size is known
        raise InputError("deflated DICOM", path, "Export it uncompressed or as JPEG 2000")
    tags = [*HEADER_TAGS, *more, *(ID_TAGS.values() if identify else ())]
    pixels = "PixelData" in more
    header = pydicom.dcmread(file, force=True, specific_tags=tags, stop_before_pixels=not pixels)
    if "TransferSyntaxUID" not in header.file_meta:  # exported without its preamble
        implicit, _ = header.original_encoding
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        header.file_meta.TransferSyntaxUID = syntax
    return header


def header_of(data: Dataset, path: Path, salt: str = "") -> ImageHeader:
    """The facts of a parsed header; see :func:`read_header`."""
    views = [view for _, view in _views(data)]
    view = next((view for view in views if view != "unknown"), "unknown" if views else "")
    found = {
        "rows": int(number(data, "Rows")),
        "cols": int(number(data, "Columns")),
        "frames": max(1, int(number(data, "NumberOfFrames", 1))),
        "bits": int(number(data, "BitsStored")),
        # both say the same thing: together they still invert once
        "inverse": text(data, "PhotometricInterpretation") == "MONOCHROME1"
        or text(data, "PresentationLUTShape") == "INVERSE",
        "laterality": _laterality(data, path),
        "view": view if view in (*PLAIN_VIEWS, "") else "other",
        "chest_wall": {"A": "left", "P": "right"}.get(_orientation(data)[0], ""),
        "spacing_mm": _spacing(data),
        "source": _source(data),
        "number": (int(number(data, "SeriesNumber")), int(number(data, "InstanceNumber"))),
    }
    ids = {name: hashed(data.get(tag), salt) for name, tag in ID_TAGS.items()}
    ids["plain_patient"] = hashed(plain_id(data.get("PatientID") or ""), salt)
    return ImageHeader(**found, **ids, refusals=_refusals(data, found, view))


# ------------------------------------------------------------------ single elements
def number(data: Dataset, name: str, default: float = 0) -> float:
    """An element as a number; `default` where it is absent, empty or no number."""
    value = data.get(name)
    try:
        found = default if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return default
    return found if math.isfinite(found) else default


def text(data: Dataset, name: str) -> str:
    """An element as upper-case text; "" where it is absent."""
    return str(data.get(name) or "").strip().upper()


def words(data: Dataset, name: str) -> list[str]:
    """A multi-valued element as upper-case texts; [] where it is absent."""
    value = data.get(name)
    values = value if isinstance(value, MutableSequence) else [] if value is None else [value]
    return [str(v).strip().upper() for v in values]


def _laterality(data: Dataset, path: Path) -> str:
    for side in (*_header_sides(data), SIDES.get(text(data, "Laterality"))):
        if side:
            return side
    parts = re.findall(r"(?<![A-Z])(LEFT|RIGHT|[LR](?:CC|MLO)?)(?![A-Z])", path.stem.upper())
    sides = {part[0] for part in parts}
    return sides.pop() if len(sides) == 1 else ""


def _header_sides(data: Dataset) -> list[str]:
    """Sides that the image itself states: its laterality, and in its view, as RMLO."""
    stated = SIDES.get(text(data, "ImageLaterality")), _view_position(data)[0]
    return [side for side in stated if side]


def _orientation(data: Dataset) -> tuple[str, str]:
    """First letters of the directions in which columns and rows grow: A, P, L, R, H, F."""
    found = [word[:1] for word in words(data, "PatientOrientation")]
    return (found[0], found[1]) if len(found) == 2 else ("", "")


def _view_position(data: Dataset) -> tuple[str, str]:
    """Side and view of ViewPosition, where both may be written, as RMLO or LEFT CC; "" if absent."""
    stated = re.sub(r"[\s_-]", "", text(data, "ViewPosition"))
    for side in ("", *sorted(SIDES, key=len, reverse=True)):
        if stated.startswith(side) and stated[len(side) :] in VIEW_CODES.values():
            return SIDES.get(side, ""), stated[len(side) :]
    return "", "unknown" if stated else ""


def _views(data: Dataset) -> list[tuple[str, str]]:
    """Where a view is stated, and which: CC, MLO, ML, ..., "unknown" for what is not listed."""
    codes = [text(item, "CodeValue") for item in data.get("ViewCodeSequence") or []]
    coded = VIEW_CODES.get(codes[0], "unknown") if codes else ""
    stated = ("ViewPosition", _view_position(data)[1]), ("ViewCodeSequence", coded)
    return [(place, view) for place, view in stated if view]


def _view_fault(data: Dataset, view: str) -> str:
    """Why the view is not one of the two; "" if it is."""
    known = [(place, own) for place, own in _views(data) if own != "unknown"]
    if len({own for _, own in known}) > 1:
        return " and ".join(f"view {own} in {place}" for place, own in known)
    return "" if view in PLAIN_VIEWS else f"view {view or 'not stated'}, not CC or MLO"


def _turned(data: Dataset, side: str, view: str) -> str:
    """How the patient's orientation says that the image is turned; "" for not.

    Upside down: rows that grow towards the head, or in a CC view towards the breast's own, outer
    side.  On its side: columns that grow neither forwards nor backwards.
    """
    along, down = _orientation(data)
    if along in ("L", "R", "H", "F"):
        return "turned by 90 degrees"
    return "upside down" * (down == "H" or (view == "CC" and bool(side) and down == side))


def _modifiers(data: Dataset) -> list[str]:
    """Kinds of the view's modifiers, which are inside the item of the view or next to it."""
    places = [data, *(data.get("ViewCodeSequence") or [])]
    items = [item for place in places for item in place.get("ViewModifierCodeSequence") or []]
    return [MODIFIER_CODES.get(text(item, "CodeValue"), "modifier") for item in items]


def _spacing(data: Dataset) -> float:
    """mm per px at the breast: of the detector, over the magnification; calibrated; of the film."""
    magnification = max(1.0, number(data, "EstimatedRadiographicMagnificationFactor", 1.0))
    places = [("ImagerPixelSpacing", magnification), ("NominalScannedPixelSpacing", 1.0)]
    if text(data, "PixelSpacingCalibrationType"):
        places.insert(1, ("PixelSpacing", 1.0))
    for name, divisor in places:
        try:
            sides = [float(word) / divisor for word in words(data, name)]
        except ValueError:
            continue
        # a pixel that is not square has no one spacing
        if sides and SPACING_MM[0] <= min(sides) <= max(sides) <= SPACING_MM[1]:
            return sides[0] if max(sides) < SQUARE * min(sides) else float("nan")
    return float("nan")


def _source(data: Dataset) -> str:
    if {"TOMO", "GENERATED_2D"} & set(words(data, "ImageType")):
        return "synth2d"
    scanned = text(data, "ConversionType") == "DF" or data.get("NominalScannedPixelSpacing")
    return "film" if scanned or _is_secondary_capture(data) else "ffdm"


def _is_secondary_capture(data: Dataset) -> bool:
    return (text(data, "SOPClassUID") + ".").startswith(SECONDARY_CAPTURE + ".")


def _is_raw(data: Dataset) -> bool:
    """Whether any element says so: anonymisers drop some of them, and exports misspell them."""
    classes = {text(data, "SOPClassUID"), text(data.file_meta, "MediaStorageSOPClassUID")}
    intent = re.sub("[^A-Z]", "", text(data, "PresentationIntentType"))
    near = get_close_matches(intent, ("FORPROCESSING", "FORPRESENTATION"), n=1)
    return bool(classes & {*RAW}) or near == ["FORPROCESSING"] or "RAW" in words(data, "ImageType")


# ------------------------------------------------------------------ what is refused, and why
def _refusals(data: Dataset, found: dict, view: str) -> dict[str, str]:
    """kind -> reason, of the kinds of `REMEDIES` and `VIEW_KINDS` that hold."""
    rows, cols, frames, bits = (found[name] for name in ("rows", "cols", "frames", "bits"))
    samples = int(number(data, "SamplesPerPixel", 1))
    grey = text(data, "PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2", "")
    tomosynthesis = text(data, "SOPClassUID").startswith(TOMOSYNTHESIS)
    low_bits = 8 <= bits <= 16 and number(data, "HighBit", bits - 1) == bits - 1
    magnified = number(data, "EstimatedRadiographicMagnificationFactor", 1) > MAGNIFIED
    modifiers = _modifiers(data)
    implant = text(data, "BreastImplantPresent") == "YES" or "implant" in modifiers
    turned = _turned(data, found["laterality"], view)
    checks = {
        "pixels": not (rows and cols) and "DICOM without pixels (a report, a directory, ...)",
        "frames": (frames > 1 or tomosynthesis) and f"{frames} frames (tomosynthesis?)",
        "colour": (samples != 1 or not grey) and f"colour, {samples} samples per pixel",
        "size": rows * cols * frames > MAX_PIXELS
        and f"size {rows} rows x {cols} cols, allowed 1 to {MAX_PIXELS:,} px",
        "bits": not low_bits and "BitsStored is not 8 to 16, or not the lowest bits",
        "for_processing": _is_raw(data) and "raw data, FOR PROCESSING",
        "secondary_capture": _is_secondary_capture(data) and "secondary capture",
        "burned_in": text(data, "BurnedInAnnotation") == "YES" and "burned-in annotation",
        "orientation": turned and f"{turned} by its PatientOrientation",
        "laterality": len(set(_header_sides(data))) > 1
        and "ImageLaterality and ViewPosition name different sides",
        "modality": text(data, "Modality") not in ("MG", "") and "not of the modality MG",
        "view": _view_fault(data, view),
        "spot": "spot" in modifiers and "spot compression",
        "magnification": (magnified or "magnification" in modifiers) and "magnified view",
        "implant": implant and "implant",
        "modifier": "modifier" in modifiers and "another modifier of the view",
    }
    return {kind: why for kind, why in checks.items() if why}
