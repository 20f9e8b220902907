"""Near-duplicates: one mammogram under two names, which would leak between the splits."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_manifest import near_duplicates as module
from data_manifest.mini_mias import reader as mini_mias
from data_manifest.near_duplicates import near_duplicates, thumbnail


def picture(seed, shape=(256, 192)):
    """Smooth noise, different for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 7)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC))


def found(pictures, patients=None, splits=None):
    n = len(pictures)
    images = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)]})
    images["patient_id"] = patients or [f"p{k}" for k in range(n)]
    images["split"] = splits or ["training"] * n
    table = near_duplicates(images, np.stack([thumbnail(p) for p in pictures]))
    return table, list(zip(table["image_a"], table["image_b"], table["mirrored"], strict=True))


def test_a_thumbnail_is_the_mean_of_areas_with_mean_0_and_length_1():
    step = np.zeros((128, 128), np.uint16)
    step[:, 64:] = 4000
    small = thumbnail(step)
    assert small.shape == (64, 64) and small.dtype == np.float32
    assert np.allclose(small[:, :32], -1 / 64) and np.allclose(small[:, 32:], 1 / 64)
    assert not thumbnail(np.full((80, 80), 7, np.uint8)).any()


@pytest.mark.parametrize("block", [2, 2048])
def test_copies_are_found_scaled_brightened_labelled_or_mirrored(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)  # pairs within and between blocks
    first = picture(1)
    scaled = np.asarray(Image.fromarray(first).resize((130, 170))).astype(np.uint16) * 16 + 100
    labelled = first.copy()
    labelled[:12, :12] = 255
    table, pairs = found([first, picture(2), scaled, picture(3), labelled, first[:, ::-1]])
    assert sorted(pairs) == [
        ("i0", "i2", False),
        ("i0", "i4", False),
        ("i0", "i5", True),
        ("i2", "i4", False),
        ("i2", "i5", True),
        ("i4", "i5", True),
    ]
    assert table["correlation"].is_monotonic_decreasing and table["correlation"].min() > 0.98


def test_views_of_one_patient_are_no_finding_and_pairs_across_splits_are_marked():
    one, two = picture(1), picture(2)
    table, pairs = found([one, one, two, two], ["a", "a", "b", "c"], ["test", "test", "test", ""])
    assert pairs == [("i2", "i3", False)] and table["across"].tolist() == [True]


def test_no_images_and_no_pairs():
    table, _ = found([picture(k) for k in range(5)])
    assert table.empty and list(table)[:3] == ["image_a", "patient_a", "split_a"]


def test_alike_outlines_are_no_duplicates_without_alike_tissue():
    """Different breasts of one shape correlate above .98; their tissue does not."""
    shape = np.zeros((128, 128), np.float32)
    shape[20:110, :80] = 200
    noise = np.random.default_rng(0).normal(0, 40, (2, 128, 128))
    one, two = (np.clip(shape + (shape > 0) * n, 0, 255).astype(np.uint8) for n in noise)
    assert (thumbnail(one) * thumbnail(two)).sum() > 0.98
    assert found([one, two])[1] == []
    assert found([one, one])[1] == [("i0", "i1", False)]


def test_no_two_women_of_mini_mias_look_the_same(real_data):
    manifest = mini_mias.read(real_data("mini_mias"))
    files = manifest.root / manifest.images["file"]
    small = np.stack([thumbnail(np.asarray(Image.open(file))) for file in files])
    assert near_duplicates(manifest.images, small).empty
    assert len(list(module._alike(small))) > 12  # by the outline of the breast alone
