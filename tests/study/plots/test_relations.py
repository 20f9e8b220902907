"""Histograms by kind and scatter by truth: what is drawn is what was given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lesionlib.errors import InputError
from study import plots
from study.plots import style


def test_each_kind_is_drawn_as_shares_of_its_own():
    values = {"benign": np.arange(10.0), "malignant": np.arange(40) / 4, "negative": np.zeros(0)}
    ax = plots.histograms(values, name="a number")
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["benign, n = 10", "malignant, n = 40"]  # what has no number is left out
    for patch in ax.patches:
        heights = patch.get_xy()[:, 1]
        assert heights.max() <= 0.11
    assert ax.get_xlabel() == "a number" and "images" in ax.get_ylabel()


def test_equal_numbers_can_be_drawn_and_none_cannot():
    assert plots.histograms({"benign": [0.3, 0.3]}, name="x").patches
    with pytest.raises(InputError, match="no number"):
        plots.histograms({"benign": []}, name="x")


@pytest.fixture
def frame():
    return pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [5.0, 6.0, 9.0]}, index=[7, 3, 1])


def test_the_truths_keep_their_points_and_colours(frame):
    ax = plots.by_truth(frame, "a", "b", malignant=[True, False, True])
    benign, malignant = ax.lines
    assert malignant.get_xydata().tolist() == [[0, 5], [2, 9]]
    assert benign.get_xydata().tolist() == [[1, 6]]
    assert malignant.get_color() == style.CLASS_COLOURS["malignant"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")


def test_the_diagonal_comes_with_one_scale(frame):
    ax = plots.by_truth(frame, "a", "b", malignant=frame["a"] > 0, names=("x", "y"), diagonal=True)
    assert ax.get_xlim() == ax.get_ylim()
    low, high = ax.get_xlim()
    assert low < 0 and high > 9
    assert ax.get_aspect() == 1
