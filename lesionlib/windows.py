"""Windows: squares on the canvas, and the one geometry that all of the library uses for them.

A window is where, a patch is the pixels.  A window table has one row a window; its columns are
`COLUMNS`.  A point is (row, col) in px of the canvas, with pixel centres at integer + .5.  The
angle is in degrees, anticlockwise as displayed, while rows run downwards.  Inside a window, `right`
and `down` are the distances in px from its centre along its own sides:

    col = window.col + right cos(angle) + down sin(angle)
    row = window.row - right sin(angle) + down cos(angle)

Promises: `to_canvas` is that rule, `to_window` its inverse, and nothing else in the library turns a
window.  Patches, overlaps and location indicator maps (Wu et al. 2020) therefore cannot disagree.

Functions that take `windows` take a table, one row of it, or any mapping with those columns; a
table of n windows gives arrays that start with n, a single row gives them without it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.outlines import Outline

CLASSES = ("malignant", "benign", "outside", "negative")
COLUMNS = {
    "image": "int64",  # row of store.images
    "row": "float64",  # centre, px of the canvas
    "col": "float64",
    "side": "float64",  # px of the canvas
    "angle": "float64",  # degrees, anticlockwise as displayed
    "label": "int64",  # index into CLASSES
    "lesion": "int64",  # row of store.lesions, or -1
}
# Below this the window counts as unturned; it moves no edge of a 10,000 px window by 1e-6 px.
STRAIGHT = 1e-9
# px (row, col) by which the cells of a map lie off their squares.  GMIC's cell (i, j) looks at
# (64 i + 2.5, 64 j + 2.5), as its kernels, strides and paddings fix it, and not at 64 i + 32.
CELL_SHIFTS = {"nominal": (0.0, 0.0), "true_centre": (-29.5, -29.5)}
CHUNK = 4096  # windows at a time: bounds the memory of location_maps, changes no number

Windows = pd.DataFrame | pd.Series | Mapping


# ------------------------------------------------------------------ the table
def window_table(*, image, row, col, side, angle=0.0, label=2, lesion=-1) -> pd.DataFrame:
    """A window table from columns; scalars are repeated.  Raises InputError as `check_windows`."""
    given = dict(image=image, row=row, col=col, side=side, angle=angle, label=label, lesion=lesion)
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value)) for value in given.values()))
    pairs = zip(COLUMNS.items(), arrays, strict=True)
    table = pd.DataFrame({name: values.astype(dtype) for (name, dtype), values in pairs})
    return check_windows(table)


def check_windows(windows: pd.DataFrame, images: int | None = None) -> pd.DataFrame:
    """Give the table back, or raise InputError for the first thing that is wrong with it.

    Wrong are: a missing column, a value that is not finite, a side of 0 px or less, a label outside
    `CLASSES`, and, where the number of `images` in the store is given, an image that it lacks.
    """
    missing = [name for name in COLUMNS if name not in windows]
    if missing:
        raise InputError(
            f"a window table has no column {', '.join(missing)}", "windows", "Use window_table()"
        )
    faults = {"side": windows["side"] <= 0, "label": ~windows["label"].between(0, len(CLASSES) - 1)}
    for name in ("row", "col", "side", "angle"):
        faults[name] = faults.get(name, False) | ~np.isfinite(windows[name])
    faults["image"] = windows["image"] < 0
    if images is not None:
        faults["image"] |= windows["image"] >= images
    for name, wrong in faults.items():
        if np.any(wrong):
            place = int(np.argmax(wrong))
            raise InputError(
                f"window {place} has {name} {windows[name].iloc[place]}",
                f"{int(np.sum(wrong))} of {len(windows)} windows are wrong so",
                "Draw the windows with lesionlib.sampling from the store they are used on",
            )
    return windows


# ------------------------------------------------------------------ the geometry
def to_canvas(windows: Windows, offsets: np.ndarray) -> np.ndarray:
    """Canvas points (..., m, 2) of offsets (m, 2) or (..., m, 2): (down, right) in px."""
    row, col, cos, sin = _pose(windows)
    down, right = offsets[..., 0], offsets[..., 1]
    return np.stack([row - right * sin + down * cos, col + right * cos + down * sin], axis=-1)


def to_window(windows: Windows, points: np.ndarray) -> np.ndarray:
    """Offsets (down, right) in px, shape (..., m, 2), of canvas points (m, 2) or (..., m, 2)."""
    row, col, cos, sin = _pose(windows)
    below, beside = points[..., 0] - row, points[..., 1] - col
    return np.stack([beside * sin + below * cos, beside * cos - below * sin], axis=-1)


def window_affine(windows: Windows, patch: int, *, inverse: bool = False) -> np.ndarray:
    """The map from canvas to patch pixels of each window, float64 (n, 2, 3).

    `A @ (col, row, 1) = (u, v)`: u the column and v the row on a patch of `patch` x `patch` px,
    pixel centres at integer + .5 on both sides (OpenCV's are at integers: shift by .5).
    `inverse=True` gives the map from patch to canvas, `A @ (u, v, 1) = (col, row)`.
    """
    row, col, cos, sin = (value[..., 0] for value in _pose(windows))
    scale = np.asarray(windows["side"], dtype=float) / patch
    if inverse:
        turn = np.stack([cos, sin, -sin, cos], axis=-1).reshape(*cos.shape, 2, 2)
        turn = turn * scale[..., None, None]
        shift = np.stack([col, row], axis=-1) - turn.sum(axis=-1) * patch / 2
    else:
        turn = np.stack([cos, -sin, sin, cos], axis=-1).reshape(*cos.shape, 2, 2)
        turn = turn / scale[..., None, None]
        centre = np.stack([col, row], axis=-1)[..., None]
        shift = patch / 2 - (turn @ centre)[..., 0]
    return np.concatenate([turn, shift[..., None]], axis=-1)


def corners(windows: Windows) -> np.ndarray:
    """Canvas points (n, 4, 2) of the patch's corners, clockwise from the upper left one."""
    half = np.asarray(windows["side"], dtype=float)[..., None, None] / 2
    return to_canvas(windows, half * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]))


