"""On a real Slurm: the same results as here, a killed job goes on, and no job outlives its run.

For one node, as the test looks for the jobs' processes: their nodes are this machine.  With
LESIONLIB_SLURM=smoke the notebooks' plan at its smallest is run here and there, with =demo the whole
demo.  It needs ``sbatch``, a partition by default, and the extra ``[slurm]``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from toy_project import NUMBERS, ROOT, make_project, variables, write_notebook

EXPERIMENT = os.environ.get("LESIONLIB_SLURM", "")
NEEDS = "LESIONLIB_SLURM is not set: needs a Slurm cluster of this machine alone"
pytestmark = [pytest.mark.skipif(not EXPERIMENT, reason=NEEDS), pytest.mark.timeout(4 * 3600)]
# what differs on a small node that keeps no accounts and has no other user
OWN = {
    "default-resources": {"mem_mb": "3000 * attempt", "runtime": 240, "cpus_per_task": 1},
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 2,
    "latency-wait": 10,
}
RESULTS = ("*.csv", "*.safetensors", "*.npy", "done/*.json")
BEATS = "import time\nfrom pathlib import Path\nPath('beat').touch()\ntime.sleep(600)"


def on_slurm(folder: Path) -> Path:
    """The project with the profile `small`: that of Slurm, for this node."""
    profiles = folder / "workflow" / "profiles"
    given = yaml.safe_load((profiles / "slurm" / "config.yaml").read_text())
    (profiles / "small").mkdir()
    (profiles / "small" / "config.yaml").write_text(yaml.safe_dump(given | OWN))
    return folder


def copied(folder: Path) -> Path:
    """The project's notebooks, experiments and workflow, with nothing computed."""
    for name in ("experiments", "notebooks", "workflow"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def run(folder: Path, experiment: str, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "study", "run", experiment, *words], cwd=folder,
        env=variables(folder) | {"OMP_NUM_THREADS": "1"}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def jobs_of(folder: Path, *words: str) -> list[psutil.Process]:
    """Processes at work in a folder whose command has these words, kernels of notebooks not."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        command = process.info["cmdline"] or []
        if process.info["cwd"] == str(folder) and {"study", *words} <= {*command}:
            found.append(process)
    return found


def is_in_queue(folder: Path) -> bool:
    """Whether a batch job of this folder waits or runs."""
    words = ["squeue", "--noheader", "--format=%Z"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return str(folder) in said.splitlines()


def wait_for(what, seconds: float):
    end = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < end, f"nothing after {seconds:g} s"
        time.sleep(0.5)
    return answer


def hashes(folder: Path) -> dict[str, str]:
    places = (folder / "runs" / EXPERIMENT, folder / "figures" / EXPERIMENT)
    files = {file for place in places for form in RESULTS for file in place.rglob(form)}
    files = [file for file in files if file.name != "timing.csv"]
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_results_are_the_same_and_a_killed_training_goes_on(tmp_path):
    here, there = copied(tmp_path / "here"), on_slurm(copied(tmp_path / "there"))
    assert run(here, EXPERIMENT).wait() == 0
    started = run(there, EXPERIMENT, "--profile", "small")
    runs = there / "runs" / EXPERIMENT
    wait_for((runs / "floc" / "run0" / "history.csv").is_file, seconds=2 * 3600)
    for job in jobs_of(there, "notebook", "04") or jobs_of(there, "stage", "floc"):
        job.kill()
    assert started.wait() == 0
    log = (runs / "workflow.log").read_text()
    assert log.count("Trying to restart job") == 1
    expected = hashes(here)
    assert any(name.endswith("best.safetensors") for name in expected)
    assert hashes(there) == expected
    again = subprocess.run(
        [sys.executable, "-m", "study", "check", EXPERIMENT, "--complete"], cwd=there,
        env=variables(there), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr


def kill_run(started):
    started.kill()


def end_run(started):
    started.terminate()


def interrupt_all(started):
    os.killpg(started.pid, signal.SIGINT)


def kill_snakemake(started):
    psutil.Process(started.pid).children()[0].kill()


@pytest.mark.parametrize(
    "end", [kill_run, end_run, interrupt_all, kill_snakemake], ids=lambda end: end.__name__
)
def test_no_job_outlives_its_run(tmp_path, end):
    folder = make_project(tmp_path / "a project")
    (folder / "workflow").unlink()
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    for number in NUMBERS:
        write_notebook(folder, number, BEATS if number == "01" else "1")
    started = run(on_slurm(folder), "toy", "--profile", "small")
    wait_for((folder / "beat").is_file, seconds=600)
    assert jobs_of(folder, "notebook", "01")
    end(started)
    started.wait()
    wait_for(lambda: not jobs_of(folder, "notebook", "01") and not is_in_queue(folder), seconds=120)
