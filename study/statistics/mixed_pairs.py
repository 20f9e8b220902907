"""Malignant against benign lesions of one image, where the breast around them is the same.

The share of pairs in order is the AUC within images (Obuchowski, Lieber and Powell 2000 on several
findings per patient).  Context that belongs to the whole image cannot help here: what a model gains
in such pairs it owes to the lesion or its neighbourhood.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from study import tables
from study.statistics import common


def pairs_in_order(
    predictions: pd.DataFrame, image: pd.Series, a: str, b: str = "", *, resamples=2000, seed=0
) -> dict:
    """Share of pairs within images that a ranks rightly, or with b what a has more than b.

    image : of each lesion, index lesion_id.  Ties count one half; every pair counts the same.
    Returns value, low, high (95 % over patients who have such an image), pairs, images, patients;
    no value with fewer than `common.MINIMUM` images.
    """
    known = tables.pair(predictions, a, b) if b else (tables.scores(predictions, a),)
    where = pd.Series(image.reindex(known[0].lesion).to_numpy())
    rows = where.map(pd.Series(known[0].truth).groupby(where).nunique()).to_numpy() == 2
    known, where = [common.part(s, rows) for s in known], where[rows].to_numpy()
    first = known[0]
    malignant, benign = np.nonzero(first.truth[:, None] & (where[:, None] == where) & ~first.truth)
    each = [(np.sign(s.mean[malignant] - s.mean[benign]) + 1) / 2 for s in known]
    right = each[0] - sum(each[1:])

    def share(times: np.ndarray) -> np.ndarray:
        weight = times[malignant]
        return (right @ weight / weight.sum(axis=0))[:, None]

    out = {"value": None, "low": None, "high": None}
    counted = {"pairs": len(malignant), "images": len(set(where))}
    counted |= {"patients": len(set(first.patient))}
    if counted["images"] >= common.MINIMUM:
        out = common.over_patients(first, share, resamples, seed).iloc[0].to_dict()
    return out | counted
