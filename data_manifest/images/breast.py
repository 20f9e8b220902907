"""Finding the breast on a mammogram, and the side of its chest wall.

Digital images (FFDM): the background is 0, so the breast is the largest thick part of what is not 0,
as in GMIC (Shen et al. 2021).  Where it is not quite 0 (an offset, noise, a film not named as one),
the breast is the largest thick part above the level of the background.  Scanned film: the background
is grey, labels and tape are brighter than the breast, and above and below the film may end in white;
see :func:`film_border`.
"""

from __future__ import annotations

import cv2
import numpy as np

from lesionlib.errors import InputError

WORK_PX = 512  # the breast is looked for on at most this many px a side
OPENING = 100 / 2944  # radius of the opening, as a share of the image's longer side (GMIC: 100 px)
MARGIN = 0.01  # kept around the breast when a film is blanked, as a share of its longer side
BORDER = 0.06  # deepest white border of a film, as a share of the image's longer side
BESIDE = 0.06  # how far next to the breast a border is looked at, as a share of the edge
FLAT = 0.15  # spread of air (interquartile), as a share of its contrast to the breast
TILT = 0.05  # steepest border, px per px: 3 degrees
FULL = 0.95  # share of the image that no breast fills
BOTH_SIDES = 0.55  # share of the rows on which no breast touches both sides; 0.47 on real film
LEAST_PX = 12  # of a breast's height and width: 3 of the steps in which its mask is kept
SOLID = 0.7  # share of its convex hull that a breast fills at least; 0.75 on real film


def find_breast(pixels: np.ndarray, source: str = "ffdm") -> np.ndarray:
    """The breast as a bool mask of the image's shape.

    The mask is one connected part without holes, found on a reduced copy of at most 512 px a side,
    so its border is exact to one step of that copy.  On film it ends at the film's white border.

    Parameters
    ----------
    pixels : (rows, cols), uint8 or uint16, bright tissue on dark background.
    source : "ffdm" or "synth2d" (dark background), or "film".

    Raises
    ------
    InputError
        If nothing is found.
    """
    step = _step(pixels)
    mask = _film(_reduced(pixels, step)) if source == "film" else _digital(pixels, step)
    if mask is None:
        what = f"no breast found on a {source} image"
        raise InputError(what, "", "Look at it; leave it out if empty")
    return _enlarged(mask, step, pixels.shape)


def film_border(pixels: np.ndarray) -> np.ndarray:
    """The white strips above and below on a scanned film, as a bool mask of the image's shape.

    Unexposed film is white.  Where the exposed field ends before the scan does, a straight, often
    tilted strip runs along the edge through the breast and some way past it.  White is what is at
    least half way from the background to the brightest grey.  The strip is as deep as it is white on
    nine tenths of the breast's lines across it, and on nine tenths of those just next to the breast,
    which are dark again behind the strip.  So tissue that touches the edge is no border: next to it
    the edge is dark.  Where tissue fills the whole edge nothing is known, and nothing taken away.

    The chest wall's edge is left alone: lesions reach into the strips that are there.

    Parameters
    ----------
    pixels : as for :func:`find_breast`.
    """
    step = _step(pixels)
    levels = _levels(_reduced(pixels, step))
    return _enlarged(_border(levels, _background(levels)[0]), step, pixels.shape)


