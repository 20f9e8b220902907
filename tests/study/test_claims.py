"""The claims ledger: complete, wired to real keys and settings, judged by its rule."""

import csv
import json
import re
from importlib.resources import files

import pandas as pd
import pytest
from made_up import predictions

from data_manifest.manifest import SPLITS
from study import claims, paper, tables
from study.settings import Experiment, load_experiment

FEW = dict(resamples=200, seed=1)
REAL = Experiment(data={"dataset": "mini_mias"})
MADE_UP = load_experiment("demo")


@pytest.fixture(scope="module")
def results():
    return tables.numbers(predictions(), **FEW)


def judged(results, settings=REAL) -> pd.DataFrame:
    return claims.ledger(results, settings).set_index("id")


def test_ids_are_unique_and_kinds_known():
    table = claims.ledger({}, REAL)
    assert table["id"].is_unique and len(table) > 170
    kinds = {"data", "method setting", "result", "arithmetic", "derived"}
    assert set(table["kind"]) == kinds
    derived = table["kind"] == "derived"
    assert table.loc[~derived, "value"].ne("").all() and table.loc[derived, "value"].eq("").all()
    assert set(table.loc[derived, "verdict"]) == {claims.NO_CLAIM}
    told = ["where", "statement", "can_be_recomputed_from", "verdict", "why"]
    assert table[told].ne("").all(None)


def test_every_printed_number_is_a_claim():
    words = " ".join(_written("claims", "value"))
    named = set(re.findall(r"{(\w+)}", words))
    assert named == set(paper.as_printed())


def test_numbers_that_the_text_prints_are_listed():
    values = set(paper.claims()["value"])
    assert {"42170", "10", "80", "50", "74", "1.7", "850"} <= values
    assert {"13.5", "23.1", "27.6", "43.5"} <= values
    intervals = paper.claims().query("key.str.endswith(':intervals')")["value"].tolist()
    assert intervals[-1] == "[0.407, 0.562]" and len(intervals) == len(paper.table_2())


def test_what_the_paper_does_not_print_is_no_claim():
    told = claims.ledger({}, REAL).query("kind != 'derived'")
    text = " ".join(told["value"] + " " + told["statement"])
    for number in ("2944", "1920", "10000", "285.714", "64 px", "Hanley"):
        assert number not in text, number
    assert not told["setting"].str.contains("canvas").any()


def _written(name: str, column: str) -> list[str]:
    with (files("study.paper") / f"{name}.csv").open(encoding="utf-8") as file:
        return [row[column] for row in csv.DictReader(file)]


def test_no_number_of_the_paper_is_written_twice():
    """Claims and formulas name the numbers that the tables and text.csv hold."""
    held = {f"{float(n):g}" for n in paper.as_printed().values() if len(n.strip("0.-")) > 2}
    formulas = [*_written("arithmetic", "formula"), *_written("claims", "expected")]
    words = formulas + _written("arithmetic", "statement") + _written("arithmetic", "note")
    told = re.findall(r"(?<![\w.])\d+(?:[.,]\d+)*", " ".join(words))
    assert not held & {f"{float(w.replace(',', '')):g}" for w in told}
    names = set(re.findall(r"[a-zA-Z_]\w*", " ".join(formulas)))
    assert names - {"round", "min", "hanley_mcneil_se"} <= set(paper.as_printed())
    kinds = zip(_written("claims", "kind"), _written("claims", "value"), strict=True)
    # a window of 128 px and 128 lesions are two numbers
    literal = [v for kind, v in kinds if kind != "method setting" and v.isdigit()]
    assert literal and not held & set(literal)


def test_every_setting_exists_and_defaults_to_the_papers_value():
    """Defaults are the paper's where it gives one; a claim whose setting is renamed fails here."""
    ours = claims.ledger({}, Experiment())
    held = ours[ours["setting"].ne("")]
    assert len(held) >= 14
    wrong = held[held["verdict"] != claims.AGREES]
    assert wrong.empty, wrong[["setting", "value", "ours"]].to_string()


