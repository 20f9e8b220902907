"""The exam lists of the NYU group: the form of GMIC (Shen et al. 2021) and of its predecessor's data.

A list has one dictionary per exam: the file stems of each view, which way the films face, a label per
breast, and the stems of one mask per class and image; the page ``data_manifest/nyu`` has all rules.
Those that shape the code:

* ``horizontal_flip`` says where the chest wall is: with NO at the left edge of left breasts and at
  the right edge of right ones, with YES the other way round.
* A mask holds every lesion of its class, and specks around their rims: parts of fewer than
  `speck_px` pixels are dropped, each other part is a lesion and a finding of its own.
* The published masks are in the finished 2944 x 1920 window, cut and facing right; they are brought
  back to the film by the published preparation (:mod:`data_manifest.images.gmic_preparation`).
* A mask file that is absent is a view without a lesion, as in the published loader; where the label
  says that the breast has one, it is listed as excluded.
* A mask of a breast that is labelled without its class, and the label "unknown", which names no side,
  make a breast neither negative nor known lesion by lesion.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from data_manifest.checks import check_manifest
from data_manifest.folders import Names
from data_manifest.images.gmic_preparation import gmic_placement
from data_manifest.images.image import DAMAGED, check_size
from data_manifest.images.read import read_image, read_mask
from data_manifest.input_files import input_file
from data_manifest.manifest import Manifest, exclusion, with_findings_left_out
from data_manifest.nyu.plain_pickle import load_plain
from data_manifest.published_sets import check_option, whole_breasts
from data_manifest.shapes import SPECK_PX, border, polygon_text, separated
from data_manifest.table.reader import SPLIT_NAMES
from lesionlib.errors import InputError

VIEWS = ("L-CC", "R-CC", "L-MLO", "R-MLO")
SIDES = {"L": "left", "R": "right"}
CLASSES = ("benign", "malignant")
STEM = re.compile(r"[\w.-]{1,64}(/[\w.-]{1,64}){0,9}")
AS_PUBLISHED = "Write it as the published lists do (data_manifest/nyu)"


@dataclass(frozen=True)
class Film:
    """One image of a list.

    entry : its exam.  stem : of its file.
    masks : class -> stem of its mask, where the list names one.
    """

    entry: dict
    view: str
    stem: str
    exam_id: str
    masks: dict[str, str]

    @property
    def image_id(self) -> str:
        return self.stem.replace("/", "_")

    @property
    def chest_wall(self) -> str:
        """The edge of the stored film at which it is."""
        at_left = (self.view[0] == "L") == (self.entry["horizontal_flip"] == "NO")
        return "left" if at_left else "right"

    @property
    def labels(self) -> dict:
        return self.entry.get("cancer_label", {})

    def label(self, kind: str) -> bool | None:
        """Whether the breast is labelled with a lesion of this class; None: the list is silent."""
        value = self.labels.get(f"{SIDES[self.view[0]]}_{kind}")
        return None if value is None else bool(value)

    @property
    def negative(self) -> object:
        """True: labelled without a biopsied lesion; NA: no label, or one that names no side."""
        own = [self.label(kind) for kind in CLASSES]
        if any(own):
            return False
        sides = any(self.labels.get(f"{s}_{kind}") for s in SIDES.values() for kind in CLASSES)
        unplaced = any(map(self.labels.get, CLASSES)) and not sides
        return pd.NA if None in own or unplaced or self.labels.get("unknown") else True


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

    Parameters
    ----------
    exams : file of the list, .pkl, .pickle or .json; empty: the only such file of the folder.
    named : the name, or how it begins, of the list in a .json file that holds several.
    images, segmentation : folders of the images and of the masks, relative to `folder`.
    masks : the frame of the masks: "window" (as published) or "image" (the stored film).
    speck_px : parts of a mask of fewer pixels are no lesions.
    partial : go on with the image files that are there; those missing are listed as excluded.

    Raises
    ------
    InputError
        For a list that is not of this form, for missing images, and for a mask that cannot be read
        or is not of the size of its frame.
    """
    folder = Path(folder)
    check_option("masks", masks, ("window", "image"))
    if not isinstance(speck_px, int) or speck_px < 0:
        raise InputError(f"speck_px = '{speck_px}'", "data.options", "Write a whole number of px")
    list_file = folder / exams if exams else _only_list(folder)
    tables, names = ([], [], []), Names(folder)  # images, lesions, exclusions
    for film in _films(read_exam_list(list_file, named), list_file.name):
        found = _rows(film, names, images, segmentation, masks, speck_px, partial)
        for table, rows in zip(tables, found, strict=True):
            table.extend(rows)
    found = Manifest("NYU", folder, *map(pd.DataFrame, tables))
    return check_manifest(_without_contradicted(found))


