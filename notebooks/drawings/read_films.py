"""Films as a reader hangs them: a breast and its counterpart back to back, and what was called what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator

from lesionlib.errors import InputError
from lesionlib.outlines import Outline
from lesionlib.windows import corners
from study.plots import style
from study.plots.map_panels import overlay_scale, saliency_overlay
from study.plots.mammograms import Mammogram, from_store, mammogram

SIDES = ("R", "L")  # as the reader sees them, from left to right
TITLES, NOTES = 0.22, 0.27  # inches for the titles above the pictures, and for a word below
GAP = 0.1  # inches between pictures that must not merge
READ_WIDTH = 6.0  # inches of a case
TICKS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500)  # of a log axis of sizes
# mini-MIAS has codes for what other sets say in words; two of them say no more than the kind
WORDS = {"CIRC": "circumscribed", "SPIC": "spiculated", "MISC": "ill-defined"}
WORDS |= {"ARCH": "architectural", "ASYM": "", "CALC": ""}
KINDS = {"calc": "calcification", "": "lesion"}
MOST_PARTS = 6  # of a description, rarer ones together


# ------------------------------------------------------------------ what is known of a lesion
def findings(lesions: pd.DataFrame) -> pd.Series:
    """Each lesion in words, as *spiculated mass*, from the columns subtype and kind of a store."""
    return (_words(lesions) + " " + lesions["kind"].replace(KINDS)).str.strip()


def _words(lesions: pd.DataFrame) -> pd.Series:
    return lesions["subtype"].replace(WORDS).str.lower().str.replace("_", " ")


def descriptions(lesions: pd.DataFrame) -> pd.DataFrame:
    """By what the set's words for its lesions divide them: shape and margin, or the finding.

    CBIS-DDSM gives two words with a comma between, of masses shape and margin, of calcifications
    type and distribution.
    """
    parts = _words(lesions).str.split(", ", n=1, expand=True)
    names = ("shape or type", "margin or distribution")
    if parts.shape[1] == len(names):
        out = parts.set_axis(names, axis=1).fillna("")
    else:
        out = findings(lesions).to_frame("finding")
    return out.apply(lambda x: x.where(x.isin(x.value_counts().index[:MOST_PARTS]), "other"))


def diameters(lesions: pd.DataFrame, images: pd.DataFrame) -> tuple[pd.Series, str]:
    """Diameter of a circle of each outline's area, and its unit: mm, or px of the canvas where the
    spacing of an image is not known.

    lesions : columns image (row of `images`) and area_px.  images : spacing_mm and scale.
    """
    across = 2 * np.sqrt(lesions["area_px"] / np.pi)
    px_mm = images["spacing_mm"].astype(float) / images["scale"]
    px_mm = lesions["image"].map(px_mm)
    return (across * px_mm, "mm") if px_mm.notna().all() else (across, "px")


def middle_window(windows: pd.DataFrame, store, j: int) -> np.ndarray:
    """The corners (4, 2) of the window of lesion j whose centre is nearest to the lesion's middle.

    windows : columns of a window table, and lesion.
    """
    own, outline = windows[windows["lesion"] == j], store.outline(j)
    away = own[["row", "col"]] - _middle(outline)
    return corners(own.iloc[[np.linalg.norm(away, axis=1).argmin()]])[0]


def _middle(outline: Outline) -> np.ndarray:
    return np.add((outline.row0, outline.col0), np.array(outline.mask.shape) / 2)


# ------------------------------------------------------------------ which films
def films_of(images: pd.DataFrame, patient: str) -> dict[str, dict[str, int]]:
    """view -> side -> row of the image, of a patient; of two images of one breast and view the first.

    images : a store's.  Views are in the order of their names, CC before MLO.
    """
    own = images[images["patient_id"] == patient].drop_duplicates(["view", "laterality"])
    return {
        view: dict(zip(part["laterality"], map(int, part.index), strict=True))
        for view, part in own.groupby("view")
    }


@dataclass(frozen=True)
class Case:
    """A lesion to be read.

    films : one or two films, from left to right.  own : which of them shows the lesion.
    outline : the lesion's.  square : (4, 2) corners of one of its windows.
    saliency : (h, w), S_m of its film.
    """

    films: Sequence[Mammogram]
    own: int
    outline: Outline
    square: np.ndarray
    saliency: np.ndarray

    @property
    def film(self) -> Mammogram:
        return self.films[self.own]


def case(store, saliency: np.ndarray, windows: pd.DataFrame, j: int) -> Case:
    """Lesion j of a store, its film next to the one that it is compared with.

    That is the other breast in the same view, or where it is missing the other view of the breast.
    saliency : (images, 2, h, w), S_m first.  windows : as of :func:`middle_window`.
    """
    row = store.images.loc[store.lesions.at[j, "image"]]
    side, view = row["laterality"], row["view"]
    hung = films_of(store.images, row["patient_id"])
    hung[view][side] = row.name
    pair = [hung[view][k] for k in SIDES if k in hung[view]]
    if len(pair) == 1:
        pair = [of_view[side] for of_view in hung.values() if side in of_view][:2]
    pair = pair if row.name in pair else [row.name]
    films = [from_store(store, i, hung=True) for i in pair]
    square = middle_window(windows, store, j)
    return Case(films, pair.index(row.name), store.outline(j), square, saliency[row.name, 0])


# ------------------------------------------------------------------ a woman, a lesion
def hang_woman(films: Mapping[str, Mapping[str, Mammogram]]) -> Figure:
    """All films of a woman, view by view, right and left breast back to back.

    films : view -> side -> film.  A film that is missing leaves its place empty.
    """
    sides = [side for side in SIDES if any(side in of_view for of_view in films.values())]
    if not sides:
        raise InputError("no film", "hang_woman", "Give the films of one woman")
    rows, cols = next(film.shape for of_view in films.values() for film in of_view.values())
    n, width = len(films), 2.1
    width = min(width, (style.PAGE - GAP * (n - 1)) / (len(sides) * n))
    each = len(sides) * width
    place, figure = _places(n * each + (n - 1) * GAP, width * rows / cols)
    for k, of_view in enumerate(films.values()):
        for at, side in enumerate(sides):
            ax = place(k * (each + GAP) + at * width, width)
            if side in of_view:
                mammogram(of_view[side], ax=ax)
            else:
                ax.set_axis_off()
                ax.text(0.5, 0.5, f"no {side} film", ha="center", color="0.4")
    return figure


def read_case(one: Case) -> Figure:
    """A lesion: its film and the one to compare, the lesion magnified, its film under S_m.

    The window is yellow.  The colour scale of S_m goes to the map's largest value.
    """
    (rows, cols), bar = one.film.shape, 0.5
    # three films and a square of their height
    height = (READ_WIDTH - 3 * GAP - bar) / (1 + 3 * cols / rows)
    width = height * cols / rows
    place, figure = _places(READ_WIDTH, height)
    # breasts touch back to back; two views of one breast would merge
    apart = GAP * (len({film.mirrored for film in one.films}) == 1)
    for k, film in enumerate(one.films):
        ax = mammogram(film, ax=place(k * (width + apart), width))
        if film is one.film:
            ax.add_patch(_window(one.square))
    left = 2 * width + apart + GAP
    near = magnified(one.film, one.outline, ax=place(left, height))
    near.add_patch(_window(one.square))
    near.set_title("the lesion, magnified")
    top = float(max(one.saliency.max(), 1e-3))
    under = place(left + height + GAP, width)
    saliency_overlay(one.film, one.saliency, ax=under, vmax=top, title="under S_m")
    scale = place(READ_WIDTH - bar + 0.06, 0.08)
    figure.colorbar(overlay_scale(top), cax=scale, ticks=MaxNLocator(4))
    return figure


def _places(width: float, height: float):
    """A function that adds axes of that height, by left edge and width in inches, and its figure.

    The places are known, so that no layout is searched and the films of a pair touch.
    """
    figure = Figure(figsize=(width, height + TITLES + NOTES))
    tall = figure.get_figheight()

    def place(left: float, wide: float) -> Axes:
        return figure.add_axes((left / width, NOTES / tall, wide / width, height / tall))

    return place, figure


def _window(square: np.ndarray) -> Polygon:
    return Polygon(square[:, ::-1], fill=False, edgecolor="#F0E442", linewidth=0.9,
                   path_effects=style.halo(1.8))  # fmt: skip


def magnified(film: Mammogram, outline: Outline, *, ax: Axes) -> Axes:
    """The surroundings of a lesion, at least a fifth of the film's width."""
    half = max(1.3 * max(outline.mask.shape), film.shape[1] / 10)
    middle = _middle(outline)
    return mammogram(film, ax=ax, part=(*(middle - half), *(middle + half)))


