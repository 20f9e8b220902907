"""Run one notebook, or one stage without a notebook, and say in one line how it ended.

A notebook goes through papermill in this process: its parameters are checked first, its progress is
echoed line by line, its kernel ends with it, and the executed copy stays whatever happens.  A job
that ends well leaves a mark under ``runs/<experiment>/done/``, one that fails a line under
``failed/``, which is all that the workflow and the closing message look at.
"""

from __future__ import annotations

import inspect
import os
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from lesionlib import files
from lesionlib.errors import InputError, nearest
from lesionlib.seeds import digest
from study import jobs, parameters, provenance
from study.jobs import JobError
from study.settings import load_experiment, project_root, runs_folder

DEFAULT_EXPERIMENT = "demo"
LOOK_EVERY = 0.5  # s between two looks at a progress file


# ------------------------------------------------------------------ a notebook
def find_notebook(name: str) -> Path:
    """The notebook of a number ("04") or a path; raises InputError where there is none."""
    folder = project_root() / "notebooks"
    if name.isdigit():
        found = sorted(folder.glob(f"{int(name):02d}_*.ipynb"))
        if len(found) != 1:
            known = [p.stem for p in sorted(folder.glob("[0-9]*.ipynb"))]
            raise InputError(
                f"{len(found)} notebooks are numbered {name}", folder, nearest(name, known)
            )
        return found[0]
    if not Path(name).is_file():
        raise InputError("there is no such notebook", name, "Give its number or its path")
    return Path(name)


def run_notebook(
    name: str,
    experiment: str | None = None,
    given: dict[str, str] | None = None,
    output: Path | None = None,
) -> Path:
    """Execute a notebook in a kernel of its own; returns the executed copy.

    Parameters
    ----------
    name : number or path of the notebook.
    experiment : value of its parameter of that name; its own default if None.
    given : other parameters as words; each is checked against the notebook's tagged cell.
    output : where the executed copy goes, ``runs/<experiment>/notebooks/`` if None.

    Raises InputError for bad input, found here or inside the notebook, JobError for any other
    failure; the executed copy then holds the traceback.
    """
    path = find_notebook(name)
    words = ({"experiment": experiment} if experiment else {}) | (given or {})
    values = parameters.parsed_parameters(path, words)
    known = parameters.known_parameters(path)
    default = known["experiment"].value if "experiment" in known else DEFAULT_EXPERIMENT
    experiment = values.get("experiment", default)
    settings = load_experiment(experiment)
    number = path.stem.partition("_")[0]
    target = output or runs_folder(experiment) / "notebooks" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with job(experiment, number), following(experiment, number):
        _execute(path, target, values, settings)
        if output is None and not (given or {}):
            _mark_done(settings, number)
    return target


def _execute(path: Path, target: Path, values: dict, settings) -> None:
    from nbclient.exceptions import DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    # a kernel takes its variables from here; the order of sets and the sums of threads are fixed
    os.environ.update(PYTHONHASHSEED="0", OMP_NUM_THREADS=str(settings.compute.threads))
    try:
        execute_notebook(
            path.resolve(), target.resolve(), values, kernel_name="python3", progress_bar=False,
            cwd=project_root(), extra_arguments=["--log-level=CRITICAL"],
        )  # fmt: skip
    except PapermillExecutionError as error:
        raise _explained(error, path, target) from None
    except DeadKernelError:
        where = f"notebook {path.stem}"
        raise JobError(f"{where}: its kernel died. Most often the memory was short") from None


def _explained(error, path: Path, target: Path) -> Exception:
    """The one line of a failed cell: the user's own where it is an InputError."""
    said = " ".join(str(error.evalue).split())
    if error.ename == InputError.__name__:
        return InputError(said)
    what = "a check failed" if error.ename == "AssertionError" else f"{error.ename} was raised"
    place = f"notebook {path.stem}, cell {error.exec_count}"
    return JobError(
        f"{what}: {said or 'no message'} ({place}). The traceback is in {_short(target)}"
    )