def test_every_key_is_one_that_the_tables_write(results):
    known = set(results)
    splits = [*SPLITS, "overall"]
    known |= {f"table_1.{s}.{c}" for s in splits for c in ("patients", "images", "images_both")}
    known |= {f"table_1.{s}.{c}" for s in splits for c in paper.table_1().columns.drop("where")}
    arms = pd.DataFrame(
        [(b, i, 0, 0.7) for b in Experiment().architectures.arms for i in ("he", "imagenet")],
        columns=["backbone", "initialisation", "run", "test_auc"],
    )
    arms["backbone"] = [b.backbone for b in arms["backbone"]]
    known |= set(tables.figure_6_numbers(tables.figure_6(arms.drop_duplicates())))
    keys = paper.claims()["key"].str.partition(":")[0]
    assert not set(keys) - known - {""}


def test_arithmetic_of_the_paper():
    checks = claims.arithmetic_checks().set_index("id")
    open_sums = {"sum-images", "images-both", "split-negatives", "symmetry-0.05", "rate-bounds"}
    closes = checks["closes"]
    assert set(closes.index[closes.eq(False).fillna(False)]) == open_sums
    assert set(closes.index[closes.isna()]) == {"split-training"}
    assert checks.at["sum-images", "difference"] == -194
    assert checks.at["images-both", "computed"] == 101
    assert checks.at["sum-lesions", "computed"] == 8842
    assert checks.at["sum-validation-lesions", "computed"] == 850
    row = judged({}).loc["sum-images"]
    assert (row["value"], row["ours"]) == ("1001093", "1000899")


def test_what_follows_from_printed_numbers():
    known = claims._computed().set_index("id")["computed"]
    assert known["hanley-mcneil"] == pytest.approx(0.0242, abs=1e-4)
    assert known["symmetric-high"] == pytest.approx(2 * 0.435 - 0.407)
    assert known["E-if-points"] == pytest.approx(0.231 - 0.15)
    assert known["E-if-relative"] == pytest.approx(0.231 / 1.15)
    # narrower than the sample of benign lesions alone would make it, and three times as wide
    half = known.filter(like="half-width").rename(lambda i: i.replace("half-width", "binomial"))
    assert half["binomial-0.03"] == pytest.approx(0.036)
    ratio = half / known[half.index]
    assert ratio["binomial-0.03"] < 1 and ratio["binomial-0.01"] == pytest.approx(3.1, abs=0.05)
    assert known["weight-benign"] == pytest.approx(10_000 / 35) and known["maps-I+S+E"] == 35


# ------------------------------------------------------------------ the rule
@pytest.mark.parametrize(
    "check, margin, low, high, expected, verdict",
    [
        ("> 0", 0, 0.02, 0.08, None, claims.AGREES),
        ("> 0", 0, -0.08, -0.02, None, claims.CONTRADICTS),
        ("> 0", 0, -0.01, 0.08, 0.02, claims.UNDECIDED),
        ("> 0", 0, -0.01, 0.08, None, claims.UNDECIDED),
        # I+S less S on the phantom, where the paper has .026
        ("> 0", 0, -0.003, 0.005, 0.026, claims.NOT_REPLICATED),
        ("< 0", 0, -0.08, -0.02, None, claims.AGREES),
        ("< 0", 0, 0.02, 0.08, None, claims.CONTRADICTS),
        ("= 0", 0.01, -0.006, 0.001, -0.001, claims.AGREES),
        # equal within the margin, though 0 itself is left out
        ("= 0", 0.01, 0.001, 0.006, None, claims.AGREES),
        # holds 0 and is too wide to show that nothing is there
        ("= 0", 0.01, -0.11, 0.003, -0.001, claims.UNDECIDED),
        ("= 0", 0.01, 0.02, 0.08, None, claims.CONTRADICTS),
        ("= 0.5", 0.05, 0.461, 0.523, 0.474, claims.AGREES),
        ("= 0.5", 0.05, 0.333, 0.717, 0.474, claims.UNDECIDED),
        ("= 0.5", 0.05, 0.2, 0.44, 0.474, claims.CONTRADICTS),
        ("<= 0", 0.01, -0.2, 0.005, None, claims.AGREES),
        ("<= 0", 0.01, -0.2, 0.02, None, claims.UNDECIDED),
        ("<= 0", 0.01, 0.02, 0.1, None, claims.CONTRADICTS),
        ("> 0", 0, None, None, None, claims.UNDECIDED),
        ("> 0", 0, float("nan"), float("nan"), None, claims.UNDECIDED),
    ],
)
def test_verdict_by_the_rule(check, margin, low, high, expected, verdict):
    entry = dict(value=0.01, low=low, high=high)
    found, why, _ = claims._judged(check, margin, entry, expected)
    assert found == verdict, why


