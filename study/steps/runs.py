"""What the runs of all three networks share: training, weights, threads, the random search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.processes import together
from study.settings import project_path
from study.stages import once

# lab, stage, settings and number of a trial -> its folder
Trial = Callable[[Lab, str, object, int], Path]


def random_search(
    lab: Lab, network: str, trial: Trial, trials: Iterable[int] | None = None
) -> pd.DataFrame:
    """Random search over a network's learning rate, see `study.learning_rates`.

    trials : the numbers of the trials to run; all if None.
    """
    from lesionlib.training import read_result
    from study.learning_rates import run_search

    s = lab.settings

    def result(k: int, rate: float):
        changed = {"learning_rate": rate, "epochs": s.search.epochs}
        settings = getattr(s, network).model_copy(update=changed)
        return read_result(trial(lab, f"search/{network}/trial{k}", settings, k))

    low, high = getattr(s.search, network)
    seed, trials = derive_seed(s.seed, "search", network), trials or range(s.search.trials)
    return run_search(result, trials, low=low, high=high, seed=seed, progress=lab.progress)


@once
def learning_rate(lab: Lab, network: str, trial: Trial) -> float:
    """The learning rate of `floc` or `fagg` as set; with "search", that of the best trial.

    Raises InputError where none of the trials has a score.
    """
    rate = getattr(lab.settings, network).learning_rate
    if rate != "search":
        return rate
    from study.learning_rates import best_trial

    return float(best_trial(random_search(lab, network, trial))["learning_rate"])


def train(lab: Lab, name: str, task, place: Path, settings, seed: int) -> None:
    """Train a network in the folder of its stage, with lines of progress under the stage's name.

    Raises Diverged where the loss is no number; asked again, the run says so without training.
    """
    from lesionlib.models.weights import load_checkpoint
    from lesionlib.training import fit

    say, compute = lambda message: lab.progress(f"{name}: {message}"), lab.settings.compute
    if compute.devices > 1:
        together(compute.devices, fit, task, place, settings, say=say, seed=seed, compute=compute)
        load_checkpoint(place / "best.safetensors", task.model)
        task.model.eval()
    else:
        fit(task, place, settings, seed=seed, compute=compute, progress=say)


def validation_auc(run_folder: Path) -> float:
    """AUC of a run's best epoch, read without torch."""
    history = pd.read_csv(run_folder / "history.csv", float_precision="round_trip")
    return float(history["score"].max())


def run_read(lab: Lab, run: int, runs: int, folder_of: Callable[[int], Path]) -> int:
    """Which of the `runs` runs of f_loc, or of GMIC, run `run` of f_agg reads.

    With `fagg.pair_runs` each run of f_agg has its own; otherwise all of them read the best on
    validation, and every run is trained for that.  folder_of : of a run, by its number.
    """
    if lab.settings.fagg.pair_runs:
        return run % runs
    return int(np.argmax([validation_auc(folder_of(each)) for each in range(runs)]))


def machine(lab: Lab) -> dict:
    """What decides the last digits of a training and is no reason to repeat it."""
    return lab.settings.compute.model_dump(exclude={"workers", "devices"})


def several(lab: Lab) -> dict:
    """The devices of a training where they are several: a reason to repeat it, since batch norms
    see the shares of a batch."""
    devices = lab.settings.compute.devices
    return {"devices": devices} if devices > 1 else {}


def with_weights_file(settings):
    """The settings of a network with the file of its first weights found in the project."""
    file = settings.weights_file and str(project_path(settings.weights_file))
    return settings.model_copy(update={"weights_file": file})


def file_state(name: str | None) -> list[int] | None:
    """Bytes and time (ns) of a file of the project, since the same name may hold others tomorrow.

    None where no file is named, or none is there.
    """
    file = project_path(name or "")
    return [file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None


def loaded(lab: Lab, run_folder: Path, net):
    """A network with the weights of a finished run, on the set device, in evaluation mode."""
    from lesionlib.models.weights import load_checkpoint

    load_checkpoint(run_folder / "best.safetensors", net)
    return net.to(lab.settings.compute.device).eval()


def torch_ready(lab: Lab) -> None:
    """One number of threads for every sum, so that a run repeats to the bit on one machine."""
    import torch

    torch.set_num_threads(lab.settings.compute.threads)
