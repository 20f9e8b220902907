"""GMIC's preparation: hand-made films, and eight real ones against what the published code made.

The published values are in `tests/lesionlib/models/golden`; the eight films are not in the repository.
"""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_manifest.images.breast import largest_part
from data_manifest.images.gmic_preparation import (
    crop_to_breast,
    gmic_placement,
    noisy_borders,
    noisy_window,
    optimal_centre,
    standardise,
)
from data_manifest.images.read import read_image, read_mask
from data_manifest.images.store import build_store
from data_manifest.table import reader as table
from lesionlib.errors import InputError
from study.settings import Canvas

FACTS = json.loads(
    (Path(__file__).parents[2] / "lesionlib/models/golden/gmic_oracle.json").read_text()
)
SAMPLES = ("0_L-CC", "0_L-MLO", "0_R-CC", "0_R-MLO", "1_L_CC", "1_R_CC", "2_L_CC", "2_R_CC")


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def listed(value):
    """Tuples as lists, as JSON gives them."""
    return json.loads(json.dumps(value))


# ------------------------------------------------------------------ small films, by hand
def film(rows=40, cols=30):
    """A breast of 20 x 12 px at the left edge, a tip of 5 x 3 px on it, a label of 4 x 4 px."""
    pixels = np.zeros((rows, cols), np.uint16)
    pixels[10:30, :12] = 7
    pixels[19:24, 12:15] = 9
    pixels[2:6, 24:28] = 99
    return pixels


def test_crop_by_hand():
    """Two steps: the label vanishes, corners become steps, and px at the film's edge go, too."""
    crop = crop_to_breast(film(), True, steps=2, buffer=3)
    assert crop.box == (7, 33, 0, 18) and crop.gap == 0
    # the tip of 5 rows keeps its middle row after two erosions, a diamond after two dilations
    assert crop.rightmost == ((14, 14), 14)
    assert crop.bottommost == (22, (2, 9))
    assert np.array_equal(crop.apply(film()), film()[7:33, :18])


def test_columns_of_a_mirrored_film_are_larger_by_one():
    """Trap: the published points of films that face left are not a true mirror image."""
    right = crop_to_breast(film(), True, steps=2, buffer=3)
    left = crop_to_breast(film()[:, ::-1], False, steps=2, buffer=3)
    assert left.box == (7, 33, 12, 30)
    assert np.array_equal(left.apply(film()[:, ::-1]), right.apply(film()))
    assert left.rightmost == (right.rightmost[0], right.rightmost[1] + 1)
    assert left.bottommost == (22, (3, 10))


def test_nothing_thick_enough_is_refused():
    """Trap: the published code stops the whole batch."""
    with pytest.raises(InputError, match="more than 16 px thick"):
        crop_to_breast(film(), True, steps=8)


def test_centre_of_an_mlo_view_needs_no_search():
    crop = crop_to_breast(film(), True, steps=2, buffer=3)
    pixels = crop.apply(film())
    # foot in row 22, tip in column 14, window 10 x 8: 22 - 5 - 1, 14 - 4 - 1
    assert optimal_centre(pixels, "MLO", crop, (10, 8)) == (16, 9)
    # narrow breasts: the centre may lie off the crop
    assert optimal_centre(pixels, "MLO", crop, (60, 50)) == (-9, -12)
    pixels = pixels.copy()
    pixels[20:, -8:] = 0  # the last 8 columns end above the foot
    assert optimal_centre(pixels, "MLO", crop, (10, 8)) == (13, 9)


