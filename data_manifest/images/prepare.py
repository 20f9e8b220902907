"""One image from its file to its canvas: what a worker process of the store's build does.

Only this module's :func:`prepare` crosses processes; it takes and gives plain dictionaries and
arrays, and imports neither pandas nor torch, so that workers start quickly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from data_manifest.images.breast import (
    LEAST_PX,
    blanked_film,
    breast_box,
    chest_wall,
    find_breast,
    has_grey_background,
    is_breast_shaped,
)
from data_manifest.images.gmic_preparation import gmic_placement
from data_manifest.images.image import Image
from data_manifest.images.placement import Placement, place_on_canvas
from data_manifest.images.read import mask_of, read_image, read_mask_levels
from data_manifest.shapes import check_extent, rasterise
from lesionlib.errors import InputError
from lesionlib.outlines import Outline, outline_of

BREAST_STRIDE = 4
_BOX = ("breast_row0", "breast_col0", "breast_row1", "breast_col1")


@dataclass(frozen=True)
class Task:
    """One image and its lesions, as rows of the manifest."""

    root: str
    image: dict
    lesions: list[dict]
    rows: int
    cols: int
    scale: float
    buffer: int
    background: str
    dtype: str
    grey: str = "raw"
    placement: str = "breast"


@dataclass
class Prepared:
    """What one image became; `canvas` is None if it is excluded.

    Attributes
    ----------
    canvas : (rows, cols) of the store's type.
    breast : bool (rows // 4, cols // 4), the mask at stride 4.
    record : its row of the table of images.
    lesions : rows of the table of lesions, each with the packed bits of its outline, in hexadecimal.
    exclusions : (level, id, reason).
    """

    image_id: str
    canvas: np.ndarray | None = None
    breast: np.ndarray | None = None
    record: dict = field(default_factory=dict)
    lesions: list[dict] = field(default_factory=list)
    exclusions: list[tuple[str, str, str]] = field(default_factory=list)


def prepare(task: Task) -> Prepared:
    """Read, find, place and measure one image.  Bad input becomes an exclusion with its reason."""
    out = Prepared(str(task.image["image_id"]))
    try:
        with _one_thread():
            _prepare(task, out)
    except InputError as error:
        out.canvas, out.lesions = None, []
        reason = _reason(error, task.root)
        listed = {name for _, name, _ in out.exclusions}
        rest = [row["lesion_id"] for row in task.lesions if row["lesion_id"] not in listed]
        out.exclusions += [("lesion", name, f"its image: {reason}") for name in rest]
        out.exclusions.append(("image", out.image_id, reason))
    return out


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV on one thread: images are prepared in many processes that share the machine."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _prepare(task: Task, out: Prepared) -> None:
    row = task.image
    image = decoded(Path(task.root) / row["file"], row, task)
    mask = _breast(image.pixels, row)
    grey = row["source"] != "film" and has_grey_background(image.pixels, mask)
    blank = grey or task.background == "film"
    pixels = blanked_film(image.pixels, mask) if blank else image.pixels
    placement = _place(task, pixels, mask, row, image)
    outlines = _outlines(task, image, mask, placement, out)
    if task.lesions and not outlines:
        raise InputError(f"no usable truth: {out.exclusions[0][2]}")
    canvas = placement.apply(pixels)
    on_canvas = placement.apply_mask(mask)
    breast = _reduced_mask(on_canvas)
    if not breast.any():
        raise InputError("no breast on the canvas", row["file"], "Check canvas.scale")
    out.canvas, out.breast, out.lesions = canvas, breast, outlines
    box = dict(zip(_BOX, breast_box(on_canvas), strict=True))
    out.record = {**moments(canvas), **box, **placement.record(), "sha256": image.sha256}
    out.record["unplaced"] = len(task.lesions) - len(outlines)
    if image.grey:
        out.record["grey"] = image.grey


def _reason(error: InputError, root: str) -> str:
    """One line without the folder of this machine."""
    return str(error).replace(root.rstrip("/") + "/", "")


# ------------------------------------------------------------------ the image
def decoded(file: Path, row: dict, task: Task) -> Image:
    """The image, held against what the manifest says of it, bright tissue on dark background."""
    accept = _accepted(row)
    scanned = ("secondary_capture",) if row["source"] == "film" else ()
    image = read_image(file, accept=accept + scanned, grey=task.grey)
    stated = (int(row["rows"]), int(row["cols"]))
    if row.get("resized"):
        image = replace(image, pixels=_brought_to(image.pixels, stated))
    found = image.pixels.shape
    if all(stated) and found != stated:
        what = f"size {found[0]} rows x {found[1]} cols, the table says {stated[0]} x {stated[1]}"
        raise InputError(what, row["file"], "Correct rows and cols, or the file")
    sides = {image.laterality, row["laterality"]} - {""}
    if len(sides) > 1 and "laterality" not in accept:
        what = f"laterality {image.laterality} in the file, {row['laterality']} in the table"
        remedy = "Correct the table, or write 'laterality' into its column accept"
        raise InputError(what, row["file"], remedy)
    top = 2 ** int(row["bits"]) - 1
    most = int(np.iinfo(task.dtype).max) if image.oriented else top  # DICOM: a LUT may add bits
    highest = int(image.pixels.max())
    if highest > most:
        what = f"grey levels up to {highest}, but {row['bits']} bits allow {top}"
        raise InputError(what, row["file"], "Correct 'bits'")
    pixels = image.pixels.astype(task.dtype, copy=False)
    if row["polarity"] == "MONOCHROME1" and not image.oriented:
        pixels = _inverted(pixels, min(int(row["bits"]), image.bits))
    return replace(image, pixels=pixels)


def _accepted(row: dict) -> tuple[str, ...]:
    return tuple((row.get("accept") or "").split())


def _inverted(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Dark for bright; 16 bits say only what holds the levels: then as many count as are used."""
    used = int(pixels.max()).bit_length()
    return 2 ** (bits if bits < 16 else max(8, used)) - 1 - pixels


def _brought_to(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`pixels` at another size and other proportions: each px is the one under its centre."""
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _breast(pixels: np.ndarray, row: dict) -> np.ndarray:
    """The mask of the breast; InputError where it is tiny, background, or an image full of tissue."""
    mask = find_breast(pixels, row["source"])
    r0, c0, r1, c1 = breast_box(mask)
    if min(r1 - r0, c1 - c0) < LEAST_PX:
        what = f"what looks like breast is {r1 - r0} rows x {c1 - c0} cols, least {LEAST_PX} each"
        raise InputError(
            what, row["file"], "Give the whole film, no thumbnail; leave it out if empty"
        )
    if not is_breast_shaped(mask) and "filled" not in _accepted(row):
        raise InputError(
            f"what looks like breast is {mask.mean():.0%} of the whole image, and has no breast's shape",
            row["file"],
            "Look at it: write MONOCHROME1 if its air is bright, source film if it is a scan, cut "
            "frames off; if tissue does fill it, write 'filled' into its column accept",
        )
    return mask


def _place(task: Task, pixels: np.ndarray, mask: np.ndarray, row: dict, image: Image) -> Placement:
    found, stated = chest_wall(mask), row["chest_wall"]
    if stated == "auto":
        _check_edge(found, row, image)
    edge = mask[:, 0] if stated == "left" else mask[:, -1]
    if stated not in ("auto", found) and not edge.any():
        what = f"the breast is at the {found} edge, the table says {stated}"
        raise InputError(what, row["file"], "Correct chest_wall, or write auto")
    side = found if stated == "auto" else stated
    canvas = {"rows": task.rows, "cols": task.cols, "buffer": task.buffer}
    if task.placement == "gmic":
        return gmic_placement(pixels, side, row["view"], **canvas)
    whole = task.background == "zero"
    return place_on_canvas(mask, side, **canvas, scale=task.scale, keep_whole=whole)


def _check_edge(found: str, row: dict, image: Image) -> None:
    """InputError where a digital image is mirrored, or its side is wrong.

    Digital images have the chest wall of a left breast at the left edge; scanned films are as they
    were put on the scanner.  The header of a DICOM file may state the orientation itself.
    """
    film = row["source"] == "film"
    side = "" if film else {"L": "left", "R": "right"}.get(row["laterality"], "")
    for edge, source in ((image.chest_wall, "PatientOrientation"), (side, "laterality")):
        if edge and edge != found:
            what = f"the breast is at the {found} edge, its {source} means the {edge} one"
            remedy = "Correct the side, or, if it is right, write chest_wall"
            scan = "" if image.oriented else "; source film, if it is a scan"
            raise InputError(what, row["file"], f"{remedy} {found} into the table{scan}")


def moments(canvas: np.ndarray) -> dict[str, float]:
    """Mean and population standard deviation over the whole canvas, padding included.

    From the exact counts of every grey level, in float64.
    """
    counts = np.bincount(canvas.ravel())
    levels = np.arange(len(counts), dtype=np.float64)
    mean = float(counts @ levels / canvas.size)
    variance = float(counts @ (levels - mean) ** 2 / canvas.size)
    return {"mean": mean, "std": float(np.sqrt(variance))}


def _reduced_mask(mask: np.ndarray) -> np.ndarray:
    """At stride 4: cells of which at least half is breast; an incomplete last cell is left out."""
    s = BREAST_STRIDE
    rows, cols = mask.shape[0] // s, mask.shape[1] // s
    blocks = mask[: rows * s, : cols * s].reshape(rows, s, cols, s)
    return blocks.sum(axis=(1, 3)) * 2 >= s * s


# ------------------------------------------------------------------ its lesions
def _outlines(
    task: Task, image: Image, breast: np.ndarray, placement: Placement, out: Prepared
) -> list[dict]:
    """Table rows of the usable outlines; the others are listed in `out`."""
    files: dict[str, tuple] = {}
    usable = []
    for row in task.lesions:
        try:
            source = _source_outline(task.root, row, image.pixels.shape, files)
            placed = _placed(source, breast, placement)
        except InputError as error:
            out.exclusions.append(("lesion", row["lesion_id"], _reason(error, task.root)))
            continue
        record = {"lesion_id": row["lesion_id"], "row0": placed.row0, "col0": placed.col0}
        record |= {"rows": placed.mask.shape[0], "cols": placed.mask.shape[1]}
        points = placement.to_canvas(source.pixels + 0.5)
        inside = (points >= 0) & (points < (placement.rows, placement.cols))
        record |= {"area_px": placed.area_px, "on_canvas": float(inside.all(axis=1).mean())}
        record |= {"on_breast": _share_on(source, breast)}
        usable.append(record | {"bits": np.packbits(placed.mask).tobytes().hex()})
    return usable


def _source_outline(root: str, row: dict, size: tuple[int, int], files: dict) -> Outline:
    where = f"lesion {row['lesion_id']}"
    if row["geom"] != "mask":
        outline = rasterise(row["geom"], row, size)
    else:
        name = row["mask_file"]
        if name not in files:  # one file may hold all lesions of an image
            files[name] = read_mask_levels(Path(root) / name)
        levels, black = files[name]
        if row.get("resized"):
            levels = _brought_to(levels, size)
        if levels.shape != size:
            what = "mask {} rows x {} cols, its image {} x {}".format(*levels.shape, *size)
            raise InputError(what, name, "Give a mask of the image's size")
        value = row["mask_value"]
        outline = outline_of(mask_of(levels, black, None if value is None else int(value)))
        if not outline.area_px:
            meant = "above 0" if value is None else f"equal to {value}"
            raise InputError(f"empty mask, no px {meant}", name, "Check the mask or mask_value")
    if not outline.area_px:
        raise InputError("outline without a pixel on its image", where, "Check its coordinates")
    r0, c0, r1, c1 = outline.box
    check_extent(outline.area_px, (c0, r0, c1, r1), *size, where)
    return outline


def _placed(source: Outline, breast: np.ndarray, placement: Placement) -> Outline:
    """The outline on the canvas; InputError where all of it is off the breast or the canvas."""
    r0, c0, r1, c1 = source.box
    where = f"rows {r0}..{r1}, cols {c0}..{c1} of the image"
    if _share_on(source, breast) == 0:
        raise InputError("outline is off the breast", where, "Check its coordinates")
    placed = placement.apply_outline(source)
    if not placed.area_px:
        where += f"; canvas {placement.rows} rows x {placement.cols} cols"
        remedy = "Check canvas.scale, canvas.rows and canvas.cols"
        raise InputError("no pixel on the canvas", where, remedy)
    return placed


def _share_on(outline: Outline, breast: np.ndarray) -> float:
    r0, c0, r1, c1 = outline.box
    return float((breast[r0:r1, c0:c1] & outline.mask).sum() / outline.area_px)
