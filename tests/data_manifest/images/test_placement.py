"""Placement: pixels, points and outlines go by one and the same map."""

import numpy as np
import pytest

from data_manifest.images.placement import Placement, place_on_canvas
from data_manifest.shapes import rasterise
from lesionlib.outlines import Outline

BREAST = np.zeros((40, 30), bool)
BREAST[10:30, :12] = True


def place(mask=BREAST, side="left", rows=64, cols=32, **more):
    return place_on_canvas(mask, side, rows=rows, cols=cols, **{"buffer": 3, **more})


def test_the_breast_is_centred_at_the_left_edge_with_its_buffer():
    placed = place()
    assert (placed.row0, placed.row1, placed.col0, placed.col1) == (7, 33, 0, 15)
    pixels = np.arange(1200, dtype=np.uint16).reshape(40, 30) + 1
    canvas = placed.apply(pixels)
    assert canvas.shape == (64, 32) and canvas.dtype == np.uint16
    rows, cols = np.nonzero(canvas)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (19, 44, 0, 14)
    assert np.array_equal(canvas[19:45, :15], pixels[7:33, :15])


def test_a_mirrored_image_gives_the_same_canvas():
    pixels = np.random.default_rng(0).integers(1, 255, (40, 30)).astype(np.uint8)
    mirrored = place(BREAST[:, ::-1], "right").apply(pixels[:, ::-1])
    assert np.array_equal(mirrored, place().apply(pixels))


def test_a_breast_larger_than_the_canvas_is_cut_alike_above_and_below():
    placed = place(rows=10, cols=8, buffer=0)
    pixels = np.repeat(np.arange(40, dtype=np.uint8)[:, None], 30, axis=1)
    canvas = placed.apply(pixels)
    assert canvas[:, 0].tolist() == list(range(15, 25)) and canvas.shape == (10, 8)


def test_an_image_of_the_canvas_size_stays_where_it_is():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 30)).astype(np.uint8)
    off_centre = np.roll(BREAST, 5, axis=0)
    assert np.array_equal(place(off_centre, rows=40, cols=30).apply(pixels), pixels)
    moved = place(off_centre, rows=40, cols=30, keep_whole=False)
    assert moved.top - moved.row0 == -5


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37, 1.6])
@pytest.mark.parametrize("side", ["left", "right"])
def test_points_go_there_and_back(scale, side):
    mask = BREAST if side == "left" else BREAST[:, ::-1]
    placed = place(mask, side, scale=scale)
    points = np.random.default_rng(1).uniform(0, 40, (50, 2))
    np.testing.assert_allclose(placed.to_source(placed.to_canvas(points)), points, atol=1e-12)
    np.testing.assert_allclose(placed.to_canvas(placed.to_source(points)), points, atol=1e-12)
    assert placed.to_canvas(points[0]).shape == (2,)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_pixel_lies_where_its_centre_is_mapped(scale, side):
    mask = BREAST if side == "left" else BREAST[:, ::-1]
    placed = place(mask, side, scale=scale)
    pixels = np.zeros((40, 30), np.uint16)
    row, col = 20, (5 if side == "left" else 24)
    pixels[row, col] = 50000
    canvas = placed.apply(pixels).astype(float)
    where = np.argwhere(canvas > 0) + 0.5
    weights = canvas[canvas > 0]
    centre = (where * weights[:, None]).sum(axis=0) / weights.sum()
    expected = placed.to_canvas(np.array([row + 0.5, col + 0.5]))
    assert np.abs(centre - expected).max() < 0.5
    assert weights.sum() == pytest.approx(50000 * scale**2, rel=0.001)


def test_half_scale_is_the_mean_of_four():
    mask = np.ones((8, 8), bool)
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 4
    canvas = place_on_canvas(mask, "left", rows=4, cols=4, scale=0.5, buffer=0).apply(pixels)
    assert np.array_equal(canvas, pixels.reshape(4, 2, 4, 2).mean(axis=(1, 3)))


def test_any_scale_keeps_a_constant_and_the_total():
    mask = np.ones((50, 40), bool)
    placed = place_on_canvas(mask, "left", rows=40, cols=40, scale=0.37, buffer=0)
    flat = placed.apply(np.full((50, 40), 1000, np.uint16)).astype(float)
    inside = flat[np.ix_(range(12, 28), range(0, 14))]
    assert (inside == 1000).all()
    assert flat.sum() == pytest.approx(1000 * 50 * 40 * 0.37**2, rel=0.001)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37])
@pytest.mark.parametrize("side", ["left", "right"])
def test_an_outline_goes_where_its_mask_goes(scale, side):
    mask = BREAST if side == "left" else BREAST[:, ::-1]
    placed = place(mask, side, scale=scale)
    outline = rasterise("circle", {"cx": 14.2, "cy": 19.7, "r": 6.3}, (40, 30))
    moved = placed.apply_outline(outline)
    # the crop ends 3 px beyond the breast; an outline may go on
    whole = Placement(
        40, 30, placed.flipped, 0, 0, 40, 30, round(placed.top - placed.row0 * scale), scale, 64, 32
    )
    if scale == 1:
        assert np.array_equal(moved.on((64, 32)), whole.apply_mask(outline.on((40, 30))))
    centre = moved.pixels.mean(axis=0) + 0.5
    expected = placed.to_canvas(outline.pixels.mean(axis=0) + 0.5)
    assert np.abs(centre - expected).max() < 0.5
    assert moved.area_px == pytest.approx(outline.area_px * scale**2, rel=0.25)


def test_an_outline_smaller_than_a_canvas_pixel_keeps_one():
    placed = place_on_canvas(np.ones((64, 64), bool), "left", rows=8, cols=8, scale=0.125)
    tiny = placed.apply_outline(Outline(9, 10, np.ones((2, 2), bool)))
    assert tiny.box == (1, 1, 2, 2) and tiny.area_px == 1


def test_an_outline_off_the_canvas_is_empty_and_one_at_its_edge_is_cut():
    placed = place(rows=10, cols=8, buffer=0)  # shows source rows 15..25, columns 0..8
    assert placed.apply_outline(Outline(0, 0, np.ones((3, 3), bool))).area_px == 0
    assert placed.apply_outline(Outline(20, 12, np.ones((3, 3), bool))).area_px == 0
    cut = placed.apply_outline(Outline(13, 6, np.ones((4, 4), bool)))
    assert cut.box == (0, 6, 2, 8)
