"""The claims ledger: complete, wired to real keys and settings, judged by its rule."""

import json

import pandas as pd
import pytest
from made_up import predictions

from data_manifest.manifest import SPLITS
from study import claims, paper, tables
from study.settings import Experiment

FEW = dict(resamples=200, seed=1)


@pytest.fixture(scope="module")
def results():
    return tables.numbers(predictions(), **FEW)


def test_ids_are_unique_and_kinds_known():
    table = paper.claims()
    assert table["id"].is_unique and len(table) > 150
    assert set(table["kind"]) == {"data", "method setting", "result", "arithmetic"}
    assert table[["id", "where", "statement", "value", "can_be_recomputed_from"]].ne("").all(None)


def test_every_printed_table_value_is_a_claim():
    values = paper.claims().groupby("where")["value"].agg(list)
    first = paper.table_1().drop(columns="where").to_numpy().ravel()
    assert {str(n) for n in first} <= set(values["Table 1"])
    for column in ("auc", "spread"):
        printed = {f"{x:.3f}" for x in paper.table_3()[column]}
        assert printed <= set(values["Table 3"])
    assert {f"{x:.3f}" for x in paper.table_2()["tnr"]} <= set(values["Table 2"])
    text = {f"{v:g}" for v in paper.text().drop(index="auc_abstract")["value"]}
    numbers = {f"{float(v):g}" for v in paper.claims()["value"] if v.replace(".", "").isdigit()}
    lists = " ".join(v for v in paper.claims()["value"] if v.startswith("["))
    assert not {v for v in text if v not in numbers and v not in lists}


def test_every_setting_exists_and_defaults_to_the_papers_value():
    """Defaults are the paper's where it gives one; a claim whose setting is renamed fails here."""
    ours = claims.ledger({}, Experiment())
    held = ours[ours["setting"].ne("")]
    assert len(held) >= 18
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


def test_every_arithmetic_claim_has_its_check_and_the_reverse():
    table = paper.claims()
    listed = set(table.loc[table["kind"] == "arithmetic", "id"])
    assert listed == set(claims.arithmetic_checks()["id"])


def test_arithmetic_of_the_paper():
    checks = claims.arithmetic_checks().set_index("id")
    open_sums = {"sum-images", "images-both", "split-negatives", "symmetry-0.05", "rate-bounds"}
    closes = checks["closes"]
    assert set(closes.index[closes.eq(False).fillna(False)]) == open_sums
    assert set(closes.index[closes.isna()]) == {"split-training", "spared-more"}
    assert checks.at["sum-images", "difference"] == -194
    assert checks.at["images-both", "computed"] == 101
    assert checks.at["sum-lesions", "computed"] == 8842
    assert checks.at["hanley-mcneil", "computed"] == pytest.approx(0.0241, abs=1e-4)
    assert f"{2 * 0.435 - 0.407:.3f}" in checks.at["symmetry-0.05", "note"]
    more = checks.at["spared-more", "note"]
    assert f"{0.231 - 0.15:.3f} for E" in more and f"{0.231 / 1.15:.3f} if relative" in more
    assert f"{1.96 * 0.02411:.3f} over lesions" in checks.at["hanley-mcneil", "note"]


# ------------------------------------------------------------------ the rule
@pytest.mark.parametrize(
    "check, entry, verdict",
    [
        ("> 0", dict(value=0.05, low=0.02, high=0.08), claims.AGREES),
        ("> 0", dict(value=-0.05, low=-0.08, high=-0.02), claims.DIFFERS),
        ("> 0", dict(value=0.05, low=-0.01, high=0.08), claims.OPEN),
        ("< 0", dict(value=-0.05, low=-0.08, high=-0.02), claims.AGREES),
        ("< 0", dict(value=0.05, low=0.02, high=0.08), claims.DIFFERS),
        ("= 0.5", dict(value=0.48, low=0.43, high=0.53), claims.AGREES),
        ("= 0.5", dict(value=0.6, low=0.55, high=0.65), claims.DIFFERS),
        ("= 0.5", dict(value=0.5), claims.OPEN),
        ("> 0", dict(value=0.01), claims.AGREES),
        ("< 0", dict(value=0.01), claims.DIFFERS),
        ("> 0", dict(value=0.01, low=float("nan"), high=float("nan")), claims.AGREES),
    ],
)
def test_verdict_of_a_direction(check, entry, verdict):
    assert claims._direction(check, entry)[0] == verdict


def test_ledger_judges_directions_and_leaves_private_values_alone(results):
    ours = claims.ledger(results, Experiment()).set_index("id")
    assert len(ours) == len(paper.claims())
    assert set(ours["verdict"]) <= {claims.AGREES, claims.DIFFERS, claims.OPEN}
    assert ours["why"].ne("").all()
    values = ours[(ours["kind"] != "arithmetic") & ours["setting"].eq("") & ours["check"].eq("")]
    assert set(values["verdict"]) == {claims.OPEN}
    assert ours.at["order-01", "verdict"] == claims.AGREES
    assert "lies above 0" in ours.at["order-01", "why"]
    printed = ours[ours["key"] == "auc.E+S"].iloc[0]
    assert printed["ours"].startswith(f"{results['auc.E+S']['value']:.3f} [")


def test_without_gain_the_ledger_does_not_agree():
    none = tables.numbers(predictions(gain=0.0), **FEW)
    ours = claims.ledger(none).set_index("id")
    assert ours.at["order-01", "verdict"] != claims.AGREES


def test_plus_minus_rows_show_the_spread_over_runs(results):
    ours = claims.ledger(results).set_index("id")
    spread = ours[ours["key"] == "auc.E+S:sd"].iloc[0]
    assert spread["ours"] == f"SD {results['auc.E+S']['sd']:.3f} over 3 runs"
    one = claims.ledger(tables.numbers(predictions(runs=1), **FEW)).set_index("id")
    assert one[one["key"] == "auc.E+S:sd"].iloc[0]["ours"] == "one run, no SD"


def test_missing_keys_and_settings_are_said_to_be_missing():
    ours = claims.ledger({}).set_index("id")
    assert "not recorded" in ours.at["order-01", "why"]
    assert ours.at["setting-01", "why"] == "settings not given"
    changed = Experiment(windows={"side_min": 24, "side_max": 72}).model_dump(mode="json")
    row = claims.ledger({}, changed).set_index("id").loc["setting-01"]
    assert row["verdict"] == claims.DIFFERS and json.loads(row["ours"]) == 24


def test_results_of_a_file_and_plain_numbers_are_taken_alike():
    key = paper.claims().set_index("id").at["order-01", "key"]
    for value in (0.05, {"value": 0.05}):
        assert (
            claims.ledger({key: value}).set_index("id").at["order-01", "verdict"] == claims.AGREES
        )


def test_summary_closes(results):
    s = claims.summary(claims.ledger(results))
    assert s.loc["all", "all"] == len(paper.claims())
    assert (s.drop(columns="all").sum(axis=1) == s["all"]).all()