def reach(windows: Windows) -> np.ndarray:
    """Half the side, in px, of the upright box around each window: (n,)."""
    _, _, cos, sin = (value[..., 0] for value in _pose(windows))
    return np.asarray(windows["side"], dtype=float) / 2 * (np.abs(cos) + np.abs(sin))


def points_inside(windows: Windows, points: np.ndarray) -> np.ndarray:
    """Which canvas points (m, 2) lie in each window: bool (n, m).

    The upper and left side belong to a window, the lower and right side do not, so that adjoining
    windows share no point.
    """
    half = np.asarray(windows["side"], dtype=float)[..., None, None] / 2
    offsets = to_window(windows, np.asarray(points, dtype=float))
    return ((offsets >= -half) & (offsets < half)).all(axis=-1)


def outline_points(outline: Outline) -> np.ndarray:
    """Centres (m, 2) of the outline's pixels on the canvas, row by row."""
    return np.argwhere(outline.mask) + (outline.row0 + 0.5, outline.col0 + 0.5)


def overlap_px(windows: Windows, outline: Outline) -> np.ndarray:
    """Pixels of an outline whose centre lies in each window: int (n,)."""
    return points_inside(windows, outline_points(outline)).sum(axis=-1)


def _pose(windows: Windows) -> tuple[np.ndarray, ...]:
    """Centre row and col, cosine and sine of each window, with an axis to broadcast over points."""
    turn = np.deg2rad(np.asarray(windows["angle"], dtype=float))
    values = (windows["row"], windows["col"], np.cos(turn), np.sin(turn))
    return tuple(np.asarray(value, dtype=float)[..., None] for value in values)


# ------------------------------------------------------------------ areas
def inside_area(windows: Windows, canvas: tuple[int, int]) -> np.ndarray:
    """Area in px^2 of each window inside a canvas of (rows, cols): float64 (n,)."""
    shares = _shares(windows, (1, 1), np.asarray(canvas, dtype=float), np.zeros(2))
    return shares[:, 0, 0].reshape(np.shape(windows["row"])) * canvas[0] * canvas[1]


