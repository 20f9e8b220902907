"""One geometry for windows: hand-computable cases, and areas against plain polygon clipping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionlib.errors import InputError
from lesionlib.outlines import Outline
from lesionlib.windows import (
    CELL_SHIFTS,
    CLASSES,
    COLUMNS,
    check_windows,
    corners,
    inside_area,
    location_maps,
    points_inside,
    to_canvas,
    window_affine,
    window_table,
)


def one(row, col, side, angle=0.0):
    return window_table(image=0, row=row, col=col, side=side, angle=angle)


def many(n, *, seed=0, rows=576, cols=384, sides=(24, 72), angle=30):
    g = np.random.default_rng(seed)
    place = dict(row=g.uniform(0, rows, n), col=g.uniform(0, cols, n))
    return window_table(
        image=0, **place, side=g.uniform(*sides, n), angle=g.uniform(-angle, angle, n)
    )


def clipped_area(polygon, row0, row1, col0, col1):
    """Area of a polygon [(row, col)] inside a box, by cutting it with one side after another."""
    for axis, bound, keep in ((0, row0, 1), (0, row1, -1), (1, col0, 1), (1, col1, -1)):
        cut = []
        for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            in_a, in_b = keep * (a[axis] - bound) >= 0, keep * (b[axis] - bound) >= 0
            if in_a != in_b:
                t = (bound - a[axis]) / (b[axis] - a[axis])
                crossing = (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]))
            cut += [a] if in_a else []
            cut += [crossing] if in_a != in_b else []
        polygon = cut
        if not polygon:
            return 0.0
    r, c = np.array(polygon).T
    return abs(np.dot(r, np.roll(c, -1)) - np.dot(c, np.roll(r, -1))) / 2


def reference_map(windows, shape, cell):
    polygon = [tuple(p) for p in corners(windows)[0].tolist()]
    return np.array(
        [
            [clipped_area(polygon, i * cell, (i + 1) * cell, j * cell, (j + 1) * cell) / cell**2
             for j in range(shape[1])]
            for i in range(shape[0])
        ]
    )  # fmt: skip


# ------------------------------------------------------------------ table
def test_table_has_the_agreed_columns_and_types():
    table = window_table(image=[3, 4], row=1, col=2.5, side=48, label=[0, 1], lesion=[7, 8])
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == COLUMNS
    assert table.row.tolist() == [1.0, 1.0] and table.angle.tolist() == [0.0, 0.0]
    assert CLASSES == ("malignant", "benign", "outside", "negative")


@pytest.mark.parametrize(
    "fault, named",
    [
        (dict(side=0), "side 0.0"),
        (dict(row=np.nan), "row nan"),
        (dict(angle=np.inf), "angle inf"),
        (dict(label=4), "label 4"),
        (dict(image=-1), "image -1"),
    ],
)
def test_a_wrong_window_is_named(fault, named):
    columns = dict(image=0, row=5, col=5, side=3, angle=0, label=2) | fault
    with pytest.raises(InputError, match=named):
        window_table(**columns)


def test_an_image_that_the_store_lacks_and_a_missing_column_are_named():
    table = window_table(image=[0, 2], row=5, col=5, side=3)
    with pytest.raises(InputError, match="window 1 has image 2"):
        check_windows(table, images=2)
    with pytest.raises(InputError, match="no column angle"):
        check_windows(table.drop(columns="angle"))


# ------------------------------------------------------------------ affine maps
def test_affine_of_an_upright_window():
    # a 20 px window centred on (row 30, col 50) as a 10 px patch: 2 canvas px a patch px
    affine = window_affine(one(30, 50, 20), 10)[0]
    assert (affine @ (0, 0, 1)).tolist() == [40, 20]
    assert (affine @ (5, 2, 1)).tolist() == [50, 24]


def test_a_quarter_turn_is_anticlockwise_as_displayed():
    # the patch's right points up, its upper left corner lies lower left on the canvas
    turned = corners(one(30, 50, 20, 90))[0]
    np.testing.assert_allclose(turned, [(40, 40), (20, 40), (20, 60), (40, 60)], atol=1e-12)


def test_affine_is_the_written_rule():
    a, patch, side, row, col = np.deg2rad(23.0), 48, 61.7, 100.25, 80.5
    affine = window_affine(one(row, col, side, 23.0), patch)[0]
    for u, v in ((0.5, 0.5), (47.5, 10.0), (24, 24)):
        k = side / patch
        x = col + k * ((u - patch / 2) * np.cos(a) + (v - patch / 2) * np.sin(a))
        y = row + k * (-(u - patch / 2) * np.sin(a) + (v - patch / 2) * np.cos(a))
        np.testing.assert_allclose(affine @ (u, v, 1), (x, y), rtol=1e-13)


numbers = st.floats(-500, 3000, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(numbers, numbers, st.floats(1, 400), st.floats(-180, 180), st.integers(1, 256))
def test_affines_corners_and_offsets_agree(row, col, side, angle, patch):
    window = one(row, col, side, angle)
    points = corners(window)[0]
    square = patch * np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    on_canvas = (window_affine(window, patch)[0] @ np.c_[square, np.ones(4)].T).T[:, ::-1]
    np.testing.assert_allclose(on_canvas, points, atol=1e-8)
    offsets = side / 2 * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    np.testing.assert_allclose(to_canvas(window, offsets)[0], points, atol=1e-8)
    inside = to_canvas(window, 0.999 * offsets)[0], to_canvas(window, 1.001 * offsets)[0]
    assert points_inside(window, inside[0]).all() and not points_inside(window, inside[1]).any()


# ------------------------------------------------------------------ points and outlines
def test_upper_and_left_side_belong_to_a_window():
    points = np.array([(0, 0), (0, 4), (4, 0), (3.9, 3.9), (-0.1, 1)], dtype=float)
    assert points_inside(one(2, 2, 4), points)[0].tolist() == [True, False, False, True, False]


def test_a_turned_window_leaves_the_corners_and_gains_the_middle():
    points = np.array([(10 - 6.5, 10), (10 - 4.5, 10 - 4.5)])  # beyond a side, near a corner
    assert points_inside(one(10, 10, 10), points)[0].tolist() == [False, True]
    assert points_inside(one(10, 10, 10, 45), points)[0].tolist() == [True, False]


def test_a_single_row_gives_a_plain_array():
    table = window_table(image=0, row=[2, 20], col=2, side=4)
    point = np.array([(1.5, 1.5)])
    assert points_inside(table, point).tolist() == [[True], [False]]
    assert points_inside(table.iloc[0], point).tolist() == [True]
    assert corners(table.iloc[1]).shape == (4, 2)
    assert window_affine(table.iloc[1], 4).shape == (2, 3)
    assert inside_area(table.iloc[0], (2, 100)) == pytest.approx(8)


def test_overlap_counts_outline_pixels():
    outline = Outline(row0=10, col0=20, mask=np.ones((3, 3), bool))
    assert outline.centres[0].tolist() == [10.5, 20.5]
    # columns 20 and 21 of the three
    assert points_inside(one(11.5, 17, 10), outline.centres).sum(axis=-1).tolist() == [6]
    assert points_inside(one(11.5, 15, 10), outline.centres).sum(axis=-1).tolist() == [0]


def test_overlap_of_a_diamond():
    # turned by 45 degrees, a window with a half diagonal of 5 holds |row| + |col| < 5
    outline = Outline(row0=0, col0=0, mask=np.ones((20, 20), bool))
    steps = np.arange(20) + 0.5 - 10
    wanted = (np.abs(steps)[:, None] + np.abs(steps) < 5.1).sum()
    assert points_inside(one(10, 10, 5.1 * np.sqrt(2), 45), outline.centres).sum(
        axis=-1
    ).tolist() == [wanted]


# ------------------------------------------------------------------ areas
def test_inside_area_at_edge_corner_and_beyond():
    table = window_table(image=0, row=[50, 0, 0, -20], col=[50, 50, 0, 50], side=20)
    np.testing.assert_allclose(inside_area(table, (100, 80)), [400, 200, 100, 0], rtol=1e-12)
    # half a diamond
    assert inside_area(one(0, 50, 20, 45), (100, 80))[0] == pytest.approx(200, rel=1e-12)


def test_location_map_of_upright_windows_by_hand():
    # 64 px window centred on the corner of four cells; and one inside a cell
    maps = location_maps(window_table(image=0, row=[64, 96], col=[128, 96], side=[64, 32]), (3, 4))
    assert maps.dtype == np.float32 and maps.shape == (2, 3, 4)
    np.testing.assert_array_equal(maps[0], [[0, 0.25, 0.25, 0], [0, 0.25, 0.25, 0], [0] * 4])
    np.testing.assert_array_equal(maps[1], [[0] * 4, [0, 0.25, 0, 0], [0] * 4])


def test_location_map_of_a_diamond_by_hand():
    # half diagonal 64 around the middle of a 3 x 3 grid's centre cell: 64^2 * 2 px in all; each
    # tip beyond the centre cell is a triangle of height 32, and the centre cell is full
    map_ = location_maps(one(96, 96, 64 * np.sqrt(2), 45), (3, 3))[0]
    tip = 32 * 32 / 64**2
    np.testing.assert_allclose(map_, [[0, tip, 0], [tip, 1, tip], [0, tip, 0]], atol=1e-7)


def test_quarter_turns_are_the_upright_window():
    upright = location_maps(one(100, 130, 75.5), (4, 4))
    for angle in (90, -90, 180, 270, 1e-12, -1e-12):
        np.testing.assert_allclose(location_maps(one(100, 130, 75.5, angle), (4, 4)), upright)


@settings(max_examples=80, deadline=None)
@given(
    st.floats(-30, 290), st.floats(-30, 220), st.floats(0.5, 330), st.floats(-180, 180),
    st.sampled_from([16, 40, 64]),
)  # fmt: skip
def test_location_maps_are_the_clipped_areas(row, col, side, angle, cell):
    window, shape = one(row, col, side, angle), (256 // cell, 192 // cell)
    found, wanted = location_maps(window, shape, cell)[0], reference_map(window, shape, cell)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)
    canvas = (shape[0] * cell, shape[1] * cell)
    assert inside_area(window, canvas)[0] == pytest.approx(wanted.sum() * cell**2, abs=1e-6)


def test_sums_of_many_maps_are_the_areas_inside_and_the_rest_is_exactly_zero():
    windows = many(6000)  # more than one chunk
    maps = location_maps(windows, (9, 6)).astype(float)
    np.testing.assert_allclose(
        maps.sum(axis=(1, 2)) * 64**2, inside_area(windows, (576, 384)), rtol=1e-6
    )
    low, high = corners(windows).min(axis=1), corners(windows).max(axis=1)
    start = np.stack(np.meshgrid(np.arange(9), np.arange(6), indexing="ij"), axis=-1) * 64.0
    apart = (low[:, None, None] >= start + 64) | (high[:, None, None] <= start)
    assert (maps[apart.any(axis=-1)] == 0).all()
    # cells in the box that a turned window's sides pass by: zero too, not 1e-17
    for k in range(40):
        wanted = reference_map(windows.iloc[[k]], (9, 6), 64)
        np.testing.assert_array_equal(maps[k] > 0, wanted > 0)


def test_the_chunk_does_not_change_a_map():
    windows = many(5000)
    whole = location_maps(windows, (9, 6))
    np.testing.assert_array_equal(whole[4990:], location_maps(windows[4990:], (9, 6)))


def test_a_shifted_grid_is_a_window_moved_the_other_way():
    windows = many(50)
    moved = windows.assign(row=windows.row + 30, col=windows.col - 7)
    np.testing.assert_allclose(
        location_maps(windows, (9, 6), shift=(-30, 7)), location_maps(moved, (9, 6)), atol=1e-7
    )


def test_the_true_centres_are_those_of_gmics_layers():
    """Where cell (0, 0) looks, layer by layer: pixel 0's centre, moved by kernels and paddings."""
    from lesionlib.models import GMIC

    network = GMIC(width=1).global_network
    blocks = [block for stage in network.stages for block in stage]
    layers = [network.stem, network.pool, *(c for b in blocks for c in (b.conv1, b.conv2))]
    looks, step = 0.5, 1
    for layer in layers:
        kernel, stride, padding = (_single(getattr(layer, n)) for n in KERNEL)
        looks += ((kernel - 1) / 2 - padding) * step
        step *= stride
    assert (looks, step) == (2.5, 64)
    assert CELL_SHIFTS["true_centre"] == (looks - step / 2, looks - step / 2)
    assert CELL_SHIFTS["nominal"] == (0, 0)


KERNEL = ("kernel_size", "stride", "padding")


def _single(value) -> int:
    return value if isinstance(value, int) else value[0]


def test_maps_on_the_true_centres_by_hand():
    """A window on the square of cell (1, 1): the moved cell covers 34.5 of its 64 px each way."""
    square = window_table(image=0, row=96, col=96, side=64)
    shift = CELL_SHIFTS["true_centre"]
    moved = location_maps(square, (3, 3), shift=shift)[0] * 64**2
    near, far = 34.5, 29.5
    expected = np.zeros((3, 3))
    expected[1:, 1:] = [[near * near, near * far], [far * near, far * far]]
    np.testing.assert_allclose(moved, expected, atol=1e-3)


def test_no_windows_no_maps():
    none = many(1)[:0]
    assert location_maps(none, (9, 6)).shape == (0, 9, 6)
    assert corners(none).shape == (0, 4, 2) and inside_area(none, (9, 6)).shape == (0,)
