"""Networks beside ideal observers, and what a network says beside what was drawn (the phantom)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.plots import style
from study.plots.relations import by_truth

IDEAL_COLOUR = "#B8860B"
PANELS = (("E", "u"), ("E", "c"), ("s_m", "u"), ("s_m", "c"))
NAMES = {
    "E": "lesion score of E",
    "s_m": "mean of S_m over the image",
    "u": "u as drawn: how the lesion looks (SD)",
    "c": "c as drawn: the context (SD)",
}


def beside_ideal(
    rows: pd.DataFrame,
    pairs: Mapping[str, str],
    *,
    ax: Axes | None = None,
    phantom: bool = True,
) -> Axes:
    """AUC of networks, each with the ideal observer that sees what it sees, joined by a line.

    Parameters
    ----------
    rows : index model; columns auc, low_patients, high_patients, as ``tables.table_3`` gives them.
    pairs : network -> ideal observer, both in the index; first on top.
    """
    ax = style.axes(ax, style.WIDTH, 0.42 * len(pairs) + 1.2)
    place = np.arange(len(pairs))
    for shift, names, colour, marker, label in (
        (-0.13, list(pairs.values()), IDEAL_COLOUR, "D", "ideal observer"),
        (0.13, list(pairs), "#14507E", "o", "network"),
    ):
        part = rows.loc[names]
        spread = [part["auc"] - part["low_patients"], part["high_patients"] - part["auc"]]
        ax.errorbar(part["auc"], place + shift, xerr=np.abs(spread), fmt=marker, color=colour,
                    capsize=2, markersize=5, linewidth=1.1, label=label)  # fmt: skip
    for row, (network, ideal) in enumerate(pairs.items()):
        a, b = rows.at[network, "auc"], rows.at[ideal, "auc"]
        ax.plot([a, b], [row + 0.13, row - 0.13], color="0.6", linewidth=0.8, linestyle=":")
        ax.annotate(f"{a:.3f} of {b:.3f}", (1.02, row), xycoords=("axes fraction", "data"),
                    va="center", fontsize=6.5, annotation_clip=False)  # fmt: skip
    ax.axvline(0.5, color="0.7", linewidth=0.8, zorder=0)
    ax.set(yticks=place, ylim=(len(pairs) - 0.5, -0.5),
           xlabel="AUC over lesions, 95 % over patients")  # fmt: skip
    ax.set_yticklabels([f"{n}\n({i})" for n, i in pairs.items()])
    ax.margins(x=0.06)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    style.mark(ax.figure, phantom)
    return ax


def said_and_drawn(
    cases: pd.DataFrame, titles: Mapping[tuple[str, str], str], *, phantom: bool = True
) -> Figure:
    """What E and S_m say of each lesion against the two latents that were drawn, four panels.

    cases : columns E, s_m, u, c, y_true, a row a lesion.  titles : (said, latent) -> title.
    The diagonal panels should rise within each truth, the other two should be flat.
    """
    figure = style.new_figure(style.PAGE, 5.2)
    grid = figure.subplots(2, 2, sharex="col", sharey="row")
    for ax, (said, latent) in zip(grid.ravel(), PANELS, strict=True):
        by_truth(cases, latent, said, malignant=cases["y_true"] == 1, ax=ax, legend=False)
        ax.set(title=titles[(said, latent)], xlabel=NAMES[latent], ylabel=NAMES[said])
        ax.label_outer()
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, markerscale=2)
    return style.mark(figure, phantom)
