"""Holm's p values, and two one-sided tests."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from lesionlib.errors import InputError
from lesionlib.metrics import roc
from study import tables
from study.statistics import multiplicity
from study.statistics.fusion import with_fusions

FEW = dict(resamples=60, seed=3)


def test_holm_by_hand():
    # .005 x 4, .01 x 3, .03 x 2, and .04 x 1, which may not be below the one before
    assert multiplicity.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert multiplicity.holm([0.6, 0.9]) == pytest.approx([1, 1])


def test_a_missing_p_is_not_counted():
    found = multiplicity.holm([np.nan, 0.01, 0.04])
    assert np.isnan(found[0]) and found[1:] == pytest.approx([0.02, 0.04])


def test_gains_are_those_of_delong_with_adjusted_p(scored):
    table = multiplicity.gains_adjusted(with_fusions(scored))
    assert list(zip(table["a"], table["b"], strict=True)) == list(tables.GAINS)
    one, two = tables.pair(scored, "S", "I")
    expected = roc.delong(one.truth, one.mean, two.mean, one.patient)
    row = table[(table["a"] == "S") & (table["b"] == "I")].iloc[0]
    assert (row["value"], row["se"], row["p"]) == (expected.value, expected.se, expected.p)
    least = table.loc[table["p"].idxmin()]
    assert least["p_holm"] == pytest.approx(min(1, least["p"] * len(table)))
    few = multiplicity.gains_adjusted(scored[scored["model"].isin(["E", "S"])])
    assert few[["a", "b"]].to_numpy().tolist() == [["E", "S"]]


def test_equivalence_is_two_one_sided_tests(scored, by_hand):
    found = multiplicity.equivalence(scored, "I+S", "S", 0.03, **FEW)
    d, se = found["value"], found["se"]
    tests = norm.cdf((d - 0.03) / se), norm.sf((d + 0.03) / se)
    assert found["p"] == pytest.approx(max(tests))
    one, two = tables.pair(scored, "I+S", "S")

    def difference(rows):
        a, b = (roc_auc_score(s.truth[rows], s.mean[rows]) for s in (one, two))
        return a - b

    low, high = by_hand(one.truth, one.patient, difference, 60, 3, (0.05, 0.95))
    assert (found["low"], found["high"]) == pytest.approx((low, high))


def test_a_gain_is_no_equivalence_and_a_narrow_margin_shows_none(scored):
    assert not multiplicity.equivalence(scored, "E+S", "E", 0.02, **FEW)["equivalent"]
    wide, narrow = (multiplicity.equivalence(scored, "I+E", "E", m, **FEW) for m in (0.05, 1e-4))
    assert wide["equivalent"] and wide["equivalent_resampled"]
    assert not narrow["equivalent"] and not narrow["equivalent_resampled"]
    same = multiplicity.equivalence(scored, "E", "E", 0.01, **FEW)
    assert same["equivalent"] and same["equivalent_resampled"] and same["p"] == 0
    with pytest.raises(InputError, match="Give a difference above 0"):
        multiplicity.equivalence(scored, "E", "S", 0)
