"""Saliency maps of several images on one scale, their highest cells, and their mean by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlib.errors import InputError
from study.plots import style
from study.plots.map_panels import checked_maps, saliency_overlay, scale_and_legend
from study.plots.mammograms import Mammogram, mammogram


def saliency_overlays(
    images: Sequence[Mammogram],
    saliency: np.ndarray,
    titles: Sequence[str],
    *,
    name: str = "S_m",
) -> Figure:
    """One saliency map of each image (n, h, w) over it, all on one colour scale 0..largest value.

    A map is drawn on the breast alone, each image with a scale bar.
    """
    saliency = checked_maps(saliency, len(images))
    vmax = float(max(saliency.max(), 1e-3))
    n, (rows, cols) = len(images), images[0].shape
    width = min(style.PAGE, 2.3 * n)
    lines = 1 + max(title.count("\n") for title in titles)
    figure = style.new_figure(width, (width - 0.7) / n * rows / cols + 0.5 + 0.17 * lines)
    panels = figure.subplots(1, n, squeeze=False)[0]
    for ax, image, values, title in zip(panels, images, saliency, titles, strict=True):
        saliency_overlay(image, values, ax=ax, vmax=vmax, title=title)
    kinds = {p for image in images for p in image.pathologies}
    scale_and_legend(figure, panels, vmax, name, kinds)
    return figure


def highest_cells(image: Mammogram, maps: Mapping[str, np.ndarray], count: int) -> Figure:
    """The `count` highest cells of a mammogram's maps, dotted, and all cells from high to low.

    maps : S_b and S_m, (h, w) each.  Cells off the breast are drawn too, since they count.
    """
    top, colours = float(max(m.max() for m in maps.values())), {"S_b": "benign", "S_m": "malignant"}
    figure = style.new_figure(style.PAGE, 2.8)
    first, *others, curve = figure.subplots(1, len(maps) + 2, width_ratios=(1, 1, 1, 2.2))
    mammogram(image, ax=first)
    for ax, (name, values) in zip(others, maps.items(), strict=True):
        saliency_overlay(replace(image, breast=None), values, ax=ax, vmax=top, title=name)
        order = np.argsort(-values, axis=None, kind="stable")
        row, col = np.unravel_index(order[:count], values.shape)
        px = image.shape[0] / values.shape[0]
        ax.plot((col + 0.5) * px, (row + 0.5) * px, "o", c="white", mec="black", ms=3, zorder=9)
        curve.plot(1 + np.arange(values.size), values.flat[order], ".-", label=name,
                   color=style.CLASS_COLOURS[colours[name]])  # fmt: skip
    curve.axvspan(0.5, count + 0.5, color="0.92", label=f"the highest {count}")
    curve.set(xlabel="cells, highest first", ylabel="saliency")
    curve.legend()
    scale_and_legend(figure, [first, *others], top, "saliency", image.pathologies)
    return figure


def histograms(values: Mapping[str, np.ndarray], *, name: str, bins: int = 20) -> Axes:
    """Outlined histograms of one number of images, as shares so that no large kind hides a small one.

    values : kind -> its numbers; malignant, benign and negative have the colours of their class.
    name : what the number is.
    """
    filled = {kind: np.asarray(v, float) for kind, v in values.items() if len(v)}
    if not filled:
        raise InputError("no number to draw", "saliency.histograms", "Give at least one kind")
    ax = style.axes(None, style.WIDTH, 2.7)
    together = np.concatenate(list(filled.values()))
    low, high = together.min(), together.max()
    edges = np.linspace(low, high if high > low else low + 1e-6, bins + 1)
    for kind, part in filled.items():
        ax.hist(part, edges, weights=np.full(len(part), 1 / len(part)), histtype="step",
                linewidth=1.6, color=style.CLASS_COLOURS.get(kind, "0.3"),
                linestyle=style.CLASS_DASHES.get(kind, "-"),
                label=f"{kind}, n = {len(part)}")  # fmt: skip
    ax.set(xlabel=name, ylabel="share of the images of a kind")
    style.legend_above(ax, ncols=len(filled))
    return ax
