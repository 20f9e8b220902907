"""Drawn windows keep the rules of their class, checked against a plain reading of those rules."""

import numpy as np
import pandas as pd
import pytest

from lesionlib.errors import InputError
from lesionlib.outlines import Outline
from lesionlib.sampling import _breast_points, _breast_share, sample_epoch, sample_lesion_windows
from lesionlib.store import ArrayStore
from lesionlib.windows import COLUMNS, window_table
from study.settings import Windows

ROWS, COLS = 160, 128
RULES = Windows(side_min=12, side_max=30, patch=16)
DISC = np.hypot(*np.mgrid[-4:5, -4:5]) <= 4


def made(lesions, negative=2, extra=0):
    """Images whose breast is the left half; lesions are (image, pathology, row0, col0, mask)."""
    image, pathology, *_ = zip(*lesions, strict=True)
    used = max(image) + 1 + extra  # extra: neither a lesion nor negative
    breast = np.zeros((ROWS // 4, COLS // 4), bool)
    breast[:, : COLS // 8] = True
    return ArrayStore(
        np.zeros((used + negative, ROWS, COLS), np.uint8),
        pd.DataFrame({"negative": np.arange(used + negative) >= used}),
        pd.DataFrame({"image": image, "pathology": pathology}),
        [Outline(row0, col0, mask) for *_, row0, col0, mask in lesions],
        np.broadcast_to(breast, (used + negative, *breast.shape)),
    )


def simple(**kwargs):
    """A malignant and a benign lesion close together, one of unknown truth, single ones."""
    lesions = [
        (0, "malignant", 40, 30, DISC),
        (0, "benign", 58, 30, DISC),
        (1, "malignant", 80, 20, DISC),
        (1, "unknown", 80, 40, DISC),
        (2, "benign", 100, 40, DISC),
        (3, "unknown", 20, 10, DISC),
    ]
    return made(lesions, **kwargs)


def inside(window, row, col):
    """The rule of the geometry, written out: is a point in a window?"""
    a = np.deg2rad(window.angle)
    x, y = col - window.col, row - window.row
    right, down = x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a)
    return (np.abs(right) < window.side / 2) & (np.abs(down) < window.side / 2)


def overlaps(store, window):
    """Pixels of each lesion of the window's image in it, by row of store.lesions."""
    found = {}
    for j in np.flatnonzero(store.lesions.image == window.image):
        outline = store.outline(j)
        row, col = np.nonzero(outline.mask)
        found[j] = inside(window, row + outline.row0 + 0.5, col + outline.col0 + 0.5).sum()
    return found


# ------------------------------------------------------------------ an epoch
def test_an_epoch_keeps_its_composition_and_the_rules_of_every_class():
    store = simple()
    table = sample_epoch(store, (60, 50, 40, 30), RULES, seed=5)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == COLUMNS
    assert np.bincount(table.label).tolist() == [60, 50, 40, 30]
    assert table.side.between(12, 30).all() and table.angle.between(-30, 30).all()
    assert table.row.between(0, ROWS).all() and table.col.between(0, COLS).all()
    truth = store.lesions.pathology
    for window in table.itertuples():
        pixels = overlaps(store, window)
        if window.label < 2:
            kind = ("malignant", "benign")[window.label]
            assert pixels[window.lesion] >= 1 and truth[window.lesion] == kind
            assert all(n == 0 for j, n in pixels.items() if truth[j] != kind)
        else:
            assert window.lesion == -1 and not any(pixels.values())
            assert window.image in (range(4) if window.label == 2 else (4, 5))
    assert set(table.image[table.label == 2]) == {0, 1, 2, 3}
    assert set(table.image[table.label == 3]) == {4, 5}


def test_sides_and_angles_fill_their_ranges():
    table = sample_epoch(simple(), (400, 400, 400, 400), RULES, seed=5)
    for label in range(4):
        some = table[table.label == label]
        assert some.side.min() < 13 and some.side.max() > 28.5
        assert some.angle.min() < -27 and some.angle.max() > 27


def test_outside_and_negative_windows_lie_on_the_breast():
    table = sample_epoch(simple(), (0, 0, 150, 150), RULES, seed=2)
    assert (table.col < COLS / 2).all()
    steps = (np.arange(60) + 0.5) / 60 - 0.5
    down, right = np.meshgrid(steps, steps, indexing="ij")
    for w in table.itertuples():
        a = np.deg2rad(w.angle)
        row = w.row + w.side * (-right * np.sin(a) + down * np.cos(a))
        col = w.col + w.side * (right * np.cos(a) + down * np.sin(a))
        on_breast = (row >= 0) & (row < ROWS) & (col >= 0) & (col < COLS / 2)
        assert on_breast.mean() >= 0.5 - 0.03  # the sampler measures on 16 x 16 points
    # they may cross the canvas' edge, and do
    assert (table.row - table.side / 2 < 0).any()


def test_points_and_shares_are_those_of_a_plain_reading_of_each_mask():
    draw = np.random.default_rng(1)
    breasts = draw.random((6, ROWS // 4, COLS // 4)) < np.linspace(0, 1, 6)[:, None, None]
    store = ArrayStore(np.zeros((6, ROWS, COLS), np.uint8), breasts=breasts)
    image, numbers = draw.integers(6, size=5000), draw.random((5000, 3))
    points = _breast_points(store, image, numbers)
    windows = window_table(image=image, row=points[:, 0], col=points[:, 1],
                           side=draw.uniform(12, 30, 5000), angle=draw.uniform(-30, 30, 5000))  # fmt: skip
    shares = _breast_share(store, windows.to_records(index=False))
    steps = (np.arange(16) + 0.5) / 16 - 0.5
    for k in range(0, 5000, 7):
        pixels = np.argwhere(breasts[image[k]])
        if len(pixels):
            assert (
                points[k] == (pixels[int(numbers[k, 0] * len(pixels))] + numbers[k, 1:]) * 4
            ).all()
        else:
            assert (points[k] == 0).all()
        w, turn = windows.iloc[k], np.deg2rad(windows["angle"][k])
        down, right = np.meshgrid(w.side * steps, w.side * steps, indexing="ij")
        row = np.floor((w.row - right * np.sin(turn) + down * np.cos(turn)) / 4).astype(int)
        col = np.floor((w.col + right * np.cos(turn) + down * np.sin(turn)) / 4).astype(int)
        on = (row >= 0) & (row < ROWS // 4) & (col >= 0) & (col < COLS // 4)
        assert shares[k] == breasts[image[k]][row[on], col[on]].sum() / 256


def test_the_breast_share_binds():
    rules = RULES.model_copy(update=dict(breast_share=0.999))
    table = sample_epoch(simple(), (0, 0, 0, 80), rules, seed=2)
    assert (table.col + table.side / 2 <= COLS / 2 + 2).all() and (table.row > 5).all()


def test_the_same_seed_gives_the_same_shuffled_table():
    first = sample_epoch(simple(), (20, 20, 20, 20), RULES, seed=1)
    again = sample_epoch(simple(), (20, 20, 20, 20), RULES, seed=1)
    other = sample_epoch(simple(), (20, 20, 20, 20), RULES, seed=2)
    pd.testing.assert_frame_equal(first, again)
    assert not np.array_equal(first.side, other.side)
    assert (np.diff(first.label) < 0).sum() > 10


def test_another_count_of_one_class_leaves_the_other_classes():
    first = sample_epoch(simple(), (20, 20, 20, 20), RULES, seed=1)
    other = sample_epoch(simple(), (20, 50, 0, 20), RULES, seed=1)
    for label in (0, 3):
        sides = [np.sort(t.side[t.label == label]) for t in (first, other)]
        np.testing.assert_array_equal(*sides)


def test_lesions_are_drawn_uniformly_whatever_their_size_or_place():
    # a large one, a single pixel, one in the corner (most windows would leave the canvas) and one
    # beside a benign lesion (many windows are refused)
    large = np.ones((40, 40), bool)
    lesions = [
        (0, "malignant", 50, 40, large),
        (1, "malignant", 90, 50, np.ones((1, 1), bool)),
        (2, "malignant", 0, 0, np.ones((1, 1), bool)),
        (3, "malignant", 50, 50, DISC),
        (3, "benign", 61, 50, DISC),
    ]
    table = sample_epoch(made(lesions), (2000, 0, 0, 0), RULES, seed=9)
    counts = np.bincount(table.lesion)
    assert counts.sum() == 2000 and np.abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


def test_the_pixel_lies_anywhere_in_the_window():
    store = made([(0, "malignant", 80, 60, np.ones((1, 1), bool))])
    table = sample_epoch(store, (3000, 0, 0, 0), RULES, seed=4)
    a = np.deg2rad(table.angle)
    x, y = 60.5 - table.col, 80.5 - table.row
    for offset in (x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a)):
        share = np.histogram(offset / table.side, bins=5, range=(-0.5, 0.5))[0] / 3000
        np.testing.assert_allclose(share, 0.2, atol=0.04)


def test_a_one_pixel_lesion_in_the_corner_keeps_centres_on_the_canvas():
    store = made([(0, "malignant", ROWS - 1, COLS - 1, np.ones((1, 1), bool))])
    table = sample_epoch(store, (200, 0, 0, 0), RULES, seed=4)
    assert table.row.between(0, ROWS, inclusive="left").all()
    assert table.col.between(0, COLS, inclusive="left").all()
    assert (table.row + table.side / 2 > ROWS).any()
    assert all(inside(w, ROWS - 0.5, COLS - 0.5) for w in table.itertuples())


def test_without_negative_images_their_share_goes_outside_and_is_said():
    table = sample_epoch(simple(negative=0), (1, 2, 10, 20), RULES, seed=1)
    assert np.bincount(table.label).tolist() == [1, 2, 30]
    assert table.attrs["note"] == (
        "no negative image in the training split: 20 negative windows drawn as outside"
    )
    assert "note" not in sample_epoch(simple(), (1, 2, 10, 20), RULES, seed=1).attrs
    assert "note" not in sample_epoch(simple(negative=0), (1, 2, 10, 0), RULES, seed=1).attrs


def test_images_of_neither_kind_are_never_used():
    store = simple(extra=3)
    table = sample_epoch(store, (0, 0, 100, 100), RULES, seed=1)
    assert set(table.image) == {0, 1, 2, 3, 7, 8}


def test_outside_windows_keep_off_images_with_a_finding_that_was_left_out():
    """Trap: the place of such a finding is not known here, so that any window could touch it."""
    store = simple()
    store.images.loc[2, "clear"] = False
    table = sample_epoch(store, (20, 20, 60, 0), RULES, seed=1)
    assert set(table.image[table.label == 2]) == {0, 1, 3}
    assert 2 in set(table.image[table.label == 1]), "its own lesion is still drawn"
    store.images["clear"] = False
    with pytest.raises(InputError, match="none of them left out, for 9 outside windows"):
        sample_epoch(store, (1, 0, 9, 0), RULES, seed=1)


# ------------------------------------------------------------------ purity
def entangled():
    """A benign lesion around a malignant one, so that no window can be pure, and a free one."""
    ring = np.ones((81, 81), bool)
    ring[38:43, 38:43] = False
    core = np.ones((5, 5), bool)
    return made(
        [
            (0, "malignant", 78, 58, core),
            (0, "benign", 40, 20, ring),
            (1, "malignant", 40, 40, DISC),
        ]
    )


def test_training_passes_over_a_lesion_without_pure_windows():
    table = sample_epoch(entangled(), (50, 0, 0, 0), RULES, seed=1)
    assert set(table.lesion) == {2} and table.attrs["passed_over"] == ["L0"]


def test_training_windows_of_such_a_lesion_are_left_out_and_named():
    pure = sample_lesion_windows(entangled(), [0, 2], 8, RULES, seed=1, training=True)
    assert pure.lesion.tolist() == [2] * 8 and pure.attrs["impure"] == ["L0"]


def test_evaluation_windows_do_not_depend_on_the_truth_of_a_neighbour():
    """Trap: purity at evaluation lets the truth of other lesions choose what judges this one."""
    store, flipped = entangled(), entangled()
    flipped.lesions.loc[1, "pathology"] = "malignant"
    drawn = [sample_lesion_windows(s, [0, 2], 8, RULES, seed=1, training=False)
             for s in (store, flipped)]  # fmt: skip
    pd.testing.assert_frame_equal(*drawn)
    assert drawn[0].lesion.tolist() == [0] * 8 + [2] * 8
    assert all(overlaps(store, w)[w.lesion] >= 1 for w in drawn[0].itertuples())


def test_purity_can_be_switched_off():
    rules = RULES.model_copy(update=dict(purity=False))
    table = sample_lesion_windows(entangled(), [0], 8, rules, seed=1, training=True)
    assert table.attrs["impure"] == [] and len(table) == 8
    assert set(sample_epoch(entangled(), (50, 0, 0, 0), rules, seed=1).lesion) == {0, 2}


def test_nothing_but_entangled_lesions_is_an_error_with_a_remedy(monkeypatch):
    monkeypatch.setattr("lesionlib.sampling.REDRAWS", 3)
    store = entangled()
    store.lesions.loc[2, "pathology"] = "benign"
    with pytest.raises(InputError, match="no malignant window .*training split, 4 wanted.*purity"):
        sample_epoch(store, (4, 0, 0, 0), RULES, seed=1)


# ------------------------------------------------------------------ windows of lesions
def test_windows_of_lesions_stand_in_order_and_keep_the_rules():
    store = simple()
    table = sample_lesion_windows(store, [4, 0, 1], 30, RULES, seed=3, training=False)
    assert table.lesion.tolist() == [4] * 30 + [0] * 30 + [1] * 30
    assert table.label.tolist() == [1] * 30 + [0] * 30 + [1] * 30
    assert table.image.tolist() == [2] * 30 + [0] * 60
    assert (table.angle == 0).all() and not np.signbit(table.angle).any()
    assert table.side.between(12, 30).all() and table.side.nunique() == 90
    assert all(overlaps(store, w)[w.lesion] >= 1 for w in table.itertuples())
    for w in sample_lesion_windows(store, [4, 0], 30, RULES, seed=3, training=True).itertuples():
        pixels = overlaps(store, w)
        assert pixels.pop(w.lesion) >= 1 and not any(pixels.values())


def test_a_lesions_windows_depend_on_nothing_but_seed_and_lesion():
    store = simple()
    together = sample_lesion_windows(store, [0, 1, 2, 4], 20, RULES, seed=3, training=True)
    for lesion in (0, 1, 2, 4):
        alone = sample_lesion_windows(store, [lesion], 20, RULES, seed=3, training=True)
        same = together[together.lesion == lesion].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, same)
        few = sample_lesion_windows(store, [lesion], 7, RULES, seed=3, training=True)
        pd.testing.assert_frame_equal(few, alone[:7])
    other = sample_lesion_windows(store, [0], 20, RULES, seed=4, training=True)
    assert not np.isin(other.side, together.side).any()


def test_rotation_only_where_asked():
    store = simple()
    turned = sample_lesion_windows(store, [4], 200, RULES, seed=3, training=True)
    assert turned.angle.min() < -25 and turned.angle.max() > 25
    rules = RULES.model_copy(update=dict(angle_evaluation=5.0))
    slightly = sample_lesion_windows(store, [4], 200, rules, seed=3, training=False)
    assert 4 < slightly.angle.abs().max() <= 5


def test_no_lesions_no_windows():
    assert len(sample_lesion_windows(simple(), [], 5, RULES, seed=3, training=False)) == 0
    assert len(sample_lesion_windows(simple(), [0], 0, RULES, seed=3, training=False)) == 0


# ------------------------------------------------------------------ least overlap
def test_least_overlap_counts_pixels_of_the_outline():
    store = simple()
    rules = RULES.model_copy(update=dict(min_overlap=20, side_min=15.0))
    plain = sample_lesion_windows(store, [4], 100, RULES, seed=3, training=True)
    assert min(overlaps(store, w)[4] for w in plain.itertuples()) < 20
    for table in (
        sample_lesion_windows(store, [4], 100, rules, seed=3, training=True),
        sample_epoch(store, (0, 30, 0, 0), rules, seed=3),
    ):
        assert all(overlaps(store, w)[w.lesion] >= 20 for w in table.itertuples())


def test_an_outline_smaller_than_the_least_overlap_is_held_whole():
    store = made([(0, "malignant", 80, 60, np.ones((3, 3), bool))])
    rules = RULES.model_copy(update=dict(min_overlap=20))
    table = sample_lesion_windows(store, [0], 50, rules, seed=3, training=True)
    assert {overlaps(store, w)[0] for w in table.itertuples()} == {9}


def test_a_least_overlap_that_no_window_can_hold_names_lesion_and_setting():
    store = made([(0, "malignant", 50, 40, np.ones((40, 40), bool))])
    rules = RULES.model_copy(update=dict(min_overlap=1500))
    with pytest.raises(InputError, match="lesion L0 holds 1500 px.*Lower windows.min_overlap"):
        sample_lesion_windows(store, [0], 5, rules, seed=3, training=False)


# ------------------------------------------------------------------ a real store
def test_windows_of_a_real_store_keep_the_rules(tiny_store):
    table = sample_epoch(tiny_store, (20, 20, 20, 20), RULES, seed=1)
    assert np.bincount(table.label).tolist() == [20, 20, 20, 20]
    assert set(tiny_store.images.split[table.image]) == {"training"}
    assert tiny_store.images.negative[table.image[table.label == 3]].all()
    truth = tiny_store.lesions.pathology
    for w in table.itertuples():
        touched = {truth[j] for j, pixels in overlaps(tiny_store, w).items() if pixels}
        assert touched == ({("malignant", "benign")[w.label]} if w.label < 2 else set())
    lesions = tiny_store.lesion_rows(split="test", pathology="malignant")
    tested = sample_lesion_windows(tiny_store, lesions, 3, RULES, seed=1, training=False)
    assert (tested.image == tiny_store.lesions.image[lesions].repeat(3).to_numpy()).all()


# ------------------------------------------------------------------ bad input
def test_a_class_without_lesions_is_named():
    store = made([(0, "malignant", 50, 40, DISC)])
    with pytest.raises(InputError, match="no benign lesion in the training split, 3 windows"):
        sample_epoch(store, (0, 3, 0, 0), RULES, seed=1)


def test_no_image_for_outside_windows_is_named():
    with pytest.raises(InputError, match="9 outside windows in the test split .0 negative"):
        sample_epoch(simple(), (0, 0, 4, 5), RULES, split="test", seed=1)


def test_windows_larger_than_the_canvas_are_refused():
    rules = RULES.model_copy(update=dict(side_max=129.0))
    for draw in (
        lambda: sample_epoch(simple(), (1, 1, 1, 1), rules, seed=1),
        lambda: sample_lesion_windows(simple(), [0], 1, rules, seed=1, training=False),
    ):
        with pytest.raises(InputError, match="129 px are larger than the canvas of 160 x 128"):
            draw()


def test_lesions_of_unknown_truth_are_not_drawn():
    with pytest.raises(InputError, match="lesion L3 is neither malignant nor benign"):
        sample_lesion_windows(simple(), [0, 3], 1, RULES, seed=1, training=False)


@pytest.mark.parametrize("composition", [(1, 2, 3), (1, -1, 0, 0), (0, 0, 0, 0)])
def test_a_malformed_composition_is_refused(composition):
    with pytest.raises(InputError, match="Give 4 counts"):
        sample_epoch(simple(), composition, RULES, seed=1)


def test_a_breast_share_that_no_window_has_is_an_error():
    store = simple()
    store.breasts = np.zeros_like(store.breasts)
    with pytest.raises(InputError, match="no negative window .*4 wanted.*windows.breast_share"):
        sample_epoch(store, (0, 0, 0, 4), RULES, seed=1)