def test_centre_of_a_cc_view_holds_most():
    crop = crop_to_breast(film(), True, steps=2, buffer=3)
    pixels = crop.apply(film())
    assert optimal_centre(pixels, "CC", crop, (30, 8)) == (13, 9)  # 26 rows: all in one window
    # windows of 9 rows over columns 5..12; those that hold rows 12..16 of the tip hold most,
    # which start at rows 8..12; the one nearest to row 13 starts at 9
    assert optimal_centre(pixels, "CC", crop, (9, 8)) == (13, 9)
    pixels = pixels.copy()
    pixels[:14] = 0
    pixels[17:, :] = 0  # rows 14..16 are left: starts 8..14 tie, and 13 is the nearest centre
    assert optimal_centre(pixels, "CC", crop, (9, 8)) == (13, 9)
    with pytest.raises(InputError, match="CC and MLO, not 'other'"):
        optimal_centre(pixels, "other", crop, (9, 8))


@pytest.mark.parametrize(("view", "top"), [("CC", 32), ("MLO", 0)])
def test_where_a_small_film_lies_on_the_window(view, top):
    """256 rows on 320: CC is padded above and below, MLO below alone; both at the right."""
    pixels = np.zeros((300, 260), np.uint16)
    pixels[20:276, :230] = np.arange(256)[:, None] + 1
    for side, stored in (("left", pixels), ("right", pixels[:, ::-1])):
        placed = gmic_placement(stored, side, view, rows=320, cols=320, buffer=0)
        window = placed.apply(stored)
        assert placed.top == top and placed.flipped == (side == "right")
        assert np.array_equal(window[top : top + 256, :230], pixels[20:276, :230])
        assert np.count_nonzero(window) == 256 * 230


def test_standardised_by_hand():
    found = standardise(np.array([[1, 3], [5, 7]], np.uint16))
    np.testing.assert_allclose(found, np.array([[-3, -1], [1, 3]]) / np.sqrt(5), rtol=1e-6)
    assert found.dtype == np.float32
    assert not standardise(np.full((3, 3), 9, np.uint8)).any()


# ------------------------------------------------------------------ noise on the borders, by hand
class Draws:
    """Stands for the generator: gives these shares, and fails where more or fewer are drawn."""

    def __init__(self, *shares):
        self.shares = list(shares)

    def uniform(self, low, high, n):
        assert (low, high) == (-1, 1) and len(self.shares) >= n
        drawn, self.shares = self.shares[:n], self.shares[n:]
        return np.array(drawn)


STILL = (0, 0, 0, 0)


def borders(shape, view, centre, *shares, noise=(6, 4), size_noise=0, window=(40, 20)):
    draws = Draws(*shares)
    named = {"noise": noise, "size_noise": size_noise, "window": window}
    found = noisy_borders(shape, view, centre, draws, **named)
    assert not draws.shares, "too few were drawn"
    return found


def test_noise_shifts_the_window_by_its_share():
    """Room everywhere: rows 30..70 and columns 20..40, moved by round(6 x .5) and round(4 x -.5)."""
    found = borders((100, 60), "CC", (50, 30), 0.5, -0.5, *STILL)
    assert found.padded_shape == (100, 60) and found.above == 0
    assert found.after_shift_noise == found.after_size_noise == (33, 73, 18, 38)


def test_a_share_that_falls_on_a_half_goes_to_the_even_px():
    """Trap: 6 x .25 = 1.5 goes to 2, and 6 x .75 = 4.5 to 4."""
    for share, rows in ((0.25, 2), (0.75, 4), (-0.75, -4)):
        found = borders((100, 60), "CC", (50, 30), share, 0, *STILL)
        assert found.after_shift_noise[:2] == (30 + rows, 70 + rows)


def test_without_noise_only_the_four_of_the_borders_are_drawn():
    """Trap: a shift of 0 draws nothing, a size noise of 0 draws all the same."""
    found = borders((100, 60), "CC", (50, 30), 1, 1, 1, 1, noise=(0, 0))
    assert found.after_size_noise == (30, 70, 20, 40)
    found = borders((100, 60), "CC", (50, 30), 1, 1, *STILL, noise=(0, 4))
    assert found.after_shift_noise == (30, 70, 24, 44), "one noise: both are drawn"


