"""Intervals that know where the lesions come from.

Two views of a finding, and two findings of a breast, resemble each other, so lesions are no
independent sample: patients are.  Every interval here resamples *patients*, each with all of their
lesions, and takes percentiles.  The "+-" of Wu et al. 2020 is another thing, the spread of repeated
runs on the same lesions; :func:`runs_interval` gives that.

Promises: resample i is drawn by a generator seeded with (seed, i) alone, so any number of workers,
and any order, gives the same interval; two models given the same seed see the same resamples.  A
resample in which one class is absent is drawn again and counted in `redrawn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.metrics.roc import _Z95, _auc, checked, checked_patients

Statistic = str | Callable[[np.ndarray, np.ndarray], float]
_CHUNK = 256  # resamples at a time: bounds memory, changes no number
_MOST_DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile interval over patients, and what it rests on."""

    value: float
    low: float
    high: float
    malignant: int
    benign: int
    patients: int
    resamples: int
    redrawn: int
    seed: int
    kind: str = "95 % over patients"

    @property
    def n(self) -> int:
        return self.malignant + self.benign

    def __str__(self) -> str:
        counts = f"{self.n} lesions, {self.malignant} malignant, {self.patients} patients"
        again = f", {self.redrawn} redrawn" if self.redrawn else ""
        text = f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] {self.kind}"
        return f"{text} ({counts}; {self.resamples} resamples{again})"


@dataclass(frozen=True)
class Pooled(Interval):
    """The mean of several sets' differences; counts are summed over the sets."""

    each: tuple[float, ...] = ()
    sd: float = float("nan")
    kind: str = "95 % over patients within sets"

    def __str__(self) -> str:
        each = ", ".join(f"{g:+.3f}" for g in self.each)
        return f"{super().__str__()}; {len(self.each)} sets: {each} (SD {self.sd:.3f})"


@dataclass(frozen=True)
class Runs:
    """Mean and spread of repeated runs on the same lesions: the paper's "+-"."""

    mean: float
    sd: float
    low: float
    high: float
    n: int
    kind: str = "mean +- 1.96 SD over runs"

    def __str__(self) -> str:
        runs = f"{self.n} run" + "s" * (self.n != 1)
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] {self.kind} ({runs})"


def runs_interval(values) -> Runs:
    """Mean, SD (n - 1 in the denominator) and mean +- 1.96 SD of one number per run.

    It says how far another run of the same training would wander, and nothing about the lesions
    being a sample.  With one run the SD and the interval are NaN.
    """
    x = np.asarray(values, float).ravel()
    bad = int(np.sum(~np.isfinite(x)))
    if x.size == 0 or bad:
        raise InputError(
            f"{x.size} runs, {bad} not finite", "values", "Give one finite number a run"
        )
    mean, sd = float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else float("nan")
    return Runs(mean, sd, mean - _Z95 * sd, mean + _Z95 * sd, x.size)


# ------------------------------------------------------------------ what a user calls
def interval(
    y,
    score,
    patient,
    statistic: Statistic = "auc",
    n: int = 2000,
    seed: int = 0,
    *,
    unit: str = "patient",
    workers: int = 1,
) -> Interval:
    """A statistic of one score with its 95 % interval over patients.

    Parameters
    ----------
    y, score, patient : (n_lesions,) truth, score and patient of each lesion.
    statistic : "auc", or a function (truth bool, score) -> float called on each resample.
    n : resamples.  seed : see the module.
    unit : "lesion" resamples single lesions, and is refused where a patient has several.
    workers : threads of the general path; the result does not depend on it.
    """
    sample = _Sample.of(y, (score,), patient, unit)
    return sample.interval(statistic, n, (seed,), workers)[0]


def paired_difference(
    y,
    a,
    b,
    patient,
    statistic: Statistic = "auc",
    n: int = 2000,
    seed: int = 0,
    *,
    unit: str = "patient",
    workers: int = 1,
) -> Interval:
    """statistic(a) - statistic(b) on the same lesions, with its 95 % interval over patients.

    Both models are taken on the same resamples, so what they share cancels.  Parameters as
    :func:`interval`.
    """
    return _Sample.of(y, (a, b), patient, unit).interval(statistic, n, (seed,), workers)[0]


