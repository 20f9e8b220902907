"""How much the maps of X vary before and after the first batch norm of f_agg."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from study.plots import style


def map_spread(table: pd.DataFrame) -> Axes:
    """Standard deviation of each map over cells and windows, on a logarithmic scale.

    table : index the maps' names, columns "SD before" and "SD after"; a map whose SD is 0 before
        has no point.
    """
    style.need(table, "SD before", "SD after")
    ax = style.axes(None, 6.6, 2.6)
    alive, places = table["SD before"] > 0, range(len(table))
    for when, marker, colour in (("before", "o", "0.45"), ("after", "s", style.BLUE)):
        shown = table[f"SD {when}"].where(alive)
        ax.plot(places, shown, marker, color=colour, label=f"{when} the first batch norm")
    ax.set(yscale="log", ylabel="SD over cells and windows")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xticks(places, table.index, rotation=90)
    style.legend_above(ax)
    return ax
