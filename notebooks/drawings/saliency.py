"""Saliency maps of several images on one scale, and their mean by kind of image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlib.errors import InputError
from study.plots import style
from study.plots.map_panels import checked_maps, saliency_overlay, scale_and_legend
from study.plots.mammograms import Mammogram


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
        saliency_overlay(image, values, ax=ax, vmax=vmax, title=title, bar=True)
    kinds = {p for image in images for p in image.pathologies}
    scale_and_legend(figure, panels, vmax, name, kinds)
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
