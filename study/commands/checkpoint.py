"""A finished phantom experiment as one file, from which a class starts at notebook 08.

The file is a tar archive.  Its first member, ``checkpoint.json``, names the experiment, what its
steps were done with, and the SHA-256 of every other member: stages under ``runs/<experiment>/`` as
they are, without the images.  Of the canvases it has those that notebooks 08 to 13 read
(:mod:`study.excerpt`).  What is restored under the same code counts as done.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data_manifest.input_files import input_file
from lesionlib.errors import InputError
from lesionlib.seeds import digest
from study import provenance
from study.excerpt import NOTED, ROWS
from study.marks import STAGE, read_mark, write_mark
from study.runner import run_notebook
from study.settings import checked_name, load_experiment, project_root, runs_folder
from study.workflow import EXCERPT, is_complete

INDEX = "checkpoint.json"
NOTEBOOKS = ("08", "09", "10", "11", "12", "13")
PARTS = ("manifest", "phantom", "store", "windows", "floc", "gmic", "saliency", "fagg*", "search")
PARTS += ("records",)
CANVASES = "store/canvases/canvases.npy"
MOST_BYTES = 60_000_000  # of the file
MOST_UNPACKED = 2**30
REMEDY = "Get the file again"
DAMAGED = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, LookupError)
DAMAGED += (TypeError, AttributeError)


# ------------------------------------------------------------------ writing
def checkpoint(experiment: str, output: Path | None = None) -> Path:
    """Write the checkpoint of an experiment that has been run; returns its file.

    It runs notebooks 08 to 13 once, to see which canvases they read.
    output : by default ``checkpoint_<experiment>.tar.gz`` in the project's folder.
    Raises InputError where the experiment is no phantom, is not complete, or gives too large a file.
    """
    settings = load_experiment(experiment)
    where = f"experiment {experiment}"
    if not settings.is_phantom:
        what = "images of patients are not for handing on"
        raise InputError(what, where, "Name an experiment on the phantom")
    if not is_complete(experiment):
        raise InputError("jobs are still to be run", where, f"Run study run {experiment}")
    target = output or project_root() / f"checkpoint_{experiment}.tar.gz"
    pack(runs_folder(experiment), _rows_read(experiment), target, _origin(settings))
    if target.stat().st_size > MOST_BYTES:
        what = f"{target.stat().st_size} bytes, at most {MOST_BYTES}"
        target.unlink()
        raise InputError(what, target, "Make one of a smaller experiment")
    return target


def _origin(settings) -> dict:
    """What must be the same where a checkpoint is restored, and the commit, to find the code by."""
    return {
        "experiment": settings.name,
        "settings": digest(settings),
        "code": provenance.code_digest(),
        "python": provenance.versions()["python"].rpartition(".")[0],
        "commit": provenance.commit(),
    }


def _rows_read(experiment: str) -> list[int]:
    """The rows of the store that the notebooks read."""
    with tempfile.TemporaryDirectory() as place:
        noted, copy = Path(place) / "rows.txt", Path(place) / "copy.ipynb"
        noted.touch()
        os.environ[NOTED] = str(noted)
        try:
            for number in NOTEBOOKS:  # into a copy: the experiment's own marks stay as they are
                run_notebook(number, experiment, output=copy)
        finally:
            del os.environ[NOTED]
        return sorted({int(line) for line in noted.read_text().splitlines()})


def pack(runs: Path, rows: Iterable[int], target: Path, origin: dict) -> None:
    """Write the checkpoint of what lies in a folder.

    Parameters
    ----------
    runs : of the experiment.
    rows : of the canvases that go with it.
    target : the file.
    origin : content of its index, with the experiment's name.
    """
    with tempfile.TemporaryDirectory(dir=runs) as place:
        staging = Path(place)
        for part in PARTS:
            for folder in runs.glob(part):
                ignored = shutil.ignore_patterns(".*", "images", Path(CANVASES).name)
                shutil.copytree(folder, staging / folder.name, ignore=ignored)
        rows = np.array(sorted(rows), np.int64)
        np.save(staging / CANVASES, np.load(runs / CANVASES, mmap_mode="r")[rows])
        np.save((staging / CANVASES).with_name(ROWS), rows)
        _mark_again(runs, staging, "manifest")
        _mark_again(runs, staging, "store", shared=EXCERPT)  # no other experiment takes it over
        found = sorted(file for file in staging.rglob("*") if file.is_file())
        files = {f.relative_to(staging).as_posix(): _sha256(f.read_bytes()) for f in found}
        content = json.dumps(origin | {"files": files}, indent=1).encode()
        with tarfile.open(target, "w:gz", compresslevel=6) as archive:
            head = tarfile.TarInfo(INDEX)
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))
            for name in files:
                archive.add(staging / name, name, filter=_nameless)


def _mark_again(runs: Path, staging: Path, name: str, **changed) -> None:
    """Let the mark of a stage vouch for what of its files is in the checkpoint."""
    mark = read_mark(runs / name / STAGE) | changed
    listed = [staging / name / file for file in mark.pop("files", {})]
    listed += [(staging / CANVASES).with_name(ROWS)] * (name == "store")
    write_mark(staging / name / STAGE, mark, [file for file in listed if file.is_file()])


def _nameless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


# ------------------------------------------------------------------ restoring
def restore(file: Path) -> Path:
    """Put a checkpoint in place, ``runs/<experiment>/``; returns that folder.

    Raises
    ------
    InputError
        For a file that is no checkpoint or is damaged, one made with other code, settings or
        version of Python, and where the experiment's folder holds something already.
    """
    try:
        with tarfile.open(input_file(file, MOST_BYTES)) as archive:
            index = json.loads(archive.extractfile(archive.next()).read(MOST_BYTES))
            runs = _checked_place(index, file)
            with tempfile.TemporaryDirectory(dir=runs.parent) as place:
                _extract(archive, index["files"], Path(place) / "new")
                shutil.rmtree(runs, ignore_errors=True)
                (Path(place) / "new").rename(runs)
    except InputError:
        raise
    except DAMAGED as error:
        what = f"no checkpoint, or damaged: {type(error).__name__}"
        raise InputError(what, file, REMEDY) from None
    return runs


def _checked_place(index: dict, file: Path) -> Path:
    """The folder that a checkpoint is for; InputError where it does not fit this project."""
    found = _origin(load_experiment(checked_name(index["experiment"])))
    for name in ("python", "settings", "code"):
        if index[name] != found[name]:
            what = f"made with other {name}: {index[name]}, here {found[name]}"
            raise InputError(what, file, f"Take the project at commit {index['commit']}")
    runs = runs_folder(found["experiment"])
    if any(file.is_file() for file in runs.rglob(STAGE)):
        raise InputError("the experiment has been run here", runs, "Rename or delete this folder")
    runs.parent.mkdir(exist_ok=True)
    return runs


def _extract(archive: tarfile.TarFile, files: dict[str, str], place: Path) -> None:
    """Extract the files of an index and no others; InputError where one is not as it was."""
    members, size = [], 0
    for member in archive:  # one after the other, so that none is read once it is too much
        size += member.size
        if size > MOST_UNPACKED or not member.isreg() or member.name.startswith("/"):
            raise tarfile.TarError("too large, no plain file, or an absolute name")
        members.append(member)
    if sorted(member.name for member in members[1:]) != sorted(files):
        raise tarfile.TarError("other members than the index names")
    archive.extractall(place, members[1:], filter="data")
    for name, sha256 in files.items():
        if _sha256((place / name).read_bytes()) != sha256:
            raise InputError("a file of the checkpoint is damaged", name, REMEDY)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
