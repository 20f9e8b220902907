"""Intervals over patients (bootstrap of clusters; Efron and Tibshirani 1993), and over runs.

Patients are independent; two views of a finding, or two findings of a breast, are not.  Intervals
resample *patients*, each with all of their lesions, and take percentiles.  :func:`runs_interval` is
the "+-" of Wu et al. 2020, the spread of repeated runs on the same lesions.

Resample i is drawn with the seed (seed, i) alone, so that two models see the same resamples.  One
in which a class is absent is drawn again and counted in `redrawn`.

The AUC is computed here and not by scikit-learn: a rank sum rounds once, scikit-learn's trapezoids
differ from it by up to 2e-16 and take 14 times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.metrics.roc import _Z95, _auc, _patient_codes, checked

Statistic = str | Callable[[np.ndarray, np.ndarray], float]
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


@dataclass(frozen=True)
class PooledInterval(Interval):
    """The mean of several sets' differences; counts are summed over the sets."""

    each: tuple[float, ...] = ()  # difference in each set
    sd: float = float("nan")  # of these differences
    kind: str = "95 % over patients within sets"


@dataclass(frozen=True)
class RunsInterval:
    """Mean and spread of n repeated runs on the same lesions: the paper's "+-"."""

    mean: float
    sd: float
    low: float
    high: float
    n: int
    kind: str = "mean +- 1.96 SD over runs"


def runs_interval(values) -> RunsInterval:
    """Mean, SD (n - 1 in the denominator) and mean +- 1.96 SD over runs.

    It says how much another run of the same training would differ, not another sample of lesions.

    Parameters
    ----------
    values : array of shape (runs,)

    Returns
    -------
    RunsInterval
        With one run the SD and the interval are NaN.

    Raises
    ------
    InputError
        For no run, and for values that are not finite.
    """
    x = np.asarray(values, float).ravel()
    if x.size == 0 or not np.isfinite(x).all():
        what = f"{x.size} runs, {np.sum(~np.isfinite(x))} not finite"
        raise InputError(what, "values", "Give one finite number per run")
    mean, sd = float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else float("nan")
    return RunsInterval(mean, sd, mean - _Z95 * sd, mean + _Z95 * sd, x.size)


def interval(
    y, score, patient, statistic: Statistic = "auc", n: int = 2000, seed: int = 0
) -> Interval:
    """A statistic of one score with its 95 % interval over patients.

    Parameters
    ----------
    y, score, patient : array of shape (lesions,)
    statistic : "auc", or a function (truth bool, score) -> float
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
    return _Sample.of(y, (score,), patient).interval(statistic, n, (seed,))[0]


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
    return _Sample.of(y, (a, b), patient).interval(statistic, n, (seed,))[0]


def pooled_difference(
    sets: Sequence[Sequence], statistic: Statistic = "auc", n: int = 2000, seed: int = 0
) -> PooledInterval:
    """The mean over independent test sets of the paired difference a - b.

    Patients are resampled within each set.  Set j of resample i is seeded with (seed, j, i), so
    that another set changes no existing draw.

    Parameters
    ----------
    sets : sequence of (y, a, b, patient)
        The arrays of :func:`paired_difference`, one entry per test set (a seed of the phantom).
    statistic, n, seed : as :func:`interval`

    Returns
    -------
    PooledInterval

    Raises
    ------
    InputError
        For no set, and as :func:`interval`.
    """
    if not len(sets):
        raise InputError("no test set", "pooled_difference", "Give at least one set")
    parts = [
        _Sample.of(y, (a, b), patient).interval(statistic, n, (seed, j))
        for j, (y, a, b, patient) in enumerate(sets)
    ]
    each = runs_interval([part.value for part, _ in parts])
    low, high = np.quantile(np.mean([drawn for _, drawn in parts], axis=0), _ENDS)
    names = ("malignant", "benign", "patients", "redrawn")
    total = {name: sum(getattr(part, name) for part, _ in parts) for name in names}
    total |= {"resamples": n, "seed": seed, "each": tuple(part.value for part, _ in parts)}
    return PooledInterval(each.mean, float(low), float(high), sd=each.sd, **total)


def band(
    y,
    score,
    patient,
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    n: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Pointwise 95 % intervals over patients of a statistic that is an array.

    Parameters
    ----------
    y, score, patient, n, seed : as :func:`interval`
    statistic : function (truth bool, score) -> array of shape (k,)

    Returns
    -------
    DataFrame of k rows
        Columns value, low, high.

    Examples
    --------
    >>> band(y, score, patient, lambda t, s: tnr_at(t, s, fnr))  # doctest: +SKIP
    """
    value, drawn, _ = _Sample.of(y, (score,), patient).general(statistic, n, (seed,))
    low, high = np.quantile(drawn, _ENDS, axis=0)
    return pd.DataFrame({"value": value, "low": low, "high": high})


