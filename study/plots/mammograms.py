"""Mammograms as pictures: grey, pixels square, no ticks, with a scale bar.

Everything is drawn in px of the canvas with pixel centres at integer + .5, as outlines and windows
of the library are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle

from lesionlib.errors import InputError
from lesionlib.outlines import Outline
from lesionlib.windows import CLASSES
from study.plots import style

Box = tuple[float, float, float, float]
CLASS_ORDER = ("malignant", "benign", "unknown")
_LENGTHS = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000])  # of scale bars
_MOST = 1000  # rows of a drawn mammogram; more would only swell the file


@dataclass(frozen=True)
class Mammogram:
    """One image to be drawn.

    pixels : (rows, cols), any grey scale.
    outlines : lesions, each with its mask and upper left corner on the canvas.
    pathologies : malignant, benign or unknown, one per outline.
    title : above the picture, such as "L CC".
    px_mm : mm that a canvas px measures; None or NaN draws the scale bar in px.
    breast : mask, bool, of any whole fraction of the size; maps are drawn on it alone.
    mirrored : draw it, and all that is drawn over it, from right to left.

    On the canvas every breast faces right; a right breast hangs with its chest wall at the right,
    and faces left.
    """

    pixels: np.ndarray
    outlines: Sequence[Outline] = ()
    pathologies: Sequence[str] = ()
    title: str = ""
    px_mm: float | None = None
    breast: np.ndarray | None = None
    mirrored: bool = False

    def __post_init__(self):
        if np.ndim(self.pixels) != 2 or len(self.outlines) != len(self.pathologies):
            found = f"pixels of shape {np.shape(self.pixels)}, {len(self.outlines)} outlines and "
            found += f"{len(self.pathologies)} pathologies"
            wanted = "Give one grey image and one pathology per outline"
            raise InputError(found, "Mammogram", wanted)

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape


def from_store(store, i: int, title: str | None = None, *, hung: bool = False) -> Mammogram:
    """Image i of an image store with its outlines, side, view and pixel spacing.

    hung : as radiologists hang it, a right breast with its chest wall at the right.  As on the
        canvas otherwise, where a right breast is mirrored, and its title says so.
    """
    row = store.images.iloc[i]
    lesions = store.lesions[store.lesions["image"] == i]
    spacing = row.get("spacing_mm")
    known = spacing is not None and np.isfinite(float(spacing))
    px_mm = float(spacing) / float(row.get("scale", 1)) if known else None
    right = row["laterality"] == "R"
    if title is None:
        title = f"{row['laterality']} {row['view']}" + ", mirrored" * (right and not hung)
    outlines = [store.outline(j) for j in lesions.index]
    kinds = list(lesions["pathology"])
    breast, mirrored = store.breast(i), right and hung
    return Mammogram(store.raw(i), outlines, kinds, title, px_mm, breast, mirrored)


# ------------------------------------------------------------------ one picture
def mammogram(
    image: Mammogram,
    *,
    ax: Axes | None = None,
    outlines: bool = True,
    bar: bool = True,
    part: Box | None = None,
) -> Axes:
    """Draw one mammogram with the outlines of its lesions and a scale bar.

    part : row0, col0, row1, col1 (px) of what is shown, at full resolution; off the image it is
    light grey.  None shows all of it.
    """
    box = (0, 0, *image.shape) if part is None else part
    ax = style.axes(ax, 2.6, 2.6 * (box[2] - box[0]) / (box[3] - box[1]) + 0.2)
    (r0, c0), (r1, c1) = np.maximum(np.floor(box[:2]), 0), np.minimum(np.ceil(box[2:]), image.shape)
    shown, (rows, cols) = _shrunk(image.pixels[int(r0) : int(r1), int(c0) : int(c1)])
    # greys of what is shown, or a bright lesion in dense tissue would be a white spot
    low, high = _grey_range(image.pixels if part is None else shown)
    extent = (c0, c0 + cols, r0 + rows, r0)
    ax.imshow(shown, cmap="gray", vmin=low, vmax=high, extent=extent, aspect="equal")
    ax.set(xlim=box[1::2], ylim=box[2::-2], xticks=[], yticks=[], facecolor="0.8")
    hang(ax, image)
    ax.set_title(image.title or None)
    ax.spines[:].set_visible(False)
    if outlines:
        for outline, pathology in zip(image.outlines, image.pathologies, strict=True):
            draw_outline(ax, outline, pathology)
    if bar:
        scale_bar(ax, image.px_mm)
    return ax


def hang(ax: Axes, image: Mammogram) -> Axes:
    """Mirror axes that show a part of `image`, its patch or its map, where it is mirrored itself."""
    if image.mirrored:
        ax.invert_xaxis()
    return ax


def draw_outline(ax: Axes, outline: Outline, pathology: str) -> None:
    """Contour of a mask: malignant solid red, benign dashed blue, unknown dotted white."""
    mask = np.pad(np.asarray(outline.mask, float), 1)
    rows = outline.row0 - 0.5 + np.arange(mask.shape[0])
    cols = outline.col0 - 0.5 + np.arange(mask.shape[1])
    colour = style.CLASS_COLOURS.get(pathology, style.UNKNOWN)
    dash = style.CLASS_DASHES.get(pathology, ":")
    drawn = ax.contour(cols, rows, mask, [0.5], colors=[colour], linestyles=[dash], linewidths=0.9)
    drawn.set_path_effects(style.halo(1.6))


def _shrunk(pixels: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Block means, so that no more than _MOST rows are drawn, and the px that they cover."""
    step = max(1, min(-(-max(pixels.shape) // _MOST), *pixels.shape))
    rows, cols = (n // step * step for n in pixels.shape)
    blocks = np.asarray(pixels[:rows, :cols], np.float32)
    blocks = blocks.reshape(rows // step, step, cols // step, step)
    return blocks.mean(axis=(1, 3)), (rows, cols)


def _grey_range(pixels: np.ndarray) -> tuple[float, float]:
    pixels = _shrunk(pixels)[0]
    low = float(pixels.min())
    breast = pixels[pixels > low]
    high = float(np.percentile(breast, 99.7)) if breast.size else low
    return low, high if high > low else low + 1.0


def scale_bar(ax: Axes, px_mm: float | None, width: float | None = None) -> None:
    """A bar of a round length, a quarter of the width at most: mm where the spacing is known.

    width : px of the image that the picture is wide, where its own px are others (a patch).
    """
    width = width or abs(np.subtract(*ax.get_xlim()))
    said = scale_bars([ax], [width], [px_mm], foot=0.035)
    ax.text(0.96, 0.047, said, color="white", ha="right", va="bottom", fontsize=6.5,
            transform=ax.transAxes, path_effects=style.halo(1.5))  # fmt: skip


def scale_bars(
    axes: Sequence[Axes],
    widths: Sequence[float],
    px_mm: Sequence[float | None],
    *,
    foot: float = 0.07,
) -> str:
    """Bars of one round length on pictures of different scale; returns it, such as *2 mm*.

    widths : px that each picture is wide; of the narrowest the bar is a quarter at most.
    px_mm : mm that each one's px measures; where one is unknown, all bars are in px.  foot : how
    high above the lower edge, as a share of the height.
    """
    known = all(bool(mm) and np.isfinite(mm) for mm in px_mm)
    wide = np.multiply(widths, px_mm if known else 1.0)
    length = int(_LENGTHS[_LENGTHS <= max(wide.min() / 4, 1)][-1])
    for ax, of in zip(axes, wide, strict=True):
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        ends = right - np.array([0.04 + length / of, 0.04]) * (right - left)
        ax.plot(ends, [bottom - foot * (bottom - top)] * 2, color="white", linewidth=1.6,
                solid_capstyle="butt", path_effects=style.halo(3))  # fmt: skip
    return f"{length} {'mm' if known else 'px'}"


def truth_legend(target, kinds: Sequence[str], **where) -> None:
    """A legend of outlines or windows by class, on axes or a figure."""
    # the white of unknown truth would be nothing on the paper's white
    colours = style.CLASS_COLOURS | {"unknown": "#AAAAAA"}
    handles = [
        Line2D([], [], color=colours[k], linestyle=style.CLASS_DASHES[k], linewidth=1.6, label=k)
        for k in colours
        if k in kinds
    ]
    if handles:
        target.legend(handles=handles, **{"ncols": len(handles), **where})


# ------------------------------------------------------------------ figure 1
def figure_1(mammograms: Sequence[Mammogram], *, zoom: bool = True) -> Figure:
    """Figure 1 of Wu et al. 2020: mammograms with the outlines of their lesions.

    zoom : beside them the first lesion of each truth, all at one magnification; a letter tells where
    on the mammograms it is.
    """
    if not mammograms:
        raise InputError("no mammogram", "figure_1", "Give at least one")
    found = {p: (k, o) for k, image in reversed(list(enumerate(mammograms)))
             for o, p in zip(image.outlines[::-1], image.pathologies[::-1], strict=True)}  # fmt: skip
    insets = sorted(found.items(), key=lambda item: CLASS_ORDER.index(item[0])) if zoom else []
    rows, cols = mammograms[0].shape
    widths = [cols / rows] * len(mammograms) + ([1 / len(insets)] if insets else [])
    tall = min(4.4, 0.97 * style.PAGE / sum(widths))
    figure = style.new_figure(tall * sum(widths) / 0.97, tall + 0.7)
    grid = figure.add_gridspec(1, len(widths), width_ratios=widths)
    axes = [mammogram(m, ax=figure.add_subplot(grid[k])) for k, m in enumerate(mammograms)]
    if insets:
        longest = max(max(outline.mask.shape) for _, (_, outline) in insets)
        # neither a speck that fills the panel nor a panel as large as the image
        half = max(min(1.6 * longest, cols / 4), 0.7 * longest, cols / 20)
        places = grid[-1].subgridspec(len(insets), 1).subplots(squeeze=False).ravel()
        for ax, letter, (kind, (k, outline)) in zip(places, "ABC", insets, strict=False):
            _magnified(ax, axes[k], mammograms[k], outline, half, f"{letter}: {kind}")
    kinds = {p for image in mammograms for p in image.pathologies}
    truth_legend(figure, kinds, loc="outside lower left", title="Outline of a lesion",
                 alignment="left")  # fmt: skip
    return figure


def _magnified(ax: Axes, whole: Axes, image: Mammogram, outline: Outline, half: float, title: str):
    """The square around a lesion, in full, and its frame and letter on the whole mammogram."""
    middle = np.add((outline.row0, outline.col0), np.array(outline.mask.shape) / 2)
    mammogram(image, ax=ax, part=(*(middle - half), *(middle + half)))
    ax.set_title(title)
    corner = middle[::-1] - half
    whole.add_patch(Rectangle(corner, 2 * half, 2 * half, fill=False, edgecolor="white",
                              linewidth=0.8, path_effects=style.halo(1.8)))  # fmt: skip
    whole.annotate(title[0], (middle[1] + half, middle[0] - half), color="white", fontsize=8,
                   ha="right", va="bottom", path_effects=style.halo(2))  # fmt: skip


# ------------------------------------------------------------------ windows
def windows_on_image(
    image: Mammogram,
    corners: np.ndarray,
    *,
    labels: Sequence[int] | None = None,
    values: np.ndarray | None = None,
    numbers: Sequence[int] | None = None,
    legend: bool = True,
    part: Box | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Windows as squares on their mammogram.

    Parameters
    ----------
    corners : (n, 4, 2) points (row, col) in px, as ``windows.corners`` gives them.
    labels : (n,) class of each window, 0..3, which colours it (white without); or
    values : (n,) window scores in 0..1, which colour it, with a colour bar.
    part : see :func:`mammogram`.
    numbers : (n,) written above each window.
    """
    ax = mammogram(image, ax=ax, part=part)
    corners = np.asarray(corners, float).reshape(-1, 4, 2)
    names = [CLASSES[int(k)] for k in labels] if labels is not None else [""] * len(corners)
    shades = None if values is None else score_map()
    written: list[tuple[float, float]] = []
    for k, square in enumerate(corners):
        colour = style.CLASS_COLOURS.get(names[k], "white")
        colour = colour if shades is None else shades.to_rgba(values[k])
        dash = "-" if shades else style.CLASS_DASHES.get(names[k], "-")
        # the dark colour of the negative class is lost on tissue without a light rim
        rim = style.halo(2.2, "white") if names[k] == "negative" else style.halo(1.8)
        ax.add_patch(Polygon(square[:, ::-1], fill=False, edgecolor=colour, linestyle=dash,
                             linewidth=1.0, path_effects=rim))  # fmt: skip
        if numbers is not None:
            row, col = _free_corner(ax, square, written)
            ax.text(col, row, numbers[k], color="white", fontsize=6.5, ha="center",
                    va="bottom", path_effects=style.halo(1.8), clip_on=True)  # fmt: skip
            written.append((row, col))
    if shades is not None and legend:
        ax.figure.colorbar(shades, ax=ax, shrink=0.6, label="window score m / (m + b)")
    elif labels is not None and legend:
        truth_legend(ax, set(names), loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2)
    return ax


def _free_corner(ax: Axes, square: np.ndarray, written: Sequence) -> tuple[float, float]:
    """The upmost corner (row, col) of a window at which no number is written yet, else the upmost."""
    first, last = sorted(ax.get_xlim())  # a mirrored axis runs the other way
    room = 0.03 * (last - first)  # a number at the edge would be cut
    corners = [
        (r, float(np.clip(c, first + room, last - room))) for r, c in sorted(map(tuple, square))
    ]
    return next(
        (
            (r, c)
            for r, c in corners
            if all(abs(r - y) > 1.6 * room or abs(c - x) > 1.6 * room for y, x in written)
        ),
        corners[0],
    )


def score_map() -> ScalarMappable:
    """Colours of window scores 0..1: dark blue benign-like, bright yellow malignant-like."""
    return ScalarMappable(Normalize(0, 1), "plasma")
