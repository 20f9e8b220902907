"""Parameters are read from the tagged cell, and a name or value that is not theirs is refused."""

from __future__ import annotations

import pytest
from toy_project import write_notebook

from lesionlib.errors import InputError
from study.parameters import (
    check_parameters,
    known_parameters,
    parameters_of,
    parsed,
    parsed_parameters,
)


@pytest.fixture
def notebook(tmp_path):
    return write_notebook(tmp_path, "04")


def test_name_type_value_and_help_are_read(notebook):
    known = known_parameters(notebook)
    assert list(known) == ["experiment", "run"]
    assert (known["run"].type, known["run"].value, known["run"].help) == ("int", 0, "which run")


def test_a_hash_sign_in_a_value_is_no_comment():
    (found,) = parameters_of('colour: str = "#fff"  # of the curve')
    assert (found.value, found.help) == ("#fff", "of the curve")


def test_an_untyped_parameter_has_the_type_of_its_value():
    assert [p.type for p in parameters_of("a = 1\nb = True\nc = None")] == [
        "int",
        "bool",
        "NoneType",
    ]


@pytest.mark.parametrize("line", ["a = f(1)", "import os", "a: int", "a, b = 1, 2", "a ="])
def test_what_is_no_literal_is_refused(line):
    with pytest.raises(InputError, match="Write name: type = value"):
        parameters_of(line)


def test_an_unknown_name_is_refused_with_the_nearest_one(notebook):
    check_parameters(notebook, {"run": 1, "experiment": "demo"})
    with pytest.raises(InputError, match="unknown parameter 'rnu'.*did you mean 'run'"):
        check_parameters(notebook, {"rnu": 1})


def test_words_become_values_of_the_declared_type(notebook):
    assert parsed_parameters(notebook, {"run": "3", "experiment": "7"}) == {
        "run": 3,
        "experiment": "7",
    }


@pytest.mark.parametrize(
    "text, kind, value",
    [("1e-4", "float", 1e-4), ("2", "float", 2.0), ("yes", "bool", True), ("False", "bool", False)],
)
def test_parsed(text, kind, value):
    assert parsed(text, kind, "x") == value and type(parsed(text, kind, "x")) is type(value)


@pytest.mark.parametrize("text, kind", [("1.5", "int"), ("many", "float"), ("2", "bool")])
def test_a_value_of_another_type_is_refused(text, kind):
    with pytest.raises(InputError, match="rate is"):
        parsed(text, kind, "rate")


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such notebook"):
        known_parameters(tmp_path / "none.ipynb")
    (tmp_path / "bad.ipynb").write_text("{")
    with pytest.raises(InputError, match="not a notebook"):
        known_parameters(tmp_path / "bad.ipynb")
