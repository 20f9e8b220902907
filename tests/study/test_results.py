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
from lesionlib.errors import InputError
from lesionlib.metrics import auc
from lesionlib.scoring import PREDICTION_COLUMNS
from study import ideal_observers, tables
from study.statistics.fusion import LATE
from study.steps import results_file
from study.steps.drawn_cases import saliency_around

FEW = 50  # resamples


def drawn(patients: int = 120, **settings):
    """Test lesions of a phantom: what was drawn, the ideal scores, perfect means of S_m."""
    made = PhantomSettings(training=1, negative=0, validation=1, test=patients, **settings)
    truth = phantom.draw_cases(made, 3).query("split == 'test'").reset_index(drop=True)
    ideal = phantom.ideal_scores(truth, made)
    cases = truth.join(ideal[[*ideal_observers.OBSERVERS, "evidence"]])
    # without place the lesions of one image look the same but for rounding
    cases["context_no_place"] = cases["context_no_place"].round(9)
    cases["lesion_id"] = cases["finding_id"] + "@" + cases["image_id"]
    cases["y_true"] = cases["malignant"].astype(int)
    near = np.random.default_rng(0).random(len(cases))
    says = dict(s_m_half=expit(cases["c"]), s_m_other=expit(cases["c_other"]), s_m_near=near)
    return cases.assign(**says).set_index("lesion_id")


def scored(cases: pd.DataFrame, runs: int = 2, seed: int = 0) -> pd.DataFrame:
    """Predictions of networks as good as the ideal observers; I guesses."""
    guess = np.random.default_rng(seed).random((runs, len(cases)))
    says = {"f_loc": "local", "E": "local", "S": "context_no_place", "E+S": "both"}
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
    short = {m: e["value"] for m, e in found["shortfall"].items()}
    assert short == dict.fromkeys(("S", "I+S", "f_loc", "E", "E+S"), 0.0)


def test_gains_of_perfect_networks_are_those_of_the_ideal_observers(found, cases):
    ideal = {name: auc(cases["y_true"], cases[name]) for name in ideal_observers.OBSERVERS}
    assert {n: e["value"] for n, e in found["ideal"].items()} == pytest.approx(ideal)
    # the mean of logits ranks as the observer of both that does not know the place
    known = {
        "I+S-S": ideal["context"] - ideal["context_no_place"],
        "E+S-E": ideal["both"] - ideal["local"],
        f"E+S-{LATE}": ideal["both"] - ideal["both_no_place"],
    }
    assert {n: e["value"] for n, e in found["gains"].items()} == pytest.approx(known)
    assert found["ideal_gain"]["value"] == pytest.approx(known["E+S-E"])
    assert min(known.values()) > 0


def test_e_with_the_true_context_is_the_ideal_of_both_where_e_is_ideal(found, cases):
    known = auc(cases["y_true"], cases["both"])
    assert found["E_true_context"]["value"] == pytest.approx(known)


def test_observers_are_matched_by_lesion_and_not_by_order(predictions, cases, found):
    shuffled = cases.sample(frac=1, random_state=0)
    again = ideal_observers.compare(predictions, shuffled, FEW)
    assert again == found


def test_a_lesion_that_was_not_drawn_is_named(predictions, cases):
    with pytest.raises(InputError, match=f"1 of {len(cases)} lesions were not drawn .*TE0001"):
        ideal_observers.compare(predictions, cases.iloc[1:], FEW)


def test_a_worse_network_falls_short_by_the_difference_of_the_aucs(cases, predictions):
    worse = predictions.copy()
    mine = worse["model"] == "S"
    noise = np.random.default_rng(1).normal(0, 2, mine.sum())
    worse.loc[mine, "y_score"] = expit(logit(worse.loc[mine, "y_score"]) + noise)
    s = tables.scores(worse, "S")
    known = auc(cases["y_true"], cases["context_no_place"]) - auc(s.truth, s.mean)
    found = ideal_observers.compare(worse, cases, FEW)
    assert found["shortfall"]["S"]["value"] == pytest.approx(known) and known > 0.05
    assert found["shortfall"]["S"]["low"] <= known <= found["shortfall"]["S"]["high"]


def test_without_its_place_a_lesion_is_not_told_from_another_of_its_image(found, cases):
    pairs = found["mixed_pairs"]
    assert tuple(pairs) == ideal_observers.MIXED
    assert [pairs["S"][k] for k in ("value", "low", "high")] == [0.5] * 3
    right = [
        a.context > b.context
        for _, image in cases.groupby("image_id")
        for a in image[image["y_true"] == 1].itertuples()
        for b in image[image["y_true"] == 0].itertuples()
    ]
    assert pairs["I+S"]["value"] == pytest.approx(np.mean(right))
    assert pairs["I+S"]["pairs"] == len(right) > 10


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
    assert min(r["E_u"]["value"], r["S_m_half_c"]["value"]) > 0.9
    assert max(abs(r[name]["value"]) for name in ("E_c", "S_m_near_u", "S_m_other_c")) < 0.3
    assert all(e["low"] <= e["value"] <= e["high"] for e in r.values())
    leaky = ideal_observers.correlations(predictions, cases.assign(s_m_near=cases["u"]), FEW)
    assert leaky["S_m_near_u"]["value"] == pytest.approx(1)


