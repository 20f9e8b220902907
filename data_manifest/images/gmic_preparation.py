"""GMIC's published preparation: from a digital mammogram to its window (Shen et al. 2021).

The preparation is the published one to the byte: crop to the breast, find the centre of a window (2944 x
1920 px for GMIC), cut it, standardise it.  A published GMIC expects such windows; the setting
`canvas.placement: gmic` makes every canvas one.  On the window the breast faces right, as on every
canvas.

The library's own placement (:func:`~data_manifest.images.placement.place_on_canvas`) centres the breast
between top and bottom.  This one fills CC views up alike above and below but puts the foot of MLO
views at the window's last row, and all padding below a short one.

:func:`noisy_window` is the published way's other half: the same window with random borders, for
training and test-time augmentation.  It starts from the film, so it is a function for those who
have films in hand; a store holds one window per image, the one without noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data_manifest.images.breast import breast_box, largest_part
from data_manifest.images.placement import Placement
from lesionlib.errors import InputError

STEPS = 100  # erosions and dilations, each by the 4-neighbour cross
BUFFER = 50  # px kept around the breast, but for the chest wall
WINDOW = (2944, 1920)
LEAST_SPREAD = 1e-5  # of the standard deviation
NOISE = (100, 100)  # px that a window in training moves at most: down or up, left or right
SIZE_NOISE = 100  # px that each of its borders moves besides


@dataclass(frozen=True)
class BreastCrop:
    """What cropping finds; the names of the published lists are in brackets.

    `rightmost` and `bottommost` are on the crop after it was mirrored to face right.  As published,
    the columns of a film that was mirrored are larger by 1 than those of its mirror image.

    Attributes
    ----------
    faces_right : where the breast points on the stored film.
    box : y0, y1, x0, x1 (half-open) on the stored film [window_location].
    rightmost : (first row, last row), column of the breast's tip [rightmost_points].
    bottommost : row, (first column, last column) of its foot [bottommost_points].
    gap : px between the chest wall and the film's edge [distance_from_starting_side].
    """

    faces_right: bool
    box: tuple[int, int, int, int]
    rightmost: tuple[tuple[int, int], int]
    bottommost: tuple[int, tuple[int, int]]
    gap: int

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """The crop of a film (rows, cols), facing right."""
        y0, y1, x0, x1 = self.box
        part = pixels[y0:y1, x0:x1]
        return part if self.faces_right else part[:, ::-1]


def crop_to_breast(
    pixels: np.ndarray, faces_right: bool, *, steps: int = STEPS, buffer: int = BUFFER
) -> BreastCrop:
    """Where the breast is on a film whose background is 0.

    The breast is the largest 4-connected part of what is left of the px above 0 after `steps`
    erosions, dilated as often; beyond the film there is nothing, so erosion eats from its edges,
    too.

    Raises
    ------
    InputError
        If nothing is left (the published code stops with the whole batch).
    """
    mask = _opened(pixels > 0, steps)
    row0, col0, row1, col1 = breast_box(mask)
    rows, cols = mask.shape
    foot = np.flatnonzero(mask[row1 - 1])
    y0, y1 = max(0, row0 - buffer), min(rows, row1 + buffer)
    if faces_right:
        x0, x1, gap = col0, min(cols, col1 + buffer), col0
        ends = int(foot[0]) - x0, int(foot[-1]) - x0
    else:
        x0, x1, gap = max(0, col0 - buffer), col1, cols - col1
        ends = x1 - int(foot[-1]), x1 - int(foot[0])
    tip = _tip(mask[y0:y1, x0:x1], faces_right)
    return BreastCrop(faces_right, (y0, y1, x0, x1), tip, (row1 - 1 - y0, ends), gap)


def optimal_centre(
    cropped: np.ndarray, view: str, crop: BreastCrop, window: tuple[int, int] = WINDOW
) -> tuple[int, int]:
    """Row and column of the window's centre on the crop, facing right; may be negative.

    CC: the tip is at the right edge, and of all rows the window holds most px above 0 (on a tie
    nearest to the crop's middle, then the upper).  MLO: the tip at the right, the foot at the last
    row; no search.

    Parameters
    ----------
    view : "CC" or "MLO".

    Raises
    ------
    InputError
        For another view.
    """
    rows, cols = window
    height, width = cropped.shape
    col = crop.rightmost[1] - cols // 2 - 1
    if not _is_cc(view):
        last = np.flatnonzero((cropped[:, -cols:] > 0).any(axis=1))[-1]
        return int(min(crop.bottommost[0], last)) - rows // 2 - 1, col
    if height <= rows:
        return height // 2, col
    left = max(0, col - cols // 2)
    filled = np.count_nonzero(cropped[:, left : left + cols], axis=1)
    total = np.concatenate([[0], np.cumsum(filled)])
    held = total[rows:] - total[:-rows]  # by the window that starts at each row
    centres = np.flatnonzero(held == held.max()) + rows // 2
    return int(min(centres, key=lambda y: (abs(y - height // 2), y))), col


def gmic_placement(
    pixels: np.ndarray,
    chest_wall: str,
    view: str,
    *,
    rows: int = WINDOW[0],
    cols: int = WINDOW[1],
    buffer: int = BUFFER,
) -> Placement:
    """Where a film is on GMIC's window, as a placement on a canvas of rows x cols px.

    Parameters
    ----------
    pixels : (rows, cols) of the film, bright tissue on a background of 0.
    chest_wall : "left" or "right" edge of the film.  view : "CC" or "MLO".

    Raises
    ------
    InputError
        Where no breast is found, and for other views.
    """
    crop = crop_to_breast(pixels, chest_wall == "left", buffer=buffer)
    centre = optimal_centre(crop.apply(pixels), view, crop, (rows, cols))
    y0, y1, x0, x1 = crop.box
    _, above, top = _lies(y1 - y0, rows, centre[0], centred=_is_cc(view))
    _, _, left = _lies(x1 - x0, cols, centre[1])
    height, width = pixels.shape
    if not crop.faces_right:
        x0, x1 = width - x1, width - x0
    placed = (y0, x0 + left, y1, x1, above - top)
    return Placement(height, width, not crop.faces_right, *placed, 1.0, rows, cols)


@dataclass(frozen=True)
class NoisyBorders:
    """Where a window with noise is on the padded crop; borders are (top, bottom, left, right).

    Attributes
    ----------
    padded_shape : rows and cols of the crop with 0 around it, px.
    above : rows of that padding above the crop; none is ever at its left.
    after_shift_noise : a window of the usual size, half-open, px.
    after_size_noise : the same with each border moved by itself: what is cut and resized.
    """

    padded_shape: tuple[int, int]
    above: int
    after_shift_noise: tuple[int, int, int, int]
    after_size_noise: tuple[int, int, int, int]


def noisy_borders(
    shape: tuple[int, int],
    view: str,
    centre: tuple[int, int],
    rng: np.random.RandomState,
    *,
    noise: tuple[int, int] = NOISE,
    size_noise: int = SIZE_NOISE,
    window: tuple[int, int] = WINDOW,
) -> NoisyBorders:
    """The borders that :func:`noisy_window` cuts from a crop of `shape` (rows, cols).

    Drawn are two shares of -1 to 1 for the shift (none without `noise`), then four for the borders
    (always).  The crop is padded only where it leaves no room for both noises; a window at an edge
    moves inwards, and no shift exceeds the room on its side.  The borders move by no more than the
    edge nearest to any of them allows, and in proportion to the window's sides.

    Raises
    ------
    InputError
        For a view other than "CC" and "MLO".
    """
    shares = rng.uniform(-1, 1, 2) if any(noise) else np.zeros(2)
    spare = [n + size_noise for n in noise]
    height, above, top = _lies(shape[0], window[0], centre[0], spare[0], _is_cc(view))
    width, _, left = _lies(shape[1], window[1], centre[1], spare[1])
    top = _shifted(top, window[0], height, noise[0], shares[0])
    left = _shifted(left, window[1], width, noise[1], shares[1])
    borders = (top, top + window[0], left, left + window[1])
    room = min(size_noise, top, height - borders[1], left, width - borders[3])
    rows, cols = (round(room * side / max(window)) for side in window)
    moves = rng.uniform(-1, 1, 4) * (rows, rows, cols, cols)
    moved = tuple(int(b + m) for b, m in zip(borders, moves.round(), strict=True))
    return NoisyBorders((height, width), above, borders, moved)


def noisy_window(
    cropped: np.ndarray,
    view: str,
    centre: tuple[int, int],
    rng: np.random.RandomState,
    *,
    noise: tuple[int, int] = NOISE,
    size_noise: int = SIZE_NOISE,
    window: tuple[int, int] = WINDOW,
) -> np.ndarray:
    """A window with random borders, (rows, cols) of `window` as float32, not standardised.

    Without noise it is the window of :func:`gmic_placement`.

    Parameters
    ----------
    cropped : (rows, cols) of the crop, facing right.  view, centre : of :func:`optimal_centre`.
    rng : the published generator; its draws advance it, and one seed gives the published borders.
    noise : px down or up and px left or right of a random shift.
    size_noise : px by which each border moves after it; the cut is resized (bicubic) to `window`.
    """
    given = {"noise": noise, "size_noise": size_noise, "window": window}
    borders = noisy_borders(cropped.shape, view, centre, rng, **given)
    (height, width), above = borders.padded_shape, borders.above
    below, beside = height - above - cropped.shape[0], width - cropped.shape[1]
    padded = np.pad(cropped.astype(np.float32), ((above, below), (0, beside)))
    top, bottom, left, right = borders.after_size_noise
    cut = padded[top:bottom, left:right]
    if cut.shape == tuple(window):
        return cut
    return cv2.resize(cut, window[::-1], interpolation=cv2.INTER_CUBIC)


def standardise(window: np.ndarray) -> np.ndarray:
    """A window as float32: minus its mean, over max(its standard deviation, 1e-5).

    Single precision throughout, the deviation taken after the mean has gone: the last bit of the
    published arrays comes from that.
    """
    values = window.astype(np.float32)
    values -= values.mean()
    return values / max(values.std(), np.float32(LEAST_SPREAD))


# ------------------------------------------------------------------ parts
def _is_cc(view: str) -> bool:
    if view in ("CC", "MLO"):
        return view == "CC"
    what = f"GMIC's preparation knows the views CC and MLO, not '{view}'"
    remedy = "Correct the view, leave the image out, or set canvas.placement: breast"
    raise InputError(what, "view", remedy)


def _opened(mask: np.ndarray, steps: int) -> np.ndarray:
    """Largest part after `steps` erosions, dilated as often: distances in whole steps (L1)."""
    inside = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L1, 3)[1:-1, 1:-1]
    core = inside > steps
    if not core.any():
        what = f"no breast found: nothing above 0 is more than {2 * steps} px thick"
        remedy = "Look at the image; leave it out, or set canvas.placement: breast"
        raise InputError(what, "", remedy)
    outside = cv2.distanceTransform((~largest_part(core)).astype(np.uint8), cv2.DIST_L1, 3)
    return outside <= steps


def _tip(mask: np.ndarray, faces_right: bool) -> tuple[tuple[int, int], int]:
    """The extreme column below the upper third: (first row, last row), column facing right."""
    height, width = mask.shape
    skipped = int(height / 3)
    cols = np.flatnonzero(mask[skipped:].any(axis=0))
    col = int(cols[-1] if faces_right else cols[0])
    rows = np.flatnonzero(mask[skipped:, col]) + skipped
    return (int(rows[0]), int(rows[-1])), col if faces_right else width - col


def _lies(
    length: int, size: int, centre: int, margin: int = 0, centred: bool = False
) -> tuple[int, int, int]:
    """On an axis of the crop: its length once padded, px padded before it, the window's first px.

    Padded is what leaves less than the window and its margin: at the end alone, where the window
    then starts at 0; if `centred` at both ends, with a margin before the window, too.
    """
    missing = size + (1 + centred) * margin - length
    if missing > 0:
        return length + missing, centred * (missing // 2), centred * margin
    return length, 0, int(np.clip(centre - size // 2, 0, length - size))


def _shifted(start: int, size: int, length: int, noise: int, share: float) -> int:
    """A window's first px after a shift by `share` of the noise; inwards where it has no choice."""
    if start == 0:
        share = abs(share)
    elif start + size == length:
        share = -abs(share)
    room = start if share < 0 else length - start - size
    return start + round(min(noise, room) * share)
