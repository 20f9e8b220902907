"""One look for every figure: fonts, sizes, colours that survive grey print and colour blindness.

Colours of the four classes, and of the eight models, differ in lightness by steps that remain when
printed in grey; lines differ by dash and marker besides.  `use()` also fixes what would make two
runs write different bytes (`svg.hashsalt`); pass :data:`METADATA` to `savefig` to leave dates out.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib as mpl
import matplotlib.patheffects as effects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lesionlib.windows import CLASSES

WIDTH = 4.8  # inches of a single plot
PAGE = 7.2  # inches of a row of pictures
CLASS_COLOURS = dict(zip(CLASSES, ("#D9152C", "#56B4E9", "#F0E442", "#7E57A8"), strict=True))
# an outline of unknown truth is neither
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
PAPER_COLOUR = "#7A0019"
METADATA = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}

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


def new_figure(width: float = WIDTH, height: float = 3.2) -> Figure:
    """A figure outside pyplot, so that nothing is shown and no list of open figures grows."""
    return Figure(figsize=(width, height), layout="constrained")


def axes(ax: Axes | None, width: float = WIDTH, height: float = 3.2) -> Axes:
    """`ax`, or the only axes of a new figure."""
    return new_figure(width, height).subplots() if ax is None else ax


def mark(figure: Figure, phantom: bool, *, strip: bool = True) -> Figure:
    """Write *phantom* into the lower right corner of a figure made from made-up images, once.

    strip : below all else, so that the word covers no label; False where there is room beside.
    """
    if phantom and not any(t.get_text() == "phantom" for t in figure.texts):
        engine = figure.get_layout_engine()
        if strip and isinstance(engine, ConstrainedLayoutEngine):
            height = 0.17 / figure.get_figheight()
            engine.set(rect=(0, height, 1, 1 - height))
        box = dict(boxstyle="round,pad=0.2", facecolor="white", edgecolor="0.5", linewidth=0.5)
        right = 1 - 0.04 / figure.get_figwidth()  # the box's rim stays inside a narrow figure
        figure.text(right, 0.008, "phantom", ha="right", va="bottom", fontsize=7, style="italic",
                    color="0.25", bbox=box)  # fmt: skip
    return figure


def halo(width: float = 1.0, colour: str = "black") -> list:
    """A thin rim that keeps a line or text readable on any background."""
    return [effects.withStroke(linewidth=width, foreground=colour)]


def share_axis(ax: Axes, x: str | None = None, y: str | None = None) -> None:
    """Both axes as shares 0..1 with their labels, a little air around them."""
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
