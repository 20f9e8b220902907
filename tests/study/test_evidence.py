"""Evidence of several phantoms: values of a seed by brute force, pooling, equivalence, the files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from data_manifest.phantom import reader as phantom
from data_manifest.phantom.reader import PhantomSettings
from lesionlib.errors import InputError
from lesionlib.scoring import PREDICTION_COLUMNS
from study import evidence, ideal_observers, tables
from study.evidence import Outcome
from study.statistics.fusion import LATE, with_fusions
from study.statistics.multiplicity import holm

FEW = 40  # resamples
SAYS = {"f_loc": "local", "E": "local", "S": "context_no_place", "E+S": "both"}
SAYS |= {"I+E": "local", "I+S": "context", "I+S+E": "both", "I": None}


def scored(seed: int, **settings) -> pd.DataFrame:
    """Scores of noisy ideal observers on a small phantom; two runs, of f_loc one; I guesses."""
    made = PhantomSettings(training=1, negative=0, validation=40, test=60, **settings)
    truth = phantom.draw_cases(made, seed).query("split in ('validation', 'test')")
    truth = truth.reset_index(drop=True)
    ideal = phantom.ideal_scores(truth, made)
    head = truth[["patient_id", "split"]].assign(
        lesion_id=truth["finding_id"] + "@" + truth["image_id"],
        y_true=truth["malignant"].astype(int),
    )
    rng, parts = np.random.default_rng(seed), []
    for model, name in SAYS.items():
        for run in range(1 if model == "f_loc" else 2):
            noise = rng.normal(0, 0.5, len(head))
            score = expit(logit(ideal[name]) + noise) if name else expit(noise)
            parts.append(head.assign(model=model, run=run, y_score=score))
    return pd.concat(parts, ignore_index=True)[list(PREDICTION_COLUMNS)]


def stored(**leaks) -> dict:
    """``results.json`` as far as it is read: ideal observers of AUC .9, and correlations."""
    ideal = {name: {"value": 0.9} for name in ideal_observers.OBSERVERS}
    within = {
        name: {"value": leaks.get(name, 0.01), "low": -0.1, "high": 0.3}
        for name in ideal_observers.WITHIN_TRUTH
    }
    return {"phantom": {"ideal": ideal, "within_truth": within}, "provenance": {"seed": 11}}


@pytest.fixture(scope="module")
def one():
    return with_fusions(scored(11))


@pytest.fixture(scope="module")
def pair():
    return {"evidence_seed11": scored(11), "evidence_seed12": scored(12)}


@pytest.fixture(scope="module")
def table(pair):
    found = {"evidence_seed11": stored(E_c=0.2), "evidence_seed12": stored(E_c=-0.2)}
    return evidence.collected(pair, found, FEW)


# ------------------------------------------------------------------ one seed
@pytest.mark.parametrize("models", [("E+S", "E"), ("E+S", LATE), ("E", "f_loc"), ("S",)])
def test_a_seed_is_the_mean_over_runs_of_each_runs_own_auc(one, models):
    known = [tables.scores(one, model) for model in models]
    truth, patient = known[0].truth, known[0].patient

    def by_hand(rows=slice(None)):
        each = []
        for run in range(2):
            runs = [s.runs[rows, run % s.runs.shape[1]] for s in known]  # f_loc lends its one
            aucs = [roc_auc_score(truth[rows], score) for score in runs]
            each.append(aucs[0] - sum(aucs[1:]))
        return np.mean(each)

    value, drawn = evidence.of_seed(one, Outcome("", "auc", models), 3, FEW)
    assert value == pytest.approx(by_hand()) and drawn.shape == (FEW,)
    if len(models) == 2:  # run-averaged scores are another estimate
        assert value != pytest.approx(tables.gain(one, *models, resamples=FEW).value)
    names = np.unique(patient)
    for i in range(5):
        whom = names[np.random.default_rng((0, 3, i)).integers(len(names), size=len(names))]
        rows = np.concatenate([np.flatnonzero(patient == p) for p in whom])
        assert drawn[i] == pytest.approx(by_hand(rows))
    again = evidence.of_seed(one, Outcome("", "auc", models), 4, FEW)
    assert again[0] == value and (again[1] != drawn).any()  # another set's resamples are its own


def by_threshold(frame, model: str, run: int, fnr: float, on: str) -> tuple[float, float]:
    """Shares of the test's benign and malignant lesions below the threshold that `on` gives."""
    part = frame[(frame["model"] == model) & (frame["run"] == run)]
    source, test = part[part["split"] == on], part[part["split"] == "test"]
    own = source.loc[source["y_true"] == 1, "y_score"]
    cut = max(t for t in own if (own < t).sum() <= fnr * len(own) + 1e-9)
    below = (test["y_score"] < cut).groupby(test["y_true"]).mean()
    return below[0], below[1]


