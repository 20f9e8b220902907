"""What the README and the pages of the data sets promise is there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from notebook_contract import LINK

from study import readme
from study.__main__ import parser
from study.settings import experiment_names

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "data_manifest").rglob("README.md"))]
TEXTS = [ROOT / "REPORTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page", [*PAGES, *TEXTS], ids=lambda page: f"{page.parent.name}/{page.name}"
)
def test_links_lead_somewhere(page):
    for words, target in LINK.findall(page.read_text(encoding="utf-8")):
        local = target.partition("#")[0]
        if "://" not in target and local:
            assert (page.parent / local).exists(), f"a dead link: [{words}]({target})"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_nothing_is_left_to_be_filled_in(page):
    assert "TODO" not in page.read_text(encoding="utf-8")


def test_commands_exist():
    targets = re.findall(
        r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    named = re.findall(
        r"\bmake ([a-z][\w-]*)", "\n".join(re.findall(r"`[^`]+`|^make .*$", README, re.M))
    )
    assert named and set(named) <= set(targets), set(named) - set(targets)
    ours = re.findall(r"`(?:\.venv/bin/)?study ([a-z][\w-]*)", README)
    (choices,) = [a.choices for a in parser()._actions if a.choices and "run" in a.choices]
    assert ours and set(ours) <= set(choices)


def test_experiments_exist():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"EXPERIMENT=(\w+)", pages)) - {"mine"}
    assert named and named <= set(experiment_names())


def test_every_notebook_is_in_the_map():
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        assert f"(notebooks/{path.name})" in README, path.name


def test_functions_of_the_map_exist():
    rows = [line for line in README.splitlines() if "](notebooks/" in line and line[0] == "|"]
    names = [name for row in rows for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", row)]
    names = [name for name in names if not re.search(r"\.(csv|json)$", name)]
    assert len(names) > 10
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name


def test_numbers_are_those_of_the_stored_results():
    assert len(readme.BLOCK.findall(README)) == len(readme.BLOCKS)
    assert readme.with_numbers(README) == README, "run: study refresh"


def test_an_outcome_that_fails_has_a_row_like_one_that_holds(monkeypatch):
    row = {
        "value": 0.02,
        "low": 0.01,
        "high": 0.03,
        "seeds": 5,
        "supports": "above 0",
        "holds": True,
    }
    control = {"value": 0.001, "low_90": -0.02, "high_90": 0.003, "holds": False, "supports": "±"}
    short = {
        "value": 0.09,
        "t_low": 0.08,
        "t_high": 0.1,
        "supports": "within ±0.08",
        "holds": False,
    }
    found = {"evidence.shortfall of S": short, "evidence.gain.E+S-E": row}
    found |= {"evidence.gain.I+S-S": row | {"low": -0.01, "holds": False}}
    found |= {"control.gain.E+S-E": control, "evidence.gain.E-S": row | {"supports": "reported"}}
    found |= {"evidence.auc.I": {"seeds": 5, "supports": "reported"}}
    monkeypatch.setattr(readme, "pooled", lambda: found)
    lines = readme.outcomes().splitlines()[2:]
    asked = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    assert [c[4] for c in asked] == ["**no**", "yes", "**no**"]
    place, context, shortfall = asked
    assert place[0].endswith("I+S less S") and shortfall[0] == "shortfall of S"
    assert context[2:] == [".020", ".010 to .030", "yes", ".001", "-.020 to .003", "**no**"]
    assert shortfall[2:4] == [".090", ".080 to .100"]
    missed = f"{place[0]}; {context[0]} within the margin in the controls; shortfall of S."
    assert lines[-1].endswith(f"**Not met:** {missed}")


@pytest.mark.parametrize(
    "low, told", [(-0.01, "-1.0 to 6.0, which holds 0."), (0.01, "1.0 to 6.0.")]
)
def test_the_first_sentence_is_of_several_phantoms(monkeypatch, low, told):
    gain = {"value": 0.03, "low": low, "high": 0.06, "seeds": 5}
    monkeypatch.setattr(readme, "pooled", lambda: {"evidence.tnr_gain.E+S-E@0.02": gain})
    first, _, rest = readme.spared().partition("* *")
    assert (
        first.startswith("*On 5 phantoms")
        and f"3.0 more benign lesions of every 100, 95 % interval {told}" in first
    )
    assert rest.startswith("The figure is of one phantom more")


def test_numbers_are_written_as_journals_print_them():
    assert [readme.number(x) for x in (0.7734, 1.0, -0.0361)] == [".773", "1.000", "-.036"]
    assert readme.span({"value": 0.02, "low": -0.001, "high": 0.5}) == ".020 [-.001, .500]"


def test_what_lies_off_chance_is_said_with_the_numbers(monkeypatch):
    entry = {"value": 0.45, "low": 0.2, "high": 0.6, "lesions": 9, "malignant": 4, "patients": 8}
    models = {m: dict(entry) for m in ("f_loc", "E", "S", "E+S", "I+S")}
    gains = dict.fromkeys(("E+S-E", "E+S less E"), entry)
    found = {"folds": 5, "models": models, "gains": gains}
    monkeypatch.setattr(readme, "stored", lambda experiment: found)
    assert "Every interval holds .5" in readme.mini_mias()
    models["I+S"]["high"], models["S"]["low"] = 0.49, 0.51
    said = readme.mini_mias()
    assert "Interval wholly above .5, which is chance: S. Interval wholly below .5, " in said
    assert "chance: I+S." in said and "Every interval" not in said


@pytest.mark.parametrize("low, told", [(0.45, True), (0.52, False)])
def test_an_external_test_in_which_nothing_is_shown_says_so(low, told):
    fact = {
        "fact": "source_rows",
        "auc": 0.6,
        "auc_alike": 0.6,
        "r_benign": 0.1,
        "r_malignant": 0.1,
    }
    facts = [{"facts": "source_rows", "value": 0.6, "low": 0.5, "high": 0.7}]
    row = {"outcome": "AUC of E", "value": 0.55, "low": low, "high": 0.66}
    row |= {"lesions": 118, "malignant": 51}
    used = [fact | {"model": m} for m in ("E", "E+S", "S", "f_loc")]
    tables = {"controls": [], "external": [row], "film_facts": facts, "film_facts_use": used}
    lines = readme._controls({"tables": tables, "missing": []})
    assert lines[-1].endswith("that anything carries over is not shown.") is told


@pytest.mark.parametrize("holds, told", [(True, "is taken for chance"), (False, "is to be hunted")])
def test_permutations_are_told_by_their_mean(holds, told):
    first = {"outcome": "AUC of E", "value": 0.58, "low": 0.5, "high": 0.696, "holds": False}
    mean = {"outcome": "AUC of E, mean of 5 permutations", "value": 0.48, "low": 0.35, "high": 0.61}
    rows = [first, mean | {"sd": 0.107, "holds": holds}, first | {"low": 0.0}]
    text = readme.permuted({"tables": {"controls": rows}})
    assert ".480 [.350, .610]" in text and "**.107**" in text and "allows for .050" in text
    assert told in text
    assert readme.permuted({"tables": {"controls": [first]}}) == ""
