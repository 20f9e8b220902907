"""Small DICOM mammograms with a breast on them, for the tests of readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_up_dicom import write


def write_breast(file: Path, side: str = "L", size=(40, 30), **tags) -> Path:
    """A breast as bright half, at the left edge for side "L"; `tags` replace or remove elements."""
    pixels = np.zeros(size, np.uint16)
    pixels[:, : size[1] // 2] = np.arange(1, size[1] // 2 + 1) + 100
    pixels = pixels if side == "L" else np.ascontiguousarray(pixels[:, ::-1])
    return write(file, pixels, **{"ImageLaterality": side, **tags})
