"""The protocol of the test on real lesions, by made-up scores whose answers are known."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, ndtri
from sklearn.metrics import roc_auc_score

from lesionlib.errors import InputError
from lesionlib.scoring import PREDICTION_COLUMNS
from study import readme, real_test, tables
from study.__main__ import main
from study.settings import project_root
from study.statistics.fusion import LATE, fuse
from study.statistics.multiplicity import holm
from study.statistics.shortcuts import FACTS

FEW = 40  # resamples
ROOT = project_root()


def made_lesions(women: int = 150, seed: int = 0) -> pd.DataFrame:
    """A finding of each woman, seen on two films (of every fifth on one), and facts beside it."""
    rng, rows = np.random.default_rng(seed), []
    for w in range(women):
        split = ("training", "validation", "test")[min(w * 3 // women, 2)]
        head = {"patient_id": f"P{w:03d}", "finding_id": f"P{w:03d}_mass_1", "split": split}
        head |= {"malignant": bool(w % 5 % 2), "never_called_back": w % 10 == 0}
        for view in ("CC", "MLO")[: 1 if w % 5 == 4 else 2]:
            rows.append({"lesion_id": f"P{w:03d}_{view}_mass_1"} | head)
    table = pd.DataFrame(rows).set_index("lesion_id")
    facts = {name for group in FACTS.values() for name in group}
    return table.assign(**{name: rng.random(len(table)) for name in sorted(facts)})


def made_scores(lesions: pd.DataFrame, seed: int = 1, runs: int = 3, noise=0.2, **shift):
    """Scores of validation and test; `shift` is what a model's logit gains by a malignant lesion."""
    own, rng, parts = lesions[lesions["split"] != "training"], np.random.default_rng(seed), []
    truth = own["malignant"].to_numpy()
    signal = {m: shift.get(m.replace("+", "_"), 1.0) for m in tables.MODELS}
    common = np.zeros(len(own))  # of a lesion: the same in all models, and as much in either truth
    for _, rows in own.reset_index().groupby(["split", "malignant"]).groups.items():
        common[rows] = rng.permutation(ndtri((np.arange(len(rows)) + 0.5) / len(rows)))
    for model, size in signal.items():
        for run in range(runs):
            score = expit(size * (truth - 0.4) + common + noise * rng.normal(size=len(own)))
            head = own.reset_index()[["lesion_id", "patient_id", "split"]]
            parts.append(head.assign(y_true=truth * 1, model=model, run=run, y_score=score))
    return pd.concat(parts, ignore_index=True)[list(PREDICTION_COLUMNS)]


@pytest.fixture(scope="module")
def lesions():
    return made_lesions()


@pytest.fixture(scope="module")
def scored(lesions):
    return made_scores(lesions, E_S=3.0, I=0.0)


@pytest.fixture(scope="module")
def table(scored, lesions):
    return real_test.outcomes(scored, lesions, FEW)


def row(table, outcome, of=real_test.ALL) -> pd.Series:
    (found,) = table[(table["outcome"] == outcome) & (table["lesions_of"] == of)].iloc
    return found


# ------------------------------------------------------------------ one outcome
def of_runs(scored, model, run=None):
    own = scored[(scored["model"] == model) & (scored["split"] == "test")]
    own = own if run is None else own[own["run"] == run]
    return own.groupby("lesion_id").agg({"y_true": "first", "y_score": "mean"}).to_numpy().T


def test_a_lesion_has_the_mean_of_its_runs_and_women_are_resampled(scored):
    found = real_test.estimate(scored, real_test.GAIN, FEW)
    (truth, both), (_, patch) = (of_runs(scored, m) for m in ("E+S", "E"))
    assert found["value"] == pytest.approx(roc_auc_score(truth, both) - roc_auc_score(truth, patch))
    each = [
        roc_auc_score(*of_runs(scored, "E+S", r)) - roc_auc_score(*of_runs(scored, "E", r))
        for r in range(3)
    ]
    assert (found["mean"], found["sd"]) == pytest.approx((np.mean(each), np.std(each, ddof=1)))
    known = tables.gain(scored, resamples=FEW)
    assert (found["low"], found["high"]) == pytest.approx((known.low, known.high))
    assert found["low"] < found["low_90"] < found["value"] < found["high_90"] < found["high"]
    assert (found["runs"], found["lesions"], found["patients"]) == (3, 90, 50)
    assert found["p"] == pytest.approx(2 / (1 + FEW))  # no resample at or below 0


