"""The breast of a phantom picture: shape, tissue, skin.  Knows nothing of lesions or truth.

Everything smooth is drawn at half the resolution and enlarged, which quarters the cost; the noise
of the final picture is added at full resolution.  Left breasts are drawn: chest wall at column 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy import fft
from scipy.special import expit

from data_manifest.phantom.settings import PhantomSettings

HALF = 2  # px of the picture per px of the smooth fields
FAT, THICKNESS, GLAND, MOTTLE = 0.13, 0.17, 0.23, 0.05  # grey
FIBRE, MUSCLE, SKIN = 0.045, 0.13, 0.10  # grey


@dataclass(frozen=True)
class Build:
    """What the two views of a patient share: shares of the canvas, and an offset of density."""

    height: float
    width: float
    density: float


@dataclass(frozen=True)
class Breast:
    """A breast without lesions.

    grey : (rows, cols) float32, without noise.  inside : (rows, cols) bool.
    radius : (rows/2, cols/2) float32, 0 at the middle of the chest wall and 1 at the skin.
    """

    grey: np.ndarray
    inside: np.ndarray
    radius: np.ndarray


def draw_build(rng: np.random.Generator) -> Build:
    return Build(rng.uniform(0.400, 0.455), rng.uniform(0.66, 0.87), rng.normal(0, 0.75))


def draw_breast(s: PhantomSettings, build: Build, view: str, rng: np.random.Generator) -> Breast:
    """One view of a breast, from the patient's build and the view's own generator."""
    mlo = view == "MLO"
    y, x = _grid(s.rows, s.cols)
    # compression differs a little between the views
    height = s.rows * build.height * rng.uniform(0.97, 1.0)
    width = s.cols * build.width * rng.uniform(0.97, 1.0)
    v = (y - s.rows / 2 - s.rows * rng.uniform(-0.03, 0.03)) / height
    h = x / width
    sag = rng.uniform(0.08, 0.22) if mlo else rng.uniform(-0.05, 0.05)
    v_axis = v - sag * h * np.clip(1 - v * v, 0, None)
    radius = np.sqrt(v_axis * v_axis + h * h)
    tissue, fibres = _textures(s.rows, s.cols, rng)
    density = build.density + rng.normal(0, 0.25)
    grey = _tissue(radius, v_axis, h, tissue, fibres, density)
    if mlo:
        grey = _pectoral(grey, v, h, tissue, rng)
    radius, grey = _nipple(radius, grey, v_axis * height, x - width, rng)
    # the line of the skin, a few px inside the edge
    grey += SKIN * np.exp(-(((radius - 0.982) / 0.012) ** 2))
    full = cv2.resize(radius, (s.cols, s.rows), interpolation=cv2.INTER_LINEAR)
    grey = cv2.resize(grey, (s.cols, s.rows), interpolation=cv2.INTER_CUBIC)
    return Breast(grey, full < 1, radius)


@cache
def _grid(rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture coordinates (px) of the centres of the half-resolution px."""
    y = (np.arange(-(-rows // HALF), dtype=np.float32) + 0.5) * HALF
    x = (np.arange(-(-cols // HALF), dtype=np.float32) + 0.5) * HALF
    return y[:, None], x[None, :]


@cache
def _spectrum(rows: int, cols: int) -> np.ndarray:
    """Amplitude f^-1.5, so power 1/f^3 as in mammograms, drawn out towards the nipple."""
    y, x = _grid(rows, cols)
    fy = np.fft.fftfreq(y.size)[:, None]
    fx = np.fft.fftfreq(x.size)[None, :]
    f = np.hypot(fy, 1.35 * fx)
    f[0, 0] = np.inf
    return (f**-1.5).astype(np.float32)


def _textures(rows: int, cols: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two independent textures of mean 0 and SD 1, from one transform."""
    spectrum = _spectrum(rows, cols)
    white = rng.standard_normal((*spectrum.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = fft.ifft2(white * spectrum)
    return tuple((part - part.mean()) / part.std() for part in (field.real, field.imag))


def _tissue(radius, v, h, tissue, fibres, density) -> np.ndarray:
    """Fat that thins towards the skin, a fan of gland that narrows to the nipple, fibres."""
    thickness = np.sqrt(np.clip((1 - radius) / 0.25, 0, 1))
    fan = np.abs(v) / (0.75 * np.clip(1.05 - h, 0.05, None) + 0.1)
    place = 1.5 - 1.6 * fan * fan - 2.2 * np.clip(radius - 0.55, 0, None) - 0.8 * np.exp(-h / 0.12)
    gland = expit(1.9 * (tissue + density + place))
    strands = np.exp(-((fibres / 0.09) ** 2)) * (0.35 + 0.65 * gland)
    return (
        FAT + THICKNESS * thickness + GLAND * gland + MOTTLE * tissue + FIBRE * thickness * strands
    )


def _pectoral(grey, v, h, tissue, rng) -> np.ndarray:
    """The muscle of an MLO view: a bright triangle at the upper corner of the chest wall."""
    wide, low = rng.uniform(0.28, 0.46), rng.uniform(0.65, 0.95)
    edge = h / wide + (v + 1) / low - 0.15 * (v + 1) * h
    share = expit((1 - edge) / 0.03)
    muscle = 0.45 + MUSCLE * (1.2 - 0.4 * np.clip(edge, 0, 1)) + 0.5 * MOTTLE * tissue
    return grey + share * (muscle - grey)


def _nipple(radius, grey, dy, dx, rng) -> tuple[np.ndarray, np.ndarray]:
    """A small dome on the skin; dy, dx are px from the tip of the breast."""
    size = rng.uniform(5, 8)
    dome = np.sqrt((dy / (1.5 * size)) ** 2 + (dx / size) ** 2)
    grey = grey + 0.06 * np.exp(-(dome**2))
    # 1 at the dome's edge, too steep elsewhere to reach the breast
    return np.minimum(radius, 0.9 + 0.1 * dome), grey
