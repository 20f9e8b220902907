"""Patches cut on a device beside those of the CPU, by torch's CPU device."""

import numpy as np
import pandas as pd
import pytest
import torch
from made_up import random_windows

from lesionlib.patches import extract_patches
from lesionlib.store import ArrayStore
from lesionlib.tasks import FLocTask
from study.device_patches import TOLERANCE, PatchCutter
from study.settings import FLoc, Windows

RULES = Windows(side_min=16, side_max=40, patch=16)
FLOC = FLoc(
    backbone="densenet_mini", initialisation="he", epoch=(6, 8, 6, 6), batch=10,
    windows_validation=3, flips=True,
)  # fmt: skip


@pytest.mark.parametrize("resident", [2**20, 0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_device_cuts_the_same_patches(dtype, resident):
    """Whether the images stay on the device, or the windows' boxes are sent."""
    top = np.iinfo(dtype).max
    images = np.random.default_rng(6).integers(0, top + 1, (5, 90, 110)).astype(dtype)
    as_stored = pd.DataFrame({"mean": 0.0, "std": 1.0}, index=range(5))
    store, table = ArrayStore(images, as_stored), random_windows(1000, 5)
    cut = PatchCutter(store, 16, "cpu", resident=resident)
    assert (cut.held is None) == (resident == 0)
    found, wanted = cut(table).numpy(), extract_patches(store, table, 16)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * top)
    assert cut(table[:0]).shape == (0, 1, 16, 16) and not found[0].any()
    # a few at a time, in another order: the same bytes, images read before or not
    order = np.random.default_rng(7).permutation(1000)[:40]
    again = [cut(table.iloc[part]) for part in np.split(order, 8)]
    assert np.concatenate(again).tobytes() == found[order].tobytes()


def test_floc_learns_from_patches_that_its_device_cuts(tiny_store):
    cut = PatchCutter(tiny_store, 16, "cpu")
    pair = [FLocTask(tiny_store, FLOC, RULES, seed=1, cut=how) for how in (None, cut)]
    limit = TOLERANCE * 65535 / tiny_store.images["std"].min()
    for (one, *ones), (two, *twos) in zip(*(task.batches(2) for task in pair), strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=limit)
        assert all(torch.equal(a, b) for a, b in zip(ones, twos, strict=True))
    with torch.inference_mode():
        scores = [task.validate()["validation_loss"] for task in pair]
    assert scores[1] == pytest.approx(scores[0], rel=1e-3)
