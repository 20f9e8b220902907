"""The phantom: networks next to ideal observers, and what a network says against what was drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.ideal_observers import in_words
from study.plots import style
from study.plots.relations import by_truth

IDEAL_COLOUR = "#B8860B"
NAMES = {
    "E": "lesion score of E",
    "s_m": "mean of S_m over the image",
    "s_m_half": "mean of S_m, the lesion's half",
    "s_m_other": "mean of S_m, the other half",
    "s_m_near": "mean of S_m at the lesion",
    "u": "u: how the lesion looks (SD)",
    "c": "c: the context in its half (SD)",
    "c_other": "c of the other half (SD)",
}


def beside_ideal(rows: pd.DataFrame, pairs: Mapping[str, str]) -> Axes:
    """AUC of networks, each with the ideal observer that sees what it sees, joined by a line.

    Parameters
    ----------
    rows : index model; columns auc, low_patients, high_patients, as ``tables.table_3`` gives them.
    pairs : network -> ideal observer, both in the index; first on top.
    """
    ax = style.axes(None, style.PAGE - 1, 0.46 * len(pairs) + 1.2)
    place = np.arange(len(pairs))
    for shift, names, colour, marker, label in (
        (-0.13, list(pairs.values()), IDEAL_COLOUR, "D", "ideal observer"),
        (0.13, list(pairs), style.BLUE, "o", "network"),
    ):
        part = rows.loc[names]
        spread = [part["auc"] - part["low_patients"], part["high_patients"] - part["auc"]]
        ax.errorbar(part["auc"], place + shift, xerr=np.abs(spread), fmt=marker, color=colour,
                    capsize=4, markersize=7, linewidth=1.8, label=label)  # fmt: skip
    both = [(rows.at[network, "auc"], rows.at[ideal, "auc"]) for network, ideal in pairs.items()]
    for row, ends in enumerate(both):
        ax.plot(ends, [row + 0.13, row - 0.13], color="0.6", linewidth=0.8, linestyle=":")
    ax.axvline(0.5, color="0.5", linewidth=1, zorder=0)
    names = [f"{network}\n({in_words(ideal)})" for network, ideal in pairs.items()]
    style.rows(ax, names, [f"{a:.3f} of {b:.3f}" for a, b in both], large=True)
    ax.set_xlabel("AUC of run-averaged scores, 95 % over patients")
    ax.margins(x=0.06)
    style.legend_above(ax, fontsize=9)
    return ax


def gains_beside_ideal(
    rows: pd.DataFrame, series: Mapping[str, str], each: pd.DataFrame | None = None
) -> Axes:
    """Differences of AUC, one row each, with what the best possible observer would gain.

    Parameters
    ----------
    rows : index names of the differences, first on top; for each of `series` a column with its
        "<name> low" and "<name> high", and a column "ideal", NaN where nothing is known.
    series : column -> label, two at most; the first one's numbers stand to the right.
    each : values of single phantoms, the same index, drawn as dots on the first series.
    """
    ax = style.axes(None, style.PAGE, (0.26 + 0.1 * len(series)) * len(rows) + 1.2)
    place, looks = np.arange(len(rows)), (("o", style.BLUE, style.BLUE), ("s", "#5F93C0", "white"))
    shifts = np.linspace(-0.2, 0.2, len(series)) if len(series) > 1 else [0.0]
    if each is not None:
        for column in each:
            ax.plot(each[column], place - 0.28, ".", color="0.35", markersize=6, zorder=1,
                    label="one phantom" if column == each.columns[0] else None)  # fmt: skip
    drawn = zip(series.items(), shifts, looks, strict=False)
    for (name, label), shift, (marker, colour, face) in drawn:
        value = rows[name].to_numpy(float)
        spread = np.abs(rows[[f"{name} low", f"{name} high"]].to_numpy(float) - value[:, None]).T
        ax.errorbar(value, place + shift, xerr=spread, fmt=marker, color=colour, capsize=4,
                    markersize=7, linewidth=2, markerfacecolor=face, label=label)  # fmt: skip
    if rows["ideal"].notna().any():
        below = 0.28 * (len(series) == 1)  # beside the interval, or between two of them
        ax.plot(rows["ideal"], place + below, "D", color=IDEAL_COLOUR, markersize=6, zorder=1,
                markeredgecolor="black", markeredgewidth=0.4, label="best possible")  # fmt: skip
    ax.axvline(0, color="0.4", linewidth=1, zorder=0)
    first = next(iter(series))
    numbers = rows[[first, f"{first} low", f"{first} high"]].to_numpy(float)
    style.rows(ax, list(rows.index), [f"{v:+.3f} [{a:+.3f}, {b:+.3f}]" for v, a, b in numbers],
               large=True)  # fmt: skip
    ax.set_xlabel("difference of AUC, mean of runs, 95 %")
    ax.margins(x=0.04)
    style.legend_above(ax, fontsize=9, ncols=4)
    return ax


def said_and_drawn(cases: pd.DataFrame, titles: Mapping[tuple[str, str], str]) -> Figure:
    """What E and S_m say of each lesion against what was drawn, a panel per pair, three in a row.

    cases : one row per lesion, y_true and the columns that the pairs name.
    titles : (said, latent) -> title, in the order of the panels.
    """
    columns = min(3, len(titles))
    rows = -(-len(titles) // columns)
    figure = style.new_figure(style.PAGE, 2.2 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid[len(titles) :]:
        ax.set_axis_off()
    for ax, ((said, latent), title) in zip(grid, titles.items(), strict=False):
        by_truth(cases, latent, said, malignant=cases["y_true"] == 1, ax=ax)
        ax.set_title(title, fontsize=6.5)
        ax.set_xlabel(NAMES[latent], fontsize=7)
        ax.set_ylabel(NAMES[said], fontsize=7)
        legend = ax.get_legend_handles_labels()
        ax.get_legend().remove()  # one for all panels
    figure.legend(*legend, loc="outside upper center", ncols=2, markerscale=2)
    return figure
