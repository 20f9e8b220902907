"""The exam lists of the NYU group: the form of GMIC (Shen et al. 2021) and of its predecessor's data.

A list has one dictionary an exam: file stems a view, which way the films face, a label a breast, and
the stems of one mask a class and image.  What the reader knows of it:

* A pickle can run code: only plain values are read (:mod:`data_manifest.nyu.plain_pickle`).
* ``horizontal_flip`` says where the chest wall lies: with NO at the left edge of left breasts and at
  the right edge of right ones, with YES the other way round.
* A mask holds every lesion of its class, and specks around their rims: parts of fewer than
  `speck_px` pixels are dropped, each other part is a lesion of its own.  Nothing links the views, so
  each is a finding of its own, too.
* The published masks lie in the finished 2944 x 1920 window, cut and facing right; they are brought
  back to the film by the published preparation (:mod:`data_manifest.images.gmic_preparation`).
* A mask file that is absent is a view without a lesion, as in the published loader; where the label
  says that the breast has one, it is listed as excluded.
* A mask of a breast that is labelled without its class, and the label "unknown", which names no side,
  make a breast neither negative nor known lesion by lesion.
* The lists name no patient: an exam counts as one, unless its dictionary has a `patient_id`.
* Grey values are raw, 12 bits or stretched to 16: they are taken as 16.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from data_manifest.checks import check_manifest
from data_manifest.images.gmic_preparation import gmic_placement
from data_manifest.images.image import DAMAGED, check_size
from data_manifest.images.read import read_image, read_mask
from data_manifest.manifest import Manifest, exclusion, with_findings_left_out
from data_manifest.nyu.plain_pickle import load_plain
from data_manifest.published_sets import whole_breasts
from data_manifest.shapes import SPECK_PX, border, polygon_text, separated
from data_manifest.table.reader import SPLIT_NAMES
from lesionlib.errors import InputError

VIEWS = {"L-CC": ("left", "CC"), "R-CC": ("right", "CC")}
VIEWS |= {"L-MLO": ("left", "MLO"), "R-MLO": ("right", "MLO")}
CLASSES = ("benign", "malignant")
FLIPS = ("NO", "YES")
AS_PUBLISHED = "Write it as the published lists do (data_manifest/nyu)"


@dataclass(frozen=True)
class Options:
    """Where files lie and how masks are meant; see :func:`read`."""

    folder: Path
    images: str
    segmentation: str
    masks: str
    speck_px: int
    partial: bool


@dataclass
class Rows:
    """The rows of the manifest's three tables."""

    images: list[dict] = field(default_factory=list)
    lesions: list[dict] = field(default_factory=list)
    exclusions: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Film:
    """One image of a list.  entry : its exam; number : its place among the exam's images of `view`."""

    entry: dict
    view: str
    number: int
    stem: str
    exam_id: str

    @property
    def image_id(self) -> str:
        return self.stem.replace("/", "_")

    @property
    def chest_wall(self) -> str:
        """The edge of the stored film at which it lies."""
        return (
            "left" if (self.view[0] == "L") == (self.entry["horizontal_flip"] == "NO") else "right"
        )


def read(
    folder: Path | str,
    *,
    exams: str = "",
    named: str = "",
    images: str = "",
    segmentation: str = "",
    masks: str = "window",
    speck_px: int = SPECK_PX,
    partial: bool = False,
) -> Manifest:
    """The manifest of a folder with an exam list and its PNG files.

    exams : file of the list, .pkl, .pickle or .json; empty: the only such file of the folder.
    named : the name, or how it begins, of the list in a .json file that holds several.
    images, segmentation : folders of the images and of the masks, relative to `folder`.
    masks : the frame of the masks: "window" (as published) or "image" (the stored film).
    speck_px : parts of a mask of fewer pixels are no lesions.
    partial : go on with the image files that are there; those missing are listed as excluded.

    Raises InputError for a list that is not of this form, for missing images, and for a mask that
    cannot be read or is not of the size of its frame.
    """
    folder = Path(folder)
    if masks not in ("window", "image"):
        raise InputError(f"masks = '{masks}'", "data.options", "Write 'window' or 'image'")
    if not isinstance(speck_px, int) or speck_px < 0:
        raise InputError(f"speck_px = '{speck_px}'", "data.options", "Write a whole number of px")
    options = Options(folder, images, segmentation, masks, speck_px, bool(partial))
    file = folder / exams if exams else _only_list(folder)
    rows = Rows()
    for film in _films(read_exam_list(file, named), file.name):
        _add(film, options, rows)
    tables = (pd.DataFrame(t) for t in (rows.images, rows.lesions, rows.exclusions))
    return check_manifest(_without_contradicted(Manifest("NYU", folder, *tables)))


