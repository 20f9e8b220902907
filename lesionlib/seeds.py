"""Seeds and digests (SHA-256, FIPS 180-4, 2015): the same names give the same value everywhere.

The seed of a run is derived from the experiment's seed and the run's own name, so that another run
changes no existing one.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def digest(value) -> str:
    """Digest of a JSON-like value; the order of its keys does not matter.

    Parameters
    ----------
    value : numbers, texts, lists, dictionaries, or an object with ``model_dump`` (pydantic)

    Returns
    -------
    str, first 16 hex digits of the SHA-256
    """
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def derive_seed(seed: int, *names) -> int:
    """Derive the seed of one run from the seed of the experiment.

    Parameters
    ----------
    seed : int
    *names : str or int, what names the run

    Returns
    -------
    int, 63 bits
    """
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def rng(seed: int, *names) -> np.random.Generator:
    """A random generator for one named purpose.

    Parameters
    ----------
    seed, *names : as :func:`derive_seed`

    Returns
    -------
    Generator
    """
    return np.random.default_rng(derive_seed(seed, *names))
