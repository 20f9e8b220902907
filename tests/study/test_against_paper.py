"""Every setting has its place beside the paper, and departures are found, not listed by hand."""

from operator import attrgetter

import numpy as np
import pandas as pd
import pytest

from lesionlib.windows import location_maps, window_table
from study import paper
from study.against_paper import (
    COUNTED,
    FOLLOWS,
    FULL,
    OUTSIDE,
    SOURCES,
    against_paper,
    cells_reached,
    setting_names,
)
from study.settings import Experiment, load_experiment

# silent.csv says of these what the setting does not: how 46 x 30 cells become px, or how one rate
# serves several networks
SAID_OF = {"canvas.rows", "canvas.cols", "canvas.cell", "floc.learning_rate", "fagg.learning_rate"}


@pytest.fixture(scope="module")
def frames():
    splits = ["training", "validation", "test", "test"]
    images = pd.DataFrame({"image_id": list("abcd"), "patient_id": list("pqrr"), "split": splits})
    images["negative"] = False
    lesions = [("a", "malignant"), ("a", "benign"), ("b", "benign"), ("b", "malignant")]
    lesions += [("c", "benign"), ("c", "benign"), ("c", "malignant"), ("d", "benign")]
    return images, pd.DataFrame(lesions, columns=["image_id", "pathology"])


def test_every_setting_is_placed_once():
    places = paper.settings()
    assert places["setting"].is_unique and set(places["source"]) == {*SOURCES, OUTSIDE}
    blocks = tuple(f"{b}." for b in places["setting"] if b in Experiment.model_fields)
    alone = set(places["setting"])
    lost = [n for n in setting_names() if n not in alone and not n.startswith(blocks)]
    assert not lost, "in study/paper/every_setting.csv place " + ", ".join(lost)
    for name in alone:
        attrgetter(name)(Experiment())  # no setting that there is not


def test_what_is_said_to_be_left_open_is_left_open():
    places = paper.settings().set_index("setting")["source"]
    named = set(paper.silent(Experiment())["parameter"]) & set(places.index)
    assert set(places[list(named - SAID_OF)]) <= {"open", "paper"}
    stated = {n for n in named - SAID_OF if places[n] == "paper"}
    assert stated == {"phantom.aggregation"}  # the paper names one training set


def test_the_full_settings_agree_with_the_paper(frames):
    table = against_paper(load_experiment(FULL), *frames)
    own = table[~table["source"].isin([COUNTED, FOLLOWS])]
    worded = paper.settings().query("paper != ''")["setting"]
    assert set(own.loc[~own["same"], "setting"]) == set(worded)
    assert table.loc[table["source"] == FOLLOWS, "same"].all()


@pytest.mark.parametrize("name", ["demo", "mini_mias"])
def test_each_changed_setting_is_told(name, frames):
    full, here = load_experiment(FULL), load_experiment(name)
    table = against_paper(here, *frames).set_index("setting")
    placed = paper.settings().query("source != @OUTSIDE and paper == ''")["setting"]
    changed = {n for n in placed if attrgetter(n)(full) != attrgetter(n)(here)}
    assert changed and changed <= set(table.index[~table["same"]])
    assert not (set(placed) - changed) & set(table.index[~table["same"]])


def test_counts_and_what_follows(frames):
    table = against_paper(load_experiment("demo"), *frames).set_index("what")
    rows = {
        "patients": ("141,473", "3"),
        "test lesions that are malignant": ("22.7 %", "25.0 %"),
        "test images with lesions that hold both kinds": ("2.6 %", "50.0 %"),
        "lesion windows in an epoch of f_agg": ("0.55 %", "75.0 %"),
        "early stopping of f_agg": ("acts", "cannot act"),
        "cells of a map that a window reaches, mean": ("1.9 %", "4.5 %"),
    }
    found = table.loc[list(rows), [paper.LABEL, "here"]]
    assert list(map(tuple, found.to_numpy())) == list(rows.values())


def test_cells_reached_is_the_mean_over_sizes_and_places():
    s, rng = load_experiment("demo"), np.random.default_rng(0)
    n, (h, w), cell = 4000, s.canvas.map_shape, s.canvas.cell
    place = {"row": rng.uniform(64, 64 * (h - 1), n), "col": rng.uniform(64, 64 * (w - 1), n)}
    side = rng.uniform(s.windows.side_min, s.windows.side_max, n)
    maps = location_maps(window_table(image=0, side=side, **place), (h, w), cell)
    assert (maps > 0).sum(axis=(1, 2)).mean() == pytest.approx(cells_reached(s), rel=0.02)
