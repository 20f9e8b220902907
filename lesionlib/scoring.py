"""From the networks' outputs to the score of a lesion (Wu et al. 2020).

The score of a window is malignant / (malignant + benign) of the softmax over the four classes; the
score of a lesion is the mean over its windows (100 at evaluation).  The same rule serves f_loc and
every f_agg.

Promises: float64 throughout; every lesion that is asked for gets a finite score or an InputError.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from lesionlib.errors import InputError

PREDICTION_COLUMNS = ("lesion_id", "patient_id", "split", "y_true", "model", "run", "y_score")


def known_lesions(store, *splits: str) -> np.ndarray:
    """Rows (int64, ascending) of the store's lesions in these splits whose truth is known."""
    kinds = [(split, kind) for split in splits for kind in ("malignant", "benign")]
    rows = [store.lesion_rows(split=split, pathology=kind) for split, kind in kinds]
    return np.sort(np.concatenate(rows))


def window_scores(logits) -> np.ndarray:
    """Malignant / (malignant + benign) of each window: float64 (n,), in 0..1.

    logits : (n, 4) array or CPU tensor, classes in the order of `lesionlib.windows.CLASSES`.

    The outside and negative classes cancel: the ratio is the logistic function of the difference
    of the first two logits, which neither overflows nor divides by 0.  Raises InputError for
    another shape.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[1] != 4:
        raise InputError(
            f"logits of shape {logits.shape}", "window_scores", "Give one row of 4 classes a window"
        )
    return expit(logits[:, 0] - logits[:, 1])


def lesion_scores(scores, lesion, lesions) -> np.ndarray:
    """Mean score over the windows of each lesion: float64, one for each of `lesions`, in order.

    scores : (n,) of the windows.  lesion : (n,) the lesion that each window belongs to; windows of
    lesions that are not asked for are passed over.  lesions : (m,) the lesions, each once.

    Raises InputError for a lesion without a window or named twice, for a score that is not
    finite, and for scores and windows of different number.
    """
    scores, lesion = np.asarray(scores, dtype=np.float64), np.asarray(lesion)
    if scores.shape != lesion.shape or scores.ndim != 1:
        raise InputError(
            f"{scores.shape} scores for {lesion.shape} windows",
            "lesion_scores",
            "Give one a window",
        )
    if not np.isfinite(scores).all():
        raise InputError(
            f"{int((~np.isfinite(scores)).sum())} of {scores.size} window scores are not finite",
            "lesion_scores",
            "Train the network anew with a lower learning_rate",
        )
    wanted = pd.Index(lesions)
    if not wanted.is_unique:
        twice = wanted[wanted.duplicated()][0]
        raise InputError(f"lesion {twice} is asked for twice", "lesion_scores", "Name each once")
    place = wanted.get_indexer(lesion)
    known = place >= 0
    counts = np.bincount(place[known], minlength=len(wanted))
    if (counts == 0).any():
        empty = wanted[counts == 0]
        raise InputError(
            f"{len(empty)} of {len(wanted)} lesions have no window, first {empty[0]}",
            "lesion_scores",
            "Draw windows of every lesion with sampling.sample_lesion_windows",
        )
    return np.bincount(place[known], scores[known], len(wanted)) / counts


def lesion_predictions(
    store, windows: pd.DataFrame, scores, *, model: str, run: int
) -> pd.DataFrame:
    """Rows of predictions.csv for the lesions that the windows show, in the store's order.

    store : its `lesions` table is read.  windows : their column `lesion` is read (rows of that
    table).  scores : (n,) of `window_scores`.  model : "f_loc" or the name of a combination.

    Columns: `PREDICTION_COLUMNS`; y_true is 1 for malignant, 0 for benign; y_score is the mean of
    the lesion's window scores.  Raises InputError for windows without a lesion, lesions of unknown
    pathology, and as `lesion_scores`.
    """
    rows = np.unique(windows["lesion"].to_numpy())
    if rows.size == 0 or rows[0] < 0:
        raise InputError(
            f"{int((windows['lesion'] < 0).sum())} of {len(windows)} windows show no lesion",
            f"predictions of {model}",
            "Score the windows of sampling.sample_lesion_windows only",
        )
    lesions = store.lesions.iloc[rows]
    unknown = lesions[~lesions["pathology"].isin(("malignant", "benign"))]
    if len(unknown):
        raise InputError(
            f"{len(unknown)} lesions have no known pathology, first {unknown['lesion_id'].iloc[0]}",
            f"predictions of {model}",
            "Score lesions from store.lesion_rows(pathology='malignant' or 'benign')",
        )
    table = {name: lesions[name].to_numpy() for name in ("lesion_id", "patient_id", "split")}
    table["y_true"] = (lesions["pathology"] == "malignant").to_numpy(np.int64)
    table |= {"model": model, "run": run}
    table["y_score"] = lesion_scores(scores, windows["lesion"].to_numpy(), rows)
    return pd.DataFrame(table)[list(PREDICTION_COLUMNS)]
