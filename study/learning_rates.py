"""Random search over the learning rate (Wu et al. 2020: log-uniform, chosen by validation AUC).

Promises: trial k is the same whatever ran before it, so trials can be added, left out or run side
by side; the test split is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pandas as pd

from lesionlib.errors import InputError
from lesionlib.seeds import rng
from lesionlib.training import Diverged, Progress, TrainingResult

COLUMNS = ("trial", "learning_rate", "validation_auc", "best_epoch")


def draw_trial(seed: int, k: int, low: float, high: float) -> float:
    """The learning rate of one trial, log-uniform in [low, high].

    Parameters
    ----------
    seed : of the search.
    k : number of the trial, 0, 1, ...
    low, high : of the range.

    Returns
    -------
    A learning rate.

    Raises
    ------
    InputError : unless 0 < low <= high.
    """
    if not 0 < low <= high:
        what = f"a learning rate cannot be drawn from {low:g}..{high:g}"
        raise InputError(what, "search", "Give two positive numbers, the lower one first")
    share = rng(seed, "trial", k).random()
    return min(max(low * (high / low) ** share, low), high)


def run_search(
    train: Callable[[int, float], TrainingResult],
    trials: Iterable[int],
    *,
    low: float,
    high: float,
    seed: int,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train one network per trial, at that trial's learning rate.

    Parameters
    ----------
    train : called as ``train(k, learning_rate)``; keeps and reuses what it trained by itself.
    trials : the numbers k of the trials, all of a search or a few of it.
    low, high : of the range of learning rates.
    seed : of the search.
    progress : called with a line of text for each trial that diverged.

    Returns
    -------
    One row per trial: trial, learning_rate, validation_auc (of the best epoch) and best_epoch; a
    trial that diverged has an empty AUC and best_epoch 0.
    """
    rows = []
    for k in trials:
        rate = draw_trial(seed, k, low, high)
        try:
            run = train(k, rate)
            rows.append((k, rate, run.best_score, run.best_epoch))
        except Diverged as fault:
            if progress:
                progress(f"trial {k} has no score: {fault}")
            rows.append((k, rate, math.nan, 0))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def best_trial(table: pd.DataFrame) -> pd.Series:
    """The trial with the highest validation AUC; of equal ones the first.

    Parameters
    ----------
    table : of :func:`run_search`.

    Returns
    -------
    Its row.

    Raises
    ------
    InputError : where no trial has a score.
    """
    if table["validation_auc"].isna().all():
        raise InputError("no trial has a score", "search", "Lower the range's upper end")
    return table.loc[table["validation_auc"].idxmax()]
