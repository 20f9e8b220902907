"""The method of Wu et al. 2020 as one picture: from a mammogram to the score of a lesion."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from study.plots import style

DATA, NETWORK, MAPS, SCORE = "#E4EDF4", "#FBE9CF", "#E5F0DD", "#F3E1E6"


class Box(NamedTuple):
    """A box of the picture: its middle, width and height in units of the picture (100 x 46)."""

    x: float
    y: float
    width: float
    height: float
    text: str
    colour: str
    notebook: str


ARROWS = (
    ("image", "window"), ("window", "floc"), ("image", "gmic"), ("floc", "E"), ("window", "I"),
    ("gmic", "S"), ("E", "X"), ("I", "X"), ("S", "X"), ("X", "fagg"), ("fagg", "score"),
)  # fmt: skip


def method(
    canvas: tuple[int, int], patch: int, cells: tuple[int, int], windows: int, *, backbone: str
) -> Figure:
    """The way of one window, and of all windows of a lesion, with the shapes of an experiment.

    canvas : (rows, cols), px.  patch : px of a patch's side.  cells : (h, w) of the maps.
    windows : of a lesion at evaluation.  backbone : name of f_loc's.
    """
    figure = style.new_figure(style.PAGE, 3.35)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 100), ylim=(46, 0))
    ax.set_axis_off()
    boxes = _boxes(canvas, patch, cells, windows, backbone)
    for start, end in ARROWS:
        _arrow(ax, boxes[start], boxes[end])
    for box in boxes.values():
        _draw(ax, box)
    for y, text in ((3.2, "local information: the lesion closely"),
                    (43.6, "global information: the whole breast")):  # fmt: skip
        ax.text(41, y, text, ha="center", va="center", fontsize=8, style="italic", color="0.25")
    return figure


def _boxes(canvas, patch, cells, windows, backbone) -> dict[str, Box]:
    maps = "{} x {}".format(*cells)
    size = "{} x {} px".format(*canvas)
    return {
        "image": Box(8.5, 23.5, 14, 10, f"mammogram\non its canvas\n{size}", DATA, "01, 02"),
        "window": Box(24, 11, 14, 9, f"window, cut to a\npatch {patch} x {patch} px", DATA, "03"),
        "floc": Box(41, 11, 13, 9, f"f_loc\n{backbone}", NETWORK, "04, 05"),
        "gmic": Box(32.5, 36, 16, 9, "GMIC\ncontext network", NETWORK, "06"),
        "E": Box(60, 11, 17, 9, f"E = h on the window\n32 maps {maps}", MAPS, "08"),
        "I": Box(60, 23.5, 17, 9, f"I = the window's place\n1 map {maps}", MAPS, "08"),
        "S": Box(60, 36, 17, 9, f"S = saliency\n2 maps {maps}", MAPS, "07"),
        "X": Box(75, 23.5, 5, 34, "X\n\nthe\nchosen\nmaps,\n1 to 35\nof them", MAPS, "08"),
        "fagg": Box(90.5, 12, 14, 11, "f_agg: malignant,\nbenign, outside,\nnegative", NETWORK, "09"),
        "score": Box(90.5, 35, 14, 11, f"m / (m + b), mean\nof {windows} windows:\nlesion score", SCORE, "10"),
    }  # fmt: skip


def _draw(ax: Axes, box: Box) -> None:
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    frame = FancyBboxPatch(
        corner, box.width, box.height, boxstyle="round,pad=0.4,rounding_size=1.2",
        facecolor=box.colour, edgecolor="0.45", linewidth=0.7,
    )  # fmt: skip
    ax.add_patch(frame)
    ax.text(box.x, box.y - 0.6, box.text, ha="center", va="center", fontsize=6.6, linespacing=1.25)
    ax.text(corner[0] + box.width, corner[1] + box.height + 0.2, box.notebook, ha="right",
            va="bottom", fontsize=5.2, color="0.4")  # fmt: skip


def _arrow(ax: Axes, start: Box, end: Box) -> None:
    """Level where the boxes overlap in height, upright where in width, else upright, then level."""
    overlap = min(start.y + start.height / 2, end.y + end.height / 2)
    overlap -= max(start.y - start.height / 2, end.y - end.height / 2)
    route = "arc3"
    down = 1 if end.y > start.y else -1
    if overlap > 3:
        y = min((start, end), key=lambda box: box.height).y
        a = (start.x + start.width / 2 + 0.4, y)
        b = (end.x - end.width / 2 - 0.6, y)
    elif abs(start.x - end.x) < 1:
        a = (start.x, start.y + down * (start.height / 2 + 0.4))
        b = (end.x, end.y - down * (end.height / 2 + 0.6))
    else:
        a = (start.x, start.y + down * (start.height / 2 + 0.4))
        b = (end.x - end.width / 2 - 0.6, end.y)
        route = "angle,angleA=90,angleB=0,rad=5"
    ax.annotate("", b, a, arrowprops=dict(
        arrowstyle="-|>", color="0.35", linewidth=0.9, shrinkA=0, shrinkB=0, mutation_scale=8,
        connectionstyle=route,
    ))  # fmt: skip