def pooled_difference(
    sets: Sequence[Mapping | Sequence],
    statistic: Statistic = "auc",
    n: int = 2000,
    seed: int = 0,
    *,
    workers: int = 1,
) -> Pooled:
    """The mean over independent test sets of the paired difference a - b.

    Parameters
    ----------
    sets : one entry a test set (a seed of the phantom, say): a mapping or data frame with `y`, `a`,
        `b`, `patient`, or the four arrays in that order.  Patients are resampled within each set,
        and set number j of resample i is seeded with (seed, j, i), so a set more changes no other.
    """
    if not len(sets):
        raise InputError("no test set", "pooled_difference", "Give at least one set")
    parts = []
    for j, given in enumerate(sets):
        named = isinstance(given, Mapping | pd.DataFrame)
        y, a, b, patient = (given[c] for c in ("y", "a", "b", "patient")) if named else given
        sample = _Sample.of(y, (a, b), patient, "patient")
        parts.append(sample.interval(statistic, n, (seed, j), workers))
    each = np.array([part.value for part, _ in parts])
    low, high = _percentiles(np.mean([drawn for _, drawn in parts], axis=0))
    names = ("malignant", "benign", "patients", "redrawn")
    total = {name: sum(getattr(part, name) for part, _ in parts) for name in names}
    sd = float(each.std(ddof=1)) if each.size > 1 else float("nan")
    head = float(each.mean()), float(low), float(high)
    return Pooled(*head, **total, resamples=n, seed=seed, each=tuple(map(float, each)), sd=sd)


def band(
    y,
    score,
    patient,
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    n: int = 2000,
    seed: int = 0,
    *,
    workers: int = 1,
) -> pd.DataFrame:
    """Pointwise 95 % intervals over patients of a statistic that is an array (k,).

    Returns columns value, low, high, in the order of the statistic; for one number see
    :func:`interval`.  Example: ``band(y, s, p, lambda t, x: roc.tnr_at(t, x, grid))``.
    """
    sample = _Sample.of(y, (score,), patient, "patient")
    value, drawn, _ = sample.general(statistic, n, (seed,), workers)
    low, high = _percentiles(drawn)
    return pd.DataFrame({"value": value, "low": low, "high": high})


