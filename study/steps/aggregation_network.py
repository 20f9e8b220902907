"""f_agg, the aggregation network: what it reads, its runs and its search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.stages import once, stage
from study.steps.context_network import saliency, saliency_folder
from study.steps.data import store
from study.steps.patch_network import stored_outputs
from study.steps.runs import learning_rate, loaded, machine, several, torch_ready, train
from study.steps.windows import LOCATION, SCORED, location_maps, stored_windows

AT_ONCE = 1000  # windows whose maps are in memory together
# in the keys or names of the stages that f_agg reads, or in the name of its run
_NOT_OF_A_RUN = {"runs", "pair_runs", "cells", "both_cells", "saliency_file"}
_NOT_OF_A_RUN |= {"saliency_of", "pool_windows", "pool_epochs"}


def features(
    lab: Lab, cells: str | None = None, run: int = 0, *, h: bool = True
) -> dict[str, dict]:
    """What run `run` of f_agg reads: for each split the stored windows with h, logits and location maps.

    Keys of a split: ``windows`` (data frame), ``location`` (n, h, w), ``h`` and ``before`` (its
    ReLU; n, 32), ``logits`` (n, 4).  Training windows are a pool drawn once; validation and test are
    the evaluation windows.

    cells : where the cells of the location maps are, `fagg.cells` if None.
    h : False leaves out h and logits, and f_loc is not needed.
    """
    maps = location_maps(lab, cells or lab.settings.fagg.cells)
    found = {n: {"windows": w, "location": maps[n]} for n, w in stored_windows(lab).items()}
    if not h:
        return found
    _, outputs = stored_outputs(lab, run)
    return {n: part | outputs[n] for n, part in found.items()}


@once
def fagg(
    lab: Lab, combination: str, run: int = 0, cells: str | None = None, *, activated: bool = True
) -> Path:
    """The folder of one trained f_agg: weights, history and lesion scores.

    cells : where the cells of I and E are, `fagg.cells` if None; the seed is the same for both.
    activated : False has E hold h as it is before f_loc's ReLU; the seed is the same.
    """
    s = lab.settings
    settings = s.fagg.model_copy(update={"learning_rate": learning_rate(lab, "fagg", fagg_trial)})
    other = cells not in (None, s.fagg.cells)
    name = (f"fagg_{cells}" if other else "fagg") + "_before_relu" * (not activated)
    return trained_fagg(
        lab, f"{name}/{combination}/run{run}", settings, combination, run, cells,
        activated=activated,
    )  # fmt: skip


def load_fagg(lab: Lab, combination: str, run: int = 0):
    """A trained f_agg in evaluation mode."""
    return fagg_network(lab, fagg(lab, combination, run), combination)


def fagg_network(lab: Lab, run_folder: Path, combination: str):
    """A trained f_agg of a combination of maps, by the folder of its run."""
    from lesionlib.maps import channels
    from lesionlib.models.fagg import FAgg

    return loaded(lab, run_folder, FAgg(channels(combination), lab.settings.fagg.filters))


def fagg_logits(net, combination: str, given: tuple, device: str) -> np.ndarray:
    """Logits (n, 4) of an f_agg in evaluation mode, float32.

    given : location (n, h, w), saliency (n, 2, h, w) of each window's image, h (n, 32).
    """
    import torch

    from lesionlib.maps import stack

    parts = []
    with torch.inference_mode():
        for start in range(0, len(given[0]), AT_ONCE):
            cut = (torch.from_numpy(g[start : start + AT_ONCE]).to(device) for g in given)
            parts.append(net(stack(combination, *cut)).float().cpu().numpy())
    return np.concatenate(parts)


def trained_fagg(
    lab: Lab,
    name: str,
    settings,
    combination: str,
    run: int,
    cells: str | None = None,
    *,
    reads: int | None = None,
    activated: bool = True,
) -> Path:
    """The folder of an f_agg trained by these settings (`settings.FAgg`) as stage `name`.

    It waits for what the combination reads alone: GMIC for S, f_loc for E.
    reads : the run whose maps it reads, where that is not its own.
    activated : as in :func:`fagg`.
    """
    s, images, used = lab.settings, store(lab), combination.split("+")
    seed = derive_seed(s.seed, "fagg", combination, run)
    source = run if reads is None else reads
    read = features(lab, cells, source, h="E" in used)
    if not activated:
        read = {split: part | {"h": part["before"]} for split, part in read.items()}
    maps = saliency(lab, source) if "S" in used else None
    folders = [stored_outputs(lab, source)[0]] if "E" in used else []
    folders += [saliency_folder(lab, source)] if "S" in used else []
    stages = [f"{LOCATION}/{cells or s.fagg.cells}"]
    stages += [folder.relative_to(lab.runs).as_posix() for folder in folders]
    own = settings.model_dump(exclude=_NOT_OF_A_RUN)
    inputs = {"fagg": own, "combination": combination, "seed": seed} | several(lab)
    inputs |= {} if activated else {"h": "before its ReLU"}

    def compute(place: Path) -> None:
        from lesionlib.scoring import lesion_predictions, window_scores
        from lesionlib.tasks import FAggTask

        torch_ready(lab)
        task = FAggTask(read, maps, combination, settings, seed=seed)
        train(lab, name, task, place, settings, seed)
        scored = [
            lesion_predictions(
                images, read[split]["windows"], window_scores(task.logits(split)),
                model=combination, run=run,
            )
            for split in SCORED
        ]  # fmt: skip
        pd.concat(scored).to_csv(place / "predictions.csv", index=False)

    return stage(lab, name, inputs, compute, reads=stages, resumes=True, shared=machine(lab))


def fagg_trial(lab: Lab, name: str, settings, k: int) -> Path:
    """The folder of trial k of the search over f_agg's learning rate.

    It reads E+S, of run 0 in every trial; the rate that is found serves every combination of maps.
    """
    return trained_fagg(lab, name, settings, "E+S", k, reads=0)
