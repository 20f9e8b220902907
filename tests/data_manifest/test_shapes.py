"""Shapes: pixels of shapes that can be counted by hand."""

import numpy as np
import pytest
from scipy import ndimage

from data_manifest.images.read import read_mask
from data_manifest.shapes import (
    border,
    check_extent,
    parse_polygon,
    polygon_text,
    rasterise,
    separated,
    shape_facts,
)
from lesionlib.errors import InputError
from lesionlib.outlines import Outline


def test_box_holds_the_pixels_whose_centres_it_covers():
    outline = rasterise("box", {"x0": 2, "y0": 1, "x1": 5, "y1": 3}, (10, 10))
    assert outline.box == (1, 2, 3, 5)
    assert outline.area_px == 6 and outline.mask.all()


def test_a_box_that_ends_at_a_centre_is_half_open():
    outline = rasterise("box", {"x0": 2.5, "y0": 0, "x1": 4.5, "y1": 1}, (10, 10))
    assert outline.box == (0, 2, 1, 4)
    outline = rasterise("box", {"x0": 0, "y0": 2.5, "x1": 1, "y1": 4.5}, (10, 10))
    assert outline.area_px == 2  # two of the three centres 2.5, 3.5 and 4.5


def test_a_corner_on_the_line_of_centres_is_crossed_once():
    """Trap: counted with both of its sides, a corner turns inside and outside round."""
    outline = rasterise("polygon", {"polygon": "0 2.5;3 0;6 2.5;3 5"}, (8, 8))
    assert outline.mask[2 - outline.row0].tolist() == [True] * 6


def test_circle_of_radius_one_around_a_centre_is_a_plus():
    outline = rasterise("circle", {"cx": 4.5, "cy": 4.5, "r": 1}, (10, 10))
    assert outline.box == (3, 3, 6, 6)
    assert outline.mask.tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


def test_circle_area_approaches_pi_r_squared():
    outline = rasterise("circle", {"cx": 100, "cy": 90, "r": 60}, (300, 300))
    assert outline.area_px == pytest.approx(np.pi * 3600, rel=0.005)


def test_triangle_counts_the_centres_below_its_diagonal():
    # corners (0,0), (4,0), (0,4): centre (x+.5, y+.5) inside if x + y + 1 < 4
    outline = rasterise("polygon", {"polygon": "0 0;4 0;0 4"}, (8, 8))
    expected = [[y + x + 1 < 4 for x in range(3)] for y in range(3)]
    assert outline.mask.tolist() == expected


def test_concave_polygon_leaves_its_notch_out():
    shape = {"polygon": "0 0;6 0;6 6;4 6;4 2;2 2;2 6;0 6"}  # an upside-down U
    outline = rasterise("polygon", shape, (8, 8))
    assert outline.area_px == 6 * 2 + 2 * 2 * 4
    assert not outline.mask[3, 2:4].any()


def test_shapes_are_cut_at_the_image():
    outline = rasterise("box", {"x0": -3, "y0": -3, "x1": 2, "y1": 2}, (10, 10))
    assert outline.box == (0, 0, 2, 2)
    outside = rasterise("circle", {"cx": 50, "cy": 5, "r": 3}, (10, 10))
    assert outside.area_px == 0 and outside.mask.shape == (0, 0)


def test_shape_facts_by_hand():
    assert shape_facts("box", {"x0": 0, "y0": 0, "x1": 4, "y1": 2}) == (8, (0, 0, 4, 2))
    assert shape_facts("polygon", {"polygon": "0 0;4 0;4 6;0 6;"}) == (24, (0, 0, 4, 6))
    assert shape_facts("polygon", {"polygon": "0 6;4 6;4 0;0 0"}) == (
        24,
        (0, 0, 4, 6),
    )  # turned round
    circle = {"cx": 1, "cy": 2, "r": 3}
    assert shape_facts("circle", circle) == (pytest.approx(9 * np.pi), (-2, -1, 4, 5))


@pytest.mark.parametrize(
    ("geom", "shape", "words"),
    [
        ("polygon", {"polygon": "0 0;4 0"}, "polygon of 2 points"),
        ("polygon", {"polygon": "0 0;4;1 1"}, "not 'x y'"),
        ("polygon", {"polygon": "0 0;4 nan;1 1"}, "not finite"),
        ("polygon", {"polygon": ""}, "not 'x y'"),
        ("box", {"x0": 3, "y0": 0, "x1": 3, "y1": 2}, "empty box"),
        ("box", {"x0": 0, "y0": 2, "x1": 3, "y1": 2}, "empty box"),
        ("box", {"x0": float("nan"), "y0": 0, "x1": 3, "y1": 2}, "empty box"),
        ("box", {"x0": 0, "y0": 0, "x1": float("inf"), "y1": 2}, "empty box"),
        ("circle", {"cx": 1, "cy": 1, "r": 0}, "r > 0"),
        ("circle", {"cx": float("nan"), "cy": 1, "r": 2}, "three numbers"),
    ],
)
def test_bad_shapes_are_refused_in_one_line(geom, shape, words):
    with pytest.raises(InputError, match=words) as caught:
        rasterise(geom, shape, (10, 10))
    assert "\n" not in str(caught.value)


