"""Shapes of lesions in a table (polygon, box, circle, mask), and their pixels.

Everything is in pixels of the uncropped, unflipped image: origin at the top left, x to the right,
y downwards, pixel centres at integers + .5.  A pixel belongs to a polygon, box or circle when its
centre is inside.  Nothing here reads a file.
"""

from __future__ import annotations

import cv2
import numpy as np

from lesionlib.errors import InputError
from lesionlib.outlines import Outline, outline_of

GEOMETRIES = ("mask", "polygon", "box", "circle")
CUT_LENGTHS = (32_766, 32_767)  # of a text in Excel, less a blank at its end
MIN_AREA_PX = 4
MAX_AREA_SHARE = 0.5
CIRCLE_POINTS = 180
SPECK_PX = 100  # the specks of NYU's released masks have 4 to 13 px, their smallest lesion 20,041


def separated(mask: np.ndarray, speck_px: int = SPECK_PX) -> list[Outline]:
    """The lesions of one mask that holds several, and specks: largest first.

    mask : bool (rows, cols).
    speck_px : 4-connected parts of fewer pixels are specks and are dropped; 0 or 1 keeps all.

    A mask that was enlarged may have specks around the rim of its lesions: each of eight released
    masks of the NYU set has one lesion and 63 to 114 of them.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    lesions = []
    for part in np.argsort(-areas, kind="stable"):
        if areas[part] >= speck_px:
            x, y, width, height, _ = stats[part + 1]
            box = labels[y : y + height, x : x + width]
            lesions.append(Outline(int(y), int(x), box == part + 1))
    return lesions


def border(outline: Outline) -> np.ndarray:
    """(n, 2) int64 x, y: the polygon along the pixel edges of a connected outline, holes filled.

    :func:`rasterise` gives the same pixels back.
    """
    # each pixel becomes 2 x 2, so that a corner is known by which of the four the contour visits
    doubled = outline.mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = (contours[0][:, 0].astype(np.int64) + 1) // 2
    changed = (corners != np.roll(corners, 1, axis=0)).any(axis=1)
    return corners[changed] + (outline.col0, outline.row0)


def polygon_text(points: np.ndarray) -> str:
    """(n, 2) x, y -> `"x y;x y;..."`, which :func:`parse_polygon` reads."""
    text = ";".join(f"{x:g} {y:g}" for x, y in points)
    # a whole one is never as long as one that was cut
    return text + ";;" if len(text) in CUT_LENGTHS else text


def parse_polygon(text: str) -> np.ndarray:
    """`"x y;x y;..."` -> (n, 2) float64 x, y.

    Raises ValueError if a point is not two finite numbers, and for a text of the length at which
    spreadsheets cut a cell: it would close by a straight line from where it was cut.
    """
    if len(text) in CUT_LENGTHS:
        raise ValueError(f"{len(text):,} characters, where a spreadsheet cuts a cell")
    points = [part.split() for part in str(text).strip().strip(";").split(";")]
    if any(len(point) != 2 for point in points):
        raise ValueError("a point is not 'x y'")
    values = np.array([[float(v) for v in point] for point in points], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a coordinate is not finite")
    return values


def scaled(geom: str, shape: dict, fx: float, fy: float) -> dict:
    """A polygon, box or circle of an image whose columns are scaled by `fx`, whose rows by `fy`.

    A circle becomes a polygon where the two differ.  A polygon that is not readable stays as it is.
    """
    if geom == "box":
        names = {"x0": fx, "x1": fx, "y0": fy, "y1": fy}
        return shape | {name: float(shape[name]) * factor for name, factor in names.items()}
    if geom == "circle":
        cx, cy, r = (float(shape[name]) for name in ("cx", "cy", "r"))
        if fx == fy:
            return shape | {"cx": cx * fx, "cy": cy * fy, "r": r * fx}
        angle = np.arange(CIRCLE_POINTS) * 2 * np.pi / CIRCLE_POINTS
        points = np.stack([cx + r * np.cos(angle), cy + r * np.sin(angle)], axis=1)
        shape = shape | {"cx": np.nan, "cy": np.nan, "r": np.nan}
        return shape | {"geom": "polygon", "polygon": polygon_text(points * (fx, fy))}
    try:
        return shape | {"polygon": polygon_text(parse_polygon(shape["polygon"]) * (fx, fy))}
    except ValueError:
        return shape


def shape_facts(geom: str, shape: dict) -> tuple[float, tuple[float, float, float, float]]:
    """Area (px) of a polygon, box or circle, and its limits x0, y0, x1, y1.

    Raises InputError for fewer than three points, an empty box or a radius that is not positive.
    """
    if geom == "circle":
        cx, cy, r = (float(shape[k]) for k in ("cx", "cy", "r"))
        if not (np.isfinite([cx, cy, r]).all() and r > 0):
            raise InputError(f"circle cx={cx:g} cy={cy:g} r={r:g}", "", "Give three numbers, r > 0")
        return float(np.pi * r * r), (cx - r, cy - r, cx + r, cy + r)
    if geom == "box":
        x0, y0, x1, y1 = (float(shape[k]) for k in ("x0", "y0", "x1", "y1"))
        if not (-np.inf < x0 < x1 < np.inf and -np.inf < y0 < y1 < np.inf):
            what = f"empty box x {x0:g}..{x1:g}, y {y0:g}..{y1:g}"
            raise InputError(what, "", "Give x0 < x1 and y0 < y1")
        return (x1 - x0) * (y1 - y0), (x0, y0, x1, y1)
    try:
        points = parse_polygon(shape["polygon"])
    except ValueError as error:
        remedy = "Write 'x y;x y;x y', all points, without a spreadsheet in between"
        raise InputError(f"polygon not readable: {error}", "", remedy) from None
    if len(points) < 3:
        raise InputError(f"polygon of {len(points)} points", "", "Give three points or more")
    x, y = points.T
    area = 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    return area, (*map(float, points.min(axis=0)), *map(float, points.max(axis=0)))


def check_extent(area: float, limits: tuple, rows: int, cols: int, where: str) -> None:
    """InputError for an outline of less than 4 px, of over half the image, or centred off it.

    area : px; limits : x0, y0, x1, y1; rows, cols : of the image, 0 where not stated.
    """
    x, y = (limits[0] + limits[2]) / 2, (limits[1] + limits[3]) / 2
    size, remedy = f"image {rows} rows x {cols} cols", "Check the outline's scale"
    if area < MIN_AREA_PX:
        remedy += ", and that its border does not cross itself"
        raise InputError(f"outline of {area:.1f} px, least {MIN_AREA_PX}", where, remedy)
    if rows and cols and area > MAX_AREA_SHARE * rows * cols:
        what = f"outline of {area:.0f} px covers {area / (rows * cols):.0%} of the image ({size})"
        what += f", at most {MAX_AREA_SHARE:.0%}"
        raise InputError(what, where, f"{remedy} or its mask")
    if rows and cols and not (0 <= x < cols and 0 <= y < rows):
        what = f"outline centred at x {x:.1f}, y {y:.1f}, outside its image ({size})"
        raise InputError(what, where, "Give pixels of the uncropped image, origin top left")


def rasterise(geom: str, shape: dict, size: tuple[int, int]) -> Outline:
    """A polygon, box or circle as pixels of an image of `size` (rows, cols), cut at its edges.

    A shape so thin that it holds no pixel centre gives an empty outline.
    Raises InputError as :func:`shape_facts`.
    """
    _, (x0, y0, x1, y1) = shape_facts(geom, shape)
    if geom == "circle":
        return _circle(float(shape["cx"]), float(shape["cy"]), float(shape["r"]), size)
    if geom == "box":
        return _polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), size)
    return _polygon(parse_polygon(shape["polygon"]), size)


def _window(low: float, high: float, length: int) -> tuple[int, int]:
    """First and last + 1 pixel whose centre can be in [low, high]."""
    first = int(np.clip(np.floor(low), 0, length))
    return first, int(np.clip(np.ceil(high) + 1, first, length))


def _circle(cx: float, cy: float, r: float, size: tuple[int, int]) -> Outline:
    r0, r1 = _window(cy - r, cy + r, size[0])
    c0, c1 = _window(cx - r, cx + r, size[1])
    y = np.arange(r0, r1)[:, None] + 0.5 - cy
    x = np.arange(c0, c1)[None, :] + 0.5 - cx
    return outline_of(y * y + x * x <= r * r, r0, c0)


def _polygon(points: np.ndarray, size: tuple[int, int]) -> Outline:
    """Even-odd filling: a centre is inside if a ray to its left crosses the border oddly often."""
    r0, r1 = _window(points[:, 1].min(), points[:, 1].max(), size[0])
    c0, c1 = _window(points[:, 0].min(), points[:, 0].max(), size[1])
    centres = np.arange(c0, c1) + 0.5
    mask = np.zeros((r1 - r0, c1 - c0), bool)
    x0, y0 = points.T
    x1, y1 = np.roll(points, -1, axis=0).T
    for i, y in enumerate(np.arange(r0, r1) + 0.5):
        crossed = (y0 <= y) != (y1 <= y)
        a, b = x0[crossed], x1[crossed]
        at = a + (y - y0[crossed]) * (b - a) / (y1[crossed] - y0[crossed])
        mask[i] = (at[:, None] <= centres[None, :]).sum(axis=0) % 2 == 1
    return outline_of(mask, r0, c0)
