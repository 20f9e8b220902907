"""f_loc, the patch network: its runs, what f_agg reads of them, its search and backbones."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from lesionlib.metrics.roc import auc
from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.stages import once, stage
from study.steps.data import store
from study.steps.runs import (
    file_state,
    learning_rate,
    loaded,
    machine,
    run_read,
    several,
    torch_ready,
    train,
    validation_auc,
    with_weights_file,
)
from study.steps.windows import (
    EVALUATION,
    OUTPUTS,
    SCORED,
    TRAINING,
    evaluation_windows,
    of_split,
    training_windows,
)

AT_ONCE = 250  # windows whose patches are in memory together


@once
def floc(lab: Lab, run: int = 0) -> Path:
    """The folder of one trained f_loc: weights, history, scores of its evaluation windows."""
    s = lab.settings
    settings = s.floc.model_copy(update={"learning_rate": learning_rate(lab, "floc", floc_trial)})
    return trained_floc(lab, f"floc/run{run}", settings, derive_seed(s.seed, "floc", run), run)


def trained_floc(
    lab: Lab, name: str, settings, seed: int, run: int, *, scored: bool = True
) -> Path:
    """The folder of an f_loc trained by these settings (`settings.FLoc`) as stage `name`.

    scored : score the evaluation windows too; a trial of a search needs no look at the test.
    """
    images, windows, s = store(lab), evaluation_windows(lab), lab.settings
    inputs = {"floc": settings.model_dump(exclude={"runs"}), "windows": s.windows.model_dump()}
    inputs |= {"seed": seed, "weights_file": file_state(settings.weights_file)} | several(lab)

    def compute(place: Path) -> None:
        from lesionlib.scoring import lesion_predictions, window_scores
        from lesionlib.tasks import FLocTask
        from study.device_patches import cutter

        torch_ready(lab)
        judged = {"validation_seed": s.seed, "workers": s.compute.workers}
        judged["cut"] = cutter(images, s)
        task = FLocTask(images, with_weights_file(settings), s.windows, seed=seed, **judged)
        train(lab, name, task, place, settings, seed)
        if not scored:
            return
        net = floc_network(lab, place, settings)
        before, logits = _before_and_logits(net, images, windows, s)
        np.savez(place / "evaluation.npz", before=before, logits=logits)
        table = lesion_predictions(images, windows, window_scores(logits), model="f_loc", run=run)
        table.to_csv(place / "predictions.csv", index=False)

    reads = ("store", EVALUATION)
    return stage(lab, name, inputs, compute, reads=reads, resumes=True, shared=machine(lab))


def load_floc(lab: Lab, run: int = 0):
    """A trained f_loc in evaluation mode."""
    return floc_network(lab, floc(lab, run), lab.settings.floc)


def floc_network(lab: Lab, run_folder: Path, settings):
    """A trained f_loc of these settings (`settings.FLoc`), by the folder of its run."""
    from lesionlib.models.floc import FLoc

    net = FLoc(settings.backbone, h_activation=settings.h_activation)
    return loaded(lab, run_folder, net)


# ------------------------------------------------------------------ outputs
def outputs(
    lab: Lab, run_folder: Path, settings, windows: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """h (n, 32) and logits (n, 4) of a trained f_loc for a table of windows, float32."""
    return window_outputs(
        floc_network(lab, run_folder, settings), store(lab), windows, lab.settings
    )


def window_outputs(net, images, windows: pd.DataFrame, settings) -> tuple[np.ndarray, np.ndarray]:
    """h (n, 32) and logits (n, 4) of a network for windows on a store's images, float32."""
    before, logits = _before_and_logits(net, images, windows, settings)
    return _activated(before, net.h_activation), logits


def _activated(before: np.ndarray, h_activation: str) -> np.ndarray:
    return np.maximum(before, 0) if h_activation == "relu" else before


