"""What a score is worth in use: reliability of probabilities, and decision curves."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from study.plots import style
from study.statistics.net_benefit import ALL, NONE

REFERENCES = {ALL: ("0.45", (0, (8, 2, 1, 2))), NONE: ("0.45", (0, (1, 1)))}


def reliability(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Share of malignant lesions against their mean score, in bins, with the line of equality.

    frame : ``calibration.reliability`` of one or more models, with a column model: model, score,
    value, low, high, lesions.
    """
    style.need(frame, "model", "score", "value", "low", "high", "lesions")
    # not the models' own looks: a recalibrated model beside itself is to be told apart, in grey too
    ax, looks = style.axes(ax, 3.6, 3.6), {}
    looks |= zip(frame["model"].unique(), style.OWN_LINES, strict=False)
    exact = "exact: 3 of 10 malignant at a score of .3"
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, label=exact)
    for model, part in frame.groupby("model", sort=False):
        x, y, low, high = part[["score", "value", "low", "high"]].to_numpy(float).T
        look, ends = looks[model], [y - low, high - y]
        ax.errorbar(x, y, ends, color=look.colour, marker=look.marker,
                    linestyle=look.dash, linewidth=1, elinewidth=0.8, capsize=2,
                    label=f"{model}, 95 %, lesions as independent")  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="mean score of the lesions in a bin",
           ylabel="share of them that is malignant")  # fmt: skip
    style.legend_above(ax, ncols=1)
    return ax


def decision_curves(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Net benefit per 100 lesions against the threshold probability, one line per model.

    frame : ``net_benefit.decision_curves``: model, threshold, value, low, high (bands of models
    alone).
    """
    style.need(frame, "model", "threshold", "value", "low", "high")
    ax, models = style.axes(ax, style.WIDTH, 3.3), frame["model"].unique()
    looks = style.lines([model for model in models if model not in REFERENCES])
    for model, part in frame.groupby("model", sort=False):
        x, y = 100 * part["threshold"], 100 * part["value"]
        if model in REFERENCES:
            colour, dash = REFERENCES[model]
        else:
            colour, dash = looks[model].colour, looks[model].dash
            ax.fill_between(x, 100 * part["low"], 100 * part["high"], color=colour, alpha=0.13,
                            linewidth=0)  # fmt: skip
        ax.plot(x, y, color=colour, linestyle=dash, label=model)
    top = 100 * frame["value"].max()
    ax.set(xlim=(0, x.max()), ylim=(-0.15 * top, 1.08 * top),
           xlabel="biopsy from this probability of malignancy on, %",
           ylabel="net benefit: malignant lesions found,\nless needless biopsies at their exchange,\n"
                  "per 100 lesions")  # fmt: skip
    style.legend_above(ax)
    return ax
