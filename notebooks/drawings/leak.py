"""How much too good a score looks when images are split and not patients: a demonstration.

The classifier here describes a breast by its size and mean grey, and gives an image the truth of
the most similar training image.  It sees no lesion.  What it still gets right when images are split
is what the views of one patient share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from lesionlib.errors import InputError
from lesionlib.metrics.roc import auc
from lesionlib.seeds import rng

FEATURES = ("height", "width", "grey")


def breast_features(store) -> pd.DataFrame:
    """Height and width of the breast (px of the canvas) and its mean grey, one row per canvas.

    Standardised within each view, since a CC and an MLO of one breast differ in shape.  What does
    not vary within a view, as in a single image, is 0.
    """
    images = store.images
    share = np.array([store.breast(i).mean() for i in range(len(images))])
    values = (
        images["breast_row1"] - images["breast_row0"],
        images["breast_col1"] - images["breast_col0"],
        images["mean"] / share,
    )
    table = pd.DataFrame(dict(zip(FEATURES, values, strict=True)))
    by_view = table.groupby(images["view"])
    spread = by_view.transform("std")
    return (table - by_view.transform("mean")) / spread.where(spread > 0, 1)


def compare_splits(features, truth, patient, sizes: Sequence[int], seed: int = 0) -> pd.DataFrame:
    """AUC of the nearest image's truth in small sets, halved by image and by patient.

    For each of `sizes` the patients are divided into as many disjoint sets of that size as possible,
    so that the rows of one size are independent and their spread is one over patients.

    Parameters
    ----------
    features : (n, k) numbers by which images are compared.  truth : (n,) 1 malignant, 0 not.
    patient : (n,) ids.  sizes : patients of a set, 4 or more.

    Returns one row per set: patients, by image, by patient (AUC; NaN where the tested half has one
    kind only).  Raises InputError where there are fewer patients than one set needs.
    """
    x, y, owner = np.asarray(features, float), np.asarray(truth, int), np.asarray(patient)
    rows = []
    for size in sizes:
        draw = rng(seed, "leak", size)
        order = draw.permutation(np.unique(owner))
        if not 4 <= size <= len(order):
            what = f"sets of {size} of {len(order)} patients"
            raise InputError(what, "leak", "Choose 4 patients or more, and at most all")
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            own = np.flatnonzero(np.isin(owner, chosen))
            halves = {
                "by image": draw.permutation(len(own)) < len(own) // 2,
                "by patient": np.isin(owner[own], chosen[: size // 2]),
            }
            found = {way: _nearest_auc(x[own], y[own], test) for way, test in halves.items()}
            rows.append({"patients": size, **found})
    return pd.DataFrame(rows)


def _nearest_auc(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> float:
    if not 0 < y[test].sum() < test.sum():
        return float("nan")
    _, nearest = KDTree(x[~test]).query(x[test])
    return float(auc(y[test], y[~test][nearest].astype(float)))
