"""Saliency maps and the maps that f_agg sees: figures 2 and 4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from lesionlib.errors import InputError
from lesionlib.windows import CLASSES
from study.plots import style
from study.plots.mammograms import Mammogram, hang, mammogram, truth_legend, windows_on_image
from study.plots.patch_grids import patch

_SALIENCY = "magma"
_EMBEDDING = "viridis"


def saliency_overlay(
    image: Mammogram, saliency: np.ndarray, *, ax: Axes, vmax: float = 1.0, title: str = ""
) -> Axes:
    """A saliency map (h, w) over its mammogram; each cell is drawn as it is, not smoothed."""
    rows, cols = image.shape
    mammogram(image, ax=ax, bar=False)
    share = np.clip(np.asarray(saliency, float) / vmax, 0, 1)
    ax.imshow(saliency, cmap=_SALIENCY, vmin=0, vmax=vmax, alpha=0.15 + 0.5 * share,
              extent=(0, cols, rows, 0), interpolation="nearest")  # fmt: skip
    ax.set_title(title)
    return ax


def figure_2(image: Mammogram, saliency: np.ndarray) -> Figure:
    """Figure 2 of Wu et al. 2020: a mammogram and its saliency maps S_m and S_b over it.

    saliency : (2, h, w), malignant first, values 0..1; one colour scale up to the maximum of both.
    """
    saliency = checked_maps(saliency, 2)
    vmax = float(max(saliency.max(), 1e-3))
    rows, cols = image.shape
    height = (style.PAGE - 0.7) / 3 * rows / cols + 0.55
    figure = style.new_figure(style.PAGE, height)
    left, middle, right = figure.subplots(1, 3)
    mammogram(image, ax=left)
    left.set_title(f"mammogram {image.title}")
    saliency_overlay(image, saliency[0], ax=middle, vmax=vmax, title="S_m: malignant present")
    saliency_overlay(image, saliency[1], ax=right, vmax=vmax, title="S_b: benign present")
    h, w = saliency.shape[1:]
    label = f"saliency, 0 to 1 ({h} x {w} cells of {rows // h} px)"
    scale_and_legend(figure, [left, middle, right], vmax, label, image.pathologies)
    return figure


def scale_and_legend(figure: Figure, panels, vmax: float, label: str, kinds) -> None:
    """The colour scale 0..vmax of saliency to the right, the outlines' truths below."""
    scale = ScalarMappable(Normalize(0, vmax), _SALIENCY)
    figure.colorbar(scale, ax=list(panels), shrink=0.7, pad=0.01, label=label)
    truth_legend(figure, set(kinds), loc="outside lower left")