# ------------------------------------------------------------------ the list
def _only_list(folder: Path) -> Path:
    found = sorted(p for p in folder.iterdir() if p.suffix in (".pkl", ".pickle", ".json"))
    if len(found) != 1:
        names = ", ".join(p.name for p in found[:5]) or "none"
        raise InputError(
            f"{len(found)} exam lists: {names}", folder, "Name one: data.options: {exams: file}"
        )
    return found[0]


def read_exam_list(file: Path, named: str = "") -> list[dict]:
    """The exams of a pickle or JSON file, as they stand in it.

    named : the name, or how it begins, of the list in a JSON object of several.
    Raises InputError for a file that is not there, not readable, or no list of dictionaries.
    """
    if not file.is_file():
        raise InputError("no such exam list", file, "Check data.options: {exams: file}")
    found = _json(file) if file.suffix == ".json" else load_plain(file)
    if isinstance(found, dict):
        fits = [name for name in found if str(name).startswith(named)]
        if len(fits) != 1:
            names = "; ".join(map(str, found))
            raise InputError(
                f"{len(fits)} of its lists begin with '{named}'", file.name,
                f"Name one: data.options: {{named: ...}}; there are: {names}"
            )  # fmt: skip
        found = found[fits[0]]
    if not isinstance(found, list) or not all(isinstance(exam, dict) for exam in found):
        raise InputError("no list of exams, one dictionary each", file.name, AS_PUBLISHED)
    return found


def _json(file: Path) -> object:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise InputError("not readable JSON", file, "Save it as JSON (UTF-8)") from None


def _films(exams: list[dict], name: str) -> Iterator[Film]:
    """Every image of the list; InputError names the first exam that is not of the known form."""
    for number, entry in enumerate(exams):
        where = f"{name}, exam {number}"
        if entry.get("horizontal_flip") not in FLIPS:
            raise InputError("horizontal_flip is neither NO nor YES", where, AS_PUBLISHED)
        if not isinstance(entry.get("cancer_label", {}), dict):
            raise InputError("cancer_label is no dictionary", where, AS_PUBLISHED)
        exam_id = str(entry.get("exam_id", f"exam{number:06d}"))
        for view in VIEWS:
            for k, stem in enumerate(_stems(entry, view, where)):
                yield Film(entry, view, k, stem, exam_id)


def _stems(entry: dict, key: str, where: str) -> list[str]:
    stems = entry.get(key, [])
    if not isinstance(stems, list | tuple) or not all(isinstance(s, str) for s in stems):
        raise InputError(f"{key} is no list of file names", where, AS_PUBLISHED)
    for stem in stems:
        if not re.fullmatch(r"[\w.-]{1,64}(/[\w.-]{1,64}){0,9}", stem) or ".." in stem.split("/"):
            raise InputError(f"{key} names no file inside the folder", where, AS_PUBLISHED)
    return list(stems)


# ------------------------------------------------------------------ rows of the manifest
def _add(film: Film, options: Options, rows: Rows) -> None:
    """One image with its lesions, or their exclusions."""
    file = (Path(options.images) / f"{film.stem}.png").as_posix()
    found = dict(_masks(film, options))
    if not (options.folder / file).is_file():
        if not options.partial:
            raise InputError(
                f"image file {file} is missing", options.folder,
                "Complete the files, or set data.options: {partial: true}"
            )  # fmt: skip
        rows.exclusions.append(exclusion("image", film.image_id, "files", "image file missing"))
        lost = [f"{film.image_id}_{kind}" for kind, mask in found.items() if mask is not None]
        rows.exclusions += [exclusion("lesion", m, "files", "image file missing") for m in lost]
        return
    size = _png_size(options.folder / file) if any(found.values()) else (0, 0)
    rows.images.append(_image(film, file, size))
    for kind, mask in found.items():
        labelled = _label(film, kind)
        lesions, reason = [], "mask file missing: no lesion on this view" if labelled else ""
        if mask is not None and labelled is False:
            reason = f"mask of a breast that is labelled without a {kind} lesion"
        elif mask is not None:
            lesions, reason = _lesions(film, kind, mask, file, size, options), ""
            reason = "" if lesions else "mask of specks only"
        rows.lesions += lesions
        if reason:
            name = f"{film.image_id}_{kind}"
            rows.exclusions.append(exclusion("lesion", name, "masks", reason, film.image_id))
    if film.entry.get("cancer_label", {}).get("unknown") and any(found.values()):
        name, reason = f"{film.image_id}_unknown", "labelled with a lesion of unknown pathology"
        rows.exclusions.append(exclusion("lesion", name, "masks", reason, film.image_id))


