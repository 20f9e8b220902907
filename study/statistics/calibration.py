"""Whether a score of .3 means that 3 in 10 such lesions are malignant, and what mends it.

Intercept and slope of Cox (1958) as Van Calster et al. (2019) recommend them: the slope is 1 and the
intercept 0 where scores are right; a slope below 1 says that scores are too extreme, an intercept
below 0 that they are too high.  f_agg learns from lesion classes of equal weight, so that its scores
are at home where half of the lesions are malignant; a test set of another share shifts them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

from lesionlib.errors import InputError
from lesionlib.metrics import resampling
from study import tables
from study.statistics import common

PLATT, SHIFTED = "Platt", "shifted"  # a recalibrated model is named "E+S, Platt"
TRAINED = 0.5  # share of malignant among the lesion windows, weighted as in training


def intercept_and_slope(truth, score, patient) -> dict[str, dict]:
    """Calibration intercept (the slope fixed at 1) and slope of lesions, (n,) each (Cox 1958).

    Each has value, low, high: normal 95 % intervals, variance clustered by patient (Liang and Zeger
    1986); None for the slope where the score parts the classes wholly.
    """
    x = common.log_odds(score)
    shift = brentq(lambda a: np.sum(expit(x + a) - truth), -40, 40)
    codes, design = pd.factorize(patient)[0], np.column_stack([np.ones_like(x), x])
    se = _clustered_se(design[:, :1], truth - expit(x + shift), codes)[0]
    found = common.logistic(truth, x[:, None])
    errors = _clustered_se(design, truth - expit(design @ found), codes)
    return {"intercept": _normal(shift, se), "slope": _normal(found[1], errors[1])}


def _clustered_se(design: np.ndarray, residual: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Standard errors by the sandwich of the information and the patients' summed scores."""
    if not np.isfinite(residual).all():
        return np.full(design.shape[1], np.nan)
    # |residual| (1 - |residual|) is p (1 - p), whichever the truth
    weight = np.abs(residual) * (1 - np.abs(residual))
    bread = np.linalg.inv(design.T @ (design * weight[:, None]))
    each = pd.DataFrame(design * residual[:, None]).groupby(codes).sum().to_numpy()
    k = len(each)
    return np.sqrt(np.diag(bread @ (each.T @ each) @ bread) * k / max(k - 1, 1))


def _normal(value: float, se: float) -> dict:
    if not np.isfinite([value, se]).all():
        return {"value": None, "low": None, "high": None}
    half = float(ndtri(0.975) * se)
    return {"value": float(value), "low": float(value) - half, "high": float(value) + half}