def test_equal_scores_have_no_difference_and_a_p_of_1(scored):
    same = pd.concat([scored[scored["model"] == "E"].assign(model=name) for name in ("E", "E+S")])
    found = real_test.estimate(same, real_test.GAIN, FEW)
    assert [found[k] for k in ("value", "low", "high", "se")] == [0, 0, 0, 0] and found["p"] == 1
    assert real_test.answer(found) == real_test.EQUAL


def test_one_run_has_no_spread(scored):
    found = real_test.estimate(scored[scored["run"] == 0], real_test.OUTCOMES[1], FEW)
    assert found["runs"] == 1 and np.isnan(found["sd"]) and "p" not in found


@pytest.mark.parametrize(
    "ends, says",
    [
        ((0.001, 0.03, 0.004, 0.02), real_test.ADDS),
        ((-0.03, -0.001, -0.02, -0.004), real_test.HARMS),
        ((-0.021, 0.018, -0.019, 0.015), real_test.EQUAL),
        ((-0.03, 0.018, -0.02, 0.015), real_test.OPEN),  # at the margin is not inside
        ((-0.01, 0.05, -0.005, 0.04), real_test.OPEN),
        ((0.0, 0.05, 0.005, 0.04), real_test.OPEN),  # holds 0
        ((0.51, 0.6), "above .5"),
        ((0.5, 0.6), "holds .5"),
        ((0.3, 0.49), "below .5"),
    ],
)
def test_the_rule_of_the_protocol(ends, says):
    names = ("low", "high", "low_90", "high_90")
    assert real_test.answer(dict(zip(names, ends, strict=False))) == says


# ------------------------------------------------------------------ sets of lesions
def test_a_finding_counts_once_with_the_mean_of_its_lesions(scored, lesions):
    sets = real_test.variants(scored, lesions)
    one = sets[real_test.FINDINGS].query("model == 'E' and run == 1 and split == 'test'")
    assert len(one) == 50 == one["patient_id"].nunique()
    films = scored.query("model == 'E' and run == 1 and patient_id == 'P101'")["y_score"]
    assert len(films) == 2
    assert one.set_index("lesion_id").at["P101_mass_1", "y_score"] == pytest.approx(films.mean())


def test_lesions_never_called_back_are_left_out_on_request(scored, lesions):
    left = real_test.variants(scored, lesions)[real_test.CALLED]
    gone = set(scored["lesion_id"]) - set(left["lesion_id"])
    assert gone == {i for i in scored["lesion_id"] if int(i[1:4]) % 10 == 0} and len(gone) == 20


def test_a_lesion_that_is_not_listed_is_named(scored, lesions):
    with pytest.raises(InputError, match="1 lesions of the scores are missing, first P149_CC"):
        real_test.variants(scored, lesions.drop("P149_CC_mass_1"))


# ------------------------------------------------------------------ outcomes
def test_outcomes_1_to_5_are_asked_of_three_sets_the_others_of_all(table):
    asked = table.groupby("outcome", sort=False)["lesions_of"].agg(list)
    assert asked.index[0] == "E+S less E" and len(asked) == 9 + 6 + 4
    each = [real_test.ALL, real_test.FINDINGS, real_test.CALLED]
    assert all(asked[o.name] == each for o in real_test.VARIED)
    assert all(of == [real_test.ALL] for of in asked.iloc[9:])
    assert row(table, "AUC of E", real_test.CALLED)["lesions"] == 80
    assert (table["role"] == real_test.PRIMARY).sum() == 3


def test_a_breast_that_tells_more_adds(table, scored):
    first = row(table, "E+S less E")
    assert first["says"] == real_test.ADDS and first["low"] > 0.1 and first["otherwise"] == ""
    assert row(table, "AUC of I")["says"] == "holds .5"
    late = tables.scores(fuse(scored, LATE), LATE)
    gain = row(table, "AUC of E+S")["value"] - roc_auc_score(late.truth, late.mean)
    assert row(table, f"E+S less {LATE}")["value"] == pytest.approx(gain)


def test_p_is_adjusted_for_the_secondary_outcomes_alone(table):
    second = table[table["p_holm"].notna()]
    assert (second["role"] == real_test.SECONDARY).all() and len(second) == 4
    assert (second["lesions_of"] == real_test.ALL).all()
    assert second["p_holm"].tolist() == pytest.approx(holm(second["p"]))
    assert table["p"].notna().sum() == 5  # and the primary's own


