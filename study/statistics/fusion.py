"""Late fusion: do two finished scores, put together, do as well as f_agg on both maps?

The mean of logits treats two classifiers as independent witnesses (Kittler et al. 1998); the fitted
one weighs them by logistic regression on the validation split.  They are further models of the
predictions frame, so that every table and comparison takes them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from lesionlib.errors import InputError
from study import tables
from study.statistics import common
from study.statistics.calibration import probabilities

LATE, FITTED = "late E & S", "fitted E & S"
LATE_PLACED, LATE_PATCH = "late E & I+S", "f_loc + S"
# name -> (the two models, whether their weights are fitted)
FUSIONS = {
    LATE: (("E", "S"), False),
    FITTED: (("E", "S"), True),
    LATE_PLACED: (("E", "I+S"), False),
    LATE_PATCH: (("f_loc", "S"), False),
}


def fuse(predictions: pd.DataFrame, name: str) -> pd.DataFrame:
    """Predictions of one of `FUSIONS` on the test split.

    Run r is fused with run r; a model with one run lends it to all runs of the other.
    Raises InputError where the models differ in lesions, or in runs otherwise.
    """
    models, fitted = FUSIONS[name]
    test = tables.pair(predictions, *models)
    judged = _logits(*test)
    if fitted:
        known = [probabilities(predictions, model, "validation") for model in models]
        weights = [common.fitted(known[0].truth, x) for x in _logits(*known)]
    else:
        weights = [np.array([0, 0.5, 0.5])] * len(judged)
    scores = [expit(w[0] + x @ w[1:]) for w, x in zip(weights, judged, strict=True)]
    return common.test_rows(test[0], name, np.column_stack(scores))


def _logits(one: tables.Scores, two: tables.Scores) -> list[np.ndarray]:
    """Logits of both models, (lesions, 2), of each run."""
    a, b = (common.log_odds(s.runs) for s in (one, two))
    runs = max(a.shape[1], b.shape[1])
    if not {a.shape[1], b.shape[1]} <= {1, runs}:
        what = f"{one.model} has {a.shape[1]} runs, {two.model} {b.shape[1]}"
        raise InputError(what, "fusion", "Score as many runs with both, or one with one of them")
    a, b = (np.tile(x, runs) if x.shape[1] == 1 else x for x in (a, b))
    return [np.column_stack(x) for x in zip(a.T, b.T, strict=True)]


def with_fusions(predictions: pd.DataFrame) -> pd.DataFrame:
    """The frame, and the test rows of each of `FUSIONS` that it has the models for, scored in 0..1.

    Weights are fitted where validation has at least `common.MINIMUM` lesions of each class.
    """
    numbers = pd.to_numeric(predictions["y_score"], errors="coerce")
    is_share = numbers.between(0, 1).groupby(predictions["model"]).all()
    found = set(is_share.index[is_share])
    fits = min(common.class_counts(predictions, "validation")) >= common.MINIMUM
    able = [n for n, (m, fitted) in FUSIONS.items() if set(m) <= found and (fits or not fitted)]
    return pd.concat([predictions, *(fuse(predictions, name) for name in able)], ignore_index=True)
