"""Parameters are read from the tagged cell, and a name or value that is not theirs is refused."""

from __future__ import annotations

import pytest
from toy_project import write_notebook

from lesionlib.errors import InputError
from study.parameters import known_parameters, read_values, refuse_unknown


def test_name_type_default_and_help_are_read(tmp_path):
    known = known_parameters(write_notebook(tmp_path, "04"))
    assert list(known) == ["experiment", "run"]
    assert known["run"] == (int, 0, "which run")
    assert known["experiment"] == (str, "toy", "name of an experiment")


@pytest.mark.parametrize(
    "line, kind, default",
    [
        ("x = 1", int, 1),
        ("x = True", bool, True),
        ("x = None", str, None),
        ("x: float = 2  # wide", float, 2),
        ('x: str = "#fff"', str, None),  # papermill takes the hash for a comment
        ("x: int = len([])", int, None),
    ],
)
def test_types_that_are_not_declared_and_defaults_that_are_no_literals(
    tmp_path, line, kind, default
):
    known = known_parameters(write_notebook(tmp_path, "04", parameters=line))
    assert known["x"][:2] == (kind, default)


def test_an_unknown_name_is_refused_with_the_nearest_one():
    refuse_unknown({"run": 1, "experiment": "demo"}, ["experiment", "run"], "04_toy.ipynb")
    with pytest.raises(InputError, match="unknown parameter 'rnu' .04_toy.*did you mean 'run'"):
        refuse_unknown({"rnu": 1}, ["experiment", "run"], "04_toy.ipynb")
    with pytest.raises(InputError, match="unknown parameter 'rnu' .stage store.. Leave it out"):
        read_values({"rnu": "1"}, {}, "stage store")


@pytest.mark.parametrize(
    "word, kind, value",
    [
        ("3", int, 3),
        ("7", str, "7"),
        ("1e-4", float, 1e-4),
        ("2", float, 2.0),
        ("yes", bool, True),
        ("False", bool, False),
        ("3", int | None, 3),
        ("E+S", str | None, "E+S"),
    ],
)
def test_a_word_becomes_a_value_of_the_declared_type(word, kind, value):
    found = read_values({"x": word}, {"x": kind}, "")["x"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("word, kind", [("1.5", int), ("many", float), ("2", bool)])
def test_a_value_of_another_type_is_refused(word, kind):
    with pytest.raises(InputError, match=f"rate is '{word}' .command line.. Give a valid"):
        read_values({"rate": word}, {"rate": kind}, "")


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such notebook"):
        known_parameters(tmp_path / "none.ipynb")
    (tmp_path / "bad.ipynb").write_text("{")
    with pytest.raises(InputError, match="not a notebook"):
        known_parameters(tmp_path / "bad.ipynb")
