"""What the published GMIC gave, and the weights and images it was given (`golden/README.md`).

The weights and images are formulas of a label, bit for bit the same on every machine: PCG64's raw
words, then sums, products, quotients and square roots in double precision.
"""

import csv
import hashlib
import json
import math
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
FACTS = json.loads((GOLDEN / "gmic_oracle.json").read_text())
# by the first part of a name; 0.5 for second convolutions, 1 for all others
GAINS = {"left_postprocess_net": 0.1, "mil_attn_w": 8, "classifier_linear": 0.25}
GAINS |= {"fusion_dnn": 0.25}


def golden_arrays(case: str) -> dict[str, np.ndarray]:
    """The arrays of one of the four inputs, by name."""
    with np.load(GOLDEN / "gmic_oracle.npz") as arrays:
        own = [name for name in arrays if name.startswith(f"{case}/")]
        return {name.removeprefix(f"{case}/"): arrays[name] for name in own}


def published_tensors() -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each tensor of a published file, in the file's order."""
    with (GOLDEN / "gmic_state_dict.csv").open(newline="") as rows:
        return {
            row["key"]: (tuple(map(int, filter(None, row["shape"].split("x")))), row["dtype"])
            for row in csv.DictReader(rows)
        }


def sha256(array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def stream(label: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64 in [-1, 1): the upper 53 bits of the words that the label's digest seeds."""
    seed = int.from_bytes(hashlib.sha256(label.encode()).digest()[:16], "little")
    words = np.random.PCG64(seed).random_raw(math.prod(shape)) >> np.uint64(11)
    return words.reshape(shape) / 2.0**52 - 1


def stand_in_weights() -> dict[str, np.ndarray]:
    """Weights under the published names; their digest is checked."""
    tensors = published_tensors()
    weights = {key: _stand_in(key, shape).astype(dtype) for key, (shape, dtype) in tensors.items()}
    digest = hashlib.sha256()
    for key, value in weights.items():
        digest.update(key.encode() + value.tobytes())
    assert digest.hexdigest() == FACTS["weights"]["sha256"]
    return weights


def _stand_in(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform: of He's variance (convolutions), of variance 1 / inputs (linear layers), else of
    standard deviation 0.1 around 1 (scales, variances) or 0 (shifts, means)."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape)
    centre, deviation = float(key.endswith((".weight", ".running_var"))), 0.1
    if len(shape) > 1:
        gain = GAINS.get(key.split(".")[0], 0.5 if ".conv2." in key else 1)
        variance = (2 if len(shape) == 4 else 1) / math.prod(shape[1:])
        centre, deviation = 0.0, gain * math.sqrt(variance)
    return centre + deviation * math.sqrt(3) * stream(f"2:{key}", shape)


def stand_in_image(label: str, rows: int, cols: int) -> np.ndarray:
    """float32 (rows, cols): levels of -1 to 2 every 64 px, linear between them, and noise."""
    levels = 0.5 + 1.5 * stream(f"{label}:grid", (-(-rows // 64) + 1, -(-cols // 64) + 1))
    smooth = _between(_between(levels.T, cols).T, rows)
    return (smooth + 0.25 * stream(f"{label}:noise", (rows, cols))).astype(np.float32)


def _between(levels: np.ndarray, count: int) -> np.ndarray:
    """`count` rows, linear between levels that are 64 rows apart."""
    before, share = np.divmod(np.arange(count), 64)
    share = share[:, None] / 64
    return levels[before] * (1 - share) + levels[before + 1] * share
