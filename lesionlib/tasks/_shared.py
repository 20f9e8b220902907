"""What the three tasks share: first weights, inputs in chunks, and how an epoch is judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from lesionlib.errors import InputError
from lesionlib.metrics.roc import auc
from lesionlib.scoring import lesion_scores, window_scores
from lesionlib.seeds import derive_seed

IMAGE_IDENTITY = ["image_id", "split", "negative", "mean", "std", "sha256"]
LESION_IDENTITY = ["lesion_id", "image", "split", "pathology", "row0", "col0", "rows", "cols"]
KEPT_BYTES = 2**30  # of validation inputs, stay in memory between epochs


# ------------------------------------------------------------------ what identifies a run
@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's generator as a run's initial weights need it, put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initialisation"))
        yield


def store_digest(store) -> str:
    """Of the images and lesions that a network learns from, not of where they are on disk."""
    total = hashlib.sha256(f"{store.rows} x {store.cols}".encode())
    for table, columns in ((store.images, IMAGE_IDENTITY), (store.lesions, LESION_IDENTITY)):
        # as text: the hash of a column must not depend on how it was read
        text = table[columns].map(str).astype(object)
        hashes = pd.util.hash_pandas_object(text, index=False, categorize=False)
        total.update(hashes.to_numpy())
    return total.hexdigest()[:16]


# ------------------------------------------------------------------ inputs
class Chunks:
    """Validation inputs, `each` at a time; those that fit in `KEPT_BYTES` are made once."""

    def __init__(self, make: Callable[[slice], torch.Tensor], count: int, each: int):
        self.make, self.parts = make, slices(count, each)
        self.kept, self.free = {}, KEPT_BYTES

    def __iter__(self) -> Iterator[torch.Tensor]:
        for k, part in enumerate(self.parts):
            chunk = self.kept[k] if k in self.kept else self.make(part)
            if k not in self.kept and chunk.nbytes <= self.free:
                self.kept[k], self.free = chunk, self.free - chunk.nbytes
            yield chunk


def slices(count: int, each: int, share: slice = slice(None)) -> list[slice]:
    """0..count in pieces of `each`, the last one may be shorter; a process's share of each piece."""
    first, processes = share.start or 0, share.step or 1
    if each % processes:
        what = f"a batch of {each} cannot be shared alike by {processes} devices"
        raise InputError(what, "batch", f"Set it to a multiple of {processes}")
    return [slice(at + first, min(at + each, count), processes) for at in range(0, count, each)]


# ------------------------------------------------------------------ judging
def outputs_of(network: Callable, chunks: Iterable[torch.Tensor], model) -> np.ndarray:
    """The network's outputs for all chunks, float32 (n, k); computed on the device of `model`."""
    device = next(model.parameters()).device
    found = [network(chunk.to(device)).float().cpu() for chunk in chunks]
    return torch.cat(found).numpy()


def lesion_metrics(logits, windows: pd.DataFrame, lesions, truth) -> dict[str, float]:
    """AUC over `lesions` ("score") and plain cross-entropy of the windows ("validation_loss").

    logits (n, 4), of the n windows; lesions (m,), their numbers; truth bool (m,), malignant.
    """
    scores = window_scores(logits)
    if not np.isfinite(scores).all():  # training.fit then ends the run
        return {"score": np.nan, "validation_loss": np.nan}
    of_lesions = lesion_scores(scores, windows["lesion"].to_numpy(), lesions)
    labels = torch.from_numpy(windows["label"].to_numpy(np.int64))
    loss = F.cross_entropy(torch.from_numpy(logits), labels)
    return {"score": float(auc(truth, of_lesions)), "validation_loss": float(loss)}
