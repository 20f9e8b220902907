"""An epoch of 10,000 windows from a store of a hundred to a million images.

    python benchmarks/bench_large.py [--images N ...]

Tables are made up in the proportions of the NYU set (`bench_manifest`), at least 40 lesions; the
pixels of 16 canvases of 2944 x 1920 px, and 64 outlines, are shared.  Windows are drawn in the
paper's composition from the training split.  Each number of images has a process of its own, which
opens the store from its files, and one thread, whose processor time is told: other work on the
machine does not count.  Limits at a million images: 2 s an epoch, 2 GiB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from bench_manifest import made_up
from timing import most_memory, report

from data_manifest.images.store import FORMAT, ImageStore, _write_tables
from lesionlib.files import write_json
from lesionlib.sampling import sample_epoch
from lesionlib.tasks._shared import store_digest
from study.settings import PAPER_EPOCH, Windows

IMAGES = (100, 1_000, 10_000, 100_000, 1_000_000)
ROWS, COLS, SHARED, EPOCHS = 2944, 1920, 16, 5
COLUMNS = ("images", "lesions", "open (s)", "digest (s)", "first epoch (s)", "epoch (s)", "GiB")


class SharedPixels(ImageStore):
    """A store whose images share the breasts of a few."""

    def breast(self, i):
        return super().breast(i % SHARED)


def make(images: int, folder: Path) -> None:
    """The files of a store: tables of any number of images, arrays of a few."""
    rng, manifest = np.random.default_rng(1), made_up(images)
    table, lesions = manifest.images, manifest.lesions[["lesion_id"]]
    splits = np.array(["training"] * 6 + ["validation"] + ["test"] * 3)
    table["split"] = splits[table["patient_id"].str[1:].astype(int) % 10]
    moments = dict(mean=rng.uniform(300, 900, images), std=rng.uniform(400, 800, images))
    sha256 = [f"{number:064x}" for number in range(images)]
    measured = table[["image_id"]].assign(**moments, sha256=sha256, unplaced=0)
    radii = rng.integers(15, 60, 64)
    discs = [np.hypot(*np.mgrid[-r : r + 1, -r : r + 1]) <= r for r in radii]
    packed = [np.packbits(disc) for disc in discs]
    shape, starts = rng.integers(64, size=len(lesions)), np.cumsum([0, *map(len, packed)])
    lesions = lesions.assign(
        image=pd.Index(table["image_id"]).get_indexer(manifest.lesions["image_id"]),
        row0=rng.integers(300, 2400, len(lesions)), col0=rng.integers(0, 800, len(lesions)),
        rows=2 * radii[shape] + 1, cols=2 * radii[shape] + 1,
        area_px=np.array([disc.sum() for disc in discs])[shape],
        on_canvas=1.0, on_breast=1.0, offset=starts[shape],
    )  # fmt: skip
    _write_tables(folder, manifest, measured, lesions, pd.DataFrame())
    row, col = np.mgrid[: ROWS // 4, : COLS // 4]  # half an ellipse on the left edge
    wide = np.linspace(0.5, 1, SHARED)[:, None, None] * COLS / 4
    breasts = ((row - ROWS / 8) / (ROWS / 9)) ** 2 + (col / wide) ** 2 < 1
    arrays = {"breasts": breasts, "outlines": np.concatenate(packed)}
    arrays["canvases"] = np.zeros((SHARED, ROWS, COLS), np.uint16)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    write_json(folder / "store.json", {"format": FORMAT})


def measure(folder: Path) -> list[float]:
    """One row of the table, measured in this process."""
    took, start = [], time.process_time()

    def done() -> None:
        nonlocal start
        took.append(time.process_time() - start)
        start = time.process_time()

    store = SharedPixels(folder)
    done()
    store_digest(store)
    done()
    for epoch in range(1 + EPOCHS):
        sample_epoch(store, PAPER_EPOCH, Windows(), seed=epoch)
        done()
    sizes = len(store.images), len(store.lesions)
    return [*sizes, *took[:3], float(np.median(took[3:])), most_memory()]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES, help="numbers of images")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # of a store, in a process
    args = parser.parse_args(argv)
    if args.folder:
        print(*measure(args.folder))
        return 0
    rows = []
    for images in args.images:
        with tempfile.TemporaryDirectory() as folder:
            make(images, Path(folder))
            line = [sys.executable, __file__, "--folder", folder]
            found = subprocess.run(line, check=True, capture_output=True, text=True).stdout
        rows.append(dict(zip(COLUMNS, map(float, found.split()), strict=True)))
    report("large", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
