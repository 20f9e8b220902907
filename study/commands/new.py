"""An experiment's file for a new set: canvas and windows suggested from what the set holds."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import yaml

from data_manifest import registry
from data_manifest.images.build import ordered_results, settings_of, source_image
from data_manifest.manifest import Manifest
from lesionlib import files
from lesionlib.errors import InputError
from study import settings
from study.settings import Canvas, Windows, load_experiment, project_root

PIXEL = 0.1  # mm of a canvas px in Wu et al. 2020, on which the sizes below are in px
PAPER = Canvas(), Windows()
SMALL = "mini_mias"  # whose networks train in minutes on two CPU cores
MOST_IMAGES = 40
FINE = 2048  # px of an image's longer side, up to which it is measured at full size


@dataclass(frozen=True)
class Sizes:
    """What was measured of a set, in px of its files."""

    images: int  # opened
    of: int
    breast: np.ndarray  # rows, cols of the largest
    file: np.ndarray  # rows, cols of the largest image
    lesions: np.ndarray  # longer side of each
    spacing: float  # mm per px, nan where not stated
    film: bool


def new_experiment(
    name: str, folder: Path | str, dataset: str = "table", options: dict | None = None
) -> Path:
    """Write ``experiments/<name>.yaml``; returns its path.

    Parameters
    ----------
    folder : of the data set.
    dataset : name of its reader.
    options : of the reader.

    Raises
    ------
    InputError
        For a name that is taken or none, a set that cannot be read, and one without a usable image.
    """
    file = project_root() / "experiments" / f"{settings.checked_name(name)}.yaml"
    if file.exists():
        raise InputError(f"there is an experiment '{name}' already", file, "Give another name")
    manifest = registry.read_as_it_is(dataset, folder, **{"partial": True} | (options or {}))
    text = _text(name, Path(folder), dataset, options or {}, measured(manifest))
    files.write_text(file, text)
    try:
        load_experiment(name)
    except InputError:
        file.unlink()
        raise
    return file


def measured(manifest: Manifest) -> Sizes:
    """Sizes of breasts and lesions on at most `MOST_IMAGES` images, those with lesions first."""
    images, lesions = manifest.images, manifest.lesions
    with_lesions = images["image_id"].isin(lesions["image_id"])
    images = images[with_lesions] if with_lesions.any() else images
    chosen = np.unique(np.linspace(0, len(images) - 1, MOST_IMAGES).round().astype(int))
    some = images.iloc[chosen]
    found = lesions[lesions["image_id"].isin(some["image_id"])]
    part = replace(manifest, images=some, lesions=found)
    first = source_image(part, some["image_id"].iloc[0], PAPER[0])
    scale = 1.0 if max(first.pixels.shape) <= FINE else 0.25
    side = int(1.5 * scale * max(first.pixels.shape))
    canvas = SimpleNamespace(rows=side, cols=side, scale=scale, background="zero", buffer=0)
    done = list(ordered_results(part, settings_of(part, canvas), os.cpu_count() or 1))
    records = [d.record for d in done if d.record]
    if not records:
        reason = done[0].exclusions[-1][2]
        raise InputError(f"none of {len(done)} images can be used: {reason}", manifest.root)
    boxes = pd.DataFrame(records)
    ends, starts = (boxes[[f"breast_row{k}", f"breast_col{k}"]].to_numpy() for k in (1, 0))
    breast, file = (ends - starts).max(axis=0), boxes[["source_rows", "source_cols"]].to_numpy()
    stated = some["spacing_mm"].dropna()
    return Sizes(
        len(records), len(manifest.images), breast / scale, file.max(axis=0),
        np.array([max(o["rows"], o["cols"]) / scale for d in done for o in d.lesions]),
        float(stated.median() if len(stated) else first.spacing_mm),
        bool((some["source"] == "film").any()),
    )  # fmt: skip


def suggested(sizes: Sizes) -> dict[str, tuple[object, str]]:
    """Setting -> its value, and from what it was suggested."""
    known = np.isfinite(sizes.spacing)
    pixel = max(PIXEL, sizes.spacing) if known else None
    fit = min(1.0, *(PAPER[0].rows, PAPER[0].cols) / sizes.breast)
    scale = round(sizes.spacing / pixel if known else fit, 4)
    ratio = PIXEL / pixel if known else None  # px here per px of the paper
    side, why = _sides(sizes, scale, ratio)
    buffer = round(PAPER[0].buffer * (ratio or 1))
    px = np.minimum(1.1 * sizes.breast * scale + 2 * buffer, sizes.file * scale)
    cell = PAPER[0].cell
    rows, cols = (max(2, int(np.ceil(length / cell))) * cell for length in px)  # whole cells
    if side > min(rows, cols):
        side, why = min(rows, cols), f"the canvas's shorter side; {why}"
    largest = "largest breast of {} images: {:.0f} x {:.0f} px".format(sizes.images, *sizes.breast)
    mm = f"files have {sizes.spacing:g} mm per px, the canvas {pixel or 0:g}"
    mm = mm if known else "no spacing stated: breasts fit the paper's canvas"
    patch = min(PAPER[1].patch, max(32, 32 * round(side / 48)))
    return {
        "canvas.scale": (scale, mm),
        "canvas.rows": (rows, f"{largest}, with a tenth to spare"),
        "canvas.cols": (cols, "the same"),
        "canvas.buffer": (buffer, "5 mm around the breast, as the paper's" if known else "default"),
        "canvas.background": ("film" if sizes.film else "zero", "of the files' source"),
        "windows.side_min": (round(side / 3), "a third of side_max, as the paper's"),
        "windows.side_max": (side, why),
        "windows.patch": (patch, "two thirds of side_max, as the paper's, 256 at most"),
        "gmic.crop": (patch, "as large as a patch, as the paper's"),
    }


def _sides(sizes: Sizes, scale: float, ratio: float | None) -> tuple[int, str]:
    """The largest window: the paper's 38.4 mm, or larger where lesions are."""
    paper = PAPER[1].side_max * ratio if ratio else 0.0
    if not len(sizes.lesions):
        return round(paper or PAPER[1].side_max), "the paper's; no lesion was measured"
    large, middle = np.quantile(sizes.lesions, (0.95, 0.5)) * scale
    seen = f"{len(sizes.lesions)} lesions: median {middle:.0f} px, 95 % below {large:.0f} px"
    if ratio:
        name = "the paper's 38.4 mm" if paper >= large else "95 % of the lesions"
        return round(max(paper, large)), f"{name}; {seen}"
    return round(max(3 * middle, large)), f"three median lesions, as no spacing is stated; {seen}"


