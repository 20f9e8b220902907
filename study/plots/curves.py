"""Curves: TNR against FNR (figure 7), and the history of a training."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from study import paper
from study.plots import style

FNR_MAX = 0.2  # right end of figure 7, as in the paper


def figure_7(
    curves: pd.DataFrame, *, printed: pd.DataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Figure 7 of Wu et al. 2020: TNR against FNR, each axis with its own name.

    (The paper's axis labels have the two abbreviations exchanged.)

    Parameters
    ----------
    curves : columns model, fnr, tnr, malignant, benign and, for bands over patients, low and high;
        as ``tables.figure_7`` gives them.
    printed : the paper's table 2 (``paper.table_2()``), drawn hollow.
    """
    style.need(curves, "model", "fnr", "tnr", "malignant", "benign")
    ax, looks = style.axes(ax, style.WIDTH, 3.5), style.lines(curves["model"].unique())
    for model, part in curves[curves["fnr"] <= FNR_MAX + 1e-9].groupby("model", sort=False):
        part = part.sort_values("fnr")
        if part["fnr"].iloc[-1] < FNR_MAX:  # the last step goes on to the end of the axis
            part = pd.concat([part, part.tail(1).assign(fnr=FNR_MAX)])
        look = looks[model]
        if {"low", "high"} <= set(part) and part["low"].notna().all():
            ax.fill_between(part["fnr"], part["low"], part["high"], step="post", color=look.colour,
                            alpha=0.13, linewidth=0, label=f"{model}: 95 % over patients")  # fmt: skip
        # TNR is constant between two attainable FNR: steps, not slopes
        ax.step(part["fnr"], part["tnr"], where="post", color=look.colour, linestyle=look.dash,
                label=model)  # fmt: skip
    if printed is not None:
        bars = [printed["tnr"] - printed["low"], printed["high"] - printed["tnr"]]
        ax.errorbar(printed["fnr"], printed["tnr"], bars, fmt="o", markerfacecolor="white",
                    markersize=4.5, color=style.PAPER_COLOUR, linewidth=0.8, capsize=2, zorder=5,
                    label=f"E+S, {paper.LABEL}")  # fmt: skip
    malignant, benign = curves[["malignant", "benign"]].iloc[0]
    ax.set(xlim=(-0.02 * FNR_MAX, 1.02 * FNR_MAX), ylim=(-0.02, 1.02),
           xlabel=f"FNR (share of {malignant:.0f} malignant lesions missed)",
           ylabel=f"TNR (share of {benign:.0f} benign lesions spared)")  # fmt: skip
    # lines first, then bands
    named = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda p: ": 95" in p[1])
    style.legend_above(ax, *zip(*named, strict=True))
    return ax


def history(frame: pd.DataFrame, *, best: int | None = None, ax: Axes | None = None) -> Axes:
    """A training: mean loss of each epoch (left axis), validation AUC (right axis), the best epoch.

    frame : ``history.csv``: columns epoch, loss, score.  best : the epoch kept; by default none is
    marked.
    """
    style.need(frame, "epoch", "loss", "score")
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
    ax.set(xlabel="epoch", ylabel="training loss, mean of the epoch")
    right.set_ylabel("validation AUC")
    ax.xaxis.get_major_locator().set_params(integer=True)
    style.legend_above(ax, handles=handles, ncols=len(handles))
    return ax
