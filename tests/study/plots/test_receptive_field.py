"""The square, the look and the circle lie where they were given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Circle, Rectangle

from lesionlib.errors import InputError
from study import plots


def test_places_are_row_first():
    pull = np.zeros((200, 300))
    pull[100:120, 40:60] = 1
    ax = plots.receptive_field(pull, (110, 50), (96, 64), cell=32, radius=20)
    (square,) = [p for p in ax.patches if isinstance(p, Rectangle)]
    (circle,) = [p for p in ax.patches if isinstance(p, Circle)]
    assert square.get_xy() == (64, 96) and square.get_width() == 32
    assert circle.center == (50, 110) and circle.radius == 20
    assert ax.lines[0].get_xydata().tolist() == [[50, 110]]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # rows run downwards


def test_without_a_gradient_there_is_nothing_to_see():
    with pytest.raises(InputError, match="no gradient"):
        plots.receptive_field(np.zeros((5, 5)), (2, 2), (0, 0))
