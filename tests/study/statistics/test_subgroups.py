"""AUC by group, by finding and by woman, and women spared, against loops."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lesionlib.errors import InputError
from lesionlib.metrics import resampling, roc
from study import tables
from study.statistics import subgroups

FEW = dict(resamples=60, seed=3)


@pytest.fixture(scope="module")
def test_scores(scored):
    return tables.scores(scored, "E+S"), tables.scores(scored, "E")


def test_groups_of_lesions():
    rows = [("a", "1", "benign", 9, "mass"), ("b", "1", "malignant", 1, "mass")]
    rows += [("c", "2", "benign", 5, "calcification"), ("d", "2", "unknown", 7, "mass")]
    rows += [("e", "3", "benign", 2, "mass"), ("f", "3", "benign", 8, "mass")]
    names = ["lesion_id", "image_id", "pathology", "area_px", "kind"]
    lesions = pd.DataFrame(rows, columns=names)
    images = pd.DataFrame({"image_id": ["1", "2", "3"], "view": ["CC", "MLO", "CC"]})
    found = subgroups.lesion_groups(lesions, images)
    assert list(found["size"]) == ["large", "small", "medium", "medium", "small", "large"]
    assert list(found["image"]) == ["both kinds"] * 2 + ["one kind"] * 4
    assert list(found["view"]) == ["CC", "CC", "MLO", "MLO", "CC", "CC"]
    assert list(found["kind"]) == list(lesions["kind"]) and "density" not in found
    density = subgroups.lesion_groups(lesions, images.assign(density=["1", "4", "2"]))["density"]
    assert list(density) == ["1", "1", "4", "4", "2", "2"]


def test_auc_and_gain_in_each_group(scored, test_scores):
    both, local = test_scores
    group = pd.Series(np.where(np.arange(len(both.lesion)) % 3, "x", "y"), index=both.lesion)
    table = subgroups.auc_by(scored, group, ["E+S", "E"], **FEW).set_index(["group", "model"])
    for name in "xy":
        rows = (group == name).to_numpy()
        truth, patient = both.truth[rows], both.patient[rows]
        each = [s.mean[rows] for s in (both, local)]
        a, b = (roc_auc_score(truth, x) for x in each)
        assert table.loc[(name, "E+S"), "value"] == pytest.approx(a)
        gain = resampling.paired_difference(truth, *each, patient, "auc", 60, 3)
        row = table.loc[(name, "E+S less E")]
        assert row["value"] == pytest.approx(a - b)
        assert (row["low"], row["high"], row["lesions"]) == (gain.low, gain.high, rows.sum())


def test_too_few_of_a_class_give_counts_alone(scored, test_scores):
    s = test_scores[0]
    few = np.flatnonzero(s.truth)[:9]
    group = pd.Series("rest", index=s.lesion)
    group.iloc[few] = "few"
    group.iloc[np.flatnonzero(~s.truth)[:20]] = "few"
    table = subgroups.auc_by(scored, group, ["E"], **FEW).set_index("group")
    assert table.loc["few", ["malignant", "benign"]].tolist() == [9, 20]
    assert table.loc["few", ["value", "low", "high"]].isna().all()
    assert table.loc["rest", ["value", "low", "high"]].notna().all()


def test_lesions_without_a_group_are_left_out(scored, test_scores):
    some = pd.Series("x", index=test_scores[0].lesion[:150])
    assert subgroups.auc_by(scored, some, ["E"], **FEW)["lesions"].tolist() == [150]


@pytest.mark.parametrize("how", ["mean", "max"])
def test_findings_take_the_mean_or_the_highest_of_their_views(scored, test_scores, how):
    s = test_scores[0]
    finding = pd.Series([f"F{i // 2}" for i in range(len(s.lesion))], index=s.lesion)
    finding = s.patient + finding  # of one patient
    table = subgroups.auc_of_units(scored, ["E+S", "E"], finding, how, **FEW)
    truth, score = {}, {}
    for i, name in enumerate(finding):
        truth[name] = truth.get(name, False) or s.truth[i]
        score.setdefault(name, []).append(s.runs[i])
    merged = [getattr(np, how)(score[name], axis=0).mean() for name in truth]
    assert table["value"][0] == pytest.approx(roc_auc_score(list(truth.values()), merged))
    assert table["value"][2] == pytest.approx(table["value"][0] - table["value"][1])
    assert (table["units"] == len(truth)).all() and (table["patients"] == 120).all()


def test_women(scored, test_scores):
    s = test_scores[0]
    table = subgroups.auc_of_units(scored, ["E+S"], how="max", **FEW)
    women = sorted(set(s.patient))
    truth = [s.truth[s.patient == w].any() for w in women]
    score = [s.runs[s.patient == w].max(axis=0).mean() for w in women]
    assert table["value"][0] == pytest.approx(roc_auc_score(truth, score))
    with pytest.raises(InputError, match="mean or max"):
        subgroups.auc_of_units(scored, ["E+S"], how="median")


def test_women_spared(scored, test_scores, by_hand):
    s, fnr = test_scores[0], (0.05, 0.2)
    # a made-up patient is ill or well as a whole: some benign lesions of ill women besides
    mixed = s.lesion[np.flatnonzero(s.truth)[::7]]
    frame = scored.assign(y_true=scored["y_true"].where(~scored["lesion_id"].isin(mixed), 0))
    s = tables.scores(frame, "E+S")
    table = subgroups.spared_women(frame, "E+S", fnr, **FEW)

    def women(rows):
        points = roc.operating_points(s.truth[rows], s.mean[rows], fnr)["threshold"]
        low = s.mean < points.to_numpy()[:, None]
        ill = {p for p in s.patient if s.truth[s.patient == p].any()}
        lesions = {p: np.flatnonzero(s.patient == p) for p in set(s.patient)}
        # how often each patient is among these rows
        times = {p: np.sum(rows == lesions[p][0]) for p in lesions}
        spared = [{p for p in lesions if k[lesions[p]].all()} for k in low]
        count = lambda group: sum(times[p] for p in group)  # noqa: E731
        return [(count(x - ill), count(set(lesions) - ill), count(x & ill)) for x in spared]

    found = women(np.arange(len(s.truth)))
    assert table[["spared", "women", "missed"]].to_numpy().tolist() == [list(x) for x in found]
    assert table["value"].tolist() == pytest.approx([x[0] / x[1] for x in found])
    assert table["missed"].max() > 0
    ends = by_hand(s.truth, s.patient, lambda rows: [x[0] / x[1] for x in women(rows)], 60, 3)
    assert table["low"].tolist() == pytest.approx(list(ends[0]))
    assert table["high"].tolist() == pytest.approx(list(ends[1]))
