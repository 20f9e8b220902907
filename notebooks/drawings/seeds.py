"""Several phantoms and their controls: each with its interval, and what they give together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.evidence import MARGIN, POOLED
from study.ideal_observers import in_words
from study.plots import style
from study.readme import number

CONTROL_COLOUR = "#7A7A7A"
KINDS = {  # set -> name of one, colour, marker of one, level of the pooled interval
    "evidence": ("phantom", style.BLUE, "o", 95),
    "control": ("control", CONTROL_COLOUR, "s", 90),
}


def beside(told: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Every outcome of a set, as text: each phantom's value, the pooled one, both intervals.

    told : ``evidence.csv``.  kind : "evidence", with 95 % intervals, or "control", with 90 %.
    Index outcome, in the order of the protocol; an interval that there is not is empty.
    """
    word, _, _, level = KINDS[kind]
    rows = told[told["set"] == kind]
    pooled = rows["experiment"] == POOLED
    both = rows[pooled].set_index("outcome")
    each = rows[~pooled].pivot(index="outcome", columns="experiment", values="value")
    table = each.loc[both.index].map(number)
    table.columns = [f"{word} {name[-2:]}" for name in table]
    table["pooled"] = both["value"].map(number)
    for name, start in (("bootstrap", ""), ("t", "t_")):
        ends = both[[f"{start}low_{level}", f"{start}high_{level}"]]
        table[f"{level} %, {name}"] = [
            "" if np.isnan(ends).any() else "{} to {}".format(*map(number, ends))
            for ends in ends.to_numpy(float)
        ]
    return table.rename(index=in_words)


def forest(told: pd.DataFrame, outcomes: Mapping[str, str]) -> Figure:
    """Gains of each phantom and control, and pooled, a panel per outcome.

    Parameters
    ----------
    told : ``evidence.csv``.  outcomes : name of an outcome there -> title of its panel.

    A phantom's own interval resamples its patients.  Pooled are the two-level bootstrap (thick) and
    the t interval over phantoms (thin): 95 %, of the controls 90 %, to be held against the margin,
    which is shaded.
    """
    figure = style.new_figure(style.PAGE, 4.0)
    panels = np.atleast_1d(figure.subplots(1, len(outcomes), sharex=True, sharey=True))
    known = told[told["outcome"].isin(list(outcomes))]
    groups = {kind: part for kind, part in known.groupby("set") if kind in KINDS}
    names, starts = [], {}
    for kind in (kind for kind in KINDS if kind in groups):
        starts[kind] = len(names) + bool(names)  # a free row between the two
        each = groups[kind].loc[groups[kind]["experiment"] != POOLED, "experiment"].unique()
        own = [f"{KINDS[kind][0]} {name[-2:]}" for name in each]
        names += [""] * bool(names) + [*own, f"{len(each)} {KINDS[kind][0]}s"]
    for ax, (outcome, title) in zip(panels, outcomes.items(), strict=True):
        for kind, start in starts.items():
            _group(ax, groups[kind][groups[kind]["outcome"] == outcome], kind, start)
        ax.axvline(0, color="0.3", linewidth=0.8, zorder=0)
        ax.set_title(title, fontsize=9.5)
        ax.set_xlabel("difference of AUC", fontsize=9)
        ax.tick_params(labelsize=9)
        ax.locator_params(axis="x", nbins=4)
    panels[0].set(ylim=(len(names) - 0.4, -0.6))
    named = [row for row, name in enumerate(names) if name]
    panels[0].set_yticks(named, [names[row] for row in named])
    _legend(figure)
    return figure


def _group(ax: Axes, rows: pd.DataFrame, kind: str, start: int) -> None:
    """The phantoms of a kind from row `start` on, then what they give together."""
    _, colour, marker, level = KINDS[kind]
    one, both = (rows[(rows["experiment"] == POOLED) == pooled] for pooled in (False, True))
    _bars(ax, one, np.arange(len(one)) + start, ["low_95", "high_95"], color=colour, fmt=marker,
          markersize=5, linewidth=1.6, capsize=3)  # fmt: skip
    end = np.array([start + len(one)])
    ends = [f"low_{level}", f"high_{level}"]
    _bars(ax, both, end, ends, color=colour, fmt="D", markersize=7, linewidth=3.5)
    _bars(ax, both, end + 0.28, [f"t_{name}" for name in ends], color=colour, fmt="none",
          linewidth=1.2, capsize=3)  # fmt: skip
    if kind == "control":
        ax.fill_betweenx([start - 0.5, end[0] + 0.5], -MARGIN, MARGIN, color="0.9", zorder=-1)


def _bars(ax: Axes, rows: pd.DataFrame, place: np.ndarray, ends: Sequence[str], **look) -> None:
    value = rows["value"].to_numpy(float)
    spread = np.abs(rows[list(ends)].to_numpy(float) - value[:, None]).T
    ax.errorbar(value, place, xerr=spread, **look)


def _legend(figure: Figure) -> None:
    line = dict(color="black", linestyle="none")
    handles = [
        Line2D([], [], marker="o", markersize=4, **line),
        Line2D([], [], marker="s", markersize=4, **line | {"color": CONTROL_COLOUR}),
        Line2D([], [], marker="D", markersize=6, **line),
        Line2D([], [], color="black", linewidth=3),
        Line2D([], [], color="black", linewidth=1),
    ]
    named = "one phantom, 95 % over patients", "one control", "together"
    named += "two-level bootstrap (controls 90 %)", "t over phantoms (controls 90 %)"
    figure.legend(handles, named, loc="outside upper center", ncols=3, fontsize=8)
