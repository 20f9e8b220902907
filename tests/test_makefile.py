"""The Makefile: what a user gives is data, and the project may be in a folder of any name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "OneDrive (1)/user's [a] {b} Müller & $HOME `touch pwned`"
# prints the words that a command got, one list a line
ECHO = """#!/usr/bin/env python3
import json, sys
print(json.dumps(sys.argv[1:]))
"""
NASTY = (
    "a b", "it's", '"', "$(touch pwned)", "$(shell touch pwned)", "`touch pwned`", "$HOME", "a$b$$",
    "x; touch pwned", "x & touch pwned", "*", "~/films", "a\\", "#1", "-x", "Müller", "$(DATA)", "%",
)  # fmt: skip


@pytest.fixture
def project(tmp_path):
    """The Makefile in a folder of its own, with an environment whose Python prints its words."""
    folder = tmp_path / FOLDER
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("pyproject.toml", "constraints.txt", ".venv/.ready"):
        (folder / name).touch()
    python = folder / ".venv" / "bin" / "python"
    python.write_text(ECHO)
    python.chmod(0o755)
    return folder


def called(folder: Path, *words: str, **variables: str) -> list[list[str]]:
    """The words of each call of Python that a make gave rise to."""
    own = ("CORES", "DATA", "EXPERIMENT", "MAKEFLAGS", "PROFILE")
    kept = {k: v for k, v in os.environ.items() if k not in own}
    done = subprocess.run(["make", "--no-print-directory", *words], cwd=folder, env=kept | variables,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list(folder.rglob("pwned"))
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize("value", NASTY)
def test_what_is_given_reaches_python_as_it_is(project, value):
    run = ["-m", "study", "run", value, f"--profile={value}", "--cores", "1", f"--data={value}"]
    words = [f"{name}={value}" for name in ("EXPERIMENT", "PROFILE", "DATA")]
    assert called(project, "run", "CORES=1", *words) == [run]
    assert called(project, "run", CORES="1", EXPERIMENT=value, PROFILE=value, DATA=value) == [run]
    words = ["data-check", "CORES=1", f"DATASET={value}", f"DATA={value}", f"PIXELS={value}"]
    looked = ["-m", "study", "data-check", value, f"--data={value}", "--cores", "1", "--pixels"]
    assert called(project, *words) == [looked]
    words = ["report", f"PREDICTIONS={value}", f"PREVALENCE={value}"]
    judged = ["-m", "study", "report", f"--prevalence={value}", "--", value]
    assert called(project, *words) == [judged]


def test_a_cluster_takes_as_many_jobs_as_its_profile_says(project):
    words = {profile: called(project, "run", f"PROFILE={profile}")[0] for profile in ("local", "x")}
    assert "--cores" in words["local"] and "--cores" not in words["x"]
    assert "--cores" in called(project, "run", "PROFILE=x", "CORES=3")[0]


def test_the_environment_is_made_in_the_project_whatever_its_path(project):
    stub = project.parent / "python-stub"
    shutil.move(project / ".venv" / "bin" / "python", stub)
    (project / ".venv" / ".ready").unlink()
    stub.write_text(ECHO + """
import os, shutil
if sys.argv[2] == "venv":
    os.makedirs(sys.argv[3] + "/bin", exist_ok=True)
    shutil.copy(__file__, sys.argv[3] + "/bin/python")
""")  # fmt: skip
    calls = called(project, "setup", "PYTHON=../python-stub", "TORCH_INDEX=https://a b")
    assert ["-m", "venv", str(project / ".venv")] in calls
    (installed,) = (words for words in calls if "install" in words)
    assert "--extra-index-url=https://a b" in installed and "--no-compile" in installed
    assert next(words for words in calls if "compileall" in words)[-1] == ".venv/lib"