@pytest.mark.parametrize("fnr", [0.02, 0.05, 0.2])
@pytest.mark.parametrize(
    "measure, on, kind",
    [("spared", "validation", 0), ("missed", "validation", 1), ("spared on test", "test", 0)],
)
def test_thresholds_are_carried_from_each_runs_validation(one, measure, on, kind, fnr):
    one = one.assign(y_score=one["y_score"].round(2))  # some of the test are at the threshold
    value, drawn = evidence.of_seed(one, Outcome("", measure, ("E+S", "E"), "", fnr), 0, FEW)
    each = [
        by_threshold(one, "E+S", run, fnr, on)[kind] - by_threshold(one, "E", run, fnr, on)[kind]
        for run in range(2)
    ]
    assert value == pytest.approx(np.mean(each))
    assert np.isfinite(drawn).all() and np.ptp(drawn) > 0


def test_the_carried_thresholds_own_uncertainty_is_in_the_interval(one):
    """With the test's patients drawn as often but never varied, validation's alone still move it."""
    test = one["split"] == "test"
    still = one.assign(patient_id=one["patient_id"].where(~test, "the only one"))
    _, drawn = evidence.of_seed(still, Outcome("", "spared", ("E+S", "E"), "", 0.2), 0, FEW)
    assert np.ptp(drawn) > 0


@pytest.mark.parametrize("model", ideal_observers.MIXED)
def test_mixed_pairs_are_those_of_one_image(one, model):
    test = one[(one["model"] == model) & (one["split"] == "test")]
    shares = []
    for _, run in test.groupby("run"):
        right = []
        for _, image in run.groupby(run["lesion_id"].str.split("@").str[1]):
            score = image["y_score"].groupby(image["y_true"]).agg(list)
            if len(score) == 2:
                right += [(a > b) + (a == b) / 2 for a in score[1] for b in score[0]]
        shares.append(np.mean(right))
        assert len(right) > 5
    value, drawn = evidence.of_seed(one, Outcome("", "pairs", (model,)), 0, FEW)
    assert value == pytest.approx(np.mean(shares)) and drawn.min() < value < drawn.max()


def test_equal_scores_order_half_of_the_pairs(one):
    equal = one.assign(y_score=0.5)
    value, drawn = evidence.of_seed(equal, Outcome("", "pairs", ("S",)), 0, FEW)
    assert value == 0.5 and (drawn == 0.5).all()


@pytest.mark.parametrize(
    "measure, models, fnr, key",
    [
        ("auc", ("E+S", "E"), 0, "gain.E+S-E"),
        ("auc", ("I",), 0, "auc.I"),
        ("spared on test", ("E+S", "E"), 0.02, "tnr_gain.E+S-E@0.02"),
        ("spared", ("E+S", "E"), 0.05, "spared.E+S-E@0.05"),
        ("missed", ("E+S", "E"), 0.02, "missed.E+S-E@0.02"),
    ],
)
def test_keys_are_those_of_the_results(measure, models, fnr, key):
    assert Outcome("", measure, models, fnr=fnr).key == key


def test_outcomes_have_names_and_keys_of_their_own():
    assert len({o.name for o in evidence.OUTCOMES}) == len(evidence.OUTCOMES)
    assert len({o.key for o in evidence.OUTCOMES}) == len(evidence.OUTCOMES)


# ------------------------------------------------------------------ several
VALUES = [0.03, 0.01, 0.05, 0.02, 0.04]


def test_the_t_interval_and_its_p_are_scipys():
    found = evidence.pooled(VALUES)
    mean, se = np.mean(VALUES), stats.sem(VALUES)
    for level in (95, 90):
        known = stats.t.interval(level / 100, 4, mean, se)
        assert (found[f"t_low_{level}"], found[f"t_high_{level}"]) == pytest.approx(known)
    assert found["p"] == pytest.approx(stats.ttest_1samp(VALUES, 0).pvalue)
    assert (found["value"], found["seeds"]) == (pytest.approx(mean), 5)
    assert found["sd"] == pytest.approx(np.std(VALUES, ddof=1)) and "low_95" not in found


