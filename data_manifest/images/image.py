"""One decoded image, and what every format of file has in common."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lesionlib.errors import InputError

MAX_PIXELS = 45_000_000  # a film of 24 x 30 cm at 0.04 mm
DAMAGED = "Copy or export the file again"


@dataclass(frozen=True)
class Image:
    """One decoded image.

    Attributes
    ----------
    pixels : uint8 or uint16 (rows, cols), bright tissue on dark background.
    bits : grey levels are 0 .. 2**bits - 1.
    spacing_mm : mm per px on the detector or film; nan where the file does not say.
    laterality, view : "L" or "R", "CC", "MLO" or "other"; empty where the file does not say.
    oriented : the file itself said which grey is bright, and has been obeyed (DICOM).
    chest_wall : "left" or "right" edge, where a DICOM header states the patient's orientation.
    grey : what has been done to the grey levels of a DICOM file: "raw", "voi linear", ...
    """

    pixels: np.ndarray
    bits: int
    spacing_mm: float = float("nan")
    laterality: str = ""
    view: str = ""
    oriented: bool = False
    chest_wall: str = ""
    grey: str = ""

    @property
    def sha256(self) -> str:
        """Of size, type and pixels: the same film in another container has the same."""
        head = f"{self.pixels.shape[0]}x{self.pixels.shape[1]} {self.pixels.dtype.name}\n".encode()
        total = hashlib.sha256(head)
        total.update(np.ascontiguousarray(self.pixels))
        return total.hexdigest()


def check_size(rows: int, cols: int, path: Path) -> None:
    """InputError for a size of nothing, or of more pixels than any mammogram has."""
    if rows < 1 or cols < 1 or rows * cols > MAX_PIXELS:
        what = f"size {rows} rows x {cols} cols, allowed 1 to {MAX_PIXELS:,} px"
        raise InputError(what, path, DAMAGED)
