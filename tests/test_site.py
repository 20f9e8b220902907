"""The site's configuration: what it writes and folds.  `make site` itself needs further packages."""

from __future__ import annotations

import json
import re
import runpy

import pytest

from study.commands.listing import settings_rows
from study.settings import project_root


@pytest.fixture(scope="module")
def conf():
    return runpy.run_path(str(project_root() / "docs" / "conf.py"))


def test_the_reference_has_every_public_module_and_every_setting(conf, tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    for name in conf["PACKAGES"]:
        (tmp_path / name).symlink_to(project_root() / name)
    monkeypatch.setitem(conf["write_reference"].__globals__, "ROOT", tmp_path)
    conf["write_reference"](None)
    place = tmp_path / "docs" / "reference"
    assert "automodule:: lesionlib.sampling\n" in (place / "lesionlib.rst").read_text()
    assert "._" not in (place / "lesionlib.rst").read_text()
    lines = (place / "settings.md").read_text().splitlines()
    rows = [line.replace("\\|", "/").split(" | ") for line in lines if line.startswith("|")]
    assert [row[0][2:].strip("`") for row in rows[2:]] == [name for name, *_ in settings_rows()]
    assert {len(row) for row in rows} == {4}


def test_a_table_of_a_docstring_is_shown_as_it_is(conf):
    lines = ["Text", "", "| a | b |", "|---|---|", "| 1 | 2 |", "", "End"]
    conf["show_tables"](None, "module", "x", None, {}, lines)
    table = ["    | a | b |", "    |---|---|", "    | 1 | 2 |"]
    assert lines == ["Text", "", "::", "", *table, "", "End"]


def test_code_that_jupyterlab_folds_is_folded(conf):
    cells = [{"metadata": {"jupyter": {"source_hidden": True}}}, {"metadata": {}}]
    source = [json.dumps({"cells": cells})]
    conf["fold_cells"](None, "notebooks/00_start_here", source)
    folded = [cell["metadata"].get("tags") for cell in json.loads(source[0])["cells"]]
    assert folded == [["hide-input"], None]
    source = ["# Title"]
    conf["fold_cells"](None, "README", source)
    assert source == ["# Title"]


def test_a_page_that_is_linked_is_of_the_site(conf):
    """Sphinx knows no other, and `make site` ends with what it warns of."""
    root = project_root()
    patterns = [name.replace("**.", "**/*.") for name in conf["include_patterns"]]
    pages = {page for name in patterns for page in root.glob(name)}
    for page in (page for page in pages if page.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#:\s]+\.(?:md|ipynb))[)#]", page.read_text("utf-8")):
            assert (page.parent / target).resolve() in pages, f"{page.name}: {target}"
