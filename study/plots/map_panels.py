"""Saliency maps and the maps that f_agg sees: figures 2 and 4."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from lesionlib.errors import InputError
from lesionlib.windows import CLASSES
from study.plots import style
from study.plots.mammograms import Mammogram, hang, mammogram, truth_legend, windows_on_image
from study.plots.patch_grids import patch

_SALIENCY = "magma"
_EMBEDDING = "viridis"
_OVER = 0.6  # how much of an overlay is the map; the rest is the mammogram
_TISSUE = 0.45  # grey 0..1 of breast tissue as drawn


def saliency_overlay(
    image: Mammogram,
    saliency: np.ndarray,
    *,
    ax: Axes,
    vmax: float = 1.0,
    title: str = "",
) -> Axes:
    """A saliency map (h, w) over its mammogram, on the breast alone; cells are not smoothed."""
    rows, cols = image.shape
    mammogram(image, ax=ax)
    breast = np.ones(np.shape(saliency), bool) if image.breast is None else image.breast
    cell = np.array(breast.shape) // np.shape(saliency)
    ax.imshow(np.kron(saliency, np.ones(cell)), cmap=_SALIENCY, vmin=0, vmax=vmax,
              alpha=_OVER * breast, extent=(0, cols, rows, 0), interpolation="nearest")  # fmt: skip
    ax.set_title(title)
    return ax


def figure_2(image: Mammogram, saliency: np.ndarray) -> Figure:
    """Figure 2 of Wu et al. 2020: a mammogram, and its saliency maps S_b and S_m over it.

    saliency : (2, h, w), malignant first, values 0..1; one colour scale up to the maximum of both.
    """
    saliency = checked_maps(saliency, 2)
    vmax = float(max(saliency.max(), 1e-3))
    rows, cols = image.shape
    height = (style.PAGE - 0.7) / 3 * rows / cols + 0.55
    figure = style.new_figure(style.PAGE, height)
    panels = figure.subplots(1, 3)
    mammogram(image, ax=panels[0])
    panels[0].set_title(f"mammogram {image.title}")
    for ax, k, kind in ((panels[1], 1, "S_b: benign"), (panels[2], 0, "S_m: malignant")):
        saliency_overlay(image, saliency[k], ax=ax, vmax=vmax, title=f"{kind} present")
    h, w = saliency.shape[1:]
    label = f"saliency (colours: 0 to {vmax:.2f}; {h} x {w} cells of {rows // h} px)"
    scale_and_legend(figure, panels, vmax, label, image.pathologies)
    return figure


def overlay_scale(vmax: float) -> ScalarMappable:
    """The colours 0..vmax of saliency over tissue, so that a cell and the bar look alike."""
    seen = _OVER * colormaps[_SALIENCY](np.linspace(0, 1, 256))[:, :3] + (1 - _OVER) * _TISSUE
    return ScalarMappable(Normalize(0, vmax), ListedColormap(seen))


def scale_and_legend(figure: Figure, panels, vmax: float, label: str, kinds) -> None:
    """The colours 0..vmax of saliency over tissue to the right, the outlines' truths below."""
    figure.colorbar(overlay_scale(vmax), ax=list(panels), shrink=0.7, pad=0.01, label=label)
    truth_legend(figure, set(kinds), loc="outside lower left")


