"""The method of Wu et al. 2020 as one picture: from a mammogram to the score of a lesion."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon
from scipy.ndimage import map_coordinates

from data_manifest.phantom.render import Case, render
from data_manifest.phantom.settings import PhantomSettings
from lesionlib.windows import corners, location_maps, window_affine, window_table
from study.plots import style

WIDE, TALL = 100, 56  # units of the picture; one is 1/100 of a page's width
LOCAL, GLOBAL, NETWORK = "#FCEBD3", "#DFEBF3", "#3B4A59"
CHOSEN, OTHERS = "#F28E1C", "white"  # the window that is followed, the other ones
CELL = 64  # px
# a made-up breast with a lesion in its upper half and most specks there too
CASE = Case("example", "CC", "L", u=(1.6,), c=(1.9, -1.2), halves=(0, 1), seed=5, patient_seed=3)
OFFSETS = (
    (-2, 6, 48, 12),
    (12, -10, 40, -20),
    (-14, -9, 34, 25),
    (10, 14, 28, -8),
    (-12, 12, 44, 5),
)
# where a text, an arrow or a network is
TEXTS = {  # key: x, y of its upper middle
    "mammogram": (11, 41.3), "patch": (31.5, 18), "floc": (45.6, 17.8), "h": (56.2, 19),
    "E": (69.5, 19.6), "I": (50, 31), "gmic": (46.3, 50), "S": (69, 49.5), "fagg": (87, 36.9),
    "score": (91.5, 19.8), "lesion": (91.5, 49.6),
}  # fmt: skip
ARROWS = (
    (21.6, 14, 25.5, 11.5), (38.5, 11, 42.3, 11), (50.3, 11, 54.6, 11), (56.9, 11, 62, 11),
    (21.6, 30, 64.6, 30), (21.6, 37, 42.3, 43), (50.3, 44, 61.6, 44), (78, 14, 80.6, 23),
    (72.8, 30, 79, 30), (77.2, 44, 80.6, 36.6), (87, 30, 88.2, 30), (95.5, 38, 95.5, 43.2),
)  # fmt: skip
NETWORKS = {"f_loc": (46.3, 11), "GMIC": (46.3, 44), "f_agg": (83, 30)}  # middles


def stages(
    canvas: tuple[int, int], patch: int, cells: tuple[int, int], windows: int, backbone: str
) -> pd.DataFrame:
    """What the picture says of each stage: its name, its shape or kind, the notebooks on it.

    canvas : (rows, cols), px.  patch : px of a patch's side.  cells : (h, w) of the maps.
    windows : of a lesion at evaluation.  backbone : name of f_loc's.
    """
    maps = "{} x {} cells".format(*cells)
    rows = [
        ("mammogram", "mammogram with\nan outlined lesion", "{} x {} px".format(*canvas), "01, 02"),
        ("patch", f"{windows} windows on\nthe lesion: patches", f"{patch} x {patch} px", "03"),
        ("floc", "patch network", backbone, "04, 05"),
        ("h", "embedding h", "32 numbers", "04"),
        ("E", "E: h where the window is", f"32 maps of {maps}", "08"),
        ("I", "I: where the window is", f"1 map of {maps}", "08"),
        ("gmic", "context network", "reads the whole image", "06"),
        ("S", "S: saliency maps,\nmalignant and benign", f"2 maps of {maps}", "07"),
        ("fagg", "aggregation\nnetwork", "reads E, I, S", "09"),
        ("score", "score of a window", "m / (m + b)", "10"),
        ("lesion", "score of the lesion", f"mean of {windows} windows", "10"),
    ]
    return pd.DataFrame(rows, columns=["stage", "name", "shape", "notebook"]).set_index("stage")


def method(stages: pd.DataFrame) -> Figure:
    """The path of one window of a lesion, and of the whole breast, to the lesion's score.

    stages : see :func:`stages`.  Mammogram, windows and patches are of a phantom; the numbers of
    maps, embedding and scores are made up.
    """
    figure = style.new_figure(style.PAGE, style.PAGE * TALL / WIDE)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDE), ylim=(TALL, 0))
    ax.set_axis_off()
    _bands(ax)
    for x0, y0, x1, y1 in ARROWS:
        look = dict(arrowstyle="-|>", color="0.25", linewidth=1, mutation_scale=9)
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=look | dict(shrinkA=0, shrinkB=0))
    for name, middle in NETWORKS.items():
        _network(ax, name, *middle)
    for key, row in stages.iterrows():
        words = f"{row['name']}\n{row['shape']}"
        ax.text(*TEXTS[key], words, ha="center", va="top", fontsize=6.8, linespacing=1.2)
    picture = render(CASE, PhantomSettings())
    middle = picture.outlines[0].mean(axis=0)
    shift = np.array(OFFSETS, float)
    windows = window_table(image=0, row=middle[1] + shift[:, 0], col=middle[0] + shift[:, 1],
                           side=shift[:, 2], angle=shift[:, 3])  # fmt: skip
    _breast(_inset(figure, 1, 10.5, 20, 30), picture, windows)
    _patches(figure, picture.pixels, windows)
    _maps(figure, windows)
    _scores(figure)
    return figure


def _bands(ax: Axes) -> None:
    for y, height, at, colour, text in (
        (0.8, 23.8, 1.7, LOCAL, "LOCAL: the lesion, closely"),
        (37, 18.2, 15.7, GLOBAL, "GLOBAL: the\nwhole breast"),
    ):
        band = FancyBboxPatch((23.3, y), 55, height, boxstyle="round,pad=0,rounding_size=1",
                              facecolor=colour, edgecolor="none", zorder=0)  # fmt: skip
        ax.add_patch(band)
        ax.text(24.3, y + at, text, fontsize=7, weight="bold", va="center", color="0.25")


def _network(ax: Axes, name: str, x: float, y: float) -> None:
    """A trapezoid that narrows in the direction of reading."""
    shape = [(x - 4, y - 6), (x + 4, y - 3.4), (x + 4, y + 3.4), (x - 4, y + 6)]
    ax.add_patch(Polygon(shape, facecolor=NETWORK, edgecolor="none"))
    ax.text(x, y, name, color="white", ha="center", va="center", fontsize=8, weight="bold")


def _inset(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Axes without ticks, in units of the picture from its upper left corner."""
    ax = figure.add_axes((x / WIDE, 1 - (y + height) / TALL, width / WIDE, height / TALL))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, edgecolor="0.4", linewidth=0.6)
    return ax


