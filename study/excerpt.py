"""Image stores of which only some canvases are there, as a checkpoint holds them.

Such a store has the tables, breasts and outlines of all images; ``canvases.npy`` holds the canvases
that ``rows.npy`` names.  A canvas that is not there is an error and never black, so nothing can be
trained on it by mistake.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from data_manifest.images.store import ImageStore
from lesionlib.errors import InputError

ROWS = "rows.npy"
NOTED = "LESIONLIB_NOTE_CANVASES"  # variable: a file that takes the row of every canvas read


class Excerpt(ImageStore):
    """An :class:`ImageStore` with some of its canvases; see the module.

    Raises InputError, in `raw` and what reads through it, for a canvas that is not there.
    """

    def __init__(self, folder: Path):
        super().__init__(folder)
        self._place = {int(row): k for k, row in enumerate(np.load(self.folder / ROWS))}

    def __reduce__(self):
        return Excerpt, (self.folder,)

    def raw(self, i: int) -> np.ndarray:
        """Canvas i as stored, (rows, cols), a read-only view."""
        if int(i) not in self._place:
            name, remedy = self.images["image_id"].iloc[int(i)], "Run make demo, which draws all"
            raise InputError(f"image {name} is not in the checkpoint", self.folder, remedy)
        return self.pixels[self._place[int(i)]]


class Noting(ImageStore):
    """An :class:`ImageStore` that notes which canvases are read."""

    def __reduce__(self):
        return Noting, (self.folder,)

    def raw(self, i: int) -> np.ndarray:
        """Canvas i as stored, (rows, cols), a read-only view."""
        with open(os.environ[NOTED], "a", encoding="utf-8") as file:
            file.write(f"{int(i)}\n")
        return super().raw(i)


def opened(folder: Path) -> ImageStore:
    """The store in a folder, or the excerpt of one.

    Parameters
    ----------
    folder : of the store.
    """
    kind = Excerpt if (folder / ROWS).is_file() else Noting if NOTED in os.environ else ImageStore
    return kind(folder)
