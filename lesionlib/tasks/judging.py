"""How an epoch is judged: the outputs of a network, and the AUC over validation lesions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from lesionlib.metrics.roc import auc
from lesionlib.scoring import lesion_scores, window_scores


def outputs_of(network: Callable, chunks: Iterable[torch.Tensor], model) -> np.ndarray:
    """The network's outputs for all chunks, float32 (n, k)."""
    device = next(model.parameters()).device
    found = [network(chunk.to(device)).float().cpu() for chunk in chunks]
    return torch.cat(found).numpy()


def lesion_metrics(logits, windows: pd.DataFrame, lesions, truth) -> dict[str, float]:
    """AUC over `lesions` ("score") and plain cross-entropy of the windows ("validation_loss").

    logits : (n, 4) of the n windows.  lesions, truth : (m,) rows of the store, True for malignant.
    """
    scores = window_scores(logits)
    if not np.isfinite(scores).all():  # the engine tells it to the user
        return {"score": np.nan, "validation_loss": np.nan}
    of_lesions = lesion_scores(scores, windows["lesion"].to_numpy(), lesions)
    labels = torch.from_numpy(windows["label"].to_numpy(np.int64))
    loss = F.cross_entropy(torch.from_numpy(logits), labels)
    return {"score": float(auc(truth, of_lesions)), "validation_loss": float(loss)}
