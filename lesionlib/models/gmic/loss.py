"""GMIC's training loss (Shen et al. 2021)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from lesionlib.errors import InputError
from lesionlib.models.gmic.network import GMICOutput


def gmic_loss(
    output: GMICOutput,
    labels: torch.Tensor,
    *,
    beta: float,
    sparsity: float,
    reduction: str = "sum",
) -> torch.Tensor:
    """The training loss, a scalar: mean over the images of `gmic_loss_terms` added up.

    labels (n, 2), benign and malignant present (1.) or not (0.), in the output's order.
    """
    terms = gmic_loss_terms(output, labels, beta=beta, sparsity=sparsity, reduction=reduction)
    return torch.stack(tuple(terms.values())).sum()


def gmic_loss_terms(
    output: GMICOutput,
    labels: torch.Tensor,
    *,
    beta: float,
    sparsity: float,
    reduction: str = "sum",
) -> dict[str, torch.Tensor]:
    """The four summands, each a mean over images of a sum over the two classes.

    Cross-entropies "global", "local" and "fusion", and "sparsity": beta times the sum over the
    cells of saliency ** sparsity (reduction "sum", published) or their mean (reduction "mean",
    ours: beta then means the same on every canvas).
    """
    if reduction not in ("sum", "mean"):
        raise InputError(f"unknown reduction {reduction!r}", "gmic_loss", "Use sum or mean")
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
