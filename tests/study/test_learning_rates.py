"""Random search: what is drawn, what is kept, and who wins."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from lesionlib.errors import InputError
from lesionlib.training import fit
from study.learning_rates import best_trial, draw_trial, run_search
from study.settings import Optimisation

CPU = SimpleNamespace(device="cpu", precision="32-true", threads=1, channels_last=False, devices=1)


class RateTask:
    """A network of one weight whose score says how near its learning rate is to .01."""

    name, steps, identity = "toy", 1, {}

    trained = []  # the rate of each epoch of any of these tasks

    def __init__(self, settings, seed, made):
        self.model, self.rate = torch.nn.Linear(1, 1), settings.learning_rate
        made.append((settings.learning_rate, settings.epochs, seed))

    def batches(self, epoch):
        self.trained.append(self.rate)
        return [torch.ones(2, 1)]

    def loss(self, batch):
        return self.model(batch).mean() * (math.nan if self.rate > 0.1 else 1)

    def validate(self):
        return {"score": -abs(math.log10(self.rate / 0.01))}


def search(folder, trials, made=None, **changed):
    made = [] if made is None else made
    values = dict(low=1e-4, high=0.1, seed=3) | changed

    def train(k, rate):
        own = Optimisation(learning_rate=rate, epochs=2)
        task = RateTask(own, k, made)
        return fit(task, folder / f"trial{k}", own, seed=k, compute=CPU)

    which = range(trials) if isinstance(trials, int) else trials
    return run_search(train, which, **values)


def test_a_trial_is_the_same_whatever_ran_before():
    rates = [draw_trial(1, k, 1e-6, 1e-4) for k in range(5)]
    assert draw_trial(1, 3, 1e-6, 1e-4) == rates[3]
    assert len(set(rates)) == 5
    assert draw_trial(2, 3, 1e-6, 1e-4) != rates[3]


def test_trials_are_log_uniform():
    logs = np.log10([draw_trial(1, k, 1e-6, 1e-4) for k in range(2000)])
    assert logs.min() >= -6 and logs.max() <= -4
    # a third of the decades holds a third of the trials: 4 SD are .042
    for low in (-6, -6 + 2 / 3, -6 + 4 / 3):
        assert np.mean((logs >= low) & (logs < low + 2 / 3)) == pytest.approx(1 / 3, abs=0.042)


@pytest.mark.parametrize("low, high", [(0, 1e-3), (-1, 1), (1e-3, 1e-4)])
def test_an_empty_range_is_refused(low, high):
    with pytest.raises(InputError, match="cannot be drawn"):
        draw_trial(1, 0, low, high)


def test_search_trains_each_trial_with_its_own_rate(tmp_path):
    made = []
    table = search(tmp_path, 4, made)
    assert list(table) == ["trial", "learning_rate", "validation_auc", "best_epoch"]
    assert table["learning_rate"].tolist() == [draw_trial(3, k, 1e-4, 0.1) for k in range(4)]
    assert [rate for rate, _, _ in made] == table["learning_rate"].tolist()
    nearest = (np.log10(table["learning_rate"]) + 2).abs().idxmin()
    assert best_trial(table)["trial"] == nearest


def test_more_trials_change_no_earlier_one_and_repeat_none(tmp_path):
    first = search(tmp_path, 2)
    stamp = (tmp_path / "trial1" / "state.json").stat().st_mtime_ns
    more = search(tmp_path, 4)
    pd.testing.assert_frame_equal(more.iloc[:2], first)
    assert (tmp_path / "trial1" / "state.json").stat().st_mtime_ns == stamp


def test_a_trial_alone_is_the_trial_of_the_whole(tmp_path):
    alone = search(tmp_path / "alone", [2])
    whole = search(tmp_path / "whole", 4)
    pd.testing.assert_frame_equal(alone, whole.iloc[[2]].reset_index(drop=True))


def test_a_trial_that_diverges_has_no_score_and_the_search_goes_on(tmp_path):
    said = []
    table = search(tmp_path, 6, low=0.05, high=0.2, progress=said.append)
    diverged = table["learning_rate"] > 0.1
    assert diverged.any() and not diverged.all(), "the range should hold both kinds"
    assert table["validation_auc"].isna().equals(diverged)
    assert not diverged[best_trial(table).name]
    assert any("has no score" in message for message in said)


def test_a_trial_that_diverged_is_not_trained_again(tmp_path):
    first = search(tmp_path, 6, low=0.05, high=0.2)
    RateTask.trained.clear()
    said = []
    again = search(tmp_path, 6, low=0.05, high=0.2, progress=said.append)
    assert RateTask.trained == []
    pd.testing.assert_frame_equal(again, first)
    assert len(said) == again["validation_auc"].isna().sum() > 0


def test_no_trial_with_a_score_is_refused():
    with pytest.raises(InputError, match="no trial has a score"):
        best_trial(pd.DataFrame({"trial": [0], "validation_auc": [math.nan]}))
