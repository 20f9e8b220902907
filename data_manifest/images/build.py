"""The work of a build: which images, in which order, on how many processes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from data_manifest.images.image import Image
from data_manifest.images.own_process import end_with
from data_manifest.images.prepare import Prepared, Task, decoded, prepare
from data_manifest.manifest import Manifest
from lesionlib.errors import InputError

RECIPE = 1  # raise it when the same settings would give other pixels
BLOCK = 16  # images a process between two waits for the writer
FEWEST = 48  # images for which it is worth starting processes
IMAGE_SOURCE = ["image_id", "file", "rows", "cols", "bits", "polarity", "source", "laterality"]
IMAGE_SOURCE += ["view", "chest_wall", "accept", "resized"]
LESION_SOURCE = ["lesion_id", "image_id", "geom", "mask_file", "mask_value", "polygon"]
LESION_SOURCE += ["x0", "y0", "x1", "y1", "cx", "cy", "r", "resized"]
USUAL = {"grey": "raw", "placement": "breast"}  # named in a store only where it differs


def settings_of(manifest: Manifest, canvas) -> dict:
    """What decides a canvas, apart from its image; 8-bit images make a store of uint8."""
    found = {name: str(getattr(canvas, name, usual)) for name, usual in USUAL.items()}
    return {name: value for name, value in found.items() if value != USUAL[name]} | {
        "rows": int(canvas.rows),
        "cols": int(canvas.cols),
        "scale": float(canvas.scale),
        "buffer": int(canvas.buffer),
        "background": str(canvas.background),
        "dtype": "uint8" if int(manifest.images["bits"].max()) <= 8 else "uint16",
    }


def digest_of(manifest: Manifest, settings: dict) -> str:
    """Digest of all that decides the store's pixels and outlines.

    Labels (pathology, truth, splits, ...) and the folder in which the files are do not.
    """
    total = hashlib.sha256(json.dumps([RECIPE, settings]).encode())
    for table in _sources(manifest):
        total.update(table.to_csv(index=False).encode())
    return total.hexdigest()[:16]


def _sources(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The columns of images and lesions that decide pixels and outlines: all that a task has."""
    tables = (manifest.images, IMAGE_SOURCE), (manifest.lesions, LESION_SOURCE)
    return tuple(table[[name for name in names if name in table]] for table, names in tables)


def file_states(manifest: Manifest) -> Callable[[str], list]:
    """A function of an image_id: [name, bytes, time (ns)] of its file and of its masks.

    A file that is not there has its name only.
    """
    files = {name: [file] for name, file in manifest.images[["image_id", "file"]].values}
    for name, file in manifest.lesions[["image_id", "mask_file"]].drop_duplicates().values:
        files.setdefault(name, []).extend([file] if file else [])

    def state(image_id: str) -> list:
        paths = [manifest.root / file for file in files[image_id]]
        stats = [path.stat() if path.is_file() else None for path in paths]
        return [
            [file, found.st_size, found.st_mtime_ns] if found else [file]
            for file, found in zip(files[image_id], stats, strict=True)
        ]

    return state


def tasks_of(manifest: Manifest, settings: dict, first: int = 0) -> Iterator[Task]:
    """One task per image, in the manifest's order, from image number `first` on."""
    images, lesions = _sources(manifest)
    of_image: dict[str, list[dict]] = {}
    for row in _plain(lesions):
        of_image.setdefault(row["image_id"], []).append(row)
    for row in _plain(images.iloc[first:]):
        yield Task(str(manifest.root), row, of_image.get(row["image_id"], []), **settings)


def source_image(manifest: Manifest, image_id: str, canvas) -> Image:
    """One image as the build reads it: of the stated size, before anything is blanked or placed.

    Parameters
    ----------
    canvas : ``experiment.canvas``; it says how greys are read.

    Raises
    ------
    InputError
        For a file that the build would leave out.
    """
    row = manifest.images[manifest.images["image_id"] == image_id]
    task = next(tasks_of(replace(manifest, images=row), settings_of(manifest, canvas)))
    return decoded(Path(task.root) / task.image["file"], task.image, task)


def _plain(frame: pd.DataFrame) -> Iterator[dict]:
    """Rows as dictionaries of Python values; None for nothing."""
    names = list(frame)
    columns = [frame[name].astype(object).where(frame[name].notna(), None) for name in names]
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def ordered_results(
    manifest: Manifest, settings: dict, workers: int, *, first: int = 0
) -> Iterator[Prepared]:
    """What :func:`prepare` makes of each image, in their order, with a bar on the terminal.

    Parameters
    ----------
    first : number of images done before.

    Raises
    ------
    InputError
        If a worker process dies (most often: out of memory).
    """
    number = len(manifest.images)
    tasks = tasks_of(manifest, settings, first)
    alone = workers <= 1 or number - first < FEWEST
    source = map(prepare, tasks) if alone else _parallel(tasks, workers)
    bar = {"total": number, "initial": first, "desc": "image store", "unit": "image"}
    yield from tqdm(source, disable=None, **bar)


def _parallel(tasks: Iterator[Task], workers: int) -> Iterator[Prepared]:
    """Block by block, so that finished canvases never pile up before a slow disk.

    The first images of a block are written while the others are prepared.
    """
    how = {"n_jobs": workers, "return_as": "generator"}
    try:
        with Parallel(**how, initializer=end_with, initargs=(os.getpid(),)) as pool:
            while block := list(islice(tasks, BLOCK * workers)):
                yield from pool(delayed(prepare)(task) for task in block)
    except BrokenProcessPool:
        what = "a worker process died, most often for lack of memory"
        remedy = "Lower compute.workers and start again: finished images are kept"
        raise InputError(what, "image store", remedy) from None
