"""GMIC's training loss (Shen et al. 2021)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from lesionlib.errors import InputError
from lesionlib.models.gmic.network import GMICOutput


def gmic_loss_terms(
    output: GMICOutput,
    labels: torch.Tensor,
    *,
    beta: float,
    sparsity: float,
    reduction: str = "sum",
) -> dict[str, torch.Tensor]:
    """The four summands of the training loss, each a mean over images of a sum over two classes.

    Parameters
    ----------
    output : of the network, for n images.
    labels : (n, 2), benign and malignant present (1) or not (0), in the output's order.
    beta : weight of the saliency maps' sparsity.
    sparsity : exponent of the saliency.
    reduction : of saliency ** sparsity over the cells; "sum" as published, or "mean", so that beta
        means the same on every canvas.

    Returns
    -------
    Scalars "global", "local", "fusion" (cross-entropies) and "sparsity"; the loss is their sum.

    Raises
    ------
    InputError : for an unknown reduction.
    """
    if reduction not in ("sum", "mean"):
        raise InputError(f"unknown reduction {reduction!r}", "gmic_loss_terms", "Use sum or mean")
    labels = labels.float()
    with torch.autocast(output.saliency.device.type, enabled=False):
        powers = output.saliency.float().abs().pow(sparsity).flatten(2)
        cells = powers.sum(dim=2) if reduction == "sum" else powers.mean(dim=2)
        entropies = {
            "global": F.binary_cross_entropy(output.y_global.float(), labels, reduction="none"),
            "local": _from_logits(output.local_logits, labels),
            "fusion": _from_logits(output.fusion_logits, labels),
            "sparsity": beta * cells,
        }
    return {name: values.sum(dim=1).mean() for name, values in entropies.items()}


def _from_logits(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none")
