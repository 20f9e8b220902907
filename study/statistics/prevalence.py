"""What operating points mean where another share of biopsies is malignant.

Sensitivity and specificity belong to the model, predictive values also to those who are sent to
biopsy (Altman and Bland 1994).  Phantom and public sets hold far more malignant lesions than a
biopsy clinic sees; of the lesions of Wu et al. 2020, 2,054 of 8,842 (23 %) are malignant.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.metrics import roc
from study import tables
from study.intervals.thresholds import threshold_at
from study.statistics import common

PAPER = 2054 / 8842
NAMES = ("sensitivity", "specificity", "ppv", "npv", "spared_per_100", "missed_per_100")


def rates(truth, score, times, fnr: Sequence[float], share: float) -> np.ndarray:
    """The rates of `NAMES` at each of k FNRs in n resamples, float (n, 6 k).

    truth, score, times : as `net_benefit.net_benefit`.  The threshold is found in each resample
    anew.  NaN: the NPV where nothing is spared, the PPV where all is.
    """
    columns = []
    for threshold in threshold_at(truth, score, fnr, times).T:
        kept = (score[:, None] >= threshold) * times
        sens, fpr = (kept[kind].sum(axis=0) / times[kind].sum(axis=0) for kind in (truth, ~truth))
        biopsied, missed = share * sens + (1 - share) * fpr, share * (1 - sens)
        with np.errstate(invalid="ignore"):
            ppv, npv = share * sens / biopsied, (1 - share) * (1 - fpr) / (1 - biopsied)
        columns += [sens, 1 - fpr, ppv, npv, 100 * (1 - biopsied), 100 * missed]
    return np.stack(columns, axis=-1)


def at_prevalence(
    predictions: pd.DataFrame, model: str, share=PAPER, fnr=roc.FNR, *, resamples=2000, seed=0
) -> pd.DataFrame:
    """PPV, NPV and biopsies spared per 100, with 95 % over patients.

    share : of malignant lesions among those biopsied.  fnr : malignant lesions that may be missed.
    One row per FNR and rate: fnr, rate (of `NAMES`), value, low, high, missed, malignant, spared,
    benign (counted in the test split), share, patients.  No interval at FNR 0, which depends on one
    lesion.  `spared_per_100` is the lesions called
    benign of 100 that would have been biopsied, `missed_per_100` the malignant ones among them.
    Raises InputError for a share that is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise InputError(f"share {share:g}", "at_prevalence", "Give one above 0 and below 1")
    s = tables.scores(predictions, model)
    statistic = partial(rates, s.truth, s.mean, fnr=fnr, share=share)
    found = common.over_patients(s, statistic, resamples, seed)
    found.insert(0, "rate", np.tile(NAMES, len(fnr)))
    points = roc.operating_points(s.truth, s.mean, fnr)
    rows = points.loc[points.index.repeat(len(NAMES))].reset_index(drop=True)
    found.insert(0, "fnr", rows["fnr"])
    found.loc[found["fnr"] == 0, ["low", "high"]] = np.nan
    counted = rows[["missed", "malignant", "spared", "benign"]]
    return found.join(counted).assign(share=share, patients=len(np.unique(s.patient)))
