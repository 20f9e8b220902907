"""Of the lesion scores: ROC curves, and what more windows per lesion bring."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.plots import style


def roc(curves: pd.DataFrame) -> Axes:
    """ROC curves.

    curves : columns model, fpr, tpr, auc, malignant, benign, as ``tables.roc_curves`` gives them.
    """
    style.need(curves, "model", "fpr", "tpr", "auc", "malignant", "benign")
    ax = style.axes(None, 3.8, 3.7)
    ax.plot([0, 1], [0, 1], color="0.75", linewidth=0.8, label="chance .500")
    for model, part in curves.sort_values(["fpr", "tpr"]).groupby("model", sort=False):
        look = style.line(model)
        ax.plot(part["fpr"], part["tpr"], color=look.colour, linestyle=look.dash,
                label=f"{model} {part['auc'].iloc[0]:.3f}")  # fmt: skip
    malignant, benign = curves[["malignant", "benign"]].iloc[0]
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal",
           xlabel=f"false-positive rate, 1 - specificity (of {benign:.0f} benign lesions)",
           ylabel=f"sensitivity (of {malignant:.0f} malignant lesions)")  # fmt: skip
    ax.legend(title="AUC", loc="lower right")
    return ax


def by_windows(draws: pd.DataFrame) -> Figure:
    """What more windows per lesion bring: how far its score varies, and the AUC.

    draws : one row per random choice of windows: model, windows, spread (root mean square distance
    of a lesion's score from its score by all windows), auc.
    """
    figure = style.new_figure(style.PAGE, 2.8)
    left, right = figure.subplots(1, 2)
    for model, rows in draws.groupby("model", sort=False):
        part, look = rows.groupby("windows"), style.line(model)
        drawn = dict(color=look.colour, linestyle=look.dash, marker=look.marker, label=model)
        left.plot(part["spread"].mean(), **drawn)
        mean, sd = part["auc"].mean(), part["auc"].std(ddof=1)
        right.errorbar(mean.index, mean, sd, capsize=2, **drawn)
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlabel("windows per lesion (log scale)")
    left.set(ylabel="distance from the score\nby all windows (RMS)", ylim=(0, None))
    left.legend()
    right.set_ylabel("AUC over lesions\n(mean ± SD over draws)")
    right.yaxis.set_major_locator(MaxNLocator(5))
    return figure
