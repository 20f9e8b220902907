"""What one image, one window and one network cost: the rates from which docs/scale.md is counted.

    python benchmarks/bench_scale.py [--folder FOLDER]

operations.csv   of each network at the paper's size: parameters, and operations (a multiply-add as
                 two) of one patch or image, forward and in a training step.  Counted, not timed.
one_image.csv    on this machine and disk, with one thread: the processor's time to prepare a 16-bit
                 PNG of 3328 x 2560 px for the store, to decide whether a file is still the same, to
                 read a line of the store's journal, to standardise a canvas, to digest a gigabyte;
                 the bytes that the disk gives for one window, where no page is in memory yet, and
                 the pages that hold it.  Needs Linux.

The files, of a few gigabytes, are made up in FOLDER, on a disk and not in memory (by default where
temporary files go).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import sys
import tempfile
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from bench_curves import draw
from bench_curves import made_up as canvases
from bench_manifest import made_up
from timing import report
from torch.utils.flop_counter import FlopCounterMode

from data_manifest.images.build import file_states
from data_manifest.images.building import JOURNAL
from data_manifest.images.store import ImageStore, build_store
from lesionlib.maps import channels
from lesionlib.models.fagg import FAgg
from lesionlib.models.floc import FLoc
from lesionlib.models.gmic import gmic_from_settings
from lesionlib.patches import Cuts
from lesionlib.seeds import digest
from study.settings import PAPER_BACKBONES, Experiment, load_experiment

FILMS, FILES, CANVASES = 8, 20_000, 200
IN_MEMORY = "meta"  # a device on which nothing is computed


# ------------------------------------------------------------------ operations
def operations(settings: Experiment) -> pd.DataFrame:
    """Of each network: parameters, numbers of its state, GFLOP of one input."""
    patch, canvas = settings.windows.patch, settings.canvas
    given = {name: (FLoc, (name,), (1, patch, patch)) for name in PAPER_BACKBONES}
    given["gmic"] = gmic_from_settings, (settings.gmic,), (1, canvas.rows, canvas.cols)
    maps = channels("E+S")
    given["fagg"] = FAgg, (maps, settings.fagg.filters), (maps, *canvas.map_shape)
    rows = []
    for name, (make, args, shape) in given.items():
        with torch.device("cpu" if name == "gmic" else IN_MEMORY):  # crops are chosen by value
            model, batch = make(*args), torch.zeros(2 if name != "gmic" else 1, *shape)
        state = sum(value.numel() for value in model.state_dict().values())
        row = {"network": name, "parameters": sum(p.numel() for p in model.parameters())}
        row |= {"state": state, "forward": _gflop(model, batch)}
        row["training"] = _gflop(model, batch, backward=True)
        rows.append(row)
        if name == "gmic":  # what the maps take
            row = dict(row, network="gmic saliency", training=np.nan)
            rows.append(row | {"forward": _gflop(model.saliency, batch)})
    return pd.DataFrame(rows)


def _gflop(model, batch: torch.Tensor, backward: bool = False) -> float:
    """GFLOP of one item of a batch."""
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        out = model(batch)
        if backward:
            parts = vars(out).values() if hasattr(out, "y_global") else out
            sum(part.sum() for part in parts if part.requires_grad).backward()
    return counter.get_total_flops() / len(batch) / 1e9


# ------------------------------------------------------------------ one image
def one_image(folder: Path, settings: Experiment) -> pd.DataFrame:
    """Rows of name, value, unit."""
    found = {**_store(folder, settings), **_files(folder), **_windows(folder, settings)}
    block, start = bytes(2**28), time.process_time()
    hashlib.sha256(block)
    found["digest"] = (time.process_time() - start) / len(block) * 1e9, "s per GB"
    return pd.DataFrame([{"name": n, "value": v, "unit": u} for n, (v, u) in found.items()])


def _store(folder: Path, settings: Experiment) -> dict:
    """A store of a few films: its build, its journal, and a canvas of it."""
    manifest, rng = _films(folder), np.random.default_rng(1)
    start = time.process_time()
    build_store(manifest, folder / "store", settings.canvas)
    took = {"prepare": ((time.process_time() - start) / FILMS, "s per image")}
    store = ImageStore(folder / "store")
    line = {"image_id": "i0", "exclusions": [], "lesions": []}
    line["record"] = json.loads(store.images.iloc[0].to_json())
    line["files"] = file_states(manifest)("i0")
    text = json.dumps(line)
    tracemalloc.start()
    start = time.process_time()
    kept = [json.loads(text) for _ in range(FILES)]
    took["journal"] = (time.process_time() - start) / len(kept), "s per image"
    took["journal in memory"] = tracemalloc.get_traced_memory()[0] / len(kept), "B per image"
    tracemalloc.stop()
    took["journal on disk"] = len(text) + 1, f"B per image of {JOURNAL}"
    start = time.process_time()
    for i in rng.integers(len(store), size=20):
        store.standardised(int(i))
    took["standardise"] = (time.process_time() - start) / 20, "s per image"
    return took


def _films(folder: Path):
    """Films of 3328 x 2560 px, half an ellipse of noise on the left edge, in a manifest."""
    manifest, rng = made_up(FILMS), np.random.default_rng(1)
    row, col = np.mgrid[:3328, :2560]
    breast = ((row - 1664) / 1300) ** 2 + (col / 1500) ** 2 < 1
    images = manifest.images.assign(split="training", file=manifest.images["image_id"] + ".png")
    images["laterality"] = "L"
    for file in images["file"]:
        noise = rng.normal(1500, 200, breast.shape).clip(1, 4095).astype(np.uint16)
        cv2.imwrite(str(folder / file), np.where(breast, noise, 0).astype(np.uint16))
    return replace(manifest, images=images, root=folder)


def _files(folder: Path) -> dict:
    """Whether files are still those of the store, as each process asks that opens it."""
    manifest = made_up(FILES)
    place = folder / "files"
    place.mkdir()
    images = manifest.images.assign(file=manifest.images["image_id"] + ".png")
    for file in images["file"]:
        (place / file).touch()
    manifest = replace(manifest, images=images, root=place)
    start = time.process_time()
    digest(list(map(file_states(manifest), manifest.images["image_id"])))
    return {"file states": ((time.process_time() - start) / FILES, "s per image")}


def _windows(folder: Path, settings: Experiment) -> dict:
    """Bytes that the disk gives for a window of an image of which nothing is in memory."""
    shape = CANVASES, settings.canvas.rows, settings.canvas.cols
    place, store = folder / "canvases.npy", canvases(*shape[1:])
    np.save(place, np.ones(shape, np.uint16))
    boxes = Cuts(store, draw(store, CANVASES, settings.windows), settings.windows.patch).boxes
    boxes = np.maximum(boxes, 0)
    found = {"window": 2 * np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).mean()}
    for name, advice in (("window read", mmap.MADV_NORMAL), ("pages", mmap.MADV_RANDOM)):
        with open(place, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        before, pixels = _from_disk(), np.load(place, "r")
        pixels._mmap.madvise(advice)
        for canvas, (row0, col0, row1, col1) in zip(pixels, boxes, strict=True):
            canvas[row0:row1, col0:col1].sum()
        found[name] = (_from_disk() - before) / CANVASES
        del canvas, pixels
    found = {name: (value, "B") for name, value in found.items()}
    device = os.stat(place).st_dev
    ahead = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    return found | {"read-ahead": (1024 * int(ahead.read_text()), "B")}


def _from_disk() -> int:
    """Bytes that this process has had read from disks (Linux)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="for the files that are made up, on a disk")
    args = parser.parse_args(argv)
    settings = load_experiment("nyu")
    torch.set_num_threads(1)
    report("operations", operations(settings))
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        report("one_image", one_image(Path(folder), settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