# ------------------------------------------------------------------ a stage
def run_stage(name: str, experiment: str, words: dict[str, str]) -> None:
    """Run one function of :mod:`study.steps` with its progress on the terminal.

    words : its arguments, by name; ``run`` left out means all runs of the settings' block of the
    stage's name.  Raises InputError for an unknown stage or argument.
    """
    settings = load_experiment(experiment)
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.compute.threads))
    from study import steps
    from study.lab import open_bench

    function = _stage_function(steps, name)
    arguments = _stage_arguments(function, words)
    title = stage_title(name, words)
    bench = open_bench(experiment, title)
    bench.progress = lambda message: say(title, message)
    with job(experiment, title):
        try:
            for part in _runs(function, arguments, getattr(settings, name, None)):
                function(bench, **part)
        except (InputError, KeyboardInterrupt):
            raise
        except Exception as error:
            log = runs_folder(experiment) / "failed" / f"{title}.traceback.txt"
            files.write_text(log, traceback.format_exc())
            what = f"{type(error).__name__} was raised: {' '.join(str(error).split())}"
            raise JobError(f"{what} (stage {title}). The traceback is in {_short(log)}") from None
        _mark_done(settings, title)


def stage_title(name: str, words: dict[str, str]) -> str:
    """The name of a stage's job: ``fagg.E+S``, ``floc.0``, ``search.floc``."""
    return ".".join([name, *(str(value) for value in words.values())])


def _stage_function(steps, name: str) -> Callable:
    functions = {n: getattr(steps, n) for n in steps.__all__}
    stages = {n: f for n, f in functions.items() if "lab" in inspect.signature(f).parameters}
    if name not in stages:
        raise InputError(f"unknown stage '{name}'", "command line", nearest(name, stages))
    return stages[name]


def _stage_arguments(function: Callable, words: dict[str, str]) -> dict[str, object]:
    known = dict(list(inspect.signature(function).parameters.items())[1:])
    for name in words:
        if name not in known:
            what = f"stage {function.__name__} has no argument '{name}'"
            raise InputError(
                what, "command line", nearest(name, known) if known else "Leave it out"
            )
    kinds = {n: str(known[n].annotation).partition(" ")[0] for n in words}
    return {n: parameters.parsed(text, kinds[n], n) for n, text in words.items()}


def _runs(function: Callable, arguments: dict, block) -> list[dict]:
    if "run" not in inspect.signature(function).parameters or "run" in arguments:
        return [arguments]
    return [arguments | {"run": run} for run in range(getattr(block, "runs", 1))]


# ------------------------------------------------------------------ marks, lines, progress
@contextmanager
def job(experiment: str, title: str):
    """Register a job, announce its end, and keep its line where it fails."""
    failed = runs_folder(experiment) / "failed" / f"{title}.txt"
    failed.unlink(missing_ok=True)
    start = time.monotonic()
    say(title, "starts")
    with jobs.registered(experiment, title):
        try:
            yield
        except (InputError, JobError) as error:
            kind = "input" if isinstance(error, InputError) else "job"
            files.write_text(failed, f"{kind}: {error}\n")
            say(title, "failed")
            raise
    say(title, f"done in {time.monotonic() - start:.0f} s")


def say(title: str, message: str) -> None:
    """One line on the terminal, under the name of its job."""
    print(f"{title:>16} | {message}", flush=True)


@contextmanager
def following(experiment: str, number: str):
    """Echo what a notebook writes to its progress file while the block lasts."""
    file = runs_folder(experiment) / "progress" / f"{number}.log"
    file.unlink(missing_ok=True)
    over = threading.Event()
    thread = threading.Thread(target=_echo_lines, args=(file, number, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)


def _echo_lines(file: Path, title: str, over: threading.Event) -> None:
    position = 0
    while True:
        last = over.wait(LOOK_EVERY)
        if file.is_file():
            text = file.read_bytes()
            whole = text[position:].rpartition(b"\n")[0]
            for line in whole.decode(errors="replace").splitlines():
                say(title, line)
            position += len(whole) + bool(whole)
        if last:
            return


def _mark_done(settings, title: str) -> None:
    """The mark of a job that ended well; without a time, so that the same work leaves the same."""
    content = {
        "experiment": settings.name,
        "job": title,
        "settings_digest": digest(settings),
        "code_digest": provenance.code_digest(),
    }
    files.write_json(runs_folder(settings.name) / "done" / f"{title}.json", content)


def _short(path: Path) -> str:
    """A path as a user in the project's folder would type it."""
    try:
        return path.resolve().relative_to(project_root().resolve()).as_posix()
    except ValueError:
        return str(path)