@pytest.mark.parametrize(
    "check, margin, low, high, expected, why, but",
    [
        # I+S above S in the demo, by less than the paper's .026
        (
            "> 0",
            0,
            0.002,
            0.014,
            0.026,
            "the paper's is 0.026, left out",
            ", but a smaller difference",
        ),
        (
            "> 0",
            0,
            0.03,
            0.05,
            0.026,
            "the paper's is 0.026, left out",
            ", but a larger difference",
        ),
        ("> 0", 0, 0.02, 0.05, 0.026, "lies above 0; the paper's is 0.026", ""),
        ("> 0", 0, -0.05, -0.02, 0.026, "lies below 0; the paper's is 0.026, left out", ""),
        ("> 0", 0, -0.003, 0.005, 0.026, "holds 0; the paper's is 0.026, left out", ""),
        # I+S+E about E+S in the demo: a difference, within the margin
        (
            *("= 0", 0.01, 0.005, 0.01, -0.002),
            "lies within 0 ± 0.01, but leaves 0 out; the paper's is -0.002",
            " within the margin, though not 0",
        ),
        ("= 0", 0.01, -0.005, 0.01, -0.002, "lies within 0 ± 0.01; the paper's is -0.002", ""),
        ("= 0", 0.01, 0.005, 0.02, -0.002, "is not within 0 ± 0.01; the paper's is -0.002", ""),
    ],
)
def test_what_a_verdict_would_hide_is_said(check, margin, low, high, expected, why, but):
    entry = dict(value=(low + high) / 2, low=low, high=high)
    _, told, hidden = claims._judged(check, margin, entry, expected)
    assert told.endswith(why), told
    assert hidden == but


def test_margins_are_those_that_the_rule_tells():
    table = paper.claims().query("check != ''")
    equal = table["check"].str.contains("=")
    assert table.loc[equal, "margin"].ne("").all() and table.loc[~equal, "margin"].eq("").all()
    assert set(table.loc[equal, "margin"]) == {"0.01", "0.05"}


def test_ledger_judges_directions_and_leaves_private_values_alone(results):
    ours = judged(results)
    assert set(ours["verdict"]) <= set(claims.VERDICTS)
    assert ours["why"].ne("").all() and ours[claims.PHANTOM].eq("").all()
    values = ours[ours["kind"].isin(["data", "result"]) & ours["check"].eq("")]
    assert set(values["verdict"]) == {claims.NOT_TESTABLE}
    assert ours.at["order-01", "verdict"] == claims.AGREES
    assert "lies above 0; the paper's is 0.021" in ours.at["order-01", "why"]
    printed = ours[ours["key"] == "auc.E+S"].iloc[0]
    assert printed["ours"].startswith(f"{results['auc.E+S']['value']:.3f} [")


