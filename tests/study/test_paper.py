"""The paper's numbers as data, and what it leaves open."""

from __future__ import annotations

from importlib.util import find_spec

from study import paper
from study.settings import Experiment


def test_what_the_paper_leaves_open_is_held_by_a_setting_or_a_module():
    table = paper.silent(Experiment())
    assert (table[["subject", "choice", "reason", "parameter"]] != "").all(axis=None)
    assert not table["subject"].duplicated().any()
    fixed = table[table["here"] == ""]["parameter"]
    assert len(fixed) < len(table) / 2
    for words in fixed:
        assert find_spec(words.removeprefix("fixed in ")), words


def test_the_present_value_is_the_experiments():
    rules = Experiment().windows.model_copy(update={"min_overlap": 7})
    table = paper.silent(Experiment().model_copy(update={"windows": rules})).set_index("parameter")
    assert table.at["windows.min_overlap", "here"] == "7"