def maps(
    x: np.ndarray,
    names: Sequence[str],
    *,
    columns: int = 9,
) -> Figure:
    """Maps side by side, each cell as it is.

    Parameters
    ----------
    x : (c, h, w) maps, such as X of one window.
    names : c names: I, S_m, S_b, E_1 ...  Maps of a kind (I, S, all others) share a range, from 0
        to the largest value of the kind, and a colour bar with the first word of their names.
    """
    x = checked_maps(x, len(names))
    n, (h, w) = len(x), x.shape[1:]
    columns = min(columns, n)
    rows = -(-n // columns)
    side = style.PAGE / max(columns, 4)
    figure = style.new_figure(side * columns + 0.5, (side * h / w * 0.85 + 0.22) * rows + 0.35)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    kinds = [name[0] if name[0] in "IS" else "E" for name in names]
    tops: dict[str, float] = {}
    for kind, values in zip(kinds, x, strict=True):
        tops[kind] = max(tops.get(kind, 1e-6), float(values.max()))
    for ax, values, name, kind in zip(grid, x, names, kinds, strict=False):
        cell_map(values, ax=ax, title=name, vmax=tops[kind], kind=kind)
    for ax in grid[n:]:
        ax.set_axis_off()
    for kind, top in tops.items():
        scale = ScalarMappable(Normalize(0, top), _colours(kind))
        label = re.split("[_ ,]", names[kinds.index(kind)])[0]
        bar = figure.colorbar(scale, ax=list(grid), shrink=0.8, pad=0.01, aspect=25)
        bar.ax.tick_params(labelsize=6)
        bar.ax.set_title(label, fontsize=6.5, x=0, ha="left")  # a long word would lie on the maps
    figure.supxlabel(f"{n} maps of {h} x {w} cells", fontsize=7)
    return figure


def _colours(kind: str) -> str:
    return {"I": "gray", "S": _SALIENCY}.get(kind, _EMBEDDING)


def cell_map(
    values: np.ndarray, *, ax: Axes, title: str = "", vmax: float = 1.0, kind: str = "E"
) -> Axes:
    """One map (h, w) from 0 (dark) to vmax (bright), cells not smoothed."""
    ax.imshow(values, cmap=_colours(kind), vmin=0, vmax=max(vmax, 1e-6), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=6.5, pad=2)
    ax.spines[:].set(visible=True, edgecolor="0.6", linewidth=0.5)
    return ax


def checked_maps(x: np.ndarray, n: int) -> np.ndarray:
    """(n, h, w) as floats, or an InputError."""
    x = np.asarray(x, float)
    if x.ndim != 3 or len(x) != n or not np.isfinite(x).all():
        raise InputError(f"maps of shape {x.shape}", "plots", f"Give {n} finite maps (n, h, w)")
    return x


# ------------------------------------------------------------------ figure 4
def figure_4(
    image: Mammogram,
    corners: np.ndarray,
    pixels: np.ndarray,
    location: np.ndarray,
    saliency: np.ndarray,
    embedding: np.ndarray,
    probabilities: np.ndarray,
    *,
    combination: str = "I+S+E",
) -> Figure:
    """Figure 4 of Wu et al. 2020: one window from its image over the maps to f_agg's four outputs.

    Parameters
    ----------
    corners : (4, 2) of the window.  pixels : (P, P) its patch.
    location : (h, w).  saliency : (2, h, w).  embedding : (k, h, w); the three largest are drawn.
    probabilities : (4,) softmax of f_agg over the classes.
    combination : the maps that are stacked to X; all are drawn, arrows lead from these.
    """
    saliency, embedding = checked_maps(saliency, 2), checked_maps(embedding, len(embedding))
    figure = style.new_figure(style.PAGE, 4.0)
    figure.set_layout_engine("none")
    place = lambda x, y, w, h: figure.add_axes((x, y, w, h))  # noqa: E731
    whole = place(0.004, 0.20, 0.192, 0.62)
    windows_on_image(image, corners, ax=whole)
    whole.set_title(f"image {image.shape[0]} x {image.shape[1]} px\nand one window", fontsize=7)
    small = place(0.247, 0.42, 0.1, 0.18)
    wide = np.linalg.norm(np.subtract(*corners[:2]))
    title = "patch {} x {}".format(*np.shape(pixels)[-2:])
    patch(np.squeeze(pixels), ax=small, title=title, side=wide, px_mm=image.px_mm)
    _map_column(place, location, saliency, embedding)
    for ax in figure.axes[1:]:  # patch and maps as the image is drawn
        if ax.images:
            hang(ax, image)
    used = combination.split("+")
    sizes = {"I": 1, "S": len(saliency), "E": len(embedding)}
    _stack(figure, _shape(sum(sizes[kind] for kind in used), location), combination)
    _network(place(0.765, 0.2, 0.095, 0.56))
    _bars(place(0.898, 0.32, 0.088, 0.38), np.asarray(probabilities, float))
    _arrows(figure, len(embedding), used)
    return figure


def _map_column(place, location, saliency, embedding) -> None:
    top = float(location.max())
    title = f"I {_shape(1, location)}, up to {top:.2f}"
    cell_map(location, ax=place(0.495, 0.72, 0.075, 0.21), kind="I", vmax=top, title=title)
    for k, name in enumerate(("S_m", "S_b")):
        ax = place(0.45 + 0.085 * k, 0.07, 0.075, 0.21)
        cell_map(saliency[k], ax=ax, kind="S", vmax=saliency.max(), title=name)
    # the strongest three of the embedding: maps of zeros would show nothing
    strongest = np.argsort(-embedding.max(axis=(1, 2)), kind="stable")[:3]
    for k, e in enumerate(sorted(strongest)):
        ax = place(0.435 + 0.066 * k, 0.40, 0.06, 0.19)
        top = embedding.max()
        cell_map(embedding[e], ax=ax, vmax=top, title=f"E_{e + 1}")
    note = f"E {_shape(len(embedding), location)}: h where I > 0, else 0"
    ax.figure.text(0.532, 0.385, note, ha="center", va="top", fontsize=6.5)
    note = f"S {_shape(2, location)}, up to {saliency.max():.2f}"
    ax.figure.text(0.53, 0.045, note, ha="center", va="top", fontsize=6.5)


def _shape(channels: int, values: np.ndarray) -> str:
    return f"({channels}, {values.shape[0]}, {values.shape[1]})"


def _stack(figure: Figure, shape: str, combination: str) -> None:
    """X as a pile of empty cards."""
    for k in range(6):
        ax = figure.add_axes((0.66 + 0.006 * k, 0.41 - 0.01 * k, 0.045, 0.2))
        ax.set(xticks=[], yticks=[], facecolor=("0.93", "white")[k % 2])
        ax.spines[:].set(visible=True, edgecolor="0.4", linewidth=0.6)
    ax.text(0.5, 0.5, "X", ha="center", va="center", fontsize=11, transform=ax.transAxes)
    figure.text(0.697, 0.63, f"X {shape}\n{combination}", ha="center", va="bottom", fontsize=6.5)


def _network(ax: Axes) -> None:
    """f_agg, layer by layer."""
    layers = 2 * ["batch norm\nReLU\nconv 3 x 3"] + ["mean over\nthe cells", "fully\nconnected"]
    ax.set(xlim=(0, 1), ylim=(len(layers), 0))
    ax.set_axis_off()
    ax.set_title("f_agg", fontsize=7.5, pad=3)
    for k, text in enumerate(layers):
        ax.add_patch(Rectangle((0.02, k + 0.06), 0.96, 0.84, facecolor="0.95", edgecolor="0.4",
                               linewidth=0.6))  # fmt: skip
        ax.text(0.5, k + 0.48, text, ha="center", va="center", fontsize=5.8)


def _bars(ax: Axes, probabilities: np.ndarray) -> None:
    colours = [style.CLASS_COLOURS[name] for name in CLASSES]
    ax.barh(np.arange(4), probabilities, height=0.42, color=colours, edgecolor="0.3", linewidth=0.5)
    ax.set(xlim=(0, 1), ylim=(3.4, -0.75), xticks=[0, 1], yticks=[])
    for k, name in enumerate(CLASSES):
        ax.text(0.03, k - 0.42, f"{name} {probabilities[k]:.2f}", fontsize=5.8, va="center")
    ax.set_xlabel("probability", fontsize=6.5)
    ax.set_title("4 classes", fontsize=7.5, pad=3)
    m, b = probabilities[:2]
    text = f"window score\nm / (m + b) = {m / (m + b):.2f}"
    ax.figure.text(0.995, 0.2, text, ha="right", va="top", fontsize=6.5)


def _arrows(figure: Figure, embeddings: int, used: Sequence[str]) -> None:
    steps = [
        ((0.198, 0.51), (0.244, 0.51), "cut", (0.221, 0.525)),
        ((0.198, 0.72), (0.485, 0.83), "share of each cell\nthat the window covers", (0.33, 0.84)),
        ((0.35, 0.51), (0.43, 0.51), f"f_loc:\nh ({embeddings},)", (0.39, 0.525)),
        ((0.198, 0.29), (0.44, 0.17), "GMIC,\nwhole image", (0.30, 0.13)),
        ((0.532, 0.705), (0.532, 0.625), "I > 0", (0.555, 0.65)),
        ((0.737, 0.46), (0.762, 0.46), "", (0, 0)),
        ((0.862, 0.46), (0.895, 0.46), "", (0, 0)),
    ]
    to_x = {"I": ((0.58, 0.80), 0.60), "E": ((0.63, 0.49), 0.49), "S": ((0.62, 0.17), 0.36)}
    steps += [(to_x[kind][0], (0.655, to_x[kind][1]), "", (0, 0)) for kind in used]
    for start, end, text, at in steps:
        arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, linewidth=0.9,
                                color="0.25", transform=figure.transFigure, shrinkA=0, shrinkB=0)  # fmt: skip
        figure.add_artist(arrow)
        figure.text(*at, text, ha="center", va="bottom", fontsize=6.5)
