"""Intervals: patients with all their lesions."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from lesionlib.errors import InputError
from lesionlib.metrics import resampling, roc
from lesionlib.metrics.resampling import band, interval, paired_difference


def sample(seed=0, patients=120, shared=1.0):
    """Correlated lesions: one to four a patient, who share a part of their score."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    truth = (rng.random(patients) < 0.3)[patient]
    common = shared * rng.normal(size=patients)[patient]
    a = truth + common + rng.normal(size=truth.size)
    b = 0.5 * truth + common + rng.normal(size=truth.size)
    return truth, np.round(a, 1), np.round(b, 1), np.array([f"P{p:03d}" for p in patient])


def wins(truth, score):
    malignant, benign = score[truth][:, None], score[~truth]
    return float(np.sum((malignant > benign) + 0.5 * (malignant == benign)))


def tnr(truth, score, times=None):
    return roc.tnr_at(truth, score, 0.1, times)[..., 0]


def counted(truth, score):
    return roc.operating_points(truth, score, 0.1)["tnr"].item()


def distance(truth, score):
    return score[truth].mean() - score[~truth].mean()


def written_out(truth, patient, value, n, seed):
    """Values of n resamples drawn for this one statistic, and how many draws were repeated."""
    codes, names = pd.factorize(patient)
    values, redrawn = [], 0
    for i in range(n):
        rng = np.random.default_rng((seed, i))
        while True:
            drawn = np.sort(rng.integers(len(names), size=len(names)))
            rows = np.concatenate([np.flatnonzero(codes == p) for p in drawn])
            if 0 < truth[rows].sum() < len(rows):
                break
            redrawn += 1
        values.append(value(rows))
    return values, redrawn


@pytest.mark.parametrize("patients", [5, 60])  # of five, many resamples are drawn again
@pytest.mark.parametrize("statistic, meant", [("auc", wins), (tnr, counted), (distance, distance)])
def test_intervals_equal_a_bootstrap_written_out_to_the_last_bit(statistic, meant, patients):
    truth, a, b, patient = sample(patients=patients)

    def difference(rows):  # of AUCs: of the pairs won, which are exact, and rounded once
        t, pairs = truth[rows], truth[rows].sum() * (~truth[rows]).sum() if meant is wins else 1
        return (meant(t, a[rows]) - meant(t, b[rows])) / pairs

    values, redrawn = written_out(truth, patient, difference, 60, 7)
    for _ in range(2):  # drawn, and as kept from before
        got = paired_difference(truth, a, b, patient, statistic, 60, 7)
        assert (got.low, got.high) == tuple(np.quantile(values, (0.025, 0.975)))
        assert got.redrawn == redrawn and (redrawn > 0) == (patients == 5)


def test_bands_equal_a_bootstrap_written_out_to_the_last_bit():
    truth, a, _, patient = sample(patients=40)
    fnr = roc.tnr_curve(truth, a)["fnr"].to_numpy()
    at = lambda rows: roc.operating_points(truth[rows], a[rows], fnr)["tnr"]  # noqa: E731
    low, high = np.quantile(written_out(truth, patient, at, 60, 2)[0], (0.025, 0.975), axis=0)
    got = band(truth, a, patient, partial(roc.tnr_at, fnr=fnr), n=60, seed=2)
    assert got["low"].tolist() == low.tolist() and got["high"].tolist() == high.tolist()
    assert got["value"].tolist() == roc.tnr_curve(truth, a)["tnr"].tolist()
    single = interval(truth, a, patient, lambda t, s: roc.tnr_at(t, s, fnr[3])[0], 60, 2)
    assert (single.low, single.high) == tuple(got.loc[3, ["low", "high"]])


def test_resamples_of_a_set_of_patients_are_drawn_once(monkeypatch):
    truth, a, b, patient = sample(4)
    first = interval(truth, a, patient, n=50, seed=11)
    monkeypatch.setattr(np.random, "default_rng", None)
    assert interval(truth, a, patient, n=50, seed=11) == first
    assert paired_difference(truth, a, b, patient, n=50, seed=11).redrawn == first.redrawn
    shapes = []  # of `times`: of the lesions as they are, and of all resamples at once
    at = lambda t, s, times=None: shapes.append(np.shape(times)) or tnr(t, s, times)  # noqa: E731
    interval(truth, b, np.char.add("of ", patient), at, 50, 11)
    assert sorted(shapes) == [(), (truth.size, 50)]
    with pytest.raises(TypeError):  # other patients, other draws
        interval(truth, a, np.arange(truth.size), n=50, seed=11)


