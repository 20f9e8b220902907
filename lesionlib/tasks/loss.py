"""The weighted cross-entropy of f_loc and f_agg (Wu et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F


def class_weights(counts: Sequence[int]) -> np.ndarray:
    """Weight of each class in the cross-entropy: windows of an epoch / those of the class.

    The paper's epoch of 20, 35, 5,000 and 4,945 windows gives 500, 285.714, 2 and 2.0222; with
    torch's weighted mean only their ratios count.

    Parameters
    ----------
    counts : (4,), windows of an epoch by class.

    Returns
    -------
    float32 (4,); 0 for a class without windows.
    """
    counts = np.asarray(counts, dtype=np.float64)
    weights = np.divide(counts.sum(), counts, out=np.zeros_like(counts), where=counts > 0)
    return weights.astype(np.float32)


def weighted_loss(
    logits, labels, weights, divisor: str = "weights", processes: int | None = None
) -> torch.Tensor:
    """Weighted cross-entropy of a batch, as one number.

    Parameters
    ----------
    logits, labels : (n, 4) and int64 (n,).
    weights : float32 (4,), see :func:`class_weights`.
    divisor : the sum over windows of weight x cross-entropy is divided by the sum of the "weights",
        so that every batch counts alike, or by the number of "windows", so that every window of a
        class counts alike whatever its batch holds. The paper does not say which.
    processes : that share the batch, where it is shared; n is then of the share.

    Returns
    -------
    A scalar, whose mean over the processes is the loss of the whole batch.
    """
    if divisor == "weights" and not processes:
        return F.cross_entropy(logits.float(), labels, weights)
    total = F.cross_entropy(logits.float(), labels, weights, reduction="sum")
    if divisor == "windows":
        return total / len(labels)
    whole = weights[labels].sum()
    torch.distributed.all_reduce(whole)  # from the share's sum to the batch's
    return total * processes / whole
