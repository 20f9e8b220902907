"""Patches: the pixels of windows, resampled to squares of one size (Wu et al. 2020).

A window table is drawn once and is data.  Cutting patches has no randomness: the same windows of
the same store give the same pixels.

The geometry is `windows.window_affine`, the interpolation is bilinear.  Where the patch is smaller
than its window, the window is rendered at the next whole multiple of the patch's size and averaged
down, so that no detail aliases.  What is off the canvas is background (raw 0).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.store import LEAST_STD, Store
from lesionlib.windows import check_windows, corners, window_affine

MARGIN = 2  # px read around a window, for bilinear interpolation at its edge


def extract_patches(
    store: Store, windows: pd.DataFrame, patch: int, *, dtype=np.float32
) -> np.ndarray:
    """Cut the patches of all windows.

    Values are standardised by the whole image, (x - mean) / max(std, 1e-5), as for GMIC (Shen et
    al. 2021).

    Parameters
    ----------
    store : Store
    windows : DataFrame of n windows
    patch : int, side in px
    dtype : dtype of the result

    Returns
    -------
    array of shape (n, 1, patch, patch), in the order of the table

    Raises
    ------
    InputError
        For a patch below 1 px and for a table that `check_windows` refuses.
    """
    if patch < 1:
        raise InputError(f"a patch of {patch} px", "setting windows.patch", "Give 1 px or more")
    check_windows(windows, len(store.images))
    image = windows["image"].to_numpy()
    mean = store.images["mean"].to_numpy(dtype=float)[image]
    std = np.maximum(store.images["std"].to_numpy(dtype=float)[image], LEAST_STD)
    affines, points = window_affine(windows, patch), corners(windows)
    # boxes (n, 2, 2) of whole pixels around the windows, [start, end), on the canvas
    start = np.floor(points.min(axis=1)).astype(int) - MARGIN
    end = np.ceil(points.max(axis=1)).astype(int) + MARGIN
    boxes = np.clip(np.stack([start, end], axis=1), 0, (store.rows, store.cols))
    patches = np.empty((len(windows), 1, patch, patch), dtype=dtype)
    for k in np.argsort(image, kind="stable"):  # image by image: the store is read in order
        raw = _render(store.raw(image[k]), boxes[k], affines[k], patch)
        patches[k, 0] = (raw - np.float32(mean[k])) / np.float32(std[k])
    return patches


def _render(raw: np.ndarray, box: np.ndarray, affine: np.ndarray, patch: int) -> np.ndarray:
    """One window in raw units, float32 (patch, patch); `affine` maps patch to canvas pixels."""
    (row0, col0), (row1, col1) = box
    if row1 <= row0 or col1 <= col0:
        return np.zeros((patch, patch), dtype=np.float32)
    # float32 on purpose: OpenCV rounds integer results, and float64 coordinates to 1/32 px
    pixels = raw[row0:row1, col0:col1].astype(np.float32)
    scale = math.hypot(*affine[:, 0])
    finer = max(1, math.ceil(scale - 1e-9))
    turn = affine[:, :2] / finer
    # OpenCV's pixel centres are at integers, on both sides
    shift = affine[:, 2] - (col0, row0) + turn.sum(axis=1) / 2 - 0.5
    fine = cv2.warpAffine(
        pixels,
        np.column_stack([turn, shift]),
        (patch * finer, patch * finer),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return cv2.resize(fine, (patch, patch), interpolation=cv2.INTER_AREA) if finer > 1 else fine
