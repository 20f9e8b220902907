"""Operating points: how far their intervals can be trusted, and thresholds set on other patients.

`lesionlib.metrics.roc.operating_points` sets the threshold on the lesions that it judges, which is
what the paper's table 2 reports.  In use, a threshold is set on one set of patients and carried over
to the next: :func:`carried_over`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lesionlib.metrics.resampling import resampled
from lesionlib.metrics.roc import FNR, allowed_misses, checked

ENOUGH = 5  # malignant lesions that may be missed
EXACT = "exact counts, no interval over patients"
NONE_MISSED = "no miss allowed: FNR x malignant < 1"
FEW = f"rests on fewer than {ENOUGH} misses"
_ENDS = (0.025, 0.975)


def notes(fnr, malignant: int) -> list[str]:
    """What to know of the interval at each FNR; "" where there is nothing.

    At FNR 0 the threshold is the lowest score of a malignant lesion.  The bootstrap does not show
    how far such an extreme would move, so that the counts are given without an interval.  With few
    misses allowed the threshold is still nearly an extreme, and the interval holds too seldom: 0, 1
    and 2 misses at FNR .02 give about 60, 78 and 92 in 100 for 95 (``benchmarks/bench_coverage.py``).

    Parameters
    ----------
    fnr : float or array of shape (k,), 0..1
    malignant : int, number of malignant lesions

    Returns
    -------
    list of k str
    """
    shares, misses = np.atleast_1d(np.asarray(fnr, float)), allowed_misses(fnr, malignant)
    kinds = [shares == 0, misses == 0, misses < ENOUGH]
    return np.select(kinds, [EXACT, NONE_MISSED, FEW], "").tolist()


def threshold_at(truth, score, fnr=FNR, times=None) -> np.ndarray:
    """Threshold of each operating point, in many resamples at once.

    Parameters
    ----------
    truth : bool array of shape (lesions,), True malignant
    score : array of shape (lesions,)
    fnr : float or array of shape (k,), 0..1
    times : int array of shape (lesions, n), optional
        How often each lesion is in each resample.

    Returns
    -------
    float64 array of shape (k,), with `times` (n, k); inf where all malignant lesions may be missed
    """
    order = np.flatnonzero(truth)[np.argsort(score[truth])]
    lowest = np.append(score[order], np.inf)
    own = np.ones((order.size, 1), int) if times is None else times[order]
    missed = np.cumsum(own, axis=0)
    shares = np.atleast_1d(fnr)
    first = [np.sum(missed <= allowed_misses(x, missed[-1]), axis=0) for x in shares]
    found = lowest[np.transpose(first)]
    return found[0] if times is None else found


def carried_over(
    validation: Sequence, test: Sequence, fnr=FNR, n: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """TNR and FNR of test lesions at thresholds that were set on validation lesions.

    Validation patients and test patients are both resampled, so that the interval holds the
    threshold's own uncertainty.  The share of test lesions missed may exceed the FNR asked for.

    Parameters
    ----------
    validation, test : (y, score, patient), arrays of shape (lesions,)
        Of different patients.
    fnr : float or array of shape (k,), 0..1
        That the threshold allows on the validation lesions.
    n : int, number of resamples
    seed : int

    Returns
    -------
    DataFrame of k rows
        fnr (asked for), threshold, missed, malignant, spared, benign (of the test lesions), tnr,
        tnr_low, tnr_high, fnr_test, fnr_low, fnr_high (95 % over patients of both sets; NaN at
        FNR 0), and note, of the validation lesions (:func:`notes`).

    Raises
    ------
    InputError
        As `lesionlib.metrics.resampling.resampled`.
    """
    shares = np.atleast_1d(np.asarray(fnr, float))
    set_on, judged = checked(*validation[:2])[0], checked(*test[:2])
    thresholds, value, values = carried(validation, test, shares, n, (seed,))
    ends = np.where(shares == 0, np.nan, np.quantile(values, _ENDS, axis=0))
    out = pd.DataFrame({"fnr": shares, "threshold": thresholds})
    for row, kind, of in ((1, judged[0], "missed malignant"), (0, ~judged[0], "spared benign")):
        counted, every = of.split()
        out[counted] = np.rint(value[row] * kind.sum()).astype(int)
        out[every] = kind.sum()
    for row, name in ((0, "tnr"), (1, "fnr")):
        out["tnr" if row == 0 else "fnr_test"] = value[row]
        out[f"{name}_low"], out[f"{name}_high"] = ends[:, row]
    return out.assign(note=notes(shares, set_on.sum()))


def carried(
    validation: Sequence, test: Sequence, shares: np.ndarray, n: int, seed: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What :func:`carried_over` counts: thresholds (k,), shares (2, k), and those of resamples.

    The shares are of benign, then of malignant test lesions below the threshold; in resamples of
    both sets of patients they are (n, 2, k).  Two scores of one seed see the same resamples.
    """
    at = lambda truth, score, times=None: threshold_at(truth, score, shares, times)  # noqa: E731
    thresholds, drawn = resampled(*validation, at, n, (*seed, 0))
    below = lambda truth, score, times=None: _below(truth, score, thresholds, drawn, times)  # noqa: E731
    return thresholds, *resampled(*test, below, n, (*seed, 1))


def _below(truth, score, thresholds, drawn, times) -> np.ndarray:
    """Shares of benign and of malignant lesions below k thresholds: (2, k), or (n, 2, k)."""
    limits, often = (thresholds[None], np.ones((1, 1), int)) if times is None else (drawn, times)
    often, shares = np.broadcast_to(often, (truth.size, len(limits))), []
    for kind in (~truth, truth):
        counts = [((score[kind, None] < t) * often[kind]).sum(axis=0) for t in limits.T]
        shares.append(np.transpose(counts) / often[kind].sum(axis=0)[:, None])
    found = np.stack(shares, axis=1)
    return found[0] if times is None else found
