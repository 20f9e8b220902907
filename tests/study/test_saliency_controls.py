"""Saliency that should not help f_agg: of another patient, or without the lesions."""

import numpy as np
import pandas as pd
import pytest

from lesionlib.outlines import Outline
from lesionlib.store import ArrayStore
from study.steps.saliency_controls import other_patients, without_lesions

IMAGES = pd.DataFrame(
    {
        "patient_id": ["a", "a", "a", "b", "c", "d", "d", "e"],
        "split": ["training"] * 5 + ["test"] * 3,
    }
)


@pytest.mark.parametrize("seed", range(5))
def test_every_image_takes_the_maps_of_another_patient_of_its_split(seed):
    rows = other_patients(IMAGES, seed)
    taken = IMAGES.iloc[rows].reset_index(drop=True)
    assert (taken["patient_id"] != IMAGES["patient_id"]).all()
    assert (taken["split"] == IMAGES["split"]).all()
    giver = taken.groupby(IMAGES["patient_id"])["patient_id"].nunique()
    assert (giver == 1).all(), "the images of a patient come from one other"
    assert list(rows[5:]) == [7, 7, 5]  # two patients exchange; one image serves for two


def test_a_patient_alone_in_a_split_keeps_its_own():
    assert other_patients(IMAGES.iloc[:3], 0).tolist() == [0, 1, 2]


def test_the_blank_has_one_size_and_the_mean_of_the_rest():
    maps = np.arange(2 * 2 * 9 * 6, dtype=np.float32).reshape(2, 2, 9, 6)
    small, large = np.ones((8, 8), bool), np.ones((100, 40), bool)
    outlines = [Outline(200, 200, small), Outline(0, 300, large)]
    lesions = pd.DataFrame({"image": [0, 1], "pathology": ["benign", "malignant"]})
    store = ArrayStore(np.zeros((2, 576, 384), np.uint8), lesions=lesions, outlines=outlines)
    found = without_lesions(maps, store, 64)
    changed = (found != maps).any(axis=1)
    assert changed[0].sum() == 9 and changed[0, 2:5, 2:5].all()
    assert changed[1].sum() == 4 and changed[1, :2, 4:].all()  # at the corner of the canvas
    assert found[0, 1, 3, 3] == pytest.approx(maps[0, 1][~changed[0]].mean())
    assert maps[0, 0, 3, 3] == 21, "the maps given stay as they are"


def test_a_lesion_that_reaches_farther_is_blanked_whole():
    maps = np.random.default_rng(0).random((1, 2, 9, 6), dtype=np.float32)
    outline = Outline(64, 64, np.ones((320, 64), bool))  # rows 1 to 5, col 1
    lesions = pd.DataFrame({"image": [0], "pathology": ["benign"]})
    store = ArrayStore(np.zeros((1, 576, 384), np.uint8), lesions=lesions, outlines=[outline])
    changed = (without_lesions(maps, store, 64) != maps).any(axis=(0, 1))
    assert changed[1:6, 0:3].all() and changed.sum() == 15
