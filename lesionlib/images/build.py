"""The work of a build: which images, in which order, on how many processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lesionlib.errors import InputError
from lesionlib.experiment import digest
from lesionlib.images.prepare import Prepared, Task, prepare
from lesionlib.manifest import Manifest

RECIPE = 1  # raise it when the same settings would give other pixels
BLOCK = 16  # images a process between two waits for the writer
FEWEST = 48  # images for which it is worth starting processes


def table_of_tasks(manifest: Manifest, canvas) -> tuple[str, list[Task], str]:
    """The digest of all that decides the store's pixels, one task an image, and the pixel type."""
    dtype = "uint8" if int(manifest.images["bits"].max()) <= 8 else "uint16"
    settings = {
        "rows": int(canvas.rows), "cols": int(canvas.cols), "scale": float(canvas.scale),
        "buffer": int(canvas.buffer), "background": str(canvas.background), "dtype": dtype,
    }
    images, lesions = _plain(manifest.images), _plain(manifest.lesions)
    of_image: dict[str, list[dict]] = {}
    for row in lesions:
        of_image.setdefault(row["image_id"], []).append(row)
    root = str(manifest.root)
    tasks = [Task(root, row, of_image.get(row["image_id"], []), **settings) for row in images]
    fixed = [{k: v for k, v in row.items() if k not in ("split", "negative")} for row in images]
    content = {"recipe": RECIPE, "settings": settings, "images": fixed, "lesions": lesions}
    return digest(json.loads(json.dumps(content))), tasks, dtype


def _plain(frame: pd.DataFrame) -> list[dict]:
    """Rows as dictionaries of Python values; None for nothing."""
    columns = {name: frame[name].astype(object).where(frame[name].notna(), None) for name in frame}
    return pd.DataFrame(columns, dtype=object).to_dict("records")


def ordered_results(tasks: list[Task], workers: int, *, first: int = 0) -> Iterator[Prepared]:
    """What :func:`prepare` makes of each task, in their order, with a bar on the terminal.

    first : number of images done before, for the bar.
    Raises InputError if a worker process dies (most often: out of memory).
    """
    bar = {"total": first + len(tasks), "initial": first, "desc": "image store", "unit": "image"}
    source = map(prepare, tasks) if workers <= 1 or len(tasks) < FEWEST else _parallel(tasks, workers)
    yield from tqdm(source, disable=None, **bar)


def _parallel(tasks: list[Task], workers: int) -> Iterator[Prepared]:
    """Block by block, so that finished canvases never pile up before a slow disk."""
    block = BLOCK * workers
    try:
        with Parallel(n_jobs=workers) as pool:
            for start in range(0, len(tasks), block):
                yield from pool(delayed(prepare)(task) for task in tasks[start : start + block])
    except BrokenProcessPool:
        raise InputError(
            "a worker process died, most often for lack of memory", "image store",
            "Lower compute.workers and start again: finished images are kept",
        ) from None
