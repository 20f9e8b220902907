"""Spread over runs, and intervals over runs and patients."""

import numpy as np
import pytest
from scipy import stats

from lesionlib.errors import InputError
from lesionlib.metrics import resampling
from study.intervals.run_intervals import runs_interval, t_interval, two_level


def sample(seed=0, patients=80, runs=3, spread=0.0):
    """Scores (lesions, runs); `spread` is the SD of what a run adds to the distance of the kinds."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 2)
    truth = (rng.random(patients) < 0.3)[patient]
    distance = 1 + spread * rng.normal(size=runs)
    noise = rng.normal(size=(patients, 1))[patient] + rng.normal(size=(truth.size, runs))
    return truth, truth[:, None] * distance + noise, patient


def test_mean_and_1_96_sd_by_hand():
    r = runs_interval([0.1, 0.2, 0.3])
    assert (r.mean, r.sd, r.n) == pytest.approx((0.2, 0.1, 3))
    assert (r.low, r.high) == pytest.approx((0.2 - 0.196, 0.2 + 0.196), abs=1e-5)
    assert r.kind == "mean ± 1.96 SD of 3 runs"
    one = runs_interval([0.5])
    assert one.mean == 0.5 and np.isnan([one.sd, one.low, one.high]).all()
    with pytest.raises(InputError, match="not finite"):
        runs_interval([0.5, np.nan])


def test_the_t_interval_is_that_of_scipy():
    x = [0.71, 0.74, 0.70, 0.76]
    r = t_interval(x)
    expected = stats.t.interval(0.95, 3, np.mean(x), stats.sem(x))
    assert (r.low, r.high) == pytest.approx(expected, abs=1e-14)
    assert r.kind == "95 % t interval over 4 runs"
    assert np.isnan(t_interval([0.5]).low)


def test_1_96_sd_of_three_runs_covers_the_next_in_77_of_100_and_t_the_mean_in_95():
    x = np.random.default_rng(0).normal(size=(4000, 4))
    described = [runs_interval(row[:3]) for row in x]
    mean = [t_interval(row[:3]) for row in x]
    held = np.mean([r.low <= row[3] <= r.high for r, row in zip(described, x, strict=True)])
    assert held == pytest.approx(0.768, abs=0.02)
    assert np.mean([r.low <= 0 <= r.high for r in mean]) == pytest.approx(0.95, abs=0.011)


def test_equal_runs_leave_the_interval_over_patients():
    truth, scores, patient = sample()
    same = np.repeat(scores[:, :1], 3, axis=1)
    got, over = (two_level(truth, same, patient, n=300, seed=2),
                 resampling.interval(truth, same[:, 0], patient, n=300, seed=2))  # fmt: skip
    assert (got.value, got.low, got.high) == pytest.approx((over.value, over.low, over.high))
    one = two_level(truth, same[:, :1], patient, n=300, seed=2)
    assert (one.low, one.high, one.kind) == (over.low, over.high, "95 % over patients")


def test_of_four_runs_three_are_drawn_which_has_the_variance_of_a_mean_of_four():
    """A statistic that knows no patients: 0, 1, 2 or 3 by run."""

    def of_run(truth, score, times=None):
        return score[0] if times is None else np.full(times.shape[1], score[0])

    truth, _, patient = sample()
    runs = np.tile(np.arange(4.0), (truth.size, 1))
    got = two_level(truth, runs, patient, of_run, n=3000, seed=1)
    assert got.value == 1.5 and (got.runs, got.kind) == (4, "95 % over runs and patients")
    means = np.mean(np.stack(np.meshgrid(*[range(4)] * 3)), axis=0)  # all choices of three
    assert means.std() == pytest.approx(np.std(range(4), ddof=1) / 2)
    assert (got.low, got.high) == pytest.approx(np.quantile(means, (0.025, 0.975)))
    assert (got.low, got.high) == pytest.approx((1 / 3, 8 / 3))  # of four drawn: 0.5 and 2.5


def test_a_gain_over_runs_is_paired():
    truth, scores, patient = sample(spread=0.3)
    nothing = two_level(truth, scores, patient, n=50, less=scores)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    worse = scores - 0.5 * truth[:, None]
    gain = two_level(truth, scores, patient, n=200, less=worse)
    alone = two_level(truth, scores, patient, n=200)
    assert 0 < gain.low < gain.value < gain.high
    assert gain.high - gain.low < alone.high - alone.low
    with pytest.raises(InputError, match="same lesions and runs"):
        two_level(truth, scores, patient, less=worse[:, :2])
