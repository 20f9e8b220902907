"""Scores as pictures: the windows of a lesion and their mean (figure 5), and scores by truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lesionlib.errors import InputError
from lesionlib.metrics.roc import checked
from study.plots import style
from study.plots.mammograms import Mammogram, hang, mammogram, scale_bars, score_map
from study.plots.patch_grids import patch

SHOWN = 10  # windows of a lesion whose patches figure 5 shows, as the paper does


@dataclass(frozen=True)
class LesionCase:
    """One scored lesion: its image, its windows, their patches and scores, and the lesion's score.

    corners : (n, 4, 2).  patches : (n, P, P).  scores : (n,) m / (m + b) of each window.
    lesion_score : as the library made it (their mean).  truth : malignant or benign.  zoom : half
    the side, px, of the part of the image that is shown around the windows; None shows all of it.
    """

    image: Mammogram
    corners: np.ndarray
    patches: np.ndarray
    scores: np.ndarray
    lesion_score: float
    truth: str
    zoom: float | None = None

    @property
    def shown(self) -> np.ndarray:
        """Windows whose patches are shown: ten at equal steps of rank, lowest score first."""
        order = np.argsort(self.scores, kind="stable")
        return order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int)]


def figure_5(cases: Sequence[LesionCase]) -> Figure:
    """Figure 5 of Wu et al. 2020: from the windows of a lesion to its score, one row per lesion.

    Each row has the windows on the image, ten of their patches and all scores with their mean.
    """
    if not cases:
        raise InputError("no lesion", "figure_5", "Give one malignant and one benign lesion")
    row, wide, high = 1.95, style.PAGE, 1.95 * len(cases) + 0.75  # inches
    figure = style.new_figure(wide, high)
    figure.set_layout_engine("none")
    place = lambda x, y, w, h: figure.add_axes((x / wide, y / high, w / wide, h / high))  # noqa: E731
    for k, case in enumerate(cases):
        foot = high - (k + 1) * row
        _windows(place(0.05, foot + 0.15, 1.56, 1.56), case)
        rows, columns = np.divmod(np.arange(SHOWN), SHOWN // 2)
        corners = zip(1.85 + 0.69 * columns, foot + 0.95 - 0.8 * rows, strict=True)
        _shown_patches([place(x, y, 0.62, 0.62) for x, y in corners], case)
        _distribution(place(5.72, foot + 0.38, 1.38, 1.28), case)
    figure.colorbar(score_map(), cax=place(1.85, 0.5, 3.38, 0.09), orientation="horizontal",
                    label="window score m / (m + b), 0 benign to 1 malignant")  # fmt: skip
    return figure


def _windows(ax: Axes, case: LesionCase) -> None:
    """The windows in the colours of their scores, thinner the more there are, under the outline."""
    part = None
    if case.zoom is not None:
        middle = np.asarray(case.corners, float).reshape(-1, 2).mean(axis=0)
        part = (*(middle - case.zoom), *(middle + case.zoom))
    mammogram(case.image, ax=ax, part=part)
    ax.set_title(f"{case.truth} lesion, {len(case.scores)} windows", fontsize=7)
    squares = np.asarray(case.corners, float)[:, :, ::-1]
    width = float(np.clip(8 / len(squares), 0.35, 0.8))
    ax.add_collection(PolyCollection(squares, facecolors="none", linewidths=width, zorder=1.5,
                                     edgecolors=score_map().to_rgba(case.scores)))  # fmt: skip


def _shown_patches(places: Sequence[Axes], case: LesionCase) -> None:
    """Some patches, from the lowest score to the highest, framed in the colours of their scores."""
    shades = score_map()
    for ax, k in zip(places, case.shown, strict=False):
        score = case.scores[k]
        patch(case.patches[k], ax=ax, title=f"{score:.2f}", colour=shades.to_rgba(score))
        hang(ax, case.image)
    for ax in places[len(case.shown) :]:
        ax.set_axis_off()
    sides = np.linalg.norm(case.corners[case.shown, 0] - case.corners[case.shown, 1], axis=-1)
    said = scale_bars(places[: len(sides)], sides, [case.image.px_mm] * len(sides))
    title = f"{len(case.shown)} of its patches, lowest to highest score; bars {said}"
    places[SHOWN // 4].text(0.5, 1.3, title, fontsize=7, ha="center", va="bottom",
                            transform=places[SHOWN // 4].transAxes)  # fmt: skip


def _distribution(ax: Axes, case: LesionCase) -> None:
    colour = style.CLASS_COLOURS[case.truth]
    ax.hist(case.scores, bins=np.linspace(0, 1, 21), color=colour, edgecolor="white", linewidth=0.5)
    ax.axvline(case.lesion_score, color="black", linewidth=1.4)
    title = f"mean, the lesion score: {case.lesion_score:.3f}"
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1], xlabel="window score", ylabel="windows (count)")
    ax.set_title(title, fontsize=7)
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