def _before_and_logits(net, images, windows, settings) -> tuple[np.ndarray, np.ndarray]:
    """h before its activation, and the logits: with a ReLU the one cannot be had from the other."""
    import torch

    from lesionlib.loading import prepared
    from study.device_patches import cutter

    compute = settings.compute
    before, logits = (np.empty((len(windows), k), np.float32) for k in (32, 4))
    cut = cutter(images, settings)
    parts = [slice(start, start + AT_ONCE) for start in range(0, len(windows), AT_ONCE)]
    chunks = prepared(lambda part: cut(windows.iloc[part]), parts, net, compute.workers)
    seen = []
    watched = net.hidden.register_forward_hook(lambda _, given, out: seen.append(out))
    with torch.no_grad(), watched:
        for part, patches in zip(parts, chunks, strict=True):
            out = net(patches.to(compute.device, non_blocking=True))
            logits[part], before[part] = (t.float().cpu().numpy() for t in (out[0], seen.pop()))
    return before, logits


@once
def stored_outputs(lab: Lab, run: int = 0) -> tuple[Path, dict[str, dict[str, np.ndarray]]]:
    """The stage of the outputs that run `run` of f_agg reads, and these by split.

    h and, before its activation, `before` (n, 32), and logits (n, 4) of the stored windows, by the
    f_loc of `runs.run_read`.
    """
    return _outputs_of(lab, run_read(lab, run, lab.settings.floc.runs, partial(floc, lab)))


@once
def _outputs_of(lab: Lab, run: int) -> tuple[Path, dict[str, dict[str, np.ndarray]]]:
    images, windows, s = store(lab), training_windows(lab), lab.settings
    folder = floc(lab, run)

    def compute(place: Path) -> None:
        torch_ready(lab)
        net = floc_network(lab, folder, s.floc)
        before, logits = _before_and_logits(net, images, windows, s)
        np.savez(place / "training.npz", before=before, logits=logits)

    how = {"reads": (f"floc/run{run}", TRAINING), "shared": machine(lab)}
    place = stage(lab, f"{OUTPUTS}/run{run}", {}, compute, **how)
    files = {"training": (place / "training.npz", slice(None))}
    files |= {name: (folder / "evaluation.npz", of_split(lab, name)) for name in SCORED}
    found = {
        name: {key: values[rows] for key, values in np.load(file).items()}
        for name, (file, rows) in files.items()
    }
    for part in found.values():
        part["h"] = _activated(part["before"], s.floc.h_activation)
    return place, found


# ------------------------------------------------------------------ comparisons
def floc_trial(lab: Lab, name: str, settings, k: int) -> Path:
    """The folder of trial k of the search over f_loc's learning rate."""
    seed = derive_seed(lab.settings.seed, name)
    return trained_floc(lab, name, settings, seed, k, scored=False)


def architectures(lab: Lab, arm: str | None = None) -> pd.DataFrame:
    """Every arm of figure 6, trained with one budget: one row per run, validation and test AUC.

    All arms have f_loc's learning rate; where that is searched, it is the best trial's.
    arm : name of the only arm to run, for work done side by side.
    """
    s, rows = lab.settings, []
    shared = {"epochs": s.architectures.epochs, "weights_head": "drop"}
    shared |= {"learning_rate": learning_rate(lab, "floc", floc_trial)}
    for which in s.architectures.arms:
        for run in range(s.architectures.runs if arm in (None, which.name) else 0):
            settings = s.floc.model_copy(update=shared | which.model_dump())
            name = f"architectures/{which.name}/run{run}"
            seed = derive_seed(s.seed, "architectures", which.name, run)
            folder = trained_floc(lab, name, settings, seed, run)
            scored = pd.read_csv(folder / "predictions.csv", float_precision="round_trip")
            test = scored.query("split == 'test'")
            rows.append(
                {"backbone": which.backbone, "initialisation": which.initialisation, "run": run,
                 "validation_auc": validation_auc(folder),
                 "test_auc": auc(test["y_true"].to_numpy(), test["y_score"].to_numpy())}
            )  # fmt: skip
    return pd.DataFrame(rows)
