"""Run a whole experiment: check it, clear what a killed run left, hand over to Snakemake.

Snakemake owns the order and runs jobs side by side; its own log goes to
``runs/<experiment>/workflow.log``.  The terminal shows the jobs' lines and the share done, and at
the end either where the results lie or, last, the one line that says what failed.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from lesionlib.errors import InputError
from lesionlib.seeds import digest
from study import jobs
from study.jobs import JobError
from study.parameters import INJECTED_TAG, read_notebook, tagged
from study.runner import find_notebook, say
from study.settings import load_experiment, project_root, runs_folder

NOTEBOOKS = tuple(f"{number:02d}" for number in range(14))
DATA_VARIABLE = "LESIONLIB_DATA"
STEPS = re.compile(r"(\d+) of (\d+) steps")


# ------------------------------------------------------------------ what the Snakefile asks
def notebook_file(number: str) -> Path:
    """A notebook's path relative to the project, as Snakemake wants it."""
    return find_notebook(number).relative_to(project_root())


def code_cells(notebook) -> list:
    """The code cells as the author wrote them: no injected parameters, no empty cell."""
    cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    return [c for c in cells if not tagged(c, INJECTED_TAG)]


def notebook_digest(path: Path) -> str:
    """Digest of a notebook's code; its text and outputs do not redo a run."""
    cells = code_cells(read_notebook(project_root() / path))
    return hashlib.sha256("\0".join(c.source for c in cells).encode()).hexdigest()[:16]


def data_state(experiment: str) -> str:
    """Digest of the folder that a real set is read from and of its tables; empty for the phantom.

    Raises InputError where the folder is not known or not there.
    """
    from study import steps
    from study.lab import open_bench

    bench = open_bench(experiment)
    folder = steps.data_folder(bench)
    return "" if bench.is_phantom else digest([str(folder.resolve()), steps.fingerprint(folder)])


# ------------------------------------------------------------------ checks
def check(experiment: str, data: str | None = None):
    """The settings of an experiment whose data folder is there; InputError otherwise.

    data : the user's folder, kept for this process and for the next runs of this experiment.
    """
    settings = load_experiment(experiment)
    if data and settings.is_phantom:
        remedy = "Leave DATA= out, or name an experiment that reads a data set"
        raise InputError("this experiment draws its own data", f"experiment {experiment}", remedy)
    if data:
        os.environ[DATA_VARIABLE] = str(Path(data).expanduser().resolve())
    data_state(experiment)
    return settings


def unfinished(experiment: str) -> int:
    """Number of jobs that a run of an experiment would start now: 0 where all is up to date."""
    words = [*_command(experiment, 1), "--dry-run", "--quiet", "rules"]
    done = subprocess.run(
        words, cwd=project_root(), env=_environment(), capture_output=True, text=True, check=False
    )
    if "Nothing to be done" in done.stdout + done.stderr:
        return 0
    total = re.search(r"^total\s+(\d+)", done.stdout + done.stderr, re.MULTILINE)
    return int(total.group(1)) - 1 if total else len(NOTEBOOKS)


# ------------------------------------------------------------------ the run
def run_experiment(experiment: str, data: str | None = None, cores: int | None = None) -> None:
    """Run every notebook of an experiment that is not up to date.

    cores : jobs side by side; all cores of the machine if None.
    Raises InputError or JobError with the first failed job's line.
    """
    check(experiment, data)
    cores, start = cores or os.cpu_count() or 1, time.monotonic()
    with jobs.workflow(experiment) as owner:
        for file in (runs_folder(experiment) / "failed").glob("*"):
            file.unlink()
        print(f"experiment {experiment} on {cores} cores", flush=True)
        code, finished = _snakemake(experiment, cores, owner)
    if code:
        raise _failure(experiment, code)
    root = project_root()
    took = f"{finished} jobs in {time.monotonic() - start:.0f} s" if finished else "nothing to redo"
    print(
        f"experiment {experiment} is complete: {took}\n"
        f"  figures and tables  {_below(root, root / 'figures' / experiment)}\n"
        f"  executed notebooks  {_below(root, runs_folder(experiment) / 'notebooks')}"
    )


def _snakemake(experiment: str, cores: int, owner: str) -> tuple[int, int]:
    """Exit code of Snakemake and the number of jobs it ran."""
    process = subprocess.Popen(
        _command(experiment, cores),
        cwd=project_root(),
        env=_environment() | {jobs.OWNER_VARIABLE: owner},
        stderr=subprocess.PIPE,
        text=True,
    )
    jobs.record(experiment, "snakemake", process.pid, owner)
    try:
        finished = _follow(process.stderr, runs_folder(experiment) / "workflow.log")
        return process.wait(), finished
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        raise


def _command(experiment: str, cores: int) -> list[str]:
    words = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile"]
    words += ["--profile", "workflow/profiles/local", "--cores", str(cores)]
    return [*words, "--config", f"experiment={experiment}"]


def _environment() -> dict[str, str]:
    """This process's variables, with this Python's commands first in the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"}


def _follow(lines, log: Path) -> int:
    """Keep Snakemake's log and show the share done; the number of jobs it finished."""
    finished = 0
    with open(log, "w", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            file.flush()
            share = STEPS.search(line)
            if share:
                finished, total = map(int, share.groups())
                say("", f"{finished} of {total} jobs done")
    return finished


def _failure(experiment: str, code: int) -> Exception:
    """The line of the first job that failed, or what Snakemake's log tells of its end."""
    files = sorted((runs_folder(experiment) / "failed").glob("*.txt"))
    lines = [f.read_text(encoding="utf-8").strip() for f in files if ".traceback" not in f.name]
    for kind, error in (("input", InputError), ("job", JobError)):
        for line in lines:
            if line.startswith(f"{kind}: "):
                return error(line.removeprefix(f"{kind}: "))
    log = runs_folder(experiment) / "workflow.log"
    text = log.read_text(encoding="utf-8")
    rules = re.findall(r"Error in rule (\w+)", text)
    said = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    ended = f"Snakemake ended with code {code}: {said[-1]}"
    if rules:
        ended = f"job {rules[0]} ended without a word, as when the memory is short"
    elif code < 0:
        ended = f"Snakemake was ended by signal {-code}"
    return JobError(f"{ended} (its log: {_below(project_root(), log)})")


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
