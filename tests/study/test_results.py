"""Ideal observers and results.json: complete, valid JSON, right where the answer is known."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from data_manifest.phantom import reader as phantom
from data_manifest.phantom.reader import PhantomSettings
from lesionlib.metrics import auc
from lesionlib.scoring import PREDICTION_COLUMNS
from study import ideal_observers, tables
from study.steps import results_file

FEW = 50  # resamples


def drawn(patients: int = 60, **settings):
    """Test lesions of a phantom: what was drawn, the ideal scores, a perfect mean S_m."""
    made = PhantomSettings(training=1, negative=0, validation=1, test=patients, **settings)
    truth = phantom.draw_cases(made, 3).query("split == 'test'")
    ideal = phantom.ideal_scores(truth, made)
    cases = truth.reset_index(drop=True).join(ideal[["local", "context", "both", "evidence"]])
    cases["lesion_id"] = cases["finding_id"] + "@" + cases["image_id"]
    cases["y_true"] = cases["malignant"].astype(int)
    return cases.assign(s_m=expit(cases["c"])).set_index("lesion_id")


def scored(cases: pd.DataFrame, runs: int = 2, seed: int = 0) -> pd.DataFrame:
    """Predictions of networks as good as the ideal observers; I guesses."""
    guess = np.random.default_rng(seed).random((runs, len(cases)))
    says = {"f_loc": "local", "E": "local", "S": "context", "E+S": "both"}
    says |= {"I+E": "local", "I+S": "context", "I+S+E": "both", "I": None}
    head = cases.reset_index()[["lesion_id", "patient_id", "y_true"]].assign(split="test")
    parts = [
        head.assign(model=m, run=run, y_score=cases[ideal].to_numpy() if ideal else guess[run])
        for m, ideal in says.items()
        for run in range(runs)
    ]
    return pd.concat(parts, ignore_index=True)[list(PREDICTION_COLUMNS)]


@pytest.fixture(scope="module")
def cases():
    return drawn()


@pytest.fixture(scope="module")
def predictions(cases):
    return scored(cases)


@pytest.fixture(scope="module")
def found(predictions, cases):
    return ideal_observers.compare(predictions, cases, FEW)


# ------------------------------------------------------------------ ideal observers
def test_perfect_networks_fall_short_by_nothing(found):
    assert {m: e["value"] for m, e in found["shortfall"].items()} == dict.fromkeys(
        ("S", "f_loc", "E+S", "E"), 0.0
    )
    assert found["gain"]["value"] == pytest.approx(found["ideal_gain"]["value"])


def test_e_with_the_true_context_is_the_ideal_of_both_where_e_is_ideal(found, cases):
    known = auc(cases["y_true"], cases["both"])
    assert found["E_true_context"]["value"] == pytest.approx(known)
    assert found["ideal"]["both"]["value"] == pytest.approx(known)


def test_observers_are_matched_by_lesion_and_not_by_order(predictions, cases, found):
    shuffled = cases.sample(frac=1, random_state=0)
    again = ideal_observers.compare(predictions, shuffled, FEW)
    assert again == found


def test_a_worse_network_falls_short_by_the_difference_of_the_aucs(cases, predictions):
    worse = predictions.copy()
    mine = worse["model"] == "S"
    noise = np.random.default_rng(1).normal(0, 2, mine.sum())
    worse.loc[mine, "y_score"] = expit(logit(worse.loc[mine, "y_score"]) + noise)
    s = tables.scores(worse, "S")
    known = auc(cases["y_true"], cases["context"]) - auc(s.truth, s.mean)
    found = ideal_observers.compare(worse, cases, FEW)
    assert found["shortfall"]["S"]["value"] == pytest.approx(known)
    assert found["shortfall"]["S"]["low"] <= known <= found["shortfall"]["S"]["high"]


# ------------------------------------------------------------------ within truth
def test_correlation_within_truth_leaves_out_what_truth_moves():
    truth = np.repeat([True, False], 50)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 100)) + 10 * truth
    assert np.corrcoef(a, b)[0, 1] > 0.9
    assert abs(ideal_observers.within_truth(truth, a, b)) < 0.2
    assert ideal_observers.within_truth(truth, a, 2 * a + 5 * truth) == pytest.approx(1)
    assert (
        ideal_observers.within_truth(truth, a, truth.astype(float)) == 0
    )  # nothing left within truth


def test_wanted_correlations_are_high_and_leaks_are_told(found, cases, predictions):
    r = found["within_truth"]
    assert min(r["E_u"]["value"], r["S_m_c"]["value"]) > 0.9
    assert all(e["low"] <= e["value"] <= e["high"] for e in r.values())
    leaky = ideal_observers.correlations(predictions, cases.assign(s_m=cases["u"]), FEW)
    assert leaky["S_m_u"]["value"] == pytest.approx(1)


# ------------------------------------------------------------------ acceptance
def holds(found) -> dict[str, bool]:
    return {row["question"].split(":")[0]: row["holds"] for row in found["acceptance"]}


def entry(value, width=0.05):
    return {"value": value, "low": value - width, "high": value + width}


def parts(**changes):
    shortfall = {m: entry(changes.get(m, 0.02)) for m in ("S", "f_loc", "E+S")}
    gain = changes.get("gain", entry(0.06)), entry(changes.get("ideal_gain", 0.05))
    within = {n: entry(changes.get(n, 0.01)) | {"wanted": w}
              for n, (_, _, w) in ideal_observers.WITHIN_TRUTH.items()}  # fmt: skip
    return {"shortfall": shortfall, "gain": gain[0], "ideal_gain": gain[1], "within_truth": within}


def test_all_questions_hold_where_all_is_well():
    rows = ideal_observers.acceptance(entry(0.49), parts())
    assert len(rows) == 7 and all(row["holds"] for row in rows)


@pytest.mark.parametrize(
    "change, failing",
    [
        ({"S": 0.041}, "S is near"),
        ({"S": -0.041}, "S is near"),  # better than the optimum: a leak
        ({"f_loc": 0.061}, "f_loc is near"),
        ({"E+S": 0.061}, "E+S is near"),
        ({"gain": entry(0.04)}, "the gain"),
        ({"E_c": -0.11}, "no leak: E with c"),
        ({"S_m_u": 0.11}, "no leak: mean S_m with u"),
        ({"gain": entry(0.02), "ideal_gain": 0.0}, "no gain"),
    ],
)
def test_each_question_can_fail(change, failing):
    rows = ideal_observers.acceptance(entry(0.5), parts(**change))
    failed = [row["question"] for row in rows if not row["holds"]]
    assert len(failed) == 1 and failed[0].startswith(failing)


def test_location_must_hold_one_half():
    rows = ideal_observers.acceptance(entry(0.56), parts())
    assert [r["question"] for r in rows if not r["holds"]] == ["I alone tells nothing"]


def test_the_control_has_no_ideal_gain():
    cases = drawn(context_effect=0.0)
    found = ideal_observers.compare(scored(cases), cases, FEW)
    assert found["ideal"]["context"]["value"] == 0.5
    assert found["ideal_gain"]["value"] == 0
    assert holds(found)["no gain of E+S over E where there is none"]


# ------------------------------------------------------------------ the file
@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project with an experiment `toy`, its repetition, its control, and empty figures."""
    (tmp_path / "experiments").mkdir()
    for name in ("toy", "toy_seed2", "toy_seed3", "toy_control", "toyish_seed9"):
        (tmp_path / "experiments" / f"{name}.yaml").write_text("title: toy\n")
    monkeypatch.setattr(results_file, "figures_folder", lambda name: tmp_path / "figures" / name)
    names = sorted(p.stem for p in (tmp_path / "experiments").glob("*.yaml"))
    monkeypatch.setattr(results_file, "experiment_names", lambda: names)
    return tmp_path / "figures"


