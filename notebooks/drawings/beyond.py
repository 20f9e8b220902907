"""Pictures of notebook 14: intervals side by side, confident errors, power by size of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.plots import from_store, mammogram, style
from study.plots.map_panels import saliency_overlay, scale_and_legend


def errors(
    store,
    maps: np.ndarray,
    lesions: Sequence[int],
    titles: Sequence[str],
    side: float,
    images: Sequence[int],
) -> Figure:
    """Lesions, each at the size of a window, and below it S_m of its image.

    Parameters
    ----------
    maps : (images, 2, h, w), saliency of every image of the store.
    lesions : rows of the store.  titles : above each.  side : px of the square that is shown.
    images : of all figures that share a colour scale, which ends at their highest S_m.
    """
    top = float(maps[list(images), 0].max())
    figure = style.new_figure(4.4, 3.4)  # the breasts' cells are few: a larger one only weighs more
    grid = figure.subplots(2, len(lesions), squeeze=False, height_ratios=(1, 1.45))
    for (upper, lower), j, title in zip(grid.T, lesions, titles, strict=True):
        row = store.lesions.iloc[j]
        image, own = from_store(store, row["image"], title), store.outline(j)
        middle = own.centres.mean(axis=0)
        part = (*(middle - side / 2), *(middle + side / 2))
        mammogram(image, ax=upper, part=part)
        alone = replace(image, outlines=[own], pathologies=[row["pathology"]])
        side_and_view = from_store(store, row["image"]).title  # says so where it is mirrored
        name = f"S_m, {row['patient_id']}\n{side_and_view}"
        saliency_overlay(alone, maps[row["image"], 0], ax=lower, vmax=top, title=name)
        for ax in (upper, lower):
            ax.title.set_fontsize(6)
    kinds = set(store.lesions["pathology"].iloc[list(lesions)])
    scale_and_legend(figure, grid[1], top, f"S_m (colours: 0 to {top:.2f})", kinds)
    return figure


def panels(frame: pd.DataFrame, label: str, parts: Sequence[tuple[str, str, float]]) -> Figure:
    """Values with their intervals, one row each, in panels side by side that share the rows.

    Parameters
    ----------
    frame : the columns `label`, and of each part <value>, <value>_low and <value>_high.
    parts : (value, name of the axis, reference) of each panel.
    """
    figure = style.new_figure(style.PAGE, 0.2 * len(frame) + 1.0)
    grid = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    place = np.arange(len(frame))
    for ax, (value, name, reference) in zip(grid, parts, strict=True):
        middle, low, high = (
            frame[f"{value}{end}"].to_numpy(float) for end in ("", "_low", "_high")
        )
        ax.axvline(reference, color="0.7", linewidth=0.8, zorder=0)
        ax.errorbar(middle, place, xerr=(middle - low, high - middle), fmt="o", markersize=4,
                    color=style.BLUE, capsize=2, linewidth=1)  # fmt: skip
        ax.set_xlabel(name)
        ax.margins(x=0.06)
    grid[0].set(ylim=(len(frame) - 0.5, -0.5))
    grid[0].set_yticks(place, frame[label])
    return figure


def power_curves(frame: pd.DataFrame, *, gain: float) -> Axes:
    """Power against the number of women, one line per design.

    frame : columns design, patients, power.  gain : of AUC that is to be found.
    """
    ax = style.axes(None, style.WIDTH, 3.3)
    for (design, part), look in zip(
        frame.groupby("design", sort=False), style.OWN_LINES, strict=False
    ):
        ax.plot(part["patients"], part["power"], color=look.colour, linestyle=look.dash,
                label=design)  # fmt: skip
    ax.axhline(0.8, color="0.7", linewidth=0.8)
    ax.set(xscale="log", ylim=(0, 1), xlabel="women with a biopsied lesion in the test set",
           ylabel=f"power for a gain of {gain:.3f}")  # fmt: skip
    ax.set_xticks(
        [100, 200, 500, 1000, 2000, 5000], ["100", "200", "500", "1,000", "2,000", "5,000"]
    )
    ax.minorticks_off()
    style.legend_above(ax, ncols=1)
    return ax
