"""What the phantom was drawn with: its latents by truth, and the densities they are drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import norm

from study.plots import style

PANELS = (
    ("u", "malignant", "local_effect", "local_range", "u of a lesion in a view"),
    ("c", "image_malignant", "context_effect", "context_range", "c of an image"),
)


def latents(truth: pd.DataFrame, settings) -> Figure:
    """Histograms of u by the lesion's truth and of c by the image's, with their normal densities.

    truth : rows of lesions, columns u, c, malignant, image_malignant, image_id
    (``data_manifest.phantom.reader.truth_table``).  settings : the phantom's, for the distances of the means.
    """
    figure = style.new_figure(style.PAGE, 2.5)
    frames = (truth, truth.drop_duplicates("image_id"))
    x = np.linspace(-4, 4, 201)
    for ax, rows, names in zip(figure.subplots(1, 2, sharey=True), frames, PANELS, strict=True):
        latent, kind, effect, limit, label = names
        apart = getattr(settings, effect)
        for name, value, sign in (("benign", 0, -1), ("malignant", 1, 1)):
            colour = style.CLASS_COLOURS[name]
            ax.hist(rows.loc[rows[kind] == value, latent], np.linspace(-4, 4, 33), density=True,
                    color=colour, alpha=0.45, label=name)  # fmt: skip
            ax.plot(x, norm.pdf(x, sign * apart / 2), color=colour, linewidth=1.4,
                    linestyle=style.CLASS_DASHES[name])  # fmt: skip
        ax.plot([], [], color="0.4", label="density drawn from")
        for edge in (-getattr(settings, limit), getattr(settings, limit)):
            ax.axvline(edge, color="0.7", linestyle=":", linewidth=0.9)
        unit = "lesions" if latent == "u" else "images"
        ax.set(xlabel=f"{label} (n = {len(rows)} {unit})", xlim=(-4, 4), ylabel="density",
               title=f"means {apart:g} SD apart")  # fmt: skip
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure
