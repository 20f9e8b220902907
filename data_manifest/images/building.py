"""A store while it is being built: two arrays on the disk, and a journal of what is in them.

An image counts as stored once its line is in the journal, and that line is written after the pixels
have reached the disk.  So an interrupted build goes on after the last line.  A line holds the state
of the image's files, too: where one of them has changed since, the build goes on from there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from data_manifest.images.prepare import BREAST_STRIDE, Prepared
from lesionlib.errors import InputError
from lesionlib.files import write_text

ARRAYS, JOURNAL = ("canvases.npy", "breasts.npy"), "journal.jsonl"
BLOCK = 16  # images between two waits for the disk


class Building:
    """The files in `folder` that grow; use as a context manager.

    Parameters
    ----------
    digest : of everything that decides the content; a folder of another digest is started afresh.
    images : number of images of the manifest; rows of the arrays that no image fills stay empty.
    settings : of the canvas, see :func:`data_manifest.images.build.settings_of`.
    state_of : the state of an image's files, see :func:`data_manifest.images.build.file_states`.

    Attributes
    ----------
    lines : what is stored so far, one dictionary per image, in the order of the manifest.

    Raises
    ------
    InputError
        If the disk has no room for the canvases.
    """

    def __init__(self, folder: Path, digest: str, images: int, settings: dict, state_of: Callable):
        self.state_of, self._waiting = state_of, []
        folder.mkdir(parents=True, exist_ok=True)
        head, journal = json.dumps({"digest": digest}), folder / JOURNAL
        self.lines = _kept(folder, head, state_of)
        mode, rows, cols = "r+" if self.lines else "w+", settings["rows"], settings["cols"]
        breast = (images, rows // BREAST_STRIDE, cols // BREAST_STRIDE)
        canvases, breasts = (folder / name for name in ARRAYS)
        self._canvases = open_memmap(canvases, mode, settings["dtype"], (images, rows, cols))
        self._breasts = open_memmap(breasts, mode, bool, breast)
        self._stored = sum(bool(line["record"]) for line in self.lines)
        need = (images - self._stored) * self._canvases[0].nbytes
        if need > (free := shutil.disk_usage(folder).free):
            what = f"the canvases need {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
            raise InputError(what, folder, "Make room, or lower canvas.scale, rows and cols")
        write_text(journal, "".join(f"{line}\n" for line in [head, *map(json.dumps, self.lines)]))
        self._journal = open(journal, "a", encoding="utf-8")

    def add(self, done: Prepared) -> None:
        """Append one image, or the reason why it is left out."""
        if done.canvas is not None:
            self._canvases[self._stored], self._breasts[self._stored] = done.canvas, done.breast
            self._stored += 1
        line = {"image_id": done.image_id, "exclusions": done.exclusions}
        line |= {"record": done.record, "lesions": done.lesions}
        line["files"] = self.state_of(done.image_id)
        self._waiting.append(line)
        if len(self._waiting) >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Bring the arrays to the disk, then the lines that speak of them."""
        self._canvases.flush()
        self._breasts.flush()
        self._journal.writelines(json.dumps(line) + "\n" for line in self._waiting)
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self.lines += self._waiting
        self._waiting = []

    def __enter__(self) -> Building:
        return self

    def __exit__(self, *_) -> None:
        with self._journal:
            self.flush()


def _kept(folder: Path, head: str, state_of: Callable) -> list[dict]:
    """The lines of an earlier run that are still true; none if it was another store."""
    lines: list[dict] = []
    try:
        first, *rest = (folder / JOURNAL).read_text(encoding="utf-8").splitlines()
        for name in ARRAYS:  # cut short by a crash, it would be filled up when mapped to be written
            np.load(folder / name, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return lines
    for text in rest if first == head else ():
        try:
            line = json.loads(text)
            if line["files"] != state_of(line["image_id"]):
                break
        except (ValueError, LookupError, TypeError):  # cut in the middle of a write, or damaged
            break
        lines.append(line)
    return lines