def test_benign_spared_at_the_thresholds_of_validation(table, scored):
    shares = []
    for model in ("E+S", "E"):
        mean = scored[scored["model"] == model].groupby(["split", "y_true", "lesion_id"])
        score = mean["y_score"].mean()
        bad = np.sort(score["validation"][1])
        shares.append((score["test"][0] < bad[int(0.05 * len(bad))]).mean())
    found = row(table, "benign spared more at 5% missed, validation's threshold")
    assert (
        found["value"] == pytest.approx(shares[0] - shares[1]) and found["low_90"] < found["value"]
    )


@pytest.fixture
def few_outcomes(monkeypatch):
    """Fewer outcomes, for time: the gain, f_loc, E, and three more differences."""
    names = (
        "E+S less E",
        "AUC of f_loc",
        "AUC of E",
        "I+S less S",
        f"E+S less {LATE}",
        "f_loc less E",
    )
    asked = tuple(o for o in real_test.OUTCOMES if o.name in names)
    monkeypatch.setattr(real_test, "OUTCOMES", asked)


def test_networks_that_did_not_learn_say_nothing_of_what_is_added(lesions, few_outcomes):
    blind = made_scores(lesions, f_loc=0.0, E=0.0, E_S=4.0)
    found = real_test.outcomes(blind, lesions, FEW)
    assert row(found, "AUC of E")["low"] <= 0.5 and row(found, "E+S less E")["low"] > 0
    says = found[found["lesions_of"] == real_test.ALL].set_index("outcome")["says"]
    assert says["E+S less E"] == says[f"E+S less {LATE}"] == says["f_loc less E"]
    assert says["E+S less E"] == real_test.UNLEARNED != says["I+S less S"]
    said = real_test.verdict(found, {"gain": 0.021, "se": 0.02, "power": 0.18})
    assert said["E+S less E"].endswith("the networks did not learn the task at this size")
    one_learned = made_scores(lesions, f_loc=4.0, E=0.0, E_S=4.0)
    again = real_test.outcomes(one_learned, lesions, FEW)
    assert row(again, "E+S less E")["says"] == real_test.ADDS


def test_what_other_sets_of_lesions_say_is_said_with_the_main_number(lesions, few_outcomes):
    """The gain is owed to benign lesions that were never called back."""
    easy = lesions["never_called_back"]
    scores = made_scores(lesions, noise=0.01)
    both = scores["model"] == "E+S"
    scores.loc[both & scores["lesion_id"].isin(lesions.index[easy]), "y_score"] *= 1e-3
    found = real_test.outcomes(scores, lesions, FEW)
    first = row(found, "E+S less E")
    assert first["says"] == real_test.ADDS
    rest = row(found, "E+S less E", real_test.CALLED)
    assert rest["says"] != real_test.ADDS and rest["otherwise"] == ""
    assert first["otherwise"].endswith(f"{real_test.CALLED}: {rest['says']}")
    said = real_test.verdict(found, {"gain": 0.021, "se": 0.02, "power": 0.18})["E+S less E"]
    assert said.endswith(f"adds to the patch here (otherwise {first['otherwise']})")


def test_the_sentences_name_the_paper_and_the_power(table):
    said = real_test.verdict(table, {"gain": 0.021, "se": 0.015, "power": 0.288})
    assert said["paper"].startswith("E+S less E .021 (.799 ± .002 against .778 ± .002)")
    # 2.8 standard errors
    assert "of .015: " not in said["power"] and "is .015: a true gain of .042 " in said["power"]
    assert said["power"].endswith("the paper's .021 with one of .288")
    assert len(said) == 5 + 3 and said["spread"].startswith("mean of 3 runs ")
    none = real_test.verdict(table, {"gain": 0.021, "se": None, "power": None})
    assert none["power"].endswith("the two scores are equal")


