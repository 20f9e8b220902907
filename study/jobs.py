"""One run of an experiment at a time, whose jobs end when it ends.

A run holds a lock, which the system frees however the process ends, and the one open end of a pipe
that Snakemake and all its jobs have as standard input.  Nothing is written to it: when the run is
gone, even by ``kill -9``, the pipe closes, and each of them ends itself.  A job that a cluster has
started has another standard input: it looks at the record that the run touches, on the disk that
they share.  Jobs started by hand know of no pipe.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from lesionlib.errors import InputError
from lesionlib.files import read_json, write_json, write_text
from study.settings import project_root, runs_folder

PIPE = "LESIONLIB_WORKFLOW"  # variable of a run's jobs: which pipe is theirs
STOPPED = 130  # exit code of a process that Ctrl-C has ended
PATIENCE = 5.0  # s that a process has for ending in order
BEAT, SILENT = 10.0, 60.0  # s between two signs of life of a run, and without one until it is dead
LOST = 300.0  # s without one until a job on a cluster gives up: a shared disk may show it late
RECORD = Path("jobs", "run.json")  # below runs/<experiment>: who runs it
BOOT = Path("/proc/sys/kernel/random/boot_id")  # of Linux; elsewhere the host's name stands for it

# glibc then keeps freed memory, in huge pages: otherwise every large array is paged in anew, which
# costs a training on the CPU a quarter of its time.  No number changes; other systems ignore it
TUNABLES = "GLIBC_TUNABLES"
KEEPS_MEMORY = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {"hugetlb": 1, "mmap_threshold": 2**30, "trim_threshold": 2**30}.items()
)

# what takes no files, and what helps
ROOM, RIGHTS = "Make room on the disk", "Make it writable, or work on a copy of the project"
UNWRITABLE = {errno.ENOSPC: ROOM, errno.EDQUOT: ROOM}
UNWRITABLE |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), RIGHTS)
# a file in the place of a folder, or the other way round
NAME = "Make the name free, or give another"
UNWRITABLE |= dict.fromkeys((errno.EEXIST, errno.EISDIR, errno.ENOTDIR), NAME)
ROOMS = ("study.", "data_manifest.", "lesionlib.")
# where the tools that a job uses keep files of their own
AT_HOME = ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")


class EndsHere(InputError):
    """Ends a notebook before its last cell with nothing wrong: the rest needs what is not there."""

    def _render_traceback_(self) -> list[str]:
        return [f"The notebook ends here: {self}"]


class JobError(Exception):
    """A job failed for a reason that is not the user's input; its text is the line to show."""


def unforeseen(error: BaseException, where: str, log: Path) -> JobError:
    """As :func:`withheld`, of an error of this process: the place is the last of our own code."""
    steps = traceback.walk_tb(error.__traceback__)
    places = [f"{frame.f_globals.get('__name__')}:{line}" for frame, line in steps]
    last = ([p for p in places if p.startswith(ROOMS)] or places or ["unknown"])[-1]
    text = "".join(traceback.format_exception(error))
    return withheld(type(error).__name__, str(error), f"{where}, {last}", text, log)


def withheld(kind: str, said: str, where: str, text: str, log: Path) -> JobError:
    """The line of an error that nobody foresaw: its kind and its place, not what it says.

    That may quote a table or a header, and so a patient's id: it is kept in `log` alone.

    kind, said : of the exception.  text : its traceback.
    """
    what = "a check failed" if kind == "AssertionError" else f"{kind} was raised"
    cure, found = "", re.match(r"\[Errno (\d+)\]", said)
    if found:
        number = int(found[1])
        what, cure = f"{what}: {os.strerror(number)}", UNWRITABLE.get(number, "")
    with contextlib.suppress(OSError):
        write_text(log, text)
        short = Path(os.path.relpath(log, project_root())).as_posix()
        cure = cure or f"What it says, which may name a patient, is in {short}"
    return JobError(f"{what} ({where}). {cure}".strip())


