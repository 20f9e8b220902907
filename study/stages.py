"""Stages: work that is done once, kept on disk, and done again only when its inputs change.

A stage has a folder under ``runs/<experiment>/`` and a key, the digest of everything it depends on:
its settings, the keys of the stages before it, and the library's sources that compute it.  A folder
that was completed under the same key is reused; otherwise the stage runs, under a lock, so that two
notebooks at once never do the same work twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from lesionlib import files
from lesionlib.seeds import digest
from study import provenance
from study.lab import Lab

MARK = "stage.json"


def stage(
    lab: Lab,
    name: str,
    inputs: dict,
    modules: tuple[str, ...],
    compute: Callable[[Path], object],
    *,
    resumes: bool = False,
) -> Path:
    """The folder of a completed stage, computed now if need be.

    Parameters
    ----------
    name : folder below ``runs/<experiment>/``.
    inputs : JSON-like values on which the result depends, keys of earlier stages among them.
    modules : modules or packages of lesionlib whose change must redo the stage.
    compute : does the work in the folder it is given; what it returns is kept as the stage's
        ``content`` (a digest of what it made, where that says more than the key).
    resumes : the work goes on from what an interrupted start with the same key left behind;
        otherwise it begins with an empty folder.
    """
    key = digest({"inputs": inputs, "code": provenance.code_digest(*modules)})
    folder = lab.runs / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    if _completed(folder, key):
        return folder
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if _completed(folder, key):
            return folder
        started = files.read_json(folder / MARK, {})
        if not (resumes and started.get("key") == key):
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / MARK, {"key": key, "complete": False})
        content = compute(folder) or key
        files.write_json(folder / MARK, {"key": key, "complete": True, "content": content})
    return folder


def key_of(folder: Path) -> str:
    """What a completed stage passes on to the keys of those that read it."""
    return files.read_json(folder / MARK, {}).get("content", "")


def _completed(folder: Path, key: str) -> bool:
    mark = files.read_json(folder / MARK, {})
    return bool(mark.get("complete")) and mark.get("key") == key
