"""No experiment is run twice at once, and no job outlives its run, however the run ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from toy_project import NUMBERS, make_project, variables, write_notebook

from lesionlib.errors import InputError
from study import jobs

# a job that goes on for a minute and shows that it does
BEATS = (
    "import os, time\nfrom pathlib import Path\n"
    "for k in range(600):\n"
    "    Path('beat').write_text(f'{os.getpid()} {os.getppid()}')\n    time.sleep(0.1)"
)
SOON = 30.0  # s


@pytest.fixture
def project(tmp_path):
    """A toy project whose first job does not come to an end by itself."""
    make_project(tmp_path)
    for number in NUMBERS:
        write_notebook(tmp_path, number, BEATS if number == "01" else "1")
    return tmp_path


def wait_for(what, seconds: float = SOON):
    """The first true answer of a question; fails after a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"nothing after {seconds:g} s")


def living(processes) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def started_run(project) -> tuple[subprocess.Popen, list[psutil.Process]]:
    """A run with a job at work, and all its processes: Snakemake, the job, its kernel."""
    command = [sys.executable, "-m", "study", "run", "toy", "--cores", "1"]
    run = subprocess.Popen(
        command, cwd=project, env=variables(project), start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for((project / "beat").is_file)
    family = psutil.Process(run.pid).children(recursive=True)
    assert len(family) >= 3
    return run, family


def kill_run(run, family):
    os.kill(run.pid, signal.SIGKILL)


def kill_snakemake(run, family):
    family[0].kill()


def interrupt_all(run, family):
    os.killpg(run.pid, signal.SIGINT)


def end_run(run, family):
    os.kill(run.pid, signal.SIGTERM)


ENDS = {
    kill_run: (-9, ""),
    kill_snakemake: (1, "error: Snakemake was ended by signal 9"),
    interrupt_all: (130, "stopped. The same command goes on from here"),
    end_run: (130, "stopped. The same command goes on from here"),
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_nothing_goes_on_when_a_run_ends(project, monkeypatch, end):
    monkeypatch.setattr(jobs, "runs_folder", lambda experiment: project / "runs" / experiment)
    run, family = started_run(project)
    where = f"being run already .process {run.pid} on {socket.gethostname()}.. Wait, or end it"
    with pytest.raises(InputError, match=where), jobs.only_run("toy"):
        raise AssertionError("two runs of one experiment")
    end(run, family)
    code, said = ENDS[end]
    error = run.communicate(timeout=SOON)[1]
    assert run.returncode == code
    assert error.startswith(said) and len(error.splitlines()) == bool(said)
    wait_for(lambda: not living(family))
    with jobs.only_run("toy"), jobs.only_run("two"):  # the next start is not held up
        pass


def test_a_job_by_hand_goes_on_without_standard_input(tmp_path):
    """Trap: batch systems hand a run's variables on, with another standard input or an empty one."""
    lines = "from study import jobs\nimport time\njobs.end_with_the_run()\ntime.sleep(1)"
    for given in ({}, {jobs.PIPE: "1:2"}):
        done = subprocess.run(
            [sys.executable, "-c", lines], env=variables(tmp_path) | given, input=b"", timeout=SOON,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0
