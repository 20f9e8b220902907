"""Spread of runs against simulation."""

import numpy as np
import pytest

from lesionlib.errors import InputError
from study.statistics.training_variance import compared, pooled_sd, variance_share


def test_pairs_by_hand():
    found = pooled_sd([(0.1, 0.3), (0.5, 0.5), (0.9,)])
    assert found["value"] == pytest.approx(np.sqrt((0.02 + 0) / 2))
    assert (found["df"], found["runs"], found["groups"]) == (2, 4, 2)
    with pytest.raises(InputError, match="two runs"):
        pooled_sd([(0.1,), (0.2,)])


def test_intervals_hold_the_truth_in_95_of_100():
    rng, held = np.random.default_rng(0), []
    for _ in range(2000):
        whole = pooled_sd(rng.normal(size=(5, 2)) + rng.normal(size=(5, 1)))
        part = pooled_sd([0.5 * rng.normal(size=3)])
        ratio = variance_share(part, whole)
        held.append((whole["low"] < 1 < whole["high"], ratio["low"] < 0.25 < ratio["high"]))
    assert np.mean(held, axis=0) == pytest.approx([0.95, 0.95], abs=0.015)


def test_a_part_is_compared_where_it_has_runs():
    whole = {"a": [(0.1, 0.3), (0.2, 0.3)], "b": [(0.1, 0.2)]}
    table = compared(whole, {"a": [(0.1, 0.2, 0.3)], "b": [(0.5,)]})
    assert table.at["a", "sd_part"] == pytest.approx(0.1)
    assert table.at["a", "share"] == pytest.approx(0.01 / table.at["a", "sd_all"] ** 2)
    assert np.isnan(table.at["b", "share"]) and table.at["b", "sd_all"] > 0
