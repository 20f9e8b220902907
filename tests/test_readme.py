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


def test_numbers_are_written_as_journals_print_them():
    assert [readme.number(x) for x in (0.7734, 1.0, -0.0361)] == [".773", "1.000", "-.036"]
    assert readme.span({"value": 0.02, "low": -0.001, "high": 0.5}, "+") == "+.020 [-.001, +.500]"


def test_an_interval_below_chance_is_said_with_the_numbers(monkeypatch):
    entry = {"value": 0.3, "low": 0.2, "high": 0.45, "lesions": 9, "malignant": 4, "patients": 8}
    models = {m: entry | {"high": 0.6} for m in ("f_loc", "E", "S", "E+S")} | {"I+S": entry}
    found = {"models": models, "gains": {"E+S-E": entry}}
    monkeypatch.setattr(readme, "stored", lambda experiment: found)
    assert "Wholly below .5 lies the interval of I+S: " in readme.mini_mias()
    models["I+S"]["high"] = 0.5
    assert "No model's interval lies wholly below .5" in readme.mini_mias()
