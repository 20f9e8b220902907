"""Where the seconds of an epoch of f_agg go, at the demo's size.

    python benchmarks/bench_fagg.py [COMBINATION]

Made-up windows in the demo's numbers: a pool of 10,960 of which an epoch draws 2,000, and 4,400
that judge it, on maps of 9 x 6 cells, by default E+S.  Seconds are of the processor, of one epoch
on one thread; shares first.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from functools import wraps
from unittest import mock

import numpy as np
import pandas as pd
import torch
from timing import report

from lesionlib import files, maps, training
from lesionlib.models.fagg import FAgg
from lesionlib.tasks import FAggTask, fagg
from study.settings import Compute, load_experiment

SHAPE, POOL, LESIONS, IMAGES = (9, 6), (3504, 5456, 1000, 1000), 550, 1000
# what is timed: the owner of a function, its name, the line of the table
PARTS = (
    (training._Loop, "_epoch", "all else"),
    (training._Loop, "_train", "draw the windows"),
    (training._Loop, "_step", "step, all else"),
    (FAggTask, "_inputs", "take their maps and h"),
    (maps, "stack", "stack X"),
    (FAgg, "forward", "network, forward"),
    (fagg, "weighted_loss", "loss"),
    (torch.Tensor, "backward", "network, backward"),
    (torch.optim.Adam, "step", "Adam"),
    (training._Loop, "_validate", "validate, all else"),
    (fagg, "lesion_metrics", "validation AUC"),
    (training._Loop, "_save", "checkpoint"),
    (files, "write_bytes", "write files"),
)


class Clock:
    """Seconds of each part without those of the parts that it calls."""

    def __init__(self):
        self.seconds, self.inner = Counter(), [0.0]

    def timed(self, function, name: str):
        @wraps(function)
        def call(*args, **named):
            start = time.thread_time()
            self.inner.append(0.0)
            try:
                return function(*args, **named)
            finally:
                took = time.thread_time() - start
                self.seconds[name] += took - self.inner.pop()
                self.inner[-1] += took

        return call


def made_up(pool, lesions: int, each: int) -> tuple[dict, np.ndarray]:
    """What f_agg learns from, and saliency maps."""
    rng = np.random.default_rng(1)

    def stored(label, lesion) -> dict:
        n = len(label)
        windows = {"image": rng.integers(IMAGES, size=n), "label": label, "lesion": lesion}
        location = rng.random((n, *SHAPE), np.float32) * (rng.random((n, *SHAPE)) < 0.1)
        h = rng.random((n, 32), np.float32)
        return {"windows": pd.DataFrame(windows), "location": location, "h": h}

    label, lesion = np.repeat(range(4), pool), np.repeat(range(lesions), each)
    training_windows = stored(label, np.where(label < 2, np.arange(len(label)) // 8, -1))
    validation = stored((lesion % 5 > 1).astype(int), lesion)
    saliency = rng.random((IMAGES, 2, *SHAPE), np.float32)
    return {"training": training_windows, "validation": validation}, saliency


def measure(combination: str, epochs: int = 5, pool=POOL, lesions: int = LESIONS) -> list[dict]:
    """Rows of the table: share, seconds of an epoch and name of each part."""
    settings = load_experiment("demo").fagg
    features, saliency = made_up(pool, lesions, settings.windows_validation)
    settings = settings.model_copy(update={"epochs": epochs, "patience": epochs})
    task, clock = FAggTask(features, saliency, combination, settings, seed=1), Clock()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as timed:
        for owner, name, part in PARTS:
            call = clock.timed(getattr(owner, name), part)
            timed.enter_context(mock.patch.object(owner, name, call))
        training.fit(task, folder, settings, seed=1, compute=Compute())
    total = sum(clock.seconds.values())
    rows = [
        {"share": took / total, "ms": 1e3 * took / epochs, "part": name}
        for name, took in clock.seconds.most_common()
    ]
    return [*rows, {"share": 1.0, "ms": 1e3 * total / epochs, "part": "epoch"}]


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    combination = argv[0] if argv else "E+S"
    print(f"one epoch of f_agg on {combination}, in processor seconds")
    report("fagg", measure(combination))
    return 0


if __name__ == "__main__":
    sys.exit(main())