@dataclass(frozen=True)
class _Sample:
    """Lesions with one score, or two to be subtracted, and the patient (0..k-1) of each."""

    truth: np.ndarray
    scores: tuple[np.ndarray, ...]
    codes: np.ndarray
    k: int

    @classmethod
    def of(cls, y, scores, patient) -> _Sample:
        names = ("score",) if len(scores) == 1 else ("a", "b")
        pairs = [checked(y, s, name) for s, name in zip(scores, names, strict=True)]
        truth = pairs[0][0]
        return cls(truth, tuple(s for _, s in pairs), *_patient_codes(patient, truth.size))

    def interval(self, statistic, n: int, entropy) -> tuple[Interval, np.ndarray]:
        """The interval and the n resampled values that it was read from."""
        if statistic != "auc" and not callable(statistic):
            raise InputError(f"statistic {statistic!r}", "statistic", "Give 'auc' or a function")
        found = self.fast_auc if statistic == "auc" else partial(self.general, statistic)
        value, drawn, redrawn = found(n, entropy)
        low, high = np.quantile(drawn, _ENDS, axis=0)
        head = float(value), float(low), float(high)
        counts = int(self.truth.sum()), int((~self.truth).sum()), self.k
        return Interval(*head, *counts, n, redrawn, entropy[0]), drawn

    def fast_auc(self, n: int, entropy) -> tuple[float, np.ndarray, int]:
        """AUCs of all resamples as matrix products.

        wins[p, q] sums, over the malignant lesions of patient p and the benign ones of q, 1 for the
        right order and 1/2 for a tie.  A resample is a vector c of how often each patient was
        drawn; its AUC is c wins c / (malignant lesions x benign lesions).  All sums are of halves,
        so that they are exact in any order.
        """
        values = [_auc(self.truth, s) for s in self.scores]
        wins = [self._wins(s) for s in self.scores]
        matrix = wins[0] if len(wins) == 1 else wins[0] - wins[1]
        counts, redrawn = self._draws(n, entropy)
        pairs = np.prod(counts @ self._kinds(), axis=1)
        drawn = np.einsum("rq,rq->r", counts @ matrix, counts) / pairs
        return values[0] - sum(values[1:]), drawn, redrawn

    def general(self, statistic, n: int, entropy) -> tuple[float, np.ndarray, int]:
        """Any statistic, called once per score and resample."""

        def difference(rows):
            parts = [np.asarray(statistic(self.truth[rows], s[rows]), float) for s in self.scores]
            return parts[0] - parts[1] if len(parts) == 2 else parts[0]

        ends = np.cumsum(np.bincount(self.codes, minlength=self.k))
        of_patient = np.split(np.argsort(self.codes, kind="stable"), ends[:-1])
        counts, redrawn = self._draws(n, entropy)
        patients = (np.repeat(np.arange(self.k), times) for times in counts.astype(int))
        drawn = [difference(np.concatenate([of_patient[p] for p in some])) for some in patients]
        return difference(np.arange(self.truth.size)), np.array(drawn), redrawn

    def _kinds(self) -> np.ndarray:
        """(k, 2) malignant and benign lesions of each patient."""
        kinds = (self.truth, ~self.truth)
        return np.stack([np.bincount(self.codes[x], minlength=self.k) for x in kinds], 1) * 1.0

    def _wins(self, score: np.ndarray) -> np.ndarray:
        """(k, k) wins of each patient's malignant lesions over each patient's benign ones."""
        wins = np.zeros((self.k, self.k))
        benign, of_benign = score[~self.truth], self.codes[~self.truth]
        for s, p in zip(score[self.truth], self.codes[self.truth], strict=True):
            won = (s > benign) + 0.5 * (s == benign)
            wins[p] += np.bincount(of_benign, weights=won, minlength=self.k)
        return wins

    def _draws(self, n: int, entropy) -> tuple[np.ndarray, int]:
        """(n, k) how often each patient is drawn, and how many draws were repeated."""
        if n < 1:
            raise InputError(f"{n} resamples", "n", "Ask for 2,000: they give a stable interval")
        kinds = self._kinds()
        counts, repeats = zip(*(self._draw(kinds, (*entropy, i)) for i in range(n)), strict=True)
        return np.array(counts, float), sum(repeats)

    def _draw(self, kinds: np.ndarray, entropy) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng(entropy)
        for attempt in range(_MOST_DRAWS):
            counts = np.bincount(rng.integers(self.k, size=self.k), minlength=self.k)
            if (counts @ kinds > 0).all():
                return counts, attempt
        what = f"{_MOST_DRAWS} resamples of {self.k} patients hold one class only"
        remedy = "Enlarge the test split: each class needs lesions in several patients"
        raise InputError(what, "resampling", remedy)
