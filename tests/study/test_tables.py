"""Tables 1 to 3 from frames: counts by hand, both kinds of interval, the paper in its own column."""

import gzip
import json
import lzma

import numpy as np
import pandas as pd
import pytest
from made_up import MODELS, predictions

from lesionlib.errors import InputError
from lesionlib.metrics import resampling, roc
from study import ideal_observers, paper, tables
from study.intervals.bca import auc_bca
from study.intervals.run_intervals import two_level

FEW = dict(resamples=200, seed=3)


@pytest.fixture(scope="module")
def scored():
    return predictions()


# ------------------------------------------------------------------ table 1
def images_and_lesions():
    images = pd.DataFrame(
        [
            ("A1", "A", "training", None), ("A2", "A", "training", True), ("B1", "B", "training", False),
            ("C1", "C", "test", None), ("C2", "C", "test", None), ("D1", "D", "validation", True),
        ],
        columns=["image_id", "patient_id", "split", "negative"],
    )  # fmt: skip
    images["negative"] = images["negative"].astype("boolean")
    lesions = pd.DataFrame(
        [
            ("A1", "benign"), ("A1", "benign"), ("A1", "malignant"),
            ("C1", "malignant"), ("C2", "unknown"),
        ],
        columns=["image_id", "pathology"],
    )  # fmt: skip
    return images, lesions


def test_table_1_by_hand():
    t = tables.table_1(*images_and_lesions())
    assert list(t.index) == ["training", "validation", "test", "overall"]
    training = t.loc["training"].to_dict()
    assert training == {
        "patients": 2, "images": 3, "images_negative": 1, "images_benign": 1, "images_malignant": 1,
        "images_both": 1, "images_other": 1, "lesions_benign": 2, "lesions_malignant": 1,
        "lesions_unknown": 0,
    }  # fmt: skip
    assert t.loc["test", ["images_malignant", "images_other", "lesions_unknown"]].tolist() == [
        1,
        1,
        1,
    ]
    assert t.loc["overall", "patients"] == 4


def test_a_caption_counts_each_lesion_once():
    frame = pd.DataFrame(
        [("a", "A", 1), ("a", "A", 1), ("b", "A", 0), ("c", "C", 0)],
        columns=["lesion_id", "patient_id", "y_true"],
    )
    assert tables.counted(frame) == "3 lesions (1 malignant), 2 patients"
    named = frame.head(1).assign(pathology="benign").drop(columns="y_true")
    assert tables.counted(named) == "1 lesion (benign), 1 patient"
    assert tables.counted(named.set_index("lesion_id")) == "1 lesion (benign), 1 patient"
    assert tables.counted(frame.head(0)) == "no lesion, no patient"
    split = named.assign(split="test")
    assert tables.of_split(split) == "test split: 1 lesion (benign), 1 patient"


def test_a_caption_counts_images_and_women_without_a_lesion(tiny_store):
    images = tiny_store.images
    free = images.index[~images.index.isin(tiny_store.lesions["image"])][:1]
    one = tiny_store.lesions.index[:1]
    on = tiny_store.lesions.loc[one, "image"]
    split, kind = images.at[free[0], "split"], tiny_store.lesions.at[one[0], "pathology"]
    assert tables.on_images(tiny_store, free) == f"{split} split: 1 image, no lesion, 1 patient"
    # windows repeat their image, and those off the lesions have none
    said = tables.on_images(tiny_store, [*on, *on], [*one, -1])
    assert said.endswith(f"split: 1 image, 1 lesion ({kind}), 1 patient")
    both = tables.on_images(tiny_store, [*on, *free])
    assert both.count("split") == 1 and "2 images" in both


def test_table_1_closes():
    t = tables.table_1(*images_and_lesions())
    kinds = t[["images_negative", "images_benign", "images_malignant", "images_other"]].sum(axis=1)
    pd.testing.assert_series_equal(t["images"], kinds - t["images_both"], check_names=False)
    splits = t.drop("overall").sum()
    assert (splits == t.loc["overall"]).all()


def test_table_1_takes_plain_flags_too():
    images, lesions = images_and_lesions()
    plain = images.assign(negative=images["negative"].fillna(False).astype(bool))
    pd.testing.assert_frame_equal(tables.table_1(plain, lesions), tables.table_1(images, lesions))


def test_table_1_numbers_are_keyed_by_split_and_column():
    out = tables.table_1_numbers(tables.table_1(*images_and_lesions()))
    assert out["table_1.training.lesions_benign"] == {"value": 2}
    assert json.loads(json.dumps(out)) == out


