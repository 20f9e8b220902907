"""Finding the breast: shapes whose answer is known, and real films."""

import numpy as np
import pytest

from lesionlib.errors import InputError
from lesionlib.images.breast import breast_box, chest_wall, dilated, find_breast
from lesionlib.images.read import read_image


def half_disc(rows=600, cols=400, radius=250):
    """At the left edge, bool."""
    y, x = np.mgrid[0:rows, 0:cols] + 0.5
    return (y - rows / 2) ** 2 + x**2 < radius**2


def agreement(found, true):
    return (found & true).sum() / (found | true).sum()


def test_digital_breast_without_label_and_with_its_hole_filled():
    true = half_disc()
    pixels = np.where(true, 900, 0).astype(np.uint16)
    pixels[250:300, 60:110] = 0  # detector drop-out inside the breast
    pixels[20:60, 330:390] = 4000  # a label
    found = find_breast(pixels)
    assert agreement(found, true) > 0.97
    assert found[275, 85] and not found[40, 360]


def test_the_chest_wall_side_keeps_its_corners():
    true = half_disc()
    found = find_breast(np.where(true, 50, 0).astype(np.uint8))
    r0, _, r1, _ = breast_box(true)
    assert found[r0 + 8, 0] and found[r1 - 9, 0]


@pytest.mark.parametrize("background", [3, 25])
def test_film_with_grey_background_label_tape_and_frame(background):
    generator = np.random.default_rng(0)
    true = half_disc()
    pixels = background + 2.0 * generator.standard_normal(true.shape)
    pixels[true] = 110 + 25 * generator.standard_normal(true.sum())
    pixels[30:90, 310:370] = 250  # a label
    pixels[:, 380:] = 255  # the rim of the film
    pixels[:3] = 200  # a line of the scanner
    found = find_breast(np.clip(pixels, 0, 255).astype(np.uint8), "film")
    assert agreement(found, true) > 0.93
    assert not found[60, 340] and not found[300, 390]


def test_a_film_in_a_padded_square_is_not_pulled_down_by_the_padding():
    true = half_disc()
    pixels = np.zeros((600, 1000), np.uint8)
    pixels[:, 300:700] = np.where(true, 120, 22)
    found = find_breast(pixels, "film")
    assert agreement(found[:, 300:700], true) > 0.95


@pytest.mark.parametrize("source", ["ffdm", "film"])
def test_an_empty_image_is_refused(source):
    with pytest.raises(InputError, match="no breast found"):
        find_breast(np.zeros((200, 100), np.uint8), source)


def test_small_and_full_images():
    assert find_breast(np.full((64, 48), 9, np.uint8)).all()
    speck = np.zeros((400, 300), np.uint8)
    speck[100:112, 0:9] = 5  # thinner than the first opening
    assert breast_box(find_breast(speck)) == (100, 0, 112, 9)


def test_chest_wall_of_a_breast_its_mirror_and_one_off_the_edges():
    true = half_disc()
    assert chest_wall(true) == "left" and chest_wall(true[:, ::-1]) == "right"
    moved = np.pad(true, ((0, 0), (60, 200)))
    assert chest_wall(moved) == "left" and chest_wall(moved[:, ::-1]) == "right"


def test_a_breast_that_fills_the_film_is_told_by_its_upper_half():
    full = np.ones((300, 300), bool)
    full[:60, 295:] = False  # the nipple's side leaves a corner free above
    full[200:, :20] = False  # below the chest wall the other breast begins
    assert chest_wall(full) == "left"


def test_dilation_by_distance():
    mask = np.zeros((21, 21), bool)
    mask[10, 10] = True
    wide = dilated(mask, 3)
    assert wide[10, 13] and not wide[10, 14] and not wide[13, 13]
    assert dilated(mask, 0) is mask


def test_every_mini_mias_film_faces_as_numbered(real_data):
    folder = real_data("mini_mias") / "png"
    wrong = []
    for number in range(1, 323):
        mask = find_breast(read_image(folder / f"mdb{number:03d}.png").pixels, "film")
        if chest_wall(mask) != ("right" if number % 2 else "left"):
            wrong.append(number)
    assert wrong == []


def test_digital_breasts_face_as_named(real_data):
    for name, side in (("2_L_CC", "left"), ("2_R_CC", "right")):
        path = real_data(f"nyu_samples/breast_cancer_classifier/{name}.png")
        image = read_image(path)
        mask = find_breast(image.pixels)
        assert chest_wall(mask) == side
        assert mask.mean() == pytest.approx((image.pixels > 0).mean(), abs=0.02)
