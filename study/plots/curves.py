"""Curves: TNR against FNR (figure 7), and the history of a training."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from study import paper
from study.intervals.thresholds import ENOUGH
from study.plots import style

FNR_MAX = 0.05  # right end of figure 7, as in the paper
FNR_WIDE = 0.2  # of the small panel next to it


def figure_7(
    curves: pd.DataFrame, *, printed: pd.DataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Figure 7 of Wu et al. 2020: TNR against FNR, each axis with its own name.

    (The paper's axis labels have the two abbreviations exchanged.)  Where no axes are given, a small
    panel next to it goes on to an FNR of .20.  Hatched is where bands rest on fewer than five
    misses and hold too seldom.

    Parameters
    ----------
    curves : columns model, fnr, tnr, malignant, benign and, for pointwise bands over patients, low
        and high; as ``tables.figure_7`` gives them.
    printed : the paper's table 2 (``paper.table_2()``), drawn hollow.
    """
    style.need(curves, "model", "fnr", "tnr", "malignant", "benign")
    wide = None
    if ax is None:
        ax, wide = style.new_figure(style.PAGE, 3.5).subplots(1, 2, width_ratios=(1.8, 1))
    malignant, benign = curves[["malignant", "benign"]].iloc[0]
    tops = [_steps(ax, curves, FNR_MAX, banded=True)]
    few = min(ENOUGH / malignant, FNR_MAX)
    ax.axvspan(0, few, facecolor="none", edgecolor="0.75", hatch="///", linewidth=0,
               label=f"fewer than {ENOUGH} misses")  # fmt: skip
    if printed is not None:
        bars = [printed["tnr"] - printed["low"], printed["high"] - printed["tnr"]]
        ax.errorbar(printed["fnr"], printed["tnr"], bars, fmt="o", markerfacecolor="white",
                    markersize=4.5, color=style.PAPER_COLOUR, linewidth=0.8, capsize=2, zorder=5,
                    label=f"E+S, {paper.LABEL}")  # fmt: skip
        tops.append(printed["high"].max())
    ax.set(xlim=(-0.02 * FNR_MAX, 1.02 * FNR_MAX), ylim=(-0.02, min(1.1 * max(tops), 1.02)),
           xlabel=f"FNR (share of {malignant:.0f} malignant lesions missed)",
           ylabel=f"TNR (share of {benign:.0f} benign lesions spared)")  # fmt: skip
    if wide is not None:
        _steps(wide, curves, FNR_WIDE)
        wide.set(xlim=(-0.02 * FNR_WIDE, 1.02 * FNR_WIDE), ylim=(-0.02, 1.02), ylabel="TNR",
                 xlabel=f"FNR up to {FNR_WIDE:g}")  # fmt: skip
    # lines first, then bands
    named = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda p: ": 95" in p[1])
    style.legend_above(ax, *zip(*named, strict=True), loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def _steps(ax: Axes, curves: pd.DataFrame, end: float, *, banded: bool = False) -> float:
    """Each model's curve up to an FNR, with its band where asked for; the highest value drawn."""
    looks, top = style.lines(curves["model"].unique()), 0.0
    for model, part in curves[curves["fnr"] <= end + 1e-9].groupby("model", sort=False):
        part = part.sort_values("fnr")
        if part["fnr"].iloc[-1] < end:  # the last step goes on to the end of the axis
            part = pd.concat([part, part.tail(1).assign(fnr=end)])
        look = looks[model]
        if banded and {"low", "high"} <= set(part) and part["low"].notna().all():
            label = f"{model}: 95 % over patients, pointwise"
            # in grey a band is known by its edge, which has the dash of the curve
            ax.fill_between(part["fnr"], part["low"], part["high"], step="post", linewidth=0.8,
                            linestyle=look.dash, facecolor=to_rgba(look.colour, 0.1),
                            edgecolor=to_rgba(look.colour, 0.75), label=label)  # fmt: skip
            top = max(top, part["high"].max())
        # TNR is constant between two attainable FNR: steps, not slopes
        ax.step(part["fnr"], part["tnr"], where="post", color=look.colour, linestyle=look.dash,
                linewidth=1.7 if banded else 1.3, label=model)  # fmt: skip
        top = max(top, part["tnr"].max())
    return top


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
