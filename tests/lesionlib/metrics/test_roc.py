"""AUC, operating points and DeLong against hand-computed cases and slow independent ones."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from lesionlib.errors import InputError
from lesionlib.metrics import roc
from lesionlib.metrics.resampling import interval


def slow_delong(truth, *scores):
    """Variance of an AUC, or of the difference of two, from the full matrix of pairs."""
    psi = 0.0
    for sign, score in zip((1, -1), scores, strict=False):
        m, b = score[truth][:, None], score[~truth][None, :]
        psi = psi + sign * ((m > b) + 0.5 * (m == b))
    return psi.mean(1).var(ddof=1) / truth.sum() + psi.mean(0).var(ddof=1) / (~truth).sum()


def sample(seed=0, n=80, ties=True):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    a = truth + rng.normal(size=n)
    b = 0.5 * truth + rng.normal(size=n)
    return truth, *(np.round(x, 1) if ties else x for x in (a, b))


# ------------------------------------------------------------------ AUC
def test_auc_by_hand():
    # pairs: 3>1, 3>2, 2>1, 2=2
    assert roc.auc([1, 1, 0, 0], [3, 2, 1, 2]) == 0.875
    assert roc.auc([1, 0], [1, 0]) == 1 and roc.auc([1, 0], [0, 1]) == 0
    assert roc.auc([1, 0, 0], [5, 5, 5]) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_auc_and_curve_are_those_of_scikit_learn(seed):
    truth, a, _ = sample(seed)
    assert roc.auc(truth, a) == pytest.approx(sklearn_metrics.roc_auc_score(truth, a), abs=1e-15)
    fpr, tpr, thresholds = sklearn_metrics.roc_curve(truth, a, drop_intermediate=False)
    curve = roc.roc_curve(truth, a)[::-1]
    np.testing.assert_allclose(curve[["fpr", "tpr"]], np.c_[fpr, tpr], atol=1e-15)
    np.testing.assert_array_equal(curve["threshold"], thresholds)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=30))
def test_auc_is_symmetric_and_knows_only_ranks(pairs):
    truth, score = (np.array(x) for x in zip(*pairs, strict=True))
    if truth.all() or not truth.any():
        return
    value = roc.auc(truth, score)
    assert roc.auc(truth, -score) == pytest.approx(1 - value)
    assert roc.auc(~truth, score) == pytest.approx(1 - value)
    assert roc.auc(truth, np.exp(score)) == value


def test_auc_remembers_its_counts_and_stays_a_number():
    a = roc.auc(["malignant", "benign", "benign"], [2, 1, 0])
    assert (a.n, a.malignant, a.benign) == (3, 1, 2)
    assert str(a) == "1.000 (3 lesions, 1 malignant)" and f"{a:.1f}" == "1.0"
    assert json.loads(json.dumps([a])) == [1.0]
    again = pickle.loads(pickle.dumps(a))
    assert again == a and again.malignant == 1


def test_area_under_the_curve_is_the_auc():
    truth, a, _ = sample(3)
    curve = roc.roc_curve(truth, a).sort_values(["fpr", "tpr"])
    area = np.trapezoid(curve["tpr"], curve["fpr"])
    # at equal fpr the curve is vertical, at a tie it slopes: both are what a half counts
    assert area == pytest.approx(roc.auc(truth, a))
    assert curve["fpr"].iloc[0] == 0 and curve["tpr"].iloc[-1] == 1


@pytest.mark.parametrize(
    "truth, score, word",
    [
        ([1, 1], [0, 1], "both classes"),
        ([0, 0], [0, 1], "both classes"),
        ([], [], "both classes"),
        ([1, 2], [0, 1], "neither malignant nor benign"),
        ([1, np.nan], [0, 1], "neither malignant nor benign"),
        (["malignant", "unknown"], [0, 1], "unknown pathology"),
        ([1, pd.NA, 0], [0, 1, 2], "neither malignant nor benign"),
        ([1, 0], [0, np.nan], "missing or infinite"),
        ([1, 0], [0, "high"], "missing or infinite"),
        ([1, 0], pd.array([0.5, None]), "missing or infinite"),
        ([1, 0], [0, 1, 2], "one score per lesion"),
    ],
)
def test_bad_input_is_named_with_its_remedy(truth, score, word):
    with pytest.raises(InputError, match=word) as fault:
        roc.auc(truth, score)
    assert fault.value.remedy


# ------------------------------------------------------------------ operating points
def test_operating_points_by_hand():
    truth = [1] * 4 + [0] * 5
    score = [0.1, 0.4, 0.6, 0.9] + [0.05, 0.2, 0.3, 0.5, 0.7]
    t = roc.operating_points(truth, score, (0, 0.24, 0.25, 0.5, 1))
    assert list(t.columns) == "fnr threshold missed malignant spared benign tnr".split()
    assert t["missed"].tolist() == [0, 0, 1, 2, 4]
    assert t["spared"].tolist() == [1, 1, 3, 4, 5]
    assert t["threshold"].tolist() == [0.1, 0.1, 0.4, 0.6, np.inf]
    assert t["tnr"].tolist() == [0.2, 0.2, 0.6, 0.8, 1.0]


def test_tied_malignant_lesions_are_never_missed_in_excess():
    # one miss is allowed, but the two lowest are equal: missing one would miss both
    t = roc.operating_points([1, 1, 1, 0, 0], [0.4, 0.4, 0.6, 0.1, 0.4], 1 / 3).iloc[0]
    assert (t["missed"], t["spared"], t["threshold"]) == (0, 1, 0.4)


@pytest.mark.parametrize("fnr, misses", [(0.29, 29), (0.07, 7), (0.57, 57), (0.285, 28)])
def test_allowed_misses_are_not_lost_to_binary_fractions(fnr, misses):
    assert roc.allowed_misses(fnr, 100) == misses


def test_the_papers_counts():
    assert roc.allowed_misses(roc.FNR, 136).tolist() == [0, 1, 2, 4, 6]


@pytest.mark.parametrize("seed", range(4))
def test_operating_points_are_the_best_of_all_thresholds(seed):
    truth, a, _ = sample(seed)
    curve = roc.roc_curve(truth, a)
    for row in roc.operating_points(truth, a, np.linspace(0, 1, 23)).itertuples():
        allowed = curve[curve["missed"] <= np.floor(row.fnr * truth.sum() + 1e-9)]
        assert row.spared == allowed["spared"].max()
        assert row.missed / row.malignant <= row.fnr + 1e-9


def test_tnr_curve_and_tnr_at_agree_with_operating_points():
    truth, a, _ = sample(1)
    curve = roc.tnr_curve(truth, a)
    assert len(curve) == truth.sum() + 1
    assert (curve["missed"] <= np.arange(len(curve))).all()
    assert curve["tnr"].is_monotonic_increasing and curve["tnr"].iloc[-1] == 1
    np.testing.assert_array_equal(roc.tnr_at(truth, a, curve["fnr"]), curve["tnr"])


def test_per_cent_in_place_of_shares_is_refused():
    with pytest.raises(InputError, match="not per cent"):
        roc.operating_points([1, 0], [1, 0], 2)


# ------------------------------------------------------------------ standard errors
def test_hanley_mcneil_gives_the_papers_size_of_error():
    assert roc.hanley_mcneil_se(0.8, 136, 464) == pytest.approx(0.0241, abs=5e-5)
    assert roc.hanley_mcneil_se(1.0, 10, 10) == 0
    with pytest.raises(InputError):
        roc.hanley_mcneil_se(0.8, 0, 10)


@pytest.mark.parametrize("seed", range(3))
def test_delong_equals_the_slow_computation(seed):
    truth, a, b = sample(seed)
    one, two = roc.delong(truth, a), roc.delong(truth, a, b)
    assert one.value == pytest.approx(roc.auc(truth, a))
    assert one.se**2 == pytest.approx(slow_delong(truth, a))
    assert two.value == pytest.approx(roc.auc(truth, a) - roc.auc(truth, b))
    assert two.se**2 == pytest.approx(slow_delong(truth, a, b))
    assert np.isnan(one.p) and 0 < two.p < 1


def test_delong_of_equal_scores_finds_no_difference():
    truth, a, _ = sample(2)
    same = roc.delong(truth, a, 2 * a + 1)
    assert (same.value, same.se, same.p) == (0, 0, 1)


def test_clustered_delong_with_one_lesion_a_patient_is_nearly_delong():
    truth, a, _ = sample(4, n=400)
    plain, clustered = roc.delong(truth, a), roc.delong(truth, a, patient=np.arange(400))
    assert clustered.se == pytest.approx(plain.se, rel=0.02)
    assert clustered.patients == 400 and plain.patients is None


def test_clustered_delong_sees_that_doubled_lesions_bring_nothing():
    truth, a, b = sample(5, n=300)
    once = roc.delong(truth, a, b, patient=np.arange(300))
    twice = roc.delong(
        *(np.repeat(x, 2) for x in (truth, a, b)), patient=np.repeat(np.arange(300), 2)
    )
    assert twice.se == pytest.approx(once.se, rel=1e-6)
    assert roc.delong(*(np.repeat(x, 2) for x in (truth, a, b))).se < 0.75 * once.se


@pytest.mark.filterwarnings("ignore:no variance")
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 4), st.integers(0, 2**32 - 1))
def test_delong_stays_within_what_an_auc_can_be(malignant, benign, distance, seed):
    rng = np.random.default_rng(seed)
    truth = np.r_[np.ones(malignant), np.zeros(benign)]
    a, b = distance * truth + rng.random(truth.size), rng.random(truth.size) - 4 * truth
    one, two = roc.delong(truth, a), roc.delong(truth, a, b)
    assert 0 <= one.value <= 1 and -1 <= two.value <= 1
    if min(malignant, benign) == 1:
        assert np.isnan([one.se, one.low, one.high, two.low, two.high]).all()
        return
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert -1 <= two.low <= two.value <= two.high <= 1
    # the unit of a score says nothing
    for unit in (128.0, 2.0**-20):
        other = roc.delong(truth, unit * a, unit * b)
        assert (other.value, other.low, other.high) == (two.value, two.low, two.high)


def obuchowski(truth, patient, scores):
    """Equations of Obuchowski (1997), one pair, lesion and patient at a time: AUCs, covariances."""
    malignant = [i for i in range(len(truth)) if truth[i]]
    benign = [i for i in range(len(truth)) if not truth[i]]
    m, n, names = len(malignant), len(benign), sorted(set(patient))
    psi = lambda x, y: 1.0 if x > y else 0.5 if x == y else 0.0  # noqa: E731
    aucs, parts = [], []
    for s in scores:
        v10 = {i: sum(psi(s[i], s[j]) for j in benign) / n for i in malignant}
        v01 = {j: sum(psi(s[i], s[j]) for i in malignant) / m for j in benign}
        auc = sum(v10.values()) / m
        aucs.append(auc)
        parts.append([[sum(v[i] - auc for i in v if patient[i] == c) for c in names]
                      for v in (v10, v01)])  # fmt: skip
    with_malignant = len({patient[i] for i in malignant})
    with_benign, every = len({patient[j] for j in benign}), len(names)
    covariance = np.empty((len(scores), len(scores)))
    for k, (x10, x01) in enumerate(parts):
        for r, (y10, y01) in enumerate(parts):
            s10 = sum(x * y for x, y in zip(x10, y10, strict=True))
            s01 = sum(x * y for x, y in zip(x01, y01, strict=True))
            s11 = sum(x * y for x, y in zip(x10, y01, strict=True))
            s11 += sum(x * y for x, y in zip(x01, y10, strict=True))
            s10 *= with_malignant / ((with_malignant - 1) * m)
            s01 *= with_benign / ((with_benign - 1) * n)
            s11 *= every / (every - 1)
            covariance[k, r] = s10 / m + s01 / n + s11 / (m * n)
    return aucs, covariance


@pytest.mark.parametrize("seed, ties", [(0, True), (1, False), (2, True)])
def test_clustered_variance_is_that_of_the_published_formula(seed, ties):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(25), rng.integers(1, 6, 25))  # most have both kinds
    truth = rng.random(patient.size) < 0.4
    shared = rng.normal(size=25)[patient]
    a, b = (shared + x * truth + rng.normal(size=patient.size) for x in (1, 0.4))
    if ties:
        a, b = np.round(a), np.round(b)
    aucs, covariance = obuchowski(truth, patient, (a, b))
    one, two = roc.delong(truth, a, patient=patient), roc.delong(truth, a, b, patient)
    variance = covariance[0, 0], covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    expected = [aucs[0], variance[0], aucs[0] - aucs[1], variance[1]]
    got = [one.value, one.se**2, two.value, two.se**2]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_missing_patient_is_refused():
    with pytest.raises(InputError, match="patient"):
        roc.delong([1, 0], [1, 0], patient=["P1", None])


def test_clustered_delong_sees_patients_with_both_kinds():
    """A malignant and a benign lesion of one patient share a part, which cancels in their order."""
    rng = np.random.default_rng(6)
    patients = 300
    truth = np.tile([True, False], patients)
    patient = np.repeat(np.arange(patients), 2)
    score = (
        0.8 * truth + np.repeat(2 * rng.normal(size=patients), 2) + rng.normal(size=2 * patients)
    )
    clustered, plain = roc.delong(truth, score, patient=patient), roc.delong(truth, score)
    drawn = interval(truth, score, patient)
    assert (drawn.high - drawn.low) / 3.92 == pytest.approx(clustered.se, rel=0.1)
    assert clustered.se < 0.7 * plain.se