def blanked_film(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A film with 0 off the breast and on its white borders; a margin of 1 % around it is kept."""
    kept = dilated(mask, MARGIN * max(mask.shape)) & ~film_border(pixels)
    return np.where(kept, pixels, 0).astype(pixels.dtype)


def has_grey_background(pixels: np.ndarray, mask: np.ndarray) -> bool:
    """Whether most of what is off the breast is above 0; labels are the lesser part."""
    return not mask.all() and bool(np.median(pixels[~mask]) > 0)


def is_breast_shaped(mask: np.ndarray) -> bool:
    """Whether the mask may be a breast, and not background or an image that tissue fills.

    A breast neither fills the image, nor touches both sides along most of it, nor reaches three of
    its corners (it has the two at its chest wall at most).  It is nearly convex; air around a breast
    is not.
    """
    few = mask[:: _step(mask), :: _step(mask)].astype(np.uint8)
    across = (few[:, 0] & few[:, -1]).mean()
    corners = few[[0, 0, -1, -1], [0, -1, 0, -1]].sum()
    # the hull of the parts' borders is that of all their pixels, which are many more
    borders, _ = cv2.findContours(few, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.fillConvexPoly(np.zeros_like(few), cv2.convexHull(np.concatenate(borders)), 1)
    solid = few.sum() / hull.sum()
    return bool(few.mean() <= FULL and across <= BOTH_SIDES and corners <= 2 and solid >= SOLID)


def chest_wall(mask: np.ndarray) -> str:
    """The side edge of the chest wall, "left" or "right".

    It is the edge with more breast in its outermost 2 % of the columns, in the upper half of the
    breast: a large breast reaches both edges, but only below on the other side (MLO views).  If it
    touches neither edge, it is the nearer one.

    Parameters
    ----------
    mask : bool (rows, cols) from :func:`find_breast`.
    """
    r0, c0, r1, c1 = breast_box(mask)
    strip = max(1, round(0.02 * mask.shape[1]))
    for upper in (mask[r0 : (r0 + r1 + 1) // 2], mask):
        left, right = int(upper[:, :strip].sum()), int(upper[:, -strip:].sum())
        if left != right:
            break
    if left == right == 0:
        left, right = mask.shape[1] - c1, c0  # the wider gap speaks for the other edge
    return "left" if left >= right else "right"


def breast_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """row0, col0, row1, col1 (half-open) of the True pixels."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    """The mask and all pixels within `radius` px of it."""
    if radius <= 0 or mask.all():
        return mask
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return away <= radius


# ------------------------------------------------------------------ parts
def _step(pixels: np.ndarray) -> int:
    return max(1, -(-max(pixels.shape) // WORK_PX))


def _enlarged(mask: np.ndarray, step: int, shape: tuple[int, int]) -> np.ndarray:
    return np.repeat(np.repeat(mask, step, axis=0), step, axis=1)[: shape[0], : shape[1]]


def _reduced(pixels: np.ndarray, step: int) -> np.ndarray:
    """Means over step x step blocks; an incomplete last block is averaged over what it has."""
    if step == 1:
        return pixels.astype(np.float32)
    rows, cols = -(-pixels.shape[0] // step), -(-pixels.shape[1] // step)
    pad = ((0, rows * step - pixels.shape[0]), (0, cols * step - pixels.shape[1]))
    whole = np.pad(pixels, pad, mode="edge")
    return cv2.resize(whole, (cols, rows), interpolation=cv2.INTER_AREA).astype(np.float32)


def _opened(mask: np.ndarray, radius: float, edge: int) -> np.ndarray:
    """Largest part of the mask that a disc of `radius` px can reach, and a fifth beyond, so that
    corners stay.  Above and below the image the mask ends; left and right, where the chest wall
    is, it goes on as at the edge or ends, as `edge` (a border type of OpenCV) says."""
    pad = int(radius) + 2
    wide = cv2.copyMakeBorder(mask.astype(np.uint8), 0, 0, pad, pad, edge, value=0)
    wide = cv2.copyMakeBorder(wide, 1, 1, 0, 0, cv2.BORDER_CONSTANT, value=0)
    core = cv2.distanceTransform(wide, cv2.DIST_L2, 5) > radius
    if not core.any():
        return np.zeros(mask.shape, bool)
    core = largest_part(core)
    reach = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5) <= 1.2 * radius
    return largest_part(reach[1:-1, pad:-pad] & mask)


def largest_part(mask: np.ndarray) -> np.ndarray:
    parts = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    number, labels, stats, _ = parts
    if number <= 2:
        return mask
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def _largest_thick(mask: np.ndarray, edge: int) -> np.ndarray | None:
    """The largest part that a disc fits into, without holes; None where there is none."""
    radius = OPENING * max(mask.shape)
    while radius >= 1:  # a very small breast vanishes under the full radius
        found = _opened(mask, radius, edge)
        if found.any():  # a hole is what the background cannot reach from outside the image
            wide = np.pad(~found, 1, constant_values=True).astype(np.uint8)
            cv2.floodFill(wide, None, (0, 0), 2)
            return wide[1:-1, 1:-1] != 2
        radius /= 2
    return None


# ------------------------------------------------------------------ digital
def _digital(pixels: np.ndarray, step: int) -> np.ndarray | None:
    """The breast above a background of 0 or, where that gives no breast, above the background's level.

    The darkest and the brightest hundredth (dead pixels, labels) do not count for that level.  Where
    neither gives a breast with air around it, it is all that is above 0.
    """
    few = pixels[::step, ::step]
    mask = _largest_thick(few > 0, cv2.BORDER_REPLICATE)
    if mask is None or not (not is_breast_shaped(mask) or has_grey_background(few, mask)):
        return mask
    grey = _reduced(pixels, step)
    low, high = np.percentile(grey, (1, 99)).astype(grey.dtype)
    levels = _levels(np.clip(grey, low, high))
    found = _largest_thick(levels > _background(levels)[1], cv2.BORDER_REPLICATE)
    return mask if found is None or not _is_flat(levels, found) else found


def _is_flat(levels: np.ndarray, mask: np.ndarray) -> bool:
    """Whether what is above and below the mask is air: even, next to its contrast to the mask."""
    columns = mask.any(axis=0)  # the others may be padding of another level
    air = levels[:, columns][~mask[:, columns]]
    if not air.size:
        return False
    low, middle, high = np.percentile(air, (25, 50, 75))
    return high - low <= FLAT * (np.median(levels[mask]) - middle)


# ------------------------------------------------------------------ film
def _film(grey: np.ndarray) -> np.ndarray | None:
    """The breast on a scanned film: the largest thick part above the film's own background.

    The opening takes away labels and tape that touch the breast by a narrow bridge, and the bright
    lines at a film's rim, for which the image's edges count as dark.
    """
    levels = _levels(grey)
    base, threshold = _background(levels)
    return _largest_thick((levels > threshold) & ~_border(levels, base), cv2.BORDER_CONSTANT)


def _levels(grey: np.ndarray) -> np.ndarray:
    """Greys without specks, from 0 to 255, uint8."""
    soft = cv2.GaussianBlur(cv2.medianBlur(grey, 5), (0, 0), 1.5)
    return cv2.normalize(soft, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def _background(levels: np.ndarray) -> tuple[float, float]:
    """Level of the film's background, and the threshold above which tissue begins.

    The background's level is the most frequent one of the dark pixels, its spread that of the pixels
    below that level; the threshold is four spreads above it, but not nearer than 6 % and not
    farther than 14 % of the way to the tissue.  Columns without tissue (the padding next to a film)
    do not count.
    """
    otsu, _ = cv2.threshold(levels, 0, 1, cv2.THRESH_OTSU)
    film = levels[:, np.percentile(levels, 98, axis=0) > otsu / 2]
    dark, bright = film[film < otsu / 2], film[film > otsu]
    if not bright.size:
        return 0.0, 255.0  # an empty film
    if not dark.size:  # tissue fills the film
        return 0.0, otsu / 2
    counts = np.convolve(np.bincount(dark), np.ones(3), "same")
    base = int(counts.argmax())
    below = dark[dark <= base].astype(np.float64)
    spread = float(np.sqrt(np.mean((below - base) ** 2))) if below.size else 0.0
    contrast = float(np.median(bright)) - base
    return base, base + float(np.clip(4 * spread, 0.06 * contrast, 0.14 * contrast))


def _border(levels: np.ndarray, base: float) -> np.ndarray:
    """See :func:`film_border`; on the levels of a reduced film, `base` that of its background."""
    found = np.zeros(levels.shape, bool)
    reach = round(BORDER * max(levels.shape))
    for edge, strip in ((levels, found), (levels[::-1], found[::-1])):
        lines = edge[:reach].T
        depth = _strip_depth(lines, base + (255 - base) / 2, base + (255 - base) / 6)
        strip[:reach] |= (np.arange(lines.shape[1]) < depth[:, None]).T
    return found


def _strip_depth(lines: np.ndarray, white: float, dark: float) -> np.ndarray:
    """How deep the white strip at the start of each of `lines` (n, reach) is, px; 0 or less: none."""
    at = np.arange(len(lines))
    ended = np.pad(lines >= white, ((0, 0), (1, 0)), constant_values=True)[:, ::-1]
    depth = lines.shape[1] - ended.argmax(axis=1)  # up to the innermost white px
    off = (lines[:, -3:] <= dark).all(axis=1)
    near = dilated(~off[None], BESIDE * len(lines))[0] & ~off.all()  # tissue, and next to it
    beside = np.flatnonzero(off & near)
    if len(beside) < 0.02 * len(lines):
        return np.zeros(len(lines))
    slope, seen = 0.0, np.flatnonzero(off & (depth > 0))
    if len(seen) > len(lines) / 4:  # a shorter stretch has no certain tilt
        points = np.stack([seen, depth[seen]], axis=1).astype(np.float32)
        along, across, _, _ = cv2.fitLine(points, cv2.DIST_L1, 0, 0.01, 0.01).ravel()
        slope = float(np.clip(across / along, -TILT, TILT))
    level = depth - slope * at  # nine tenths of the lines reach the tenth percentile
    return min(np.percentile(level[near], 10), np.percentile(level[beside], 10)) + slope * at
