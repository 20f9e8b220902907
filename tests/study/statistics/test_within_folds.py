"""Folds judged together: pairs of one fold by brute force, and what levels and shares do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_up import predictions

from lesionlib.errors import InputError
from lesionlib.metrics import roc
from study import tables
from study.statistics.within_folds import AS_TRAINED, PERCENTILES, WITHIN, by_fold, pool

WHOLE = predictions(patients=150, runs=2)


def folded(whole: pd.DataFrame, number: int = 3, step: float = 0.0) -> dict[str, pd.DataFrame]:
    """Every third patient is one fold's test; scores of fold k are k steps higher."""
    fold = whole["patient_id"].str[1:].astype(int) % number
    names = np.where(fold.to_numpy()[:, None] == np.arange(number), "test", "validation").T
    return {
        f"fold{k}": whole.assign(split=split, y_score=whole["y_score"] + k * step)
        for k, split in enumerate(names)
    }


def rows(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("fold")


def in_order(s: tables.Scores) -> np.ndarray:
    """Of each pair (malignant, benign): 1 in order, 0.5 tied, 0 else."""
    return np.sign(s.mean[s.truth][:, None] - s.mean[~s.truth]) / 2 + 0.5


def test_only_pairs_of_one_fold_count_whatever_its_level():
    level, shifted = (pool(folded(WHOLE, step=step)) for step in (0.0, 5.0))
    found = rows(by_fold(shifted, "E", resamples=50))
    every = [in_order(tables.scores(f, "E")).ravel() for f in folded(WHOLE).values()]
    assert found["auc"].iloc[:3].tolist() == pytest.approx([x.mean() for x in every])
    assert found.loc[WITHIN, "auc"] == pytest.approx(np.concatenate(every).mean())
    same = rows(by_fold(level, "E", resamples=50))
    assert np.allclose(same.loc[[WITHIN, PERCENTILES], ["auc", "low", "high"]],
                       found.loc[[WITHIN, PERCENTILES], ["auc", "low", "high"]])  # fmt: skip
    assert found.loc[AS_TRAINED, "auc"] < same.loc[AS_TRAINED, "auc"] - 0.05
    whole = tables.scores(WHOLE, "E")
    assert same.loc[AS_TRAINED, "auc"] == pytest.approx(roc.auc(whole.truth, whole.mean))
    assert found.loc[WITHIN, "lesions"] == whole.truth.size == found["lesions"].iloc[:3].sum()


def test_scores_that_know_the_share_of_malignant_lesions_alone_are_worth_nothing_within_folds():
    """A fold with more malignant lesions leaves fewer to train on: its scores are lower."""
    one = WHOLE[WHOLE["model"] == "S"]
    folds = folded(one)
    for name, table in folds.items():
        test = table["split"] == "test"
        share = table.loc[test, "y_true"].mean()
        folds[name] = table.assign(y_score=1 - share)
    found = rows(by_fold(pool(folds), "S", resamples=50))
    assert found.loc[WITHIN, ["auc", "low", "high"]].tolist() == [0.5] * 3
    assert found.loc[PERCENTILES, "auc"] == 0.5 > found.loc[AS_TRAINED, "auc"] + 0.01


def test_percentiles_of_like_folds_give_the_mean_of_their_aucs():
    rng, parts = np.random.default_rng(4), {}
    for k in range(4):
        truth = np.arange(20) < 8
        score = rng.normal(k, 1, 20) + k * truth  # other levels, other skill
        ids = {"lesion_id": [f"{k}_{i}" for i in range(20)], "split": "test", "run": 0}
        parts[f"fold{k}"] = pd.DataFrame(
            ids
            | {"patient_id": ids["lesion_id"], "y_true": truth * 1, "model": "E", "y_score": score}
        )
    found = rows(by_fold(pool(parts), "E", resamples=50))
    mean = found["auc"].iloc[:4].mean()
    assert found.loc[WITHIN, "auc"] == pytest.approx(mean)
    assert found.loc[PERCENTILES, "auc"] == pytest.approx(mean, abs=1e-12)
    assert abs(found.loc[AS_TRAINED, "auc"] - mean) > 0.03


def test_percentiles_have_mid_ranks_and_keep_the_score_beside():
    one = WHOLE.query("model == 'E' and run == 0").iloc[:4]
    pooled = pool({"a": one.assign(y_score=[0.2, 0.1, 0.2, 0.9])})
    assert pooled["y_score"].tolist() == [50, 20, 50, 80]
    assert pooled["score"].tolist() == [0.2, 0.1, 0.2, 0.9] and set(pooled["fold"]) == {"a"}


def test_the_interval_is_as_wide_as_folds_of_independent_patients_make_it():
    found = rows(by_fold(pool(folded(WHOLE)), "E+S", "E"))
    parts = [[tables.scores(f, m) for m in ("E+S", "E")] for f in folded(WHOLE).values()]
    each = [roc.delong(a.truth, a.mean, b.mean, a.patient) for a, b in parts]
    pairs = np.array([d.malignant * d.benign for d in each], float)
    share = pairs / pairs.sum()
    assert found.loc[WITHIN, "auc"] == pytest.approx(share @ [d.value for d in each])
    se = np.sqrt(share**2 @ [d.se**2 for d in each])
    low, high = found.loc[WITHIN, ["low", "high"]]
    assert (high - low) / (2 * 1.96) == pytest.approx(se, rel=0.15)
    assert low < found.loc[WITHIN, "auc"] < high


def test_differences_are_paired():
    pooled = pool(folded(WHOLE))
    both = pd.concat([pooled, pooled[pooled["model"] == "E"].assign(model="same")])
    assert (by_fold(both, "E", "same", resamples=50)[["auc", "low", "high"]] == 0).all(axis=None)
    a, b, less = (by_fold(pooled, *m, resamples=50)["auc"] for m in (["E+S"], ["E"], ["E+S", "E"]))
    assert np.allclose(less, a - b)


def test_a_patient_tested_in_two_folds_is_refused():
    with pytest.raises(InputError, match="patient P000 is tested in two folds"):
        pool({"a": WHOLE, "b": WHOLE})
