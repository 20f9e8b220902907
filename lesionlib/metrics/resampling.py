"""Intervals over patients (bootstrap of clusters; Efron and Tibshirani 1993).

Patients are independent; two views of a finding, or two findings of a breast, are not.  Intervals
resample *patients*, each with all of their lesions, and take percentiles.

Resample i is drawn with the seed (seed, i) alone, so that two models see the same resamples.  One
in which a class is absent is drawn again and counted in `redrawn`.  The resamples of a set of
patients are drawn once for every metric and model; AUC and TNR are computed in all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.metrics.roc import _auc, _patient_codes, _rising, _totals, checked

Statistic = str | Callable
_MOST_DRAWS = 1000
_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile interval over patients, and what it rests on."""

    value: float
    low: float
    high: float
    malignant: int  # lesions
    benign: int
    patients: int
    resamples: int
    redrawn: int
    seed: int
    kind: str = "95 % over patients"

    @property
    def n(self) -> int:
        """Number of lesions."""
        return self.malignant + self.benign

    def __str__(self) -> str:
        counts = f"{self.n} lesions, {self.malignant} malignant, {self.patients} patients"
        again = f", {self.redrawn} redrawn" if self.redrawn else ""
        text = f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] {self.kind}"
        return f"{text} ({counts}; {self.resamples} resamples{again})"


def interval(
    y, score, patient, statistic: Statistic = "auc", n: int = 2000, seed: int = 0
) -> Interval:
    """A statistic of one score with its 95 % interval over patients.

    Parameters
    ----------
    y, score, patient : array of shape (lesions,)
    statistic : "auc", or a function (truth bool, score) -> float
        One that has an argument `times`, as `tnr_at`, is called once for all resamples.
    n : int, number of resamples
    seed : int

    Returns
    -------
    Interval

    Raises
    ------
    InputError
        For an unknown statistic, no resample, resamples of one class only, and what
        `metrics.roc` refuses.
    """
    return _interval(y, (score,), patient, statistic, n, seed)


def paired_difference(
    y, a, b, patient, statistic: Statistic = "auc", n: int = 2000, seed: int = 0
) -> Interval:
    """The difference statistic(a) - statistic(b), with its 95 % interval over patients.

    Both scores are resampled together, so that what they share cancels.

    Parameters
    ----------
    y, a, b, patient : array of shape (lesions,)
    statistic, n, seed : as :func:`interval`

    Returns
    -------
    Interval
    """
    return _interval(y, (a, b), patient, statistic, n, seed)


