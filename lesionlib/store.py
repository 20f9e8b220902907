"""What samplers, patches and tasks read of the images, and a store that is held in memory.

The images are canvases of one size, as Wu et al. (2020) and Shen et al. (2021) crop them: the
breast is on the left.  Any object with the members of :class:`Store` will do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from lesionlib.outlines import Outline

LEAST_STD = 1e-5  # of an image, in raw units; below it the image is flat


@runtime_checkable
class Store(Protocol):
    """Images of one size and the lesions on them.

    Attributes
    ----------
    rows, cols : int, size of every image, px
    breast_stride : int, px of the image per px of `breast`
    images : DataFrame
        One row per image: image_id, patient_id, split, negative (bool, known to have no lesion),
        mean and std of the raw values, sha256 of the pixels.
    lesions : DataFrame
        One row per lesion: lesion_id, patient_id, split, image (row of `images`), pathology
        ("malignant", "benign" or other), row0, col0, rows, cols (box on the image, px), area_px.
    """

    rows: int
    cols: int
    breast_stride: int
    images: pd.DataFrame
    lesions: pd.DataFrame

    def raw(self, i: int) -> np.ndarray:
        """Image i as stored, uint8 or uint16 (rows, cols)."""

    def standardised(self, i: int) -> np.ndarray:
        """Image i as (x - mean) / max(std, 1e-5), float32 (rows, cols)."""

    def breast(self, i: int) -> np.ndarray:
        """Where image i shows breast, bool (rows // breast_stride, cols // breast_stride)."""

    def outline(self, j: int) -> Outline:
        """Outline of lesion j on its image."""

    def lesion_rows(self, split: str | None = None, pathology: str | None = None) -> np.ndarray:
        """Rows of `lesions`, int64, ascending; None takes all."""
        return _rows_where(self.lesions, split=split, pathology=pathology)

    def image_rows(self, split=None, negative=None, with_lesions=None, clear=None) -> np.ndarray:
        """Rows of `images`, int64, ascending; None takes all.

        True takes images known to have no lesion, with an outline, without a finding whose place is
        unknown; False takes the others.
        """
        wanted = dict(split=split, negative=negative, with_lesions=with_lesions, clear=clear)
        return _rows_where(self._choices, **wanted)


@dataclass
class ArrayStore(Store):
    """A store held in memory, made from arrays and data frames.

    Parameters
    ----------
    pixels : uint8 or uint16 array of shape (n, rows, cols)
    images : DataFrame of n rows, optional
        As in :class:`Store`, and `clear` (bool).  Missing columns are filled in: each image is a
        patient of its own in the training split, not negative, and clear.
    lesions : DataFrame of m rows, optional
        `image` and `pathology`; `lesion_id` and what the images and outlines say are filled in.
    outlines : sequence of m Outline
    breasts : bool array of shape (n, rows // breast_stride, cols // breast_stride), optional
        Without it, the pixels above 0.
    """

    pixels: np.ndarray
    images: pd.DataFrame | None = None
    lesions: pd.DataFrame | None = None
    outlines: Sequence[Outline] = ()
    breasts: np.ndarray | None = None
    breast_stride: int = 4

    def __post_init__(self):
        n, self.rows, self.cols = self.pixels.shape
        ids = [str(i) for i in range(n)]
        facts = dict(image_id=ids, patient_id=ids, split="training", negative=False, clear=True)
        facts["mean"], facts["std"] = self.pixels.mean(axis=(1, 2)), self.pixels.std(axis=(1, 2))
        facts["sha256"] = [hashlib.sha256(np.ascontiguousarray(x)).hexdigest() for x in self.pixels]
        images = pd.DataFrame(index=range(n)) if self.images is None else self.images
        self.images = _filled(images, facts)
        none = pd.DataFrame({"image": np.zeros(0, int), "pathology": np.zeros(0, str)})
        lesions = none if self.lesions is None else self.lesions
        of = self.images.iloc[lesions["image"]]
        facts = {name: of[name].to_numpy() for name in ("split", "patient_id")}
        facts["lesion_id"] = [f"L{j}" for j in range(len(lesions))]
        boxes = [(*o.box[:2], *o.mask.shape, o.area_px) for o in self.outlines]
        names = ["row0", "col0", "rows", "cols", "area_px"]
        facts |= pd.DataFrame(boxes, columns=names, dtype=np.int64)
        self.lesions = _filled(lesions, facts)
        if self.breasts is None:
            step = self.breast_stride
            ends = self.rows // step * step, self.cols // step * step
            self.breasts = self.pixels[:, : ends[0] : step, : ends[1] : step] > 0

    def raw(self, i):
        return self.pixels[i]

    def standardised(self, i):
        mean, std = self.images.loc[i, ["mean", "std"]].to_numpy(np.float32)
        return (self.raw(i).astype(np.float32) - mean) / max(std, np.float32(LEAST_STD))

    def breast(self, i):
        return self.breasts[i]

    def outline(self, j):
        return self.outlines[j]

    @property
    def _choices(self):
        held = pd.Series(self.images.index).isin(self.lesions["image"]).to_numpy()
        return self.images.assign(with_lesions=held)


def _filled(table: pd.DataFrame, facts: dict) -> pd.DataFrame:
    missing = {name: values for name, values in facts.items() if name not in table}
    return table.reset_index(drop=True).assign(**missing)


def _rows_where(table: pd.DataFrame, **wanted) -> np.ndarray:
    chosen = np.ones(len(table), bool)
    for name, value in wanted.items():
        if value is not None:
            chosen &= (table[name] == value).to_numpy()
    return np.flatnonzero(chosen)
