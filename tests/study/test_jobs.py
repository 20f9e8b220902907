"""Orphans are ended, the living are left alone, and no experiment is run twice at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lesionlib.errors import InputError
from study import jobs

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
GONE = jobs.Process(4_000_000, 1.0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "runs_folder", lambda experiment: tmp_path / experiment)
    monkeypatch.delenv(jobs.OWNER_VARIABLE, raising=False)
    return tmp_path / "toy" / "jobs"


@pytest.fixture
def sleeper():
    process = subprocess.Popen(SLEEPER)
    yield process
    process.kill()
    process.wait()


def test_a_process_is_found_by_number_and_birth(sleeper):
    known = jobs.Process.of(sleeper.pid)
    assert known.find().pid == sleeper.pid
    assert jobs.Process.parse(str(known)) == known
    assert jobs.Process(sleeper.pid, known.born - 100).find() is None
    assert GONE.find() is None


def test_a_registered_job_leaves_no_file(folder):
    with jobs.registered("toy", "04"):
        assert json.loads((folder / "04.json").read_text())["pid"] == os.getpid()
    assert not list(folder.iterdir())


def test_the_jobs_of_a_dead_workflow_are_ended(sleeper, folder):
    jobs.record("toy", "06", sleeper.pid, owner=str(GONE))
    assert jobs.end_orphans("toy") == 1
    sleeper.wait(timeout=5)  # raises where it lives on
    assert not list(folder.iterdir())


@pytest.mark.parametrize("alive", [True, False])
def test_jobs_of_a_living_workflow_and_those_by_hand_go_on(sleeper, alive):
    owner = str(jobs.Process.of(os.getpid())) if alive else ""
    jobs.record("toy", "06", sleeper.pid, owner=owner)
    assert jobs.end_orphans("toy") == 0
    assert sleeper.poll() is None


def test_a_workflow_ends_its_jobs_when_it_ends(sleeper):
    with jobs.workflow("toy") as owner:
        jobs.record("toy", "06", sleeper.pid, owner)
    sleeper.wait(timeout=5)  # raises where it lives on


def test_an_experiment_is_not_run_twice_at_once(sleeper):
    jobs.record("toy", jobs.WORKFLOW, sleeper.pid, owner="")
    with (
        pytest.raises(InputError, match=f"being run already.*process {sleeper.pid}"),
        jobs.workflow("toy"),
    ):
        pass


def test_a_broken_file_is_no_obstacle(folder):
    folder.mkdir(parents=True)
    (folder / "06.json").write_text("{")
    with jobs.workflow("toy"):
        pass
    assert not list(folder.iterdir())
