"""Tests of several folds judged together, though each fold was scored by networks of its own.

Scores of two trainings differ in level, and a fold that by chance holds more malignant lesions leaves
fewer to train on, which lowers its scores.  Scores pooled as trained therefore give AUCs that are too
low where little is learned, below .3 for random data (Parker, Günter and Bedo 2007; also Forman and
Scholz 2010).  Here

* an AUC compares lesions of the same fold alone: of all pairs (malignant, benign) within a fold the
  share in order, which is the mean of the folds' AUCs, weighted by their pairs (LeDell, Petersen and
  van der Laan 2015 take the plain mean).  No change of a fold's level moves it;
* a table or a curve that needs one score for all lesions has the percentile within fold, model and
  run.  It asks that the folds are alike: where each has as many malignant and as many benign lesions
  as the others, the AUC of pooled percentiles *is* the mean of the folds' AUCs.  Patients are dealt to
  the folds stratum by stratum, so they nearly are.  Recalibration on the validation split would keep
  probabilities, but of some twenty lesions its two numbers are noise.

Intervals resample patients within each fold and keep the folds' weights.  They are of these networks:
what other trainings, or other folds, would give is not in them, and no unbiased estimate of it exists
(Bengio and Grandvalet 2004).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.metrics import resampling
from study import tables
from study.statistics import common

WITHIN = "all: pairs within folds"  # the estimate; the others stand beside it
PERCENTILES = "all: percentiles pooled"
AS_TRAINED = "all: scores pooled as trained"


def pool(folds: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The tests of all folds in one predictions frame.

    Parameters
    ----------
    folds : name of each fold -> its predictions (see `study.tables`)

    Returns
    -------
    DataFrame
        The columns of `study.tables`, with y_score the percentile within fold, model and run,
        100 x mid-rank / (lesions + 1); fold; and score, as the fold's networks gave it.

    Raises
    ------
    InputError
        For a patient tested in two folds.
    """
    tests = [table[table["split"] == "test"].assign(fold=name) for name, table in folds.items()]
    pooled = pd.concat(tests, ignore_index=True)
    each = pooled.groupby("patient_id")["fold"].nunique()
    if (each > 1).any():
        what = f"patient {each.index[each > 1][0]} is tested in two folds"
        raise InputError(what, "folds", "Run all folds anew on the same data")
    own = pooled.groupby(["fold", "model", "run"])["y_score"]
    percentile = 100 * own.rank() / (own.transform("size") + 1)
    return pooled.assign(score=pooled["y_score"], y_score=percentile)


def by_fold(
    pooled: pd.DataFrame,
    model: str,
    less: str | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """A model's AUC, or its AUC less that of another, in each fold and over all of them.

    Scores are averaged over runs; differences are paired.

    Parameters
    ----------
    pooled : as :func:`pool` gives it
    less : model whose AUC is subtracted

    Returns
    -------
    DataFrame
        One row per fold, then WITHIN, PERCENTILES and AS_TRAINED.  Columns fold, auc, low, high
        (95 % over patients; of WITHIN within folds), lesions, malignant, benign, patients.

    Raises
    ------
    InputError
        As `study.tables.pair`, and for a fold without malignant or benign lesions.
    """
    trained = pooled.assign(y_score=pooled["score"])
    parts = dict(list(trained.groupby("fold")))
    seeds = [(seed, k) for k in range(len(parts))]
    found = [
        _resampled(part, model, less, resamples, own)
        for part, own in zip(parts.values(), seeds, strict=True)
    ]
    counts = pd.DataFrame([common.counts(tables.scores(part, model)) for part in parts.values()])
    pairs = (counts["malignant"] * counts["benign"]).to_numpy(float)
    found.append([np.average(x, axis=0, weights=pairs) for x in zip(*found, strict=True)])
    found += [_resampled(table, model, less, resamples, (seed,)) for table in (pooled, trained)]
    ends = [np.quantile(drawn, (0.025, 0.975)) for _, drawn in found]
    names = [*parts, WITHIN, PERCENTILES, AS_TRAINED]
    values = {"fold": names, "auc": [float(value) for value, _ in found]}
    values |= dict(zip(("low", "high"), np.transpose(ends), strict=True))
    every = pd.concat([counts, *[counts.sum().to_frame().T] * 3], ignore_index=True)
    return pd.DataFrame(values).join(every)


def _resampled(table: pd.DataFrame, model: str, less: str | None, resamples: int, seed: tuple):
    """The AUC, or the difference, and its values in resamples of the table's patients."""
    one, two = tables.pair(table, model, less or model)
    other = two.mean if less else None
    return resampling.resampled(
        one.truth, one.mean, one.patient, "auc", resamples, seed, less=other
    )
