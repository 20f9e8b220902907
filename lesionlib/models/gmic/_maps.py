"""What is read off GMIC's saliency maps, and the order of their classes (Shen et al. 2021)."""

from __future__ import annotations

import torch

from lesionlib.errors import InputError


def malignant_first(maps: torch.Tensor) -> torch.Tensor:
    """Turn GMIC's order (benign, malignant) into that of `lesionlib.windows.CLASSES`.

    Parameters
    ----------
    maps : tensor of shape (n, 2) or (n, 2, h, w), benign first

    Returns
    -------
    The same, malignant first.

    Raises
    ------
    InputError : where axis 1 does not have two classes.
    """
    if maps.ndim < 2 or maps.shape[1] != 2:
        what = f"two classes along axis 1 expected, got shape {tuple(maps.shape)}"
        raise InputError(what, "malignant_first", "Give GMIC's outputs or labels, (n, 2, ...)")
    return maps.flip(1)


def top_t_count(rows: int, cols: int, top_t: float) -> int:
    """How many cells of rows x cols y_global averages: half to even, at least 1; top_t 0..1."""
    return max(1, round(cols * rows * top_t))


def mean_of_top(saliency: torch.Tensor, top_t: float) -> torch.Tensor:
    """y_global, the mean of the highest cells: (n, classes, h, w), share of cells -> (n, classes)."""
    count = top_t_count(saliency.shape[2], saliency.shape[3], top_t)
    return saliency.flatten(2).topk(count, dim=2).values.mean(dim=2)