def test_the_bootstrap_has_the_spread_of_both_levels():
    rng = np.random.default_rng(0)
    values = rng.normal(0.05, 0.02, 20)
    drawn = values[:, None] + rng.normal(0, 0.03, (20, 4000))
    for spread, of_patients in ((drawn, 0.03), (np.repeat(values[:, None], 4000, axis=1), 0)):
        found = evidence.pooled(values, list(spread))
        sd = np.sqrt((values.var() + of_patients**2) / 20)
        for level, z in ((95, 1.96), (90, 1.645)):
            width = found[f"high_{level}"] - found[f"low_{level}"]
            assert width == pytest.approx(2 * z * sd, rel=0.08)
            assert found[f"low_{level}"] < values.mean() < found[f"high_{level}"]


def test_equal_seeds_without_spread_of_patients_have_no_width():
    found = evidence.pooled([0.25] * 5, [np.full(50, 0.25)] * 5)
    assert found["low_95"] == found["high_95"] == found["t_low_95"] == found["t_high_95"] == 0.25


def test_one_seed_has_the_interval_of_its_patients_and_no_t():
    drawn = np.random.default_rng(1).normal(0.1, 0.02, 4000)
    found = evidence.pooled([0.1], [drawn])
    ends = found["low_95"], found["high_95"]
    assert ends == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.005)
    assert np.isnan([found["sd"], found["p"], found["t_low_95"]]).all()


def row(table, outcome: str, experiment: str = evidence.POOLED) -> pd.Series:
    (found,) = table[(table["outcome"] == outcome) & (table["experiment"] == experiment)].iterrows()
    return found[1]


def test_every_outcome_has_a_row_of_each_seed_and_one_of_both(table, pair):
    counts = table.groupby("outcome", sort=False)["experiment"].agg(list)
    assert all(names == [*pair, evidence.POOLED] for names in counts)
    assert list(counts.index[: len(evidence.OUTCOMES)]) == [o.name for o in evidence.OUTCOMES]
    for name, frame in pair.items():
        seed = int("".join(filter(str.isdigit, name)))  # its resamples are its own
        value, drawn = evidence.of_seed(with_fusions(frame), evidence.PRIMARY[1], seed, FEW)
        mine = row(table, "E+S less E", name)
        assert mine["value"] == value
        assert [mine["low_95"], mine["high_95"]] == np.quantile(drawn, (0.025, 0.975)).tolist()
    both = [row(table, "E+S less E", name)["value"] for name in pair]
    assert row(table, "E+S less E")["value"] == pytest.approx(np.mean(both))


def test_every_gain_of_the_ledger_is_pooled_and_the_observers_beside_it(table, pair):
    every = set(table["outcome"])
    assert {f"{a} less {b}" for a, b in tables.GAINS} <= every
    added = row(table, "E+S less f_loc + S")
    assert added["supports"] == evidence.REPORTED and added["holds"] is None
    best = row(table, "AUC of ideal both_no_place")
    assert best["value"] == pytest.approx(0.9) and np.isnan(best["low_95"])
    assert set(table.loc[table["outcome"] == "AUC of ideal local", "experiment"]) > set(pair)


def test_p_is_adjusted_for_the_three_primary_outcomes(table):
    rows = [row(table, o.name) for o in evidence.PRIMARY]
    assert [r["p_holm"] for r in rows] == pytest.approx(holm([r["p"] for r in rows]))
    assert table["p_holm"].notna().sum() == 3 == table["p"].notna().sum()


def test_each_outcome_is_judged_by_its_own_interval(table):
    for o in evidence.OUTCOMES:
        found = row(table, o.name)
        known = {
            evidence.HALF: found["low_95"] <= 0.5 <= found["high_95"],
            "above 0": found["low_95"] > 0,
            "above .5": found["low_95"] > 0.5,
            evidence.REPORTED: None,
        }[o.supports]
        assert found["holds"] == known
    wanted = [o.supports for o in evidence.OUTCOMES if o.measure == "pairs"]
    assert wanted == [evidence.HALF, "above .5", *[evidence.REPORTED] * 3]


def test_a_shortfall_is_the_ideal_less_the_mean_over_runs(table, pair):
    for name, frame in pair.items():
        s = tables.scores(frame, "E+S")
        known = 0.9 - np.mean([roc_auc_score(s.truth, x) for x in s.runs.T])
        assert row(table, "shortfall of E+S from ideal both", name)["value"] == pytest.approx(known)
    both = row(table, "shortfall of E+S from ideal both")
    assert both["holds"] == (abs(both["value"]) <= 0.08) and np.isnan(both["low_95"])


