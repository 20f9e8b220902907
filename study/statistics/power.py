"""How likely a test set is to show a gain, and how large it would have to be.

Normal approximation for the difference of two AUCs on the same lesions (Obuchowski 1997, whose
variance is clustered by patient).  The standard error shrinks with the root of the number of
patients, at the same lesions per patient and the same share of malignant ones.  With the paper's 600
lesions of 260 patients and a paired standard error of about .015 the power to show its own gain,
.799 less .778, is 29 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from lesionlib.metrics import roc
from study import tables


def power(gain: float, se: float, alpha: float = 0.05) -> float:
    """Probability that a two-sided test finds a true gain with this standard error."""
    z, shift = ndtri(1 - alpha / 2), abs(gain) / se
    return float(ndtr(shift - z) + ndtr(-shift - z))


def times_larger(gain: float, se: float, wanted: float = 0.8, alpha: float = 0.05) -> float:
    """How many times as many patients give the wanted power (the farther tail is left out)."""
    return ((ndtri(1 - alpha / 2) + ndtri(wanted)) * se / gain) ** 2


def paired_se(a: float, b: float, malignant: int, benign: int, correlation: float) -> float:
    """Standard error of the difference of two AUCs on the same lesions (Hanley and McNeil 1983).

    a, b : the AUCs.  correlation : of their two estimates, -1..1.  Lesions count as independent: a
    lower bound where patients have several.
    """
    one, two = (roc.hanley_mcneil_se(x, malignant, benign) for x in (a, b))
    return math.sqrt(one**2 + two**2 - 2 * correlation * one * two)


def correlation(predictions: pd.DataFrame, a: str, b: str) -> float:
    """Correlation of the estimates of two AUCs, over patients, from their standard errors."""
    one, two = tables.pair(predictions, a, b)
    se = [roc.delong(s.truth, s.mean, patient=s.patient).se for s in (one, two)]
    paired = roc.delong(one.truth, one.mean, two.mean, one.patient).se
    return (se[0] ** 2 + se[1] ** 2 - paired**2) / (2 * se[0] * se[1])


def sizes(
    gain: float, se: Sequence[float], lesions: int, patients: int, wanted=0.8
) -> pd.DataFrame:
    """Power of a test set for a gain at several standard errors, and the size wanted.

    lesions, patients : of the set that has these errors; both grow in proportion.
    Columns: se, power, times (as many patients), lesions_needed, patients_needed (rounded up).
    """
    rows = []
    for error in se:
        more = times_larger(gain, error, wanted)
        row = {"se": error, "power": power(gain, error), "times": more}
        needed = {"lesions_needed": lesions, "patients_needed": patients}
        rows.append(row | {name: math.ceil(more * n) for name, n in needed.items()})
    return pd.DataFrame(rows)


def study_size(
    predictions: pd.DataFrame, a: str = "E+S", b: str = "E", gain=0.021, wanted: float = 0.8
) -> dict:
    """Paired standard error of this test set, its power for a gain, and the size wanted.

    gain : true difference of AUCs that is to be found, by default the paper's.
    Returns se, power, lesions_needed and patients_needed (rounded up; None where se is 0 or
    unknown), gain, wanted, lesions, malignant, benign, patients.
    """
    one, two = tables.pair(predictions, a, b)
    d = roc.delong(one.truth, one.mean, two.mean, one.patient)
    lesions = d.malignant + d.benign
    out = {"se": None, "power": None, "lesions_needed": None, "patients_needed": None}
    if np.isfinite(d.se) and d.se > 0:
        more = times_larger(gain, d.se, wanted)
        out = {"se": d.se, "power": power(gain, d.se), "lesions_needed": math.ceil(more * lesions)}
        out |= {"patients_needed": math.ceil(more * d.patients)}
    out |= {"gain": gain, "wanted": wanted, "lesions": lesions}
    return out | {name: getattr(d, name) for name in ("malignant", "benign", "patients")}