def test_means_of_a_map_are_of_the_halves_and_of_what_is_near():
    s_m = np.arange(12.0).reshape(4, 3)
    breast = np.ones((8, 6), bool)  # cells of 2 x 2 px
    breast[:4, 5] = breast[4:, 4:] = False  # half of a cell of the last column is breast, then none
    breast[7, 0] = breast[6, 1] = breast[7, 1] = False  # a quarter
    upper, lower = s_m[:2].mean(), np.mean([6, 7, 10])
    found = saliency_around(s_m, breast, (2.9, 1.2), 1, 2.0)
    known = dict(s_m=5.5, s_m_half=lower, s_m_other=upper, s_m_near=s_m[1:4].mean())
    assert found == pytest.approx(known)
    # a lesion in the corner: the cells that there are
    corner = saliency_around(s_m, breast, (0.4, 2.9), 0, 2.0)
    known |= dict(s_m_half=upper, s_m_other=lower, s_m_near=s_m[:2, 1:].mean())
    assert corner == pytest.approx(known)


@pytest.mark.parametrize("border, rows", [(1.4, 1), (1.6, 2), (2.4, 2)])
def test_a_row_of_cells_belongs_to_the_half_of_its_middle(border, rows):
    s_m = np.arange(12.0).reshape(4, 3)
    found = saliency_around(s_m, np.ones((4, 3), bool), (0, 0), 0, border)
    assert found["s_m_half"] == s_m[:rows].mean() and found["s_m_other"] == s_m[rows:].mean()


# ------------------------------------------------------------------ acceptance
def failed(rows) -> list[str]:
    return [row["question"] for row in rows if not row["holds"]]


def entry(value, width=0.05):
    return {"value": value, "low": value - width, "high": value + width}


def parts(**changes):
    """What `acceptance` judges, of a phantom where all is well but for the changes."""
    wanted = {n: w for n, (_, _, w) in ideal_observers.WITHIN_TRUTH.items()}
    gains = [f"{a}-{b}" for a, b in ideal_observers.GAINS]
    pairs = {"S": entry(0.52), "I+S": entry(0.6)} | changes.get("pairs", {})
    return {
        "shortfall": {m: entry(changes.get(m, 0.02)) for m in ideal_observers.LIMITS},
        "gains": {n: changes.get(n, changes.get("gain", entry(0.06))) for n in gains},
        "ideal_gain": entry(changes.get("ideal_gain", 0.05)),
        "mixed_pairs": pairs,
        "within_truth": {n: entry(changes.get(n, 0.01)) | {"wanted": w} for n, w in wanted.items()},
    }


CONTROL = {"gain": entry(0.0), "ideal_gain": 0.0}
TOO_FEW = {"value": None, "low": None, "high": None}


@pytest.mark.parametrize("change, questions", [({}, 13), (CONTROL, 12)])
def test_all_questions_hold_where_all_is_well(change, questions):
    rows = ideal_observers.acceptance(entry(0.49), parts(**change))
    assert len(rows) == questions and not failed(rows)


@pytest.mark.parametrize(
    "change, failing",
    [
        ({"S": 0.041}, "S is near"),
        ({"S": -0.041}, "S is near"),  # better than the optimum: a leak
        ({"I+S": 0.081}, "I+S is near"),
        ({"f_loc": 0.061}, "f_loc is near"),
        ({"E": 0.061}, "E is near"),
        ({"E+S": 0.081}, "E+S is near"),
        ({"I+S-S": entry(0.04)}, "the place adds to the context: I+S less S"),
        ({"E+S-E": entry(0.04)}, "the context adds to the patch: E+S less E"),
        (
            {f"E+S-{LATE}": entry(0.04)},
            f"reading both at once adds to the sum of two scores: E+S less {LATE}",
        ),
        ({"pairs": {"S": entry(0.56)}}, "mixed pairs: S alone"),
        ({"pairs": {"S": TOO_FEW}}, "mixed pairs: S alone"),
        ({"pairs": {"I+S": entry(0.54)}}, "mixed pairs: I+S does"),
        ({"pairs": {"I+S": TOO_FEW}}, "mixed pairs: I+S does"),
        ({"E_c": -0.11}, "no leak: E with c"),
        ({"S_m_near_u": 0.11}, "no leak: S_m near with u"),
        (CONTROL | {"E+S-E": entry(0.016)}, "no gain where there is none: E+S less E"),
        (CONTROL | {"I+S-S": entry(-0.016)}, "no gain where there is none: I+S less S"),
    ],
)
def test_each_question_can_fail(change, failing):
    told = failed(ideal_observers.acceptance(entry(0.5), parts(**change)))
    assert len(told) == 1 and told[0].startswith(failing)


