"""Two numbers against each other, by truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from study.plots import style


def by_truth(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    malignant: np.ndarray | pd.Series,
    names: tuple[str, str] | None = None,
    diagonal: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Column y against column x, malignant and benign in their colours and markers.

    malignant : (n,) truth of each row.  names : labels of the axes, the columns' by default.
    diagonal : the line y = x, on axes of one scale.
    """
    ax = style.axes(ax, 3.3, 3.0)
    truth = np.asarray(malignant, bool)
    benign, malignant = f"benign, n = {(~truth).sum()}", f"malignant, n = {truth.sum()}"
    kinds = np.where(truth, malignant, benign)
    # drawn in the order of the rows, so that neither kind covers the other
    sns.scatterplot(x=frame[x].to_numpy(), y=frame[y].to_numpy(), hue=kinds, style=kinds, ax=ax,
                    hue_order=[benign, malignant], markers={benign: "^", malignant: "o"},
                    palette=[style.CLASS_COLOURS[kind] for kind in ("benign", "malignant")],
                    s=11, edgecolor="black", linewidth=0.2, alpha=0.75)  # fmt: skip
    if diagonal:
        both = frame[[x, y]].to_numpy(float)
        air = 0.03 * (both.max() - both.min()) or 0.01
        ends = both.min() - air, both.max() + air
        ax.plot(ends, ends, color="0.5", linewidth=0.8, zorder=0)
        ax.set(xlim=ends, ylim=ends, aspect="equal")
    x_name, y_name = names or (x, y)
    ax.set(xlabel=x_name, ylabel=y_name)
    style.legend_above(ax, title=None)
    return ax
