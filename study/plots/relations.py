"""One number by kind of image or lesion, and two numbers against each other by truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesionlib.errors import InputError
from study.plots import style

_MARKERS = {"malignant": "o", "benign": "^"}


def histograms(
    values: Mapping[str, np.ndarray],
    *,
    name: str,
    of: str = "images",
    bins: int = 20,
    ax: Axes | None = None,
    phantom: bool = False,
) -> Axes:
    """Outlined histograms of one number, one a kind, each as shares so that large kinds hide none.

    values : kind -> its numbers; malignant, benign and negative have the colours of their class.
    name : what the number is.  of : what is counted.
    """
    filled = {kind: np.asarray(v, float) for kind, v in values.items() if len(v)}
    if not filled:
        raise InputError("no number to draw", "plots.histograms", "Give at least one kind")
    ax = style.axes(ax, style.WIDTH, 2.7)
    together = np.concatenate(list(filled.values()))
    low, high = together.min(), together.max()
    edges = np.linspace(low, high if high > low else low + 1e-6, bins + 1)
    for kind, part in filled.items():
        colour, dash = style.CLASS_COLOURS.get(kind, "0.3"), style.CLASS_DASHES.get(kind, "-")
        ax.hist(part, edges, weights=np.full(len(part), 1 / len(part)), histtype="step",
                linewidth=1.6, color=colour, linestyle=dash,
                label=f"{kind}, n = {len(part)}")  # fmt: skip
    ax.set(xlabel=name, ylabel=f"share of the {of} of a kind")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(filled))
    style.mark(ax.figure, phantom)
    return ax


def by_truth(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    malignant: np.ndarray | pd.Series,
    names: tuple[str, str] | None = None,
    diagonal: bool = False,
    legend: bool = True,
    ax: Axes | None = None,
    phantom: bool = False,
) -> Axes:
    """Column y against column x, malignant and benign in their colours and markers.

    malignant : (n,) truth of each row.  names : labels of the axes, the columns' by default.
    diagonal : the line y = x, on axes of one scale.
    """
    ax = style.axes(ax, 3.3, 3.0)
    truth = np.asarray(malignant, bool)
    for kind, of_kind in (("benign", ~truth), ("malignant", truth)):
        part = frame[of_kind]
        ax.plot(part[x], part[y], _MARKERS[kind], color=style.CLASS_COLOURS[kind], markersize=3,
                markeredgecolor="black", markeredgewidth=0.2, alpha=0.75, linestyle="none",
                label=f"{kind}, n = {len(part)}")  # fmt: skip
    if diagonal:
        both = frame[[x, y]].to_numpy(float)
        air = 0.03 * (both.max() - both.min()) or 0.01
        ends = both.min() - air, both.max() + air
        ax.plot(ends, ends, color="0.5", linewidth=0.8, zorder=0)
        ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.set(xlabel=(names or (x, y))[0], ylabel=(names or (x, y))[1])
    if legend:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    style.mark(ax.figure, phantom)
    return ax
