"""Many comparisons on one test set, and the claim that two models are equally good.

Holm (1979) keeps the probability of one false gain among all below the level.  That a gain is not
significant shows no equality: for that, two one-sided tests have to place the difference within a
margin that was stated beforehand (Schuirmann 1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import ndtr

from lesionlib.errors import InputError
from lesionlib.metrics import resampling, roc
from study import tables

MOST_PAIRS = 12
_ENDS_90 = (0.05, 0.95)


def holm(p) -> np.ndarray:
    """Step-down adjusted p values, (k,) of (k,) (Holm 1979); a missing p stays missing, uncounted."""
    p = np.asarray(p, float)
    order = np.argsort(p)[: np.isfinite(p).sum()]
    steps = p[order] * np.arange(len(order), 0, -1)
    out = np.full_like(p, np.nan)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return out


def pairs_of(models: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of `tables.GAINS` that these models make; where there is none, some of all pairs."""
    pairs = [pair for pair in tables.GAINS if set(pair) <= set(models)]
    return pairs or list(combinations(models, 2))[:MOST_PAIRS]


def gains_adjusted(
    predictions: pd.DataFrame, pairs: Sequence[tuple[str, str]] = tables.GAINS
) -> pd.DataFrame:
    """Paired differences of AUCs, p values clustered by patient (Obuchowski 1997), and adjusted.

    pairs : (model, model less); pairs with a model that the frame lacks have no row.
    Columns: a, b, value, low, high (95 %, normal), se, p, p_holm, malignant, benign, patients.
    """
    models, rows = set(tables.models_of(predictions)), []
    for a, b in (pair for pair in pairs if set(pair) <= models):
        rows.append({"a": a, "b": b} | vars(_clustered(*tables.pair(predictions, a, b))))
    names = ["a", "b", "value", "low", "high", "se", "p", "malignant", "benign", "patients"]
    table = pd.DataFrame(rows, columns=names)
    table.insert(7, "p_holm", holm(table["p"]))
    return table


def _clustered(one: tables.Scores, two: tables.Scores) -> roc.DeLong:
    return roc.delong(one.truth, one.mean, two.mean, one.patient)


def equivalence(
    predictions: pd.DataFrame, a: str, b: str, margin: float, *, resamples=2000, seed=0
) -> dict:
    """Whether two AUCs differ by less than a margin (two one-sided tests at 5 %).

    margin : difference of AUCs that would not matter, stated before the test set is seen.

    Returns value, low, high (90 %, patients resampled), kind, se, p (the larger of the two one-sided
    p, by patient), equivalent (p < .05), equivalent_resampled (the interval is within the margin),
    margin, malignant, benign, patients.  Raises InputError for a margin that is not above 0.
    """
    if not margin > 0:
        raise InputError(f"margin {margin:g}", "equivalence", "Give a difference above 0, .02 say")
    one, two = tables.pair(predictions, a, b)
    test = _clustered(one, two)
    # the interval that belongs to two one-sided tests at 5 % is of 90 %: the draws are needed
    _, drawn = resampling.resampled(
        one.truth, one.mean, one.patient, "auc", resamples, seed, less=two.mean
    )
    low, high = np.quantile(drawn, _ENDS_90).tolist()
    with np.errstate(divide="ignore"):  # equal scores have no standard error
        p = float(ndtr(np.divide(abs(test.value) - margin, test.se)))
    out = {"value": test.value, "low": low, "high": high, "kind": "90 % over patients"}
    out |= {"se": test.se, "p": p, "equivalent": p < 0.05, "margin": margin}
    out |= {"equivalent_resampled": -margin < low and high < margin}
    return out | {name: getattr(test, name) for name in ("malignant", "benign", "patients")}
