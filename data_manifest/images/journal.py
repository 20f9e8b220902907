"""A store while it is being built: data files that only grow, and a journal of what is in them.

An image counts as stored once its line stands in the journal, and that line is written after the
pixels have reached the disk.  So an interrupted build goes on behind the last line; whatever follows
it in the data files is cut off.  A line that leaves something out holds the state of the files then:
where one of them has changed since, the build goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from data_manifest.images.prepare import Prepared

DATA_FILES = ("pixels.bin", "breast.bin", "outlines.bin")
BLOCK_BYTES = 64 << 20
BLOCK_IMAGES = 256


class Journal:
    """The growing files in `folder`; use as a context manager.

    digest : of everything that decides the content; a folder of another digest is started afresh.
    state_of : the state of an image's files, see :func:`data_manifest.images.build.file_states`.
    lines : what is stored so far, one dictionary an image, in the order of the manifest.
    """

    def __init__(self, folder: Path, digest: str, state_of: Callable[[str], list]):
        self.folder, self.state_of = folder, state_of
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "journal.jsonl"
        self.lines = self._kept(digest)
        lengths = self.lines[-1]["bytes"] if self.lines else [0, 0, 0]
        head = [json.dumps({"digest": digest})]
        text = "\n".join(head + [json.dumps(line) for line in self.lines]) + "\n"
        self.file.write_text(text, encoding="utf-8")
        self._journal = open(self.file, "a", encoding="utf-8")
        self._data = []
        for name, length in zip(DATA_FILES, lengths, strict=True):
            data = open(folder / name, "r+b" if (folder / name).exists() else "w+b")
            data.truncate(length)
            data.seek(length)
            self._data.append(data)
        self._waiting: list[dict] = []
        self._written = 0

    def _kept(self, digest: str) -> list[dict]:
        """The lines of an earlier run whose data are whole; none if it was another store."""
        if not self.file.is_file():
            return []
        sizes = [
            p.stat().st_size if p.is_file() else 0 for p in map(self.folder.joinpath, DATA_FILES)
        ]
        lines: list[dict] = []
        for i, text in enumerate(self.file.read_text(encoding="utf-8").splitlines()):
            try:
                line = json.loads(text)
            except ValueError:  # cut in the middle of a write
                break
            if i == 0:
                if line.get("digest") != digest:
                    return []
                continue
            if any(need > size for need, size in zip(line["bytes"], sizes, strict=True)):
                break
            if line["exclusions"] and line.get("files") != self.state_of(line["image_id"]):
                break
            lines.append(line)
        return lines

    def add(self, done: Prepared) -> None:
        """Append one image, or the reason why it is left out."""
        record = {}
        lesions = []
        if done.canvas is not None:
            self._write(0, done.canvas.tobytes())
            self._write(1, done.breast)
            record = done.record
            for row, packed in done.lesions:
                lesions.append({**row, "offset": self._data[2].tell()})
                self._write(2, packed)
        line = {"image_id": done.image_id, "record": record, "lesions": lesions}
        line |= {"exclusions": done.exclusions, "bytes": [data.tell() for data in self._data]}
        if done.exclusions:
            line["files"] = self.state_of(done.image_id)
        self._waiting.append(line)
        if self._written >= BLOCK_BYTES or len(self._waiting) >= BLOCK_IMAGES:
            self.flush()

    def _write(self, which: int, data: bytes) -> None:
        self._data[which].write(data)
        self._written += len(data)

    def flush(self) -> None:
        """Bring the data to the disk, then the lines that speak of them."""
        if not self._waiting:
            return
        for data in self._data:
            data.flush()
            os.fsync(data.fileno())
        self._journal.writelines(json.dumps(line) + "\n" for line in self._waiting)
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self.lines += self._waiting
        self._waiting, self._written = [], 0

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        try:
            self.flush()
        finally:
            for file in (*self._data, self._journal):
                file.close()
