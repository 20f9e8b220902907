"""Outlines: a mask and its place."""

import numpy as np

from lesionlib.outlines import Outline, outline_of


def test_outline_on_a_canvas_is_cut_and_its_pixels_are_named():
    outline = Outline(-1, 8, np.ones((3, 4), bool))
    full = outline.on((10, 10))
    assert full.sum() == 2 * 2 and full[:2, 8:].all()
    assert Outline(3, 5, np.array([[0, 1]], bool)).pixels.tolist() == [[3, 6]]
    for place in ((-9, 2), (2, -9), (12, 2), (2, 12), (-9, -9)):
        assert not Outline(*place, np.ones((3, 4), bool)).on((10, 10)).any()


def test_outline_of_cuts_the_empty_margin():
    mask = np.zeros((6, 7), bool)
    mask[2:4, 3] = True
    assert outline_of(mask, 10, 20).box == (12, 23, 14, 24)
    assert outline_of(np.zeros((3, 3), bool)).area_px == 0
