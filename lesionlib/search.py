"""Random search over the learning rate (Wu et al. 2020: log-uniform, chosen by validation AUC).

Promises: trial k is the same whatever ran before it, so trials can be added, left out or run side
by side; the test split is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from lesionlib import provenance
from lesionlib.errors import InputError
from lesionlib.experiment import derive_seed, rng
from lesionlib.training import Diverged, Progress, Task, fit

COLUMNS = ("trial", "learning_rate", "score", "best_epoch")


def draw_trial(seed: int, k: int, low: float, high: float) -> float:
    """The learning rate of trial k = 0, 1, ...: log-uniform in [low, high].

    Raises InputError unless 0 < low <= high.
    """
    if not 0 < low <= high:
        raise InputError(
            f"a learning rate cannot be drawn from {low:g}..{high:g}",
            "search",
            "Give two positive numbers, the lower one first",
        )
    share = rng(seed, "trial", k).random()
    return min(max(low * (high / low) ** share, low), high)


def run_search(
    make_task: Callable[..., Task],
    folder: Path | str,
    settings,
    trials: int,
    *,
    low: float,
    high: float,
    epochs: int,
    seed: int,
    compute,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train `trials` networks that differ by learning rate and seed; a row a trial.

    make_task : called as ``make_task(settings, seed)`` with the trial's own settings and seed.
    folder : gets ``trial-00/`` ... (see `training.fit`; finished ones are not repeated) and
        ``search.csv``, written after each trial.
    settings : of the network, with learning rate and epochs replaced.

    Columns: trial, learning_rate, score (best validation AUC) and best_epoch; a trial whose loss is
    no number has an empty score and best_epoch 0.
    """
    folder, rows = Path(folder), []
    for k in range(trials):
        rate = draw_trial(seed, k, low, high)
        own = settings.model_copy(update={"learning_rate": rate, "epochs": epochs})
        own_seed, place = derive_seed(seed, "trial", k), folder / f"trial-{k:02d}"
        try:
            task = make_task(own, own_seed)
            run = fit(task, place, own, seed=own_seed, compute=compute, progress=progress)
            rows.append((k, rate, run.best_score, run.best_epoch))
        except Diverged as fault:
            if progress:
                progress(f"trial {k} has no score: {fault}")
            rows.append((k, rate, math.nan, 0))
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        provenance.write_text(folder / "search.csv", table.to_csv(index=False))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def best_trial(table: pd.DataFrame) -> pd.Series:
    """The trial with the highest validation score; of equal ones the first.

    Raises InputError where no trial has a score.
    """
    if table["score"].notna().sum() == 0:
        raise InputError(
            f"none of {len(table)} trials has a score", "search", "Lower the range's upper end"
        )
    return table.loc[table["score"].idxmax()]