# ------------------------------------------------------------------ tables 2 and 3
def test_table_2_holds_the_operating_points_of_the_mean_score(scored):
    t = tables.table_2(scored, **FEW)
    part = scored[scored["model"] == "E+S"]
    mean = part.groupby("lesion_id")[["y_true", "y_score"]].mean()
    expected = roc.operating_points(mean["y_true"].to_numpy(int), mean["y_score"])
    for column in ("missed", "malignant", "spared", "benign", "tnr"):
        np.testing.assert_array_equal(t[column], expected[column])
    assert (t["missed"] / t["malignant"] <= t["fnr"]).all()
    assert ((t["low_patients"] <= t["tnr"]) & (t["tnr"] <= t["high_patients"]))[1:].all()


def test_table_2_over_patients_is_of_the_mean_score(scored):
    t = tables.table_2(scored, fnr=(0.02, 0.1), **FEW)
    s = tables.scores(scored, "E+S")
    for k, fnr in enumerate((0.02, 0.1)):
        at = lambda truth, score, fnr=fnr: roc.tnr_at(truth, score, fnr)[0]  # noqa: E731
        over = resampling.interval(s.truth, s.mean, s.patient, at, 200, 3)
        assert (t["low_patients"][k], t["high_patients"][k]) == pytest.approx((over.low, over.high))


def test_table_2_over_runs_is_mean_and_sd_of_the_runs(scored):
    t = tables.table_2(scored, fnr=(0.02,), **FEW).iloc[0]
    part = scored[scored["model"] == "E+S"]
    each = [roc.tnr_at(g["y_true"], g["y_score"], 0.02)[0] for _, g in part.groupby("run")]
    assert t["mean_runs"] == pytest.approx(np.mean(each))
    assert t["sd_runs"] == pytest.approx(np.std(each, ddof=1))
    assert t["high_runs"] == pytest.approx(np.mean(each) + 1.96 * np.std(each, ddof=1), abs=1e-4)


def test_table_2_gives_no_interval_at_fnr_0_and_marks_the_rows_that_rest_on_few(scored):
    malignant = int(tables.scores(scored, "E+S").truth.sum())
    fnr = (0, 0.5 / malignant, 4 / malignant, 5 / malignant)
    t = tables.table_2(scored, fnr=fnr, **FEW)
    assert [note[:5] for note in t["note"]] == ["exact", "no mi", "rests", ""]
    ends = t[
        [f"{end}_{kind}" for end in ("low", "high") for kind in ("patients", "t_runs", "both")]
    ]
    assert ends.iloc[0].isna().all() and ends.iloc[1:].notna().all(axis=None)


def test_the_interval_over_runs_and_patients_is_of_the_mean_of_the_runs(scored):
    s = tables.scores(scored, "E+S")
    at = lambda truth, score, times=None: roc.tnr_at(truth, score, 0.1, times)[..., 0]  # noqa: E731
    second = tables.table_2(scored, fnr=(0.1,), **FEW).iloc[0]
    third = tables.table_3(scored, **FEW).set_index("model").loc["E+S"]
    for row, statistic in ((second, at), (third, "auc")):
        both = two_level(s.truth, s.runs, s.patient, statistic, 200, 3)
        assert row["mean_runs"] == pytest.approx(both.value)
        assert (row["low_both"], row["high_both"]) == pytest.approx((both.low, both.high))
        half = (row["high_t_runs"] - row["low_t_runs"]) / 2  # t of 2 degrees of freedom
        assert half == pytest.approx(4.302653 * row["sd_runs"] / np.sqrt(3))


def test_the_papers_values_stand_in_a_labelled_column_only(scored):
    t = tables.table_2(scored, **FEW)
    assert t[paper.LABEL][2] == "0.231 [0.190, 0.273]"
    assert set(tables.table_2(scored, "E", **FEW)[paper.LABEL]) == {"not printed"}
    third = tables.table_3(scored, **FEW).set_index("model")[paper.LABEL]
    assert third["E+S"] == "0.799 +- 0.002" and third["f_loc"] == "not printed"


