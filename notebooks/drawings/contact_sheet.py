"""Many mammograms on one page, each with the contour of its breast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.plots import style
from study.plots.mammograms import Mammogram, mammogram, scale_bars


def contact_sheet(
    mammograms: Sequence[Mammogram],
    breasts: Sequence[np.ndarray],
    *,
    columns: int = 10,
    flagged: Sequence[bool] | None = None,
    widths: Sequence[float] | None = None,
) -> Figure:
    """Small mammograms side by side, each with the contour of its breast and its title.

    breasts : one mask per mammogram, bool, of any whole fraction of its size (a store's are at
    stride 4).  flagged : whose title is red.  widths : px of the files, which the bars are of, where
    the mammograms are smaller; their px_mm is then that of the files.
    """
    n, columns = len(mammograms), min(columns, len(mammograms))
    side = style.PAGE / columns
    tall = 0.88 * side * max(image.shape[0] / image.shape[1] for image in mammograms)
    step, rows = tall + 0.22, -(-n // columns)
    height = rows * step + 0.2  # a strip for the word phantom
    # the places are known, so no layout is searched: it takes long for so many axes
    figure = Figure(figsize=(style.PAGE, height))
    flags = [False] * n if flagged is None else flagged
    longest = max(len(image.title) for image in mammograms)
    size = min(5.5, 72 * side / (0.62 * max(longest, 1)))
    widths = [image.shape[1] for image in mammograms] if widths is None else widths
    for k, (image, breast, flag) in enumerate(zip(mammograms, breasts, flags, strict=True)):
        row, column = divmod(k, columns)
        left, bottom = (column + 0.06) / columns, 1 - (row + 1) * step / height
        ax = figure.add_axes((left, bottom, 0.88 / columns, tall / height), anchor="N")
        mammogram(image, ax=ax, outlines=False, bar=False)
        breast_contour(ax, breast, image.shape)
        # a frame, and a gap of white: without them a breast runs into its neighbour
        ax.spines[:].set(visible=True, edgecolor="0.55", linewidth=0.6)
        ax.set_title(image.title, fontsize=size, pad=1.5, color="#B00010" if flag else "black")
    said = scale_bars(figure.axes, widths, [image.px_mm for image in mammograms])
    figure.text(0.06 / columns, 0.01, f"bars in the file: {said}", fontsize=6.5)
    return figure


def breast_contour(ax: Axes, breast: np.ndarray, shape: tuple[int, int]) -> None:
    """The edge of a breast mask on a drawn image of `shape` (rows, cols) px."""
    step = shape[0] / breast.shape[0], shape[1] / breast.shape[1]
    mask = np.pad(np.asarray(breast, float), 1)
    rows, cols = ((np.arange(n) - 0.5) * s for n, s in zip(mask.shape, step, strict=True))
    ax.contour(cols, rows, mask, [0.5], colors=["#F0E442"], linewidths=0.7)
