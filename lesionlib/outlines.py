"""Outline of a lesion: the pixels that radiologists marked (Wu et al. 2020, pixel-level labels)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outline:
    """The pixels of one lesion: a mask and its place on an image or canvas."""

    row0: int  # first row and column of `mask` on the image, px
    col0: int
    mask: np.ndarray  # bool (rows, cols), the smallest box that holds the outline

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """row0, col0, row1, col1 (half-open), px."""
        rows, cols = self.mask.shape
        return self.row0, self.col0, self.row0 + rows, self.col0 + cols

    @property
    def pixels(self) -> np.ndarray:
        """Row and column of every pixel, int64 (n, 2), row by row."""
        return np.argwhere(self.mask) + (self.row0, self.col0)

    @property
    def centres(self) -> np.ndarray:
        """Centre (row, col) of every pixel, float64 (n, 2), px, row by row."""
        return self.pixels + 0.5

    def on(self, shape: tuple[int, int]) -> np.ndarray:
        """Full mask of the outline; what is outside `shape` is cut off.

        Parameters
        ----------
        shape : (rows, cols) of the image, px

        Returns
        -------
        bool array of `shape`
        """
        full, pixels = np.zeros(shape, bool), self.pixels
        inside = ((pixels >= 0) & (pixels < shape)).all(axis=1)
        full[tuple(pixels[inside].T)] = True
        return full


def outline_of(mask: np.ndarray, row0: int = 0, col0: int = 0) -> Outline:
    """The smallest outline that holds the True pixels of a mask.

    Parameters
    ----------
    mask : bool array of shape (rows, cols)
    row0, col0 : int, place of the mask's first pixel on the image, px

    Returns
    -------
    Outline, with a mask of shape (0, 0) where no pixel is True
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return Outline(row0, col0, np.zeros((0, 0), bool))
    cols = np.flatnonzero(mask.any(axis=0))
    r0, c0 = int(rows[0]), int(cols[0])
    part = mask[r0 : rows[-1] + 1, c0 : cols[-1] + 1].astype(bool)
    return Outline(row0 + r0, col0 + c0, part)