def brier(truth: np.ndarray, score: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Mean squared distance of score and truth, (lesions,) (Brier 1950), in each resample."""
    squares = (score - truth) ** 2
    return squares.mean() if times is None else squares @ times / times.sum(axis=0)


def calibration(
    predictions: pd.DataFrame, model: str, *, resamples=2000, seed=0
) -> dict[str, dict]:
    """Intercept, slope and Brier score of a model's run-averaged score, 0..1.

    Each of the three has value, low, high, kind, lesions, malignant, benign, patients; `brier` also
    `constant`, the score of the share of malignant lesions, given to every lesion.
    """
    s = probabilities(predictions, model)
    held = {"kind": "95 % by patient, normal"} | common.counts(s)
    out = {k: v | held for k, v in intercept_and_slope(s.truth, s.mean, s.patient).items()}
    over = resampling.interval(s.truth, s.mean, s.patient, brier, resamples, seed)
    share = float(s.truth.mean())
    return out | {"brier": common.entry(over) | {"constant": share * (1 - share)}}


def calibration_table(
    predictions: pd.DataFrame, models: Sequence[str], *, resamples=2000, seed=0
) -> pd.DataFrame:
    """:func:`calibration` of several models on the test split, one row per model and measure.

    Columns: model, measure (intercept, slope, brier), value, low, high, right (the value where every
    probability is right; for `brier` that of the constant score), kind, lesions, malignant, benign,
    patients.
    """
    rows = []
    for model in models:
        found = calibration(predictions, model, resamples=resamples, seed=seed)
        right = {"intercept": 0.0, "slope": 1.0, "brier": found["brier"].pop("constant")}
        rows += [{"model": model, "measure": k, "right": right[k]} | v for k, v in found.items()]
    first = ["model", "measure", "value", "low", "high", "right"]
    table = pd.DataFrame(rows)
    return table[[*first, *table.columns.drop(first)]]


def probabilities(predictions: pd.DataFrame, model: str, split: str = "test") -> tables.Scores:
    """`tables.scores`; raises InputError for scores outside 0..1."""
    s = tables.scores(predictions, model, split)
    if s.runs.min() < 0 or s.runs.max() > 1:
        what = f"scores of {model} from {s.runs.min():g} to {s.runs.max():g}"
        raise InputError(what, f"predictions, {split} split", "Give probabilities, 0..1")
    return s


def reliability(predictions: pd.DataFrame, model: str, bins: int = 10) -> pd.DataFrame:
    """Share of malignant lesions in bins of equal counts, next to the mean score.

    bins : number, fewer where scores are tied.  Columns: score (mean), score_low, score_high, value
    (share malignant), low, high, lesions, malignant.  The intervals (Wilson 1927) take lesions as
    independent: they are too narrow where patients have several.
    """
    from scipy.stats import binomtest  # slow, and most that import this need none

    s = probabilities(predictions, model)
    bin_of = np.nan_to_num(pd.qcut(s.mean, bins, labels=False, duplicates="drop"))  # nan: one bin
    rows = []
    for _, part in pd.DataFrame({"score": s.mean, "truth": s.truth}).groupby(bin_of):
        n, malignant = len(part), int(part["truth"].sum())
        ends = binomtest(malignant, n).proportion_ci(method="wilson")
        held = part["score"].mean(), part["score"].min(), part["score"].max()
        rows.append([*held, malignant / n, ends.low, ends.high, n, malignant])
    names = ["score", "score_low", "score_high", "value", "low", "high", "lesions", "malignant"]
    return pd.DataFrame(rows, columns=names)


def platt(predictions: pd.DataFrame, model: str) -> pd.DataFrame:
    """A model recalibrated on the validation split, run by run (Platt 1999): "<model>, Platt".

    Returns predictions of the test split: the logistic function of a + b logit(score), with a and b
    fitted to the validation lesions of the same run.  Raises InputError where that cannot be done.
    """
    if min(common.class_counts(predictions, "validation")) < common.MINIMUM:
        what = f"fewer than {common.MINIMUM} lesions of a class"
        raise InputError(what, "validation split", "Score more validation lesions")
    known, test = (probabilities(predictions, model, part) for part in ("validation", "test"))
    columns = []
    for fitted, judged in zip(known.runs.T, test.runs.T, strict=True):
        a, b = common.fitted(known.truth, common.log_odds(fitted)[:, None])
        columns.append(expit(a + b * common.log_odds(judged)))
    return common.test_rows(test, f"{model}, {PLATT}", np.column_stack(columns))


def obstacle(predictions: pd.DataFrame, model: str) -> str:
    """Why :func:`platt` cannot be applied to a model; "" where it can."""
    try:
        platt(predictions, model)
    except InputError as error:
        return str(error)
    return ""


def recalibrated(predictions: pd.DataFrame, model: str, share: float) -> pd.DataFrame:
    """A model's scores as probabilities where this share of the lesions is malignant.

    Fitted to the validation split (:func:`platt`), and then moved from its share of malignant lesions
    to `share` (:func:`shifted`).  Where that cannot be done, the scores are taken for probabilities
    at the test split's own share.
    Returns predictions of the test split under the model's own name.
    """
    fits = not obstacle(predictions, model)
    own = tables.scores(predictions, model, "validation" if fits else "test").truth.mean()
    fitted = platt(predictions, model) if fits else predictions[predictions["model"] == model]
    moved = shifted(fitted.assign(model=model), model, share, own)
    return moved.assign(model=model)


def shifted(
    predictions: pd.DataFrame, model: str, share: float | None = None, trained: float = TRAINED
) -> pd.DataFrame:
    """A model moved from one share of malignant lesions to another: "<model>, shifted".

    share : where the score is used; by default that of the validation split.  trained : in training.
    Returns predictions of the test split whose logit is moved by logit(share) - logit(trained)
    (Saerens et al. 2002).
    """
    test = probabilities(predictions, model)
    share = tables.scores(predictions, model, "validation").truth.mean() if share is None else share
    moved = expit(common.log_odds(test.runs) + logit(share) - logit(trained))
    return common.test_rows(test, f"{model}, {SHIFTED}", moved)