def test_location_must_hold_one_half():
    rows = ideal_observers.acceptance(entry(0.56), parts())
    assert failed(rows) == ["I alone tells nothing"]


def test_the_control_has_no_ideal_gain():
    cases = drawn(context_effect=0.0)
    found = ideal_observers.compare(scored(cases), cases, FEW)
    assert found["ideal"]["context"]["value"] == pytest.approx(0.5)
    assert found["ideal_gain"]["value"] == 0
    asked = {row["question"]: row["holds"] for row in found["acceptance"]}
    gains = [q for q in asked if q.startswith("no gain where there is none")]
    assert len(gains) == 3 and asked["no gain where there is none: E+S less E"]


# ------------------------------------------------------------------ the file
@pytest.fixture
def lab(tmp_path, monkeypatch, predictions, cases):
    """lab(name, is_phantom) of a toy project, whose steps give the toy's scores."""
    kinds = cases["y_true"].map({0: "benign", 1: "malignant"}).to_numpy()
    lesions = cases.reset_index().assign(pathology=kinds)
    images = lesions.drop_duplicates("image_id").assign(negative=False)
    both = SimpleNamespace(images=images, lesions=lesions)
    monkeypatch.setattr(results_file, "predictions", lambda lab: predictions)
    monkeypatch.setattr(results_file, "store", lambda lab: both)
    monkeypatch.setattr(results_file, "phantom_cases", lambda lab: cases)
    monkeypatch.setattr(results_file, "figures_folder", lambda name: tmp_path / name)
    monkeypatch.setattr(results_file, "write_card", lambda lab, found, runs: tmp_path / "card")
    monkeypatch.setattr(results_file, "_trained", lambda lab: [])
    settings = SimpleNamespace(
        title="Toy", data=SimpleNamespace(dataset="toy"),
        evaluation=SimpleNamespace(resamples=FEW, fnr=(0.0, 0.02)),
    )  # fmt: skip

    def made(name: str, is_phantom: bool = True):
        (tmp_path / name).mkdir()
        return SimpleNamespace(
            name=name, settings=settings, is_phantom=is_phantom, figures=tmp_path / name,
            records=lambda: {"odd": {"value": float("nan")}, "auc.I": {"value": -1.0}},
            origin=lambda: {"seed": np.int64(3)}, note=lambda *files: None,
        )  # fmt: skip

    return made


@pytest.mark.parametrize("is_phantom", [True, False])
def test_the_file_is_complete_and_valid_json(lab, tmp_path, is_phantom):
    made = results_file.results(lab("alone", is_phantom))

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = (tmp_path / "alone" / "results.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == made
    assert set(made["models"]) == set(tables.MODELS)
    assert {LATE, "f_loc + S"} <= set(made["fusions"])
    assert {"I+S-S", "E+S-E", f"E+S-{LATE}"} <= set(made["gains"])
    e = made["models"]["E+S"]
    assert {"value", "low", "high", "each", "mean", "sd", "lesions", "patients"} <= set(e)
    assert len(e["each"]) == e["runs"] == 2
    assert made["counts"]["test"]["lesions_malignant"] == e["malignant"]
    assert made["records"]["odd"]["value"] is None
    # what a notebook recorded earlier never hides the fresh number
    assert made["records"]["auc.I"]["value"] == made["models"]["I"]["value"]
    assert set(made["operating_points"]) == {"E@0", "E@0.02", "E+S@0", "E+S@0.02"}
    assert (made["phantom"] is not None) == is_phantom
    of_phantom = {"ideal.both_no_place", "shortfall.I+S", "mixed_pairs.S", "within_truth.E_c"}
    assert (of_phantom & set(made["records"])) == (of_phantom if is_phantom else set())
    assert made["evidence"] is None


@pytest.mark.parametrize("name, pools", [("demo", True), ("demo2", False)])
def test_the_demo_alone_rests_on_several_phantoms(lab, tmp_path, name, pools):
    one, other = {"value": 0.05, "low": 0.03, "high": 0.07, "seeds": 5}, {"value": 0.001}
    stored = {"pooled": {"evidence.gain.E+S-E": one, "control.gain.E+S-E": other}}
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "evidence.json").write_text(json.dumps(stored))
    made = results_file.results(lab(name))
    pooled = {k: v for k, v in made["records"].items() if k.endswith(".pooled")}
    known = {"gain.E+S-E.pooled": one, "control.gain.E+S-E.pooled": other}
    assert pooled == (known if pools else {})
    assert made["evidence"] == (stored["pooled"] if pools else None)
    assert made["records"]["gain.E+S-E"]["value"] == made["gains"]["E+S-E"]["value"] != 0.05


def test_a_demo_without_the_other_phantoms_pools_nothing(lab):
    made = results_file.results(lab("demo"))
    assert made["evidence"] is None
    assert not [key for key in made["records"] if key.endswith(".pooled")]
