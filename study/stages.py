"""Stages: work that is done once, kept on disk, and done again only when its inputs change.

A stage has a folder under ``runs/<experiment>/`` and a key: the digest of its settings, of the keys
of the stages that it reads, and of the code that does its work.  A folder completed under the same
key is reused; otherwise the stage runs, under a lock, so that two notebooks never do the same work
twice.  Its mark (:mod:`study.marks`) vouches for its files; where one is damaged, all is done again.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path

from filelock import FileLock, Timeout

from lesionlib.seeds import digest
from study.freshness import code_digest
from study.lab import Lab
from study.marks import STAGE, damaged, read_mark, told, write_mark


def once(step: Callable) -> Callable:
    """A step that looks at its stages once per lab and arguments in this process.

    What it gave is kept on the lab and given again; copy it before changing it.  A lab's settings
    and folders therefore stay as they are: other settings, other data need another lab.
    """

    @wraps(step)
    def kept(lab: Lab, *args, **named):
        call = (step, args, *sorted(named.items()))
        if call not in lab.kept:
            lab.kept[call] = step(lab, *args, **named)
        return lab.kept[call]

    return kept


def stage(
    lab: Lab,
    name: str,
    inputs: dict,
    compute: Callable[[Path], object],
    *roots,
    reads: Iterable[str] = (),
    draws: Path | None = None,
    resumes: bool = False,
    keeps: bool = False,
    shared: dict | None = None,
) -> Path:
    """The folder of a completed stage, computed now if need be.

    Parameters
    ----------
    name : folder below ``runs/<experiment>/``.
    inputs : settings and other JSON-like values on which the result depends.
    compute : does the work in the folder it is given; what it returns is kept as the stage's
        ``content`` (a digest of what it made, where that says more than the key).  What it reads of
        earlier stages it takes from around it; if it called their functions, their code would be its
        own.
    reads : names of the completed stages that it reads.
    draws : another folder that `compute` fills anew.
    roots : code that `compute` uses without naming it, see :func:`study.freshness.closure`.
    resumes : the work goes on from what an interrupted start with the same key left behind;
        otherwise it begins with an empty folder.
    keeps : the folder is emptied only where the code changed: the work itself knows what it can
        still use of a result of other inputs.
    shared : where given, what another experiment completed under the same key, with these same
        values, is taken over.  They are what changes the result without making it out of date.
    """
    code = code_digest(compute, *roots)
    keys = {other: key_of(lab.runs / other) for other in reads}
    key = digest({"inputs": inputs, "reads": keys, "code": code})
    folder = lab.runs / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    if _is_whole(folder, key):
        return folder
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not _is_whole(folder, key):
            found = read_mark(folder / STAGE)
            mark = {"key": key, "code": code, "job": lab.number, "shared": shared}
            goes_on = (resumes and found.get("key") == key) or (keeps and found.get("code") == code)
            was_whole = found.get("complete", (folder / STAGE).exists())
            if was_whole and (harmed := damaged(folder / STAGE)):
                lab.progress(told(name, harmed))
                goes_on = False
            if shared is None or not _taken_over(lab, name, mark):
                _carry_out(folder, compute, mark, goes_on, draws)
    return folder


def _taken_over(lab: Lab, name: str, mark: dict) -> bool:
    """Whether another experiment has completed this stage: its files are then linked, not copied."""
    runs, folder = lab.runs.parent, lab.runs / name
    for other in sorted(found.parent for found in runs.glob(f"*/{glob.escape(name)}/{STAGE}")):
        if other == folder or not _is_whole(other, mark["key"], mark["shared"]):
            continue
        try:
            # not waiting: two experiments that wait for each other would wait for ever
            with FileLock(other.parent / f".{other.name}.lock", timeout=0):
                new = folder.with_name(f".{folder.name}.new")
                shutil.rmtree(new, ignore_errors=True)
                shutil.copytree(other, new, copy_function=_link)
        except Timeout:
            continue
        if _is_whole(new, mark["key"]):
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)
            lab.progress(f"{name}: taken over from {other.relative_to(runs).parts[0]}")
            return True
    return False


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _unlink_from_others(folder: Path) -> None:
    """Give a folder files of its own, where it is about to change some in place."""
    for file in [each for each in folder.rglob("*") if each.is_file() and each.stat().st_nlink > 1]:
        new = file.with_name(f".{file.name}.new")
        shutil.copy2(file, new)
        new.replace(file)


def _carry_out(
    folder: Path, compute: Callable, mark: dict, goes_on: bool, draws: Path | None = None
) -> None:
    if not goes_on:
        shutil.rmtree(folder, ignore_errors=True)
    _unlink_from_others(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_mark(folder / STAGE, mark | {"complete": False})
    content = compute(folder) or mark["key"]
    made = [file for place in (folder, draws) if place for file in place.rglob("[!.]*")]
    made = [file for file in made if file.is_file() and file != folder / STAGE]
    write_mark(folder / STAGE, mark | {"complete": True, "content": content}, made)


def key_of(folder: Path) -> str:
    """What a completed stage passes on to the keys of those that read it."""
    return read_mark(folder / STAGE).get("content", "")


def _is_whole(folder: Path, key: str, shared: dict | None = None) -> bool:
    mark = read_mark(folder / STAGE)
    is_same = mark.get("key") == key and shared in (None, mark.get("shared"))
    return bool(mark.get("complete")) and is_same and not damaged(folder / STAGE)
