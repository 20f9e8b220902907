"""What the files of a set hold, and the contours of breasts that were looked at one by one.

A few dozen files are opened as the store opens them, and each gives its numbers and a small picture
with the contour of its breast, to be looked at.  ``data_manifest/<data set>/breast_contours.csv``
keeps what was seen: image_id, verdict, share (of the file inside the contour, so that a changed
finder is noticed) and a note.  The verdicts:

* good: the breast alone, with its muscle and the fold below; of its rim at most 1 cm is outside;
* marker kept: a label, or a part of one, is inside;
* border kept: a strip of the film's border or background, 1 % of a side or more, is inside;
* tissue cut: more than 1 cm of the breast is outside;
* missed: the contour is not the breast's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from data_manifest.expected_counts import DATA_MANIFEST
from data_manifest.images.breast import chest_wall, find_breast
from data_manifest.images.build import settings_of, tasks_of
from data_manifest.images.prepare import decoded
from data_manifest.manifest import Manifest
from lesionlib.errors import InputError, nearest

GREYS = ["bits", "lowest", "highest", "background", "tissue", "breast"]
SMALL_PX = 200  # the longer side of a small picture, at most
VERDICTS = ("good", "marker kept", "border kept", "tissue cut", "missed")


@dataclass(frozen=True)
class File:
    """One opened file.

    facts : rows and cols (px), bits, lowest and highest grey, background (mean grey outside the
        contour), tissue (median grey inside), breast (its share of the file) and chest_wall (the
        edge it was found at).
    pixels : small picture of means over blocks.  breast : its mask.
    """

    image_id: str
    facts: dict
    pixels: np.ndarray
    breast: np.ndarray


def open_files(manifest: Manifest, image_ids: Sequence[str], canvas) -> list[File]:
    """The files of some images, in the order of `image_ids`.

    canvas : ``experiment.canvas``; it says how greys are read.
    Raises InputError for a file that cannot be read, or in which no breast is found.
    """
    rows = manifest.images.set_index("image_id", drop=False).loc[list(image_ids)]
    chosen = replace(manifest, images=rows.reset_index(drop=True))
    return [_opened(task) for task in tasks_of(chosen, settings_of(manifest, canvas))]


def _opened(task) -> File:
    row = task.image
    image = decoded(Path(task.root) / row["file"], row, task)
    pixels, breast = image.pixels, find_breast(image.pixels, row["source"])
    facts = {"rows": pixels.shape[0], "cols": pixels.shape[1], "bits": int(row["bits"])}
    facts |= {"lowest": int(pixels.min()), "highest": int(pixels.max())}
    facts["background"] = float(pixels[~breast].mean()) if not breast.all() else float("nan")
    facts |= {"tissue": float(np.median(pixels[breast])), "breast": float(breast.mean())}
    facts["chest_wall"] = chest_wall(breast)
    step = -(-max(pixels.shape) // SMALL_PX)
    size = tuple(-(-n // step) for n in reversed(pixels.shape))  # cv2: columns first
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return File(row["image_id"], facts, small, breast[::step, ::step])


def facts(files: Sequence[File]) -> pd.DataFrame:
    """The facts of opened files, one row each, by image_id."""
    table = pd.DataFrame([file.facts for file in files], index=[file.image_id for file in files])
    return table.rename_axis("image_id")


def looked_at(dataset: str) -> pd.DataFrame:
    """image_id, verdict, share, note of the contours looked at; empty where a set has none.

    Raises InputError for a verdict that is none of :data:`VERDICTS` and for an image named twice.
    """
    file = DATA_MANIFEST / dataset / "breast_contours.csv"
    if not file.is_file():
        return pd.DataFrame(columns=["image_id", "verdict", "share", "note"])
    table = pd.read_csv(file, keep_default_na=False)
    for verdict in set(table["verdict"]) - set(VERDICTS):
        raise InputError(f"unknown verdict '{verdict}'", file.name, nearest(verdict, VERDICTS))
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise InputError(f"image {twice.iloc[0]} is named twice", file.name, "Keep one row")
    return table


def summary(images) -> pd.Series:
    """What a store holds, in numbers."""
    lost, lesions = images.exclusions["level"].value_counts(), images.lesions
    of_truth = lesions["pathology"].value_counts()
    return pd.Series(
        {
            "canvases": len(images),
            "canvas": f"{images.rows} x {images.cols} px, {images.dtype.name}",
            "size (MB)": round(images.pixels.nbytes / 1e6, 1),
            "patients": images.images["patient_id"].nunique(),
            "negative images": int(images.images["negative"].sum()),
            "images with lesions": lesions["image"].nunique(),
            "malignant lesions": int(of_truth.get("malignant", 0)),
            "benign lesions": int(of_truth.get("benign", 0)),
            "lesions of unknown truth": int(of_truth.get("unknown", 0)),
            "outlines cut by the canvas": int((lesions["on_canvas"] < 0.98).sum()),
            "outlines over 20 % off the breast": int((lesions["on_breast"] < 0.8).sum()),
            "images excluded": int(lost.get("image", 0)),
            "lesions excluded": int(lost.get("lesion", 0)),
            "images with the same pixels as another": len(images.duplicates()),
        },
        name="store",
    )
