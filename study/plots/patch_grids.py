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
from study.plots.mammograms import Mammogram, hang, scale_bar, scale_bars, windows_on_image


def patch(
    pixels: np.ndarray,
    *,
    ax: Axes,
    title: str = "",
    colour: str | None = None,
    side: float | None = None,
    px_mm: float | None = None,
) -> Axes:
    """One patch (P, P), grey, framed in the colour of its class.

    side : px of its window, which gives it a scale bar.  px_mm : mm that one of these measures.
    """
    low, high = np.percentile(pixels, (0.5, 99.5))
    ax.imshow(pixels, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=6.5, pad=2)
    ax.spines[:].set(visible=True, edgecolor=colour or "0.6", linewidth=1.6 if colour else 0.6)
    if side:
        scale_bar(ax, px_mm, side)
    return ax


def patches(
    pixels: np.ndarray,
    *,
    labels: Sequence[int] | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    sides: Sequence[float] | None = None,
    px_mm: float | None = None,
) -> Figure:
    """A grid of patches.

    Parameters
    ----------
    pixels : (n, P, P), or (n, 1, P, P) as ``extract_patches`` gives them.
    labels : (n,) class 0..3 of each, which colours its frame and is its default title.
    titles : (n,) texts above the patches.
    sides : (n,) px of their windows, which give them scale bars.
    px_mm : mm that one of these px measures.
    """
    pixels = _grey(pixels)
    n, side = pixels.shape[:2]
    names = [CLASSES[int(k)] for k in labels] if labels is not None else [None] * n
    titles = titles if titles is not None else [name or "" for name in names]
    columns = min(columns, n)
    rows = -(-n // columns)
    lines = 1 + max(title.count("\n") for title in titles)
    tall = style.PAGE / 8 + 0.05 + 0.12 * lines
    figure = style.new_figure(style.PAGE * columns / 8, tall * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    sides = [None] * n if sides is None else sides
    for ax, image, name, title, wide in zip(grid, pixels, names, titles, sides, strict=False):
        colour = style.CLASS_COLOURS.get(name)
        patch(image, ax=ax, title=title, colour=colour, side=wide, px_mm=px_mm)
    for ax in grid[n:]:
        ax.set_axis_off()
    bars = ", bars on the scale of the canvas" if any(sides) else ""
    figure.supxlabel(f"each patch {side} x {side} px{bars}", fontsize=7)
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
    counts = np.bincount(labels, minlength=len(CLASSES))
    side = style.PAGE / max(2 * counts.max(), 8)
    tall = max(np.divide(*image.shape) for image in mammograms.values())
    tall *= 0.92 * style.PAGE / 3
    figure = style.new_figure(style.PAGE, tall + 2 * side + 1.05)
    above, below = figure.subfigures(2, 1, height_ratios=(tall + 0.25, 2 * side + 0.6))
    panels = above.subplots(1, len(mammograms), squeeze=False)[0]
    for ax, (row, image) in zip(panels, mammograms.items(), strict=True):
        (here,) = np.nonzero(rows == row)
        windows_on_image(image, corners[order][here], labels=labels[here], numbers=here + 1,
                         legend=False, ax=ax)  # fmt: skip
    films = [mammograms[row] for row in rows]
    drawn = _classes(below, labels, pixels[order], films, int(counts.max()))
    sides = np.linalg.norm(corners[order, 0] - corners[order, 1], axis=-1)
    said = scale_bars(drawn, sides, [film.px_mm for film in films])
    below.supxlabel(f"bars on the patches: {said}", fontsize=7)
    return figure


def _classes(place, labels: np.ndarray, pixels: np.ndarray, films: list, most: int) -> list[Axes]:
    """Two rows of two classes each, the patches numbered and hung as on the mammograms."""
    drawn = []
    for k, part in enumerate(place.subfigures(2, 2, wspace=0.03).ravel()):
        members, colour = np.flatnonzero(labels == k), style.CLASS_COLOURS[CLASSES[k]]
        none = "" if len(members) else ": none in this set"
        part.suptitle(f"{CLASSES[k]}{none}", fontsize=7.5)
        grid = part.subplots(1, most, squeeze=False)[0]
        for ax, i in zip(grid, members, strict=False):
            patch(pixels[i], ax=ax, title=str(i + 1), colour=colour)
            drawn.append(hang(ax, films[i]))
        for ax in grid[len(members) :]:
            ax.set_axis_off()
    return drawn


def _grey(pixels: np.ndarray) -> np.ndarray:
    pixels = np.asarray(pixels)
    pixels = pixels[:, 0] if pixels.ndim == 4 else pixels
    if pixels.ndim != 3 or not len(pixels):
        raise InputError(f"patches of shape {pixels.shape}", "plots.patches", "Give (n, P, P)")
    return pixels
