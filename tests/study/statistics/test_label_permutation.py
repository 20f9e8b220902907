"""The permutation test against all permutations, and what it leaves as it was."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from made_up import predictions
from sklearn.metrics import roc_auc_score

from study import tables
from study.statistics.label_permutation import permutation_test


def frame(blocks, scores):
    """A predictions frame of patients with these truths."""
    patient = [f"P{k}" for k, block in enumerate(blocks) for _ in block]
    truth = [t for block in blocks for t in block]
    ids = [f"L{i:02d}" for i in range(len(truth))]
    head = {"lesion_id": ids, "patient_id": patient, "split": "test", "y_true": truth}
    return pd.DataFrame(head | {"model": "mine", "run": 0, "y_score": scores})


def test_p_is_that_of_all_permutations_between_patients_of_one_size():
    blocks = [(1,), (0, 1), (0,), (0, 0), (1,), (1, 1), (0,)]
    scores = [0.9, 0.2, 0.8, 0.1, 0.3, 0.35, 0.7, 0.6, 0.75, 0.4]
    alone, pairs = ([k for k, b in enumerate(blocks) if len(b) == n] for n in (1, 2))
    far, value = [], roc_auc_score(sum(blocks, ()), scores)
    for a in permutations(alone):
        for b in permutations(pairs):
            given = dict(zip(alone + pairs, a + b, strict=True))
            truth = sum((blocks[given[k]] for k in range(len(blocks))), ())
            far.append(abs(roc_auc_score(truth, scores) - 0.5) >= abs(value - 0.5) - 1e-9)
    found = permutation_test(frame(blocks, scores), "mine", permutations=4000)
    assert 0.02 < np.mean(far) < 0.5
    assert found["p"] == pytest.approx(np.mean(far), abs=0.02)
    assert found["value"] == pytest.approx(value) and found["exchangeable"] == 7


def test_only_patients_of_one_size_are_exchanged():
    blocks = [(1,), (0, 0), (1, 1, 1)]
    found = permutation_test(frame(blocks, np.linspace(0.9, 0.1, 6)), "mine", permutations=20)
    assert found["exchangeable"] == 0 and found["p"] == 1
    assert found["low"] == found["high"] == found["value"]


def test_chance_is_wider_where_lesions_of_a_patient_go_together(scored):
    s = tables.scores(scored, "S")
    apart = scored.assign(patient_id=scored["lesion_id"])
    wide, narrow = (permutation_test(f, "S", permutations=300) for f in (scored, apart))
    assert wide["high"] - wide["low"] > 1.1 * (narrow["high"] - narrow["low"])
    assert wide["patients"] == len(set(s.patient)) and narrow["patients"] == len(s.lesion)


def test_a_good_score_is_found_and_chance_is_not(scored):
    assert permutation_test(scored, "E+S", permutations=300)["p"] == pytest.approx(1 / 301)
    p = [permutation_test(predictions(k, 40, 1), "I", permutations=100)["p"] for k in range(20)]
    assert 2 <= sum(np.array(p) < 0.3) <= 12  # 6 are expected


def test_the_same_seed_gives_the_same_p(scored):
    one, again, other = (permutation_test(scored, "I", permutations=50, seed=s) for s in (1, 1, 2))
    assert one == again and one["low"] != other["low"]
