"""What the runs of all three networks share: weights, threads, progress, the random search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.settings import project_root


def random_search(
    lab: Lab, network: str, train: Callable[[str, object, int], Path], trial: int | None = None
) -> pd.DataFrame:
    """Random search over the learning rate of a network; see `lesionlib.search`.

    train : called with the stage, the settings and the number of a trial; gives its folder.
    trial : the only one to run, for work done side by side.
    """
    from lesionlib.search import run_search
    from lesionlib.training import read_result

    s = lab.settings

    def result(k: int, rate: float):
        changed = {"learning_rate": rate, "epochs": s.search.epochs}
        settings = getattr(s, network).model_copy(update=changed)
        return read_result(train(f"search/{network}/trial{k}", settings, k))

    low, high = getattr(s.search, network)
    seed = derive_seed(s.seed, "search", network)
    trials = range(s.search.trials) if trial is None else [trial]
    return run_search(result, trials, low=low, high=high, seed=seed, progress=lab.progress)


def chosen_rate(lab: Lab, network: str, search: Callable[[Lab], pd.DataFrame]) -> float:
    """The learning rate of `floc` or `fagg` as set; with "search", that of the best trial.

    Raises InputError where none of the trials has a score.
    """
    rate = getattr(lab.settings, network).learning_rate
    if rate != "search":
        return rate
    from lesionlib.search import best_trial

    return float(best_trial(search(lab))["learning_rate"])


def with_weights_file(settings):
    """The settings of a network with the file of its first weights found in the project."""
    file = settings.weights_file and str(project_root() / settings.weights_file)
    return settings.model_copy(update={"weights_file": file})


def file_state(name: str | None) -> list[int] | None:
    """Bytes and time (ns) of a file of the project, since the same name may hold others tomorrow.

    None where no file is named, or none is there.
    """
    file = project_root() / (name or "")
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


def named(lab: Lab, name: str) -> Callable[[str], None]:
    """The lab's progress, each line under the name of what is being trained."""
    return lambda message: lab.progress(f"{name}: {message}")
