"""The picture of one phantom image.

u shapes the lesion alone: length and strength of its spicules, texture of its core.  c of a half of
the breast shapes the context there alone: number and strength of its bright specks, all farther
from every outline than a window that touches it can see.  Size, place, shape, contrast and density
are drawn without regard to truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data_manifest.phantom.anatomy import Breast, draw_breast, draw_build
from data_manifest.phantom.settings import PhantomSettings

STAMP = 56  # px: half the side of the square that a lesion is drawn in
FINE = 4  # spicules are drawn this much finer, then averaged
HARMONICS = np.arange(2, 5)  # of the core's outline
DENT = 0.06  # SD of a harmonic, in radii; cut at 2 SD
CORNERS = 48  # of the outline's polygon
CHEST_WALL = 26  # px: no centre nearer, so the whole core is on the picture
SPECK_RADIUS = 5  # px: where a speck's tail is cut, 3 to 4 SD
DARKEST = 0.05  # grey of breast tissue at least: the background is 0


@dataclass(frozen=True)
class Case:
    """What one image shows, and the seeds that it is drawn with."""

    image_id: str
    view: str
    laterality: str
    u: tuple[float, ...]
    c: tuple[float, float]  # of the upper and the lower half
    halves: tuple[int, int]  # 0 upper, 1 lower: of the first and the second place of a lesion
    seed: int
    patient_seed: int


@dataclass(frozen=True)
class Picture:
    """pixels : (rows, cols) uint8.  outlines : one (48, 2) array of x, y (px) for each lesion.

    x runs from 0 at the left edge to cols at the right, y from 0 at the top: pixel centres lie at
    integers + 1/2.
    """

    pixels: np.ndarray
    outlines: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Lesion:
    """row, col (px) of the centre, the outline's corners (48, 2) as x, y, and what is added."""

    row: int
    col: int
    outline: np.ndarray
    stamp: np.ndarray

    @property
    def radius(self) -> float:
        """px from the centre to the farthest point of the outline."""
        return float(np.hypot(*(self.outline - (self.col, self.row)).T).max())


def render(case: Case, settings: PhantomSettings) -> Picture:
    """Draw one image.  The same case and settings give the same pixels, on any worker."""
    streams = np.random.default_rng(case.seed).spawn(6)
    build = draw_build(np.random.default_rng(case.patient_seed))
    breast = draw_breast(settings, build, case.view, streams[0])
    grey = breast.grey
    border = _border(breast)
    places = _lesion_places(breast, border, case.halves, settings, streams[1])
    # each half has a lesion, and specks keep away from it even where the picture does not show it:
    # a gap among them would tell which half is empty
    u = (*case.u, 0.0, 0.0)[: len(places)]
    lesions = [
        _draw_lesion(*place, latent, settings, rng)
        for place, latent, rng in zip(places, u, streams[4:], strict=True)
    ]
    shown = lesions[: len(case.u)]
    for lesion in shown:
        _add(grey, lesion.stamp, lesion.row, lesion.col)
    noise = streams[3].standard_normal(grey.shape, dtype=np.float32)
    grey += np.float32(settings.noise) * noise
    grey = np.where(breast.inside, np.clip(grey, DARKEST, 1), 0)
    grey = _add_specks(grey, breast, border, lesions, case.c, settings, streams[2])
    pixels = np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)
    outlines = [lesion.outline for lesion in shown]
    if case.laterality == "R":
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        outlines = [np.round(o * (-1, 1) + (settings.cols, 0), 3) for o in outlines]
    return Picture(pixels, tuple(outlines))


def strength(latent: float, limit: float) -> float:
    """A latent as a share: 0 at -limit and below, 1 at limit and above, linear between."""
    return float(np.clip((latent + limit) / (2 * limit), 0, 1))


def _between(interval: tuple[float, float], share: float) -> float:
    return interval[0] + share * (interval[1] - interval[0])


# ------------------------------------------------------------------ lesions
def _border(breast: Breast) -> float:
    """The row (px) between the halves: the middle of the breast's rows."""
    rows = np.flatnonzero(breast.inside.any(axis=1))
    return (rows[0] + rows[-1] + 1) / 2


def _lesion_places(
    breast: Breast, border: float, halves: tuple, s: PhantomSettings, rng
) -> list[tuple[int, int]]:
    """Centres (row, col), one in each of `halves`: uniform off rim, chest wall and border."""
    step = s.rows / breast.radius.shape[0]
    rows, cols = np.nonzero(breast.radius < 0.80)
    rows, cols = (rows + 0.5) * step, (cols + 0.5) * step
    free = (cols >= CHEST_WALL) & (np.abs(rows - border) >= s.half_margin)
    places: list[tuple[int, int]] = []
    for half in halves:
        j = rng.choice(np.flatnonzero(free & ((rows > border) == half)))
        places.append((int(rows[j] + rng.random()), int(cols[j] + rng.random())))
    return places