def test_a_leak_of_one_seed_is_not_averaged_away(table):
    leak = row(table, "correlation within truth of E and c")
    assert leak["value"] == pytest.approx(0) and leak["holds"] is False
    assert row(table, "correlation within truth of s_m_near and u")["holds"] is True
    assert row(table, "correlation within truth of E and u")["holds"] is None


def test_a_leak_at_the_limit_is_not_below_it(pair):
    found = {name: stored(E_c=ideal_observers.LEAK) for name in pair}
    both = evidence.collected(pair, found, 2)
    assert row(both, "correlation within truth of E and c")["holds"] is False


def controls(*values: float, spread: float = 0.001) -> pd.DataFrame:
    """The pooled primary outcomes of controls whose seeds have these values, and p of Holm."""
    drawn = np.random.default_rng(0).normal(np.array(values)[:, None], spread, (len(values), 500))
    both = evidence.pooled(values, list(drawn))
    rows = [{"outcome": o.name, "experiment": evidence.POOLED} | both for o in evidence.PRIMARY]
    return pd.DataFrame(rows).assign(p_holm=0.5)


@pytest.mark.parametrize(
    "values, spread, holds, holds_t",
    [
        ((0.001, -0.002, 0.003, 0.0, -0.001), 0.001, True, True),
        ((0.021, 0.018, 0.023, 0.02, 0.019), 0.001, False, False),
        ((-0.012, -0.016, -0.013, -0.017, -0.014), 0.001, False, False),  # below is no equality
        ((0.001, -0.002, 0.003, 0.0, -0.001), 0.04, False, True),  # patients leave it open
    ],
)
def test_equivalence_is_two_one_sided_tests(values, spread, holds, holds_t):
    found = evidence.equivalent(controls(*values, spread=spread))
    assert len(found) == 3 and set(found["holds"]) == {holds} and set(found["holds_t"]) == {holds_t}
    margin = ideal_observers.MARGIN
    above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(values, margin, alternative="less").pvalue
    assert found["p"].to_numpy() == pytest.approx(max(above, below))
    assert (found["p"] < 0.05).eq(found["holds_t"]).all()


# ------------------------------------------------------------------ files
@pytest.fixture
def root(own_root):
    """An empty project."""
    (own_root / "experiments").mkdir()
    return own_root


@pytest.fixture
def project(root, pair):
    """A project of three seeds, of which two were run, and two controls; the demo is neither."""
    names = "demo", "evidence", "evidence_seed13", "evidence_control21", "evidence_control22"
    for name in (*names, *pair):
        (root / "experiments" / f"{name}.yaml").write_text("title: toy\n")
    none = {name: scored(int(name[-2:]), context_effect=0.0) for name in names[3:]}
    for name, frame in (pair | none | {"demo": pair["evidence_seed11"]}).items():
        place = root / "figures" / ("evidence" if name != "demo" else "") / name
        place.mkdir(parents=True)
        frame.to_csv(place / "predictions.csv.xz", index=False)
        (place / "results.json").write_text(json.dumps(stored()))
    # scores alone are no result yet
    half = root / "figures" / "evidence" / "evidence_seed13"
    half.mkdir()
    pair["evidence_seed11"].to_csv(half / "predictions.csv.xz", index=False)
    return root / "figures" / "evidence"


def test_the_files_tell_every_outcome_and_what_is_missing(project, table):
    content = evidence.write(FEW)
    stored = json.loads((project / "evidence.json").read_text())
    assert stored == content  # numbers and yes or no stay what they are
    assert content["missing"] == ["evidence_seed13"]
    seeds, none = (set(content["provenance"][kind]) for kind in ("evidence", "control"))
    assert seeds == {"evidence_seed11", "evidence_seed12"}
    assert none == {"evidence_control21", "evidence_control22"}
    for o in evidence.OUTCOMES:
        entry, known = content["pooled"][f"evidence.{o.key}"], row(table, o.name)
        ends = known[["value", "low_95", "high_95", "t_low_95", "t_high_95"]].tolist()
        assert [entry[k] for k in ("value", "low", "high", "t_low", "t_high")] == ends
        assert entry["kind"] == evidence.BOOTSTRAP and f"control.{o.key}" in content["pooled"]
    short = content["pooled"]["evidence.shortfall of S from ideal context_no_place"]
    assert short["kind"] == evidence.T and "low" not in short
    csv = pd.read_csv(project / "evidence.csv")
    assert set(csv["experiment"]) == seeds | none | {evidence.POOLED}
    assert csv.groupby("set")["outcome"].nunique().nunique() == 1
    text = (project / "evidence.md").read_text()
    assert text.count("| E+S less E ") == 2 and "demo" not in text