# ------------------------------------------------------------------ how it is done
@dataclass(frozen=True)
class _Sample:
    """Lesions with one score, or two to be subtracted, and the patient (0..k-1) of each."""

    truth: np.ndarray
    scores: tuple[np.ndarray, ...]
    codes: np.ndarray
    k: int

    @classmethod
    def of(cls, y, scores, patient, unit: str) -> _Sample:
        names = ("score",) if len(scores) == 1 else ("a", "b")
        pairs = [checked(y, s, name) for s, name in zip(scores, names, strict=True)]
        truth = pairs[0][0]
        return cls(truth, tuple(s for _, s in pairs), *_units(patient, truth.size, unit))

    def interval(self, statistic, n: int, entropy, workers) -> tuple[Interval, np.ndarray]:
        """The interval and the n resampled values it was read from."""
        if statistic == "auc":
            value, drawn, redrawn = self.fast_auc(n, entropy)
        elif callable(statistic):
            value, drawn, redrawn = self.general(statistic, n, entropy, workers)
        else:
            raise InputError(f"statistic {statistic!r}", "statistic", "Give 'auc' or a function")
        low, high = _percentiles(drawn)
        head = float(value), float(low), float(high)
        counts = int(self.truth.sum()), int((~self.truth).sum()), self.k
        return Interval(*head, *counts, n, redrawn, entropy[0]), drawn

    def fast_auc(self, n: int, entropy) -> tuple[float, np.ndarray, int]:
        """AUCs of all resamples as matrix products.

        wins[p, q] sums, over the malignant lesions of patient p and the benign ones of q, 1 for the
        right order and 1/2 for a tie.  A resample is a vector c of how often each patient was
        drawn; its AUC is c wins c / (malignant lesions x benign lesions).  All sums are of halves,
        so they are exact and the order of summation is of no account.
        """
        values = [_auc(self.truth, s) for s in self.scores]
        wins = [_wins(self.truth, s, self.codes, self.k) for s in self.scores]
        matrix = wins[0] if len(wins) == 1 else wins[0] - wins[1]
        kinds = self._kinds()
        drawn, redrawn = np.empty(n), 0
        for rows in _chunks(n):
            counts, again = self._counts(rows, entropy)
            pairs = np.prod(counts @ kinds, axis=1)
            drawn[rows] = np.einsum("rq,rq->r", counts @ matrix, counts) / pairs
            redrawn += again
        return values[0] - sum(values[1:]), drawn, redrawn

    def general(self, statistic, n: int, entropy, workers) -> tuple[float, np.ndarray, int]:
        """Any statistic, one call (per score) a resample."""

        def difference(rows):
            parts = [np.asarray(statistic(self.truth[rows], s[rows]), float) for s in self.scores]
            return parts[0] - parts[1] if len(parts) == 2 else parts[0]

        order = np.argsort(self.codes, kind="stable")
        ends = np.cumsum(np.bincount(self.codes, minlength=self.k))
        of_patient = np.split(order, ends[:-1])

        def one_chunk(rows):
            counts, again = self._counts(rows, entropy)
            lesions = [
                np.concatenate([of_patient[p] for p in np.repeat(np.arange(self.k), c)])
                for c in counts.astype(int)
            ]
            return [difference(i) for i in lesions], again

        chunks = list(_chunks(n))
        if workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                done = list(pool.map(one_chunk, chunks))
        else:
            done = [one_chunk(rows) for rows in chunks]
        drawn = np.array([value for values, _ in done for value in values])
        return difference(np.arange(self.truth.size)), drawn, sum(again for _, again in done)

    def _kinds(self) -> np.ndarray:
        """(k, 2) malignant and benign lesions of each patient."""
        kinds = (self.truth, ~self.truth)
        return np.stack([np.bincount(self.codes[x], minlength=self.k) for x in kinds], 1) * 1.0

    def _counts(self, rows: range, entropy) -> tuple[np.ndarray, int]:
        """(len(rows), k) how often each patient is drawn, and how many draws were repeated."""
        kinds, counts, redrawn = self._kinds(), np.empty((len(rows), self.k)), 0
        for r, i in enumerate(rows):
            rng = np.random.default_rng((*entropy, i))
            for attempt in range(_MOST_DRAWS):
                counts[r] = np.bincount(rng.integers(self.k, size=self.k), minlength=self.k)
                if (counts[r] @ kinds > 0).all():
                    redrawn += attempt
                    break
            else:
                raise InputError(
                    f"{_MOST_DRAWS} resamples of {self.k} patients hold one class only",
                    "resampling",
                    "Enlarge the test split: each class needs lesions in several patients",
                )
        return counts, redrawn


def _units(patient, n: int, unit: str) -> tuple[np.ndarray, int]:
    if unit not in ("patient", "lesion"):
        raise InputError(f"unit {unit!r}", "unit", "Give 'patient' or 'lesion'")
    if patient is None:
        raise InputError(
            f"no patient given for {n} lesions", "patient", "Call interval(y, score, patient)"
        )
    codes, k = checked_patients(patient, n)
    if unit == "patient":
        return codes, k
    if k < n:
        raise InputError(
            f"{n} lesions come from {k} patients; resampling lesions takes them as independent "
            "and makes the interval too narrow",
            "unit='lesion'",
            "Resample patients: interval(y, score, patient), paired_difference(y, a, b, patient)",
        )
    return np.arange(n), n


def _wins(truth: np.ndarray, score: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    """(k, k) wins of each patient's malignant lesions over each patient's benign ones."""
    wins = np.zeros((k, k))
    benign, of_benign = score[~truth], codes[~truth]
    for s, p in zip(score[truth], codes[truth], strict=True):
        won = (s > benign) + 0.5 * (s == benign)
        wins[p] += np.bincount(of_benign, weights=won, minlength=k)
    return wins


def _chunks(n: int) -> Iterable[range]:
    if n < 1:
        raise InputError(
            f"{n} resamples", "n", "Ask for at least one; 2,000 give a stable interval"
        )
    return (range(i, min(i + _CHUNK, n)) for i in range(0, n, _CHUNK))


def _percentiles(drawn: np.ndarray) -> np.ndarray:
    return np.quantile(drawn, (0.025, 0.975), axis=0)
