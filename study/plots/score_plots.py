"""Scores as pictures: the windows of a lesion and their mean (figure 5), and scores by truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lesionlib.errors import InputError
from lesionlib.metrics.roc import checked
from study.plots import style
from study.plots.mammograms import Mammogram, score_map, windows_on_image


@dataclass(frozen=True)
class LesionCase:
    """One scored lesion: its image, its windows, their scores and the lesion's score.

    corners : (n, 4, 2).  scores : (n,) m / (m + b) of each window.  lesion_score : as the library
    made it (their mean).  truth : malignant or benign.  zoom : half the side, px, of the part of
    the image that is shown around the windows; None shows all of it.
    """

    image: Mammogram
    corners: np.ndarray
    scores: np.ndarray
    lesion_score: float
    truth: str
    zoom: float | None = None


def figure_5(cases: Sequence[LesionCase]) -> Figure:
    """Figure 5 of Wu et al. 2020: from the windows of a lesion to its score, one row per lesion."""
    if not cases:
        raise InputError("no lesion", "figure_5", "Give one malignant and one benign lesion")
    figure = style.new_figure(6.0, 2.3 * len(cases) + 0.7)
    grid = figure.subplots(len(cases), 2, squeeze=False, width_ratios=(1, 1.6))
    for (left, right), case in zip(grid, cases, strict=True):
        _windows(left, case)
        left.set_title(f"{case.truth} lesion, {len(case.scores)} windows")
        _distribution(right, case)
    grid[-1][1].set_xlabel("score m / (m + b), 0 benign to 1 malignant")
    figure.colorbar(score_map(), ax=list(grid[:, 0]), location="bottom", shrink=0.8, aspect=25,
                    label="window score m / (m + b)")  # fmt: skip
    return figure


def _windows(ax: Axes, case: LesionCase) -> None:
    part = None
    if case.zoom is not None:
        middle = np.asarray(case.corners, float).reshape(-1, 2).mean(axis=0)
        part = (*(middle - case.zoom), *(middle + case.zoom))
    windows_on_image(case.image, case.corners, values=case.scores, legend=False, part=part, ax=ax)


def _distribution(ax: Axes, case: LesionCase) -> None:
    colour = style.CLASS_COLOURS[case.truth]
    ax.hist(case.scores, bins=np.linspace(0, 1, 21), color=colour, edgecolor="white", linewidth=0.5)
    ax.axvline(case.lesion_score, color="black", linewidth=1.4)
    side = "left" if case.lesion_score < 0.6 else "right"
    text = f" lesion score {case.lesion_score:.3f} \n (mean of {len(case.scores)}) "
    ax.text(case.lesion_score, 0.97, text, ha=side, va="top", fontsize=7,
            transform=ax.get_xaxis_transform())  # fmt: skip
    top = ax.get_ylim()[1]
    ax.set(xlim=(0, 1), ylim=(0, 1.25 * top), ylabel="windows (count)")
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def scores(
    y_true,
    y_score,
    *,
    threshold: float | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Lesion scores by truth: benign upwards, malignant downwards, so neither hides the other.

    threshold : drawn where given; lesions below it are called benign.
    """
    truth, score = checked(y_true, y_score)
    ax = style.axes(ax, style.WIDTH, 2.8)
    edges = np.linspace(min(0.0, score.min()), max(1.0, score.max()), 26)
    for kind, of_kind, sign in (("benign", ~truth, 1), ("malignant", truth, -1)):
        counts = sign * np.histogram(score[of_kind], edges)[0]
        ax.bar(edges[:-1], counts, np.diff(edges), align="edge", edgecolor="white", linewidth=0.4,
               color=style.CLASS_COLOURS[kind], label=f"{kind}, n = {of_kind.sum()}")  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.7)
    if threshold is not None and np.isfinite(threshold):
        label = f"threshold {threshold:.3f}: called benign to its left"
        ax.axvline(threshold, color="black", linestyle="--", linewidth=1, label=label)
    ax.yaxis.set_major_formatter(lambda v, _: f"{abs(v):.0f}")
    ax.set(xlim=(edges[0], edges[-1]), xlabel="lesion score, 0 benign to 1 malignant",
           ylabel="lesions (count)", title=title or None)  # fmt: skip
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.35 * (high - low))
    ax.legend(loc="upper right")
    return ax
