"""What the phantom was drawn with: its latents by truth, beside the densities they come from."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.plots import style

PANELS = (
    ("u", "malignant", "local_effect", "local_range", "u of a lesion in a view"),
    ("c", "image_malignant", "context_effect", "context_range", "c of an image"),
)


def latents(truth: pd.DataFrame, settings) -> Figure:
    """Histograms of u by the lesion's truth and of c by the image's, with their normal densities.

    truth : rows of lesions, columns u, c, malignant, image_malignant, image_id
    (``phantom.truth_table``).  settings : the phantom's, for the distances of the means.
    """
    figure = style.new_figure(style.PAGE, 2.5)
    frames = (truth, truth.drop_duplicates("image_id"))
    for ax, rows, names in zip(figure.subplots(1, 2, sharey=True), frames, PANELS, strict=True):
        latent, kind, effect, limit, label = names
        _panel(ax, rows[latent], rows[kind] == 1, getattr(settings, effect))
        for x in (-1, 1):
            ax.axvline(x * getattr(settings, limit), color="0.7", linestyle=":", linewidth=0.9)
        unit = "lesions" if latent == "u" else "images"
        ax.set(xlabel=f"{label} (n = {len(rows)} {unit})", xlim=(-4, 4))
        ax.set_title(f"means {getattr(settings, effect):g} SD apart")
    figure.axes[0].set_ylabel("density")
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper center", ncols=3)
    return style.mark(figure, True)


def _panel(ax: Axes, values: pd.Series, malignant: pd.Series, effect: float) -> None:
    x = np.linspace(-4, 4, 201)
    edges = np.linspace(-4, 4, 33)
    for name, of_kind, sign in (("benign", ~malignant, -1), ("malignant", malignant, 1)):
        colour = style.CLASS_COLOURS[name]
        ax.hist(values[of_kind], edges, density=True, color=colour, alpha=0.45, label=name)
        density = np.exp(-((x - sign * effect / 2) ** 2) / 2) / np.sqrt(2 * np.pi)
        ax.plot(x, density, color=colour, linestyle=style.CLASS_DASHES[name], linewidth=1.4)
    ax.plot([], [], color="0.4", label="density drawn from")