def band(y, score, patient, statistic: Callable, n: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Pointwise 95 % intervals over patients of a statistic that is an array.

    Parameters
    ----------
    y, score, patient, n, seed : as :func:`interval`
    statistic : function (truth bool, score) -> array of shape (k,), with `times` (n, k)
        E.g. ``partial(tnr_at, fnr=fnr)``.

    Returns
    -------
    DataFrame of k rows
        Columns value, low, high.

    Raises
    ------
    InputError
        As :func:`interval`.
    """
    value, drawn = resampled(y, score, patient, statistic, n, seed)
    low, high = np.quantile(drawn, _ENDS, axis=0)
    return pd.DataFrame({"value": value, "low": low, "high": high})


def resampled(
    y,
    score,
    patient,
    statistic: Statistic = "auc",
    n: int = 2000,
    seed: int | tuple[int, ...] = 0,
    less=None,
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of one score, and its values in the resamples that its interval is read from.

    Parameters
    ----------
    y, score, patient, n : as :func:`interval`
    statistic : as :func:`interval`, or one that is an array of shape (k,), with `times` (n, k)
    seed : int, or several of which each is a part of the seed
    less : another score of the same lesions, whose statistic is subtracted

    Returns
    -------
    float or array of shape (k,), array of shape (n,) or (n, k)

    Raises
    ------
    InputError
        As :func:`interval`.
    """
    entropy = seed if isinstance(seed, tuple) else (seed,)
    scores = (score,) if less is None else (score, less)
    return _resampled(y, scores, patient, statistic, n, entropy)[1:]


def _interval(y, scores, patient, statistic, n, seed) -> Interval:
    sample, value, drawn = _resampled(y, scores, patient, statistic, n, (seed,))
    low, high = np.quantile(drawn, _ENDS, axis=0)
    counts = *sample.kinds.sum(axis=0).tolist(), len(sample.kinds), n, sample.redrawn
    return Interval(float(value), float(low), float(high), *counts, seed)


def _resampled(y, scores, patient, statistic, n, entropy):
    """The resamples; the statistic of a score, or of two the difference; its value in each."""
    names = ("score",) if len(scores) == 1 else ("a", "b")
    pairs = [checked(y, s, name) for s, name in zip(scores, names, strict=True)]
    if statistic != "auc" and not callable(statistic):
        raise InputError(f"statistic {statistic!r}", "statistic", "Give 'auc' or a function")
    truth, scores = pairs[0][0], [score for _, score in pairs]
    codes, _ = _patient_codes(patient, truth.size)
    sample = _Resamples(truth.tobytes(), codes.tobytes(), n, entropy)
    if statistic == "auc":
        wins = [_wins(sample, score.tobytes()) for score in scores]
        statistic, drawn = _auc, (wins[0] - sum(wins[1:])) / sample.pairs
    elif "times" in signature(statistic).parameters:
        drawn = sample.value(statistic, scores, times=sample.counts[sample.codes])
    else:
        drawn = np.array([sample.value(statistic, scores, rows) for rows in sample.rows()])
    return sample, sample.value(statistic, scores), drawn


@lru_cache(maxsize=4)
class _Resamples:
    """Lesions of k patients, and how often each patient is in each of n resamples."""

    def __init__(self, truth: bytes, codes: bytes, n: int, entropy: tuple[int, ...]):
        if n < 1:
            raise InputError(f"{n} resamples", "n", "Ask for 2,000: they give a stable interval")
        self.truth, self.codes = np.frombuffer(truth, bool), np.frombuffer(codes, np.intp)
        # (k, 2) malignant and benign lesions
        self.kinds = pd.crosstab(self.codes, ~self.truth).to_numpy()
        counts, repeats = zip(*(self._draw((*entropy, i)) for i in range(n)), strict=True)
        self.counts, self.redrawn = np.array(np.transpose(counts), np.int32), sum(repeats)
        self.pairs = np.prod(self.kinds.T @ self.counts, axis=0)  # (malignant, benign)

    def _draw(self, entropy: tuple[int, ...]) -> tuple[np.ndarray, int]:
        rng, k = np.random.default_rng(entropy), len(self.kinds)
        for attempt in range(_MOST_DRAWS):
            counts = np.bincount(rng.integers(k, size=k), minlength=k)
            if (counts @ self.kinds > 0).all():
                return counts, attempt
        what = f"{_MOST_DRAWS} resamples of {k} patients hold one class only"
        remedy = "Enlarge the test split: each class needs lesions in several patients"
        raise InputError(what, "resampling", remedy)

    def rows(self) -> Iterator[np.ndarray]:
        """The lesions of each resample, patient by patient."""
        ends = np.cumsum(self.kinds.sum(axis=1))
        of_patient = np.split(np.argsort(self.codes, kind="stable"), ends[:-1])
        for times in self.counts.T:
            yield np.concatenate([of_patient[p] for p in np.repeat(np.arange(len(times)), times)])

    def value(self, statistic, scores, rows=slice(None), **more) -> np.ndarray:
        parts = [np.asarray(statistic(self.truth[rows], s[rows], **more), float) for s in scores]
        return parts[0] - parts[1] if len(parts) == 2 else parts[0]


@lru_cache(maxsize=16)  # a table compares each model with several others
def _wins(sample: _Resamples, score: bytes) -> np.ndarray:
    """(n,) pairs (malignant, benign) in order, ties as one half: sums of halves, which are exact."""
    score, times = np.frombuffer(score), sample.counts[sample.codes]
    malignant, own = _rising(score, sample.truth, times)
    benign, other = _rising(score, ~sample.truth, times)
    lower, upper = (np.searchsorted(benign, malignant, side) for side in ("left", "right"))
    below = _totals(other)
    return np.einsum("mn,mn->n", own, below[lower] + below[upper], dtype=np.int64) / 2
