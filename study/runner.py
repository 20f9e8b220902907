"""Run one notebook, or one stage without a notebook, and say in one line how it ended.

A notebook goes through papermill in this process: its parameters are checked first, its progress is
echoed line by line, its kernel ends with it, and the executed copy stays whatever happens.  A job
that ends well leaves a mark under ``runs/<experiment>/done/``, one that fails a line under
``failed/``; the workflow and the closing message look at nothing else.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import get_type_hints

from filelock import FileLock

from lesionlib import files
from lesionlib.errors import InputError, nearest
from study.desk import kernel_variables
from study.jobs import EndsHere, JobError, end_with_the_run, unforeseen, withheld
from study.marks import write_mark
from study.parameters import changed, explored_folder, known_parameters, literal, read_values
from study.published import write_page
from study.settings import figures_folder, load_experiment, project_root, runs_folder

DEFAULT_EXPERIMENT = "demo"
DATA_VARIABLE = "LESIONLIB_DATA"
LOOK_EVERY = 0.5  # s between two looks at a file that is followed


# ------------------------------------------------------------------ a notebook
def find_notebook(name: str) -> Path:
    """The notebook of a number ("04") or a path; raises InputError where a number has none."""
    if not name.isdigit():
        return Path(name)
    folder = project_root() / "notebooks"
    found = sorted(folder.glob(f"{int(name):02d}_*.ipynb"))
    if len(found) != 1:
        known = [p.stem for p in sorted(folder.glob("[0-9]*.ipynb"))]
        what = f"{len(found)} notebooks are numbered {name}"
        raise InputError(what, folder, nearest(name, known))
    return found[0]


def give_data(settings, data: str) -> None:
    """Name the user's data folder to this process and to those that it starts.

    The first step that looks for the folder remembers it for the next runs of the experiment.
    Raises InputError for a phantom, and for a file in place of a folder.
    """
    if settings.is_phantom:
        where = f"experiment {settings.name}"
        remedy = "Leave DATA= out, or name an experiment that reads a data set"
        raise InputError("this experiment draws its own data", where, remedy)
    folder = Path(os.path.expanduser(data)).resolve()
    if folder.is_file():
        raise InputError("a file, no folder", folder, "Unpack an archive, and give its folder")
    os.environ[DATA_VARIABLE] = str(folder)


def run_notebook(
    name: str,
    experiment: str | None = None,
    given: dict[str, str] | None = None,
    output: Path | None = None,
    data: str | None = None,
) -> Path:
    """Execute a notebook in a kernel of its own; returns the path of the executed copy.

    Parameters
    ----------
    name : number or path of the notebook.
    experiment : value of its parameter of that name; its own default if None.
    given : other parameters as words; each is checked against the notebook's tagged cell.
    output : where the executed copy goes; if None, ``runs/<experiment>/notebooks/``, or for another
        notebook than the project's and for other parameters ``runs/<experiment>/explored/``.
    data : the user's folder, see :func:`give_data`.

    Raises
    ------
    InputError for bad input, found here or inside the notebook; JobError for any other failure.
    """
    path = find_notebook(name)
    known, words = known_parameters(path), dict(given or {})
    if experiment:
        words["experiment"] = experiment
    values = read_values(words, {n: p.type for n, p in known.items()}, path.name)
    default = known["experiment"].default if "experiment" in known else DEFAULT_EXPERIMENT
    settings = load_experiment(values.get("experiment", default))
    if data:
        give_data(settings, data)
    number = path.stem.partition("_")[0]
    runs = runs_folder(settings.name)
    others, progress = changed(values, known), runs / "progress" / f"{number}.log"
    is_written = path.resolve().parent == (project_root() / "notebooks").resolve()
    is_own = not others and is_written and not output
    place = runs / "notebooks" if is_own else explored_folder(runs, number, others)
    target = output or place / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    progress.unlink(missing_ok=True)
    where = f"notebook {path.stem}"
    with _job(settings, number, where, target, is_own), following(progress, partial(say, number)):
        _execute(path, target, values, settings.compute.threads, _log(runs, number))
        if is_own and not settings.is_phantom:
            page = figures_folder(settings.name) / f"{path.stem}.html"
            write_page(target, page, settings)
            written = runs / "written" / f"{number}.json"
            files.write_json(written, sorted({*files.read_json(written, []), page.name}))
    return target


def _execute(path: Path, target: Path, values: dict, threads: int, log: Path) -> None:
    # a check of web addresses that jsonschema can do without takes longer to load than all the rest
    sys.modules.setdefault("rfc3987_syntax", None)
    from nbclient.exceptions import DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    # a kernel takes its variables from here
    os.environ.update(kernel_variables(), OMP_NUM_THREADS=str(threads))
    try:
        execute_notebook(
            *map(literal, (path, target)), values, kernel_name="python3", progress_bar=False,
            cwd=project_root(), extra_arguments=["--log-level=CRITICAL"],
        )  # fmt: skip
    except PapermillExecutionError as error:
        if error.ename != EndsHere.__name__:
            where = f"notebook {path.stem}, cell {error.exec_count}"
            raise _explained(error, where, target, log) from None
        say(path.stem.partition("_")[0], f"ends early: {' '.join(str(error.evalue).split())}")
    except DeadKernelError:
        where = f"notebook {path.stem}"
        raise JobError(f"{where}: its kernel died. Most often the memory was short") from None


def _explained(error, where: str, target: Path, log: Path) -> Exception:
    """The one line of a failed cell: the user's own where it is an InputError.

    Of any other error the executed copy `target` keeps the line alone.
    """
    if error.ename == InputError.__name__:
        return InputError(" ".join(error.evalue.split()))
    text = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error.traceback))  # without its colours
    told = withheld(error.ename, error.evalue, where, text, log)
    notebook = files.read_json(target)
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
        if output["output_type"] == "error":
            output |= {"evalue": "", "traceback": [str(told)]}
    files.write_text(target, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    return told


# ------------------------------------------------------------------ a stage
def run_stage(name: str, experiment: str, words: dict[str, str]) -> None:
    """Run one step of `study.steps.STEPS` with its progress on the terminal.

    words : its arguments by name.  Without ``run``, a step that has runs is carried out for each.
    Raises InputError for an unknown stage, argument or value, JobError for any other failure.
    """
    settings = load_experiment(experiment)
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.compute.threads))
    from study.lab import open_bench  # only now: torch reads the number of threads once
    from study.steps import STEPS

    if name not in STEPS:
        raise InputError(f"unknown stage '{name}'", "command line", nearest(name, STEPS))
    _, *taken = inspect.signature(STEPS[name]).parameters.values()  # the first is the lab
    names, types = [each.name for each in taken], get_type_hints(STEPS[name])
    arguments = read_values(words, {n: types[n] for n in names}, f"stage {name}")
    lacking = [n.name for n in taken if n.default is n.empty and n.name not in words]
    if lacking:
        what, remedy = (
            f"no {lacking[0]} was given",
            f"Give it: --{lacking[0]} VALUE, see study stages",
        )
        raise InputError(what, f"stage {name}", remedy)
    runs = getattr(getattr(settings, name, None), "runs", 1) if "run" in names else 1
    parts = [{"run": run} for run in range(runs)] if runs > 1 and "run" not in words else [{}]
    title = ".".join([name, *words.values()])  # as fagg.E+S, floc.0, search.floc.3
    bench = open_bench(experiment, title)
    bench.progress = partial(say, title)
    with _job(settings, title, f"stage {title}"):
        for part in parts:
            STEPS[name](bench, **arguments, **part)


# ------------------------------------------------------------------ marks, lines, progress
@contextmanager
def _job(
    settings, title: str, where: str, copy: Path | None = None, mark: bool = True
) -> Iterator[None]:
    """Do a job alone, announce its end, and leave its mark, or its line where it fails.

    The mark has no time and holds the numbers recorded, so that what reads them is redone when
    they change, and only then.  A second one, of no consequence for others, vouches for the first,
    for the records, the results with their list and the executed `copy` of a notebook, and says
    what the job took: `seconds` by the clock, and `cpu_seconds` and the most memory, `peak_mb`, of its
    process and those that it started.
    """
    runs, start = runs_folder(settings.name), time.monotonic()
    failed, done = runs / "failed" / f"{title}.txt", runs / "done" / f"{title}.json"
    written = runs / "written" / f"{title}.json"
    (runs / "jobs").mkdir(parents=True, exist_ok=True)
    end_with_the_run(runs)
    with FileLock(runs / "jobs" / f"{title}.lock"):
        for file in (failed, _log(runs, title)):
            file.unlink(missing_ok=True)
        if mark:
            done.unlink(missing_ok=True)
            written.unlink(missing_ok=True)
        say(title, "starts")
        try:
            yield
        except BrokenPipeError:
            raise
        except Exception as error:
            foreseen = isinstance(error, (InputError, JobError))
            told = error if foreseen else unforeseen(error, where, _log(runs, title))
            kind = "input" if isinstance(error, InputError) else "job"
            files.write_text(failed, f"{kind}: {told}\n")
            say(title, "failed")
            raise told from None
        if mark:
            kept, figures = runs / "records" / f"{title}.json", figures_folder(settings.name)
            content = {"experiment": settings.name, "job": title}
            files.write_json(done, content | {"records": files.read_json(kept, {})})
            results = files.read_json(written, [])
            left = [done, kept, copy, written, *(figures / name for name in results)]
            found = [file for file in left if file and file.is_file()]
            took = {"seconds": round(time.monotonic() - start, 1)} | _used()
            write_mark(runs / "jobs" / f"{title}.json", took, found)
    say(title, f"done in {time.monotonic() - start:.0f} s")


def _log(runs: Path, title: str) -> Path:
    """Where what an unforeseen error says is kept, until the job is done again."""
    return runs / "failed" / f"{title}.log"


def _used() -> dict[str, float]:
    """CPU seconds of this process, with its start, and of those that it has started and that have
    ended, and the most memory that one of them had (MB of 2**20 bytes).
    """
    used = [*map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))]
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss: bytes there, KiB elsewhere
    return {
        "cpu_seconds": round(sum(each.ru_utime + each.ru_stime for each in used), 1),
        "peak_mb": round(max(each.ru_maxrss for each in used) / unit),
    }


def say(title: str, message: str) -> None:
    """One line on the terminal, under the name of its job."""
    print(f"{title:>16} | {message}", flush=True)


@contextmanager
def following(file: Path, show: Callable[[str], None]) -> Iterator[None]:
    """Show each line that is written to a file while the block lasts."""
    over = threading.Event()
    thread = threading.Thread(target=_show_lines, args=(file, show, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)


def _show_lines(file: Path, show: Callable[[str], None], over: threading.Event) -> None:
    position, last = 0, False
    while not last:
        last = over.wait(LOOK_EVERY)
        text = file.read_bytes() if file.is_file() else b""
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole[position:].decode(errors="replace").splitlines():
            show(line)
        position = len(whole)