def test_clustered_interval_is_wider_than_one_over_lesions():
    truth, a, _, patient = sample(shared=2.0)
    width = lambda r: r.high - r.low  # noqa: E731
    clustered = interval(truth, a, patient)
    rows = interval(truth, a, np.arange(truth.size))
    assert width(clustered) > 1.2 * width(rows)
    assert clustered.patients == 120 and rows.patients == truth.size


def test_clustered_interval_is_as_wide_as_the_clustered_standard_error_says():
    truth, a, b, patient = sample(patients=400)
    got = paired_difference(truth, a, b, patient)
    expected = roc.delong(truth, a, b, patient)
    assert (got.high - got.low) / 3.92 == pytest.approx(expected.se, rel=0.1)
    assert got.value == pytest.approx(expected.value)


def test_lesions_without_a_patient_are_refused():
    truth, a, _, _ = sample()
    with pytest.raises(InputError, match="1 patients, 1 of them missing, for"):
        interval(truth, a, None)


def test_same_seed_same_interval():
    truth, a, b, patient = sample()
    one = interval(truth, a, patient, distance, 600, 5)
    assert interval(truth, a, patient, distance, 600, 5) == one
    assert interval(truth, a, patient, distance, 600, 6) != one
    first = paired_difference(truth, a, b, patient, n=600, seed=5)
    assert paired_difference(truth, a, b, patient, n=600, seed=5) == first


def test_resample_i_does_not_depend_on_how_many_follow():
    truth, a, _, patient = sample()
    few, many = [], []
    for n, seen in ((40, few), (100, many)):
        interval(truth, a, patient, lambda t, s, seen=seen: seen.append(s.tolist()) or 0.0, n, 1)
    assert few[:40] == many[:40]


def test_perfect_and_tied_scores():
    truth, _, _, patient = sample()
    perfect = interval(truth, truth * 1.0, patient, n=100)
    assert (perfect.value, perfect.low, perfect.high) == (1, 1, 1)
    flat = interval(truth, np.zeros(truth.size), patient, n=100)
    assert (flat.value, flat.low, flat.high) == (0.5, 0.5, 0.5)


def test_a_model_against_itself_differs_by_nothing():
    truth, a, _, patient = sample()
    got = paired_difference(truth, a, a, patient, n=100)
    assert (got.value, got.low, got.high) == (0, 0, 0)


def test_resamples_of_one_class_are_drawn_again_and_counted():
    truth, patient = [1, 0, 0, 0], ["A", "B", "C", "D"]
    got = interval(truth, [3, 1, 2, 4], patient, n=200, seed=1)
    # the malignant patient is left out of about (3/4)^4 = .32 of the draws
    assert 40 < got.redrawn < 160
    assert np.isfinite([got.low, got.high]).all() and "redrawn" in str(got)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="both classes"):
        interval([1, 1], [0, 1], ["A", "B"])


def test_text_of_an_interval_names_kind_and_counts():
    truth, a, _, patient = sample()
    text = str(interval(truth, a, patient, n=50))
    for part in ("95 % over patients", f"{truth.size} lesions", f"{truth.sum()} malignant",
                 "120 patients", "50 resamples"):  # fmt: skip
        assert part in text


def test_an_interval_is_read_from_the_resamples_that_are_given():
    truth, a, _, patient = sample()
    value, drawn = resampling.resampled(truth, a, patient, n=300, seed=4)
    got = interval(truth, a, patient, n=300, seed=4)
    assert (value, *np.quantile(drawn, (0.025, 0.975))) == (got.value, got.low, got.high)
    assert resampling.resampled(truth, a, patient, n=300, seed=(4, 1))[1].tolist() != drawn.tolist()


@pytest.mark.parametrize("change", [dict(statistic="sum"), dict(n=0)])
def test_unknown_options_are_refused(change):
    truth, a, _, patient = sample()
    with pytest.raises(InputError):
        interval(truth, a, patient, **change)
