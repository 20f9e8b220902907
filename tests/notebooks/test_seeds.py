"""The drawings of several phantoms, and of gains beside the best possible ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from notebooks.drawings import observers, seeds
from study.ideal_observers import MARGIN

OUTCOMES = {"I+S less S": "place", "E+S less E": "context"}
ENDS = ["low_95", "high_95", "low_90", "high_90"]


def told() -> pd.DataFrame:
    """Two phantoms, two controls and what they give together; the t interval is the wider one."""
    rows = []
    for kind, names in (
        ("evidence", ("seed11", "seed12")),
        ("control", ("control21", "control22")),
    ):
        for outcome in OUTCOMES:
            for k, name in enumerate([*(f"evidence_{n}" for n in names), "pooled"]):
                value = 0.01 * (k + 1) * (kind == "evidence")
                row = {"set": kind, "outcome": outcome, "experiment": name, "value": value}
                row |= dict(
                    zip(ENDS, (value - 0.02, value + 0.02, value - 0.01, value + 0.01), strict=True)
                )
                row |= {f"t_{end}": 1.5 * (row[end] - value) + value for end in ENDS}
                rows.append(row)
    return pd.DataFrame(rows)


def widths(ax) -> list[float]:
    """Width of every interval drawn, in the order of drawing."""
    return [np.ptp(path.vertices[:, 0]) for c in ax.collections for path in c.get_paths()]


def test_each_phantom_has_a_row_and_controls_are_held_against_the_margin():
    figure = seeds.forest(told(), OUTCOMES)
    first, second = figure.axes
    names = [t.get_text() for t in first.get_yticklabels()]
    assert names == [
        "phantom 11",
        "phantom 12",
        "2 phantoms",
        "control 21",
        "control 22",
        "2 controls",
    ]
    assert (first.get_title(), second.get_title()) == ("place", "context")
    assert first.get_xlim() == second.get_xlim()  # one scale
    found = widths(first)
    # two phantoms and both intervals of all: 95 %; of the controls together: 90 %
    known = [0.04, 0.04, 0.04, 0.06, 0.04, 0.04, 0.02, 0.03, 2 * MARGIN]
    assert found == pytest.approx(known)


def test_phantoms_without_controls_are_drawn_alone():
    alone = told().query("set == 'evidence'")
    names = [t.get_text() for t in seeds.forest(alone, OUTCOMES).axes[0].get_yticklabels()]
    assert names == ["phantom 11", "phantom 12", "2 phantoms"]


def test_a_table_has_every_phantom_and_both_intervals():
    found = told()
    found.loc[found["outcome"] == "E+S less E", ["low_95", "high_95"]] = np.nan
    table = seeds.beside(found, "evidence")
    assert list(table.index) == list(OUTCOMES)
    names = ["phantom 11", "phantom 12", "pooled", "95 %, bootstrap", "95 %, t"]
    assert list(table) == names
    assert table.loc["I+S less S"].tolist() == [
        ".010",
        ".020",
        ".030",
        ".010 to .050",
        ".000 to .060",
    ]
    assert table.at["E+S less E", "95 %, bootstrap"] == ""
    controls = seeds.beside(found, "control").loc["I+S less S"]
    assert controls[["control 21", "90 %, t"]].tolist() == [".000", "-.015 to .015"]


def gains() -> pd.DataFrame:
    frame = pd.DataFrame({"test": [0.02, 0.01], "validation": [0.0, 0.03]}, index=["A", "B"])
    for name in ("test", "validation"):
        frame[f"{name} low"], frame[f"{name} high"] = frame[name] - 0.01, frame[name] + 0.02
    return frame.assign(ideal=[0.07, np.nan])


def test_a_gain_stands_beside_the_best_possible():
    series = {"test": "test", "validation": "validation"}
    each = pd.DataFrame({"11": [0.01, 0.0], "12": [0.03, 0.02]}, index=["A", "B"])
    ax = observers.gains_beside_ideal(gains(), series, each)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["A", "B"]
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["best possible"].get_xdata(), [0.07, np.nan])
    assert lines["one phantom"].get_xdata().tolist() == [0.01, 0.0]
    assert [t.get_text() for t in ax.texts] == [
        "+0.020 [+0.010, +0.040]",
        "+0.010 [+0.000, +0.030]",
    ]
    points = [line.get_xdata().tolist() for line in ax.lines if line.get_marker() in ("o", "s")]
    assert points == [[0.02, 0.01], [0.0, 0.03]]


def test_a_real_set_has_no_best_possible():
    ax = observers.gains_beside_ideal(gains().assign(ideal=np.nan), {"test": "test"})
    assert ax.get_legend_handles_labels()[1] == ["test"]
