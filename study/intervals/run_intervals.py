"""Repeated runs of one training: their spread, and intervals that take it in.

Three different questions:

* :func:`runs_interval`: mean +- 1.96 SD of k runs, a description.  With k = 3 it covers the next
  run on the same lesions in about 77 %, not 95 %: the mean and the SD are themselves estimated;
* :func:`t_interval`: the mean over runs, had one trained for ever, on the same lesions;
* :func:`two_level`: the mean over runs for other runs *and* other patients, which is the interval
  to rest a conclusion on where there are several runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from lesionlib.errors import InputError
from lesionlib.metrics.resampling import Statistic, resampled
from lesionlib.seeds import rng


@dataclass(frozen=True)
class RunsInterval:
    """Mean, SD and interval of n repeated runs on the same lesions."""

    mean: float
    sd: float
    low: float
    high: float
    n: int
    kind: str


@dataclass(frozen=True)
class TwoLevel:
    """A statistic's mean over runs, with its 95 % interval; arrays where the statistic is one."""

    value: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray
    runs: int
    kind: str  # "95 % over runs and patients"; with one run "95 % over patients"


def runs_interval(values) -> RunsInterval:
    """Describe runs as the paper does: mean, SD (n - 1 in the denominator) and mean +- 1.96 SD.

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
    return _around_mean(values, lambda n: ndtri(0.975), "mean ± 1.96 SD of {n} runs")


def t_interval(values) -> RunsInterval:
    """The t interval of the mean over runs.

    Parameters, Returns and Raises are those of :func:`runs_interval`.
    """
    half = lambda n: stdtrit(n - 1, 0.975) / np.sqrt(n)  # noqa: E731
    return _around_mean(values, half, "95 % t interval over {n} runs")


def _around_mean(values, half, kind: str) -> RunsInterval:
    """Mean +- half(n) SD."""
    x = np.asarray(values, float).ravel()
    if x.size == 0 or not np.isfinite(x).all():
        what = f"{x.size} runs, {np.sum(~np.isfinite(x))} not finite"
        raise InputError(what, "values", "Give one finite number per run")
    mean, sd = float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else float("nan")
    width = float(half(x.size)) * sd
    return RunsInterval(mean, sd, mean - width, mean + width, x.size, kind.format(n=x.size))


def two_level(
    y,
    runs,
    patient,
    statistic: Statistic = "auc",
    n: int = 2000,
    seed: int = 0,
    *,
    less: np.ndarray | None = None,
) -> TwoLevel:
    """The mean over runs of a statistic, with an interval over runs and patients.

    Patients are resampled as in `lesionlib.metrics.resampling`, and within each resample the runs:
    of k runs k - 1 are drawn with replacement, so that the variance of a mean of few runs is not
    understated by (k - 1) / k (Rao and Wu 1988).

    Parameters
    ----------
    y, patient : array of shape (lesions,)
    runs : array of shape (lesions, k), one column of scores per run
    statistic, n, seed : as `lesionlib.metrics.resampling.resampled`
    less : array of shape (lesions, k), optional
        Scores of another model, whose statistic is subtracted run by run; both share the resamples.

    Returns
    -------
    TwoLevel

    Raises
    ------
    InputError
        For another number of runs in `less`, and as `resampled`.
    """
    runs = np.asarray(runs)
    value, drawn = _each_run(y, runs, patient, statistic, n, seed)
    if less is not None:
        if np.shape(less) != runs.shape:
            what = f"scores of shapes {runs.shape} and {np.shape(less)}"
            raise InputError(what, "two_level", "Give the same lesions and runs for both models")
        value_b, drawn_b = _each_run(y, np.asarray(less), patient, statistic, n, seed)
        value, drawn = value - value_b, drawn - drawn_b
    k = len(value)
    picked = rng(seed, "runs").integers(k, size=(n, max(k - 1, 1)))
    means = drawn[picked, np.arange(n)[:, None]].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    kind = "95 % over runs and patients" if k > 1 else "95 % over patients"
    return TwoLevel(value.mean(axis=0), low, high, k, kind)


def _each_run(y, runs, patient, *how) -> tuple[np.ndarray, np.ndarray]:
    """The statistic of each run (k, ...), and in each resample (k, n, ...)."""
    parts = [resampled(y, score, patient, *how) for score in runs.T]
    return tuple(np.array(x) for x in zip(*parts, strict=True))
