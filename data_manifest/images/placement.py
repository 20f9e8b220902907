"""Placing an image on the canvas: mirrored, cropped, scaled, and every point traceable both ways.

On the canvas the chest wall is at the left edge (column 0) and the breast faces right.  Points are
(row, col) with pixel centres at integers + .5, on the source image as on the canvas.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from data_manifest.images.breast import breast_box
from lesionlib.outlines import Outline, outline_of


@dataclass(frozen=True)
class Placement:
    """Where a source image is on the canvas.

    Attributes
    ----------
    source_rows, source_cols : size of the source, px.
    flipped : mirrored left-right; rows and columns below are of the mirrored image.
    row0, col0, row1, col1 : the part of it that is shown (half-open), px of the source.
    top : canvas row of `row0`; negative where the part is cut.
    scale : canvas px per source px.
    rows, cols : size of the canvas, px.
    """

    source_rows: int
    source_cols: int
    flipped: bool
    row0: int
    col0: int
    row1: int
    col1: int
    top: int
    scale: float
    rows: int
    cols: int

    def to_canvas(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 2) or (2,) of the source, (row, col), on the canvas."""
        row, col = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        col = self.source_cols - col if self.flipped else col
        row, col = (row - self.row0) * self.scale + self.top, (col - self.col0) * self.scale
        return np.stack([row, col], axis=-1)

    def to_source(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 2) or (2,) of the canvas, (row, col), on the source."""
        row, col = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        col = col / self.scale + self.col0
        col = self.source_cols - col if self.flipped else col
        return np.stack([(row - self.top) / self.scale + self.row0, col], axis=-1)

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """The canvas (rows, cols) of the image's type: each px the mean of the source area it
        covers, 0 where there is none."""
        part = self._part(pixels)
        if self.scale == 1:
            return self._pasted(part)
        whole = (0, 0, self.rows, self.cols)
        return np.rint(self._shares(part, self.row0, self.col0, whole)).astype(pixels.dtype)

    def apply_mask(self, mask: np.ndarray) -> np.ndarray:
        """A bool mask of the source on the canvas: px of which it covers at least half."""
        part = self._part(mask)
        if self.scale == 1:
            return self._pasted(part)
        whole = (0, 0, self.rows, self.cols)
        return self._shares(part, self.row0, self.col0, whole) >= 0.5

    def apply_outline(self, outline: Outline) -> Outline:
        """An outline of the source on the canvas; of shape (0, 0) where none of it is on it.

        One that is on the canvas but covers half of no px keeps the px that it covers most.
        """
        mask, col0 = outline.mask, outline.col0
        if self.flipped:
            mask, col0 = mask[:, ::-1], self.source_cols - outline.col0 - mask.shape[1]
        r0, r1 = self._span(outline.row0 - self.row0, mask.shape[0], self.top, self.rows)
        c0, c1 = self._span(col0 - self.col0, mask.shape[1], 0, self.cols)
        if r1 <= r0 or c1 <= c0:
            return Outline(r0, c0, np.zeros((0, 0), bool))
        share = self._shares(mask, outline.row0, col0, (r0, c0, r1, c1))
        most = share.max()
        return outline_of((share >= min(0.5, most)) & (share > 0), r0, c0)

    def record(self) -> dict:
        """The fields, for a table; the sizes of the canvas left out."""
        return {k: v for k, v in asdict(self).items() if k not in ("rows", "cols")}

    # -------------------------------------------------------------- parts
    def _part(self, pixels: np.ndarray) -> np.ndarray:
        mirrored = pixels[:, ::-1] if self.flipped else pixels
        return mirrored[self.row0 : self.row1, self.col0 : self.col1]

    def _pasted(self, part: np.ndarray) -> np.ndarray:
        canvas = np.zeros((self.rows, self.cols), part.dtype)
        skip = max(0, -self.top)
        first = max(0, self.top)
        rows = min(part.shape[0] - skip, self.rows - first)
        cols = min(part.shape[1], self.cols)
        canvas[first : first + rows, :cols] = part[skip : skip + rows, :cols]
        return canvas

    def _span(self, start: int, length: int, offset: int, limit: int) -> tuple[int, int]:
        """First and last + 1 canvas px that a stretch of the source touches."""
        low = np.floor(start * self.scale + offset + 1e-9)
        high = np.ceil((start + length) * self.scale + offset - 1e-9)
        return int(np.clip(low, 0, limit)), int(np.clip(high, 0, limit))

    def _shares(self, block: np.ndarray, row: int, col: int, box: tuple) -> np.ndarray:
        """Mean of `block`, whose first px is (row, col) of the mirrored source, over the area of
        each canvas px of `box` (row0, col0, row1, col1); 0 outside the block."""
        rows = (np.arange(box[0], box[2] + 1) - self.top) / self.scale + self.row0 - row
        cols = np.arange(box[1], box[3] + 1) / self.scale + self.col0 - col
        sums = _stretch_sums(block, rows)
        return _stretch_sums(sums.T, cols).T * self.scale**2


def _stretch_sums(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Integrals of rows that are constant over their px, from each edge to the next."""
    n = len(values)
    edges = np.clip(edges, 0, n)
    whole = np.minimum(edges.astype(np.int64), n - 1)
    sums = np.add.reduceat(values, whole, axis=0, dtype=np.float64)[:-1]
    sums[whole[1:] == whole[:-1]] = 0  # both edges in one row: reduceat gives that row
    begun = (edges - whole)[:, None] * values[whole]  # the part of its row before each edge
    return sums + np.diff(begun, axis=0)


def place_on_canvas(
    mask: np.ndarray,
    chest_wall: str,
    *,
    rows: int,
    cols: int,
    scale: float = 1.0,
    buffer: int = 50,
    keep_whole: bool = True,
) -> Placement:
    """Where an image goes: chest wall at the left edge, breast centred vertically.

    What is larger than the canvas is cut: above and below alike, and at the right.

    Parameters
    ----------
    mask : bool, the breast on the source.  chest_wall : "left" or "right" edge of the source.
    rows, cols : of the canvas, px.  scale : canvas px per source px.
    buffer : px of the canvas shown around the breast's box, but for the chest-wall side (GMIC: 50).
    keep_whole : an image that has the canvas's size already, at scale 1, stays where it is.
    """
    flipped = chest_wall == "right"
    r0, c0, r1, c1 = breast_box(mask)
    height, width = mask.shape
    if flipped:
        c0, c1 = width - c1, width - c0
    if keep_whole and (height, width) == (rows, cols) and scale == 1 and c0 == 0:
        return Placement(height, width, flipped, 0, 0, height, width, 0, 1.0, rows, cols)
    middle = (r0 + r1) / 2
    extra = int(np.ceil(buffer / scale))
    r0, r1, c1 = max(0, r0 - extra), min(height, r1 + extra), min(width, c1 + extra)
    top = int(np.floor(rows / 2 - (middle - r0) * scale))
    return Placement(height, width, flipped, r0, c0, r1, c1, top, float(scale), rows, cols)