def _breast(ax: Axes, picture, windows: pd.DataFrame) -> None:
    rows, cols = picture.pixels.shape
    ax.imshow(picture.pixels, cmap="gray", extent=(0, cols, rows, 0), aspect="auto")
    ax.plot(*picture.outlines[0].T, color=style.CLASS_COLOURS["malignant"], linewidth=1.1)
    for k, square in reversed(list(enumerate(corners(windows)))):
        colour, width = (OTHERS, 0.7) if k else (CHOSEN, 1.4)
        ax.add_patch(Polygon(square[:, ::-1], fill=False, edgecolor=colour, linewidth=width))
    ax.text(0.97, 0.02, "phantom", color="white", fontsize=6.5, style="italic", ha="right",
            va="bottom", transform=ax.transAxes)  # fmt: skip


def _patches(figure: Figure, pixels: np.ndarray, windows: pd.DataFrame, side: int = 48) -> None:
    """The patches of three windows as a pile, that of the chosen window on top."""
    points = np.indices((side, side))[::-1].reshape(2, -1) + 0.5
    for k in (2, 1, 0):
        col, row = window_affine(windows.iloc[k], side) @ np.vstack([points, np.ones(side**2)])
        grey = map_coordinates(pixels.astype(float), [row - 0.5, col - 0.5], order=1)
        ax = _inset(figure, 26 + 1.5 * k, 7.6 - 0.9 * k, 9, 9)
        ax.imshow(grey.reshape(side, side), cmap="gray")
        ax.spines[:].set(edgecolor="0.4" if k else CHOSEN, linewidth=0.6 if k else 1.8)


def _maps(figure: Figure, windows: pd.DataFrame) -> None:
    """E as a pile of maps, I, and the two maps of S, all on the cells of the phantom's canvas."""
    rng, size = np.random.default_rng(2), (PhantomSettings().rows, PhantomSettings().cols)
    cells = size[0] // CELL, size[1] // CELL
    h = rng.random(32) ** 2
    h[0] = 0.7
    here = location_maps(windows[:1], cells, CELL)[0]
    strip = _inset(figure, 54.8, 4.6, 1.8, 13.6)
    strip.imshow(h[:, None], cmap="viridis", aspect="auto")
    for k in (3, 2, 1, 0):
        values = np.ma.masked_equal(h[k] * (here > 0), 0)
        _grid(_inset(figure, 63.5 + 1.4 * k, 7.5 - 0.9 * k, 7.4, 11.1), values, "viridis")
    _grid(_inset(figure, 66, 25.2, 6.4, 9.6), np.ma.masked_equal(here, 0), "gray_r")
    row, col = np.indices(cells)
    for k, (top, left, wide, shade) in enumerate(((1, 3, 2.6, "Reds"), (6, 1, 2.2, "Blues"))):
        bump = np.exp(-((row - top) ** 2 + (col - left) ** 2) / wide**2)
        _grid(_inset(figure, 62.2 + 7.4 * k, 39.6, 6.4, 9.6), bump, shade)


def _grid(ax: Axes, values: np.ndarray, shade: str) -> None:
    ax.set_facecolor("white")
    ax.pcolormesh(values, cmap=shade, vmin=0, vmax=1, edgecolor="0.75", linewidth=0.25)
    ax.invert_yaxis()


def _scores(figure: Figure) -> None:
    """The four probabilities of the window, and the scores of all windows with their mean."""
    names, shares = ("malignant", "benign", "outside", "negative"), (0.62, 0.22, 0.1, 0.06)
    ax = _inset(figure, 94.8, 24.5, 4.6, 11)
    ax.barh(range(4), shares, color=[style.CLASS_COLOURS[k] for k in names], edgecolor="0.4",
            linewidth=0.5)  # fmt: skip
    ax.set(yticks=range(4), ylim=(3.6, -0.6), xlim=(0, 0.8))
    ax.set_yticklabels(names, fontsize=6.3)
    ax.tick_params(length=0, pad=2)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    votes = np.random.default_rng(4).beta(7, 3, 16)
    ax = _inset(figure, 85.5, 43.2, 12, 5)
    ax.plot(votes, np.zeros(16), "|", color="0.35", markersize=7)
    ax.plot(votes.mean(), 0, "v", color=style.CLASS_COLOURS["malignant"], markersize=6)
    ax.set(xlim=(0, 1), xticks=(0, 1), ylim=(-1, 1))
    ax.tick_params(length=2, labelsize=6, pad=1)
    ax.spines[["top", "right", "left"]].set_visible(False)