@contextmanager
def only_run(experiment: str) -> Iterator[None]:
    """Be the one run of an experiment.

    Raises InputError while another one goes on, here or on a machine that shares the folder.
    """
    record = runs_folder(experiment) / RECORD
    record.parent.mkdir(parents=True, exist_ok=True)
    lock = record.with_suffix(".lock")
    try:
        with FileLock(lock).acquire(timeout=0), _alive(record, lock):
            yield
    except Timeout:
        holder = {"process": "unknown", "host": "unknown"} | read_json(record, {})
        where = "process {process} on {host}".format(**holder)
        what = f"experiment {experiment} is being run already"
        raise InputError(what, where, "Wait, or end it") from None


@contextmanager
def _alive(record: Path, clock: Path) -> Iterator[None]:
    """Say in a file who runs, and touch it: some shared disks keep a lock from other machines.

    clock : a file of ours on that disk, whose own time is compared.
    Raises Timeout where another machine has touched the record lately.
    """
    boot = BOOT.read_text().strip() if BOOT.is_file() else socket.gethostname()
    os.utime(clock)
    silence = clock.stat().st_mtime - record.stat().st_mtime if record.is_file() else SILENT
    if silence < SILENT and read_json(record, {}).get("boot", boot) != boot:
        raise Timeout(str(record))
    write_json(record, {"process": os.getpid(), "host": socket.gethostname(), "boot": boot})
    over = threading.Event()
    thread = threading.Thread(target=_touch, args=(record, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        record.unlink(missing_ok=True)


def _touch(record: Path, over: threading.Event) -> None:
    while not over.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(record)


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
        process.wait()  # it ends with the run, too


def end_with_the_run(runs: Path | None = None) -> None:
    """In Snakemake and its jobs: stop when the run is gone.  Elsewhere nothing is done.

    runs : a job's folder ``runs/<experiment>``; None in Snakemake.
    """
    pipe, over = os.environ.get(PIPE), None
    if pipe == _identity(0):
        over = partial(os.read, 0, 1)
    elif pipe and runs:
        over = partial(_await_silence, runs / RECORD)
    if not over:
        return
    by = signal.SIGTERM
    if not runs and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        by = signal.SIGINT  # at this one Snakemake cancels what a cluster has of it
        signal.signal(by, _stop_once)
    threading.Thread(target=_await_the_end, args=(over, by), daemon=True).start()


def _stop_once(number, frame):
    """Ctrl-C comes from the terminal and from the run: the second would cut short what the first does."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _await_the_end(over: Callable, by: signal.Signals) -> None:
    over()
    end_soon()
    os.kill(os.getpid(), by)


def _await_silence(record: Path) -> None:
    """Wait until a run's record is gone, tells of another run, or was not touched for long.

    Its times are compared with each other alone: two machines' clocks may differ.
    """
    run, beat, heard = read_json(record, {}), None, time.monotonic()
    is_same = bool(run)
    while is_same and time.monotonic() - heard < LOST:
        time.sleep(BEAT)
        with contextlib.suppress(OSError):
            is_same = read_json(record, {}) == run
            if (found := record.stat().st_mtime) != beat:
                beat, heard = found, time.monotonic()


def end_soon() -> None:
    """End this process in a while, whatever it waits for then: a kernel, a pool, a full pipe."""

    def end() -> None:
        time.sleep(PATIENCE)
        os._exit(STOPPED)

    threading.Thread(target=end, daemon=True).start()


def provide_home() -> None:
    """Where the home folder takes no files, a temporary one serves the tools, until the end."""
    if not os.access(Path.home(), os.W_OK):
        place = tempfile.mkdtemp(prefix="study-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        for name in AT_HOME:
            os.environ.setdefault(name, place)


def _identity(descriptor: int) -> str:
    state = os.fstat(descriptor)
    return f"{state.st_dev}:{state.st_ino}"