@pytest.mark.parametrize(
    ("centre", "moved"), [((0, 0), (3, 43, 2, 22)), ((99, 59), (57, 97, 38, 58))]
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_at_an_edge_noise_points_inwards(centre, moved, sign):
    """Off the crop the window first moves to its edge; then the sign of the share is the edge's."""
    found = borders((100, 60), "CC", centre, sign * 0.5, sign * 0.5, *STILL)
    assert found.after_shift_noise == moved


def test_a_shift_keeps_to_the_room_on_its_side():
    """Rows 2..42 of 100: 2 px above, so -.5 of them; below there are more than the noise."""
    assert borders((100, 60), "CC", (22, 30), -0.5, 0, *STILL).after_shift_noise[:2] == (1, 41)
    assert borders((100, 60), "CC", (22, 30), 0.5, 0, *STILL).after_shift_noise[:2] == (5, 45)


def test_short_crops_are_padded_for_their_noise():
    """Window 40 x 20, margins 6 + 5 and 4 + 5.  CC: to 62 rows, both ends, and the window 11 from
    the top whatever the centre; MLO: to 51 rows below alone; columns: to 29 at the right alone."""
    found = borders((49, 29), "CC", (3, 3), *[0] * 6, size_noise=5)
    assert (found.padded_shape, found.above) == ((62, 29), 6)  # 13 rows missing: 6 above, 7 below
    assert found.after_shift_noise == (11, 51, 0, 20)
    found = borders((49, 25), "MLO", (30, 3), *[0] * 6, size_noise=5)
    assert (found.padded_shape, found.above) == ((51, 29), 0)
    assert found.after_shift_noise == (0, 40, 0, 20)
    found = borders((51, 29), "MLO", (29, 12), *[0] * 6, size_noise=5)
    assert found.padded_shape == (51, 29) and found.after_shift_noise == (9, 49, 2, 22), "room"


def test_size_noise_moves_each_border_in_proportion_to_its_side():
    """Window 40 x 20: up to 8 px in rows, 4 in columns; top, bottom, left and right in this order."""
    named = {"noise": (0, 0), "size_noise": 8}
    found = borders((100, 60), "CC", (50, 30), 1, -0.5, 0.25, -1, **named)
    assert found.after_shift_noise == (30, 70, 20, 40)
    assert found.after_size_noise == (38, 66, 21, 36)
    # a window 3 px from the left edge: 3 px in rows, round(1.5) = 2 in columns
    found = borders((100, 60), "CC", (50, 13), -1, 1, -1, 1, **named)
    assert found.after_size_noise == (27, 73, 1, 25)
    # at an edge none moves
    found = borders((100, 60), "MLO", (50, 0), -1, 1, -1, 1, **named)
    assert found.after_size_noise == found.after_shift_noise == (30, 70, 0, 20)


def test_a_cut_of_another_size_is_resized_bicubically():
    """A ramp stays a ramp: rows 26..74 squeezed into 40, so in steps of 48 / 40, middles on middles."""
    ramp = np.repeat(np.arange(100, dtype=np.uint16)[:, None], 60, axis=1)
    named = {"noise": (0, 0), "size_noise": 4, "window": (40, 20)}
    found = noisy_window(ramp, "CC", (50, 30), Draws(-1, 1, -1, 1), **named)
    assert found.shape == (40, 20) and found.dtype == np.float32
    inner = 26 + (np.arange(40) + 0.5) * 48 / 40 - 0.5
    np.testing.assert_allclose(found[2:-2, 5], inner[2:-2], atol=0.1)
    step = np.where(np.arange(60) < 30, 0, 100) * np.ones((100, 1))
    assert noisy_window(step, "CC", (50, 30), Draws(-1, 1, -1, 1), **named).min() < 0, "as float"


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("size", [(320, 320), (240, 200), (320, 150), (200, 300)])
def test_without_noise_it_is_the_usual_window(view, size):
    """On windows larger and smaller than the crop (276 x 250 px), and larger on one axis alone."""
    pixels = np.zeros((300, 260), np.uint16)
    pixels[20:276, :230] = np.random.default_rng(1).integers(1, 4000, (256, 230))
    for side, stored in (("left", pixels), ("right", pixels[:, ::-1])):
        crop = crop_to_breast(stored, side == "left", buffer=10)
        cropped = crop.apply(stored)
        centre = optimal_centre(cropped, view, crop, size)
        usual = gmic_placement(stored, side, view, rows=size[0], cols=size[1], buffer=10)
        still = {"noise": (0, 0), "size_noise": 0, "window": size}
        found = noisy_window(cropped, view, centre, np.random.RandomState(0), **still)
        assert np.array_equal(found, usual.apply(stored))


def test_noise_refuses_a_view_it_does_not_know():
    """Trap: a long name, as the published lists have it, would pass for an MLO view."""
    with pytest.raises(InputError, match="CC and MLO, not 'L-CC'"):
        borders((100, 60), "L-CC", (50, 30), *[0] * 6)


# ------------------------------------------------------------------ against the published code
def sample(real_data, name):
    folder = "gmic" if "-" in name else "breast_cancer_classifier"
    return real_data("nyu_samples") / folder / f"{name}.png"


@pytest.mark.parametrize("name", SAMPLES)
def test_published_windows_to_the_byte(name, real_data):
    known = FACTS["preparation"][name]
    pixels = read_image(sample(real_data, name)).pixels
    right, view = known["view"][0] == "L", known["view"][2:]
    crop = crop_to_breast(pixels, right)
    assert list(crop.box) == known["window_location"]
    assert listed(crop.rightmost) == known["rightmost_points"]
    assert listed(crop.bottommost) == known["bottommost_points"]
    assert crop.gap == known["distance_from_starting_side"]
    assert list(optimal_centre(crop.apply(pixels), view, crop)) == known["best_center"]
    window = gmic_placement(pixels, "left" if right else "right", view).apply(pixels)
    assert sha256(window.astype("<u2")) == known["window_uint16_sha256"]
    assert sha256(standardise(window).astype("<f4")) == known["prepared_float32_sha256"]


@pytest.mark.parametrize("name", SAMPLES)
def test_published_borders_with_noise(name):
    """Four seeds an image, the published amounts: (100, 100) px of shift and 100 px of size."""
    known = FACTS["preparation"][name]
    y0, y1, x0, x1 = known["window_location"]
    for seeded in known["noisy_borders"]:
        rng = np.random.RandomState(seeded["rng"])
        found = noisy_borders((y1 - y0, x1 - x0), known["view"][2:], known["best_center"], rng)
        for field in ("padded_shape", "after_shift_noise", "after_size_noise"):
            assert list(getattr(found, field)) == seeded[field], (seeded["rng"], field)


def synthetic_film(known):
    """One of six half ellipses.  Their grey values are not known, and play no part: only px above
    0 do, and the published shares of the windows below tell that these are the same."""
    rows, cols, k = known["height"], known["width"], known["index"]
    y, x = np.mgrid[:rows, :cols]
    breast = ((y - rows // 2 - 7 * k) / (rows // 3)) ** 2 + (x / (cols // 2 + 5 * k)) ** 2 <= 1
    return breast if faces_right(known) else breast[:, ::-1]


def faces_right(known):
    return (known["view"][0] == "L") == (known["horizontal_flip"] == "NO")


@pytest.mark.parametrize("known", FACTS["geometry"], ids=range(6))
def test_synthetic_films(known):
    pixels = synthetic_film(known)
    crop = crop_to_breast(
        pixels, faces_right(known), steps=known["iterations"], buffer=known["buffer"]
    )
    assert list(crop.box) == known["window_location"]
    assert listed(crop.rightmost) == known["rightmost_points"]
    assert listed(crop.bottommost) == known["bottommost_points"]
    assert crop.gap == known["distance_from_starting_side"]
    cropped = crop.apply(pixels)
    for size, (*centre, share) in known["best_center"].items():
        rows, cols = map(int, size.split("x"))
        assert list(optimal_centre(cropped, known["view"][2:], crop, (rows, cols))) == centre
        top, left = max(0, centre[0] - rows // 2), max(0, centre[1] - cols // 2)
        held = np.count_nonzero(cropped[top : top + rows, left : left + cols])
        assert held / (rows * cols) == share


# ------------------------------------------------------------------ as a store
@pytest.fixture(scope="module")
def sample_store(real_data, tmp_path_factory):
    """The four films of one exam, and two masks: they are published in the frame of the window."""
    folder = tmp_path_factory.mktemp("samples")
    images, lesions, masks = [], [], {}
    for name in SAMPLES[:4]:
        file = sample(real_data, name)
        shutil.copy(file, folder)
        row = {"image_id": name, "patient_id": "P0", "laterality": name[2], "view": name[4:]}
        images.append(row | {"file": file.name, "bits": 12, "split": "test"})
        mask_file = file.with_name(f"{name}_benign.png")
        if mask_file.exists():
            masks[name] = largest_part(read_mask(mask_file))
            on_film = brought_to_the_film(masks[name], read_image(file).pixels, name[4:])
            Image.fromarray(on_film).save(folder / mask_file.name)
            row = {"image_id": name, "lesion_id": name, "pathology": "benign", "geom": "mask"}
            lesions.append(row | {"mask_file": mask_file.name})
    pd.DataFrame(images).to_csv(folder / "images.csv", index=False)
    pd.DataFrame(lesions).to_csv(folder / "lesions.csv", index=False)
    store = build_store(table.read(folder), folder / "store", Canvas(placement="gmic"))
    return store, masks


def brought_to_the_film(mask, pixels, view):
    """A mask of the window of a right breast, point by point on its stored film."""
    placed = gmic_placement(pixels, "right", view)
    points = np.floor(placed.to_source(np.argwhere(mask) + 0.5)).astype(int)
    on_film = np.zeros(pixels.shape, np.uint8)
    on_film[points[:, 0], points[:, 1]] = 255
    return on_film


def test_a_store_of_published_windows(sample_store):
    """Canvases, standardised canvases, points and masks are those of the published window."""
    store, masks = sample_store
    assert store.exclusions.empty and store.facts["placement"] == "gmic"
    for i, name in enumerate(store.images["image_id"]):
        known = FACTS["preparation"][name]
        assert sha256(store.raw(i).astype("<u2")) == known["window_uint16_sha256"]
        assert sha256(store.standardised(i).astype("<f4")) == known["prepared_float32_sha256"]
        points = np.array([[0.5, 0.5], [1400.25, 333.75]])
        np.testing.assert_array_equal(store.to_canvas(i, store.to_source(i, points)), points)
    assert len(store.lesions) == len(masks) == 2
    for j, name in enumerate(store.lesions["image_id"]):
        found = store.outline(j).on((2944, 1920))
        assert np.array_equal(found, masks[name])


def test_the_usual_store_does_not_name_its_placement(tiny_store):
    assert "placement" not in tiny_store.facts


def test_the_setting_reaches_a_store(tiny_table):
    """The tiny films vanish under 100 erosions: each is excluded, and the reason says it."""
    canvas = SimpleNamespace(**vars(Canvas(rows=192, cols=128, placement="gmic")))
    with pytest.raises(InputError, match="more than 200 px thick"):
        build_store(table.read(tiny_table), tiny_table.parent / "store", canvas)


def test_other_scales_are_refused():
    with pytest.raises(ValueError, match="placement gmic needs scale 1"):
        Canvas(placement="gmic", scale=0.5)
