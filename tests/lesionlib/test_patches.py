"""Patches against a plain bilinear reading of the image, pixel by pixel."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import random_windows

from lesionlib.errors import InputError
from lesionlib.patches import extract_patches
from lesionlib.store import ArrayStore
from lesionlib.windows import window_affine, window_table


def store_of(*images, mean=0.0, std=1.0):
    facts = pd.DataFrame(dict(mean=mean, std=std), index=range(len(images)))
    return ArrayStore(np.stack(images), facts)


def one(row, col, side, angle=0.0, image=0):
    return window_table(image=image, row=row, col=col, side=side, angle=angle)


def patch_points(window, patch):
    """Canvas (row, col) of every patch pixel's centre, (patch, patch) each."""
    u, v = np.meshgrid(np.arange(patch) + 0.5, np.arange(patch) + 0.5)
    a = np.deg2rad(window.angle[0])
    k = window.side[0] / patch
    right, down = k * (u - patch / 2), k * (v - patch / 2)
    row = window.row[0] - right * np.sin(a) + down * np.cos(a)
    return row, window.col[0] + right * np.cos(a) + down * np.sin(a)


def bilinear(image, row, col):
    """Bilinear value at canvas points; pixels off the canvas are 0."""
    padded = np.pad(image.astype(float), 2)
    y, x = np.clip(row - 0.5, -2, image.shape[0]), np.clip(col - 0.5, -2, image.shape[1])
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    fy, fx = y - y0, x - x0
    y0, x0 = y0 + 2, x0 + 2
    above = padded[y0, x0] * (1 - fx) + padded[y0, x0 + 1] * fx
    below = padded[y0 + 1, x0] * (1 - fx) + padded[y0 + 1, x0 + 1] * fx
    return above * (1 - fy) + below * fy


NOISE = np.random.default_rng(0).integers(0, 256, (90, 110)).astype(np.uint8)


def test_an_upright_window_of_the_patchs_size_is_the_crop():
    patches = extract_patches(store_of(NOISE), one(40, 50, 20), 20)
    assert patches.shape == (1, 1, 20, 20) and patches.dtype == np.float32
    np.testing.assert_array_equal(patches[0, 0], NOISE[30:50, 40:60])


def test_quarter_turns_turn_the_crop_clockwise():
    # the window turns anticlockwise, so what it holds appears turned clockwise in the patch
    patch = extract_patches(store_of(NOISE), one(40, 50, 20, 90), 20)[0, 0]
    np.testing.assert_allclose(patch, np.rot90(NOISE[30:50, 40:60], -1), atol=1e-3)


def test_one_pixel_lands_where_the_affine_map_says():
    image = np.zeros((90, 110), np.uint8)
    image[33, 61] = 200
    for angle in (0, 20, 45, -30):
        window = one(40, 55, 31.7, angle)
        patch = extract_patches(store_of(image), window, 48)[0, 0]
        u, v, _ = np.linalg.solve([*window_affine(window, 48)[0], (0, 0, 1)], (61.5, 33.5, 1))
        mass_v, mass_u = np.average(np.mgrid[:48, :48] + 0.5, axis=(1, 2), weights=patch)
        assert (mass_u, mass_v) == pytest.approx((u, v), abs=0.1)
        assert np.hypot(*(np.argwhere(patch > 0) + 0.5 - (v, u)).T).max() < 1.5 * 48 / 31.7


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0, 90), st.floats(0, 110), st.floats(5, 48), st.floats(-180, 180),
    st.sampled_from([np.uint8, np.uint16]),
)  # fmt: skip
def test_patches_are_bilinear_at_any_place_and_angle(row, col, side, angle, dtype):
    image = NOISE.astype(dtype) * (200 if dtype is np.uint16 else 1)
    window = one(row, col, side, angle)
    patch = extract_patches(store_of(image), window, 48)[0, 0]
    wanted = bilinear(image, *patch_points(window, 48))
    np.testing.assert_allclose(patch, wanted, atol=2e-4 * image.max(), rtol=0)


@pytest.mark.parametrize("side", [20.0, 48.0, 70.0, 130.0])
@pytest.mark.parametrize("angle", [0.0, 17.3, 45.0, -30.0, 120.0])
def test_a_ramp_stays_the_ramp_shrunk_or_not(side, angle):
    row, col = np.mgrid[0:200, 0:220] + 0.5
    image = (20 * row + 30 * col).astype(np.uint16)
    window = one(101.3, 99.8, side, angle)
    patch = extract_patches(store_of(image), window, 48)[0, 0]
    at = patch_points(window, 48)
    np.testing.assert_allclose(patch, 20 * at[0] + 30 * at[1], rtol=0, atol=0.02)


def test_a_flat_image_stays_flat():
    image = np.full((90, 110), 77, np.uint8)
    table = window_table(image=0, row=45, col=55, side=[20, 30, 50], angle=[0, 33, 45])
    np.testing.assert_allclose(extract_patches(store_of(image), table, 16), 77, atol=1e-4)


def test_off_the_canvas_is_background():
    image = np.full((60, 60), 100, np.uint8)
    patch = extract_patches(store_of(image), one(0, 30, 40), 40)[0, 0]
    np.testing.assert_array_equal(patch[:20], 0)
    np.testing.assert_array_equal(patch[20:], 100)
    # standardised with the rest: raw 0 is not 0
    store = store_of(image, mean=50.0, std=10.0)
    patch = extract_patches(store, one(0, 30, 40), 40)[0, 0]
    assert (patch[0, 0], patch[-1, 0]) == (-5, 5)
    beyond = extract_patches(store_of(image), one(-100, 30, 40, 20), 8)
    assert not beyond.any() and beyond.shape == (1, 1, 8, 8)


