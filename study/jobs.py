"""Who is at work on an experiment: one small file per process, so that none is left behind.

A workflow that is killed outright leaves its jobs running, and they would write into folders that
the next start uses.  So each process registers under ``runs/<experiment>/jobs/`` with its number,
its birth (numbers are used again) and the workflow that owns it; the next start ends those whose
owner is gone.  Jobs started by hand have no owner and are left alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from lesionlib.errors import InputError
from lesionlib.files import read_json, write_json
from study.settings import runs_folder

OWNER_VARIABLE = "LESIONLIB_WORKFLOW"
WORKFLOW = "workflow"
BIRTH_SLACK = 2.0  # s; the clock may be set while a process lives


class JobError(Exception):
    """A job failed for a reason that is not the user's input; its text is the line to show."""


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    born: float

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def parse(cls, text: str) -> Process | None:
        pid, _, born = text.partition("@")
        return cls(int(pid), float(born)) if pid else None

    def __str__(self) -> str:
        return f"{self.pid}@{self.born}"

    def find(self) -> psutil.Process | None:
        """The living process, or None; a zombie counts as gone."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.born) < BIRTH_SLACK
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


@contextmanager
def registered(experiment: str, job: str) -> Iterator[None]:
    """Keep this process's file while it works on `job` of an experiment."""
    file = record(experiment, job, os.getpid(), os.environ.get(OWNER_VARIABLE, ""))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def record(experiment: str, job: str, pid: int, owner: str) -> Path:
    """Write the file of a process at work on `job`; returns its path."""
    file = _folder(experiment) / f"{job}.json"
    write_json(file, asdict(Process.of(pid)) | {"owner": owner})
    return file


@contextmanager
def workflow(experiment: str) -> Iterator[str]:
    """Be the one workflow of an experiment; yields the name that its jobs give as their owner.

    Raises InputError while another one is alive.  Orphans of a dead one are ended first.
    """
    file = _folder(experiment) / f"{WORKFLOW}.json"
    other = _read(file)
    if other is not None and other[0].find():
        where = f"process {other[0].pid}"
        raise InputError(f"experiment {experiment} is being run already", where, "Wait, or end it")
    end_orphans(experiment)
    own = str(Process.of(os.getpid()))
    with registered(experiment, WORKFLOW):
        try:
            yield own
        finally:
            end_jobs(experiment, own)


def end_orphans(experiment: str) -> int:
    """End the jobs of workflows that live no more; the number of processes ended."""
    owners = {owner for _, owner in _registered(experiment) if owner}
    gone = [owner for owner in owners if not Process.parse(owner).find()]
    return sum(end_jobs(experiment, owner) for owner in gone)


def end_jobs(experiment: str, owner: str, patience: float = 10.0) -> int:
    """End the jobs of one owner with all their children: asked first, then killed.

    patience : seconds from the asking to the killing.
    """
    ended = []
    for process, its_owner in _registered(experiment):
        living = process.find()
        if its_owner == owner and living is not None and living.pid != os.getpid():
            ended += [living, *_children(living)]
    for process in ended:
        _signal(process.terminate)
    _, stubborn = psutil.wait_procs(ended, timeout=patience)
    for process in stubborn:
        _signal(process.kill)
    psutil.wait_procs(stubborn, timeout=patience)
    for file in _folder(experiment).glob("*.json"):
        known = _read(file)
        if known is None or not known[0].find():
            file.unlink(missing_ok=True)
    return len(ended)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _signal(send) -> None:
    try:
        send()
    except psutil.Error:
        pass  # it ended meanwhile


def _folder(experiment: str) -> Path:
    return runs_folder(experiment) / "jobs"


def _registered(experiment: str) -> list[tuple[Process, str]]:
    found = [_read(file) for file in sorted(_folder(experiment).glob("*.json"))]
    return [known for known in found if known is not None]


def _read(file: Path) -> tuple[Process, str] | None:
    try:
        content = read_json(file, {})
        return Process(content["pid"], content["born"]), content.get("owner", "")
    except (KeyError, ValueError):
        return None
