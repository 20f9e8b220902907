"""The trials of a random search."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesionlib.errors import InputError
from study.plots import style


def trials(
    frame: pd.DataFrame,
    *,
    paper_range: tuple[float, float],
    used: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Learning rate against validation AUC of a random search, the best trial ringed.

    frame : ``steps.search``: columns learning_rate and validation_auc (empty where a trial
    diverged).  paper_range : the range searched in the paper, shaded.  used : the rate with which
    the experiment trains, a line where it is set and not searched.
    """
    ax = style.axes(ax, style.WIDTH, 2.8)
    score = frame["validation_auc"]
    good, lost = frame[score.notna()], frame[score.isna()]
    if good.empty:
        raise InputError("no trial has a score", "trials", "Lower the range's upper end")
    low, high = paper_range
    ax.axvspan(low, high, color="0.92", zorder=0,
               label=f"range of the paper, {low:.0e} to {high:.0e}")  # fmt: skip
    ax.plot(good["learning_rate"], good["validation_auc"], "o", color=style.BLUE, label="trial")
    best = good.loc[good["validation_auc"].idxmax()]
    ax.plot(best["learning_rate"], best["validation_auc"], "o", markersize=10, markerfacecolor="none",
            color=style.CLASS_COLOURS["malignant"],
            label=f"best trial, {best['learning_rate']:.1e}")  # fmt: skip
    if used is not None:
        ax.axvline(used, color="black", linestyle="--", linewidth=1, label=f"used, {used:.1e}")
    if len(lost):
        ax.plot(lost["learning_rate"], np.full(len(lost), score.min()), "x", color="0.5",
                label="diverged")  # fmt: skip
    ax.set_xscale("log")
    ax.set(xlabel="learning rate (log scale)", ylabel="best AUC over validation lesions")
    ax.margins(0.08)
    style.legend_above(ax)
    return ax