# ------------------------------------------------------------------ controls
def test_controls_hold_where_nothing_is_to_be_found_and_fail_where_it_is(lesions):
    nothing = dict.fromkeys(("f_loc", "E", "S", "E_S"), 0.0)
    leak = lesions.assign(source_rows=lesions["malignant"] * 1000.0)
    found = real_test.controls(
        {
            "cbis_permuted": made_scores(lesions, runs=1, **nothing | {"S": 3.0}),
            "cbis_exchanged": made_scores(lesions, E_S=3.0),
        },
        leak,
        FEW,
    )
    judged = found.dropna(subset="holds").set_index(["control", "outcome"])["holds"]
    assert len(found) == 4 + 2 + 4 and len(judged) == 4 + 1 + 2
    permuted = judged["cbis_permuted"]
    assert permuted.drop("AUC of S").all() and not permuted["AUC of S"]
    assert not judged["cbis_exchanged", "E+S less E"]
    assert not judged[real_test.BESIDE, "AUC of film"]
    assert judged[real_test.BESIDE, "AUC of grey levels of the film"]
    worse = real_test.controls({"cbis_exchanged": made_scores(lesions, E=3.0)}, lesions, FEW)
    assert worse["holds"][0]  # below 0 is no gain


def test_permutations_are_judged_together_by_their_mean(lesions):
    def permuted(*effects):
        names = ("cbis_permuted", *real_test.AGAIN)
        kinds = {"f_loc": 0.0, "S": 0.0, "E_S": 0.0}
        made = [made_scores(lesions, runs=1, seed=k, E=e, **kinds) for k, e in enumerate(effects)]
        found = real_test.controls(dict(zip(names, made, strict=False)), lesions, FEW)
        return found[found["control"] == "permuted again"].set_index("outcome")

    found = permuted(0.4, 0.0, -0.4, 0.4, -0.4)
    *single, mean = found.to_dict("records")
    assert [name[-1] for name in found.index[:-1]] == list("2345")
    first = real_test.estimate(made_scores(lesions, runs=1, seed=0, E=0.4), real_test.auc_of("E"))
    values = [first["value"], *(row["value"] for row in single)]
    half = 2.77644511 * np.std(values, ddof=1) / np.sqrt(5)  # Student's t, 4 degrees of freedom
    assert mean["value"] == pytest.approx(np.mean(values))
    assert [mean["low"], mean["high"]] == pytest.approx(
        [mean["value"] - half, mean["value"] + half]
    )
    assert mean["holds"] and not permuted(0.9, 1.0, 0.9, 1.0, 0.9)["holds"].iloc[-1]
    assert len(permuted(0.0)) == 0


def test_a_high_auc_and_another_e_are_warned_of(table, scored, lesions):
    other = made_scores(lesions, seed=2)
    every = {"protocol": table.assign(value=0.8), "external": pd.DataFrame(
        {"outcome": ["AUC of E", "E+S less E"], "value": [0.851, 0.9]}
    )}  # fmt: skip
    kept = {"cbis_ddsm": scored, "cbis_exchanged": scored, "cbis_outside": other}
    lines = real_test.warnings(every, kept)
    assert len(lines) == 2
    assert lines[0].startswith("AUC of E (external, mini_mias) is 0.851, above 0.85")
    assert lines[1] == "the scores of E in cbis_outside are not those of cbis_ddsm"


# ------------------------------------------------------------------ external test
def probable(split: str, n: int, rng, share=0.0) -> pd.DataFrame:
    """Lesions whose truth is drawn with probability expit(x + share); y_score is expit(x)."""
    x = rng.normal(size=n)
    truth = (rng.random(n) < expit(x + share)).astype(int)
    head = {"lesion_id": [f"{split}{k}" for k in range(n)], "split": split}
    head["patient_id"] = head["lesion_id"]
    each = [
        pd.DataFrame(head | {"y_true": truth, "model": m, "run": 0, "y_score": expit(x)})
        for m in ("E", "E+S")
    ]
    return pd.concat(each)[list(PREDICTION_COLUMNS)]


def test_recalibration_mends_extreme_scores_and_the_share_is_moved_last():
    rng = np.random.default_rng(4)
    own, abroad = probable("validation", 3000, rng), probable("test", 3000, rng, share=-1.5)
    extreme = [
        part.assign(y_score=expit(2 * logit(part["y_score"]) + 0.7)) for part in (own, abroad)
    ]
    found = real_test.external_calibration(*extreme, FEW)
    wide = found[found["model"] == "E"].pivot(index="scores", columns="measure", values="value")
    scored, mended, moved = wide.loc[pd.unique(found["scores"])].itertuples()
    assert scored.slope == pytest.approx(0.5, abs=0.06) and scored.intercept < -1
    assert [mended.slope, moved.slope] == pytest.approx([1, 1], abs=0.12)
    # what is left is that fewer are malignant; that share itself says it, but for its curvature
    assert mended.intercept == pytest.approx(-1.5, abs=0.15) and abs(moved.intercept) < 0.35
    assert moved.brier < mended.brier < scored.brier


