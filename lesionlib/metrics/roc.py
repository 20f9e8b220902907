"""How well a score separates malignant from benign lesions.

Tables 2 and 3 and figure 7 of Wu et al. 2020: the area under the ROC curve, its standard error, and
the share of benign lesions spared (TNR) when at most a given share of malignant ones is missed
(FNR).

Conventions, the same in every function:

* the positive class is malignant; `y_true` holds 1 / 0, True / False or "malignant" / "benign";
* a higher score means more suspicious;
* a lesion is *called benign* when ``score < threshold``, so that equal scores are called alike;
* FNR = missed / malignant, TNR = spared / benign.

Every function raises InputError for missing or infinite scores, unequal lengths, unknown truths and
for a set that holds one class only.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri  # scipy.stats takes long to import

from lesionlib.errors import InputError

FNR = (0.0, 0.01, 0.02, 0.03, 0.05)  # the rows of table 2
_Z95 = ndtri(0.975)
_EPS = 1e-9  # .29 * 100 is 28.999999999999996 in binary


class Auc(float):
    """An AUC that remembers its counts: it prints ``0.799 (600 lesions, 136 malignant)``."""

    def __new__(cls, value: float, malignant: int, benign: int) -> Auc:
        out = super().__new__(cls, value)
        out.malignant, out.benign, out.n = malignant, benign, malignant + benign
        return out

    def __getnewargs__(self) -> tuple[float, int, int]:
        return float(self), self.malignant, self.benign

    def __repr__(self) -> str:
        return f"{float(self):.3f} ({self.n} lesions, {self.malignant} malignant)"


def checked_truth(y_true, where: str = "y_true") -> np.ndarray:
    """Check the truth of lesions: True is malignant, and both classes are present.

    Parameters
    ----------
    y_true : array of shape (n,)
    where : str, names `y_true` in a message

    Returns
    -------
    bool array of shape (n,)

    Raises
    ------
    InputError
        See the module.
    """
    truth = np.asarray(y_true)
    if truth.ndim != 1:
        what = f"shape {truth.shape}, one axis expected"
        raise InputError(what, where, "Give one value per lesion")
    if truth.dtype.kind in "biuf":
        malignant, known = truth == 1, np.isin(truth, (0, 1))
    else:  # words, or numbers with gaps
        text = np.char.lower(truth.astype(str))
        malignant = np.isin(text, ("malignant", "1", "true", "1.0"))
        known = malignant | np.isin(text, ("benign", "0", "false", "0.0"))
    if not known.all():
        number, odd = np.sum(~known), truth[~known][0]
        what = f"{number} of {truth.size} truths are neither malignant nor benign: '{odd}'"
        raise InputError(what, where, "Leave lesions of unknown pathology out before scoring")
    if malignant.all() or not malignant.any():
        kind = "malignant" if truth.size and malignant.all() else "benign"
        what = f"all {truth.size} lesions are {kind}; AUC, TNR and FNR need both classes"
        raise InputError(what, where, "Use a split with malignant and benign lesions")
    return malignant


def checked(y_true, y_score, where: str = "y_score") -> tuple[np.ndarray, np.ndarray]:
    """Check truth and score of lesions.

    Parameters
    ----------
    y_true, y_score : array of shape (n,)
    where : str, names `y_score` in a message

    Returns
    -------
    bool array of shape (n,), float64 array of shape (n,)

    Raises
    ------
    InputError
        See the module.
    """
    truth, score = checked_truth(y_true), np.asarray(y_score)
    if score.dtype.kind not in "biuf":  # a word is a missing score
        score = pd.to_numeric(np.ravel(score), errors="coerce")
    score = score.astype(float)
    if score.shape != truth.shape:
        what = f"{truth.size} truths but scores of shape {score.shape}"
        raise InputError(what, where, "Give one score per lesion")
    bad = ~np.isfinite(score)
    if bad.any():
        what = f"{bad.sum()} of {score.size} scores are missing or infinite"
        raise InputError(what, where, "Score every lesion, or drop it for every model alike")
    return truth, score


def _patient_codes(patient, n: int) -> tuple[np.ndarray, int]:
    """Patients of n lesions as codes 0..k-1, int (n,), and their number k."""
    names = pd.Series(np.atleast_1d(np.asarray(patient)))
    missing = int(names.isna().sum())
    if len(names) != n or missing:
        what = f"{len(names)} patients, {missing} of them missing, for {n} lesions"
        raise InputError(what, "patient", "Name the patient of every lesion")
    codes, found = pd.factorize(names)
    return codes, len(found)


def auc(y_true, y_score) -> Auc:
    """Area under the ROC curve: share of (malignant, benign) pairs in order; ties count one half.

    Parameters
    ----------
    y_true, y_score : array of shape (n,)

    Returns
    -------
    Auc
    """
    truth, score = checked(y_true, y_score)
    return Auc(_auc(truth, score), int(truth.sum()), int((~truth).sum()))


def _auc(truth: np.ndarray, score: np.ndarray) -> float:
    m = int(truth.sum())
    ranks = pd.Series(score).rank().to_numpy()
    # mid-ranks are multiples of one half: the sum is exact
    return float((ranks[truth].sum() - m * (m + 1) / 2) / (m * (truth.size - m)))


def _rising(score: np.ndarray, kind: np.ndarray, times) -> tuple[np.ndarray, np.ndarray]:
    """Scores of one kind of lesions in rising order, and their `times`: once where None."""
    rows = np.flatnonzero(kind)
    rows = rows[np.argsort(score[rows])]
    return score[rows], np.ones((rows.size, 1), np.int32) if times is None else times[rows]


def _totals(times: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, 2, ... rows."""
    return np.stack([*accumulate(times, initial=np.zeros_like(times[0]))])


