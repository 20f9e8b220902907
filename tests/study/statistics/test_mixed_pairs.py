"""Pairs within images, counted by loops."""

import numpy as np
import pandas as pd
import pytest

from study import tables
from study.statistics import mixed_pairs


@pytest.fixture(scope="module")
def mixed(scored):
    """Lesions whose truth differs within images of three, and a tie."""
    first = tables.scores(scored, "E")
    image = pd.Series([f"I{i // 3}" for i in range(len(first.lesion))], index=first.lesion)
    # an image belongs to one patient
    owner = pd.Series(first.patient, index=first.lesion)
    image = owner + image
    flipped = set(first.lesion[::4])
    truth = scored["y_true"].where(~scored["lesion_id"].isin(flipped), 1 - scored["y_true"])
    return scored.assign(y_true=truth, y_score=scored["y_score"].round(1)), image


def shares(frame, image, model, rows):
    s = tables.scores(frame, model)
    where, right = image.loc[s.lesion].to_numpy(), []
    for i in rows[s.truth[rows]]:
        for j in rows[~s.truth[rows]]:
            if where[i] == where[j]:
                right.append((s.mean[i] > s.mean[j]) + 0.5 * (s.mean[i] == s.mean[j]))
    return right, where


def test_share_of_pairs_in_order(mixed):
    frame, image = mixed
    found = mixed_pairs.pairs_in_order(frame, image, "E+S", resamples=60)
    every = np.arange(len(tables.scores(frame, "E").lesion))
    right, where = shares(frame, image, "E+S", every)
    assert found["value"] == pytest.approx(np.mean(right)) and found["pairs"] == len(right)
    s = tables.scores(frame, "E")
    held = {w for w in where if len(set(s.truth[where == w])) == 2}
    assert found["images"] == len(held) >= 10
    assert found["patients"] == len(set(s.patient[np.isin(where, list(held))]))
    assert found["low"] < found["value"] < found["high"]


def test_difference_of_two_models_and_its_interval(mixed, by_hand):
    frame, image = mixed
    found = mixed_pairs.pairs_in_order(frame, image, "E+S", "E", resamples=60, seed=3)
    s = tables.scores(frame, "E")
    where = image.loc[s.lesion].to_numpy()
    held = {w for w in where if len(set(s.truth[where == w])) == 2}
    rows = np.flatnonzero(np.isin(where, list(held)))
    each = {m: [] for m in ("E+S", "E")}
    for model in each:
        mean = tables.scores(frame, model).mean
        for p in sorted(set(s.patient[rows])):
            own = rows[s.patient[rows] == p]
            each[model].append(shares(frame, image, model, own)[0])
        assert mean.shape == s.mean.shape
    patients = sorted(set(s.patient[rows]))

    def difference(drawn):
        # patient by patient, all of whose lesions are drawn together
        whom = s.patient[rows][drawn]
        times = [np.sum(whom == p) / np.sum(s.patient[rows] == p) for p in patients]
        total = {m: sum(t * sum(x) for t, x in zip(times, each[m], strict=True)) for m in each}
        pairs = sum(t * len(x) for t, x in zip(times, each["E"], strict=True))
        return (total["E+S"] - total["E"]) / pairs

    low, high = by_hand(s.truth[rows], s.patient[rows], difference, 60, 3)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    one, two = (mixed_pairs.pairs_in_order(frame, image, m, resamples=5) for m in ("E+S", "E"))
    assert found["value"] == pytest.approx(one["value"] - two["value"])


def test_without_enough_such_images_there_are_counts_alone(scored):
    s = tables.scores(scored, "E")
    alone = pd.Series(s.lesion, index=s.lesion)
    found = mixed_pairs.pairs_in_order(scored, alone, "E")
    nothing = {"value": None, "low": None, "high": None}
    assert found == nothing | {"pairs": 0, "images": 0, "patients": 0}
