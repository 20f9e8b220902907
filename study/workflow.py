"""Run a whole experiment: check it, hand over to Snakemake, and say how it ended.

Snakemake owns the order and runs jobs side by side; its own log goes to
``runs/<experiment>/workflow.log``.  The terminal shows the jobs' lines and the share done, and at
the end either where the results are or, last, the one line that says what failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lesionlib.errors import InputError, nearest
from lesionlib.seeds import digest
from study import jobs
from study.marks import STAGE, read_mark
from study.runner import following, give_data, say
from study.settings import (
    Experiment,
    experiment_names,
    load_experiment,
    project_path,
    project_root,
    runs_folder,
)

PROFILES, LOCAL = Path("workflow/profiles"), "local"  # of Snakemake; the one for this machine
EXCERPT = {"excerpt": True}  # in the mark of a store that holds some canvases alone
SHARE = re.compile(r"(\d+) of (\d+) steps")


# ------------------------------------------------------------------ checks
def check(experiment: str, data: str | None = None, profile: str = LOCAL) -> Experiment:
    """The settings of an experiment, once all that it needs is there; InputError otherwise.

    That is its data set with the options given to it, the folder, the files named, and the device,
    unless another profile's jobs go to other machines.
    data : the user's folder, kept for this process and for the next runs of this experiment.
    """
    known = sorted(file.parent.name for file in (project_root() / PROFILES).glob("*/config.yaml"))
    if profile not in known:
        raise InputError(f"unknown profile '{profile}'", PROFILES, nearest(profile, known))
    settings = load_experiment(experiment)
    if data:
        give_data(settings, data)
    for name, file in given_files(settings).items():
        if not file.is_file():
            raise InputError(f"the file of {name} is missing", file, _how_to_get(file))
    if profile == LOCAL:
        _check_device(settings.compute.device, settings.compute.devices)
    if not settings.is_phantom:
        from data_manifest.registry import check_options  # slow, and a phantom needs none of it

        check_options(settings.data.dataset, settings.data.options)
    data_state(settings)
    return settings


def given_files(settings: Experiment) -> dict[str, Path]:
    """The files that an experiment's settings name, by the setting: first weights, saliency maps."""
    arms = {f"architectures.arms.{k}": arm for k, arm in enumerate(settings.architectures.arms)}
    networks = {"floc": settings.floc, "gmic": settings.gmic} | arms
    named = {f"{name}.weights_file": block.weights_file for name, block in networks.items()}
    named["fagg.saliency_file"] = settings.fagg.saliency_file
    return {name: project_path(file) for name, file in named.items() if file}


def _how_to_get(file: Path) -> str:
    """The remedy for a file that is missing: another experiment's is made by running that one."""
    place = file.resolve()
    other = next((x for x in experiment_names() if runs_folder(x).resolve() in place.parents), None)
    return f"Run what makes it first: study run {other}" if other else "Correct its path"


def _check_device(device: str, devices: int) -> None:
    """InputError where this machine lacks the device, or so many; torch, slow to start, is asked
    for no CPU."""
    if device == "cpu":
        return
    import torch

    kind, _, number = device.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
    if int(number or 0) >= count:
        what = f"device '{device}' is not on this machine"
        raise InputError(what, "compute.device", "Set it to cpu, or to a device that is")
    if devices > count:
        what = f"there are {count} GPUs on this machine, not {devices}"
        raise InputError(what, "compute.devices", f"Set it to {count} at most")


def data_state(settings: Experiment) -> str:
    """Digest of the files that an experiment reads from outside the project: its data folder with
    the tables in it, first weights, given saliency maps.

    Raises InputError where a real set's folder is not known or not there.
    """
    files = given_files(settings).values()
    states = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    if settings.is_phantom:
        return digest(states)
    from study import steps  # slow as well
    from study.lab import open_bench

    folder = steps.data_folder(open_bench(settings.name))
    return digest([states, str(folder.resolve()), steps.fingerprint(folder)])


def read_set(settings: Experiment):
    """The :class:`~data_manifest.manifest.Manifest` of an experiment's data set, as yet not split.

    Raises InputError as :func:`data_manifest.registry.read`, and as :func:`data_state`.
    """
    from data_manifest import registry
    from study import steps
    from study.lab import open_bench

    folder = steps.data_folder(open_bench(settings.name))
    return registry.read(settings.data.dataset, folder, **settings.data.options)


def check_splits(settings: Experiment) -> None:
    """Read an experiment's data set and split it as notebook 01 will.

    Raises InputError as :func:`read_set`, and where a split lacks malignant or benign lesions.  A
    phantom is drawn with its splits, and a set without a lesion has none.
    """
    from data_manifest.splits import split_by_settings

    found = None if settings.is_phantom else read_set(settings)
    if found and len(found.lesions):
        split_by_settings(found, settings.data, settings.seed)


