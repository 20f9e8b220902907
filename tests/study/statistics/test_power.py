"""Power against simulation, and at the paper's size."""

import numpy as np
import pandas as pd
import pytest

from lesionlib.metrics import roc
from study import tables
from study.statistics import power


def test_the_papers_own_gain_would_be_found_in_29_percent():
    assert power.power(0.799 - 0.778, 0.015) == pytest.approx(0.29, abs=0.005)


def test_power_is_the_share_of_simulated_tests():
    drawn = np.random.default_rng(0).normal(0.02, 0.01, 200_000)
    for alpha, z in ((0.05, 1.959964), (0.01, 2.575829)):
        share = np.mean(np.abs(drawn) > z * 0.01)
        assert power.power(0.02, 0.01, alpha) == pytest.approx(share, abs=0.004)
    assert power.power(0, 0.01) == pytest.approx(0.05)
    assert power.power(-0.02, 0.01) == power.power(0.02, 0.01)


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
def test_the_size_wanted_has_the_power_wanted(wanted):
    more = power.times_larger(0.02, 0.015, wanted)
    assert power.power(0.02, 0.015 / np.sqrt(more)) == pytest.approx(wanted, abs=1e-4)


def test_study_size_is_of_the_paired_standard_error(scored):
    found = power.study_size(scored, "E+S", "E", 0.05)
    one, two = tables.pair(scored, "E+S", "E")
    expected = roc.delong(one.truth, one.mean, two.mean, one.patient)
    assert found["se"] == expected.se and found["power"] == power.power(0.05, expected.se)
    assert found["lesions"] == len(one.truth) and found["patients"] == 120
    more = found["patients_needed"] / found["patients"]
    assert found["lesions_needed"] == pytest.approx(more * found["lesions"], rel=0.01)
    assert power.power(0.05, found["se"] / np.sqrt(more)) == pytest.approx(0.8, abs=0.01)


def test_four_times_the_patients_need_the_same_number(scored):
    test = scored[scored["split"] == "test"]
    copies = [test] + [
        test.assign(**{c: f"{k}" + test[c] for c in ("lesion_id", "patient_id")}) for k in range(3)
    ]
    once, more = (power.study_size(x, gain=0.05) for x in (test, pd.concat(copies)))
    assert more["patients"] == 4 * once["patients"]
    assert more["se"] == pytest.approx(once["se"] / 2, rel=0.01)
    assert more["patients_needed"] == pytest.approx(once["patients_needed"], rel=0.02)


def test_equal_scores_have_no_power(scored):
    found = power.study_size(scored, "E", "E")
    assert found["power"] is None and found["patients_needed"] is None


def test_a_paired_se_is_of_the_papers_size():
    assert power.paired_se(0.799, 0.778, 136, 464, 0.8) == pytest.approx(
        0.01556, abs=1e-5
    )  # by hand
    one = roc.hanley_mcneil_se(0.8, 136, 464)
    assert power.paired_se(0.8, 0.8, 136, 464, 0) == pytest.approx(np.sqrt(2) * one)
    assert power.paired_se(0.8, 0.8, 136, 464, 1) == pytest.approx(0, abs=1e-9)


def test_correlation_turns_two_errors_into_the_paired_one(scored):
    one, two = tables.pair(scored, "E+S", "E")
    a, b = (roc.delong(s.truth, s.mean, patient=s.patient).se for s in (one, two))
    r = power.correlation(scored, "E+S", "E")
    paired = roc.delong(one.truth, one.mean, two.mean, one.patient).se
    assert np.sqrt(a**2 + b**2 - 2 * r * a * b) == pytest.approx(paired)
    assert 0 < r < 1


def test_sizes_have_the_power_wanted():
    table = power.sizes(0.021, [0.015, 0.01], 600, 260, 0.9)
    assert table["power"].tolist() == [power.power(0.021, se) for se in (0.015, 0.01)]
    for row in table.itertuples():
        assert power.power(0.021, row.se / np.sqrt(row.times)) == pytest.approx(0.9, abs=1e-4)
        assert row.lesions_needed == np.ceil(row.times * 600)
        assert row.patients_needed == np.ceil(row.times * 260)
