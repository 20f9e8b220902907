"""What a window costs, drawn and cut, against the windows of an epoch, the canvas and the threads.

    python benchmarks/bench_curves.py [--windows 2000]

Windows of the paper (128 to 384 px to patches of 256 px) on made-up 16-bit images in memory, which
have a lesion each or are negative.  Each row is the median of five runs in turns.  `bench_large`
has the cost against the number of images.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pandas as pd
from timing import interleaved, report

from lesionlib.outlines import Outline
from lesionlib.patches import extract_patches
from lesionlib.sampling import sample_epoch
from lesionlib.store import ArrayStore
from study.settings import Windows

CANVASES = ((736, 480), (1472, 960), (2944, 1920))
WORKERS, PATCH, BLOCK = (1, 2, 4), 256, 25
SHARES = np.array([0.1, 0.1, 0.4, 0.4])  # of the four classes in an epoch


def made_up(rows: int, cols: int, images: int = 16, discs: float = 0.02) -> ArrayStore:
    """Images of noise; half have a lesion, half are for training."""
    rng, lesions = np.random.default_rng(1), np.arange(images // 2)
    pixels = rng.integers(1, 4096, (images, rows, cols), dtype=np.uint16)
    radius = round(discs * rows)
    disc = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius
    number = np.arange(images)
    facts = {"negative": number >= len(lesions)}
    facts["split"] = np.where(number % 4 < 2, "training", "validation")
    table = {"image": lesions, "pathology": np.where(lesions % 2, "malignant", "benign")}
    outlines = [Outline(rows // 2, cols // 3, disc)] * len(lesions)
    return ArrayStore(pixels, pd.DataFrame(facts), pd.DataFrame(table), outlines)


def draw(store: ArrayStore, count: int, rules: Windows | None = None) -> pd.DataFrame:
    return sample_epoch(store, (count * SHARES).astype(int), rules or Windows(), seed=1)


def cut(store: ArrayStore, windows: pd.DataFrame, workers: int = 1) -> None:
    parts = [windows[start : start + BLOCK] for start in range(0, len(windows), BLOCK)]
    with ThreadPoolExecutor(workers) as threads:
        for _ in threads.map(lambda part: extract_patches(store, part, PATCH), parts):
            pass


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=2000, help="drawn; a tenth is cut (2000)")
    parser.add_argument("--turns", type=int, default=5, help="timed runs (5)")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    stores = {rows: made_up(rows, cols) for rows, cols in CANVASES}
    many, few, largest = args.windows, args.windows // 10, stores[CANVASES[-1][0]]
    tables = {rows: draw(store, few) for rows, store in stores.items()}
    cases = {}  # (step, against, value, windows) -> work
    for rows, store in stores.items():
        cases["draw", "canvas", rows, many] = partial(draw, store, many)
        cases["cut", "canvas", rows, few] = partial(cut, store, tables[rows])
    for part in (10, 2, 1):
        n, table = few // part, tables[largest.rows][: few // part]
        cases["draw", "windows", many // part, many // part] = partial(draw, largest, many // part)
        cases["cut", "windows", n, n] = partial(cut, largest, table)
    for workers in WORKERS:
        work = partial(cut, largest, tables[largest.rows], workers)
        cases["cut", "workers", workers, few] = work
    seconds, rows = interleaved(cases, args.turns).median(), []
    for (step, against, at, windows), took in zip(cases, seconds, strict=True):
        each = took / windows * 1e6
        rows.append({"step": step, "against": against, "at": at, "us per window": each})
    report("curves", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