def save(place, name: str, predictions: pd.DataFrame, file: str = "predictions.csv") -> None:
    (place / name).mkdir(parents=True)
    predictions.to_csv(place / name / file, index=False)


def test_siblings_are_found_by_name(place):
    assert results_file.siblings("toy") == (["toy_seed2", "toy_seed3"], "toy_control")
    assert results_file.siblings("toy_seed2") == ([], None)


def test_seeds_are_pooled_and_missing_ones_named(place, predictions, found, cases):
    other = drawn(40)
    save(place, "toy_seed2", scored(other, seed=5))
    save(place, "toy_control", predictions.assign(y_score=0.5), "predictions.csv.gz")
    seeds = results_file.over_seeds("toy", predictions, found, FEW)
    own = [tables.gain(p, resamples=FEW).value for p in (predictions, scored(other))]
    assert seeds["pooled"]["gain"] == pytest.approx(np.mean(own))
    assert seeds["pooled"]["patients"] == 60 + 40 and seeds["pooled"]["seeds"] == 2
    assert seeds["control"]["gain"] == 0
    assert seeds["missing"] == ["toy_seed3"]
    assert seeds["pooled"]["ideal_gain"] is None  # the sibling's results.json is not there


def test_a_table_without_e_and_s_counts_as_missing(place, predictions, found):
    save(place, "toy_seed2", predictions[predictions["model"] == "I"])
    seeds = results_file.over_seeds("toy", predictions, found, FEW)
    assert seeds["missing"] == ["toy_seed2", "toy_seed3", "toy_control"]
    assert seeds["control"] is None and seeds["pooled"]["seeds"] == 1


