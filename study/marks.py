"""Marks vouch for files: damage is noticed before anything is read from them.

A mark is a JSON file that lists files by size, time and SHA-256, sealed by a digest of itself.  Each
stage has one, ``stage.json``, and each job that is done, ``jobs/<job>.json``.  Sizes and times are
looked at whenever a stage is used; a file of another time is read and its digest decides.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lesionlib.files import read_json, write_json
from lesionlib.seeds import digest

STAGE = "stage.json"


def write_mark(path: Path, content: dict, files: Iterable[Path] = ()) -> None:
    """Write a mark with a content of JSON's types that vouches for these files."""
    states = {}
    for file in sorted(files):
        found = file.stat()
        sha256 = _sha256(file, to_disk=True)
        states[os.path.relpath(file, path.parent)] = [found.st_size, found.st_mtime_ns, sha256]
    content = content | {"files": states}
    write_json(path, content | {"seal": digest(content)})


def read_mark(path: Path) -> dict:
    """The content of a mark; empty where there is none or it is damaged."""
    mark = read_json(path, {})
    seal = mark.pop("seal", None)
    return mark if seal == digest(mark) else {}


def damaged(path: Path, verify: bool = False) -> list[str]:
    """Names of the files, the mark among them, that are not as they were left.

    verify : read every file, not only those whose time is another one.
    """
    mark, times = read_mark(path), {}
    if not mark:
        return [path.name]
    for name, (size, time, sha256) in mark["files"].items():
        file = path.parent / name
        found = file.stat() if file.is_file() else None
        is_same = found and found.st_size == size
        if is_same and (verify or found.st_mtime_ns != time):
            is_same = _sha256(file) == sha256
        times[name] = [size, found.st_mtime_ns, sha256] if is_same else None
    if None not in times.values() and times != mark["files"]:  # as after copying the folder
        mark["files"] = times
        write_json(path, mark | {"seal": digest(mark)})
    return [name for name in times if not times[name]]


def withdraw(runs: Path, verify: bool = False) -> Iterator[str]:
    """Before a run: damaged stages and jobs count as not done; a line of text for each.

    A stage is made again by the job that made it, or by any job if that one is not known.
    """
    done = runs / "done"
    for file in sorted(runs.rglob(STAGE)):
        mark = read_mark(file)
        if mark.get("complete", True) and (found := damaged(file, verify)):
            yield told(file.parent.relative_to(runs).as_posix(), found)
            file.unlink()
            makers = [*done.glob(f"{mark.get('job')}*.json")] or done.glob("*.json")
            for maker in makers:
                maker.unlink()
    for file in sorted(done.glob("*.json")):
        if found := damaged(runs / "jobs" / file.name, verify):
            yield told(f"job {file.stem}", found)
            file.unlink()


def told(what: str, names: list[str]) -> str:
    """The line that says what is made again and why."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{what} is made again: {names[0]}{more} missing, cut short or changed"


def _sha256(file: Path, to_disk: bool = False) -> str:
    """Of a file's content; empty where it cannot be read.  to_disk : wait until it is there."""
    try:
        with open(file, "rb") as content:
            if to_disk:
                os.fsync(content.fileno())
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""
