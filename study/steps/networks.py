"""What all three networks share: a learning rate, weights read back, threads, lines of progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from study.lab import Lab
from study.settings import project_root


def learning_rate(lab: Lab, network: str) -> float:
    """The set learning rate of `floc` or `fagg`; with `search`, the best trial's by validation AUC.

    Raises InputError where none of the trials has a score.
    """
    rate = getattr(lab.settings, network).learning_rate
    if rate != "search":
        return rate
    from lesionlib.learning_rates import best_trial
    from study.steps.comparisons import search

    return float(best_trial(search(lab, network))["learning_rate"])


def with_weights_file(settings):
    """The settings of a network with the file of its first weights found in the project."""
    file = settings.weights_file and str(project_root() / settings.weights_file)
    return settings.model_copy(update={"weights_file": file})


def weights_file_state(settings) -> dict:
    """What tells one file of first weights from another, for a stage's inputs; empty without one.

    settings : `experiment.FLoc` or `GMIC`.
    """
    if not settings.weights_file:
        return {}
    file = project_root() / settings.weights_file
    state = [file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None
    return {"weights_file": state}


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
