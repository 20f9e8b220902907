"""f_agg, the aggregation network: the stored windows and maps it reads, and its runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from data_manifest.manifest import AGGREGATION
from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.stages import key_of, stage
from study.steps.context_network import saliency
from study.steps.data import SCORED, evaluation_windows, store
from study.steps.networks import learning_rate, loaded, named, torch_ready
from study.steps.patch_network import best_floc, outputs

CODE = ("models/fagg", "models/weights", "models/_state_files", "maps", "training", "tasks")
CODE += ("scoring", "metrics/roc")
STORED = ("training", *SCORED)  # splits whose windows f_agg reads
_POOL_ONLY = {"pool_windows", "pool_epochs"}
_POOL = {"epoch"} | _POOL_ONLY
# told by the keys of the stages before, or by the name of the run
_NOT_OF_A_RUN = {"runs", "cells", "both_cells", "saliency_file"} | _POOL_ONLY


def features(lab: Lab, cells: str | None = None) -> dict[str, dict]:
    """What f_agg reads: for each split the stored windows with h, logits and location maps.

    Keys of a split: ``windows`` (data frame), ``h`` (n, 32), ``logits`` (n, 4), ``location``
    (n, h, w).  Training windows are a pool drawn once; validation and test are the evaluation
    windows.  cells : where the cells of the location maps lie, `fagg.cells` if None.
    """
    stored, location = _stored_windows(lab), _location(lab, cells or lab.settings.fagg.cells)
    return {name: _read_features(stored / name, location / f"{name}.npy") for name in STORED}


def _stored_windows(lab: Lab) -> Path:
    _, folder = best_floc(lab)
    windows, s = evaluation_windows(lab), lab.settings
    inputs = {"floc": key_of(folder), "fagg": s.fagg.model_dump(include=_POOL), "seed": s.seed}

    def compute(place: Path) -> None:
        torch_ready(lab)
        known = np.load(folder / "evaluation.npz")
        split = store(lab).lesions["split"].to_numpy()[windows["lesion"]]
        for name in SCORED:
            rows = np.flatnonzero(split == name)
            _write_features(place / name, windows.iloc[rows].reset_index(drop=True),
                            known["h"][rows], known["logits"][rows])  # fmt: skip
        pool = _training_pool(lab)
        h, logits = outputs(lab, folder, s.floc, pool)
        _write_features(place / "training", pool, h, logits)

    modules = ("windows", "sampling", "patches", "models/floc", "models/backbones")
    return stage(lab, "features", inputs, modules, compute)


def _location(lab: Lab, cells: str) -> Path:
    """The folder of the stored windows' location maps, a file a split."""
    from lesionlib.windows import CELL_SHIFTS, location_maps

    stored, canvas = _stored_windows(lab), lab.settings.canvas
    inputs = {"features": key_of(stored), "cells": cells, "canvas": canvas.map_shape}

    def compute(place: Path) -> None:
        for name in STORED:
            windows = pd.read_parquet(stored / name / "windows.parquet")
            shift = CELL_SHIFTS[cells]
            found = location_maps(windows, canvas.map_shape, canvas.cell, shift=shift)
            np.save(place / f"{name}.npy", found)

    return stage(lab, f"location/{cells}", inputs, ("windows",), compute)


def _training_pool(lab: Lab) -> pd.DataFrame:
    """Windows stored for f_agg's training: of every training lesion, and outside and negative.

    Where the set has patients for f_agg alone, theirs: then it meets maps as on new images, since
    GMIC and f_loc have not seen them.  Wu et al. 2020 train the three networks on the same ones.
    """
    from lesionlib.sampling import sample_epoch, sample_lesion_windows
    from lesionlib.scoring import known_lesions

    images, s = store(lab), lab.settings
    split = AGGREGATION if len(images.image_rows(split=AGGREGATION)) else "training"
    lesions = known_lesions(images, split)
    seed = derive_seed(s.seed, "training pool")
    near = sample_lesion_windows(
        images, lesions, s.fagg.pool_windows, s.windows, seed=seed, training=True
    )
    counts = (0, 0, *(s.fagg.pool_epochs * count for count in s.fagg.epoch[2:]))
    if not any(counts):
        return near
    far = sample_epoch(images, counts, s.windows, split=split, seed=seed)
    return pd.concat([near, far], ignore_index=True)


def _write_features(place: Path, windows: pd.DataFrame, h, logits) -> None:
    place.mkdir(exist_ok=True)
    windows.to_parquet(place / "windows.parquet")
    np.save(place / "h.npy", h)
    np.save(place / "logits.npy", logits)


def _read_features(place: Path, location: Path) -> dict:
    files = {"h": place / "h.npy", "logits": place / "logits.npy", "location": location}
    arrays = {name: np.load(file, mmap_mode="r") for name, file in files.items()}
    return {"windows": pd.read_parquet(place / "windows.parquet"), **arrays}


def fagg(lab: Lab, combination: str, run: int = 0, cells: str | None = None) -> Path:
    """The folder of one trained f_agg: weights, history and lesion scores.

    cells : where the cells of I and E lie, `fagg.cells` if None; nothing else differs, the seed
    neither.
    """
    s = lab.settings
    settings = s.fagg.model_copy(update={"learning_rate": learning_rate(lab, "fagg")})
    other = cells not in (None, s.fagg.cells)
    name = f"fagg_{cells}" if other else "fagg"
    return trained_fagg(lab, f"{name}/{combination}/run{run}", settings, combination, run, cells)


def load_fagg(lab: Lab, combination: str, run: int = 0):
    """A trained f_agg in evaluation mode."""
    from lesionlib.maps import channels
    from lesionlib.models.fagg import FAgg

    net = FAgg(channels(combination), lab.settings.fagg.filters)
    return loaded(lab, fagg(lab, combination, run), net)


def trained_fagg(
    lab: Lab, name: str, settings, combination: str, run: int, cells: str | None = None
) -> Path:
    """The folder of an f_agg trained by these settings (`experiment.FAgg`) as stage `name`."""
    read, maps, s = features(lab, cells), saliency(lab), lab.settings
    seed = derive_seed(s.seed, "fagg", combination, run)
    inputs = {"fagg": settings.model_dump(exclude=_NOT_OF_A_RUN), "combination": combination}
    inputs |= {"seed": seed, "saliency": key_of(lab.runs / "saliency")}
    inputs |= {"features": key_of(lab.runs / "features")}
    inputs |= {"location": key_of(lab.runs / "location" / (cells or s.fagg.cells))}

    def compute(place: Path) -> None:
        from lesionlib.scoring import lesion_predictions, window_scores
        from lesionlib.tasks import FAggTask
        from lesionlib.training import fit

        torch_ready(lab)
        task = FAggTask(read, maps, combination, settings, seed=seed)
        fit(task, place, settings, seed=seed, compute=s.compute, progress=named(lab, name))
        scored = [
            lesion_predictions(
                store(lab), read[split]["windows"], window_scores(task.logits(split)),
                model=combination, run=run,
            )
            for split in SCORED
        ]  # fmt: skip
        pd.concat(scored).to_csv(place / "predictions.csv", index=False)

    return stage(lab, name, inputs, CODE, compute, resumes=True)