def _masks(film: Film, options: Options) -> Iterator[tuple[str, Path | None]]:
    """The class and, if it is there, the mask file of each class."""
    for kind in CLASSES:
        stems = _stems(film.entry, f"{film.view}_{kind}_seg", f"exam {film.exam_id}")
        file = None
        if film.number < len(stems):
            file = options.folder / options.segmentation / f"{stems[film.number]}.png"
        yield kind, file if file is not None and file.is_file() else None


def _label(film: Film, kind: str) -> bool | None:
    """Whether the breast is labelled with a lesion of this class; None: the list does not say."""
    value = film.entry.get("cancer_label", {}).get(f"{VIEWS[film.view][0]}_{kind}")
    return None if value is None else bool(value)


def _negative(film: Film) -> object:
    """True: labelled without a biopsied lesion; NA: not labelled, or a label that names no side."""
    labels = film.entry.get("cancer_label", {})
    own = [_label(film, kind) for kind in CLASSES]
    if any(own):
        return False
    sides = [labels.get(f"{side}_{kind}") for side in ("left", "right") for kind in CLASSES]
    unplaced = labels.get("unknown") or (any(map(labels.get, CLASSES)) and not any(sides))
    return pd.NA if None in own or unplaced else True


def _without_contradicted(found: Manifest) -> Manifest:
    """The manifest in which no breast is negative on which a mask lies, against its label."""
    images, masked = found.images, with_findings_left_out(found.exclusions)
    negative = images["negative"].fillna(False)
    whole = whole_breasts(images, negative & ~images["image_id"].isin(masked))
    return replace(found, images=images.assign(negative=images["negative"].mask(negative, whole)))


def _image(film: Film, file: str, size: tuple[int, int]) -> dict:
    split = str(film.entry.get("split", ""))
    return {
        "image_id": film.image_id,
        "patient_id": str(film.entry.get("patient_id", film.exam_id)),
        "exam_id": film.exam_id,
        "laterality": film.view[0],
        "view": VIEWS[film.view][1],
        "file": file,
        "rows": size[0],
        "cols": size[1],
        "bits": 16,
        "chest_wall": film.chest_wall,
        "negative": _negative(film),
        "split": SPLIT_NAMES.get(split, split),
    }


def _lesions(
    film: Film, kind: str, mask: Path, file: str, size: tuple[int, int], options: Options
) -> list[dict]:
    """A row for each lesion of one mask, outlined on the stored film."""
    levels = read_mask(mask)
    placement = None
    if options.masks == "window":
        pixels = read_image(options.folder / file).pixels
        placement = gmic_placement(pixels, film.chest_wall, VIEWS[film.view][1])
        size = (placement.rows, placement.cols)
    if levels.shape != size:
        raise InputError(
            f"mask of {levels.shape[0]} rows x {levels.shape[1]} cols, its {options.masks} has "
            f"{size[0]} x {size[1]}", mask.name, "Set data.options: {masks: image or window}"
        )  # fmt: skip
    rows = []
    for number, outline in enumerate(separated(levels, options.speck_px), start=1):
        points = border(outline)
        if placement is not None:
            points = placement.to_source(points[:, ::-1])[:, ::-1]
        name = f"{film.image_id}_{kind}{number}"
        row = {"lesion_id": name, "finding_id": name, "image_id": film.image_id}
        row |= {"pathology": kind, "truth": "biopsy", "geom": "polygon"}
        rows.append(row | {"polygon": polygon_text(points)})
    return rows


def _png_size(file: Path) -> tuple[int, int]:
    """Rows and columns from a PNG's header, without decoding it."""
    with open(file, "rb") as stream:
        head = stream.read(24)
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError("no PNG file", file, DAMAGED)
    cols, rows = struct.unpack(">II", head[16:24])
    check_size(rows, cols, file)
    return rows, cols
