"""The windows that are stored: those that judge every model, and those that f_agg learns from.

Folders: ``runs/<experiment>/windows/evaluation`` (drawn once for all models), ``training`` (f_agg's
pool), ``location/<cells>`` (the maps I of both, one file per split).  h and logits of the evaluation
windows are in the folder of each f_loc, those of the pool in ``windows/outputs/<run>``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from data_manifest.manifest import AGGREGATION
from lesionlib import windows as geometry
from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.stages import once, stage
from study.steps.data import need_lesions, store

SCORED = ("validation", "test")
STORED = ("training", *SCORED)  # splits whose windows f_agg reads
EVALUATION, TRAINING = "windows/evaluation", "windows/training"
LOCATION, OUTPUTS = "windows/location", "windows/outputs"
FILE = "windows.parquet"


@once
def evaluation_windows(lab: Lab) -> pd.DataFrame:
    """The windows by which each validation and test lesion is judged, drawn once for all models."""
    from lesionlib.sampling import sample_lesion_windows
    from lesionlib.scoring import known_lesions

    need_lesions(lab)
    images, s = store(lab), lab.settings
    each = s.evaluation.windows_per_lesion
    inputs = {"windows": s.windows.model_dump(), "each": each, "seed": s.seed}

    def compute(place: Path) -> None:
        drawn = sample_lesion_windows(
            images, known_lesions(images, *SCORED), each, s.windows,
            seed=derive_seed(s.seed, "evaluation windows"), training=False,
        )  # fmt: skip
        drawn.to_parquet(place / FILE)

    return pd.read_parquet(stage(lab, EVALUATION, inputs, compute, reads=["store"]) / FILE)


@once
def training_windows(lab: Lab) -> pd.DataFrame:
    """Windows stored for f_agg's training: of every training lesion, and outside and negative.

    Where the set has patients for f_agg alone, theirs: then it meets maps as on new images, since
    GMIC and f_loc have not seen them.  Wu et al. 2020 train the three networks on the same ones.
    """
    from lesionlib.sampling import sample_epoch, sample_lesion_windows
    from lesionlib.scoring import known_lesions

    need_lesions(lab)
    images, s = store(lab), lab.settings
    inputs = {"windows": s.windows.model_dump(), "seed": s.seed}
    inputs |= {"fagg": s.fagg.model_dump(include={"epoch", "pool_windows", "pool_epochs"})}

    def compute(place: Path) -> None:
        split = AGGREGATION if len(images.image_rows(split=AGGREGATION)) else "training"
        seed = derive_seed(s.seed, "training pool")
        lesions = known_lesions(images, split)
        drawn = sample_lesion_windows(
            images, lesions, s.fagg.pool_windows, s.windows, seed=seed, training=True
        )
        counts = (0, 0, *(s.fagg.pool_epochs * count for count in s.fagg.epoch[2:]))
        if any(counts):
            far = sample_epoch(images, counts, s.windows, split=split, seed=seed)
            drawn = pd.concat([drawn, far], ignore_index=True)
        drawn.to_parquet(place / FILE)

    return pd.read_parquet(stage(lab, TRAINING, inputs, compute, reads=["store"]) / FILE)


def of_split(lab: Lab, split: str) -> np.ndarray:
    """Rows of the evaluation windows whose lesions are in this split."""
    of_lesion = store(lab).lesions["split"].to_numpy()
    return np.flatnonzero(of_lesion[evaluation_windows(lab)["lesion"]] == split)


@once
def stored_windows(lab: Lab) -> dict[str, pd.DataFrame]:
    """The windows that f_agg reads, by split: training, validation and test."""
    windows = evaluation_windows(lab)
    scored = {name: windows.iloc[of_split(lab, name)].reset_index(drop=True) for name in SCORED}
    return {"training": training_windows(lab)} | scored


@once
def location_maps(lab: Lab, cells: str) -> dict[str, np.ndarray]:
    """Maps I of the stored windows, by split: float32 (n, h, w), shares of each cell's area.

    cells : where the cells are, a name of `lesionlib.windows.CELL_SHIFTS`.
    """
    windows, canvas = stored_windows(lab), lab.settings.canvas
    inputs = {"cells": cells, "canvas": canvas.map_shape}

    def compute(place: Path) -> None:
        for name in STORED:
            found = geometry.location_maps(
                windows[name], canvas.map_shape, canvas.cell, shift=geometry.CELL_SHIFTS[cells]
            )
            np.save(place / f"{name}.npy", found)

    place = stage(lab, f"{LOCATION}/{cells}", inputs, compute, reads=(TRAINING, EVALUATION))
    return {name: np.load(place / f"{name}.npy", mmap_mode="c") for name in STORED}
