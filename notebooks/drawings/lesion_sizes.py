"""How large lesions are compared with the windows, by truth and other groups of a set."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from lesionlib.errors import InputError
from study.plots import style

_MOST = 7  # groups of one column


def sizes(lesions: pd.DataFrame, by: Sequence[str], side_min: float, side_max: float) -> Axes:
    """Longest side of a lesion's box over the window sides: median, quartiles, 5 to 95 % by group.

    lesions : columns rows, cols (px of the canvas) and `by`.  by : columns whose values are the
    groups, at most seven each; empty values are left out, and so is a column with only one.
    Next to each group is how many of its lesions are smaller, or larger, than every window.
    """
    extent = lesions[["rows", "cols"]].max(axis=1)
    groups = {
        f"{column}: {name}": extent[lesions[column] == name].to_numpy(float)
        for column in by
        for name in _levels(lesions[column])
    }
    if not groups:
        raise InputError("no group", "sizes", "Name a column with two values or more")
    ax = style.axes(None, style.PAGE, 0.27 * len(groups) + 1.0)
    ax.axvspan(side_min, side_max, color="0.9", zorder=0,
               label=f"window sides, {side_min:g} to {side_max:g} px")  # fmt: skip
    ax.boxplot(list(groups.values()), orientation="horizontal", positions=range(len(groups)),
               whis=(5, 95), showfliers=False, showcaps=False, widths=0.4, patch_artist=True,
               boxprops={"color": style.BLUE, "facecolor": style.BLUE}, whiskerprops={"color": style.BLUE},
               medianprops={"color": "white"}, manage_ticks=False,
               label="median, quartiles, 5 to 95 %")  # fmt: skip
    notes = [f"n = {len(s)}: {(s < side_min).sum()} smaller, {(s > side_max).sum()} larger"
             for s in groups.values()]  # fmt: skip
    style.rows(ax, list(groups), notes)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="longest side of a lesion's box (px of the canvas, log scale)",
           ylabel="lesions by group")  # fmt: skip
    style.legend_above(ax)
    return ax


def _levels(values: pd.Series) -> list[str]:
    """The most frequent values of a column, the empty one left out; none if there is only one."""
    counts = values[values != ""].value_counts()
    return list(counts.index[:_MOST]) if len(counts) > 1 else []