def test_without_validation_nothing_is_recalibrated():
    abroad = probable("test", 200, np.random.default_rng(0))
    few = probable("validation", 6, np.random.default_rng(1))
    assert set(real_test.external_calibration(few, abroad, FEW)["scores"]) == {"as scored"}


# ------------------------------------------------------------------ files
@pytest.fixture
def root(own_root):
    """A project with the experiments, and no result."""
    shutil.copytree(ROOT / "experiments", own_root / "experiments")
    return own_root


def test_the_result_is_made_of_committed_files_alone(root, scored, lesions, monkeypatch):
    assert real_test.stored() is None and "not run to the end" in readme.cbis_ddsm()
    with pytest.raises(InputError, match="there are no scores"):
        real_test.write(FEW)
    figures = root / "figures" / "cbis_ddsm"
    figures.mkdir(parents=True, exist_ok=True)
    scored.to_csv(figures / "predictions.csv.xz", index=False, float_format="%.9g")
    lesions.to_csv(figures / "lesions.csv")
    (figures / "mini_mias").mkdir()
    abroad = scored[scored["split"] == "test"].copy()
    abroad["y_true"] = abroad["y_true"].where(abroad["patient_id"] != "P149")  # truth unknown
    abroad.to_csv(figures / "mini_mias" / "predictions.csv", index=False)
    monkeypatch.setattr(real_test.write, "__defaults__", (FEW,))
    assert main(["protocol", "cbis_ddsm"]) == 0
    found = real_test.stored()
    names = ["cbis_permuted", "cbis_exchanged", "cbis_outside", *real_test.AGAIN]
    assert found["missing"] == names
    assert found["provenance"]["commit"] is not None and found["power"]["se"] > 0
    names = ("protocol", "controls", "external", "external_calibration")
    names += ("film_facts", "film_facts_use")
    assert set(found["tables"]) == set(names)
    for name in names:
        assert all((figures / f"{name}.{suffix}").is_file() for suffix in ("csv", "md", "json"))
        kept = pd.read_csv(figures / f"{name}.csv")
        number = "auc_alike" if name == "film_facts_use" else "value"
        assert kept[number].tolist() == pytest.approx(
            [entry[number] for entry in found["tables"][name]], rel=1e-5, abs=1e-6
        )
    assert found["tables"]["external"][0]["lesions"] == 89
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    page = readme.cbis_ddsm()
    said = found["said"]["E+S less E"].partition(" (otherwise")[0]
    assert f"**{said}**" in page and "Not run: cbis_permuted" in page
    assert "| E | .778 ± .002 | " in page and "| f_loc | not printed | " in page


def test_another_experiment_has_no_protocol(capsys):
    assert main(["protocol", "demo"]) == 2 and "cbis_ddsm" in capsys.readouterr().err


def test_lesions_are_listed_from_the_store_once(root, monkeypatch):
    head = {
        "image": [0, 0],
        "patient_id": "P1",
        "split": "test",
        "area_px": 9,
        "row0": 1,
        "col0": 1,
    }
    table = pd.DataFrame({"lesion_id": ["a", "b"], "finding_id": ["f", "g"], "rows": 3, "cols": 3}
                         | head | {"pathology": ["benign", "unknown"], "truth": "followup"})  # fmt: skip
    image = {"breast_row0": 0, "breast_row1": 9, "breast_col0": 0, "breast_col1": 9}
    image |= dict.fromkeys(("source_rows", "source_cols", "flipped", "mean", "std"), 1.23456)
    images = pd.DataFrame([image | {"laterality": "L", "view": "CC"}])

    class Store:
        pass

    store = Store()
    store.lesions, store.images = table, images
    monkeypatch.setattr("study.steps.store", lambda lab: store)
    first = real_test.read_lesions()
    assert list(first.index) == ["a"] and first.loc["a", "finding_id"] == "f"
    assert bool(first.loc["a", "never_called_back"]) and not bool(first.loc["a", "malignant"])
    monkeypatch.setattr("study.steps.store", None)  # not asked again
    pd.testing.assert_frame_equal(real_test.read_lesions(), first)
