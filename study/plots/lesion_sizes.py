"""How large lesions are beside the windows, by truth and by whatever groups a set tells apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from lesionlib.errors import InputError
from study.plots import style

_BOX = "#14507E"
_MOST = 7  # groups of one column


def sizes(
    lesions: pd.DataFrame,
    by: Sequence[str],
    side_min: float,
    side_max: float,
    *,
    ax: Axes | None = None,
    phantom: bool = False,
) -> Axes:
    """Longest side of a lesion's box over the window sides: median, quartiles, 5 to 95 % a group.

    lesions : columns rows, cols (px of the canvas) and `by`.  by : columns whose values are the
    groups, at most seven each; empty values are left out, and so is a column with only one.
    Beside each group stands how many of its lesions are smaller, or larger, than every window.
    """
    extent = lesions[["rows", "cols"]].max(axis=1)
    groups = [
        (f"{column}: {name}", extent[lesions[column] == name].to_numpy(float))
        for column in by
        for name in _levels(lesions[column])
    ]
    if not groups:
        raise InputError("no group", "plots.sizes", "Name a column with two values or more")
    ax = style.axes(ax, style.PAGE, 0.27 * len(groups) + 1.0)
    ax.axvspan(side_min, side_max, color="0.9", zorder=0,
               label=f"window sides, {side_min:g} to {side_max:g} px")  # fmt: skip
    for row, (_, sides) in enumerate(groups):
        low, q1, middle, q3, high = np.percentile(sides, (5, 25, 50, 75, 95))
        ax.hlines(row, low, high, color=_BOX, linewidth=1)
        name = None if row else "median, quartiles, 5 to 95 %"
        ax.hlines(row, q1, q3, color=_BOX, linewidth=7, label=name)
        ax.plot(middle, row, "|", color="white", markersize=7, markeredgewidth=1.6)
        smaller, larger = (sides < side_min).sum(), (sides > side_max).sum()
        text = f"n = {len(sides)}: {smaller} smaller, {larger} larger"
        ax.annotate(text, (1.02, row), xycoords=("axes fraction", "data"), va="center",
                    fontsize=6.5, annotation_clip=False)  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="longest side of a lesion's box (px of the canvas, log scale)",
           ylabel="lesions by group", yticks=range(len(groups)),
           ylim=(len(groups) - 0.5, -0.5))  # fmt: skip
    ax.set_yticklabels([name for name, _ in groups])
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    style.mark(ax.figure, phantom)
    return ax


def _levels(values: pd.Series) -> list[str]:
    """The most frequent values of a column, the empty one left out; none if there is only one."""
    counts = values[values != ""].value_counts()
    return list(counts.index[:_MOST]) if len(counts) > 1 else []
