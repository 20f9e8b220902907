"""Saliency maps that another program has made, for experiments with other context networks.

Such a file is NumPy's ``.npz`` with two arrays:

    maps      (n, 2, h, w) numbers in 0..1 on the cells of the canvas, S_m first, then S_b
    image_id  (n,) the image of each map, in any order

written by ``np.savez(file, maps=maps, image_id=names)``.  Every image of the store needs a map; maps
of other images are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_manifest.input_files import input_file
from lesionlib.errors import InputError

MOST_BYTES = 2**28  # maps of 10,000 images on 46 x 30 cells take 0.1 GB
ARRAYS = ("maps", "image_id")
REMEDY = "Write it with np.savez(file, maps=maps, image_id=names)"


def read_saliency(file: Path, image_ids: Sequence[str], shape: tuple[int, int]) -> np.ndarray:
    """The maps of these images, in their order: float32 (images, 2, h, w), S_m first.

    image_ids : of the store.  shape : (h, w) of the map, in cells.

    Raises InputError for a file that is missing or not as the module says, for maps of another
    shape or number, for an image that has no map or two, and for values outside 0..1.
    """
    maps, names = _arrays(Path(file))
    if maps.shape != (len(names), 2, *shape):
        wanted = f"({len(names)}, 2, {shape[0]}, {shape[1]})"
        what = f"maps of shape {maps.shape} for {len(names)} image_id, not {wanted}"
        raise InputError(what, file, "Give S_m and S_b of each image on the cells of the canvas")
    place = pd.Index(names)
    if not place.is_unique:
        twice = place[place.duplicated()][0]
        raise InputError(f"image {twice} has two maps", file, "Give each image one")
    rows = place.get_indexer(pd.Index(image_ids).astype(str))
    if (rows < 0).any():
        first = np.asarray(image_ids)[rows < 0][0]
        what = f"{(rows < 0).sum()} of {len(rows)} images have no map, first {first}"
        raise InputError(what, file, "Give a map of every image of the store")
    chosen = maps[rows].astype(np.float32)
    if not ((chosen >= 0) & (chosen <= 1)).all():  # what is no number is refused as well
        what = f"maps reach from {chosen.min():g} to {chosen.max():g}"
        raise InputError(what, file, "Give probabilities in 0..1, as after a sigmoid")
    return chosen


def _arrays(file: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(
            input_file(file, MOST_BYTES, "Check fagg.saliency_file"), allow_pickle=False
        ) as content:
            missing = [name for name in ARRAYS if name not in content]
            if missing:
                raise InputError(f"no array {' and '.join(missing)}", file, REMEDY)
            maps, names = (content[name] for name in ARRAYS)
    except InputError:
        raise
    except Exception:  # damaged bytes fail in many ways
        raise InputError("not an .npz file of plain arrays", file, REMEDY) from None
    if maps.dtype.kind not in "fiu" or names.ndim != 1:
        what = f"maps of type {maps.dtype}, image_id of shape {names.shape}"
        raise InputError(what, file, REMEDY)
    return maps, names.astype(str)