def location_maps(
    windows: Windows,
    shape: tuple[int, int],
    cell: int = 64,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Location indicator maps I (Wu et al. 2020): float32 (n, *shape).

    The value of a cell is the exact share, 0..1, of its area that the window covers, at any angle:
    the sum of a map times cell^2 is the window's area inside the grid, and a cell that the window
    does not reach is exactly 0 (the embedding maps are cut by I > 0).

    windows : a table of n windows.
    shape : (h, w) of the map, in cells; cell (0, 0) starts at the canvas' upper left corner.
    cell : side of a cell, px of the canvas.
    shift : (row, col) in px by which the cells lie off their nominal place, for a network whose
        cells do not look at the middle of their square (`CELL_SHIFTS`); the windows stay, the grid
        moves, and what lies beyond its last row and column is in no cell.
    """
    size, shift = np.full(2, float(cell)), np.asarray(shift, dtype=float)
    count = len(windows["row"])
    maps = np.zeros((count, *shape), dtype=np.float32)
    table = {name: np.asarray(windows[name], float) for name in ("row", "col", "side", "angle")}
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        chunk = {name: values[part] for name, values in table.items()}
        maps[part] = _shares(chunk, shape, size, shift)
    return maps


def _shares(windows: Windows, shape, size: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Share of each cell of `size` (rows, cols px) that each window covers: float64 (n, *shape)."""
    pose = {
        name: np.atleast_1d(np.asarray(windows[name], float)) for name in ("row", "col", "side")
    }
    # a square turned by 90 degrees is the same square
    angle = np.mod(np.atleast_1d(np.asarray(windows["angle"], float)), 90.0)
    straight = np.minimum(angle, 90.0 - angle) < STRAIGHT
    vertices = (corners({**pose, "angle": np.where(straight, 0.0, angle)}) - shift) / size
    shares = np.zeros((len(angle), *shape))
    shares[straight] = _straight_shares(vertices[straight], shape)
    if not straight.all():
        shares[~straight] = _turned_shares(vertices[~straight], shape)
    return shares


def _straight_shares(vertices: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Shares of upright rectangles, vertices (n, 4, 2) in cells: a product of two overlaps."""
    overlaps = []
    for axis in (0, 1):
        start = np.arange(shape[axis])
        first, last = vertices[:, 0, axis, None], vertices[:, 2, axis, None]
        overlaps.append(np.clip(np.minimum(last, start + 1) - np.maximum(first, start), 0, 1))
    return overlaps[0][:, :, None] * overlaps[1][:, None, :]


def _turned_shares(vertices: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Shares of windows turned by more than 0 and less than 90 degrees, vertices in cells.

    Such a window has one leftmost, top, rightmost and bottom vertex, in this order.  Its left and
    its right side are each a line with one knee, so that between the knees' rows and the cells'
    rows both are straight and the area to the left of a straight line in a cell is closed form:
    covered = area left of the right side - area left of the left side.
    """
    left, top, right, bottom = (vertices[:, k] for k in range(4))
    first = np.floor(np.stack([top[:, 0], left[:, 1]], axis=1)).astype(int)
    last = np.ceil(np.stack([bottom[:, 0], right[:, 1]], axis=1)).astype(int)
    extent = (last - first).max(axis=0)
    rows = first[:, :1] + np.arange(extent[0])
    cols = first[:, 1:] + np.arange(extent[1])
    levels = np.sort(vertices[:, :, 0], axis=1)[:, None, :]
    levels = np.clip(levels, rows[:, :, None], rows[:, :, None] + 1)
    shares = np.zeros((len(vertices), *extent))
    for piece in range(3):
        start, end = levels[:, :, piece], levels[:, :, piece + 1]
        for knee, sign in ((right, 1), (left, -1)):
            edge = [_side_col(level, top, knee, bottom)[..., None] for level in (start, end)]
            within = _mean_clipped(*(col - cols[:, None, :] for col in edge))
            shares += sign * (end - start)[..., None] * within
    return _place(np.clip(shares, 0, 1), rows, cols, shape)


def _side_col(level: np.ndarray, top, knee, bottom) -> np.ndarray:
    """Column at which the side top-knee-bottom (each (n, 2)) crosses the rows `level` (n, m)."""

    def crossing(a, b):
        share = (level - a[:, :1]) / (b[:, :1] - a[:, :1])
        return a[:, 1:] + np.clip(share, 0, 1) * (b[:, 1:] - a[:, 1:])

    return np.where(level < knee[:, :1], crossing(top, knee), crossing(knee, bottom))


def _mean_clipped(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Mean of clip(t, 0, 1) for t running evenly from start to end.

    Written so that it is exactly 0 or 1 where the whole run lies on one side, for the two sides of
    a window to cancel exactly in the cells that it does not reach.
    """
    low, high = np.minimum(start, end), np.maximum(start, end)
    low_in, high_in = np.clip(low, 0, 1), np.clip(high, 0, 1)
    above = np.maximum(high, 1) - np.maximum(low, 1)
    total = (high_in - low_in) * (low_in + high_in) / 2 + above
    return np.divide(total, high - low, out=low_in, where=high > low)


def _place(local: np.ndarray, rows: np.ndarray, cols: np.ndarray, shape) -> np.ndarray:
    """Write each window's box of cells (n, a, b) into its map (n, *shape), dropping the rest."""
    maps = np.zeros((len(local), *shape))
    known = ((rows >= 0) & (rows < shape[0]))[:, :, None] & ((cols >= 0) & (cols < shape[1]))[
        :, None
    ]
    window, down, across = np.nonzero(known)
    maps[window, rows[window, down], cols[window, across]] = local[window, down, across]
    return maps
