"""Windows: squares on the canvas, and the geometry that all of the library uses for them.

A window is a place on an image, a patch is its pixels (Wu et al. 2020, patches of the local
network).  A window table has one row per window and the columns of `COLUMNS`.  A point is
(row, col) in px of the canvas; pixel centres are at integers + .5.  The angle is in degrees,
anticlockwise as displayed.  Inside a window, `right` and `down` are the distances in px from its
centre along its own sides:

    col = window.col + right cos(angle) + down sin(angle)
    row = window.row - right sin(angle) + down cos(angle)

`to_canvas` is this rule.  Patches, overlaps and location indicator maps all use it.

`windows` is a window table, one row of it, or any mapping with its columns.  A table of n windows
gives arrays whose first axis has length n; a single row gives arrays without this axis.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lesionlib.errors import InputError

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
# Below this angle a window counts as unturned: no edge of a 10,000 px window moves by 1e-6 px.
STRAIGHT = 1e-9
# px (row, col) from the middle of a cell's square to the point the cell looks at.  GMIC's cell
# (i, j) looks at (64 i + 2.5, 64 j + 2.5): its kernels, strides and paddings fix it.
CELL_SHIFTS = {"nominal": (0.0, 0.0), "true_centre": (-29.5, -29.5)}
CHUNK = 4096  # windows at a time in location_maps: bounds its memory, changes no number

Windows = pd.DataFrame | pd.Series | Mapping | np.ndarray


def window_table(*, image, row, col, side, angle=0.0, label=2, lesion=-1) -> pd.DataFrame:
    """Make a window table from columns; scalars are repeated.

    Parameters
    ----------
    image, row, col, side, angle, label, lesion : scalar or array of shape (n,), see `COLUMNS`

    Returns
    -------
    DataFrame of n rows, checked by `check_windows`
    """
    given = dict(image=image, row=row, col=col, side=side, angle=angle, label=label, lesion=lesion)
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value)) for value in given.values()))
    pairs = zip(COLUMNS.items(), arrays, strict=True)
    table = pd.DataFrame({name: values.astype(dtype) for (name, dtype), values in pairs})
    return check_windows(table)


def check_windows(windows: pd.DataFrame, images: int | None = None) -> pd.DataFrame:
    """Return the table itself if it is a window table.

    Parameters
    ----------
    windows : DataFrame
    images : int, optional
        Number of images in the store that the windows refer to.

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        For a missing column, a value that is not finite, a side of 0 px or less, a label outside
        `CLASSES`, or an image that the store does not have.
    """
    missing = [name for name in COLUMNS if name not in windows]
    if missing:
        what = f"a window table has no column {', '.join(missing)}"
        raise InputError(what, "windows", "Use window_table()")
    count = np.inf if images is None else images
    limits = {name: (-np.inf, np.inf) for name in ("row", "col", "angle")}
    limits |= {"side": (0, np.inf), "label": (-1, len(CLASSES)), "image": (-1, count)}
    for name, (low, high) in limits.items():  # both excluded
        values = windows[name].to_numpy()
        rows = ~((values > low) & (values < high))
        if rows.any():
            place = int(np.argmax(rows))
            what = f"window {place} has {name} {values[place]}"
            where = f"{rows.sum()} of {len(windows)} windows have this fault"
            raise InputError(what, where, "Draw the windows from the store they are used on")
    return windows


def to_canvas(windows: Windows, offsets: np.ndarray) -> np.ndarray:
    """Turn offsets from a window's centre into points of the canvas.

    Parameters
    ----------
    windows : n windows
    offsets : array of shape (m, 2) or (n, m, 2), (down, right) in px

    Returns
    -------
    array of shape (n, m, 2), (row, col) in px
    """
    row, col, cos, sin = _pose(windows)
    down, right = offsets[..., 0], offsets[..., 1]
    return np.stack([row - right * sin + down * cos, col + right * cos + down * sin], axis=-1)


def window_affine(windows: Windows, patch: int) -> np.ndarray:
    """Affine map from the pixels of a patch to the canvas: `A @ (u, v, 1) = (col, row)`.

    u is the column and v the row on the patch.  Pixel centres are at integers + .5 on both sides
    (OpenCV's are at integers: shift by .5).

    Parameters
    ----------
    windows : n windows
    patch : int, side in px

    Returns
    -------
    float64 array of shape (n, 2, 3)
    """
    row, col, cos, sin = (value[..., 0] for value in _pose(windows))
    scale = np.asarray(windows["side"], dtype=float) / patch
    turn = np.stack([cos, sin, -sin, cos], axis=-1).reshape(*cos.shape, 2, 2)
    turn = turn * scale[..., None, None]
    shift = np.stack([col, row], axis=-1) - turn.sum(axis=-1) * patch / 2
    return np.concatenate([turn, shift[..., None]], axis=-1)


def corners(windows: Windows) -> np.ndarray:
    """Corners of each window on the canvas.

    Parameters
    ----------
    windows : n windows

    Returns
    -------
    array of shape (n, 4, 2), (row, col) in px, clockwise from the patch's upper left
    """
    half = np.asarray(windows["side"], dtype=float)[..., None, None] / 2
    return to_canvas(windows, half * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]))


def points_inside(windows: Windows, points: np.ndarray) -> np.ndarray:
    """Which points of the canvas are in each window; its upper and left side belong to it.

    Parameters
    ----------
    windows : n windows
    points : array of shape (m, 2), (row, col) in px

    Returns
    -------
    bool array of shape (n, m)
    """
    half = np.asarray(windows["side"], dtype=float)[..., None, None] / 2
    offsets = _to_window(windows, np.asarray(points, dtype=float))
    return ((offsets >= -half) & (offsets < half)).all(axis=-1)


def _to_window(windows: Windows, points: np.ndarray) -> np.ndarray:
    """Inverse of `to_canvas`: offsets (n, m, 2) of canvas points (m, 2) or (n, m, 2)."""
    row, col, cos, sin = _pose(windows)
    below, across = points[..., 0] - row, points[..., 1] - col
    return np.stack([across * sin + below * cos, across * cos - below * sin], axis=-1)


def _pose(windows: Windows) -> tuple[np.ndarray, ...]:
    """Centre row and col, cosine and sine of each window, with an axis to broadcast over points."""
    turn = np.deg2rad(np.asarray(windows["angle"], dtype=float))
    values = (windows["row"], windows["col"], np.cos(turn), np.sin(turn))
    return tuple(np.asarray(value, dtype=float)[..., None] for value in values)


def inside_area(windows: Windows, canvas: tuple[int, int]) -> np.ndarray:
    """Area of each window inside the canvas.

    Parameters
    ----------
    windows : n windows
    canvas : (rows, cols) in px

    Returns
    -------
    float64 array of shape (n,), px^2
    """
    shares = _shares(windows, (1, 1), np.asarray(canvas, dtype=float), np.zeros(2))
    return shares[:, 0, 0].reshape(np.shape(windows["row"])) * canvas[0] * canvas[1]


def location_maps(
    windows: pd.DataFrame,
    shape: tuple[int, int],
    cell: int = 64,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Location indicator maps I (Wu et al. 2020).

    The value of a cell is the exact share of its area that the window covers, at any angle.  The
    sum of a map times cell^2 is the window's area inside the grid.  A cell that the window does not
    reach is exactly 0, since the embedding maps are cut by I > 0.

    Parameters
    ----------
    windows : DataFrame of n windows
    shape : (h, w) in cells; cell (0, 0) starts at the canvas' upper left corner
    cell : int, side in px of the canvas
    shift : (row, col) in px
        Moves the grid of cells, for a network whose cells do not look at the middle of their square
        (`CELL_SHIFTS`).  What is beyond the grid's last row and column is in no cell.

    Returns
    -------
    float32 array of shape (n, h, w), values 0..1
    """
    size, moved = np.full(2, float(cell)), np.asarray(shift, dtype=float)
    maps = np.zeros((len(windows), *shape), dtype=np.float32)
    for start in range(0, len(windows), CHUNK):
        part = slice(start, start + CHUNK)
        maps[part] = _shares(windows.iloc[part], shape, size, moved)
    return maps


def _shares(windows: Windows, shape, size: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Share of each cell of `size` (rows, cols px) that each window covers: float64 (n, *shape)."""
    names = ("row", "col", "side", "angle")
    pose = {name: np.atleast_1d(np.asarray(windows[name], float)) for name in names}
    angle = np.mod(pose["angle"], 90.0)  # a square turned by 90 degrees is the same square
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

    The vertices are the leftmost, top, rightmost and bottom one, in this order.  The left and the
    right side are each a line with one knee.  Between the rows of knees and cells both are
    straight, and the area to the left of a straight line in a cell has a closed form:
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

    It is exactly 0 or 1 where the whole run is on one side, so that the two sides of a window
    cancel exactly in the cells that it does not reach.
    """
    low, high = np.minimum(start, end), np.maximum(start, end)
    low_in, high_in = np.clip(low, 0, 1), np.clip(high, 0, 1)
    above = np.maximum(high, 1) - np.maximum(low, 1)
    total = (high_in - low_in) * (low_in + high_in) / 2 + above
    return np.divide(total, high - low, out=low_in, where=high > low)


def _place(local: np.ndarray, rows: np.ndarray, cols: np.ndarray, shape) -> np.ndarray:
    """Write each window's box of cells (n, a, b) into its map (n, *shape), dropping the rest."""
    maps = np.zeros((len(local), *shape))
    known_rows, known_cols = (rows >= 0) & (rows < shape[0]), (cols >= 0) & (cols < shape[1])
    window, down, across = np.nonzero(known_rows[:, :, None] & known_cols[:, None])
    maps[window, rows[window, down], cols[window, across]] = local[window, down, across]
    return maps
