"""The phantom: made-up mammograms in which the best possible result is known.

Two kinds of sign tell a malignant lesion from a benign one: how the lesion itself looks (u) and
specks elsewhere in its half of the breast (c), which no window on the lesion ever shows.  Both are
drawn from normal distributions, so the score of an ideal observer of the one, the other or both
follows from Bayes' rule, whether it knows the lesion's half or not, and a network can be held
against it.  With ``context_effect=0`` it is a control in which there is no gain to be found.

It is an instrument, not a model of disease: what a network reaches here says that the method works
as built, and nothing about women.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from data_manifest.manifest import Manifest
from data_manifest.phantom.files import write_phantom
from data_manifest.phantom.latents import draw_cases, ideal_scores
from data_manifest.phantom.settings import PhantomSettings
from data_manifest.table import reader as table
from lesionlib.errors import InputError

__all__ = ["PhantomSettings", "draw_cases", "ideal_scores", "read", "truth_table"]


def read(
    folder: Path | str,
    settings: PhantomSettings | None = None,
    seed: int = 1,
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Manifest:
    """The phantom's manifest; draws the phantom into `folder` unless it is there already.

    Parameters
    ----------
    folder : made if missing; replaced if it holds a phantom of other settings or another seed.
    workers : processes that draw; they do not change a byte.
    progress : called with one line when the images were drawn.

    Raises InputError if the folder holds anything but a phantom.
    """
    write_phantom(Path(folder), settings or PhantomSettings(), seed, workers, progress)
    return table.read(Path(folder), name="phantom")


def truth_table(folder: Path | str, lesions: pd.DataFrame | None = None) -> pd.DataFrame:
    """What was drawn: see :func:`draw_cases`; one row per lesion and image, or per image without one.

    lesions : a table with lesion_id, finding_id and image_id (a manifest's or a store's); its
        lesion_id is then added, empty for images without lesion.
    """
    file, kinds = Path(folder) / "truth.csv", {"malignant": "Int64", "finding_id": object}
    if not file.is_file():
        raise InputError("no truth.csv", folder, "Give the folder of a phantom")
    truth = pd.read_csv(file, dtype=kinds, float_precision="round_trip")
    truth = truth.assign(finding_id=truth["finding_id"].fillna(""))
    if lesions is None:
        return truth
    keys = ["image_id", "finding_id"]
    joined = truth.merge(lesions[[*keys, "lesion_id"]], how="left", on=keys, validate="1:1")
    return joined.assign(lesion_id=joined["lesion_id"].fillna(""))
