"""Thresholds that are carried over, and what an operating point rests on."""

import numpy as np
import pytest

from lesionlib.metrics import resampling, roc
from study.intervals import thresholds


def sample(seed=0, patients=150):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    truth = (rng.random(patients) < 0.4)[patient]
    return truth, np.round(1.5 * truth + rng.normal(size=truth.size), 1), patient


def test_notes_say_what_an_interval_rests_on():
    # floor(FNR x 136): 0, 0, 2, 4, 5, 6
    found = thresholds.notes((0, 0.005, 0.02, 0.03, 0.037, 0.05), 136)
    few = thresholds.FEW
    assert found == [thresholds.EXACT, thresholds.NONE_MISSED, few, few, "", ""]


def test_thresholds_in_resamples_are_those_of_the_resampled_lesions():
    truth, score, _ = sample(patients=40)
    times = np.random.default_rng(1).integers(0, 3, (truth.size, 20))
    fnr = (0, 0.1, 0.33, 1)
    got = thresholds.threshold_at(truth, score, fnr, times)
    for i, row in enumerate(got):
        t, s = (np.repeat(x, times[:, i]) for x in (truth, score))
        assert row.tolist() == roc.operating_points(t, s, fnr)["threshold"].tolist()
    expected = roc.operating_points(truth, score, fnr)["threshold"]
    assert thresholds.threshold_at(truth, score, fnr).tolist() == expected.tolist()


def test_a_threshold_carried_over_by_hand():
    validation = [1] * 4 + [0] * 2, [0.2, 0.4, 0.6, 0.8, 0.1, 0.3], list("abcdef")
    test = [1, 1, 1, 0, 0, 0], [0.3, 0.5, 0.9, 0.1, 0.39, 0.4], list("ghijkl")
    got = thresholds.carried_over(validation, test, (0, 0.25), n=50)
    assert got["threshold"].tolist() == [0.2, 0.4]
    assert got["missed"].tolist() == [0, 1] and got["spared"].tolist() == [1, 2]
    assert got["tnr"].tolist() == [1 / 3, 2 / 3] and got["fnr_test"].tolist() == [0, 1 / 3]
    assert (got["malignant"] == 3).all() and (got["benign"] == 3).all()
    ends = got[["tnr_low", "tnr_high", "fnr_low", "fnr_high"]].isna()
    assert ends.iloc[0].all() and not ends.iloc[1].any()
    assert got["note"].tolist() == [thresholds.EXACT, thresholds.FEW]


def test_both_sets_of_patients_are_resampled():
    """As loops over the two sets' resamples; and wider than with the threshold taken as known."""
    validation, test = sample(0, patients=40), sample(1, patients=400)
    got = thresholds.carried_over(validation, test, 0.2, n=200, seed=5).iloc[0]

    def drawn(part, statistic, j):
        return resampling.resampled(*part, statistic, 200, (5, j))[1]

    limits = drawn(validation, lambda t, s: roc.operating_points(t, s, 0.2)["threshold"].item(), 0)
    limits = iter([*limits, got["threshold"]])  # the value comes last
    tnr = drawn(test, lambda t, s: np.mean(s[~t] < next(limits)), 1)
    expected = np.quantile(tnr, (0.025, 0.975))
    assert (got["tnr_low"], got["tnr_high"]) == pytest.approx(expected, abs=1e-12)
    known = drawn(test, lambda t, s: np.mean(s[~t] < got["threshold"]), 1)
    assert np.ptp(expected) > 1.5 * np.ptp(np.quantile(known, (0.025, 0.975)))
