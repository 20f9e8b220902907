"""What a run starts from and what it reads, so that another run cannot be taken for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import torch

from lesionlib.seeds import derive_seed

IMAGE_IDENTITY = ["image_id", "split", "negative", "mean", "std", "sha256"]
LESION_IDENTITY = ["lesion_id", "image", "split", "pathology", "row0", "col0", "rows", "cols"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generator for the initial weights of run `seed`, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initialisation"))
        yield


def store_digest(store) -> str:
    """Digest of the images and lesions that a network learns from, not of where they are on disk.

    Parameters
    ----------
    store : with the attributes rows and cols (px), and the tables images (image_id, split,
        negative, mean, std, sha256) and lesions (lesion_id, image, split, pathology, row0, col0,
        rows, cols).

    Returns
    -------
    16 hex digits.
    """
    total = hashlib.sha256(f"{store.rows} x {store.cols}".encode())
    for table, columns in ((store.images, IMAGE_IDENTITY), (store.lesions, LESION_IDENTITY)):
        # as text: the hash of a column must not depend on how it was read
        text = table[columns].astype(str).reset_index(drop=True)
        total.update(pd.util.hash_pandas_object(text, index=False).to_numpy())
    return total.hexdigest()[:16]