def test_an_experiment_without_siblings_has_no_seeds(place, predictions, found):
    assert results_file.over_seeds("alone", predictions, found, FEW) is None


@pytest.mark.parametrize("is_phantom", [True, False])
def test_the_file_is_complete_and_valid_json(tmp_path, monkeypatch, predictions, cases, is_phantom):
    lesions = cases.reset_index().assign(
        pathology=cases["y_true"].map({0: "benign", 1: "malignant"}).to_numpy()
    )
    images = lesions.drop_duplicates("image_id").assign(negative=False)
    monkeypatch.setattr(results_file, "predictions", lambda lab: predictions)
    monkeypatch.setattr(
        results_file, "store", lambda lab: SimpleNamespace(images=images, lesions=lesions)
    )
    monkeypatch.setattr(results_file, "phantom_cases", lambda lab: cases)
    settings = SimpleNamespace(
        title="Toy", data=SimpleNamespace(dataset="toy"),
        evaluation=SimpleNamespace(resamples=FEW, fnr=(0.0, 0.02)),
    )  # fmt: skip
    lab = SimpleNamespace(
        name="alone", settings=settings, is_phantom=is_phantom, figures=tmp_path,
        records=lambda: {"odd": {"value": float("nan")}, "auc.I": {"value": -1.0}},
        origin=lambda: {"seed": np.int64(3)}, note=lambda file: None,
    )  # fmt: skip
    made = results_file.results(lab)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == made
    assert set(made["models"]) == set(tables.MODELS)
    e = made["models"]["E+S"]
    assert {"value", "low", "high", "each", "mean", "sd", "lesions", "patients"} <= set(e)
    assert len(e["each"]) == e["runs"] == 2
    assert made["counts"]["test"]["lesions_malignant"] == e["malignant"]
    assert made["records"]["odd"]["value"] is None
    # what a notebook recorded earlier never hides the fresh number
    assert made["records"]["auc.I"]["value"] == made["models"]["I"]["value"]
    assert set(made["operating_points"]) == {"E@0", "E@0.02", "E+S@0", "E+S@0.02"}
    assert (made["phantom"] is not None) == is_phantom
    assert ("ideal.both" in made["records"]) == is_phantom
