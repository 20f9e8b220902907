"""GMIC's preparation: hand-made films, and eight real ones against what the published code made.

The reference values (`oracle_dir`) are no part of the project; where they are absent the tests on
small films stand alone.
"""

import hashlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionlib.datasets import table
from lesionlib.errors import InputError
from lesionlib.experiment import Canvas
from lesionlib.images.breast import largest_part
from lesionlib.images.gmic_preparation import (
    crop_to_breast,
    gmic_placement,
    optimal_centre,
    standardise,
)
from lesionlib.images.read import read_image, read_mask
from lesionlib.images.store import build_store

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


# ------------------------------------------------------------------ against the published code
@pytest.fixture(scope="module")
def facts(oracle_dir):
    return json.loads((oracle_dir / "gmic_oracle.json").read_text())


def sample(real_data, name):
    folder = "gmic" if "-" in name else "breast_cancer_classifier"
    return real_data("nyu_samples") / folder / f"{name}.png"


@pytest.mark.parametrize("name", SAMPLES)
def test_published_windows_to_the_byte(name, facts, real_data):
    known = facts["preparation"][name]
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


def synthetic_film(known):
    """One of six half ellipses.  Their grey values are not known, and play no part: only px above
    0 do, and the published shares of the windows below tell that these are the same."""
    rows, cols, k = known["height"], known["width"], known["index"]
    y, x = np.mgrid[:rows, :cols]
    breast = ((y - rows // 2 - 7 * k) / (rows // 3)) ** 2 + (x / (cols // 2 + 5 * k)) ** 2 <= 1
    return breast if faces_right(known) else breast[:, ::-1]


def faces_right(known):
    return (known["view"][0] == "L") == (known["horizontal_flip"] == "NO")


@pytest.mark.parametrize("index", range(6))
def test_synthetic_films(index, facts):
    known = facts["geometry"][index]
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


def test_a_store_of_published_windows(sample_store, facts):
    """Canvases, standardised canvases, points and masks are those of the published window."""
    store, masks = sample_store
    assert store.exclusions.empty and store.facts["placement"] == "gmic"
    for i, name in enumerate(store.images["image_id"]):
        known = facts["preparation"][name]
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
