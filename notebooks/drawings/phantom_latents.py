"""What the phantom was drawn with: its latents by truth, and a breast with c of both its halves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import norm

from study.plots import style
from study.plots.map_panels import checked_maps, saliency_overlay, scale_and_legend
from study.plots.mammograms import Mammogram, mammogram

PANELS = (
    ("u", "local_effect", "local_range", "u of a lesion in a view", "lesions"),
    ("c", "context_effect", "context_range", "c of a half in a view", "halves"),
)


def latents(truth: pd.DataFrame, settings) -> Figure:
    """Histograms of u by the lesion's truth and of c by that of its half, with their densities.

    truth : rows of lesions, columns u, c, c_other, malignant, n_lesions
    (``data_manifest.phantom.reader.truth_table``); an empty half counts as benign.  settings : the
    phantom's, for the distances of the means.
    """
    figure = style.new_figure(style.PAGE, 2.5)
    empty = truth[truth["n_lesions"] == 1].assign(malignant=0).drop(columns="c")
    halves = pd.concat([truth, empty.rename(columns={"c_other": "c"})])
    x = np.linspace(-4, 4, 201)
    frames = (truth, halves)
    for ax, rows, names in zip(figure.subplots(1, 2, sharey=True), frames, PANELS, strict=True):
        latent, effect, limit, label, unit = names
        apart = getattr(settings, effect)
        for name, value, sign in (("benign", 0, -1), ("malignant", 1, 1)):
            colour = style.CLASS_COLOURS[name]
            ax.hist(rows.loc[rows["malignant"] == value, latent], np.linspace(-4, 4, 33),
                    density=True, color=colour, alpha=0.45, label=name)  # fmt: skip
            ax.plot(x, norm.pdf(x, sign * apart / 2), color=colour, linewidth=1.4,
                    linestyle=style.CLASS_DASHES[name])  # fmt: skip
        ax.plot([], [], color="0.4", label="density drawn from")
        for edge in (-getattr(settings, limit), getattr(settings, limit)):
            ax.axvline(edge, color="0.7", linestyle=":", linewidth=0.9)
        ax.set(xlabel=f"{label} (n = {len(rows)} {unit})", xlim=(-4, 4), ylabel="density",
               title=f"means {apart:g} SD apart")  # fmt: skip
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def two_halves(
    image: Mammogram, saliency: np.ndarray, border: float, c: tuple[float, float]
) -> Figure:
    """A mammogram and S_m over it, with the border between its halves and c of each.

    saliency : (h, w), one map.  border : px, the row between the halves.  c : of the upper half and
    of the lower.
    """
    saliency = checked_maps(saliency[None], 1)[0]
    vmax = float(max(saliency.max(), 1e-3))
    rows, cols = image.shape
    width = 5.0
    figure = style.new_figure(width, (width - 0.7) / 2 * rows / cols + 0.55)
    left, right = panels = figure.subplots(1, 2)
    mammogram(image, ax=left)
    left.set_title("mammogram, with c of each half")
    saliency_overlay(image, saliency, ax=right, vmax=vmax, title="S_m: malignant present")
    for ax in panels:
        ax.axhline(border, color="white", linestyle="--", linewidth=0.9)
    for value, row, edge in zip(c, (0.02 * rows, 0.9 * rows), ("top", "bottom"), strict=True):
        left.text(0.97 * cols, row, f"c {value:+.1f}", color="white", ha="right", va=edge)
    scale_and_legend(figure, panels, vmax, "S_m", image.pathologies)
    return figure
