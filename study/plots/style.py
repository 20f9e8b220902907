"""One look for every figure: fonts, sizes, colours that survive grey print and colour blindness.

Colours of the four classes, and of the eight models, differ in lightness by steps that remain when
printed in grey; lines differ by dash and marker besides.  `use()` also fixes what would make two
runs write different bytes (`svg.hashsalt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.patheffects as effects
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lesionlib.errors import InputError
from lesionlib.windows import CLASSES

WIDTH = 4.8  # inches of a single plot
PAGE = 7.2  # inches of a row of pictures
BLUE = "#14507E"  # of what is neither a class nor a model
CLASS_COLOURS = dict(zip(CLASSES, ("#D9152C", "#56B4E9", "#F0E442", "#7E57A8"), strict=True))
# outlines of unknown truth
UNKNOWN = "#FFFFFF"
CLASS_DASHES = {"malignant": "-", "benign": (0, (3, 1.2)), "outside": (0, (1, 1)), "unknown": ":"}
CLASS_DASHES["negative"] = "-."


class Line(NamedTuple):
    """How a model is drawn: colour, dash and marker."""

    colour: str
    dash: str | tuple
    marker: str


MODEL_LINES = {
    "E+S": Line("#111111", "-", "o"),
    "I+S+E": Line("#5B1A70", (0, (5, 1)), "D"),
    "f_loc": Line("#00785F", (0, (1, 1)), "v"),
    "E": Line("#2470C2", "--", "s"),
    "I+E": Line("#3D8BC9", (0, (3, 1, 1, 1)), "<"),
    "S": Line("#E08A00", "-.", "^"),
    "I+S": Line("#D9A93A", (0, (3, 1, 1, 1, 1, 1)), ">"),
    "I": Line("#C4C4C4", ":", "X"),
}
_SPARE = Line("#8A8A8A", "-", "P")
# of models that are not the paper's, in their order; colours by Paul Tol, for colour-blind readers
OWN_LINES = (
    Line("#332288", "-", "o"),
    Line("#CC6677", "--", "s"),
    Line("#117733", "-.", "^"),
    Line("#88CCEE", (0, (5, 1)), "D"),
    Line("#882255", ":", "v"),
    Line("#999933", (0, (3, 1, 1, 1)), "<"),
    Line("#44AA99", (0, (1, 1)), ">"),
    Line("#AA4499", (0, (3, 1, 1, 1, 1, 1)), "X"),
)
PAPER_COLOUR = "#7A0019"

_RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs everywhere
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "axes.grid": False,
    "image.cmap": "gray",
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "pdf.fonttype": 42,  # text stays text, fonts are embedded
    "ps.fonttype": 42,
    "svg.hashsalt": "lesionlib",
}


def use() -> None:
    """Set the style for the whole session."""
    mpl.rcParams.update(_RC)


def line(model: str) -> Line:
    """Colour, dash and marker of a model; unknown models share a grey."""
    return MODEL_LINES.get(model, _SPARE)


def lines(models: Sequence[str]) -> dict[str, Line]:
    """Each model's colour, dash and marker: the paper's their own, others one of :data:`OWN_LINES`."""
    own = [model for model in models if model not in MODEL_LINES]
    return {model: line(model) for model in models} | dict(zip(own, cycle(OWN_LINES), strict=False))


def new_figure(width: float = WIDTH, height: float = 3.2) -> Figure:
    """A figure outside pyplot, so that nothing is shown and no list of open figures grows."""
    return Figure(figsize=(width, height), layout="constrained")


def axes(ax: Axes | None, width: float = WIDTH, height: float = 3.2) -> Axes:
    """`ax`, or the only axes of a new figure."""
    return new_figure(width, height).subplots() if ax is None else ax


def need(frame: pd.DataFrame, *columns: str) -> None:
    """Raise InputError for a frame without these columns, or without a row."""
    absent = [name for name in columns if name not in frame]
    if absent or frame.empty:
        what = f"no column {', '.join(absent)}" if absent else "no row"
        raise InputError(what, "plots", "Give a frame of study.tables, or history.csv")


def rows(ax: Axes, names: Sequence[str], notes: Sequence[str], *, large: bool = False) -> None:
    """One row per name, the first on top, with a note to the right of the axes.

    large : letters that can be read at half the size, and every other row shaded to lead the eye.
    """
    ax.set(ylim=(len(names) - 0.5, -0.5))
    ax.set_yticks(range(len(names)), names)
    for row, note in enumerate(notes):
        ax.annotate(note, (1.02, row), xycoords=("axes fraction", "data"), va="center",
                    fontsize=9.5 if large else 6.5, annotation_clip=False)  # fmt: skip
    if large:
        ax.tick_params(labelsize=9.5)
        ax.xaxis.label.set_size(9.5)
        for row in range(0, len(names), 2):
            ax.axhspan(row - 0.5, row + 0.5, color="0.95", linewidth=0, zorder=-2)


def legend_above(ax: Axes, *handles_and_labels, **look) -> None:
    """A legend above the axes, where it covers nothing, in two columns by default."""
    look = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2} | look
    ax.legend(*handles_and_labels, **look)


def mark(figure: Figure) -> None:
    """Write *phantom* into the lower right corner of a figure made from made-up images.

    It is a legend of one word, so that the layout leaves room for it.
    """
    figure.legend([Line2D([], [], linestyle="none")], ["phantom"], loc="outside lower right",
                  prop={"style": "italic", "size": 7}, labelcolor="0.25", frameon=True,
                  framealpha=1, edgecolor="0.5", handlelength=0, handletextpad=0, borderpad=0.2,
                  borderaxespad=0.1)  # fmt: skip


def halo(width: float = 1.0, colour: str = "black") -> list:
    """A thin rim that keeps a line or text readable on any background."""
    return [effects.withStroke(linewidth=width, foreground=colour)]