def test_table_3_has_the_papers_order_and_counts(scored):
    t = tables.table_3(scored, **FEW)
    assert list(t["model"]) == list(MODELS)
    assert (t["malignant"] + t["benign"] == t["lesions"]).all()
    assert (t["patients"] == 120).all() and (t["runs"] == 3).all()
    s = tables.scores(scored, "E+S")
    row = t.set_index("model").loc["E+S"]
    assert row["auc"] == pytest.approx(roc.auc(s.truth, s.mean))
    expected = resampling.interval(s.truth, s.mean, s.patient, n=200, seed=3)
    assert (row["low_patients"], row["high_patients"]) == (expected.low, expected.high)
    assert row["mean_runs"] == pytest.approx(np.mean([roc.auc(s.truth, x) for x in s.runs.T]))


def test_table_3_has_the_corrected_interval_of_the_mean_score(scored):
    row = tables.table_3(scored, **FEW).set_index("model").loc["E+S"]
    s = tables.scores(scored, "E+S")
    expected = auc_bca(s.truth, s.mean, s.patient, 200, 3)
    assert (row["low_bca"], row["high_bca"]) == (expected.low, expected.high)


def test_rows_in_any_order_give_the_same_table(scored):
    shuffled = scored.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(tables.table_3(scored, **FEW), tables.table_3(shuffled, **FEW))


def test_one_run_has_no_spread_but_an_interval_over_patients():
    one = predictions(runs=1)
    t = tables.table_3(one, **FEW)
    assert t["sd_runs"].isna().all() and t["low_patients"].notna().all()
    assert tables.numbers(one, **FEW)["auc.E"]["sd"] is None


def test_a_model_that_was_not_run_has_no_row(scored):
    few = scored[scored["model"].isin(["E", "S"])]
    assert list(tables.table_3(few, **FEW)["model"]) == ["E", "S"]
    assert "gain.E+S-E" not in tables.numbers(few, **FEW)


# ------------------------------------------------------------------ comparisons
def test_gain_is_paired_and_narrower_than_its_parts(scored):
    g = tables.gain(scored, **FEW)
    t = tables.table_3(scored, **FEW).set_index("model")
    assert g.value == pytest.approx(t.at["E+S", "auc"] - t.at["E", "auc"])
    assert g.high - g.low < t.at["E+S", "high_patients"] - t.at["E+S", "low_patients"]
    assert tables.gain(scored, "E", "E+S", **FEW).value == pytest.approx(-g.value)


def test_a_gain_over_runs_is_the_mean_of_the_runs_gains(scored):
    got = tables.gain_over_runs(scored, **FEW)
    t = tables.table_3(scored, **FEW).set_index("model")["mean_runs"]
    assert got.value == pytest.approx(t["E+S"] - t["E"]) and got.runs == 3
    assert got.low < got.value < got.high
    entry = tables.numbers(scored, **FEW)["gain.E+S-E"]
    ends = [entry[name] for name in ("mean", "low_both", "high_both")]
    assert ends == [got.value, got.low, got.high]
    more = pd.concat(
        [scored, scored[(scored["model"] == "E") & (scored["run"] == 0)].assign(run=9)]
    )
    assert "low_both" not in tables.numbers(more, **FEW)["gain.E+S-E"]


def test_a_model_of_one_run_lends_it_to_each_run_of_the_other(scored):
    once = scored[(scored["model"] != "E") | (scored["run"] == 0)]
    got, e = tables.gain_over_runs(once, **FEW), tables.scores(once, "E")
    each = [roc.auc(e.truth, x) for x in tables.scores(once, "E+S").runs.T]
    assert got.value == pytest.approx(np.mean(each) - roc.auc(e.truth, e.mean)) and got.runs == 3
    assert tables.numbers(once, **FEW)["gain.E+S-E"]["mean"] == got.value


def test_spared_more_counts_lesions(scored):
    more = tables.spared_more(scored, **FEW)
    assert more["value"] == pytest.approx((more["spared_a"] - more["spared_b"]) / more["benign"])
    assert more["missed_a"] <= 0.02 * more["malignant"]
    assert more["per_100_benign"] == pytest.approx(100 * more["value"])


def test_results_are_json_and_complete(scored):
    out = tables.numbers(scored, **FEW)
    assert json.loads(json.dumps(out, allow_nan=False)) == out
    assert {f"auc.{m}" for m in MODELS} <= set(out)
    assert {"gain.E+S-E", "tnr.E+S@0.02", "tnr_gain.E+S-E@0.02"} <= set(out)
    auc = out["auc.E+S"]
    assert len(auc["each"]) == 3 and auc["patients"] == 120 and auc["kind"] == "95 % over patients"
    for key, entry in out.items():
        if key.endswith("@0"):
            assert entry["low"] is entry["high"] is entry["low_both"] is None
        else:
            assert entry["low"] <= entry["high"], key
    assert out["tnr.E@0.02"]["note"] == out["tnr_gain.E+S-E@0.02"]["note"] != ""


