"""Reliability and decision curves: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest

from lesionlib.errors import InputError
from study import plots
from study.plots import style


def test_reliability_draws_bins_with_their_intervals_and_the_line_of_equality():
    frame = pd.DataFrame({"model": ["E"] * 2 + ["E, Platt"], "score": [0.2, 0.6, 0.4]})
    frame = frame.assign(value=[0.1, 0.7, 0.5], low=[0.0, 0.6, 0.3], high=0.8, lesions=9)
    ax = plots.reliability(frame)
    assert ax.lines[0].get_xydata().tolist() == [[0, 0], [1, 1]]
    first, second = ax.containers
    assert first.lines[0].get_xydata().tolist() == [[0.2, 0.1], [0.6, 0.7]]
    np.testing.assert_allclose(first.lines[2][0].get_segments()[0], [[0.2, 0.0], [0.2, 0.8]])
    looks = [(c.lines[0].get_color(), c.lines[0].get_marker()) for c in (first, second)]
    assert looks[0][0] != looks[1][0] and looks[0][1] != looks[1][1]
    with pytest.raises(InputError, match="no column lesions"):
        plots.reliability(frame.drop(columns="lesions"))


def test_decision_curves_are_of_100_lesions_with_bands_of_models_alone():
    names, at = ["E+S", "biopsy all", "biopsy none"], [0.1, 0.2]
    frame = pd.DataFrame({"model": np.repeat(names, 2), "threshold": at * 3})
    frame["value"] = [0.15, 0.12, 0.14, 0.04, 0, 0]
    frame = frame.assign(low=frame["value"] - 0.01, high=frame["value"] + 0.01)
    ax = plots.decision_curves(frame)
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["E+S"], [15, 12])
    np.testing.assert_allclose(drawn["biopsy all"], [14, 4])
    assert len(ax.collections) == 1 and ax.lines[0].get_color() == style.line("E+S").colour
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [10, 20])
