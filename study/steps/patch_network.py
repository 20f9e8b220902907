"""f_loc, the patch network: its runs, its outputs h and logits, and the run that feeds f_agg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.stages import key_of, stage
from study.steps.data import evaluation_windows, store
from study.steps.networks import (
    learning_rate,
    loaded,
    named,
    torch_ready,
    weights_file_state,
    with_weights_file,
)

CODE = ("models/backbones", "models/floc", "models/weights", "models/_state_files", "training")
CODE += ("tasks", "scoring", "patches", "sampling", "windows", "metrics/roc")


def floc(lab: Lab, run: int = 0) -> Path:
    """The folder of one trained f_loc: weights, history, scores of its evaluation windows."""
    s = lab.settings
    settings = s.floc.model_copy(update={"learning_rate": learning_rate(lab, "floc")})
    return trained_floc(lab, f"floc/run{run}", settings, derive_seed(s.seed, "floc", run), run)


def trained_floc(
    lab: Lab, name: str, settings, seed: int, run: int, *, scored: bool = True
) -> Path:
    """The folder of an f_loc trained by these settings (`experiment.FLoc`) as stage `name`.

    scored : score the evaluation windows too; a trial of a search needs no look at the test.
    """
    windows, s = evaluation_windows(lab), lab.settings
    inputs = {"floc": settings.model_dump(exclude={"runs"}), "windows": s.windows.model_dump()}
    inputs |= {"seed": seed, "store": key_of(lab.runs / "store")}
    inputs |= {"drawn": key_of(lab.runs / "windows")} | weights_file_state(settings)

    def compute(place: Path) -> None:
        from lesionlib.scoring import lesion_predictions, window_scores
        from lesionlib.tasks import FLocTask
        from lesionlib.training import fit

        images = store(lab)
        torch_ready(lab)
        judged = {"validation_seed": s.seed, "workers": s.compute.workers}
        task = FLocTask(images, with_weights_file(settings), s.windows, seed=seed, **judged)
        fit(task, place, settings, seed=seed, compute=s.compute, progress=named(lab, name))
        if not scored:
            return
        h, logits = outputs(lab, place, settings, windows)
        np.savez(place / "evaluation.npz", h=h, logits=logits)
        table = lesion_predictions(images, windows, window_scores(logits), model="f_loc", run=run)
        table.to_csv(place / "predictions.csv", index=False)

    return stage(lab, name, inputs, CODE, compute, resumes=True)


def outputs(
    lab: Lab, run_folder: Path, settings, windows: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """h (n, 32) and logits (n, 4) of a trained f_loc for a table of windows, float32."""
    import torch

    from lesionlib.patches import extract_patches

    images, s, net = store(lab), lab.settings, _floc_network(lab, run_folder, settings)
    h, logits = np.empty((len(windows), 32), np.float32), np.empty((len(windows), 4), np.float32)
    with torch.no_grad():
        for start in range(0, len(windows), 250):
            part = slice(start, start + 250)
            patches = extract_patches(images, windows.iloc[part], s.windows.patch)
            out = net(torch.from_numpy(patches).to(s.compute.device))
            logits[part], h[part] = (t.float().cpu().numpy() for t in out)
    return h, logits


def load_floc(lab: Lab, run: int = 0):
    """A trained f_loc in evaluation mode."""
    return _floc_network(lab, floc(lab, run), lab.settings.floc)


def _floc_network(lab: Lab, run_folder: Path, settings):
    from lesionlib.models.floc import FLoc

    net = FLoc(settings.backbone, h_activation=settings.h_activation)
    return loaded(lab, run_folder, net)


def best_floc(lab: Lab) -> tuple[int, Path]:
    """The run of f_loc whose validation AUC is highest; its h feeds every f_agg."""
    from lesionlib.training import read_result

    runs = [floc(lab, run) for run in range(lab.settings.floc.runs)]
    best = int(np.argmax([read_result(folder).best_score for folder in runs]))
    return best, runs[best]
