"""What the modules share: counts, log odds, a logistic fit, intervals over patients.

Logistic regression has no penalty here (Cox 1958): it measures, it does not predict.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import logit

from lesionlib.errors import InputError
from lesionlib.metrics import resampling
from lesionlib.scoring import PREDICTION_COLUMNS
from study.tables import TRUTHS, Scores

MINIMUM = 10  # lesions, findings, women or images, below which nothing is estimated
_NEAREST = 1e-6  # a score of 0 or 1 has no finite logit


def counts(s: Scores) -> dict:
    """Numbers that every result is given with: lesions, malignant, benign, patients."""
    malignant = int(s.truth.sum())
    kinds = {"malignant": malignant, "benign": len(s.truth) - malignant}
    return {"lesions": len(s.truth)} | kinds | {"patients": len(np.unique(s.patient))}


def entry(found: resampling.Interval) -> dict:
    """An interval as a dict: value, low, high, kind and its counts."""
    numbers = {"value": found.value, "low": found.low, "high": found.high, "kind": found.kind}
    kinds = {"lesions": found.n, "malignant": found.malignant, "benign": found.benign}
    return numbers | kinds | {"patients": found.patients}


def log_odds(score) -> np.ndarray:
    """Logit of scores, (n,), of which 0 and 1 are moved inwards by 1e-6."""
    return logit(np.clip(np.asarray(score, float), _NEAREST, 1 - _NEAREST))


def logistic(truth: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Coefficients, intercept first, of the logistic regression of truth, (n,), on columns, (n, k).

    Maximum likelihood; NaN where it has no single maximum: a line parts the classes wholly, or a
    column tells nothing of its own.
    """
    from sklearn.linear_model import LogisticRegression  # slow, and most that import this need none

    fit = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8, max_iter=200)
    with warnings.catch_warnings(action="ignore"):  # of what is told below
        fit.fit(columns, truth)
    found = np.concatenate([fit.intercept_, fit.coef_[0]])
    parted = (fit.predict(columns) == truth).all()
    idle = np.linalg.matrix_rank(np.column_stack([np.ones(len(truth)), columns])) < len(found)
    return np.full_like(found, np.nan) if parted or idle else found


def fitted(truth: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """:func:`logistic` of validation lesions; raises InputError where there is no single maximum."""
    found = logistic(truth, columns)
    if np.isnan(found).any():
        what = "no weights can be fitted: the scores are constant, or part the classes wholly"
        raise InputError(what, "validation split", "Use a larger validation split")
    return found


def over_patients(s: Scores, statistic: Callable, resamples: int, seed: int) -> pd.DataFrame:
    """Value and 95 % interval over patients, columns value, low, high, of k numbers.

    statistic : of `times`, int (lesions, n), how often each lesion is in each resample -> (n, k).
    """

    def each(truth, score, times=None):
        once = np.ones((len(truth), 1), np.int32)
        return statistic(once)[0] if times is None else statistic(times)

    return resampling.band(s.truth, s.mean, s.patient, each, resamples, seed)


def part(s: Scores, rows: np.ndarray) -> Scores:
    """The scores of some lesions."""
    return Scores(s.model, s.lesion[rows], s.patient[rows], s.truth[rows], s.runs[rows])


def test_rows(s: Scores, name: str, runs: np.ndarray) -> pd.DataFrame:
    """Predictions of the test split under another name; runs : scores, (lesions, runs)."""
    head = {"lesion_id": s.lesion, "patient_id": s.patient, "split": "test"}
    head |= {"y_true": s.truth.astype(int), "model": name}
    parts = [pd.DataFrame(head | {"run": k, "y_score": x}) for k, x in enumerate(runs.T)]
    return pd.concat(parts, ignore_index=True)[list(PREDICTION_COLUMNS)]


def class_counts(predictions: pd.DataFrame, split: str) -> tuple[int, int]:
    """Malignant and benign lesions of a split."""
    each = predictions[predictions["split"] == split].drop_duplicates("lesion_id")["y_true"]
    truth = each.astype(str).str.lower().map(TRUTHS)
    return int((truth == 1).sum()), int((truth == 0).sum())
