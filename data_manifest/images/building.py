"""A store while it is being built: arrays that only grow, and a journal of what is in them.

An image counts as stored once its line is in the journal, and that line is written after the pixels
have reached the disk.  So an interrupted build goes on after the last line; whatever follows it in
the arrays is cut off.  A line that leaves something out holds the state of the image's files then:
where one of them has changed since, the build goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.format import write_array_header_1_0

from data_manifest.images.prepare import BREAST_STRIDE, Prepared
from lesionlib.files import write_text

BLOCK = 16  # images between two waits for the disk


class Building:
    """The growing files in `folder`; use as a context manager.

    Parameters
    ----------
    digest : of everything that decides the content; a folder of another digest is started afresh.
    settings : of the canvas, see :func:`data_manifest.images.build.settings_of`.
    state_of : the state of an image's files, see :func:`data_manifest.images.build.file_states`.

    Attributes
    ----------
    lines : what is stored so far, one dictionary per image, in the order of the manifest.
    """

    def __init__(self, folder: Path, digest: str, settings: dict, state_of: Callable):
        self.state_of, self._waiting = state_of, []
        rows, cols = settings["rows"], settings["cols"]
        breast = (rows // BREAST_STRIDE, cols // BREAST_STRIDE)
        folder.mkdir(parents=True, exist_ok=True)
        self._arrays = [
            _Growing(folder / "canvases.npy", settings["dtype"], (rows, cols)),
            _Growing(folder / "breasts.npy", "bool", breast),
        ]
        head = json.dumps({"digest": digest})
        self.lines = _kept(folder / "journal.jsonl", head, state_of)
        stored = sum(bool(line["record"]) for line in self.lines)
        if any(array.length() < stored for array in self._arrays):  # lost by the disk
            self.lines, stored = [], 0
        for array in self._arrays:
            array.cut(stored)
        text = [head, *map(json.dumps, self.lines)]
        write_text(folder / "journal.jsonl", "\n".join(text) + "\n")
        self._journal = open(folder / "journal.jsonl", "a", encoding="utf-8")

    def add(self, done: Prepared) -> None:
        """Append one image, or the reason why it is left out."""
        if done.canvas is not None:
            for array, values in zip(self._arrays, (done.canvas, done.breast), strict=True):
                array.file.write(values.tobytes())
        line = {"image_id": done.image_id, "exclusions": done.exclusions}
        line |= {"record": done.record, "lesions": done.lesions}
        if done.exclusions:
            line["files"] = self.state_of(done.image_id)
        self._waiting.append(line)
        if len(self._waiting) >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Bring the arrays to the disk, then the lines that speak of them."""
        for array in self._arrays:
            _synced(array.file)
        self._journal.writelines(json.dumps(line) + "\n" for line in self._waiting)
        _synced(self._journal)
        self.lines += self._waiting
        self._waiting = []

    def __enter__(self) -> Building:
        return self

    def __exit__(self, *_) -> None:
        try:
            self.flush()
            for array in self._arrays:
                array.cut(array.length())
        finally:
            for file in (*(array.file for array in self._arrays), self._journal):
                file.close()


class _Growing:
    """A .npy file that grows along its first axis; its header is as long for any length."""

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]):
        self.file = open(path, "r+b" if path.exists() else "w+b")
        self.dtype, self.shape = np.dtype(dtype), shape
        self._header(0)
        self._start = self.file.tell()

    def length(self) -> int:
        item = int(np.prod(self.shape)) * self.dtype.itemsize
        return max(0, self.file.seek(0, os.SEEK_END) - self._start) // item

    def cut(self, length: int) -> None:
        """Keep the first `length` items, and go on behind them."""
        self._header(length)
        self.file.truncate(self._start + length * int(np.prod(self.shape)) * self.dtype.itemsize)
        self.file.seek(0, os.SEEK_END)

    def _header(self, length: int) -> None:
        self.file.seek(0)
        facts = {"descr": self.dtype.str, "fortran_order": False, "shape": (length, *self.shape)}
        write_array_header_1_0(self.file, facts)


def _kept(file: Path, head: str, state_of: Callable) -> list[dict]:
    """The lines of an earlier run that are still true; none if it was another store."""
    first, *rest = file.read_text(encoding="utf-8").splitlines() if file.is_file() else [""]
    lines: list[dict] = []
    for text in rest if first == head else ():
        try:
            line = json.loads(text)
        except ValueError:  # cut in the middle of a write
            break
        if line["exclusions"] and line["files"] != state_of(line["image_id"]):
            break
        lines.append(line)
    return lines


def _synced(file) -> None:
    file.flush()
    os.fsync(file.fileno())
