"""Made-up predictions, pictures and a canvas for the tests."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from lesionlib.outlines import Outline
from lesionlib.windows import window_table
from study.plots import Mammogram

TINY_CANVAS = SimpleNamespace(rows=192, cols=128, cell=64, scale=1.0, background="zero", buffer=8)
MODELS = ("f_loc", "I", "E", "S", "I+E", "I+S", "E+S", "I+S+E")


def reasons(manifest) -> dict[str, str]:
    """id -> reason of all that a manifest or a store leaves out."""
    return manifest.exclusions.set_index("id")["reason"].to_dict()


def predictions(seed: int = 0, patients: int = 120, runs: int = 3, gain: float = 1.0):
    """One to four lesions a patient, all models; E+S knows `gain` times the context besides E."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    n = patient.size
    truth = (rng.random(patients) < 0.35)[patient]
    local = 1.2 * truth + rng.normal(size=n)
    context = 1.0 * truth + 0.5 * rng.normal(size=patients)[patient] + 0.9 * rng.normal(size=n)
    both = local + gain * context
    signal = dict(zip(MODELS, (local, rng.normal(size=n), local, context, local, context, both, both),
                      strict=True))  # fmt: skip
    parts = []
    for model, x in signal.items():
        for run in range(runs):
            score = 1 / (1 + np.exp(0.5 - x - 0.1 * rng.normal(size=n)))
            ids = {"lesion_id": [f"L{i:04d}" for i in range(n)]}
            ids["patient_id"] = [f"P{p:03d}" for p in patient]
            rest = dict(split="test", y_true=truth.astype(int), model=model, run=run, y_score=score)
            parts.append(pd.DataFrame({**ids, **rest}))
    return pd.concat(parts, ignore_index=True)


def mammogram(seed: int = 0, shape=(96, 64), lesions=(("malignant", 30), ("benign", 60))):
    """A half ellipse of noise at the left edge with round lesions."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = ((y / shape[0] - 0.5) / 0.45) ** 2 + (x / shape[1] / 0.8) ** 2 < 1
    grey = np.where(inside, 100 + 10 * rng.normal(size=shape), 0)
    outlines = []
    for _, row in lesions:
        disc = (y - row) ** 2 + (x - 20) ** 2 < 25
        grey[disc] += 60
        outlines.append(Outline(row - 6, 14, disc[row - 6 : row + 6, 14:26]))
    return Mammogram(grey, outlines, [kind for kind, _ in lesions], "L CC")


def random_windows(count, images):
    """Windows anywhere on canvases of 90 x 110 px and off them, turned or not, of any scale."""
    g = np.random.default_rng(5)
    side = np.where(
        g.random(count) < 0.3, g.choice([8, 16, 24, 32], count), g.uniform(4, 60, count)
    )
    angle = np.where(
        g.random(count) < 0.3, g.choice([0, 45, 90], count), g.uniform(-180, 180, count)
    )
    row, col = g.uniform(-30, 120, count), g.uniform(-30, 140, count)
    row[:3], col[3:6] = (-400, 500, -20), (-400, 500, 130)
    return window_table(
        image=g.integers(0, images, count), row=row, col=col, side=side, angle=angle
    )
