"""Opened files and the contours that were looked at."""

import numpy as np
import pandas as pd
import pytest
from made_up import TINY_CANVAS

from data_manifest import registry
from data_manifest.table import reader as table
from lesionlib.errors import InputError
from notebooks.drawings import films
from study.settings import load_experiment


def test_files_are_opened_in_the_order_asked_for_with_their_facts(tiny_table):
    files = films.open_files(table.read(tiny_table), ["P02_CC", "P01_CC"], TINY_CANVAS)
    assert [f.image_id for f in files] == ["P02_CC", "P01_CC"]
    facts = films.facts(files)
    assert facts["chest_wall"].tolist() == ["right", "left"]  # even patients lie mirrored
    assert facts[["rows", "cols", "bits"]].drop_duplicates().values.tolist() == [[160, 128, 8]]
    assert (facts["background"] < 1).all() and facts["tissue"].between(85, 95).all()
    assert all(f.pixels.shape == f.breast.shape for f in files)


def test_small_pictures_are_means_over_blocks(tiny_table, monkeypatch):
    monkeypatch.setattr(films, "SMALL_PX", 40)
    (file,) = films.open_files(table.read(tiny_table), ["P05_MLO"], TINY_CANVAS)
    assert file.pixels.shape == file.breast.shape == (40, 32)
    inside = file.pixels[15:25, 5:15].astype(float)
    assert np.std(inside) < 8  # 20 / 4 for means of 16 px; 20 for px picked singly


@pytest.mark.parametrize("dataset, least", [("mini_mias", 60), ("cbis_ddsm", 60)])
def test_verdicts_are_known_words_on_enough_images(dataset, least):
    seen = films.looked_at(dataset)
    assert len(seen) >= least and seen["image_id"].is_unique
    assert (seen.loc[seen["verdict"] != "good", "note"] != "").all()


def test_a_set_that_nobody_looked_at_has_no_verdicts_and_a_misspelt_one_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(films, "DATA_MANIFEST", tmp_path)
    assert films.looked_at("mini_mias").empty
    (tmp_path / "mini_mias").mkdir()
    row = {"image_id": ["a"], "verdict": ["goood"], "share": [0.5], "note": [""]}
    pd.DataFrame(row).to_csv(tmp_path / "mini_mias" / "breast_contours.csv", index=False)
    with pytest.raises(InputError, match="'goood'.*good"):
        films.looked_at("mini_mias")


@pytest.mark.parametrize("dataset, every", [("mini_mias", 1), ("cbis_ddsm", 8)])
def test_the_contours_looked_at_are_those_found_today(real_data, dataset, every):
    """Trap: verdicts outlive the finder they were given on; another contour has another share."""
    seen = films.looked_at(dataset).set_index("image_id")
    found = registry.read(dataset, real_data(dataset))
    ids = [i for i in seen.index if i in set(found.images["image_id"])][::every]
    facts = films.facts(films.open_files(found, ids, load_experiment(dataset).canvas))
    assert (facts["breast"] - seen["share"].astype(float)[ids]).abs().max() < 0.002


def test_the_summary_of_a_store(tiny_store):
    found = films.summary(tiny_store)
    numbers = {"patients": 12, "malignant lesions": 8, "benign lesions": 10, "images excluded": 0}
    assert found[list(numbers)].to_dict() == numbers and found["canvas"] == "192 x 128 px, uint8"