def test_stored_evidence_is_read_when_all_of_it_is_there(project):
    assert evidence.stored() is None
    evidence.write(FEW)
    assert evidence.stored() is None  # seed 13 lacks its results
    (project / "evidence_seed13" / "results.json").write_text(json.dumps(stored()))
    evidence.write(FEW)
    assert set(evidence.stored()["set"]) == set(evidence.SETS)


def test_the_saliency_of_another_patient_is_told_apart(project, pair):
    name, gain = "evidence_exchanged11", evidence.PRIMARY[1]
    (project.parents[1] / "experiments" / f"{name}.yaml").write_text("title: toy\n")
    shutil.copytree(project / "evidence_seed11", project / name)
    content = evidence.write(FEW)
    value, drawn = evidence.of_seed(pair["evidence_seed11"], gain, 11, FEW)
    entry = content["exchanged"][name][gain.name]
    assert entry["value"] == value and entry["low"] == np.quantile(drawn, 0.025)
    csv = pd.read_csv(project / "evidence.csv")
    assert name not in set(csv["experiment"]) and name not in content["missing"]


def test_a_control_is_asked_for_equivalence_alone(project):
    pooled = evidence.write(FEW)["pooled"]
    primary = {o.key for o in evidence.PRIMARY}
    for name in (key for key in pooled if key.startswith("control.")):
        asked = pooled[name].get("supports", "")
        assert asked.startswith("90 %") == (name.removeprefix("control.") in primary)
        assert ("holds" in pooled[name]) == bool(asked)
        # adjusted is the p of a gain; a p of equivalence beside it would be another test's
        assert "p_holm" not in pooled[name]
    assert {key for key in pooled if "p_holm" in pooled[key]} == {f"evidence.{k}" for k in primary}


def test_an_outcome_is_told_in_a_line_with_its_controls():
    here = {"value": 0.0512, "low": 0.03, "high": 0.07, "seeds": 5}
    both = {"evidence.gain.E+S-E": here}
    line = "- the context adds: **+0.051** [+0.030, +0.070] over 5 phantoms"
    assert evidence.told(both, "gain.E+S-E", "the context adds") == line + "."
    none = {"value": -0.001, "low_90": -0.006, "high_90": 0.004, "seeds": 4}
    for holds, word in ((True, "within"), (False, "not within")):
        both["control.gain.E+S-E"] = none | {"holds": holds}
        told = evidence.told(both, "gain.E+S-E", "the context adds")
        rest = "; in 4 controls -0.001, 90 % [-0.006, +0.004], "
        assert told == f"{line}{rest}{word} the margin of 0.015."
    both["control.gain.E+S-E"] = none | {"low_90": 0.001, "holds": True}
    told = evidence.told(both, "gain.E+S-E", "the context adds")
    assert told.endswith("within the margin of 0.015, though not 0.")


def test_the_number_of_seeds_is_whole(project):
    pooled = evidence.write(FEW)["pooled"]
    assert " over 2 phantoms; in 2 controls " in evidence.told(pooled, "gain.E+S-E", "gain")


def test_without_results_the_command_is_named(root):
    with pytest.raises(InputError, match="no experiment has results"):
        evidence.write(FEW)


def test_phantoms_less_controls_is_welchs_interval():
    values = {"evidence": (0.03, 0.01, 0.02), "control": (0.01, 0.0, 0.005)}
    rows = [
        {"set": kind, "outcome": "E+S less E", "experiment": f"{kind}{k}", "value": value}
        for kind, each in values.items()
        for k, value in enumerate((*each, 9.0))  # the last is pooled, and must not count
    ]
    table = pd.DataFrame(rows).replace({"experiment": {f"{k}3": "pooled" for k in values}})
    value, low, high = evidence.less_controls(table, "E+S less E")
    known = stats.ttest_ind(*values.values(), equal_var=False).confidence_interval()
    assert value == pytest.approx(0.015)
    assert (low, high) == pytest.approx((known.low, known.high))