# ------------------------------------------------------------------ frames of figures
def test_figure_7_is_steps_of_one_malignant_lesion(scored):
    f = tables.figure_7(scored, bands=("E",), **FEW)
    e = f[f["model"] == "E"]
    assert len(e) == e["malignant"].iloc[0] + 1 and e["tnr"].is_monotonic_increasing
    assert e["low"].notna().all() and f.loc[f["model"] == "S", "low"].isna().all()


def test_roc_curves_carry_their_auc(scored):
    f = tables.roc_curves(scored)
    s = tables.scores(scored, "S")
    assert f.loc[f["model"] == "S", "auc"].iloc[0] == pytest.approx(roc.auc(s.truth, s.mean))


def test_figure_6_summarises_runs_and_names_the_papers_arm():
    runs = pd.DataFrame(
        {"backbone": "resnetv2_50", "initialisation": ["he", "he", "imagenet"], "run": [0, 1, 0],
         "test_auc": [0.7, 0.8, 0.81]}
    )  # fmt: skip
    t = tables.figure_6(runs).set_index("initialisation")
    assert t.at["he", "auc"] == pytest.approx(0.75) and t.at["he", "runs"] == 2
    assert np.isnan(t.at["imagenet", "sd"])
    assert t.at["he", paper.LABEL] == "0.762 +- 0.015"
    assert t.at["imagenet", paper.LABEL] == "not printed"
    out = tables.figure_6_numbers(tables.figure_6(runs))
    gain = out["floc_gain.resnetv2_50"]
    assert gain["value"] == pytest.approx(0.06) and "low" not in gain, "one run has no spread"
    json.dumps(out, allow_nan=False)
    # a second run of the other arm: SDs .0707 and .0141, so sqrt(.005 + .0002) for the difference
    runs.loc[3] = ["resnetv2_50", "imagenet", 1, 0.83]
    gain = tables.figure_6_numbers(tables.figure_6(runs))["floc_gain.resnetv2_50"]
    half = 1.96 * 0.0052**0.5
    assert (gain["low"], gain["high"]) == pytest.approx((0.07 - half, 0.07 + half))


# ------------------------------------------------------------------ refusals
FUNCTIONS = {
    "scores": lambda p: tables.scores(p, "E"),
    "table_2": lambda p: tables.table_2(p, **FEW),
    "table_3": lambda p: tables.table_3(p, **FEW),
    "gain": lambda p: tables.gain(p, **FEW),
    "gain_over_runs": lambda p: tables.gain_over_runs(p, **FEW),
    "spared_more": lambda p: tables.spared_more(p, **FEW),
    "numbers": lambda p: tables.numbers(p, **FEW),
    "figure_7": lambda p: tables.figure_7(p, **FEW),
    "roc_curves": tables.roc_curves,
    "with_observers": lambda p: ideal_observers.with_observers(p, CASES),
    "correlations": lambda p: ideal_observers.correlations(p, CASES, 20),
}
CASES = pd.DataFrame(columns=["local", "evidence"])


def first_is(column: str, value, dtype=None):
    """A change of one cell, of a lesion's score by E."""

    def change(p: pd.DataFrame) -> pd.DataFrame:
        p = p.astype({column: dtype or object})
        p.loc[p.index[0], column] = value
        return p

    return change


FAULTS = {
    "no column model": lambda p: p.drop(columns="model"),
    "no column split, y_true": lambda p: p.drop(columns=["split", "y_true"]),
    "no row": lambda p: p.iloc[:0],
    "1 rows have no lesion_id": first_is("lesion_id", None),
    "1 rows have no patient_id": first_is("patient_id", np.nan),
    "1 rows have no model": first_is("model", None),
    "1 rows have no run": first_is("run", np.nan, float),
    "unknown model 'es' .*did you mean 'E.S'": lambda p: p.replace({"model": {"E+S": "es"}}),
    "unknown model 's . E' .*did you mean 'E.S'": first_is("model", "s + E"),
    "split 'test' .*Its splits are Test: name the one to be judged 'test'": lambda p: p.assign(
        split="Test"
    ),
    "neither malignant nor benign: '2' .row 1,": first_is("y_true", 2),
    "neither malignant nor benign: 'nan' .row 1,": first_is("y_true", np.nan, float),
    "neither malignant nor benign: 'maybe' .row 1,": first_is("y_true", "maybe"),
    "1 of .* scores are missing or infinite: 'inf' .row 1, y_score of E": first_is(
        "y_score", np.inf
    ),
    "scores are missing or infinite: 'high' .row 1,": first_is("y_score", "high"),
    "all .* lesions are benign": lambda p: p.assign(y_true=0),
    "second in a run: 'L0000' .row [0-9]{3,}, lesion_id of E": lambda p: pd.concat([p, p.iloc[:1]]),
    "1 scores of E.* are missing, first L0000 in run 0": lambda p: p.drop(index=p.index[0]),
    "lesion L0000 has two truths": lambda p: first_is("y_true", 1 - p["y_true"].iloc[0], int)(p),
    "lesion L0000 has two patients": first_is("patient_id", "P999"),
}


