"""Predictive values from counts, and at another prevalence by Bayes' rule."""

import numpy as np
import pytest

from lesionlib.errors import InputError
from lesionlib.metrics import roc
from study import tables
from study.statistics import prevalence


def wide(table):
    return table.pivot(index="fnr", columns="rate", values="value")


def test_at_its_own_prevalence_the_test_set_is_counted(scored):
    s = tables.scores(scored, "E+S")
    table = prevalence.at_prevalence(scored, "E+S", s.truth.mean(), (0.05, 0.2), resamples=5)
    for fnr, row in wide(table).iterrows():
        point = roc.operating_points(s.truth, s.mean, fnr).iloc[0]
        kept = s.mean >= point["threshold"]
        assert row["sensitivity"] == pytest.approx(kept[s.truth].mean())
        assert row["specificity"] == pytest.approx(point["tnr"])
        assert row["ppv"] == pytest.approx(s.truth[kept].mean())
        assert row["npv"] == pytest.approx((~s.truth[~kept]).mean())
        assert row["spared_per_100"] == pytest.approx(100 * np.mean(~kept))
        assert row["missed_per_100"] == pytest.approx(100 * np.mean(~kept & s.truth))


def test_at_the_papers_prevalence_as_in_a_clinic_of_that_mixture(scored):
    s = tables.scores(scored, "E+S")
    row = wide(prevalence.at_prevalence(scored, "E+S", fnr=(0.1,), resamples=5)).iloc[0]
    kept = s.mean >= roc.operating_points(s.truth, s.mean, 0.1)["threshold"][0]
    # each lesion weighs as its class weighs in the clinic
    weight = np.where(s.truth, 2054 / s.truth.sum(), 6788 / (~s.truth).sum())
    assert row["ppv"] == pytest.approx(weight[kept & s.truth].sum() / weight[kept].sum())
    assert row["npv"] == pytest.approx(weight[~kept & ~s.truth].sum() / weight[~kept].sum())
    assert row["spared_per_100"] == pytest.approx(100 * weight[~kept].sum() / 8842)


def test_intervals_find_the_threshold_in_each_resample(scored, by_hand):
    s, fnr = tables.scores(scored, "E+S"), (0.05, 0.2)
    table = prevalence.at_prevalence(scored, "E+S", 0.23, fnr, resamples=60, seed=3)

    def spared(rows):
        points = roc.operating_points(s.truth[rows], s.mean[rows], fnr)
        missed = points["missed"] / points["malignant"]
        return 100 * (0.23 * missed + 0.77 * points["tnr"]).to_numpy()

    found = table[table["rate"] == "spared_per_100"]
    low, high = by_hand(s.truth, s.patient, spared, 60, 3)
    assert found["low"].tolist() == pytest.approx(list(low))
    assert found["high"].tolist() == pytest.approx(list(high))


def test_where_nothing_is_spared_there_is_no_npv(scored):
    lowest = scored["y_score"].where(scored["y_true"] == 0, 0.0)
    row = wide(prevalence.at_prevalence(scored.assign(y_score=lowest), "E", fnr=(0,), resamples=5))
    assert row["npv"].isna().all() and row["ppv"].iloc[0] == pytest.approx(prevalence.PAPER)
    with pytest.raises(InputError, match="above 0 and below 1"):
        prevalence.at_prevalence(scored, "E", 23)


def test_at_fnr_0_there_is_no_interval(scored):
    table = prevalence.at_prevalence(scored, "E", fnr=(0, 0.1), resamples=20)
    ends = table.set_index("fnr")[["low", "high"]]
    assert ends.loc[0].isna().all(axis=None) and ends.loc[0.1].notna().all(axis=None)
