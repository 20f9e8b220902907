"""Finding the breast: shapes whose answer is known, and real films."""

import cv2
import numpy as np
import pytest

from data_manifest.images.breast import (
    blanked_film,
    breast_box,
    chest_wall,
    dilated,
    film_border,
    find_breast,
    has_grey_background,
    is_breast_shaped,
)
from data_manifest.images.read import read_image
from lesionlib.errors import InputError


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


BACKGROUNDS = {
    "an offset": lambda shape, rng: np.full(shape, 2),
    "noise from 0 on": lambda shape, rng: rng.integers(0, 4, shape),
    "noise about a high level": lambda shape, rng: rng.normal(300, 3, shape),
    "a film": lambda shape, rng: rng.normal(90, 8, shape),
    "a slope": lambda shape, rng: np.ones(shape[0])[:, None] * np.linspace(5, 60, shape[1]),
}


@pytest.mark.parametrize("turned", [1, -1])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_a_digital_breast_on_a_background_that_is_not_0(background, turned):
    """Trap: the whole image is above 0, so that all of it is breast and no side is that of the wall."""
    rng, true = np.random.default_rng(0), half_disc()[:, ::turned]
    pixels = BACKGROUNDS[background](true.shape, rng) + true * rng.integers(300, 900, true.shape)
    pixels[20:60, 180:210] = 4000  # a label
    pixels[500, 200] = pixels[3] = 0  # a dead pixel, and a dead line
    pixels = np.rint(pixels).astype(np.uint16)
    found = find_breast(pixels)
    assert agreement(found, true) > 0.95 and is_breast_shaped(found)
    assert has_grey_background(pixels, found)
    assert chest_wall(found) == ("left" if turned == 1 else "right")


def test_a_background_of_0_is_taken_as_it_is():
    pixels = np.where(half_disc(), 900, 0).astype(np.uint16)
    pixels[150:450, 100:104] = 3  # faint, and breast all the same
    pixels[20:60, 330:390] = 4000
    found = find_breast(pixels)
    assert found[300, 102] and not has_grey_background(pixels, found)


@pytest.mark.parametrize("turned", [1, -1])
def test_air_and_images_full_of_it_have_no_breasts_shape(turned):
    true = half_disc()[:, ::turned]
    band, whole, labelled = (np.zeros(true.shape, bool) for _ in range(3))
    band[100:500] = whole[:] = labelled[:] = True
    band[100:140, :350] = labelled[:120, 250:] = False
    for mask in (band, whole, labelled, ~true, ~true[60:540, 20:380]):
        assert not is_breast_shaped(mask)
    for mask in (true, axilla()[:, ::turned], true[60:540, 20:380]):
        assert is_breast_shaped(mask)
    inverted = np.where(true, 1000, 4000).astype(np.uint16)
    assert not is_breast_shaped(find_breast(inverted))


@pytest.mark.parametrize("sigma", [3, 12, 40])
def test_an_image_full_of_tissue_is_not_parted_into_fat_and_glands(sigma):
    noise = np.random.default_rng(sigma).normal(0, 1, (600, 400)).astype(np.float32)
    tissue = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), sigma), None, 50, 250, cv2.NORM_MINMAX)
    assert find_breast(tissue.astype(np.uint8)).all()


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


def film_with(breast, strip=None, level=110):
    """A film whose background is 10, with a breast and a white strip."""
    pixels = np.where(breast, level, 10).astype(np.uint8)
    pixels[:8, :8] = 255  # some of a label: the brightest grey is known without the strip
    if strip is not None:
        pixels[strip] = 250
    return pixels


def axilla(rows=600, cols=400):
    """A breast at the left edge that runs out of the film above, as on an MLO view."""
    true = half_disc(rows, cols)
    true[: rows // 2, :150] = True
    return true


@pytest.mark.parametrize("level", [110, 190])  # dark tissue, and muscle as bright as the strip
@pytest.mark.parametrize("turned", [False, True])
def test_a_strip_above_or_below_is_border_and_not_breast(turned, level):
    """Trap: a film that ends in white keeps a bar across its canvas, which shifts its mean."""
    turn = slice(None, None, -1 if turned else 1)
    true, strip = axilla()[turn], np.zeros((600, 400), bool)
    strip[:14] = True
    pixels = film_with(axilla(), strip, level)[turn]
    border, found = film_border(pixels), find_breast(pixels, "film")
    assert agreement(border, strip[turn]) > 0.8
    assert not (found & border).any() and agreement(found, true & ~strip[turn]) > 0.96


def test_the_margin_kept_around_the_breast_does_not_bring_the_strip_back():
    strip = np.zeros((600, 400), bool)
    strip[:14] = True
    pixels = film_with(axilla(), strip)
    canvas = blanked_film(pixels, find_breast(pixels, "film"))
    assert not canvas[:10].any() and canvas[20, 60] == 110


def test_a_tilted_strip_is_followed_through_the_breast():
    y, x = np.mgrid[0:600, 0:400]
    strip = y < 24 - 0.04 * x  # 24 px deep at the chest wall, 8 px at the other edge
    border = film_border(film_with(axilla(), strip, level=190))
    depth = border.sum(axis=0)
    assert abs(depth[10] - 24) <= 3 and abs(depth[390] - 8) <= 3


def test_a_strip_at_the_far_side_is_not_breast_and_one_at_the_chest_wall_is_left_alone():
    pixels = film_with(half_disc())
    pixels[:, :6] = pixels[:, 388:] = 250
    found = find_breast(pixels, "film")
    assert not film_border(pixels).any()
    assert not found[:, 380:].any() and found[300, 0] and agreement(found, half_disc()) > 0.95


@pytest.mark.parametrize("level", [110, 240])
def test_tissue_that_touches_the_edges_is_no_border(level):
    """Trap: muscle is nearly white and runs out of the film; beside it the edge is dark."""
    pixels = film_with(axilla(), level=level)
    assert not film_border(pixels).any()
    wide = axilla()
    wide[:300, :330] = True  # background on a few lines only
    assert not film_border(film_with(wide, level=level)).any()
    assert find_breast(pixels, "film")[2, 20:120].all()
    assert not film_border(np.full((600, 400), 240, np.uint8)).any()


def test_a_label_at_the_upper_edge_is_no_border():
    pixels = film_with(axilla())
    pixels[:12, 200:400] = 250  # over most of the background, but not beside the breast
    assert not film_border(pixels).any()


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