# ------------------------------------------------------------------ the list
def _only_list(folder: Path) -> Path:
    names = (p for p in folder.iterdir() if not p.name.startswith("."))  # which systems write
    found = sorted(p for p in names if p.suffix.lower() in (".pkl", ".pickle", ".json"))
    if len(found) != 1:
        names = ", ".join(p.name for p in found[:5]) or "none"
        what = f"{len(found)} exam lists: {names}"
        raise InputError(what, folder, "Name one: data.options: {exams: file}")
    return found[0]


def read_exam_list(file: Path, named: str = "") -> list[dict]:
    """The exams of a pickle or JSON file, unchanged.

    named : the name, or how it begins, of the list in a JSON object of several.
    Raises InputError for a file that is not there, not readable, or no list of dictionaries.
    """
    file = input_file(file, remedy="Check data.options: {exams: file}")
    try:
        is_json = file.suffix.lower() == ".json"
        found = json.loads(file.read_bytes()) if is_json else load_plain(file)
    except (ValueError, RecursionError):
        raise InputError("not readable JSON", file, "Save it as JSON (UTF-8)") from None
    if isinstance(found, dict):
        fits = [name for name in found if str(name).startswith(named)]
        if len(fits) != 1:
            what = f"{len(fits)} of its lists begin with '{named}'"
            names = "; ".join(map(str, found))
            remedy = f"Name one: data.options: {{named: ...}}; there are: {names}"
            raise InputError(what, file.name, remedy)
        found = found[fits[0]]
    if not isinstance(found, list) or not all(isinstance(exam, dict) for exam in found):
        raise InputError("no list of exams, one dictionary each", file.name, AS_PUBLISHED)
    return found


def _films(exams: list[dict], name: str) -> Iterator[Film]:
    """Every image of the list; InputError names the first exam that is not of the known form."""
    for number, entry in enumerate(exams):
        where, label = f"{name}, exam {number}", entry.get("cancer_label", {})
        if entry.get("horizontal_flip") not in ("NO", "YES"):
            raise InputError("horizontal_flip is neither NO nor YES", where, AS_PUBLISHED)
        if not isinstance(label, dict):
            raise InputError("cancer_label is no dictionary", where, AS_PUBLISHED)
        if not all(value in (0, 1) for value in label.values()):
            raise InputError("cancer_label holds other values than 0 and 1", where, AS_PUBLISHED)
        exam_id = str(entry.get("exam_id", f"exam{number:06d}"))
        for view in VIEWS:
            segs = {kind: _stems(entry, f"{view}_{kind}_seg", where) for kind in CLASSES}
            for k, stem in enumerate(_stems(entry, view, where)):
                masks = {kind: stems[k] for kind, stems in segs.items() if k < len(stems)}
                yield Film(entry, view, stem, exam_id, masks)


def _stems(entry: dict, key: str, where: str) -> list[str]:
    stems = entry.get(key, [])
    if not isinstance(stems, list | tuple) or not all(isinstance(s, str) for s in stems):
        raise InputError(f"{key} is no list of file names", where, AS_PUBLISHED)
    if not all(STEM.fullmatch(stem) and ".." not in stem.split("/") for stem in stems):
        raise InputError(f"{key} names no file inside the folder", where, AS_PUBLISHED)
    return list(stems)


