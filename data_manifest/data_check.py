"""Look through a data set before it is used (``python -m study data-check``).

Says what is there, holds its counts against those expected, lists what is left out and why, and
how it splits.  With `pixels` every image and outline goes through what the image store does with
it, so that the damaged ones are known beforehand, every image is compared with those of other
patients, and every outline is shown on a page.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from data_manifest import expected_counts as expected
from data_manifest import registry
from data_manifest.checks import warnings_of
from data_manifest.images.build import ordered_results, settings_of
from data_manifest.images.prepare import Prepared
from data_manifest.manifest import SPLITS, Manifest
from data_manifest.near_duplicates import near_duplicates, thumbnail
from data_manifest.outline_pages import OutlinePages
from data_manifest.splits import count_by_split, split_by_settings
from lesionlib.errors import InputError

SHOWN = 40  # lines of a section; the rest is counted


def data_check(
    dataset: str,
    folder: Path | str,
    settings,
    options: dict | None = None,
    *,
    pixels: bool = False,
    workers: int = 1,
    pages: Path | None = None,
) -> list[str]:
    """Print the report; returns the faults, one line each.

    Parameters
    ----------
    settings : of an experiment (blocks data and canvas); they give the reader's options, the splits
        and the canvas.
    options : of the reader, apart from those of the settings.
    pixels : every file is opened, too.
    pages : folder for the pages of all outlines, which are written with `pixels`.

    Raises
    ------
    InputError
        If the set cannot be read at all.
    """
    if dataset == "phantom":
        remedy = "Check the drawn one: data-check table --data runs/demo/phantom"
        raise InputError("the phantom is drawn, not checked", "data-check", remedy)
    given = settings.data.options if settings.data.dataset == dataset else {}
    given = {"partial": True, **given, **(options or {})}  # what is missing is listed, not refused
    manifest = registry.read_as_it_is(dataset, folder, **given)
    print(f"{manifest.name} in {folder}")
    faults = _counts(dataset, manifest) + _left_out(manifest)
    manifest, more = _splits(manifest, settings)
    faults += more
    outlines = None
    if pixels:
        manifest, outlines, more = _pixels(manifest, settings, workers, pages)
        faults += more
    _warnings(warnings_of(manifest, outlines))
    _show("result", [f"fault: {fault}" for fault in faults] or ["no fault found"])
    return faults


# ------------------------------------------------------------------ sections of the report
def _counts(dataset: str, manifest: Manifest) -> list[str]:
    table = expected.compare(dataset, manifest.counted)
    if table.empty:
        _show("counts", ["no counts are expected of this set"])
        return []
    wrong = table[~table["equal"].astype(bool)]
    unknown = table["found"].isna()
    table["equal"] = np.where(unknown, "not counted", np.where(table["equal"], "", "differs"))
    _table("counts", table.rename(columns={"equal": ""}))
    return [f"{name} = {found}, expected {known}" for name, known, found, _ in wrong.to_numpy()]


def _left_out(manifest: Manifest) -> list[str]:
    _table("from what the set holds to what is used", manifest.flow())
    lost = manifest.exclusions[manifest.exclusions["stage"] == "files"]
    return [
        f"{len(part)} {level}s without a usable file, first {part['id'].iloc[0]}"
        for level, part in lost.groupby("level")
    ]


def _splits(manifest: Manifest, settings) -> tuple[Manifest, list[str]]:
    if not manifest.lesions["pathology"].isin(["malignant", "benign"]).any():
        _show("splits", ["none: no lesion has a place and a known pathology"])
        return manifest, []
    brought = [split for split in SPLITS if (manifest.images["split"] == split).any()]
    try:
        manifest = split_by_settings(manifest, settings.data, settings.seed)
    except InputError as error:
        return manifest, [str(error)]
    origin = _origin(brought, manifest, settings)
    counts = count_by_split(manifest.images, manifest.lesions).T.rename_axis("").reset_index()
    _table(f"splits ({origin})", counts.replace("_", " ", regex=True))
    return manifest, []


def _origin(brought: list[str], manifest: Manifest, settings) -> str:
    """Where the splits come from: what is drawn is drawn as an experiment's settings say."""
    by = f"as experiment {settings.name}" if settings.name else "by default settings"
    if settings.data.folds:
        return f"fold {settings.data.fold} of {settings.data.folds}, {by}"
    if not brought:
        return f"drawn by patient, {by}"
    rest = "" if manifest.images["split"].isin(brought).all() else f", the rest drawn {by}"
    return f"{' and '.join(brought)} as the set brings them{rest}"


