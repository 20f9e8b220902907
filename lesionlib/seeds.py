"""Seeds and digests: the same value for the same names, on every machine.

The seed of a run is derived from the one seed of an experiment and the run's own name, so that
adding a run changes no other.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def digest(value) -> str:
    """First 16 hex digits of the sha256 of a JSON-like value; the order of keys does not matter.

    value : numbers, texts, lists, dictionaries, or an object with ``model_dump`` (pydantic).
    """
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def derive_seed(seed: int, *names) -> int:
    """A 63-bit seed for one run, from the experiment's seed and the run's own name."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def rng(seed: int, *names) -> np.random.Generator:
    """A generator of its own for one named purpose."""
    return np.random.default_rng(derive_seed(seed, *names))
