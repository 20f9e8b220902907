"""Scores of windows and lesions, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lesionlib.errors import InputError
from lesionlib.outlines import Outline
from lesionlib.scoring import (
    PREDICTION_COLUMNS,
    known_lesions,
    lesion_predictions,
    lesion_scores,
    truth_of,
    window_scores,
)
from lesionlib.store import ArrayStore


def test_window_score_by_hand():
    """Softmax of log(1, 3, 4, 2) is .1, .3, .4, .2; .1 / (.1 + .3) = .25."""
    logits = np.log([[1.0, 3.0, 4.0, 2.0], [2.0, 2.0, 90.0, 0.1]])
    np.testing.assert_allclose(window_scores(logits), [0.25, 0.5], rtol=1e-12)


def test_window_score_is_the_ratio_of_the_softmax():
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 3, (50, 4)))
    m, b = torch.softmax(logits, dim=1).T[:2]
    np.testing.assert_allclose(window_scores(logits), (m / (m + b)).numpy(), rtol=1e-12)


def test_window_score_neither_overflows_nor_divides_by_zero():
    """A softmax in float32 would give 0 / 0 in the second row."""
    logits = np.array([[1000, -1000, 0, 0], [-500, -500, 900, 0], [-1000, 0, 0, 0]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(window_scores(logits), [1.0, 0.5, 0.0])


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 4, 1)])
def test_logits_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match="logits of shape"):
        window_scores(np.zeros(shape))


def test_lesion_score_is_the_mean_over_its_windows_in_the_order_asked_for():
    scores, lesion = [0.1, 0.2, 0.6, 0.9, 0.4], [7, 3, 7, 5, 3]
    np.testing.assert_allclose(lesion_scores(scores, lesion, [3, 7]), [0.3, 0.35])
    np.testing.assert_allclose(lesion_scores(scores, lesion, [7, 5, 3]), [0.35, 0.9, 0.3])


@pytest.mark.parametrize(
    "scores, lesions, message",
    [
        ([0.1, 0.2, 0.3], [0, 1, 2], "1 of 3 lesions have no window, first 2"),
        ([0.1, np.nan, 0.3], [0, 1], "1 of 3 window scores are not finite"),
        ([0.1, 0.2], [0, 1], "scores for"),
        ([0.1, 0.2, 0.3], [0, 0], "lesion 0 is asked for twice"),
    ],
)
def test_lesions_that_cannot_be_scored_are_refused(scores, lesions, message):
    with pytest.raises(InputError, match=message):
        lesion_scores(scores, [0, 0, 1], lesions)


@pytest.fixture
def small_store():
    images = pd.DataFrame(
        {"patient_id": ["P1", "P2", "P3"], "split": ["validation", "test", "test"]}
    )
    kinds = ["malignant", "benign", "benign", "unknown"]
    lesions = {"lesion_id": list("abcd"), "image": [0, 0, 1, 2], "pathology": kinds}
    outlines = [Outline(0, 0, np.ones((2, 2), bool))] * 4
    return ArrayStore(np.ones((3, 8, 8), np.uint8), images, pd.DataFrame(lesions), outlines)


def test_truth_is_decided_once(small_store):
    assert truth_of(small_store.lesions).tolist() == [1, 0, 0, -1]
    assert known_lesions(small_store, "test", "validation").tolist() == [0, 1, 2]
    assert known_lesions(small_store, "test").tolist() == [2]


def test_prediction_rows(small_store):
    windows = pd.DataFrame({"lesion": [2, 0, 2, 0]})
    rows = lesion_predictions(small_store, windows, [0.2, 0.5, 0.4, 0.9], model="E+S", run=1)
    assert tuple(rows) == PREDICTION_COLUMNS
    assert rows.values.tolist() == [
        ["a", "P1", "validation", 1, "E+S", 1, pytest.approx(0.7)],
        ["c", "P2", "test", 0, "E+S", 1, pytest.approx(0.3)],
    ]


def test_prediction_rows_refuse_unknown_lesions_and_other_windows(small_store):
    for lesion, message in (
        (3, "no known pathology, first d"),
        (-1, "1 of 1 windows show no lesion"),
    ):
        windows = pd.DataFrame({"lesion": [lesion]})
        with pytest.raises(InputError, match=message):
            lesion_predictions(small_store, windows, [0.5], model="f_loc", run=0)
