"""No experiment is run twice at once, and no job outlives its run, however the run ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from toy_project import NUMBERS, ROOT, call, make_project, variables, write_notebook

from lesionlib.errors import InputError
from lesionlib.files import read_json, write_json
from study import __main__ as command_line
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
    folder = make_project(tmp_path / "project")
    for number in NUMBERS:
        write_notebook(folder, number, BEATS if number == "01" else "1")
    return folder


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
        # a test run that a script put into the background ignores it, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    wait_for((project / "beat").is_file, seconds=300)  # a busy machine starts it slowly
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


SYSTEM = Path("/sys/kernel")  # in which nobody can make a folder


@pytest.mark.skipif(not SYSTEM.is_dir(), reason="no Linux system folder that takes no files")
def test_a_disk_that_takes_no_files_is_one_line(project):
    (project / "runs").symlink_to(SYSTEM)
    for words in ("run toy", "notebook 00", "stage floc --experiment toy"):
        done = call(project, "study", *words.split())
        assert done.returncode == 1
        assert re.fullmatch(r"error: .* \(.*runs/toy.*\)\. Make it writable.*\n", done.stderr), (
            words
        )


@pytest.mark.parametrize("number", jobs.UNWRITABLE)
def test_a_full_disk_is_one_line(monkeypatch, capsys, number):
    def carry_out(words):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(command_line, "carry_out", carry_out)
    assert command_line.main([]) == 1
    assert re.fullmatch(r"error: .* \(a file of the project\)\. Make .*\n", capsys.readouterr().err)


def test_a_linked_project_and_a_home_that_takes_no_files_serve(project, tmp_path):
    (tmp_path / "link").symlink_to(project)
    write_notebook(project, "01", "from matplotlib import pyplot")
    home = {"HOME": str(SYSTEM / "nobody"), "LESIONLIB_ROOT": str(tmp_path / "link")}
    said = {"notebook 01 --experiment toy": "", "check toy --complete": "jobs are still to be run"}
    for words, end in said.items():
        done = subprocess.run(
            [sys.executable, "-m", "study", *words.split()], cwd=tmp_path / "link",
            env=variables(project) | home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert end in done.stderr and len(done.stderr.splitlines()) == bool(end), done.stderr
    text = (project / "runs" / "toy" / "notebooks" / "01_toy.ipynb").read_text()
    assert "writable" not in text, "a warning of a tool"


def other_machine(folder, silence: float):
    """Leave the record of a run on a machine whose lock is not seen here."""
    record = folder / "runs" / "toy" / "jobs" / "run.json"
    write_json(record, {"process": 7, "host": "elsewhere", "boot": "another"})
    os.utime(record, (time.time() - silence, time.time() - silence))
    return record


def test_a_run_on_another_machine_is_seen_without_its_lock(project, monkeypatch):
    monkeypatch.setattr(jobs, "runs_folder", lambda experiment: project / "runs" / experiment)
    monkeypatch.setattr(jobs, "BEAT", 0.05)
    other_machine(project, silence=5)
    with pytest.raises(InputError, match="process 7 on elsewhere"), jobs.only_run("toy"):
        raise AssertionError("two runs of one experiment")
    record = other_machine(project, silence=2 * jobs.SILENT)
    with jobs.only_run("toy"):
        assert read_json(record)["process"] == os.getpid()
        os.utime(record, (0, 0))
        wait_for(lambda: record.stat().st_mtime > 0)
    assert not record.exists()


def other_run(record):
    write_json(record, {"process": 8})


def silence(record):
    pass


@pytest.mark.parametrize("end", [Path.unlink, other_run, silence], ids=lambda end: end.__name__)
def test_a_job_that_a_cluster_started_ends_with_its_run(tmp_path, end):
    """It has no pipe, and sees only the run's record."""
    record = tmp_path / jobs.RECORD
    record.parent.mkdir()
    write_json(record, {"process": 7})
    lines = (
        "from pathlib import Path\nimport time\nfrom study import jobs\n"
        "jobs.BEAT, jobs.LOST = 0.1, 5.0\njobs.end_with_the_run(Path())\n"
        "print('starts', flush=True)\ntime.sleep(60)"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", lines], cwd=tmp_path, env=variables(tmp_path) | {jobs.PIPE: "1:2"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    job.stdout.readline()
    for _ in range(70):
        record.touch()
        time.sleep(0.1)
    assert job.poll() is None
    end(record)
    assert job.wait(SOON) == -signal.SIGTERM


def test_ctrl_c_while_the_packages_are_read_leaves_no_traceback(tmp_path):
    """Trap: in the first second of a job nobody catches it yet, and Python shows where it was."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Struck:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'study.settings':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Struck())\n"
    )
    search = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "study", "stages"], env=variables(tmp_path) | {"PYTHONPATH": search},
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "") and done.returncode == -signal.SIGINT


def test_a_job_by_hand_goes_on_without_standard_input(tmp_path):
    """Trap: batch systems hand a run's variables on, with another standard input or an empty one."""
    lines = "from study import jobs\nimport time\njobs.end_with_the_run()\ntime.sleep(1)"
    for given in ({}, {jobs.PIPE: "1:2"}):
        done = subprocess.run(
            [sys.executable, "-c", lines], env=variables(tmp_path) | given, input=b"", timeout=SOON,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0
