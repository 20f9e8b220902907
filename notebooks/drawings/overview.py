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


# from (x, y) to (x, y), between the boxes; the first three go upright, then level
ARROWS = (
    (8.5, 18.1, 16.4, 11), (8.5, 28.9, 23.9, 36), (24, 15.9, 50.9, 23.5), (31.4, 11, 33.9, 11),
    (47.9, 11, 50.9, 11), (40.9, 36, 50.9, 36), (68.9, 11, 71.9, 11), (68.9, 23.5, 71.9, 23.5),
    (68.9, 36, 71.9, 36), (77.9, 12, 82.9, 12), (90.5, 17.9, 90.5, 28.9),
)  # fmt: skip


def method(
    canvas: tuple[int, int], patch: int, cells: tuple[int, int], windows: int, *, backbone: str
) -> Figure:
    """The path of one window, and of all windows of a lesion, with the shapes of an experiment.

    canvas : (rows, cols), px.  patch : px of a patch's side.  cells : (h, w) of the maps.
    windows : of a lesion at evaluation.  backbone : name of f_loc's.
    """
    figure = style.new_figure(style.PAGE, 3.35)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 100), ylim=(46, 0))
    ax.set_axis_off()
    for k, (x0, y0, x1, y1) in enumerate(ARROWS):
        turned = "angle,angleA=90,angleB=0,rad=5" if k < 3 else "arc3"
        look = dict(arrowstyle="-|>", color="0.35", linewidth=0.9, shrinkA=0, shrinkB=0)
        look |= dict(mutation_scale=8, connectionstyle=turned)
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=look)
    for box in _boxes(canvas, patch, cells, windows, backbone):
        _draw(ax, box)
    for y, text in ((3.2, "local information: the lesion closely"),
                    (43.6, "global information: the whole breast")):  # fmt: skip
        ax.text(41, y, text, ha="center", va="center", fontsize=8, style="italic", color="0.25")
    return figure


def _boxes(canvas, patch, cells, windows, backbone) -> list[Box]:
    maps = "{} x {}".format(*cells)
    size = "{} x {} px".format(*canvas)
    return [
        Box(8.5, 23.5, 14, 10, f"mammogram\non its canvas\n{size}", DATA, "01, 02"),
        Box(24, 11, 14, 9, f"window, cut to a\npatch {patch} x {patch} px", DATA, "03"),
        Box(41, 11, 13, 9, f"f_loc\n{backbone}", NETWORK, "04, 05"),
        Box(32.5, 36, 16, 9, "GMIC\ncontext network", NETWORK, "06"),
        Box(60, 11, 17, 9, f"E = h on the window\n32 maps {maps}", MAPS, "08"),
        Box(60, 23.5, 17, 9, f"I = the window's place\n1 map {maps}", MAPS, "08"),
        Box(60, 36, 17, 9, f"S = saliency\n2 maps {maps}", MAPS, "07"),
        Box(75, 23.5, 5, 34, "X\n\nthe\nchosen\nmaps,\n1 to 35\nof them", MAPS, "08"),
        Box(90.5, 12, 14, 11, "f_agg: malignant,\nbenign, outside,\nnegative", NETWORK, "09"),
        Box(90.5, 35, 14, 11, f"m / (m + b), mean\nof {windows} windows:\nlesion score", SCORE, "10"),
    ]  # fmt: skip


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