def is_complete(experiment: str) -> bool:
    """Whether a run of an experiment would have nothing to do; JobError where Snakemake fails."""
    words = [*_command(experiment, 1), "--dry-run", "--quiet", "rules"]
    done = subprocess.run(
        words, cwd=project_root(), env=_environment(), capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    if done.returncode:
        raise jobs.JobError(f"Snakemake ended with code {done.returncode}: {_last_line(said)}")
    return "Nothing to be done" in said


# ------------------------------------------------------------------ the run
def run_experiment(
    experiment: str, data: str | None = None, cores: int | None = None, profile: str = LOCAL
) -> None:
    """Run every notebook of an experiment that is not up to date.

    cores : jobs side by side; if None all cores of the machine, or what another profile says.
    profile : a folder of ``workflow/profiles``.
    Raises InputError or JobError with the first failed job's line.
    """
    check(experiment, data, profile)
    if profile == LOCAL:
        cores = cores or os.cpu_count() or 1
    start = time.monotonic()
    with jobs.only_run(experiment):
        _make_whole(runs_folder(experiment))
        for file in (runs_folder(experiment) / "failed").glob("*"):
            file.unlink()
        where = f"on {cores} cores" if profile == LOCAL else f"with profile {profile}"
        print(f"experiment {experiment} {where}", flush=True)
        code, finished = _snakemake(experiment, cores, profile)
    if code:
        raise _failure(experiment, code)
    took = f"{finished} jobs in {time.monotonic() - start:.0f} s" if finished else "nothing to redo"
    notebooks = runs_folder(experiment) / "notebooks"
    print(
        f"experiment {experiment} is complete: {took}\n"
        f"  figures and tables  figures/{experiment}\n"
        f"  executed notebooks  {notebooks.relative_to(project_root()).as_posix()}"
    )


def side_by_side(stage: str, experiments: Sequence[str], cores: int | None = None) -> list[str]:
    """Run one stage of several experiments, each in a process of its own; those that failed.

    One that fails leaves the others alone, and says why on the terminal.
    cores : processes at a time; all cores of the machine if None.
    """

    def run(name: str) -> int:
        words = [sys.executable, "-m", "study", "stage", stage, "--experiment", name]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(words, cwd=project_root(), env=_environment(), **pipes) as job:
            for line in job.stdout:
                print(f"{name}  {line}", end="", flush=True)
        return job.returncode

    with ThreadPoolExecutor(cores or os.cpu_count()) as pool:
        codes = list(pool.map(run, experiments))
    return [name for name, code in zip(experiments, codes, strict=True) if code]


def _make_whole(runs: Path) -> None:
    """Of a restored checkpoint the images are made again; what was computed from them stays."""
    if read_mark(runs / "store" / STAGE).get("shared") == EXCERPT:
        for name in ("manifest", "store"):
            (runs / name / STAGE).unlink(missing_ok=True)


def _snakemake(experiment: str, cores: int | None, profile: str) -> tuple[int, int]:
    """Exit code of Snakemake and the number of jobs that it ran."""
    log = runs_folder(experiment) / "workflow.log"
    with (
        open(log, "w", encoding="utf-8") as file,
        following(log, _show_share),
        jobs.started(
            _command(experiment, cores, profile), _environment(), cwd=project_root(), stderr=file
        ) as process,
    ):
        process.wait()
    shares = SHARE.findall(log.read_text(encoding="utf-8"))
    return process.returncode, int(shares[-1][0]) if shares else 0


def _show_share(line: str) -> None:
    if share := SHARE.search(line):
        say("", "{} of {} jobs done".format(*share.groups()))


def _command(experiment: str, cores: int | None, profile: str = LOCAL) -> list[str]:
    words = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile"]
    words += ["--profile", (PROFILES / profile).as_posix()]
    words += ["--cores", str(cores)] if cores else []
    # in quotes, or Snakemake takes a name like nan or True for a value
    return [*words, "--config", f'experiment="{experiment}"']


def _environment() -> dict[str, str]:
    """This process's variables, with this Python's commands first in the path; see KEEPS_MEMORY."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    memory = {jobs.TUNABLES: jobs.KEEPS_MEMORY}
    return memory | os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"}


def _failure(experiment: str, code: int) -> Exception:
    """The line of the first job that failed, or what Snakemake's log says of its end."""
    failed = sorted((runs_folder(experiment) / "failed").glob("*.txt"))
    lines = [f.read_text(encoding="utf-8").strip() for f in failed]
    for kind, error in (("input", InputError), ("job", jobs.JobError)):
        for line in lines:
            if line.startswith(f"{kind}: "):
                return error(line.removeprefix(f"{kind}: "))
    log = runs_folder(experiment) / "workflow.log"
    text = log.read_text(encoding="utf-8")
    rules = re.findall(r"Error in rule (\w+)", text)
    ended = f"Snakemake ended with code {code}: {_last_line(text)}"
    if rules:
        ended = f"job {rules[0]} ended without a word, as when memory or disk are full"
    elif lacking := re.search(r"--executor/-e: invalid choice: '(.+?)'", text):
        ended = f"the package snakemake-executor-plugin-{lacking[1]} is not installed"
    elif code < 0:
        ended = f"Snakemake was ended by signal {-code}"
    return jobs.JobError(f"{ended} (its log: {log.relative_to(project_root()).as_posix()})")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1].strip()
