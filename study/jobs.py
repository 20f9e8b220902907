"""One run of an experiment at a time, whose jobs end when it ends.

A run holds a lock, which the system frees however the process ends, and the one open end of a pipe
that all its jobs have as standard input.  Nothing is written to it: when the run is gone, even by
``kill -9``, the pipe closes, and each job ends itself.  Jobs started by hand have no such pipe.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from lesionlib.errors import InputError
from lesionlib.files import read_json, write_json
from study.settings import runs_folder

PIPE = "LESIONLIB_WORKFLOW"  # variable of a run's jobs: which pipe is theirs
STOPPED = 130  # exit code of a process that Ctrl-C has ended
PATIENCE = 10.0  # s that a job has for ending in order


class EndsHere(InputError):
    """Ends a notebook before its last cell with nothing wrong: the rest needs what is not there."""

    def _render_traceback_(self) -> list[str]:
        return [f"The notebook ends here: {self}"]


class JobError(Exception):
    """A job failed for a reason that is not the user's input; its text is the line to show."""


@contextmanager
def only_run(experiment: str) -> Iterator[None]:
    """Be the one run of an experiment.

    Raises InputError while another one goes on, here or on a machine that shares the folder.
    """
    folder = runs_folder(experiment) / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "run.lock").acquire(timeout=0):
            holder = {"process": os.getpid(), "host": socket.gethostname()}
            write_json(folder / "run.json", holder)
            yield
    except Timeout:
        holder = read_json(folder / "run.json", {"process": "unknown", "host": "unknown"})
        where = "process {process} on {host}".format(**holder)
        what = f"experiment {experiment} is being run already"
        raise InputError(what, where, "Wait, or end it") from None


@contextmanager
def started(words: list[str], variables: dict[str, str], **options) -> Iterator[subprocess.Popen]:
    """A program whose jobs end with the block, or with this process; waits for the program itself.

    variables : its environment.  options : those of `subprocess.Popen` except standard input.
    """
    end, alive = os.pipe()
    variables = variables | {PIPE: _identity(end)}
    process = subprocess.Popen(words, stdin=end, env=variables, **options)
    os.close(end)
    try:
        yield process
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        raise
    finally:
        os.close(alive)
        process.wait()


def end_with_the_run() -> None:
    """In a job of a run: stop when the run is gone.  Elsewhere nothing is done."""
    if os.environ.get(PIPE) == _identity(0):
        threading.Thread(target=_await_the_end, daemon=True).start()


def _await_the_end() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(STOPPED)


def _identity(descriptor: int) -> str:
    state = os.fstat(descriptor)
    return f"{state.st_dev}:{state.st_ino}"