def test_a_phantom_neither_agrees_with_the_paper_nor_contradicts_it(results):
    real, ours = judged(results), judged(results, MADE_UP)
    rows = ours["kind"] == "result"
    assert set(ours.loc[rows, "verdict"]) == {claims.NOT_TESTABLE}
    assert ours.at["order-01", claims.PHANTOM].startswith("shows the same")
    assert ours.at["order-10", claims.PHANTOM] == claims.SHOWN[real.at["order-10", "verdict"]]
    assert ours.loc[rows & ours["check"].eq(""), claims.PHANTOM].eq("").all()
    assert (
        ours.at["order-11", claims.PHANTOM] == "" and "not recorded" in ours.at["order-11", "why"]
    )


def test_the_phantoms_column_tells_what_the_verdict_would_hide():
    found = {"gain.I+S-S.pooled": dict(value=0.008, low=0.002, high=0.014, seeds=5)}
    found |= {"gain.I+S+E-E+S.pooled": dict(value=0.007, low=0.005, high=0.0097, seeds=5)}
    ours = judged(found, MADE_UP)[claims.PHANTOM]
    assert ours["order-06"] == "shows the same, but a smaller difference"
    assert ours["order-08"] == "shows the same within the margin, though not 0"


def test_without_gain_the_ledger_does_not_agree():
    none = tables.numbers(predictions(gain=0.0), **FEW)
    assert judged(none).at["order-01", "verdict"] != claims.AGREES


@pytest.mark.parametrize(
    "claim, key", [("order-01", "gain.E+S-E.pooled"), ("order-09", "tnr_gain.E+S-E@0.02.pooled")]
)
def test_pooled_seeds_come_first_and_one_seed_is_said_to_be_one(results, claim, key):
    pooled = dict(value=0.03, low=-0.01, high=0.09, seeds=4)
    ours = judged({**results, key: pooled}).loc[claim]
    assert ours["ours"] == "0.030 [-0.010, 0.090]" and ours["verdict"] == claims.UNDECIDED
    assert ours["why"].startswith("pooled over 4 seeds: ")
    assert judged(results).at[claim, "why"].startswith("not pooled over seeds: ")


def test_plus_minus_rows_show_the_spread_over_runs(results):
    ours = judged(results)
    spread = ours[ours["key"] == "auc.E+S:sd"].iloc[0]
    assert spread["ours"] == f"SD {results['auc.E+S']['sd']:.3f} over 3 runs"
    one = judged(tables.numbers(predictions(runs=1), **FEW))
    assert one[one["key"] == "auc.E+S:sd"].iloc[0]["ours"] == "one run, no SD"


def test_an_interval_of_table_2_stands_beside_both_of_ours(results):
    entry = results["tnr.E+S@0.02"]
    shown = judged(results).at["table2-06", "ours"]
    ends = [entry["low"], entry["high"], *(entry["mean"] + z * entry["sd"] for z in (-1.96, 1.96))]
    assert shown == (
        "[{:.3f}, {:.3f}] over patients; mean ± 1.96 SD of 3 runs [{:.3f}, {:.3f}]".format(*ends)
    )
    assert judged(results).at["text-11", "ours"] == f"{100 * entry['value']:.1f}"


def test_missing_keys_and_other_settings_are_said():
    assert "not recorded" in judged({}).at["order-01", "why"]
    changed = Experiment(windows={"side_min": 24, "side_max": 72}, fagg={"patience": 12})
    ours = judged({}, changed)
    row = ours.loc["setting-01"]
    assert row["verdict"] == claims.DIFFERS and json.loads(row["ours"]) == 24
    # one claim for two settings agrees only where both do
    assert ours.at["setting-24", "ours"] == "10 / 12"
    assert ours.at["setting-24", "verdict"] == claims.DIFFERS


def test_results_of_a_file_and_plain_numbers_are_taken_alike():
    for value in (0.05, {"value": 0.05}):
        ours = judged({"gain.E+S-E": value}).loc["order-01"]
        assert ours["verdict"] == claims.UNDECIDED and "no interval" in ours["why"]


def test_summary_closes(results):
    table = claims.ledger(results, REAL)
    s = claims.summary(table)
    assert s.loc["all", "all"] == len(table)
    assert (s.drop(columns="all").sum(axis=1) == s["all"]).all()
