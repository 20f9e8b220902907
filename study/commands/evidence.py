"""``study evidence``: the experiments of experiments/PROTOCOL.md, and their outcomes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from study import evidence
from study.jobs import JobError
from study.settings import figures_folder, project_root
from study.workflow import check


def run_evidence(cores: int | None = None) -> None:
    """Run what is not up to date of the evidence, side by side, then write its tables.

    An interrupted start goes on where it stopped.  An experiment that fails leaves the others alone.
    Raises InputError for a wrong setting, JobError where an experiment failed.
    """
    names = [name for kind in evidence.SETS for name in evidence.names_of(kind)]
    for name in names:
        check(name)
    with ThreadPoolExecutor(cores or os.cpu_count()) as pool:
        codes = list(pool.map(_run, names))
    content = evidence.write()
    place = figures_folder("evidence").relative_to(project_root())
    print(f"{len(names) - len(content['missing'])} of {len(names)} experiments pooled in {place}/")
    if failed := [name for name, code in zip(names, codes, strict=True) if code]:
        raise JobError(f"{len(failed)} experiments failed: {', '.join(failed)}")


def _run(name: str) -> int:
    words = [sys.executable, "-m", "study", "stage", "results", "--experiment", name]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(words, cwd=project_root(), **pipes) as job:
        for line in job.stdout:
            print(f"{name}  {line}", end="", flush=True)
    return job.returncode
