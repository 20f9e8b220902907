"""The phantom on disk: a folder in the table format, whole or not at all.

``images/*.png`` (uint8), ``images.csv``, ``lesions.csv`` (outlines as polygons), ``truth.csv``
(what :func:`~data_manifest.phantom.latents.draw_cases` drew) and ``settings.json``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from data_manifest.images.own_process import end_with
from data_manifest.phantom.latents import draw_cases
from data_manifest.phantom.render import Case, render
from data_manifest.phantom.settings import PhantomSettings
from lesionlib import files
from lesionlib.errors import InputError
from lesionlib.seeds import derive_seed

STAMP_FILE = "settings.json"
# the noise does not compress, so more effort than to count equal px is wasted
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
STALE = 3600.0  # s: an unfinished folder that old was left by a process that was killed
PATHOLOGY = {0: "benign", 1: "malignant"}


def cases(truth: pd.DataFrame, seed: int) -> Iterator[Case]:
    """The images of a truth table, in its order, each with the seeds that it is drawn with."""
    for image_id, rows in truth.groupby("image_id", sort=False):
        first = rows.iloc[0]
        lower = first["half"] == "lower"
        c = float(first["c"]), float(first["c_other"])
        yield Case(
            image_id=image_id,
            view=first["view"],
            laterality=first["laterality"],
            u=tuple(rows["u"].dropna()),
            c=c[::-1] if lower else c,
            halves=(1, 0) if lower else (0, 1),
            seed=derive_seed(seed, "phantom", "picture", image_id),
            patient_seed=derive_seed(seed, "phantom", "build", first["patient_id"]),
        )


def write_phantom(
    folder: Path, settings: PhantomSettings, seed: int, workers: int = 1, progress=None
) -> None:
    """Write the phantom to `folder`, in place of another phantom there.

    It is drawn next to the folder and renamed when whole; a folder that was made with the same
    settings and seed is left as it is.  Code is left to who calls: a study's step draws the phantom
    anew when the code has changed.  The number of workers does not change a byte.
    Raises InputError if the folder holds anything but a phantom.
    """
    folder = Path(folder)
    wanted = {"dataset": "phantom", "seed": seed, "settings": settings.model_dump(mode="json")}
    found = files.read_json(folder / STAMP_FILE, {})
    if found == wanted:
        return
    if folder.exists() and any(folder.iterdir()) and found.get("dataset") != "phantom":
        raise InputError(
            "the folder holds something other than a phantom", folder, "Give an empty or new folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_stale(folder)
    unfinished = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent))
    unfinished.chmod(0o755)  # mkdtemp's folders are closed to others
    try:
        truth = draw_cases(settings, seed)
        outlines = _write_images(unfinished / "images", truth, settings, seed, workers)
        _write_tables(unfinished, truth, outlines, settings)
        files.write_json(unfinished / STAMP_FILE, wanted)
        _put_in_place(unfinished, folder, wanted)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if progress:
        progress(
            f"phantom: {len(outlines)} images drawn, {truth['finding_id'].ne('').sum()} lesions"
        )


# ------------------------------------------------------------------ the folder
def _prefix(folder: Path) -> str:
    return f".{folder.name}.unfinished-"


def _clear_stale(folder: Path) -> None:
    for other in folder.parent.glob(_prefix(folder) + "*"):
        if time.time() - other.stat().st_mtime > STALE:
            shutil.rmtree(other, ignore_errors=True)


def _put_in_place(unfinished: Path, folder: Path, wanted: dict) -> None:
    """Rename the finished folder; what lay there before goes, unless another was as quick."""
    if files.read_json(folder / STAMP_FILE, {}) == wanted:
        return
    old = unfinished.with_name(unfinished.name + ".old")
    if folder.exists():
        folder.rename(old)
    unfinished.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


# ------------------------------------------------------------------ images and tables
def _write_images(folder: Path, truth, settings, seed: int, workers: int) -> dict:
    """Draw and write every image; gives image_id -> its outlines, in the order of the truth."""
    folder.mkdir()
    todo = list(cases(truth, seed))
    pool = joblib.Parallel(
        n_jobs=max(1, min(workers, len(todo))), return_as="generator", batch_size=16,
        initializer=end_with, initargs=(os.getpid(),),
    )  # fmt: skip
    jobs = (joblib.delayed(_write_image)(folder, case, settings) for case in todo)
    bar = tqdm(pool(jobs), total=len(todo), desc="phantom", unit="image", disable=None)
    return {case.image_id: outlines for case, outlines in zip(todo, bar, strict=True)}


def _write_image(folder: Path, case: Case, settings: PhantomSettings) -> tuple:
    cv2.setNumThreads(1)  # the workers share the cores
    picture = render(case, settings)
    _, content = cv2.imencode(".png", picture.pixels, PNG)
    (folder / f"{case.image_id}.png").write_bytes(content.tobytes())
    return picture.outlines


def _write_tables(folder: Path, truth, outlines: dict, settings: PhantomSettings) -> None:
    images = truth.drop_duplicates("image_id")
    table = images[["image_id", "patient_id", "laterality", "view"]].assign(
        exam_id=images["patient_id"] + "_1",
        file="images/" + images["image_id"] + ".png",
        rows=settings.rows,
        cols=settings.cols,
        spacing_mm="",  # px of a made-up breast have no size
        bits=8,
        polarity="MONOCHROME2",
        source="ffdm",
        chest_wall="auto",  # to be found from the pixels, as on a mammogram
        negative=images["n_lesions"].eq(0),
        split=images["split"],
    )
    table.to_csv(folder / "images.csv", index=False)
    lesions = truth[truth["finding_id"] != ""]
    order = lesions.groupby("image_id", sort=False).cumcount()
    shapes = [outlines[i][k] for i, k in zip(lesions["image_id"], order, strict=True)]
    pd.DataFrame(
        {
            "image_id": lesions["image_id"],
            "lesion_id": lesions["finding_id"],
            "pathology": lesions["malignant"].map(PATHOLOGY),
            "truth": "biopsy",
            "kind": "mass",
            "geom": "polygon",
            "polygon": [polygon_text(points) for points in shapes],
        }
    ).to_csv(folder / "lesions.csv", index=False)
    truth.to_csv(folder / "truth.csv", index=False)


def polygon_text(points: np.ndarray) -> str:
    """Corners (n, 2) as the table format writes them, to a thousandth of a px."""
    return ";".join(f"{x:.3f} {y:.3f}" for x, y in points)
