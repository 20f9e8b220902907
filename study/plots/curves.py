"""Curves: ROC, TNR against FNR (figure 7), and the history of a training."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from lesionlib.errors import InputError
from study import paper
from study.plots import style


def roc(curves: pd.DataFrame, *, ax: Axes | None = None, phantom: bool = False) -> Axes:
    """ROC curves.

    curves : columns model, fpr, tpr, auc, malignant, benign, as ``tables.roc_curves`` gives them.
    """
    _need(curves, "model", "fpr", "tpr", "auc", "malignant", "benign")
    ax = style.axes(ax, 3.8, 3.7)
    ax.plot([0, 1], [0, 1], color="0.75", linewidth=0.8, label="chance .500")
    for model, part in curves.groupby("model", sort=False):
        look = style.line(model)
        label = f"{model} {part['auc'].iloc[0]:.3f}"
        part = part.sort_values(["fpr", "tpr"])
        ax.plot(part["fpr"], part["tpr"], color=look.colour, linestyle=look.dash, label=label)
    first = curves.iloc[0]
    style.share_axis(
        ax,
        f"false-positive rate (share of {first['benign']:.0f} benign lesions)",
        f"true-positive rate (share of {first['malignant']:.0f} malignant lesions)",
    )
    ax.set_aspect("equal")
    ax.legend(title="AUC", loc="lower right")
    style.mark(ax.figure, phantom)
    return ax


def figure_7(
    curves: pd.DataFrame,
    *,
    printed: pd.DataFrame | None = None,
    fnr_max: float = 0.2,
    ax: Axes | None = None,
    phantom: bool = False,
) -> Axes:
    """Figure 7 of Wu et al. 2020: TNR against FNR, each axis with its own name.

    (The paper's axis labels carry the two abbreviations the wrong way round.)

    Parameters
    ----------
    curves : columns model, fnr, tnr, malignant, benign and, for bands over patients, low and high;
        as ``tables.figure_7`` gives them.
    printed : the paper's table 2 (``paper.table_2()``), drawn hollow.
    fnr_max : right end of the FNR axis; 1 shows all.
    """
    _need(curves, "model", "fnr", "tnr", "malignant", "benign")
    ax = style.axes(ax, style.WIDTH, 3.5)
    for model, part in curves.groupby("model", sort=False):
        part = part[part["fnr"] <= fnr_max + 1e-9].sort_values("fnr")
        if part["fnr"].iloc[-1] < fnr_max:  # the last step goes on to the end of the axis
            part = pd.concat([part, part.tail(1).assign(fnr=fnr_max)])
        look = style.line(model)
        if {"low", "high"} <= set(part) and part["low"].notna().all():
            ax.fill_between(part["fnr"], part["low"], part["high"], step="post", color=look.colour,
                            alpha=0.13, linewidth=0, label=f"{model}: 95 % over patients")  # fmt: skip
        # between two attainable FNR nothing changes: steps, not slopes
        ax.step(part["fnr"], part["tnr"], where="post", color=look.colour, linestyle=look.dash,
                label=model)  # fmt: skip
    if printed is not None:
        part = printed[printed["fnr"] <= fnr_max + 1e-9]
        bars = [part["tnr"] - part["low"], part["high"] - part["tnr"]]
        ax.errorbar(part["fnr"], part["tnr"], bars, fmt="o", markerfacecolor="white", markersize=4.5,
                    color=style.PAPER_COLOUR, linewidth=0.8, capsize=2, zorder=5,
                    label=f"E+S, {paper.LABEL}, over runs")  # fmt: skip
    first = curves.iloc[0]
    ax.set(
        xlim=(-0.02 * fnr_max, 1.02 * fnr_max),
        ylim=(-0.02, 1.02),
        xlabel=f"FNR (share of {first['malignant']:.0f} malignant lesions missed)",
        ylabel=f"TNR (share of {first['benign']:.0f} benign lesions spared)",
    )
    _legend_above(ax)
    style.mark(ax.figure, phantom)
    return ax


def _legend_above(ax: Axes) -> None:
    """The legend above the axes, where it covers no curve: lines first, then bands."""
    handles, labels = ax.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda k: ": 95" in labels[k])
    handles, labels = [handles[k] for k in order], [labels[k] for k in order]
    ax.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def history(
    frame: pd.DataFrame,
    *,
    best: int | None = None,
    ax: Axes | None = None,
    title: str = "",
    phantom: bool = False,
) -> Axes:
    """A training: mean loss of each epoch (left axis), validation AUC (right axis), the best epoch.

    frame : ``history.csv``: columns epoch, loss, score.  best : the epoch kept; by default none is
    marked.
    """
    _need(frame, "epoch", "loss", "score")
    ax = style.axes(ax, style.WIDTH, 2.7)
    (loss,) = ax.plot(frame["epoch"], frame["loss"], color="#555555", linestyle="--", marker="s",
                      markersize=3, label="training loss")  # fmt: skip
    right = ax.twinx()
    right.spines["right"].set_visible(True)
    (score,) = right.plot(frame["epoch"], frame["score"], color=style.line("E").colour, marker="o",
                          markersize=3, label="validation AUC")  # fmt: skip
    handles = [loss, score]
    if best is not None:
        handles.append(right.axvline(best, color="0.6", linewidth=1, linestyle=":",
                                     label=f"kept: epoch {best}"))  # fmt: skip
    ax.set(xlabel="epoch", ylabel="training loss, mean of the epoch", title=title or None)
    right.set_ylabel("validation AUC")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(handles))
    style.mark(ax.figure, phantom)
    return ax


def _need(frame: pd.DataFrame, *columns: str) -> None:
    absent = [name for name in columns if name not in frame]
    if absent or frame.empty:
        what = f"no column {', '.join(absent)}" if absent else "no row"
        raise InputError(what, "plots.curves", "Give a frame of study.tables or history.csv")