# ------------------------------------------------------------------ rows of the manifest
def _rows(
    film: Film, names: Names, images: str, segmentation: str, masks: str, speck_px: int, partial
) -> tuple[list[dict], list[dict], list[dict]]:
    """Of one film: its image, its lesions, and the exclusions."""
    folder, file = names.root, (Path(images) / f"{film.stem}.png").as_posix()
    paths = {k: f"{Path(segmentation, stem).as_posix()}.png" for k, stem in film.masks.items()}
    found = {kind: folder / names.find(path) for kind, path in paths.items() if names.find(path)}
    if not (file := names.find(file)):
        if not partial:
            remedy = "Complete the files, or set data.options: {partial: true}"
            raise InputError(f"image file {film.stem}.png is missing", folder, remedy)
        lost = [("image", film.image_id), *(("lesion", f"{film.image_id}_{k}") for k in found)]
        reason = "image file missing"
        return [], [], [exclusion(level, name, "files", reason) for level, name in lost]
    size = _png_size(folder / file) if found else (0, 0)
    outlined = {
        kind: _lesions(film, kind, mask, folder / file, size, masks, speck_px)
        for kind, mask in found.items()
        if film.label(kind) is not False
    }
    lesions = [row for rows in outlined.values() for row in rows]
    return [_image(film, file, size)], lesions, _left_out(film, found, outlined)


def _image(film: Film, file: str, size: tuple[int, int]) -> dict:
    split = str(film.entry.get("split", ""))
    return {
        "image_id": film.image_id,
        "patient_id": str(film.entry.get("patient_id", film.exam_id)),
        "exam_id": film.exam_id,
        "laterality": film.view[0],
        "view": film.view[2:],
        "file": file,
        "rows": size[0],
        "cols": size[1],
        "bits": 16,
        "chest_wall": film.chest_wall,
        "negative": film.negative,
        "split": SPLIT_NAMES.get(split, split),
    }


def _left_out(film: Film, found: dict[str, Path], outlined: dict[str, list]) -> list[dict]:
    """Exclusions of an image that stays: lesions that are labelled or masked and have no outline."""
    reasons = {}
    for kind in CLASSES:
        if kind not in found and film.label(kind):
            reasons[kind] = "mask file missing: no lesion on this view"
        elif kind in found and kind not in outlined:
            reasons[kind] = f"mask of a breast that is labelled without a {kind} lesion"
        elif kind in found and not outlined[kind]:
            reasons[kind] = "mask of specks only"
    if film.labels.get("unknown") and found:
        reasons["unknown"] = "labelled with a lesion of unknown pathology"
    name = film.image_id
    return [exclusion("lesion", f"{name}_{k}", "masks", why, name) for k, why in reasons.items()]


def _lesions(
    film: Film, kind: str, mask: Path, file: Path, size: tuple, masks: str, speck_px: int
) -> list[dict]:
    """A row for each lesion of one mask, outlined on the stored film of `size` (rows, cols)."""
    levels = read_mask(mask)
    placement = None
    if masks == "window":
        placement = gmic_placement(read_image(file).pixels, film.chest_wall, film.view[2:])
        size = (placement.rows, placement.cols)
    if levels.shape != size:
        what = f"mask of {levels.shape[0]} rows x {levels.shape[1]} cols, its {masks} has "
        remedy = "Set data.options: {masks: image or window}"
        raise InputError(what + f"{size[0]} x {size[1]}", mask.name, remedy)
    rows = []
    for number, outline in enumerate(separated(levels, speck_px), start=1):
        points = border(outline)
        if placement is not None:
            points = placement.to_source(points[:, ::-1])[:, ::-1]
        name = f"{film.image_id}_{kind}{number}"
        row = {"lesion_id": name, "finding_id": name, "image_id": film.image_id}
        row |= {"pathology": kind, "truth": "biopsy", "geom": "polygon"}
        rows.append(row | {"polygon": polygon_text(points)})
    return rows


def _without_contradicted(found: Manifest) -> Manifest:
    """The manifest in which no breast is negative that has a mask, against its label."""
    images, masked = found.images, with_findings_left_out(found.exclusions)
    negative = images["negative"].fillna(False)
    whole = whole_breasts(images, negative & ~images["image_id"].isin(masked))
    return replace(found, images=images.assign(negative=images["negative"].mask(negative, whole)))


def _png_size(file: Path) -> tuple[int, int]:
    """Rows and columns from a PNG's header, without decoding it."""
    with open(input_file(file), "rb") as stream:
        head = stream.read(24)
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError("no PNG file", file, DAMAGED)
    cols, rows = struct.unpack(">II", head[16:24])
    check_size(rows, cols, file)
    return rows, cols
