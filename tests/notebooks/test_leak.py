"""The leak of a split by image: sets whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from lesionlib.errors import InputError
from notebooks.drawings import leak


def twins(patients: int):
    """Two images a patient, alike to the last digit, with the patient's truth on both."""
    generator = np.random.default_rng(3)
    owner = np.repeat(np.arange(patients), 2)
    return generator.random((patients, 2))[owner], generator.integers(0, 2, patients)[owner], owner


def test_a_recognised_patient_is_a_known_answer_only_when_images_are_split():
    """Half of the tested images have their twin in training and are right; the rest is chance."""
    table = leak.compare_splits(*twins(2000), sizes=[1000], seed=1)
    assert table["by image"].mean() == pytest.approx(0.75, abs=0.03)
    assert table["by patient"].mean() == pytest.approx(0.5, abs=0.03)


def test_sets_are_as_many_as_share_no_patient_and_repeat_with_their_seed():
    table = leak.compare_splits(*twins(50), sizes=[8, 20], seed=1)
    assert table["patients"].tolist() == [8] * 6 + [20] * 2
    assert table.equals(leak.compare_splits(*twins(50), sizes=[8, 20], seed=1))


def test_a_half_of_one_kind_has_no_auc_and_too_few_patients_are_refused():
    x, y, owner = twins(8)
    assert (
        leak.compare_splits(x, np.zeros_like(y), owner, [8])
        .drop(columns="patients")
        .isna()
        .all(None)
    )
    for size in (3, 9):
        with pytest.raises(InputError, match=f"sets of {size} of 8 patients"):
            leak.compare_splits(x, y, owner, [size])


def test_features_are_standardised_within_each_view(tiny_store):
    table = leak.breast_features(tiny_store)
    assert list(table) == list(leak.FEATURES) and len(table) == len(tiny_store)
    means = table["grey"].groupby(tiny_store.images["view"]).mean()
    assert np.allclose(means, 0)


def test_a_view_with_a_single_image_has_features(tiny_store):
    views = tiny_store.images["view"].mask(tiny_store.images.index == 0, "other")
    images = tiny_store.images.assign(view=views)
    store = SimpleNamespace(images=images, breast=tiny_store.breast)
    table = leak.breast_features(store)
    assert np.isfinite(table).all(None) and (table.loc[0] == 0).all()