def test_shrinking_averages_and_does_not_alias():
    board = (np.indices((180, 180)).sum(axis=0) % 2 * 200).astype(np.uint8)
    # 2 canvas px a patch px: each averages two black and two white pixels
    exact = extract_patches(store_of(board), one(90, 90, 64), 32)[0, 0]
    np.testing.assert_allclose(exact, 100, atol=1e-3)
    for side, angle in ((80, 0), (70, 20), (100, 45)):
        patch = extract_patches(store_of(board), one(90, 90, side, angle), 32)[0, 0]
        bare = bilinear(board, *patch_points(one(90, 90, side, angle), 32))
        assert patch.std() < 0.6 * bare.std() and abs(patch.mean() - 100) < 2


def test_a_whole_factor_is_the_mean_of_blocks():
    patch = extract_patches(store_of(NOISE), one(45, 50, 60), 20)[0, 0]
    blocks = NOISE[15:75, 20:80].reshape(20, 3, 20, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(patch, blocks, atol=1e-3)


def area_mean(image, window, patch, fine=16):
    """Mean of an image of square pixels over each patch pixel's area, by fine x fine points."""
    row, col = patch_points(window, patch * fine)
    padded = np.pad(image.astype(float), 200)
    values = padded[np.floor(row).astype(int) + 200, np.floor(col).astype(int) + 200]
    return values.reshape(patch, fine, patch, fine).mean(axis=(1, 3))


@pytest.mark.parametrize(
    "scale, limit",
    [(1.05, 0.04), (1.2, 0.065), (1.35, 0.1), (1.5, 0.105), (1.51, 0.07), (2.0, 0.03), (3.4, 0.05)],
)
@pytest.mark.parametrize("angle", [0, 20])
def test_a_shrunk_patch_is_near_the_mean_over_its_pixels_areas(scale, limit, angle):
    """White noise is the hardest image; the limit is in its SD. A bare warp is .17 off at 1.35."""
    window = one(45.3, 55.6, 24 * scale, angle)
    off = extract_patches(store_of(NOISE), window, 24)[0, 0] - area_mean(NOISE, window, 24)
    assert np.sqrt(np.mean(off**2)) < limit * NOISE.std()


def test_smoothing_reads_beyond_the_windows_box_and_background_off_the_canvas():
    """A window is its part of a larger image, and of that image in a frame of background."""
    framed = np.pad(NOISE, 40)
    for row, col, angle in ((45, 55, 0), (3, 4, 30), (88, 108, -20), (-9, 50, 5), (40, 112, 0)):
        plain = extract_patches(store_of(NOISE), one(row, col, 26, angle), 20)
        inside = extract_patches(store_of(framed), one(row + 40, col + 40, 26, angle), 20)
        np.testing.assert_allclose(plain, inside, atol=0.01)


def test_a_windows_pixels_do_not_depend_on_those_cut_with_it():
    images = np.random.default_rng(6).integers(0, 256, (5, 90, 110)).astype(np.uint8)
    store, table = store_of(*images), random_windows(60, 5)
    together = extract_patches(store, table, 16)
    for k in np.random.default_rng(8).permutation(60):
        assert extract_patches(store, table.iloc[[k]], 16).tobytes() == together[k].tobytes()


def test_every_window_is_cut_from_its_own_image_in_the_tables_order():
    images = [np.full((50, 50), value, np.uint8) for value in (10, 20, 30)]
    store = store_of(*images)
    store.images["mean"], store.images["std"] = [0.0, 10.0, 0.0], [1.0, 5.0, 0.0]
    table = window_table(image=[2, 0, 1, 0], row=25, col=25, side=[10, 10, 20, 30])
    patches = extract_patches(store, table, 10)[:, 0, 5, 5]
    # image 2 has no spread: it is divided by 1e-5
    np.testing.assert_allclose(patches, [30 / 1e-5, 10, 2, 10], rtol=1e-6)


def test_cutting_again_gives_the_same_bytes_and_any_type():
    g = np.random.default_rng(1)
    table = window_table(image=0, row=g.uniform(0, 90, 30), col=g.uniform(0, 110, 30), side=40,
                         angle=g.uniform(-30, 30, 30))  # fmt: skip
    store = store_of(NOISE, mean=100.0, std=50.0)
    first = extract_patches(store, table, 16)
    assert first.tobytes() == extract_patches(store, table, 16).tobytes()
    half = extract_patches(store, table, 16, dtype=np.float16)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, first, atol=2e-3)
    assert extract_patches(store, table[:0], 16).shape == (0, 1, 16, 16)


def test_a_patch_of_a_real_store_is_its_standardised_canvas(tiny_store):
    window = one(100, 40, 32, image=3)
    patch = extract_patches(tiny_store, window, 32)[0, 0]
    np.testing.assert_allclose(patch, tiny_store.standardised(3)[84:116, 24:56], atol=1e-5)


def test_bad_input_is_named():
    store = store_of(NOISE)
    with pytest.raises(InputError, match="window 0 has image 1"):
        extract_patches(store, one(40, 50, 20, image=1), 20)
    with pytest.raises(InputError, match="a patch of 0 px"):
        extract_patches(store, one(40, 50, 20), 0)