def _draw_lesion(row: int, col: int, u: float, s: PhantomSettings, rng) -> Lesion:
    """The core is drawn without regard to u, its spicules and texture with it."""
    share = strength(u, s.local_range)
    radius, contrast = rng.uniform(*s.core_radius), rng.uniform(*s.core_contrast)
    dents = DENT * np.clip(rng.standard_normal(len(HARMONICS)), -2, 2)
    phases = rng.uniform(0, 2 * np.pi, len(HARMONICS))

    def edge(angle: np.ndarray) -> np.ndarray:
        waves = np.cos(HARMONICS * np.expand_dims(angle, -1) + phases) @ dents
        return radius * (1 + waves)

    axis = np.arange(-STAMP, STAMP) + 0.5
    y, x = axis[:, None], axis[None, :]
    depth = np.hypot(y, x) / edge(np.arctan2(y, x))  # 1 on the outline
    stamp = contrast / (1 + np.exp((depth - 1) / 0.12))
    stamp += _between(s.spicule_contrast, share) * _spicules(edge, share, s, rng)
    stamp += _between(s.core_texture, share) * _core_texture(rng) * (depth < 0.95)
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    outline = np.stack([col + edge(angle) * np.cos(angle), row + edge(angle) * np.sin(angle)], 1)
    outline = np.round(outline, 3)  # as it will be in the table
    return Lesion(row, col, outline, stamp.astype(np.float32))


def _spicules(edge, share: float, s: PhantomSettings, rng) -> np.ndarray:
    """Thin rays from inside the core outwards, 0 to 1."""
    n = s.spicules
    angle = rng.uniform(0, 2 * np.pi) + 2 * np.pi * (np.arange(n) + rng.uniform(-0.3, 0.3, n)) / n
    length = _between(s.spicule_length, share) * rng.uniform(0.75, 1.25, n)
    ends = np.stack([0.7 * edge(angle), (1 + length) * edge(angle)])  # (2, n) px from the centre
    ends = np.stack([np.cos(angle), np.sin(angle)], -1) * ends[..., None]  # (2, n, xy)
    points = np.round((ends + STAMP) * FINE).astype(int)
    canvas = np.zeros((2 * STAMP * FINE,) * 2, np.uint8)
    for start, end in zip(*points.tolist(), strict=True):
        cv2.line(canvas, start, end, 255, FINE + 1)
    canvas = cv2.resize(canvas, (2 * STAMP,) * 2, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), 0.7)


def _core_texture(rng) -> np.ndarray:
    """Noise between 0.8 and 2 px of blur: neither a pixel's own noise nor the core's shading."""
    white = rng.standard_normal((2 * STAMP,) * 2, dtype=np.float32)
    band = cv2.GaussianBlur(white, (0, 0), 0.8) - cv2.GaussianBlur(white, (0, 0), 2.0)
    return band / band.std()


# ------------------------------------------------------------------ context
def _add_specks(
    grey, breast: Breast, border: float, lesions, c: tuple, s: PhantomSettings, rng
) -> np.ndarray:
    """Bright specks in a share of each half's places; how many and how bright tells its c."""
    rows, cols, size = _speck_places(breast, lesions, s, rng)
    weight = _out_of_sight(lesions, breast, s)
    lower = np.arange(len(grey))[:, None] >= border
    for half, latent in enumerate(c):
        share = strength(latent, s.context_range)
        here = np.flatnonzero((rows >= border) == half)
        here = here[: round(share * len(here))]
        height = size[here] * _between(s.speck_contrast, share)
        specks = _specks(rows[here], cols[here], height, s)
        grey = _balanced(grey, specks, weight * (lower == half), breast)
    return grey


def _speck_places(breast: Breast, lesions, s: PhantomSettings, rng) -> tuple[np.ndarray, ...]:
    """Row and column (px) of each speck that may be drawn, and its size; in random order."""
    rows, cols = _speck_candidates(s, rng)
    order = rng.permutation(len(rows))
    size = rng.uniform(0.8, 1.2, len(rows))
    radius = cv2.resize(breast.radius, (s.cols, s.rows), interpolation=cv2.INTER_LINEAR)
    ok = (radius[rows, cols] < 0.93) & (_distance(lesions, rows, cols) > s.reach)
    order = order[ok[order]]
    return rows[order], cols[order], size[order]


