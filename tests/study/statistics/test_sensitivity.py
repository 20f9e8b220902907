"""Choices at evaluation on made-up windows, against counting by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from study.statistics import sensitivity

EACH = 4


@pytest.fixture(scope="module")
def windows():
    """60 lesions of 30 patients: 4 upright windows each, and of 40 more, and turned ones."""
    rng, rows = np.random.default_rng(0), []
    for lesion in range(60):
        truth, part = int(lesion % 3 == 0), lesion < 40
        for turned in (False, True)[: 1 + part]:
            for number in range(8 if part and not turned else EACH):
                score = 1 / (1 + np.exp(-(truth - 0.5) - rng.normal(size=2)))
                head = f"L{lesion:02d}", f"P{lesion // 2}", truth, rng.random(), number == 1
                rows.append((*head, number, turned, part, *score))
    names = ["lesion_id", "patient_id", "y_true", "overlap", "touches", "number", "turned", "part"]
    return pd.DataFrame(rows, columns=[*names, "E", "E+S"])


def test_each_choice_takes_its_windows(windows):
    found = sensitivity.choices(windows, EACH)
    own = windows[~windows["turned"] & (windows["number"] < EACH)]
    by_hand = {lesion: part for lesion, part in own.groupby("lesion_id")}
    for lesion, part in by_hand.items():
        scores, row = part["E+S"].to_numpy(), lambda name, k=lesion: found[name].loc[k]
        assert row("as run")["E+S"] == pytest.approx(scores.mean())
        assert row("median in place of the mean")["E+S"] == pytest.approx(np.median(scores))
        assert row("vote in place of the mean")["E+S"] == pytest.approx(np.mean(scores > 0.5))
        assert row("highest in place of the mean")["E+S"] == scores.max()
        clear = row("no lesion of another truth in a window")["E+S"]
        assert clear == pytest.approx(scores[[0, 2, 3]].mean())
        enough, half = (
            part["overlap"].to_numpy() >= 0.5,
            row("50% of the outline in each window"),
        )
        kept = scores[enough] if enough.any() else scores[[part["overlap"].argmax()]]
        assert half["E+S"] == pytest.approx(kept.mean()) and half["lost"] == (not enough.any())
    assert found["50% of the outline in each window"]["lost"].any()


def test_numbers_of_windows_and_turned_ones_are_of_the_lesions_that_have_them(windows):
    found = sensitivity.choices(windows, EACH)
    names = list(found)[list(found).index(sensitivity.ON_PART) :]
    assert all(len(found[name]) == 40 for name in names) and len(names) == 10
    first = windows[windows["lesion_id"] == "L07"]
    upright, turned = (first[first["turned"] == x]["E"].to_numpy() for x in (False, True))
    assert found["2 windows of a lesion"].loc["L07", "E"] == pytest.approx(upright[:2].mean())
    assert found["8 windows of a lesion"].loc["L07", "E"] == pytest.approx(upright.mean())
    assert found["windows turned at random"].loc["L07", "E"] == pytest.approx(turned.mean())


def test_effects_are_paired_on_the_same_lesions(windows):
    found = sensitivity.choices(windows, EACH)
    table = sensitivity.effects(found, resamples=50).set_index("choice")
    assert table.loc["as run", ["change", "change_low", "change_high"]].tolist() == [0, 0, 0]
    assert table.loc[sensitivity.ON_PART, "change"] == 0
    one, known = found["1 window of a lesion"], found["as run"]
    truth = one["y_true"]
    auc = roc_auc_score(truth, one["E+S"])
    row = table.loc["1 window of a lesion"]
    assert row["auc E+S"] == pytest.approx(auc)
    assert row["change"] == pytest.approx(auc - roc_auc_score(truth, known.loc[one.index, "E+S"]))
    assert row["gain"] == pytest.approx(auc - roc_auc_score(truth, one["E"]))
    assert row["gain_low"] < row["gain"] < row["gain_high"]
    assert row[["lesions", "malignant", "patients"]].tolist() == [40, truth.sum(), 20]


def test_a_retrained_choice_is_of_one_run(windows):
    once = windows.drop_duplicates("lesion_id")[["lesion_id", "patient_id", "y_true", "E", "E+S"]]
    long = once.melt(["lesion_id", "patient_id", "y_true"], var_name="model", value_name="y_score")
    runs = [long.assign(run=k, split="test", y_score=long["y_score"] / (k + 1)) for k in (0, 1)]
    (table,) = sensitivity.retrained(pd.concat(runs), "new", run=1).values()
    assert table["E"].to_dict() == (once.set_index("lesion_id")["E"] / 2).to_dict()
    assert not table["lost"].any() and table.loc["L03", "y_true"] == 1
    assert sensitivity.retrained(runs[0][runs[0]["model"] == "E"], "new") == {}
