"""Weights and images that come out the same everywhere, for the golden file of a narrow GMIC.

The numbers are SHAKE-256 streams of labels, so they depend on no random generator. The golden
file was written by `python tests/models/gmic_stand_in.py` with the code that agreed with the
published network on its own weights; write it again only when that agreement has been shown.
"""

import hashlib
import math
from pathlib import Path

import numpy as np
import torch

from lesionlib.models.gmic import GMIC

GOLDEN = Path(__file__).parent / "golden" / "gmic_narrow.npz"
# 16 x 11 cells of 62.5 x 63.6 px: positions at halves, crops over the lower and right edges;
# 10 x 9 cells: 4.5 cells make y_global
SIZES = {"edges": (1000, 700), "halves": (640, 576)}
RECORDED = ("saliency", "y_global", "y_local", "y_fusion", "attention", "cam_positions")
RECORDED += ("crop_positions", "global_vector", "crop_features", "z")
GAINS = {"saliency_head": 0.4, "attention_score": 12.0, "local_head": 0.5, "fusion_head": 0.5}


def stream(label: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64 in [-1, 1), a function of label and shape."""
    count = math.prod(shape)
    words = np.frombuffer(hashlib.shake_256(label.encode()).digest(2 * count), "<u2")
    return (words / 32768.0 - 1.0).reshape(shape)


def stand_in_tensor(name: str, like: torch.Tensor) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros_like(like)
    shape, base = tuple(like.shape), 0.0
    if like.ndim > 1:
        gain = GAINS.get(name.split(".")[0], 0.5 if "conv2" in name else 1.0)
        scale = gain * math.sqrt((6 if like.ndim == 4 else 3) / math.prod(shape[1:]))
    else:
        scale = 0.2
        base = 1.0 if name.endswith(("running_var", ".weight")) else 0.0
    return torch.from_numpy(base + scale * stream(name, shape)).to(like.dtype)


def stand_in_gmic() -> GMIC:
    """Width 4 and 3, ten crops of 150 px, 5 % of the cells."""
    model = GMIC(width=4, local_width=3, crops=10, crop=150, top_t=0.05, attention=8)
    state = {name: stand_in_tensor(name, like) for name, like in model.state_dict().items()}
    model.load_state_dict(state)
    return model.eval()


def stand_in_images(case: str) -> torch.Tensor:
    """Two images (2, 1, rows, columns): blocks of 120 px and noise."""
    rows, cols = SIZES[case]
    images = []
    for name in (f"{case}-first", f"{case}-second"):
        blocks = stream(name + "-blocks", (-(-rows // 120), -(-cols // 120)))
        smooth = np.kron(blocks, np.ones((120, 120)))[:rows, :cols]
        images.append(4 * smooth + 0.3 * stream(name + "-noise", (rows, cols)))
    return torch.from_numpy(np.stack(images)[:, None]).float()


def write_golden() -> None:
    model, arrays = stand_in_gmic(), {}
    for case in SIZES:
        with torch.no_grad():
            output = model(stand_in_images(case))
        arrays |= {f"{case}/{name}": getattr(output, name).numpy() for name in RECORDED}
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    write_golden()