def _pixels(
    manifest: Manifest, settings, workers: int, folder: Path | None
) -> tuple[Manifest, pd.DataFrame, list[str]]:
    """Every image and outline as the store would take it.

    Returns the manifest with the sizes of its images, outlines with on_breast, and faults.
    """
    start, lost, outlines, small, sizes = time.monotonic(), [], [], {}, {}
    pages = OutlinePages(folder, f"Outlines of {manifest.name}") if folder else None
    for done in ordered_results(manifest, settings_of(manifest, settings.canvas), workers):
        lost += [f"{level} {name}: {reason}" for level, name, reason in done.exclusions]
        outlines += [(row["lesion_id"], row["on_breast"]) for row in done.lesions]
        if done.canvas is not None:
            small[done.image_id] = thumbnail(_breast_part(done))
            sizes[done.image_id] = done.record["source_rows"], done.record["source_cols"]
            if pages:
                pages.add(done)
    number, took = len(manifest.images), time.monotonic() - start
    title = f"unusable, of {number} images that were opened ({number / took:.1f} per second)"
    _show(title, lost)
    if pages:
        pages.close()
        _show("every outline on its film, to be looked through", [str(pages.first)])
    faults = _duplicates(manifest, small) if small else []
    if lost and settings.data.damaged == "error":
        faults.append(f"{len(lost)} images or outlines cannot be used, first {lost[0]}")
    manifest = replace(manifest, images=_with_sizes(manifest.images, sizes))
    return manifest, pd.DataFrame(outlines, columns=["lesion_id", "on_breast"]), faults


def _with_sizes(images: pd.DataFrame, sizes: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """Images with the rows and columns of their files where the set does not state them."""
    found = pd.DataFrame(
        [sizes.get(name, (0, 0)) for name in images["image_id"]], images.index, ["rows", "cols"]
    )
    return images.assign(
        **{name: images[name].mask(images[name] == 0, found[name]) for name in found}
    )


def _breast_part(done: Prepared) -> np.ndarray:
    """The canvas within the breast's box: how alike two are must not come from what is around."""
    r0, c0, r1, c1 = (done.record[f"breast_{name}"] for name in ("row0", "col0", "row1", "col1"))
    return done.canvas[r0:r1, c0:c1]


def _duplicates(manifest: Manifest, thumbnails: dict[str, np.ndarray]) -> list[str]:
    opened = manifest.images["image_id"].isin(thumbnails)
    pairs = near_duplicates(manifest.images[opened], np.stack(list(thumbnails.values())))
    _table("near-duplicates of different patients", pairs.round(3))
    across = pairs[pairs["across"].astype(bool)]
    return [f"{len(across)} pairs of near-duplicates are in different splits"] * (len(across) > 0)


def _warnings(found: pd.DataFrame) -> None:
    groups = found.groupby(["level", "warning"], sort=False)["id"].agg(["size", "first"])
    lines = [
        f"{number} {level}s: {warning}, first {first}"
        for (level, warning), (number, first) in groups.iterrows()
    ]
    _show("warnings", lines)


# ------------------------------------------------------------------ on the terminal
def _show(title: str, lines: list[str]) -> None:
    rest = len(lines) - SHOWN
    more = [f"... and {rest} more"] if rest > 0 else []
    print(f"\n{title}", *(lines[:SHOWN] or ["none"]), *more, sep="\n  ")


def _table(title: str, table: pd.DataFrame) -> None:
    text = tabulate(table.map(_cell), headers="keys", tablefmt="plain", showindex=False)
    _show(title, text.splitlines() if len(table) else [])


def _cell(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if pd.isna(value) else value
