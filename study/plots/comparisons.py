"""Comparisons: backbones (figure 6), models with intervals (forest), search."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lesionlib.errors import InputError
from study import paper
from study.plots import style

_STARTS = {"he": ("He", "s", "#8FB7DD"), "imagenet": ("ImageNet", "o", "#14507E")}
_STARTS["file"] = ("weights file", "D", "#7E57A8")


def figure_6(
    arms: pd.DataFrame,
    *,
    each: pd.DataFrame | None = None,
    printed: pd.DataFrame | None = None,
    ax: Axes | None = None,
    phantom: bool = False,
) -> Axes:
    """Figure 6 of Wu et al. 2020: AUC of f_loc by backbone and initialisation.

    Parameters
    ----------
    arms : ``tables.figure_6``: backbone, initialisation, auc, low, high (mean +- 1.96 SD over runs,
        NaN for one run), runs.  Only the arms given are drawn.
    each : ``pipeline.architectures``: backbone, initialisation, test_auc of every run, as dots.
    printed : ``paper.figure_6()``; values of arms that are not here are left out, as is everything
        when None.  Drawn hollow.
    """
    if arms.empty:
        raise InputError("no arm", "figure_6", "Train at least one backbone")
    names = list(dict.fromkeys(arms["backbone"]))
    starts = [s for s in _STARTS if s in set(arms["initialisation"])]
    ax = style.axes(ax, max(3.4, 0.75 * len(names) + 1.6), 3.2)
    shift = {s: 0.24 * (k - (len(starts) - 1) / 2) for k, s in enumerate(starts)}
    for start in starts:
        label, marker, colour = _STARTS[start]
        part = arms[arms["initialisation"] == start]
        x = part["backbone"].map(names.index) + shift[start]
        spread = np.nan_to_num([part["auc"] - part["low"], part["high"] - part["auc"]])
        ax.errorbar(x, part["auc"], spread, fmt=marker, color=colour, markeredgecolor="black",
                    markeredgewidth=0.5, markersize=6, capsize=2, linewidth=1,
                    label=f"{label}, mean ± 1.96 SD over runs")  # fmt: skip
        if each is not None:
            dots = each[(each["initialisation"] == start) & each["backbone"].isin(names)]
            at = dots["backbone"].map(names.index) + shift[start] + 0.09
            ax.plot(at, dots["test_auc"], ".", color="0.35", markersize=3.5, linestyle="none")
    if printed is not None:
        _printed_arms(ax, printed, names, shift)
    ax.set(xticks=range(len(names)), xlim=(-0.6, len(names) - 0.4), ylabel="AUC over lesions")
    ax.set_xticklabels(
        [_named(name) for name in names], rotation=0 if len(names) < 4 else 20, fontsize=7
    )
    ax.margins(y=0.12)
    handles, labels = ax.get_legend_handles_labels()
    if each is not None:
        handles.append(Line2D([], [], marker=".", color="0.35", linestyle="none"))
        labels.append("single runs")
    ax.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1)
    style.mark(ax.figure, phantom)
    return ax


def _named(backbone: str) -> str:
    """densenet161 -> DenseNet-161, resnetv2_50 -> ResNetV2-50."""
    for ours, theirs in (("densenet", "DenseNet"), ("resnetv2", "ResNetV2")):
        if backbone.startswith(ours):
            return f"{theirs}-{backbone.removeprefix(ours).lstrip('_')}"
    return backbone


def _printed_arms(ax: Axes, printed: pd.DataFrame, names: list[str], shift: dict) -> None:
    known = printed["backbone"].isin(names) & printed["initialisation"].isin(list(shift))
    part = printed[known]
    if part.empty:
        return
    x = part["backbone"].map(names.index) + part["initialisation"].map(shift) - 0.09
    ax.errorbar(x, part["auc"], part["spread"], fmt="D", markerfacecolor="white", markersize=5,
                color=style.PAPER_COLOUR, linewidth=0.8, capsize=2, label=paper.LABEL)  # fmt: skip


def forest(
    frame: pd.DataFrame,
    *,
    label: str = "model",
    value: str = "auc",
    low: str = "low_patients",
    high: str = "high_patients",
    reference: float | None = 0.5,
    name: str = "AUC over lesions, 95 % over patients",
    printed: pd.DataFrame | None = None,
    ax: Axes | None = None,
    phantom: bool = False,
) -> Axes:
    """Values with their intervals, one row each, first on top, the numbers written beside them.

    Parameters
    ----------
    frame : by default ``tables.table_3``; `label`, `value`, `low` and `high` name its columns.
    reference : a vertical line (.5 is chance, 0 no difference).
    printed : ``paper.table_3()``: hollow markers for the same labels.
    """
    rows = np.arange(len(frame))
    ax = style.axes(ax, style.WIDTH, 0.32 * len(frame) + 1.1)
    middle = frame[value].to_numpy(float)
    ends = frame[[low, high]].to_numpy(float)
    spread = np.abs(ends - middle[:, None]).T
    here = ax.errorbar(middle, rows, xerr=spread, fmt="o", color="#14507E", capsize=2, markersize=5,
                       linewidth=1.2)  # fmt: skip
    if printed is not None:
        known = printed.set_index("model")["auc"].reindex(frame[label])
        (hollow,) = ax.plot(known, rows + 0.22, "D", markerfacecolor="white", markersize=4,
                            color=style.PAPER_COLOUR, linestyle="none")  # fmt: skip
        ax.legend([here, hollow], ["here", paper.LABEL], loc="lower center",
                  bbox_to_anchor=(0.5, 1.0), ncols=2)  # fmt: skip
    if reference is not None:
        ax.axvline(reference, color="0.7", linewidth=0.8, zorder=0)
    for row, m, (a, b) in zip(rows, middle, ends, strict=True):
        ax.annotate(f"{m:.3f} [{a:.3f}, {b:.3f}]", (1.02, row), xycoords=("axes fraction", "data"),
                    va="center", fontsize=6.5, annotation_clip=False)  # fmt: skip
    ax.set(yticks=rows, ylim=(len(frame) - 0.5, -0.5), xlabel=name)
    ax.set_yticklabels(frame[label])
    ax.margins(x=0.06)
    style.mark(ax.figure, phantom)
    return ax


def search(
    trials: pd.DataFrame,
    *,
    paper_range: tuple[float, float] | None = None,
    ax: Axes | None = None,
    title: str = "",
    phantom: bool = False,
) -> Axes:
    """Learning rate against validation AUC of a random search, the best trial ringed.

    trials : ``pipeline.search``: columns learning_rate and validation_auc (empty where a trial
    diverged).  paper_range : the range searched in the paper, shaded.
    """
    ax = style.axes(ax, style.WIDTH, 2.8)
    score = trials["validation_auc"]
    good, lost = trials[score.notna()], trials[score.isna()]
    if good.empty:
        raise InputError("no trial has a score", "plots.search", "Lower the range's upper end")
    if paper_range is not None:
        low, high = paper_range
        text = f"range of the paper, {low:.0e} to {high:.0e}"
        ax.axvspan(low, high, color="0.92", zorder=0, label=text)
    ax.plot(good["learning_rate"], good["validation_auc"], "o", color="#14507E", label="trial")
    best = good.loc[good["validation_auc"].idxmax()]
    ax.plot(best["learning_rate"], best["validation_auc"], "o", markersize=10, markerfacecolor="none",
            color=style.CLASS_COLOURS["malignant"],
            label=f"kept: {best['learning_rate']:.1e}")  # fmt: skip
    if len(lost):
        ax.plot(lost["learning_rate"], np.full(len(lost), score.min()), "x", color="0.5",
                label="diverged")  # fmt: skip
    ax.set_xscale("log")
    ax.set(xlabel="learning rate (log scale)", ylabel="best AUC over validation lesions")
    ax.set_title(title or None)
    ax.margins(0.08)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    style.mark(ax.figure, phantom)
    return ax
