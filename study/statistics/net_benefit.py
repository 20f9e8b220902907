"""Decision curves (Vickers and Elkin 2006): is it worth it to let a model decide upon biopsy?

Whoever would biopsy at a probability of malignancy of t holds one missed malignant lesion for as bad
as (1 - t) / t needless biopsies.  The net benefit counts malignant lesions found, less benign ones
biopsied at that exchange, per lesion.  A model is worth its use where it exceeds both "biopsy all"
and "biopsy none" (0).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from study.statistics import common
from study.statistics.calibration import probabilities

ALL, NONE = "biopsy all", "biopsy none"
THRESHOLDS = tuple(np.round(np.arange(0.01, 0.51, 0.01), 2))


def net_benefit(truth, score, times, at: Sequence[float], share: float | None = None) -> np.ndarray:
    """Net benefit of biopsy where score >= t, for k t's `at` in n resamples, float (n, k).

    truth, score : (lesions,).  times : int (lesions, n), how often each is in each resample.
    share : of malignant lesions where the model is used; by default that of the lesions.
    """
    malignant, benign = (times[kind].sum(axis=0) for kind in (truth, ~truth))
    share = malignant / (malignant + benign) if share is None else share
    columns = []
    for t in at:
        found = times[truth & (score >= t)].sum(axis=0) / malignant
        needless = times[~truth & (score >= t)].sum(axis=0) / benign
        columns.append(found * share - needless * (1 - share) * t / (1 - t))
    return np.stack(columns, axis=-1)


def decision_curves(
    predictions: pd.DataFrame, models, at=THRESHOLDS, share=None, *, resamples=2000, seed=0
) -> pd.DataFrame:
    """Net benefit of models, of "biopsy all" and of "biopsy none", with 95 % over patients.

    predictions : recalibrate first (`calibration.platt`): a threshold probability means nothing to
        scores of another prevalence.  models : names.  at : threshold probabilities.

    Columns: model, threshold, value, low, high, lesions, malignant, benign, patients.  Raises
    InputError for scores or thresholds that are no probabilities.
    """
    if not all(0 < t < 1 for t in at):
        raise InputError("a threshold outside 0..1", "decision_curves", "Give probabilities")
    known, parts = [probabilities(predictions, model) for model in models], []
    everyone = np.ones(len(known[0].truth))
    for s, name, score in [*((s, s.model, s.mean) for s in known), (known[0], ALL, everyone)]:
        curve = partial(net_benefit, s.truth, score, at=at, share=share)
        found = common.over_patients(s, curve, resamples, seed)
        parts.append(found.assign(model=name, threshold=list(at), **common.counts(s)))
    none = dict.fromkeys(("value", "low", "high"), 0.0) | {"model": NONE}
    table = pd.concat([*parts, parts[-1].assign(**none)], ignore_index=True)
    first = ["model", "threshold", "value", "low", "high"]
    return table[[*first, *table.columns.drop(first)]]
