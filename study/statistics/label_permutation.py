"""Whether an AUC differs from chance: truth is permuted between patients (Ernst 2004).

Patients, not lesions, are exchanged, each with the truths of all lesions, and only with patients who
have as many lesions; so each permuted set is as clustered as the true one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from lesionlib import seeds
from lesionlib.metrics import roc
from study import tables
from study.statistics import common


def permutation_test(
    predictions: pd.DataFrame, model: str, *, permutations: int = 2000, seed: int = 0
) -> dict:
    """AUC of the run-averaged score with its permutation p value, two-sided.

    p = (1 + number of permutations as far from .5 or farther) / (1 + permutations), which is never
    0 (Phipson and Smyth 2010).  Returns value, p, low, high (central 95 % of the permuted AUCs),
    kind, permutations, exchangeable (patients who share their number of lesions with another), and
    counts.
    """
    s = tables.scores(predictions, model)
    codes = pd.factorize(s.patient)[0]
    rows = [np.flatnonzero(codes == k) for k in range(codes.max() + 1)]
    lengths = np.array([len(r) for r in rows])
    blocks = [np.array([r for r in rows if len(r) == n]) for n in np.unique(lengths)]
    ranks, m = rankdata(s.mean), int(s.truth.sum())
    drawn = np.empty(permutations)
    for i in range(permutations):
        rng, truth = seeds.rng(seed, "label permutation", i), s.truth.copy()
        for block in blocks:
            truth[block] = s.truth[rng.permutation(block)]
        drawn[i] = (ranks[truth].sum() - m * (m + 1) / 2) / (m * (len(ranks) - m))
    value = float(roc.auc(s.truth, s.mean))
    # the sums of ranks are exact, the quotient is not
    far = int(np.sum(np.abs(drawn - 0.5) >= abs(value - 0.5) - 1e-12))
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    out = {"value": value, "p": (1 + far) / (1 + permutations), "low": low, "high": high}
    out |= {"kind": "95 % of permuted truths", "permutations": permutations}
    out |= {"exchangeable": sum(b.shape[0] for b in blocks if b.shape[0] > 1)}
    return out | common.counts(s)