def roc_curve(y_true, y_score) -> pd.DataFrame:
    """Every operating point, from the lowest threshold (nothing called benign) to inf.

    Parameters
    ----------
    y_true, y_score : array of shape (n,)

    Returns
    -------
    DataFrame
        One row per distinct score and one for inf: threshold, missed, malignant, spared, benign,
        fnr, tnr, fpr, tpr.
    """
    truth, score = checked(y_true, y_score)
    table = _counts_at(truth, score, np.append(np.unique(score), np.inf))
    fnr, tnr = table["missed"] / table["malignant"], table["spared"] / table["benign"]
    return table.assign(fnr=fnr, tnr=tnr, fpr=1 - tnr, tpr=1 - fnr)


def _counts_at(truth: np.ndarray, score: np.ndarray, thresholds: np.ndarray) -> pd.DataFrame:
    """Lesions called benign at each threshold: threshold, missed, malignant, spared, benign."""
    lower = [np.searchsorted(np.sort(score[kind]), thresholds) for kind in (truth, ~truth)]
    counts = dict(missed=lower[0], malignant=truth.sum(), spared=lower[1], benign=(~truth).sum())
    return pd.DataFrame({"threshold": thresholds, **counts})


def allowed_misses(fnr, malignant: int) -> np.ndarray:
    """Number of malignant lesions that may be missed, floor(fnr * malignant).

    Parameters
    ----------
    fnr : float or array of shape (k,), 0..1
    malignant : int, number of malignant lesions

    Returns
    -------
    int array of shape (k,)

    Raises
    ------
    InputError
        For an FNR outside 0..1.
    """
    shares = np.atleast_1d(np.asarray(fnr, float))
    if not ((shares >= 0) & (shares <= 1)).all():
        what = f"FNR {shares.tolist()}"
        raise InputError(what, "fnr", "Give shares between 0 and 1, not per cent")
    return np.floor(shares * malignant + _EPS).astype(int)


