"""The store in memory and the store on disk are the same to samplers, patches and tasks."""

import numpy as np
import pandas as pd

from lesionlib.sampling import sample_epoch
from lesionlib.store import ArrayStore, Store
from lesionlib.tasks._shared import store_digest
from study.settings import Windows


def in_memory(store) -> ArrayStore:
    images, lesions = range(len(store.images)), range(len(store.lesions))
    table = store.images.assign(clear=np.isin(images, store.image_rows(clear=True)))
    pixels, breasts = (np.stack([part(i) for i in images]) for part in (store.raw, store.breast))
    outlines = [store.outline(j) for j in lesions]
    return ArrayStore(pixels, table, store.lesions, outlines, breasts, store.breast_stride)


def test_both_stores_give_the_same(tiny_store):
    memory = in_memory(tiny_store)
    assert isinstance(tiny_store, Store) and isinstance(memory, Store)
    assert store_digest(memory) == store_digest(tiny_store)
    np.testing.assert_allclose(memory.standardised(3), tiny_store.standardised(3), rtol=1e-6)
    rules = Windows(side_min=12, side_max=30, patch=16)
    drawn = [sample_epoch(s, (5, 5, 5, 5), rules, seed=1) for s in (memory, tiny_store)]
    pd.testing.assert_frame_equal(*drawn)
    for wanted in ({"negative": False}, {"with_lesions": True}, {"split": "test", "clear": True}):
        assert (memory.image_rows(**wanted) == tiny_store.image_rows(**wanted)).all()


def test_what_is_missing_is_filled_in():
    pixels = np.zeros((2, 10, 9), np.uint8)
    pixels[0, :4, :4] = 2
    store = ArrayStore(pixels)
    assert store.images["split"].tolist() == ["training"] * 2 and store.images["clear"].all()
    assert store.images["mean"].tolist() == [32 / 90, 0] and len(store.lesions) == 0
    assert store.breast(0).tolist() == [[True, False], [False, False]]
    assert (store.standardised(1) == 0).all(), "a flat image is divided by 1e-5"
