"""Calibration against likelihoods maximised otherwise, and recalibration that mends what it should."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from lesionlib.errors import InputError
from study import tables
from study.statistics import calibration, common

FEW = dict(resamples=60, seed=3)


def maximised(truth, x, free):
    """Intercept, and slope where it is free, by a general minimiser."""

    def loss(beta):
        z = beta[0] + (beta[1] if free else 1) * x
        return np.sum(np.logaddexp(0, z) - truth * z)

    return minimize(loss, [0.0, 1.0][: 1 + free], method="BFGS", options={"gtol": 1e-8}).x


def made(n, a=0.0, b=1.0, seed=0):
    """Truth drawn from a + b logit(score)."""
    rng = np.random.default_rng(seed)
    score = rng.beta(2, 3, n)
    return rng.random(n) < expit(a + b * logit(score)), score, np.arange(n)


def test_intercept_and_slope_maximise_the_likelihood():
    truth, score, patient = made(300)
    found = calibration.intercept_and_slope(truth, score, patient)
    x = logit(score)
    assert found["intercept"]["value"] == pytest.approx(maximised(truth, x, False)[0], abs=1e-5)
    assert found["slope"]["value"] == pytest.approx(maximised(truth, x, True)[1], abs=1e-5)


@pytest.mark.parametrize(("a", "b"), [(0, 1), (-0.8, 1), (0, 0.5)])
def test_a_known_miscalibration_is_found(a, b):
    found = calibration.intercept_and_slope(*made(20000, a, b))
    assert found["slope"]["value"] == pytest.approx(b, abs=0.06)
    assert found["slope"]["low"] < b < found["slope"]["high"]
    if b == 1:
        assert found["intercept"]["value"] == pytest.approx(a, abs=0.06)


def test_intervals_are_by_patient():
    truth, score, patient = made(3000)
    alone = calibration.intercept_and_slope(truth, score, patient)
    twice = calibration.intercept_and_slope(*(np.repeat(x, 2) for x in (truth, score, patient)))
    for name in ("intercept", "slope"):  # a second view that says the same tells nothing more
        for end in ("low", "high"):
            assert twice[name][end] == pytest.approx(alone[name][end], abs=1e-6)
    # where the model holds, the sandwich is near the inverse information
    p = expit(logit(score))
    se = 1 / np.sqrt(np.sum(p * (1 - p)))
    width = alone["intercept"]["high"] - alone["intercept"]["low"]
    assert width == pytest.approx(2 * 1.96 * se, rel=0.05)


def test_scores_that_part_the_classes_or_are_constant_have_no_slope():
    truth = np.repeat([False, True], 15)
    for score in (np.linspace(0.1, 0.9, 30), np.full(30, 0.3)):
        found = calibration.intercept_and_slope(truth, score, np.arange(30))
        assert found["slope"] == {"value": None, "low": None, "high": None}
        assert np.isfinite(found["intercept"]["value"])


def test_brier_is_scikit_learns_with_an_interval_over_patients(scored, by_hand):
    found, s = calibration.calibration(scored, "E+S", **FEW)["brier"], tables.scores(scored, "E+S")
    assert found["value"] == pytest.approx(brier_score_loss(s.truth, s.mean))
    each = lambda rows: brier_score_loss(s.truth[rows], s.mean[rows])  # noqa: E731
    ends = by_hand(s.truth, s.patient, each, 60, 3)
    assert [found["low"], found["high"]] == pytest.approx(list(ends))
    constant = np.full(len(s.truth), s.truth.mean())
    assert found["constant"] == pytest.approx(brier_score_loss(s.truth, constant))
    assert found["lesions"] == found["malignant"] + found["benign"] == len(s.truth)


def test_reliability_by_hand(scored):
    table, s = calibration.reliability(scored, "E+S", bins=5), tables.scores(scored, "E+S")
    assert table["lesions"].sum() == len(s.truth) and table["malignant"].sum() == s.truth.sum()
    assert table["lesions"].max() - table["lesions"].min() <= 1
    row = table.iloc[1]
    inside = (s.mean >= row["score_low"]) & (s.mean <= row["score_high"])
    assert row["value"] == pytest.approx(s.truth[inside].mean())
    assert row["score"] == pytest.approx(s.mean[inside].mean())
    n, p, z = inside.sum(), s.truth[inside].mean(), 1.959964
    middle = (p + z**2 / 2 / n) / (1 + z**2 / n)  # Wilson 1927
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / 4 / n**2)
    assert (row["low"], row["high"]) == pytest.approx((middle - half, middle + half))


def test_scores_that_are_all_alike_are_one_bin(scored):
    table = calibration.reliability(scored.assign(y_score=0.25), "E")
    assert table[["score_low", "score_high"]].to_numpy().tolist() == [[0.25, 0.25]]
    assert table["lesions"].item() == scored[scored["split"] == "test"]["lesion_id"].nunique()


def test_platt_is_fitted_on_validation_and_applied_to_test_run_by_run(scored):
    found = tables.scores(calibration.platt(scored, "E+S"), "E+S, Platt")
    known, test = (tables.scores(scored, "E+S", split) for split in ("validation", "test"))
    for run in range(3):
        a, b = maximised(known.truth, logit(known.runs[:, run]), True)
        expected = expit(a + b * logit(test.runs[:, run]))
        assert found.runs[:, run] == pytest.approx(expected, abs=1e-5)


def test_platt_mends_what_it_was_fitted_on(scored):
    one = scored[
        (scored["model"] == "S") & (scored["split"] == "validation") & (scored["run"] == 0)
    ]
    same = pd.concat([one, one.assign(split="test")], ignore_index=True)
    found = calibration.calibration(calibration.platt(same, "S"), "S, Platt", **FEW)
    assert found["slope"]["value"] == pytest.approx(1, abs=1e-5)
    assert found["intercept"]["value"] == pytest.approx(0, abs=1e-5)


def test_platt_says_where_nothing_can_be_fitted(scored):
    parted = scored[scored["model"] == "S"].assign(y_score=lambda t: 0.2 + 0.6 * t["y_true"])
    with pytest.raises(InputError, match="Use a larger validation split"):
        calibration.platt(parted, "S")


def test_shifted_multiplies_the_odds(scored):
    test = tables.scores(scored, "E")
    moved = tables.scores(calibration.shifted(scored, "E", 0.2), "E, shifted")
    odds = lambda p: p / (1 - p)  # noqa: E731
    assert odds(moved.runs) / odds(test.runs) == pytest.approx(np.full(test.runs.shape, 0.25))
    share = tables.scores(scored, "E", "validation").truth.mean()
    own = tables.scores(calibration.shifted(scored, "E"), "E, shifted")
    assert odds(own.runs) / odds(test.runs) == pytest.approx(np.full(test.runs.shape, odds(share)))


def test_scores_have_to_be_probabilities(scored):
    with pytest.raises(InputError, match="Give probabilities"):
        calibration.calibration(scored.assign(y_score=scored["y_score"] * 2), "E")
    assert np.isfinite(common.log_odds([0, 1])).all()


def test_a_table_of_several_models(scored):
    table = calibration.calibration_table(scored, ["E", "E+S"], **FEW).set_index(
        ["model", "measure"]
    )
    known = calibration.calibration(scored, "E+S", **FEW)
    for measure in ("intercept", "slope", "brier"):
        row = table.loc[("E+S", measure)]
        assert [row[x] for x in ("value", "low", "high")] == [
            known[measure][x] for x in ("value", "low", "high")
        ]
    share = tables.scores(scored, "E").truth.mean()
    assert table["right"].tolist() == pytest.approx([0, 1, share * (1 - share)] * 2)


def test_recalibrated_is_platt_moved_to_the_share(scored):
    odds = lambda frame, name: (lambda p: p / (1 - p))(tables.scores(frame, name).runs)  # noqa: E731
    fitted = odds(calibration.platt(scored, "E"), "E, Platt")
    own = tables.scores(scored, "E", "validation").truth.mean()
    ratio = 0.1 / 0.9 / (own / (1 - own))
    moved = odds(calibration.recalibrated(scored, "E", 0.1), "E")
    assert moved / fitted == pytest.approx(np.full(fitted.shape, ratio))


@pytest.mark.parametrize("truths", [(1, 0), ("malignant", "Benign")])
def test_what_cannot_be_recalibrated_says_why_and_is_taken_as_it_is(scored, truths):
    named = scored.assign(y_true=scored["y_true"].map(dict(zip((1, 0), truths, strict=True))))
    assert calibration.obstacle(named, "E") == ""
    alone = named[named["split"] == "test"]
    assert "fewer than 10 lesions of a class" in calibration.obstacle(alone, "E")
    share = tables.scores(alone, "E").truth.mean()
    same = tables.scores(calibration.recalibrated(alone, "E", share), "E")
    assert same.runs == pytest.approx(tables.scores(alone, "E").runs)