def _thresholds(truth: np.ndarray, score: np.ndarray, fnr) -> np.ndarray:
    """The highest threshold below which there are no more malignant lesions than allowed.

    With k misses allowed that is the (k+1)th lowest malignant score: any higher one misses that
    lesion too.  Malignant lesions tied at it are all kept, so that the FNR is never exceeded.
    """
    lowest = np.append(np.sort(score[truth]), np.inf)
    return lowest[allowed_misses(fnr, lowest.size - 1)]


def tnr_at(y_true, y_score, fnr=FNR, times=None) -> np.ndarray:
    """TNR at each FNR of :func:`operating_points`, without its table, in many resamples at once.

    Parameters
    ----------
    y_true, y_score, fnr : as :func:`operating_points`
    times : int32 array of shape (lesions, n), optional
        How often each lesion is in each of n resamples, both classes in each of them.

    Returns
    -------
    float64 array of shape (k,), with `times` (n, k)
    """
    truth, score = checked(y_true, y_score)
    malignant, own = _rising(score, truth, times)
    benign, other = _rising(score, ~truth, times)
    missed, spared = _totals(own)[1:], _totals(other)
    lower = np.searchsorted(benign, np.append(malignant, np.inf))
    tnr = np.empty((own.shape[1], np.size(fnr)))
    for k, share in enumerate(np.atleast_1d(fnr)):
        # the first malignant lesion that may not be missed, by which _thresholds are set
        first = np.sum(missed <= allowed_misses(share, missed[-1]), axis=0)
        tnr[:, k] = spared[lower[first], np.arange(len(first))] / spared[-1]
    return tnr[0] if times is None else tnr


def operating_points(y_true, y_score, fnr=FNR) -> pd.DataFrame:
    """Benign lesions spared when at most a share `fnr` of the malignant ones is missed (table 2).

    At most floor(fnr * malignant) malignant lesions are below the threshold, fewer with ties.  At
    FNR 0 the result depends on one lesion, the lowest-scored malignant one.

    Parameters
    ----------
    y_true, y_score : array of shape (n,)
    fnr : float or array of shape (k,), 0..1

    Returns
    -------
    DataFrame
        One row per FNR: fnr (asked for), threshold (inf: all called benign), missed, malignant,
        spared, benign, tnr = spared / benign.
    """
    truth, score = checked(y_true, y_score)
    table = _counts_at(truth, score, _thresholds(truth, score, fnr))
    table.insert(0, "fnr", np.atleast_1d(np.asarray(fnr, float)))
    return table.assign(tnr=table["spared"] / table["benign"])


def tnr_curve(y_true, y_score) -> pd.DataFrame:
    """Figure 7: the operating points at 0, 1, 2, ... malignant lesions missed.

    Parameters
    ----------
    y_true, y_score : array of shape (n,)

    Returns
    -------
    DataFrame
        As :func:`operating_points`, with fnr = 0/m, 1/m, ..., 1.  TNR is constant in between.
    """
    m = int(checked_truth(y_true).sum())
    return operating_points(y_true, y_score, np.arange(m + 1) / m)


def hanley_mcneil_se(auc: float, malignant: int, benign: int) -> float:
    """Standard error of an AUC from its value and the counts alone (Hanley and McNeil 1982).

    Lesions count as independent: a lower bound where patients have several.

    Parameters
    ----------
    auc : float, 0..1
    malignant, benign : int, numbers of lesions

    Returns
    -------
    float

    Raises
    ------
    InputError
        For an AUC outside 0..1 or a kind without a lesion.
    """
    if malignant < 1 or benign < 1 or not 0 <= auc <= 1:
        what = f"AUC {auc:g} with {malignant} malignant and {benign} benign lesions"
        remedy = "Give an AUC in 0..1 and at least one lesion of each kind"
        raise InputError(what, "hanley_mcneil_se", remedy)
    auc = float(auc)
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (malignant - 1) * (q1 - auc**2) + (benign - 1) * (q2 - auc**2)
    return float(np.sqrt(spread / (malignant * benign)))


