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
    """Run a network over chunks of inputs.

    Parameters
    ----------
    network : gives (m, k) for a chunk of m inputs.
    chunks : moved to the device of `model` one by one.
    model : the module whose device counts.

    Returns
    -------
    float32 (n, k), the outputs for all n inputs.
    """
    device = next(model.parameters()).device
    found = [network(chunk.to(device)).float().cpu() for chunk in chunks]
    return torch.cat(found).numpy()


def lesion_metrics(logits, windows: pd.DataFrame, lesions, truth) -> dict[str, float]:
    """AUC over lesions ("score") and plain cross-entropy of their windows ("validation_loss").

    Parameters
    ----------
    logits : (n, 4), of the windows.
    windows : n rows with the columns lesion and label.
    lesions : (m,), numbers of the lesions.
    truth : bool (m,), True for malignant.

    Returns
    -------
    Both numbers; not a number where a score is none.
    """
    scores = window_scores(logits)
    if not np.isfinite(scores).all():  # training.fit then ends the run
        return {"score": np.nan, "validation_loss": np.nan}
    of_lesions = lesion_scores(scores, windows["lesion"].to_numpy(), lesions)
    labels = torch.from_numpy(windows["label"].to_numpy(np.int64))
    loss = F.cross_entropy(torch.from_numpy(logits), labels)
    return {"score": float(auc(truth, of_lesions)), "validation_loss": float(loss)}
