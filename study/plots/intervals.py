"""Values with their intervals: backbones (figure 6), and models or differences (forest)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesionlib.errors import InputError
from study import paper
from study.plots import style

_STARTS = {
    "he": ("He", "s", "#8FB7DD"),
    "imagenet": ("ImageNet", "o", style.BLUE),
    "file": ("weights file", "D", "#7E57A8"),
}


def figure_6(
    arms: pd.DataFrame, *, each: pd.DataFrame | None = None, printed: pd.DataFrame | None = None
) -> Axes:
    """Figure 6 of Wu et al. 2020: AUC of f_loc by backbone and initialisation.

    A marker is a run and a line the mean of an arm's runs: an interval from two or three runs would
    say less than the runs themselves.

    Parameters
    ----------
    arms : ``tables.figure_6``: backbone, initialisation, auc (mean over runs).  Only the arms given
        are drawn.
    each : ``steps.architectures``: backbone, initialisation, test_auc of every run.
    printed : ``paper.figure_6()``, drawn hollow with its printed "+-"; arms that are not in `arms`
        are left out.
    """
    if arms.empty:
        raise InputError("no arm", "figure_6", "Train at least one backbone")
    names = list(dict.fromkeys(arms["backbone"]))
    starts = [s for s in _STARTS if s in set(arms["initialisation"])]
    shift = {s: 0.3 * (k - (len(starts) - 1) / 2) for k, s in enumerate(starts)}
    place = lambda rows: rows["backbone"].map(names.index) + rows["initialisation"].map(shift)  # noqa: E731
    ax = style.axes(None, max(3.6, 0.75 * len(names) + 1.6), 3.2)
    ax.axhline(0.5, color="0.6", linewidth=0.9, linestyle=":", label="chance")
    middle = place(arms)
    ax.hlines(arms["auc"], middle - 0.11, middle + 0.11, color="black", linewidth=1.4,
              label="mean of an arm's runs")  # fmt: skip
    for start in starts if each is not None else ():
        label, marker, colour = _STARTS[start]
        part = each[each["initialisation"] == start]
        # side by side, since runs of nearly one value would hide each other
        nth = part.groupby("backbone").cumcount()
        nth -= nth.groupby(part["backbone"]).transform("mean")
        ax.plot(place(part) + 0.05 * nth, part["test_auc"], marker, color=colour, markeredgecolor="black",
                markeredgewidth=0.5, markersize=5, alpha=0.8, label=f"{label}, a run each")  # fmt: skip
    if printed is not None:
        known = printed["backbone"].isin(names) & printed["initialisation"].isin(starts)
        part = printed[known]
        ax.errorbar(place(part) - 0.13, part["auc"], part["spread"], fmt="D", markersize=5,
                    markerfacecolor="white", color=style.PAPER_COLOUR, linewidth=0.8, capsize=2,
                    label=paper.LABEL if len(part) else None)  # fmt: skip
    ax.set(xlim=(-0.6, len(names) - 0.4), ylabel="AUC over lesions")
    turned = 0 if len(names) < 4 else 20
    ax.set_xticks(range(len(names)), [_named(n) for n in names], rotation=turned, fontsize=7)
    ax.margins(y=0.08)
    style.legend_above(ax)
    return ax


def _named(backbone: str) -> str:
    """densenet161 -> DenseNet-161, resnetv2_50 -> ResNetV2-50."""
    for ours, theirs in (("densenet", "DenseNet"), ("resnetv2", "ResNetV2")):
        if backbone.startswith(ours):
            return f"{theirs}-{backbone.removeprefix(ours).lstrip('_')}"
    return backbone


def forest(
    frame: pd.DataFrame,
    *,
    label: str = "model",
    value: str = "auc",
    low: str = "low_patients",
    high: str = "high_patients",
    reference: float = 0.5,
    name: str = "AUC over lesions, 95 % over patients",
    printed: pd.DataFrame | None = None,
) -> Axes:
    """Values with their intervals, one row each, first on top, the numbers to their right.

    Parameters
    ----------
    frame : by default ``tables.table_3``; `label`, `value`, `low` and `high` name its columns.
    reference : a vertical line (.5 is chance, 0 no difference).
    name : of the horizontal axis.
    printed : ``paper.table_3()``: hollow markers for the same labels.
    """
    ax = style.axes(None, style.PAGE - 1, 0.32 * len(frame) + 1.1)
    middle, ends = frame[value].to_numpy(float), frame[[low, high]].to_numpy(float)
    place = np.arange(len(frame))
    ax.errorbar(middle, place, xerr=np.abs(ends - middle[:, None]).T, fmt="o", color=style.BLUE,
                capsize=4, markersize=7, linewidth=2, label="here")  # fmt: skip
    if printed is not None:
        known = printed.set_index("model")["auc"].reindex(frame[label])
        ax.errorbar(known, place + 0.22, fmt="D", markerfacecolor="white", markersize=6,
                    color=style.PAPER_COLOUR, label=paper.LABEL)  # fmt: skip
        style.legend_above(ax, fontsize=9)
    ax.axvline(reference, color="0.5", linewidth=1, zorder=0)
    notes = [f"{m:.3f} [{a:.3f}, {b:.3f}]" for m, (a, b) in zip(middle, ends, strict=True)]
    style.rows(ax, list(frame[label]), notes, large=True)
    ax.set_xlabel(name)
    ax.margins(x=0.06)
    return ax