def _speck_candidates(s: PhantomSettings, rng) -> tuple[np.ndarray, np.ndarray]:
    """One random px in each square of the picture, those too near to its edge left out."""
    y, x = np.mgrid[0 : s.rows : s.speck_spacing, 0 : s.cols : s.speck_spacing]
    offset = rng.integers(s.speck_spacing, size=(2, y.size))
    rows, cols = y.ravel() + offset[0], x.ravel() + offset[1]
    inner = (rows >= SPECK_RADIUS) & (rows < s.rows - SPECK_RADIUS)
    inner &= (cols >= SPECK_RADIUS) & (cols < s.cols - SPECK_RADIUS)
    return rows[inner], cols[inner]


def _specks(rows, cols, height, s: PhantomSettings) -> np.ndarray:
    """Gaussians of the given heights (grey) at the given px, on a picture of zeros."""
    axis = np.arange(-SPECK_RADIUS, SPECK_RADIUS + 1)
    dot = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * s.speck_sd**2)).astype(np.float32)
    picture = np.zeros((s.rows, s.cols), np.float32)
    for row, col, peak in zip(rows - SPECK_RADIUS, cols - SPECK_RADIUS, height, strict=True):
        picture[row : row + dot.shape[0], col : col + dot.shape[1]] += peak * dot
    return picture


def _distance(lesions: list[Lesion], rows, cols) -> np.ndarray:
    """px to the nearest circle around an outline: never more than to the outline itself."""
    nearest = np.full(np.broadcast_shapes(np.shape(rows), np.shape(cols)), np.inf, np.float32)
    for lesion in lesions:
        away = np.hypot(rows - np.float32(lesion.row), cols - np.float32(lesion.col))
        nearest = np.minimum(nearest, away - lesion.radius)
    return nearest


def _add(grey: np.ndarray, stamp: np.ndarray, row: int, col: int) -> None:
    """Add a square stamp, centred on the corner row, col, as far as it lies on the picture."""
    half = stamp.shape[0] // 2
    top, left = max(row - half, 0), max(col - half, 0)
    part = grey[top : row + half, left : col + half]
    y, x = top - row + half, left - col + half
    part += stamp[y : y + part.shape[0], x : x + part.shape[1]]


def _balanced(grey, specks, weight, breast: Breast) -> np.ndarray:
    """Add the specks without moving the standardised grey of the rest of the breast.

    Networks see (grey - mean) / SD of the whole picture.  Specks raise both, and so would whisper
    c to every window.  The tissue among the specks, where `weight` is above 0 and no window sees
    it, is darkened by just so much that the breast's mean grey, standardised, stays what it was.
    """
    bright = np.minimum(grey + specks, 1)
    mean, m, w = (float(x.mean()) for x in (grey, bright, weight))
    tissue = mean * grey.size / np.count_nonzero(breast.inside)  # the background is 0
    spread = _mean_product(grey, grey) - mean**2
    square, wx, ww = (
        _mean_product(*pair) for pair in ((bright, bright), (weight, bright), (weight, weight))
    )
    # darkening by a*weight: (tissue - m + a w)^2 / (square - 2 a wx + a^2 ww - (m - a w)^2) = k
    k, gap = (tissue - mean) ** 2 / spread, tissue - m
    terms = (
        w * w - k * (ww - w * w),
        2 * (w * gap + k * (wx - m * w)),
        gap**2 - k * (square - m * m),
    )
    amount = min(np.roots(terms), key=abs, default=0.0)  # the other root would blacken the picture
    return bright - np.float32(max(np.real(amount), 0)) * weight


def _mean_product(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b)) / a.size


def _out_of_sight(lesions: list[Lesion], breast: Breast, s: PhantomSettings) -> np.ndarray:
    """(rows, cols) float32: 0 off the breast and within any window's reach, rising to 1 beyond."""
    shape = breast.radius.shape
    step = s.rows / shape[0]
    rows = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5) * step
    cols = (np.arange(shape[1], dtype=np.float32)[None, :] + 0.5) * step
    ramp = np.clip((_distance(lesions, rows, cols) - s.window_reach - 4) / 40, 0, 1)
    ramp = np.broadcast_to(ramp * np.clip((0.95 - breast.radius) / 0.05, 0, 1), shape)
    ramp = cv2.resize(np.ascontiguousarray(ramp), (s.cols, s.rows), interpolation=cv2.INTER_LINEAR)
    return ramp * breast.inside