def maps(
    x: np.ndarray,
    names: Sequence[str],
    *,
    columns: int = 9,
    shared: bool = True,
) -> Figure:
    """Maps side by side, each cell as it is.

    Parameters
    ----------
    x : (c, h, w) maps, such as X of one window.
    names : c names: I, S_m, S_b, E_1 ...  Maps of a kind (I, S, all others) share a range, from 0
        to the largest value of the kind, which is written below.
    shared : False gives each map its own range, its maximum written below it.
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
        top = tops[kind] if shared else float(values.max())
        cell_map(values, ax=ax, title=name, vmax=top, kind=kind)
        ax.set_xlabel(None if shared else f"max {values.max():.2g}", fontsize=5.5)
    for ax in grid[n:]:
        ax.set_axis_off()
    text = f"{n} maps of {h} x {w} cells"
    if shared:
        text += "; dark 0 to bright " + ", ".join(f"{k} {v:.2g}" for k, v in tops.items())
    figure.supxlabel(text, fontsize=7)
    return figure


def cell_map(
    values: np.ndarray, *, ax: Axes, title: str = "", vmax: float = 1.0, kind: str = "E"
) -> Axes:
    """One map (h, w) from 0 (dark) to vmax (bright), cells not smoothed."""
    cmap = _EMBEDDING if kind == "E" else _SALIENCY if kind == "S" else "gray"
    ax.imshow(values, cmap=cmap, vmin=0, vmax=max(vmax, 1e-6), interpolation="nearest")
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
    *,
    probabilities: np.ndarray | None = None,
) -> Figure:
    """Figure 4 of Wu et al. 2020: what f_agg sees of one window, from the image to X.

    Parameters
    ----------
    corners : (4, 2) of the window.  pixels : (P, P) its patch.
    location : (h, w).  saliency : (2, h, w).  embedding : (k, h, w); the three largest are drawn.
    probabilities : (4,) softmax of f_agg over the classes, drawn as bars where given.
    """
    saliency, embedding = checked_maps(saliency, 2), checked_maps(embedding, len(embedding))
    figure = style.new_figure(style.PAGE, 4.3)
    figure.set_layout_engine("none")
    place = lambda x, y, w, h: figure.add_axes((x, y, w, h))  # noqa: E731
    whole = place(0.005, 0.20, 0.23, 0.62)
    windows_on_image(image, corners, ax=whole)
    whole.set_title(f"image {image.shape[0]} x {image.shape[1]} px\nand one window", fontsize=7)
    small = place(0.30, 0.44, 0.12, 0.20)
    patch(np.squeeze(pixels), ax=small, title="patch {} x {}".format(*np.shape(pixels)[-2:]))
    _map_column(place, location, saliency, embedding)
    for ax in figure.axes[1:]:  # patch and maps as the image is drawn
        if ax.images:
            hang(ax, image)
    _stack(figure, _shape(1 + len(saliency) + len(embedding), location))
    if probabilities is not None:
        _bars(place(0.895, 0.34, 0.095, 0.38), np.asarray(probabilities, float))
    _arrows(figure, len(embedding), probabilities is not None)
    return figure


def _map_column(place, location, saliency, embedding) -> None:
    top = float(location.max())
    title = f"I {_shape(1, location)}, up to {top:.2f}"
    cell_map(location, ax=place(0.53, 0.71, 0.085, 0.22), kind="I", vmax=top, title=title)
    for k, name in enumerate(("S_m", "S_b")):
        ax = place(0.49 + 0.09 * k, 0.06, 0.085, 0.22)
        cell_map(saliency[k], ax=ax, kind="S", vmax=saliency.max(), title=name)
    # the strongest three of the embedding: maps of zeros would show nothing
    strongest = np.argsort(-embedding.max(axis=(1, 2)), kind="stable")[:3]
    for k, e in enumerate(sorted(strongest)):
        ax = place(0.475 + 0.07 * k, 0.40, 0.065, 0.20)
        top = embedding.max()
        cell_map(embedding[e], ax=ax, vmax=top, title=f"E_{e + 1}")
    note = f"E {_shape(len(embedding), location)}: h where I > 0, else 0"
    ax.figure.text(0.58, 0.385, note, ha="center", va="top", fontsize=6.5)
    ax.figure.text(0.577, 0.045, f"S {_shape(2, location)}", ha="center", va="top", fontsize=6.5)


def _shape(channels: int, values: np.ndarray) -> str:
    return f"({channels}, {values.shape[0]}, {values.shape[1]})"


def _stack(figure: Figure, shape: str) -> None:
    """X as a pile of empty cards."""
    for k in range(6):
        ax = figure.add_axes((0.735 + 0.008 * k, 0.40 - 0.012 * k, 0.06, 0.22))
        ax.set(xticks=[], yticks=[], facecolor=("0.93", "white")[k % 2])
        ax.spines[:].set(visible=True, edgecolor="0.4", linewidth=0.6)
    ax.text(0.5, 0.5, "X", ha="center", va="center", fontsize=11, transform=ax.transAxes)
    figure.text(0.785, 0.645, f"X {shape}", ha="center", va="bottom", fontsize=7.5)


def _bars(ax: Axes, probabilities: np.ndarray) -> None:
    colours = [style.CLASS_COLOURS[name] for name in CLASSES]
    ax.barh(np.arange(4), probabilities, height=0.68, color=colours, edgecolor="0.3", linewidth=0.5)
    ax.set(xlim=(0, 1), ylim=(3.6, -0.75), xticks=[0, 1], yticks=[])
    for k, name in enumerate(CLASSES):
        ax.text(0.03, k - 0.52, f"{name} {probabilities[k]:.2f}", fontsize=5.5, va="center")
    ax.set_xlabel("probability", fontsize=6.5)
    ax.set_title("4 classes", fontsize=7, pad=3)


def _arrows(figure: Figure, embeddings: int, to_classes: bool) -> None:
    steps = [
        ((0.235, 0.54), (0.295, 0.54), "cut", (0.265, 0.555)),
        ((0.235, 0.74), (0.52, 0.82), "share of each cell\nthat the window covers", (0.36, 0.83)),
        ((0.425, 0.54), (0.47, 0.54), f"f_loc:\nh ({embeddings},)", (0.447, 0.585)),
        ((0.235, 0.27), (0.48, 0.17), "GMIC, whole image", (0.36, 0.155)),
        ((0.625, 0.80), (0.73, 0.60), "", (0, 0)),
        ((0.69, 0.50), (0.73, 0.50), "", (0, 0)),
        ((0.67, 0.17), (0.73, 0.38), "", (0, 0)),
    ]
    if to_classes:
        steps.append(((0.84, 0.46), (0.89, 0.46), "f_agg", (0.865, 0.475)))
    for start, end, text, at in steps:
        arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, linewidth=0.9,
                                color="0.25", transform=figure.transFigure)  # fmt: skip
        figure.add_artist(arrow)
        figure.text(*at, text, ha="center", va="bottom", fontsize=6.5)