def _text(name: str, folder: Path, dataset: str, options: dict, sizes: Sizes) -> str:
    small = SMALL in settings.experiment_names()
    lines = [
        "# yaml-language-server: $schema=schema.json",
        f"# Command   make run EXPERIMENT={name} DATA=<folder of the set>",
        f"# Measured  {sizes.images} of {sizes.of} images, {len(sizes.lesions)} lesions",
    ]
    lines += ["# networks and epochs that fit two CPU cores; without this line they are the paper's",
              f"extends: {SMALL}"] * small  # fmt: skip
    lines += [f"title: {name}", "", "data:", f"  dataset: {dataset}"]
    given = yaml.safe_dump(options, default_flow_style=True).strip()
    lines += [f"  options: {given}"] * bool(options)
    lines += [
        "  damaged: error  # exclude: go on without images and outlines that turn out unusable",
        "  validation_share: 0.15  # of the patients; where the set brings splits, they are kept",
        "  test_share: 0.25  # of a small set, test every patient once: study folds " + name,
    ]
    for setting, (value, why) in suggested(sizes).items():
        block, _, name = setting.partition(".")
        lines += ["", f"{block}:"] * (f"{block}:" not in lines)
        lines.append(f"  {name}: {value}  # {why}")
    return "\n".join(lines) + "\n"
