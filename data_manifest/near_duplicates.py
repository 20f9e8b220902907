"""Near-duplicates: the same mammogram under two patients' names, which would leak between splits.

Two images are held to be the same if their thumbnails of 64 x 64 px correlate by more than .98, as
they are or mirrored, and their tissue, which is what a blur takes away from a thumbnail, by more
than .85.  Breasts are so alike in outline that the first alone flags a dozen pairs of different
women among the 322 films of mini-MIAS (and a hash of differences thousands).  In tissue no pair of
different women exceeds .78; copies that were scaled, compressed, brightened or mirrored stay above
.9.

A copy that was shifted or cropped by over 1 % of its size, or bears a large new label, is missed
where whole images are compared, but not on the canvases of a store, which are aligned and blanked
off the breast.  Files with equal pixels are found by the store's sha256 as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd

SIDE = 64
THRESHOLD = 0.98
TISSUE = 0.85
BLUR_PX = 2.0  # of the thumbnail
FLOOR = 0.1  # of the thumbnail's own spread: fainter structure is noise
BLOCK = 2048


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """An image (rows, cols) as float32 (64, 64): means over areas, then of mean 0 and length 1.

    The product of two thumbnails is their correlation.  An image of one grey level gives zeros.
    """
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return _standardised(small.astype(np.float32))


def tissue(small: np.ndarray) -> np.ndarray:
    """A thumbnail less its blur, each part in units of its own contrast, so that the edge of the
    breast weighs no more than what is within; of mean 0 and length 1."""
    fine = (small - cv2.GaussianBlur(small, (0, 0), BLUR_PX)) * SIDE
    contrast = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), BLUR_PX))
    return _standardised(fine / (contrast + FLOOR))


def _standardised(small: np.ndarray) -> np.ndarray:
    small = small - small.mean()
    length = float(np.linalg.norm(small))
    return small / length if length > 0 else small


def near_duplicates(images: pd.DataFrame, thumbnails: np.ndarray) -> pd.DataFrame:
    """Pairs of images of different patients that look the same, the most alike first.

    Parameters
    ----------
    images : columns image_id, patient_id, split, one row per thumbnail.
    thumbnails : float32 (n, 64, 64), each as :func:`thumbnail` makes it.

    Returns
    -------
    DataFrame
        One row per pair: image_a, patient_a, split_a, image_b, patient_b, split_b, correlation,
        tissue (its correlation), mirrored (it is the mirror image that correlates), across (the two
        are in different splits).
    """
    who = images[["image_id", "patient_id", "split"]].reset_index(drop=True)
    who.columns = ["image", "patient", "split"]
    patient = pd.factorize(who["patient"])[0]
    rows = []
    for i, j, correlation, mirrored in _alike(thumbnails):
        if patient[i] != patient[j]:
            other = thumbnails[j][:, ::-1] if mirrored else thumbnails[j]
            same = float((tissue(thumbnails[i]) * tissue(np.ascontiguousarray(other))).sum())
            rows += [(i, j, correlation, same, mirrored)] if same > TISSUE else []
    pairs = pd.DataFrame(rows, columns=["i", "j", "correlation", "tissue", "mirrored"])
    sides = [who.loc[pairs[k]].reset_index(drop=True).add_suffix(f"_{s}") for k, s in ("ia", "jb")]
    table = pd.concat([*sides, pairs.drop(columns=["i", "j"])], axis=1)
    table["across"] = table["split_a"] != table["split_b"]
    return table.sort_values("correlation", ascending=False, kind="stable", ignore_index=True)


def _alike(thumbnails: np.ndarray) -> Iterator[tuple[int, int, float, bool]]:
    """Rows i < j, correlation and whether mirrored, of all pairs of thumbnails above the threshold.

    Block by block, so that the memory stays small however many images there are.
    """
    flat, turned = (t.reshape(len(t), -1) for t in (thumbnails, thumbnails[:, :, ::-1]))
    for a in range(0, len(flat), BLOCK):
        for b in range(a, len(flat), BLOCK):
            other = flat[b : b + BLOCK].T
            plain, mirrored = flat[a : a + BLOCK] @ other, turned[a : a + BLOCK] @ other
            for i, j in np.argwhere(np.maximum(plain, mirrored) > THRESHOLD):
                if i + a < j + b:
                    best = max(plain[i, j], mirrored[i, j])
                    yield i + a, j + b, float(best), bool(mirrored[i, j] > plain[i, j])