@pytest.mark.parametrize("said", FAULTS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_fault_of_the_predictions_is_named_whatever_reads_them(scored, function, said):
    model = "E+S" if function == "table_2" else "E"
    some = scored[scored["model"].isin(["E", "S", "E+S"])]
    some = some.sort_values("model", key=lambda names: names != model, kind="stable")
    with pytest.raises(InputError, match=said):
        FUNCTIONS[function](FAULTS[said](some))


@pytest.mark.parametrize("function", sorted(FUNCTIONS.keys() - {"table_3", "numbers"}))
def test_without_the_papers_models_those_at_hand_are_named(scored, function):
    own = scored[scored["model"] == "E"].assign(model="mine")
    with pytest.raises(InputError, match="mine"):
        FUNCTIONS[function](own)
    assert list(tables.table_3(own, **FEW)["model"]) == ["mine"]
    assert set(tables.numbers(own, **FEW)) == {"auc.mine"}
    assert set(tables.figure_7(own, ["mine"], **FEW)["model"]) == {"mine"}


def test_predictions_of_other_lesions_have_no_ideal_observer(scored):
    with pytest.raises(InputError, match="were not drawn here"):
        ideal_observers.correlations(scored, CASES, 20)


def test_a_figure_has_every_model_that_it_was_asked_for(scored):
    for draw in (tables.figure_7, tables.roc_curves):
        with pytest.raises(InputError, match="no prediction of 'ES'.*did you mean 'E.S'"):
            draw(scored, ["E", "ES"])


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.csv.xz"])
def test_a_file_of_predictions_keeps_its_names_and_scores(scored, tmp_path, name):
    ids = scored.assign(lesion_id=scored["lesion_id"].str.removeprefix("L"))  # 0001 is a name
    ids.to_csv(tmp_path / name, index=False)
    pd.testing.assert_frame_equal(tables.read_predictions(tmp_path / name), ids)


def test_a_compressed_file_is_found_without_its_ending(scored, tmp_path):
    for ending in ("gz", "xz"):
        scored.to_csv(tmp_path / f"{ending}.csv.{ending}", index=False)
        pd.testing.assert_frame_equal(tables.read_predictions(tmp_path / f"{ending}.csv"), scored)


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "no such file"),
        (b"", "cannot be read as CSV"),
        (b"\x00\xff\xfe\x1f", "as CSV|no column"),
        (b'a,b\n"1,2\n', "as CSV|no column"),
        (b"lesion|patient\n1|2\n", "no column lesion_id"),
        (b'"split";"lesion_id"\n"test";0,5\n', "separated by semicolons"),
        (b"lesion_id\tsplit\n1\t0,5\n", "separated by tabs"),
    ],
)
def test_a_file_that_holds_no_predictions_is_one_line(tmp_path, content, said):
    if content is not None:
        (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"({said}).*p.csv"):
        tables.read_predictions(tmp_path / "p.csv")
    for name in ("p.csv.gz", "p.zip", "p.csv.xz"):
        (tmp_path / name).write_bytes(b"neither text nor compressed \xff")
        with pytest.raises(InputError, match="cannot be read as CSV.*Save it as CSV"):
            tables.read_predictions(tmp_path / name)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda text: text.replace("L0003", '"L03', 1).replace("L0009", '"L9', 1), "a stray quote"),
        (lambda text: text.replace("L0003", "L00\0003"), "it holds NUL"),
        (lambda text: text.replace("\n", ",1\n").replace("score,1", "score"), "more fields than"),
        (lambda text: text.replace("y_true", "y_score"), "column y_score occurs twice"),
        (lambda text: text.replace("y_true", "Y_True"), "no column y_true .*Rename 'Y_True'"),
    ],
)
@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.csv.xz"])
def test_a_torn_file_of_predictions_is_not_read_in_part(scored, tmp_path, name, change, said):
    scored.to_csv(tmp_path / "whole.csv", index=False)
    opened = {"gz": gzip.open, "xz": lzma.open}.get(name[-2:], open)
    with opened(tmp_path / name, "wt") as file:
        file.write(change((tmp_path / "whole.csv").read_text()))
    with pytest.raises(InputError, match=said):
        tables.read_predictions(tmp_path / name)


