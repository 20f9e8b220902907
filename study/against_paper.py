"""How an experiment departs from the paper: its settings, its counts, and what follows from both.

``study/paper/every_setting.csv`` places every setting: stated by the paper, published with GMIC, left
open by both, or not of the paper.  The paper's values are those of ``experiments/nyu.yaml``, which
are its full settings, so that a setting can be neither forgotten nor copied wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

import numpy as np
import pandas as pd
from pydantic import BaseModel

from study import paper, tables
from study.settings import Block, Experiment, load_experiment

FULL = "nyu"  # the experiment with the paper's full settings
OUTSIDE = "not of the paper"
SOURCES = {"paper": "stated", "GMIC": "published with GMIC", "open": "left open"}
COUNTED, FOLLOWS = "counted", "follows from settings"


def setting_names(model: type[BaseModel] = Experiment, prefix: str = "") -> Iterator[str]:
    """Every setting of an experiment, as ``floc.batch``."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_names(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def against_paper(
    settings: Experiment, images: pd.DataFrame, lesions: pd.DataFrame
) -> pd.DataFrame:
    """Everything in which an experiment can be compared with the paper, one row each.

    Parameters
    ----------
    settings : Experiment
    images, lesions : DataFrame
        As `study.tables.table_1` takes them.

    Returns
    -------
    DataFrame
        Columns source (counted, follows from settings, stated, published with GMIC, left open), what, setting
        (empty for counts), the paper's (`study.paper.LABEL`), here, and same (bool).  Where the
        paper leaves a setting open, the value of the full settings is in brackets.
    """
    counts = _counts(tables.table_1(images, lesions))
    rows = [(COUNTED, what, "", *values) for what, *values in counts]
    rows += [(FOLLOWS, *row) for row in _consequences(settings)]
    rows += _settings(settings)
    names = ["source", "what", "setting", paper.LABEL, "here"]
    table = pd.DataFrame(rows, columns=names)
    bare = table[paper.LABEL].str.removeprefix("(").str.removesuffix(")")
    return table.assign(same=bare == table["here"])


def _settings(settings: Experiment) -> list[tuple[str, ...]]:
    full, rows = load_experiment(FULL), []
    for row in paper.settings().query("source != @OUTSIDE").itertuples():
        value, here = (_text(attrgetter(row.setting)(s)) for s in (full, settings))
        value = row.paper or (f"({value})" if row.source == "open" else value)
        rows.append((SOURCES[row.source], row.what, row.setting, value, here))
    return rows


def _text(value) -> str:
    """A setting as a table shows it."""
    if isinstance(value, Block):
        return value.name
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share >= 0.01 else 2}f} %"


def _counts(here: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Patients, images and lesions: what, paper, here.  here : as `study.tables.table_1`."""
    p, overall, test = paper.printed(), here.loc["overall"], here.loc["test"]
    yield "patients", f"{p['patients']:,.0f}", f"{overall['patients']:,}"
    yield "test patients", f"{p['test_patients']:,.0f}", f"{test['patients']:,}"
    yield "images", f"{p['images']:,.0f}", f"{overall['images']:,}"
    negative = p["overall_images_negative"] / p["images"]
    share = overall["images_negative"] / overall["images"]
    yield "images without a lesion", _percent(negative), _percent(share)
    both = p["test_images_both"] / p["test_images"]
    annotated = test["images_benign"] + test["images_malignant"] - test["images_both"]
    share = test["images_both"] / annotated
    yield "test images with lesions that hold both kinds", _percent(both), _percent(share)
    for split in ("training", "validation", "test"):
        kinds = [f"lesions_{kind}" for kind in ("malignant", "benign")]
        there, own = [p[f"{split}_{k}"] for k in kinds], here.loc[split, kinds].tolist()
        yield f"{split} lesions", f"{sum(there):,.0f}", f"{sum(own):,}"
        share = own[0] / sum(own)
        yield (
            f"{split} lesions that are malignant",
            _percent(there[0] / sum(there)),
            _percent(share),
        )


def _consequences(settings: Experiment) -> Iterator[tuple[str, str, str, str]]:
    """What follows from several settings: what, settings, paper, here."""
    both = load_experiment(FULL), settings
    shares = (_percent(cells_reached(s) / np.prod(s.canvas.map_shape)) for s in both)
    names = "windows.side_min, windows.side_max, canvas"
    yield "cells of a map that a window reaches, mean", names, *shares
    for name in ("floc", "fagg"):
        of, blocks = f"f_{name[1:]}", [getattr(s, name) for s in both]
        shares = (_percent(sum(block.epoch[:2]) / sum(block.epoch)) for block in blocks)
        yield f"lesion windows in an epoch of {of}", f"{name}.epoch", *shares
        acts = ("acts" if b.patience < b.epochs else "cannot act" for b in blocks)
        yield f"early stopping of {of}", f"{name}.patience, {name}.epochs", *acts


def cells_reached(settings: Experiment) -> float:
    """Mean number of cells that a window reaches which is not turned and lies anywhere on the grid.

    A window of side s reaches s / cell + 1 rows and as many columns on average; s is uniform.
    """
    s, cell = settings.windows, settings.canvas.cell
    a, b = s.side_min / cell + 1, s.side_max / cell + 1
    return (a * a + a * b + b * b) / 3
