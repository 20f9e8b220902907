"""Parameters are read from the tagged cell, and a name or value that is not theirs is refused.

A running notebook knows by its kernel's history whether it is run as it is written.
"""

from __future__ import annotations

import sys

import pytest
from toy_project import write_notebook

from lesionlib.errors import InputError
from study.parameters import Session, known_parameters, read_values, refuse_unknown


def test_name_type_and_default_are_read(tmp_path):
    known = known_parameters(write_notebook(tmp_path, "04"))
    assert list(known) == ["experiment", "run"]
    assert known["run"] == (int, 0)
    assert known["experiment"] == (str, "toy")


@pytest.mark.parametrize(
    "line, kind, default",
    [
        ("x = 1", int, 1),
        ("x = True", bool, True),
        ("x = None", str, None),
        ("x: float = 2  # wide", float, 2),
        ('x: str = "#fff"', str, "#fff"),
        ("x: int = len([])", int, None),
    ],
)
def test_types_that_are_not_declared_and_defaults_that_are_no_literals(
    tmp_path, line, kind, default
):
    known = known_parameters(write_notebook(tmp_path, "04", parameters=line))
    assert known["x"] == (kind, default)


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


# ------------------------------------------------------------------ a notebook that runs
SETUP, WORK = "lab = open_lab(experiment, '04')", "table = 1"
TAGGED = 'experiment: str = "toy"  # name of an experiment\nrun: int = 0  # which run'
RUN_3 = TAGGED.replace("= 0", "= 3")


@pytest.fixture
def session(tmp_path, monkeypatch):
    """session(cell, ...) -> that of a kernel that has run these cells of notebook 04."""
    path = write_notebook(tmp_path, "04", SETUP, WORK)

    def after(*cells):
        monkeypatch.setattr(sys.modules["__main__"], "In", ["", *cells], raising=False)
        return Session(path)

    return after


@pytest.mark.parametrize(
    "cells, changed, has_own_code",
    [
        ([TAGGED, SETUP, WORK], {}, True),
        ([TAGGED, "# Parameters\nexperiment = 'mine'\n", SETUP, WORK], {}, True),
        ([TAGGED, "# Parameters\nrun = 3\n", SETUP, WORK], {"run": 3}, True),
        ([RUN_3, SETUP, WORK], {"run": 3}, True),
        ([TAGGED.replace("run: int = 0", "run = 3"), SETUP, WORK], {"run": 3}, True),
        # run again with another value, and not from the top
        ([TAGGED, SETUP, WORK, RUN_3, WORK], {"run": 3}, True),
        ([RUN_3, SETUP, TAGGED, SETUP, WORK], {}, True),
        ([TAGGED, SETUP, "table = 2"], {}, False),
        ([TAGGED, SETUP, "lab.settings", WORK], {}, False),
        ([TAGGED, SETUP, "%pip list", WORK], {}, False),
    ],
)
def test_what_was_tried_out_is_told_from_the_notebook_as_it_is_written(
    session, cells, changed, has_own_code
):
    found = session(*cells)
    found.check()
    assert (found.changed, found.has_own_code) == (changed, has_own_code)
    assert found.parameters == {"run": 0} | changed


@pytest.mark.parametrize(
    "given", ["# Parameters\nrnu = 3", TAGGED.replace("run:", "rnu:"), "rnu: int = 3"]
)
def test_a_misspelt_parameter_is_refused_in_a_cell_of_papermill_and_in_ones_own(session, given):
    with pytest.raises(InputError, match="'rnu' .notebook 04_toy.. did you mean 'run'"):
        session(TAGGED, given, SETUP).check()
    session(given, SETUP, TAGGED, SETUP).check()  # mended since


def test_outside_a_notebook_nothing_differs():
    found = Session(None)
    assert (found.changed, found.parameters, found.has_own_code) == ({}, {}, True)