# ------------------------------------------------------------------ many lesions
def lesion_rows(store, rows: Sequence[Sequence[tuple[int, str]]]) -> Figure:
    """Rows of lesions of a store, each with its title, magnified, with its own outline alone."""
    rows = [row for row in rows if len(row)]
    if not rows:
        raise InputError("no lesion", "lesion_rows", "Give at least one")
    side, most = 1.25, max(map(len, rows))
    lines = 1 + max(title.count("\n") for row in rows for _, title in row)
    figure = style.new_figure(side * most, len(rows) * (side + 0.13 * lines) + 0.1)
    for axes, row in zip(figure.subplots(len(rows), most, squeeze=False), rows, strict=True):
        for ax, (j, title) in zip(axes, row, strict=False):
            film = from_store(store, store.lesions.at[j, "image"], "", hung=True)
            outline, kind = store.outline(j), store.lesions.at[j, "pathology"]
            magnified(replace(film, outlines=[outline], pathologies=[kind]), outline, ax=ax)
            ax.set_title(title, fontsize=6.5, pad=2)
        for ax in axes[len(row) :]:
            ax.set_axis_off()
    return figure


def scores_by_size(read: pd.DataFrame, threshold: float, *, unit: str = "mm") -> Axes:
    """Each lesion's score against its diameter, with the threshold.

    read : columns diameter (in `unit`), score and malignant (bool).
    """
    style.need(read, "diameter", "score", "malignant")
    ax = style.axes(None, style.WIDTH, 3.0)
    # malignant filled and benign open, so that they differ in grey too
    for kind, part in read.groupby(np.where(read["malignant"], "malignant", "benign")):
        colour = style.CLASS_COLOURS[kind]
        filled = {"color": colour} if kind == "malignant" else {"fc": "none", "ec": colour}
        ax.scatter(part["diameter"], part["score"], s=14, linewidths=0.9, alpha=0.8,
                   marker="o" if kind == "malignant" else "s", **filled,
                   label=f"{kind}, n = {len(part)}")  # fmt: skip
    ax.axhline(threshold, color="black", linestyle="--", linewidth=1,
               label=f"threshold {threshold:.3f}")  # fmt: skip
    ax.set(xscale="log", xlabel=f"diameter of a circle of the outline's area ({unit}, log scale)",
           ylabel="lesion score")  # fmt: skip
    low, high = ax.get_xlim()
    ax.set_xticks([tick for tick in TICKS if low <= tick <= high])
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    style.legend_above(ax, ncols=3)
    return ax
