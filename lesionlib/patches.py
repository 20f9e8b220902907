"""Patches: the pixels of windows, resampled to squares of one size (Wu et al. 2020).

A window table is drawn once and is data.  Cutting patches has no randomness: the same windows of
the same store give the same pixels.

The geometry is `windows.window_affine`, the interpolation is bilinear.  A patch pixel that covers
more than one pixel of the image is its average over that area, so that no detail aliases: up to
`ONE_SAMPLE` px a side, the image is smoothed with [a, 1 - 2a, a] along both axes and read once;
beyond, the window is read at the next whole multiple of the patch's size and averaged down.  What
is off the canvas is background (raw 0).
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.store import LEAST_STD, Store
from lesionlib.windows import check_windows, corners, window_affine

MARGIN = 2  # px read around a window, for smoothing and for bilinear interpolation at its edge
ONE_SAMPLE = 1.5  # px of the canvas per px of the patch, in the paper at most
# a = SMOOTHING (scale - 1): least squares against the exact average over the area of a patch pixel
SMOOTHING = 0.2


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
    cuts = Cuts(store, windows, patch)
    patches = np.empty((len(windows), 1, patch, patch), dtype=dtype)
    read = np.empty((patch, patch), np.float32)
    areas = np.prod(cuts.boxes[:, 2:] - cuts.boxes[:, :2], axis=1)
    room = np.empty(areas.max(initial=0), np.float32)
    for k in np.argsort(cuts.image, kind="stable"):  # image by image: the store is read in order
        into = patches[k, 0] if patches.dtype == np.float32 else read
        _read(store.raw(cuts.image[k]), cuts, k, room, into)
        into -= cuts.mean[k]
        np.multiply(into, cuts.per_std[k], out=patches[k, 0])
    return patches


class Cuts:
    """What of its image each of n windows needs, and where in it the samples of its patch are.

    Parameters
    ----------
    store, windows, patch : as `extract_patches` has them

    Attributes
    ----------
    image : (n,) rows of store.images
    mean, per_std : float32 (n,), of the image's raw values, and 1 / std
    boxes : (n, 4) row0, col0, row1, col1, half-open; up to one pixel off the canvas
    maps : (n, 2, 3) samples to box, (col, row); pixel centres are at integers on both
    smoothing : (n,) a of [a, 1 - 2a, a]
    finer : (n,) samples per side of a patch pixel
    """

    def __init__(self, store: Store, windows: pd.DataFrame, patch: int):
        if patch < 1:
            raise InputError(f"a patch of {patch} px", "setting windows.patch", "Give 1 px or more")
        check_windows(windows, len(store.images))
        pose = {name: windows[name].to_numpy() for name in ("image", "row", "col", "side", "angle")}
        self.image, scale, points = pose["image"], pose["side"] / patch, corners(pose)
        mean, std = (store.images[name].to_numpy()[self.image] for name in ("mean", "std"))
        self.mean, self.per_std = np.float32(mean), np.float32(1 / np.maximum(std, LEAST_STD))
        size = np.array([store.rows, store.cols])
        # one pixel of background around the canvas: what is smoothed reaches as far
        start = np.clip(np.floor(points.min(axis=1)).astype(int) - MARGIN, -1, size)
        end = np.clip(np.ceil(points.max(axis=1)).astype(int) + MARGIN, 0, size + 1)
        self.boxes = np.hstack([start, end])
        self.finer = np.where(scale <= ONE_SAMPLE, 1, np.ceil(scale - 1e-9)).astype(int)
        self.smoothing = np.where(self.finer == 1, SMOOTHING * np.maximum(scale - 1, 0), 0)
        self.maps = window_affine(pose, patch)
        self.maps[:, :, :2] /= self.finer[:, None, None]
        self.maps[:, :, 2] += self.maps[:, :, :2].sum(axis=2) / 2 - 0.5 - start[:, ::-1]


def _read(raw: np.ndarray, cuts: Cuts, k: int, room: np.ndarray, patch: np.ndarray) -> None:
    """Fill `patch`, float32, with window k in raw units; `room` is for its box.

    float32 on purpose: OpenCV rounds integer results, and float64 coordinates to 1/32 px.  The box
    is copied before it is converted: a plain copy waits less for pixels that are not in the cache.
    """
    row0, col0, row1, col1 = cuts.boxes[k].tolist()
    top, left, a, finer = max(-row0, 0), max(-col0, 0), cuts.smoothing[k], int(cuts.finer[k])
    shape, inside = (row1 - row0, col1 - col0), raw[row0 + top : row1, col0 + left : col1]
    box = room[: shape[0] * shape[1]].reshape(shape)
    if inside.shape != shape:
        box[:] = 0
    box[top : top + len(inside), left : left + inside.shape[1]] = inside.copy()
    if a > 0:
        kernel = np.array([a, 1 - 2 * a, a], np.float32)
        cv2.sepFilter2D(box, -1, kernel, kernel, box, borderType=cv2.BORDER_CONSTANT)
    size, how = (len(patch) * finer,) * 2, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(box, cuts.maps[k], size, patch if finer == 1 else None, how)
    if finer > 1:
        cv2.resize(fine, patch.shape, patch, interpolation=cv2.INTER_AREA)
