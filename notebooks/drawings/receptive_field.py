"""The cells of the maps on the image: their squares, and where a cell really looks."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

from lesionlib.errors import InputError
from study.plots import style


def receptive_field(
    pull: np.ndarray,
    centre: tuple[float, float],
    corner: tuple[float, float],
    *,
    cell: int = 64,
    radius: float = 0,
) -> Axes:
    """How strongly each pixel moves the number of one cell, around the cell.

    Parameters
    ----------
    pull : (rows, cols) size of the gradient of the cell's number, 0 or more.
    centre : (row, col) px where the cell looks.  corner : upper left corner of its square.
    radius : px of the circle around `centre` that holds 90 % of the pull; 0 draws none.
    """
    pull = np.asarray(pull, float)
    if pull.ndim != 2 or not pull.any():
        raise InputError("no gradient", "receptive_field", "Give (rows, cols), not all 0")
    ax = style.axes(None, 3.6, 3.4)
    rows, cols = pull.shape
    zoom = max(3.5 * cell, 1.12 * radius)
    top = np.percentile(pull[pull > 0], 99.9)
    ax.imshow(np.sqrt(np.clip(pull / top, 0, 1)), cmap="gray", vmin=0, vmax=1,
              extent=(0, cols, rows, 0), interpolation="nearest")  # fmt: skip
    line = {"fill": False, "linewidth": 1.6, "path_effects": style.halo(2.4)}
    square = Rectangle(corner[::-1], cell, cell, edgecolor="#56B4E9", **line)
    square.set_label(f"the cell's square, {cell} px")
    ax.add_patch(square)
    ax.plot(centre[1], centre[0], "+", color="#F0E442", markersize=11, markeredgewidth=2,
            label="where it looks", linestyle="none")  # fmt: skip
    if radius:
        ring = Circle(centre[::-1], radius, edgecolor="#F0E442", linestyle="--", **line)
        ring.set_label(f"90 % of its pull, {radius:.0f} px")
        ax.add_patch(ring)
    ax.set(xlim=(centre[1] - zoom, centre[1] + zoom), ylim=(centre[0] + zoom, centre[0] - zoom),
           xlabel="column (px)", ylabel="row (px)")  # fmt: skip
    style.legend_above(ax, frameon=True, labelcolor="white", facecolor="0.35", edgecolor="none")
    for handle in ax.get_legend().legend_handles:
        handle.set_path_effects([])
    return ax


def cell_grid(ax: Axes, shape: tuple[int, int], cell: int = 64) -> Axes:
    """The cells (h, w) of the maps, `cell` px per side, as lines over a mammogram."""
    look = {"color": "white", "linewidth": 0.4, "alpha": 0.45}
    rows, cols = (cell * np.arange(n + 1) for n in shape)
    ax.hlines(rows, cols[0], cols[-1], **look)
    ax.vlines(cols, rows[0], rows[-1], **look)
    return ax
