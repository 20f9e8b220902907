"""BCa intervals against scipy's, on the same resamples."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from lesionlib.metrics import auc, interval, resampling
from study.intervals.bca import auc_bca, auc_without_each


def sample(seed=0, patients=60):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    truth = rng.random(patient.size) < 0.2  # patients with both kinds among them
    return truth, np.round(1.6 * truth + rng.normal(size=truth.size), 1), patient


def test_the_interval_is_scipys_of_the_same_resamples():
    truth, score, patient = sample()

    def of_patients(chosen, axis=-1):
        rows = [np.concatenate([np.flatnonzero(patient == p) for p in c]) for c in chosen]
        return np.array([auc(truth[r], score[r]) for r in rows])

    value, drawn = resampling.resampled(truth, score, patient, n=1000, seed=3)
    known = SimpleNamespace(bootstrap_distribution=drawn)
    theirs = stats.bootstrap(
        (np.arange(60),), lambda x, axis=-1: of_patients(np.atleast_2d(x)).squeeze(),
        n_resamples=0, bootstrap_result=known, method="BCa", vectorized=True,
    ).confidence_interval  # fmt: skip
    got, plain = auc_bca(truth, score, patient, 1000, 3), interval(truth, score, patient, n=1000)
    assert (got.low, got.high) == pytest.approx(tuple(theirs), abs=1e-12)
    assert got.value == value and got.kind == "95 % BCa over patients"
    assert (got.patients, got.malignant) == (plain.patients, plain.malignant)


def test_patients_are_left_out_one_by_one():
    truth, score, patient = sample(1)
    got = auc_without_each(truth, score, patient)
    expected = [auc(truth[patient != p], score[patient != p]) for p in range(60)]
    assert got == pytest.approx(expected, abs=1e-12)
    alone = np.array([1, 1, 0, 0]), np.array([2.0, 1, 0, 3]), list("aabc")  # a has all malignant
    assert auc_without_each(*alone).tolist() == [0.0, 1.0]


def test_perfect_separation_leaves_an_interval_of_no_width():
    truth, _, patient = sample()
    got = auc_bca(truth, truth * 1.0, patient, 200)
    assert (got.low, got.high) == (1, 1)