def test_parse_polygon():
    assert parse_polygon("1 2;3.5 4").tolist() == [[1, 2], [3.5, 4]]
    assert polygon_text(np.array([[1, 2], [3.25, 4000.5]])) == "1 2;3.25 4000.5"


@pytest.mark.parametrize(
    ("area", "x", "y", "words"),
    [
        (3, 5, 5, "outline of 3.0 px"),
        (60, 5, 5, "60% of the image"),
        (9, 10, 5, "outside its image"),
        (9, -0.1, 5, "outside its image"),
        (9, 5, -0.1, "outside its image"),
        (9, 5, 10, "outside its image"),
    ],
)
def test_extent_limits(area, x, y, words):
    with pytest.raises(InputError, match=words):
        check_extent(area, (x - 1, y - 2, x + 1, y + 2), 10, 10, "lesion A")


def test_extents_at_the_limits_and_where_no_size_is_stated():
    check_extent(50, (8.9, -1, 10.9, 1), 10, 10, "lesion A")
    check_extent(4, (14, 4, 16, 6), 10, 20, "lesion A")
    check_extent(9000, (450, 450, 550, 550), 0, 0, "lesion A")


# ------------------------------------------------------------------ masks of several lesions
def two_lesions_and_a_speck() -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[5:15, 5:25] = True  # 200 px
    mask[20:32, 30:40] = True  # 120 px
    mask[1:4, 50:54] = True  # 12 px
    return mask


def test_parts_of_a_mask_are_lesions_and_small_ones_specks():
    """Trap: connected parts are not lesions, an enlarged mask has specks around their rims."""
    mask = two_lesions_and_a_speck()
    assert [lesion.box for lesion in separated(mask)] == [(5, 5, 15, 25), (20, 30, 32, 40)]
    assert [lesion.area_px for lesion in separated(mask, 12)] == [200, 120, 12]
    assert [lesion.area_px for lesion in separated(mask, 121)] == [200]
    assert separated(np.zeros((5, 5), bool)) == []


def test_parts_that_touch_at_a_corner_are_two():
    assert [lesion.area_px for lesion in separated(np.eye(2, dtype=bool), 1)] == [1, 1]


REAL_MASKS = {  # file: 4-connected parts, area and box of the lesion
    "0_R-CC_benign": (65, 20041, (1788, 365, 1948, 534)),
    "0_R-MLO_benign": (71, 24685, (1769, 458, 1959, 644)),
    "1_R-CC_malignant": (76, 49395, (1183, 213, 1490, 430)),
    "1_R-MLO_malignant": (75, 48488, (552, 415, 855, 620)),
    "2_R-CC_benign": (64, 41417, (1103, 987, 1328, 1221)),
    "2_R-MLO_benign": (82, 53482, (1133, 1083, 1395, 1358)),
    "3_L-CC_malignant": (115, 96766, (1862, 316, 2243, 668)),
    "3_L-MLO_malignant": (115, 118295, (1175, 5, 1568, 394)),
}


@pytest.mark.parametrize("name", REAL_MASKS)
def test_each_real_mask_holds_one_lesion(real_data, name):
    """Trap: 64 to 115 connected parts in each of the released masks, and one lesion."""
    mask = read_mask(real_data("nyu_samples") / f"gmic/{name}.png")
    parts, area, box = REAL_MASKS[name]
    (lesion,) = separated(mask)
    assert (lesion.area_px, lesion.box) == (area, box)
    assert len(separated(mask, 1)) == parts
    again = rasterise("polygon", {"polygon": polygon_text(border(lesion))}, mask.shape)
    assert again.box == box and (again.mask == lesion.mask).all()


def test_border_of_a_square_and_of_an_l():
    assert sorted(map(tuple, border(Outline(2, 3, np.ones((1, 1), bool))))) == [
        (3, 2), (3, 3), (4, 2), (4, 3)]  # fmt: skip
    corner = Outline(0, 0, np.array([[1, 0], [1, 1]], bool))
    assert polygon_text(border(corner)).count(";") == 5  # six corners


def test_border_gives_every_pixel_back_and_fills_holes():
    generator = np.random.default_rng(0)
    for _ in range(25):
        noise = ndimage.gaussian_filter(generator.random((24, 31)), generator.uniform(0.3, 2))
        for outline in separated(noise > np.median(noise), 1):
            shape = {"polygon": polygon_text(border(outline))}
            again = rasterise("polygon", shape, noise.shape)
            assert again.box == outline.box
            assert (again.mask == ndimage.binary_fill_holes(outline.mask)).all()
