"""Patches as grids, and where their windows are: figure 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlib.errors import InputError
from lesionlib.windows import CLASSES
from study.plots import style
from study.plots.mammograms import Mammogram, hang, windows_on_image


def patch(pixels: np.ndarray, *, ax: Axes, title: str = "", colour: str | None = None) -> Axes:
    """One patch (P, P), grey, framed in the colour of its class."""
    low, high = np.percentile(pixels, (0.5, 99.5))
    ax.imshow(pixels, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=6.5, pad=2)
    ax.spines[:].set(visible=True, edgecolor=colour or "0.6", linewidth=1.6 if colour else 0.6)
    return ax


def patches(
    pixels: np.ndarray,
    *,
    labels: Sequence[int] | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 8,
) -> Figure:
    """A grid of patches.

    Parameters
    ----------
    pixels : (n, P, P), or (n, 1, P, P) as ``extract_patches`` gives them.
    labels : (n,) class 0..3 of each, which colours its frame and is its default title.
    titles : (n,) texts above the patches.
    """
    pixels = _grey(pixels)
    n, side = pixels.shape[:2]
    names = [CLASSES[int(k)] for k in labels] if labels is not None else [None] * n
    titles = titles if titles is not None else [name or "" for name in names]
    columns = min(columns, n)
    rows = -(-n // columns)
    figure = style.new_figure(style.PAGE * columns / 8, (style.PAGE / 8 + 0.17) * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, image, name, title in zip(grid, pixels, names, titles, strict=False):
        patch(image, ax=ax, title=title, colour=style.CLASS_COLOURS.get(name))
    for ax in grid[n:]:
        ax.set_axis_off()
    figure.supxlabel(f"each patch {side} x {side} px", fontsize=7)
    return figure


def figure_3(
    mammograms: Mapping[int, Mammogram],
    windows: pd.DataFrame,
    corners: np.ndarray,
    pixels: np.ndarray,
) -> Figure:
    """Figure 3 of Wu et al. 2020: patches of the four classes and where their windows are.

    Parameters
    ----------
    mammograms : by their row of the store, at most three; one should be negative.
    windows : window table, (n rows): columns image (a key of `mammograms`) and label (0..3).
    corners : (n, 4, 2) of these windows.  pixels : (n, P, P) or (n, 1, P, P), their patches.
    """
    pixels, corners = _grey(pixels), np.asarray(corners, float)
    missing = set(windows["image"]) - set(mammograms)
    if missing or len(mammograms) > 3:
        what = f"{len(mammograms)} mammograms, windows on {len(missing)} others"
        raise InputError(what, "figure_3", "Give the mammogram of every window, three at most")
    # numbered by class, on the mammograms as among the patches
    order = np.argsort(windows["label"].to_numpy(), kind="stable")
    labels, rows = (windows[k].to_numpy()[order] for k in ("label", "image"))
    figure = style.new_figure(style.PAGE, 3.15)
    left, right = figure.subfigures(1, 2, width_ratios=(0.5 * len(mammograms), 1), wspace=0.02)
    panels = left.subplots(1, len(mammograms), squeeze=False)[0]
    for ax, (row, image) in zip(panels, mammograms.items(), strict=True):
        (here,) = np.nonzero(rows == row)
        windows_on_image(image, corners[order][here], labels=labels[here], numbers=here + 1,
                         legend=False, ax=ax)  # fmt: skip
    _class_grid(right, labels, pixels[order], [mammograms[row] for row in rows])
    return figure


def _class_grid(place, labels: np.ndarray, pixels: np.ndarray, images: list[Mammogram]) -> None:
    """One row per class, numbered and hung as on the mammograms that they come from."""
    most = max(np.bincount(labels, minlength=len(CLASSES)))
    grid = place.subplots(len(CLASSES), int(most), squeeze=False)
    for k, name in enumerate(CLASSES):
        members = np.flatnonzero(labels == k)
        for ax, i in zip(grid[k], members, strict=False):
            patch(pixels[i], ax=ax, title=str(i + 1), colour=style.CLASS_COLOURS[name])
            hang(ax, images[i])
        for ax in grid[k][len(members) :]:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        grid[k][0].set_ylabel(name, fontsize=7)


def _grey(pixels: np.ndarray) -> np.ndarray:
    pixels = np.asarray(pixels)
    pixels = pixels[:, 0] if pixels.ndim == 4 else pixels
    if pixels.ndim != 3 or not len(pixels):
        raise InputError(f"patches of shape {pixels.shape}", "plots.patches", "Give (n, P, P)")
    return pixels
