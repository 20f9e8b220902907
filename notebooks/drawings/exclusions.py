"""What was read, what was excluded and why, what is used: the exclusion flow as a picture."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlib.errors import InputError
from study.plots import style

_WIDE = 34  # characters of a line in a box
_MOST = 8  # boxes of reasons; rarer ones share the last


def flow(frame: pd.DataFrame) -> Figure:
    """Boxes from `input` down to `used`, one for each reason of exclusion at the side.

    frame : ``Manifest.flow()``: columns level (image, lesion), stage, reason, count; exclusions
    count negative.  InputError where a level does not close (input + exclusions = used).
    """
    levels = list(dict.fromkeys(frame["level"]))
    most = min(max((frame["level"] == level).sum() for level in levels), _MOST + 2)
    figure = style.new_figure(3.6 * len(levels), 0.55 * most + 0.6)
    for ax, level in zip(figure.subplots(1, len(levels), squeeze=False)[0], levels, strict=True):
        ax.set(xlim=(0, 1), ylim=(most - 0.4, -0.6))
        ax.set_axis_off()
        _column(ax, level, frame[frame["level"] == level])
    return figure


def _column(ax: Axes, level: str, part: pd.DataFrame) -> None:
    start, used = (int(part.loc[part["stage"] == s, "count"].sum()) for s in ("input", "used"))
    lost = part[~part["stage"].isin(["input", "used"])]
    if start + int(lost["count"].sum()) != used:
        what = f"{start} {level}s less {-lost['count'].sum()} excluded are not the {used} used"
        raise InputError(what, "flow", "Rebuild the table with flow_table()")
    lost = _shortened(lost)
    end = len(lost) + 1
    # the trunk first, boxes over it
    ax.annotate("", (0.17, end - 0.28), (0.17, 0.2), arrowprops=dict(arrowstyle="-|>", color="0.3"))
    for row, count, state in ((0, start, "read"), (end, used, "used")):
        _box(ax, 0.17, row, f"{count:,} {level}s\n{state}", facecolor="#DCE8F2", ha="center")
    for row, r in enumerate(lost.itertuples(), 1):
        ax.annotate("", (0.36, row), (0.17, row), arrowprops=dict(arrowstyle="-|>", color="0.3"))
        text = f"{-r.count:,}: {r.reason} ({r.stage})"
        text = textwrap.shorten(text, 3 * _WIDE, placeholder=" …")
        _box(ax, 0.37, row, "\n".join(textwrap.wrap(text, _WIDE)), facecolor="white", ha="left")
    if lost.empty:
        ax.text(0.4, 0.5, "none excluded", va="center", fontsize=7, color="0.3")


def _shortened(lost: pd.DataFrame) -> pd.DataFrame:
    if len(lost) <= _MOST:
        return lost
    order = lost["count"].sort_values(kind="stable").index
    kept, rest = lost.loc[sorted(order[: _MOST - 1])], lost.loc[order[_MOST - 1 :]]
    more = {"stage": "see the table", "reason": f"{len(rest)} rarer reasons"}
    last = pd.DataFrame([{**more, "count": rest["count"].sum()}])
    return pd.concat([kept, last], ignore_index=True)


def _box(ax: Axes, x: float, y: float, text: str, *, facecolor: str, ha: str) -> None:
    frame = dict(boxstyle="round,pad=0.35", facecolor=facecolor, edgecolor="0.4", linewidth=0.7)
    ax.text(x, y, text, ha=ha, va="center", fontsize=7, bbox=frame)