@dataclass(frozen=True)
class DeLong:
    """AUC (0..1), or difference of two on the same lesions (-1..1), with a normal 95 % interval."""

    value: float
    se: float
    low: float
    high: float
    z: float  # of no difference, with its two-sided p; NaN for a single AUC
    p: float
    malignant: int
    benign: int
    patients: int | None  # None where lesions count as independent


def delong(y_true, a, b=None, patient=None) -> DeLong:
    """Variance of an AUC, or of the difference of two AUCs, without resampling.

    Parameters
    ----------
    y_true, a, b : array of shape (n,)
        Truth and the scores of one or two models on the same lesions.
    patient : array of shape (n,), optional
        Without it, lesions count as independent (DeLong et al. 1988); with it, the components are
        summed by patient first (Obuchowski 1997).

    Returns
    -------
    DeLong
        se and interval are NaN where a class has one lesion (with `patient`: one patient) alone.
        A variance of 0, as of perfect separation, gives an interval of no width and a warning.

    Raises
    ------
    InputError
        Where a lesion has no patient.
    """
    truth, a = checked(y_true, a, "a")
    v10, v01, value = placements(truth, a)
    if b is not None:
        w10, w01, other = placements(truth, checked(y_true, b, "b")[1])
        v10, v01, value = v10 - w10, v01 - w01, value - other
    patients = None
    if patient is None:
        variance = sum(np.var(v, ddof=1) / v.size if v.size > 1 else np.nan for v in (v10, v01))
    else:
        codes, patients = _patient_codes(patient, truth.size)
        variance = _clustered_variance(truth, v10, v01, value, codes)
    se = float(np.sqrt(np.maximum(variance, 0.0)))
    z, half = np.nan, _Z95 * se
    if b is not None:  # two equal scores have no variance and do not differ
        z = value and (value / se if se else float(np.copysign(np.inf, value)))
    if se == 0 and z != 0:
        text = "no variance at the value %.3f: its interval and p do not tell how sure it is"
        warnings.warn(text % value, stacklevel=2)
    p = float(2 * ndtr(-abs(z)))
    counts = int(truth.sum()), int((~truth).sum())
    # the normal interval does not know that an AUC ends at 1
    ends = np.clip([value, value - half, value + half], 0.0 if b is None else -1.0, 1.0).tolist()
    return DeLong(ends[0], se, *ends[1:], z, p, *counts, patients)


def placements(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Each lesion's share of the AUC (the components of DeLong et al. 1988), of checked input.

    Parameters
    ----------
    truth, score : array of shape (n,), as :func:`checked` gives them

    Returns
    -------
    float64 array of shape (malignant,), float64 array of shape (benign,), float
        Share of benign lesions below each malignant one, of malignant above each benign; the AUC.
    """
    m, b = int(truth.sum()), int((~truth).sum())
    every = score, score[truth], score[~truth]
    rank, own, other = (pd.Series(each).rank().to_numpy() for each in every)
    v10, v01 = (rank[truth] - own) / b, 1 - (rank[~truth] - other) / m
    return v10, v01, float(v10.mean())


def _clustered_variance(truth, v10, v01, value: float, code: np.ndarray) -> float:
    k, sums = int(code.max()) + 1, []
    for kind, component in ((truth, v10), (~truth, v01)):
        count = np.bincount(code[kind], minlength=k)
        total = np.bincount(code[kind], weights=component, minlength=k)
        sums.append((total - count * value, count))
    (d10, c10), (d01, c01) = sums
    clusters = [int((c > 0).sum()) for c in (c10, c01)]
    if min(clusters) < 2:
        return np.nan
    s10, s01 = (c / (c - 1) * (d**2).sum() for c, d in zip(clusters, (d10, d01), strict=True))
    m, b = c10.sum(), c01.sum()
    cross = k / (k - 1) * (d10 * d01).sum()
    return float(s10 / m**2 + s01 / b**2 + 2 * cross / (m * b))
