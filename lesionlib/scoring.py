"""From the networks' outputs to the score of a lesion (Wu et al. 2020).

The score of a window is malignant / (malignant + benign) of the softmax over the four classes.  The
score of a lesion is the mean over its windows (100 at evaluation).  The rule is the same for f_loc
and every f_agg.  All arithmetic is in float64.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from lesionlib.errors import InputError
from lesionlib.store import Store

PREDICTION_COLUMNS = ("lesion_id", "patient_id", "split", "y_true", "model", "run", "y_score")


def truth_of(lesions: pd.DataFrame) -> np.ndarray:
    """Truth of each lesion: 1 malignant, 0 benign, -1 unknown.  It is decided here alone.

    Parameters
    ----------
    lesions : DataFrame with a column `pathology`

    Returns
    -------
    int64 array of shape (n,)
    """
    known = {"malignant": 1, "benign": 0}
    return lesions["pathology"].map(known).fillna(-1).to_numpy(np.int64)


def known_lesions(store: Store, *splits: str) -> np.ndarray:
    """Rows of the store's lesions in these splits whose truth is known, ascending.

    Parameters
    ----------
    store : Store
    *splits : str

    Returns
    -------
    int64 array
    """
    return np.flatnonzero(store.lesions["split"].isin(splits) & (truth_of(store.lesions) >= 0))


def window_scores(logits) -> np.ndarray:
    """Score of each window, malignant / (malignant + benign).

    The outside and negative classes cancel: the ratio is the logistic function of the difference
    of the first two logits, which neither overflows nor divides by 0.

    Parameters
    ----------
    logits : array or CPU tensor of shape (n, 4), classes as `windows.CLASSES`

    Returns
    -------
    float64 array of shape (n,), values 0..1

    Raises
    ------
    InputError
        For another shape.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[1] != 4:
        raise InputError(f"logits of shape {logits.shape}", "window_scores", "Give 4 per window")
    return expit(logits[:, 0] - logits[:, 1])


def lesion_scores(scores, lesion, lesions) -> np.ndarray:
    """Score of each lesion, the mean over its windows.

    Parameters
    ----------
    scores, lesion : array of shape (n,)
        Score and lesion of each window.  Windows of lesions not in `lesions` are ignored.
    lesions : array of shape (m,), each once

    Returns
    -------
    float64 array of shape (m,)

    Raises
    ------
    InputError
        For a lesion without a window or named twice, a score that is not finite, or unequal
        numbers of scores and windows.
    """
    scores, lesion = np.asarray(scores, dtype=np.float64), np.asarray(lesion)
    wanted = pd.Index(lesions)
    _check_scores(scores, lesion, wanted)
    place = wanted.get_indexer(lesion)
    known = place >= 0
    counts = np.bincount(place[known], minlength=len(wanted))
    if (counts == 0).any():
        empty = wanted[counts == 0]
        what = f"{len(empty)} of {len(wanted)} lesions have no window, first {empty[0]}"
        raise InputError(what, "lesion_scores", "Draw them with sampling.sample_lesion_windows")
    return np.bincount(place[known], scores[known], len(wanted)) / counts


def _check_scores(scores: np.ndarray, lesion: np.ndarray, wanted: pd.Index) -> None:
    if scores.shape != lesion.shape or scores.ndim != 1:
        what = f"{scores.shape} scores for {lesion.shape} windows"
        raise InputError(what, "lesion_scores", "Give one score per window")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        what = f"{bad} of {scores.size} window scores are not finite"
        raise InputError(what, "lesion_scores", "Train the network with a lower learning_rate")
    if not wanted.is_unique:
        twice = wanted[wanted.duplicated()][0]
        raise InputError(f"lesion {twice} is asked for twice", "lesion_scores", "Name each once")


def lesion_predictions(
    store: Store, windows: pd.DataFrame, scores, *, model: str, run: int
) -> pd.DataFrame:
    """Rows of a predictions table for the lesions that the windows show, in the store's order.

    Parameters
    ----------
    store : Store
    windows : DataFrame of n windows
    scores : array of shape (n,), see `window_scores`
    model : str, "f_loc" or the name of a combination of maps
    run : int

    Returns
    -------
    DataFrame
        One row per lesion with `PREDICTION_COLUMNS`; y_true is 1 for malignant, 0 for benign.

    Raises
    ------
    InputError
        For windows without a lesion, for lesions of unknown truth, and as `lesion_scores`.
    """
    rows = np.unique(windows["lesion"].to_numpy())
    if rows.size == 0 or rows[0] < 0:
        what = f"{int((windows['lesion'] < 0).sum())} of {len(windows)} windows show no lesion"
        remedy = "Score only the windows of sampling.sample_lesion_windows"
        raise InputError(what, f"predictions of {model}", remedy)
    lesions = store.lesions.iloc[rows]
    truth = truth_of(lesions)
    if (truth < 0).any():
        first = lesions["lesion_id"].iloc[int(np.argmin(truth))]
        what = f"{(truth < 0).sum()} lesions have no known pathology, first {first}"
        raise InputError(what, f"predictions of {model}", "Score those of scoring.known_lesions")
    score = lesion_scores(scores, windows["lesion"].to_numpy(), rows)
    table = lesions[["lesion_id", "patient_id", "split"]].reset_index(drop=True)
    table = table.assign(y_true=truth, model=model, run=run, y_score=score)
    return table[list(PREDICTION_COLUMNS)]
