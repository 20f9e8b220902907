"""Greedy choice of crops: hand-computed, against exact fractions, at the borders."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from lesionlib.models.gmic._crops import box_size, greedy_boxes, take_crops, to_pixels


def maps(*rows_of_classes):
    return torch.tensor([rows_of_classes], dtype=torch.float32)


def test_by_hand():
    """Box 1 x 2: the best pair is taken, erased, and so on until nothing is left."""
    benign = [[4.0, 2.0, 0.0, 1.0]]
    malignant = [[0.0, 0.1, 0.0, 0.1]]
    # stretched and added: 1, 1.5, 0, 1.25
    # means of pairs: 1.25, .75, .625; then 0, 0, .625; then all 0, the first place again
    found = greedy_boxes(maps(benign, malignant), (1, 2), 4)
    assert found.tolist() == [[[0, 0], [0, 2], [0, 0], [0, 0]]]


def test_a_class_counts_by_its_own_range():
    """A faint malignant map weighs as much as a strong benign one."""
    benign = [[0.9, 0.8], [0.5, 0.5]]  # 1, .75, 0, 0
    malignant = [[0.01, 0.01], [0.01, 0.02]]  # 0, 0, 0, 1
    found = greedy_boxes(maps(benign, malignant), (1, 1), 3)
    assert found.tolist() == [[[0, 0], [1, 1], [0, 1]]]  # a tie: the first in reading order


def test_later_boxes_may_overlap_earlier_ones():
    row = [[0.0, 3.0, 4.0, 3.0, 0.0, 0.0, 0.0]]
    found = greedy_boxes(maps(row, row), (1, 3), 2)
    assert found.tolist() == [[[0, 1], [0, 0]]]
    row = [[0.0, 0.0, 4.0, 4.0, 3.0, 0.0, 0.0]]
    assert greedy_boxes(maps(row, row), (1, 2), 2).tolist() == [[[0, 2], [0, 3]]]


def exact_boxes(levels, box, count):
    """The rule in exact fractions, one position after the other; levels (2, h, w) integers."""
    stretched = [[Fraction(int(v) - int(m.min()), int(np.ptp(m))) for v in m.flat] for m in levels]
    shape = levels.shape[1:]
    total = np.array([a + b for a, b in zip(*stretched, strict=True)], object).reshape(shape)
    found = []
    for _ in range(count):
        best, place = Fraction(-1), None
        for row in range(shape[0] - box[0] + 1):
            for col in range(shape[1] - box[1] + 1):
                value = total[row : row + box[0], col : col + box[1]].sum()
                if value > best:
                    best, place = value, (row, col)
        total[place[0] : place[0] + box[0], place[1] : place[1] + box[1]] = Fraction(0)
        found.append(list(place))
    return found


@pytest.mark.parametrize(
    ("shape", "box", "top"), [((46, 30), (4, 4), 4), ((16, 11), (4, 4), 2), ((10, 9), (4, 4), 1)]
)
def test_against_exact_fractions_with_many_ties(shape, box, top):
    """Levels 0..top with top a power of two: float32 holds every sum exactly, ties stay ties."""
    levels = np.random.default_rng(5).integers(0, top + 1, (3, 2, *shape))
    levels[:, :, 0, 0], levels[:, :, -1, -1] = 0, top
    expected = [exact_boxes(image, box, 6) for image in levels]
    assert greedy_boxes(torch.from_numpy(levels / top).float(), box, 6).tolist() == expected


def test_images_of_a_batch_are_independent():
    saliency = torch.rand(4, 2, 12, 9, generator=torch.Generator().manual_seed(1))
    together = greedy_boxes(saliency, (3, 2), 6)
    alone = torch.cat([greedy_boxes(one[None], (3, 2), 6) for one in saliency])
    assert torch.equal(together, alone)


def test_constant_maps_repeat_the_first_place():
    assert greedy_boxes(torch.full((1, 2, 5, 4), 0.5), (2, 2), 3).tolist() == [[[0, 0]] * 3]


def test_one_constant_map_leaves_the_choice_to_the_other():
    other = torch.zeros(3, 3)
    other[2, 1] = 0.3
    saliency = torch.stack((torch.full((3, 3), 0.5), other))[None]
    assert greedy_boxes(saliency, (1, 1), 1).tolist() == [[[2, 1]]]


def test_box_size():
    assert box_size((46, 30), (2944, 1920), 256) == (4, 4)
    assert box_size((10, 10), (1024, 1024), 256) == (2, 2)  # 2.5 -> 2, half to even
    assert box_size((14, 14), (1024, 1024), 256) == (4, 4)  # 3.5 -> 4
    assert box_size((3, 5), (96, 2000), 256) == (3, 1)  # between 1 and the map


def test_to_pixels_rounds_half_to_even():
    cells = torch.tensor([[[1, 0], [3, 1], [5, 2], [14, 10]]])
    pixels = to_pixels(cells, (16, 11), (1000, 700))  # 62.5 px and 63.64 px a cell
    assert pixels.dtype == torch.float64
    assert pixels.tolist() == [[[62, 0], [188, 64], [312, 127], [875, 636]]]


IMAGE = torch.arange(12.0).reshape(1, 1, 3, 4) + 5  # 5..8 / 9..12 / 13..16


def test_crop_inside():
    assert take_crops(IMAGE, torch.tensor([[[1.0, 2.0]]]), 2).tolist() == [[[[11, 12], [15, 16]]]]


def test_overhanging_crop_is_filled_at_the_top_and_left():
    """At (2, 3) only pixel 16 is inside: it moves to the lower-right corner, 5 is the minimum."""
    assert take_crops(IMAGE, torch.tensor([[[2.0, 3.0]]]), 2).tolist() == [[[[5, 5], [5, 16]]]]
    assert take_crops(IMAGE, torch.tensor([[[2.0, 1.0]]]), 2).tolist() == [[[[5, 5], [14, 15]]]]
    assert take_crops(IMAGE, torch.tensor([[[0.0, 3.0]]]), 2).tolist() == [[[[5, 8], [5, 12]]]]


def test_crop_larger_than_the_image():
    crop = take_crops(IMAGE, torch.tensor([[[0.0, 0.0]]]), 5)[0, 0]
    assert crop[:2].eq(5).all() and crop[:, 0].eq(5).all()
    assert torch.equal(crop[2:, 1:], IMAGE[0, 0])


def test_each_image_is_filled_with_its_own_minimum():
    images = torch.cat((IMAGE, IMAGE + 100))
    corner = torch.tensor([[[2.0, 3.0]], [[2.0, 3.0]]])
    assert take_crops(images, corner, 2)[:, 0, 0, 0].tolist() == [5, 105]
