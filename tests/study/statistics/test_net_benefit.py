"""Net benefit as dcurves gives it, and its intervals."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesionlib.errors import InputError
from study import tables
from study.statistics import net_benefit

HERE = Path(__file__).parent / "dcurves"


@pytest.mark.parametrize("share", [None, 0.1])
def test_net_benefit_is_that_of_dcurves(share):
    wide, golden = pd.read_csv(HERE / "scores.csv"), pd.read_csv(HERE / "net_benefit.csv")
    golden = golden[golden["share"].isna() if share is None else golden["share"] == share]
    ids = [f"L{i}" for i in wide.index]
    head = {"lesion_id": ids, "patient_id": ids, "split": "test", "y_true": wide["truth"], "run": 0}
    frame = pd.concat([pd.DataFrame(head | {"model": m, "y_score": wide[m]}) for m in "ab"])
    at = golden["threshold"].unique()
    found = net_benefit.decision_curves(frame, ["a", "b"], at, share, resamples=5)
    names = {"a": "a", "b": "b", "all": net_benefit.ALL, "none": net_benefit.NONE}
    assert list(found["model"]) == list(golden["model"].map(names))
    np.testing.assert_allclose(found["value"], golden["net_benefit"], atol=1e-12)


def test_intervals_resample_patients(scored, by_hand):
    s, at = tables.scores(scored, "E+S"), (0.1, 0.4)
    found = net_benefit.decision_curves(scored, ["E+S"], at, resamples=60, seed=3)

    def each(rows, score):
        truth, score = s.truth[rows], score[rows]
        right = [np.sum(truth & (score >= t)) for t in at]
        wrong = [np.sum(~truth & (score >= t)) * t / (1 - t) for t in at]
        return (np.array(right) - wrong) / len(rows)

    for model, score in (("E+S", s.mean), (net_benefit.ALL, np.ones(len(s.truth)))):
        low, high = by_hand(s.truth, s.patient, partial(each, score=score), 60, 3)
        rows = found[found["model"] == model]
        assert rows["low"].tolist() == pytest.approx(list(low))
        assert rows["high"].tolist() == pytest.approx(list(high))
    assert (found["patients"] == 120).all()


def test_what_is_no_probability_is_refused(scored):
    with pytest.raises(InputError, match="Give probabilities"):
        net_benefit.decision_curves(scored, ["E"], (0.2, 1.0))
    with pytest.raises(InputError, match="Give probabilities"):
        net_benefit.decision_curves(scored.assign(y_score=scored["y_score"] - 1), ["E"])


def test_avoided_is_the_gain_over_biopsy_all_in_needless_biopsies(scored, by_hand):
    at, share = (0.1, 0.4), 0.2
    found = net_benefit.avoided(scored, ["E", "E+S"], at, share, resamples=60, seed=3)
    curves = net_benefit.decision_curves(scored, ["E", "E+S"], at, share, resamples=2)
    value = curves.set_index(["model", "threshold"])["value"]
    for row in found.itertuples():
        gain = value[row.model, row.threshold] - value[net_benefit.ALL, row.threshold]
        assert row.value == pytest.approx(100 * gain * (1 - row.threshold) / row.threshold)
    s = tables.scores(scored, "E")

    def each(rows):
        truth, score, t = s.truth[rows], s.mean[rows], np.array(at)
        low = score < t[:, None]
        spared = (low & ~truth).sum(axis=1) / (~truth).sum() * (1 - share)
        missed = (low & truth).sum(axis=1) / truth.sum() * share
        return 100 * (spared - missed * (1 - t) / t)

    low, high = by_hand(s.truth, s.patient, each, 60, 3)
    rows = found[found["model"] == "E"]
    assert rows["low"].tolist() == pytest.approx(list(low))
    assert rows["high"].tolist() == pytest.approx(list(high))
