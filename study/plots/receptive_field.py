"""Where on the image a cell of a map looks, beside the square that it is taken to stand for."""

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
    radius: float | None = None,
    zoom: float | None = None,
    ax: Axes | None = None,
    phantom: bool = False,
) -> Axes:
    """How strongly each pixel moves the number of one cell, around the cell.

    Parameters
    ----------
    pull : (rows, cols) size of the gradient of the cell's number, 0 or more.
    centre : (row, col) px where the cell looks.  corner : upper left corner of its square.
    radius : px of a circle around `centre`, such as the one that holds 90 % of the pull.
    zoom : px shown on each side of the centre; by default a little more than the circle.
    """
    pull = np.asarray(pull, float)
    if pull.ndim != 2 or not pull.any():
        raise InputError("no gradient", "plots.receptive_field", "Give (rows, cols), not all 0")
    ax = style.axes(ax, 3.6, 3.4)
    rows, cols = pull.shape
    zoom = max(3.5 * cell, 1.12 * (radius or 0)) if zoom is None else zoom
    top = np.percentile(pull[pull > 0], 99.9)
    ax.imshow(np.sqrt(np.clip(pull / top, 0, 1)), cmap="gray", vmin=0, vmax=1,
              extent=(0, cols, rows, 0), interpolation="nearest")  # fmt: skip
    line = {"fill": False, "linewidth": 1.6, "path_effects": style.halo(2.4)}
    square = Rectangle(corner[::-1], cell, cell, edgecolor="#56B4E9", **line)
    square.set_label(f"the cell's square, {cell} px")
    ax.add_patch(square)
    ax.plot(centre[1], centre[0], "+", color="#F0E442", markersize=11, markeredgewidth=2,
            label="where it looks", linestyle="none")  # fmt: skip
    if radius is not None:
        ring = Circle(centre[::-1], radius, edgecolor="#F0E442", linestyle="--", **line)
        ring.set_label(f"90 % of its pull, {radius:.0f} px")
        ax.add_patch(ring)
    ax.set(xlim=(centre[1] - zoom, centre[1] + zoom), ylim=(centre[0] + zoom, centre[0] - zoom),
           xlabel="column (px)", ylabel="row (px)")  # fmt: skip
    legend = ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=True,
                       labelcolor="white", facecolor="0.35", edgecolor="none")  # fmt: skip
    for handle in legend.legend_handles:
        handle.set_path_effects([])
    style.mark(ax.figure, phantom)
    return ax
