"""Saliency maps that should not help f_agg: the controls of `fagg.saliency_of`.

exchanged : the maps of another patient of the same split, so that S knows nothing of the lesion's
    own breast.  E+S learned with them should score as E.
outside : each map is blanked around the lesions of its image, so that S knows the lesion's
    surroundings and no more.  The blank has one size, for a lesion's size tells of its truth, and is
    filled with the mean of the other cells.  What GMIC saw of the lesion still reaches cells farther
    off, as far as its receptive field goes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lesionlib.seeds import rng


def other_patients(images: pd.DataFrame, seed: int) -> np.ndarray:
    """For each row of a store's `images` the row of an image of another patient of its split.

    The patients of a split stand in a circle, in an order drawn by `seed`; each takes the images of
    the next, one after the other, again from the first where these are fewer.  int64 (n,).
    """
    rows = np.arange(len(images))
    for split, part in images.reset_index(drop=True).groupby("split"):
        of_patient = part.groupby("patient_id", sort=True).indices
        own = [part.index.to_numpy()[found] for found in of_patient.values()]
        order = rng(seed, split).permutation(len(own))
        for one, other in zip(order, np.roll(order, -1), strict=True):
            rows[own[one]] = np.resize(own[other], len(own[one]))
    return rows


def without_lesions(maps: np.ndarray, images, cell: int) -> np.ndarray:
    """A copy of the maps (n, 2, h, w) without the cells around each lesion of a store.

    The 3 x 3 cells around the middle of an outline, and those that its box reaches beyond them, take
    the mean of the image's other cells.  cell : px of a cell's side.
    """
    shape, blank = maps.shape[-2:], np.zeros((len(maps), *maps.shape[-2:]), bool)
    boxes = images.lesions[["image", "row0", "col0", "rows", "cols"]].to_numpy(int)
    for image, *box in boxes:
        ends = []
        for start, length, cells in zip(box[:2], box[2:], shape, strict=True):
            middle = (start + length // 2) // cell
            first = min(middle - 1, start // cell)
            last = max(middle + 1, (start + length - 1) // cell)
            ends.append(slice(max(first, 0), min(last + 1, cells)))
        blank[image, ends[0], ends[1]] = True
    out = maps.copy()
    for image in np.flatnonzero(blank.any(axis=(1, 2))):
        rest = maps[image][:, ~blank[image]]
        out[image][:, blank[image]] = rest.mean(axis=1, keepdims=True) if rest.size else 0
    return out