def test_blanks_around_the_commas_of_a_file_are_no_part_of_its_names(scored, tmp_path):
    text = scored.to_csv(index=False)
    for mended in (text.replace(",", ", "), text.replace("L0003,", '"L0003" ,')):
        (tmp_path / "p.csv").write_text(mended)
        pd.testing.assert_frame_equal(tables.read_predictions(tmp_path / "p.csv"), scored)


def test_models_on_different_lesions_are_not_compared(scored):
    gone = (scored["model"] == "E") & (scored["lesion_id"] == "L0000")
    with pytest.raises(InputError, match="^E lacks 1 lesions that .* has: L0000 "):
        tables.gain(scored[~gone], **FEW)


def test_a_lesion_has_one_truth_and_one_patient_whatever_the_model(scored):
    """Each model for itself may be right: it is the models that differ."""
    other = (scored["model"] == "S") & (scored["lesion_id"] == "L0007")
    turned = scored.assign(y_true=scored["y_true"].where(~other, 1 - scored["y_true"]))
    moved = scored.assign(patient_id=scored["patient_id"].where(~other, "P999"))
    for frame, said in ((turned, "two truths"), (moved, "two patients")):
        with pytest.raises(InputError, match=f"lesion L0007 has {said} .predictions"):
            tables.checked_predictions(frame)
    words = scored["y_true"].map({1: "Malignant", 0: "benign"})
    spelt = scored.assign(y_true=scored["y_true"].astype(object).where(~other, words))
    pd.testing.assert_frame_equal(tables.table_3(spelt, **FEW), tables.table_3(scored, **FEW))


def test_an_odd_row_is_counted_in_the_whole_file(scored):
    odd = scored.index[scored["model"] == "S"][4]
    frame = scored.astype({"y_score": object})
    frame.loc[odd, "y_score"] = "high"
    with pytest.raises(InputError, match=rf"'high' .row {odd + 1}, y_score of S"):
        tables.scores(frame, "S")


# ------------------------------------------------------------------ text and paper
def test_markdown_rounds_shows_dashes_and_the_named_index():
    frame = pd.DataFrame({"auc": [0.79913, np.nan], "n": [600, 12]}, index=pd.Index(["a|b", "c"]))
    assert "index" not in tables.to_markdown(frame) and "a" not in tables.to_markdown(frame)[9:]
    lines = tables.to_markdown(frame.rename_axis("model")).splitlines()
    assert lines[2].replace(" ", "") == "|a\\|b|0.799|600|"
    assert lines[3].replace(" ", "") == "|c|–|12|"


def test_the_papers_values():
    assert paper.table_1().loc["test", "lesions_malignant"] == 136
    assert paper.table_3().set_index("model").at["E+S", "auc"] == 0.799
    assert paper.table_2()["tnr"].tolist() == [0.017, 0.135, 0.231, 0.276, 0.435]
    assert len(paper.figure_6()) == 3 and paper.value("test_patients") == 260
    for frame in (
        paper.table_1(),
        paper.table_2(),
        paper.table_3(),
        paper.figure_6(),
        paper.text(),
    ):
        assert frame["where"].str.len().gt(0).all()
    with pytest.raises(InputError, match="did you mean 'patients'"):
        paper.value("patient")


def test_the_papers_values_cannot_be_changed_by_a_reader():
    third, first = paper.table_3(), paper.table_1()
    third.loc[:, "auc"] = 0
    first.loc[:, "lesions_benign"] = 0
    assert paper.table_3()["auc"].gt(0).all() and paper.table_1()["lesions_benign"].gt(0).all()


def test_a_folded_table_opens_under_its_title():
    frame = pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="row"))
    opened = tables.folded("More", frame)
    assert opened.startswith("<details><summary>More</summary>\n\n|")
    assert tables.to_markdown(frame) in opened and opened.endswith("\n\n</details>")
