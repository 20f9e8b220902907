"""Every notebook keeps the contract, and every rule of the contract can fail."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path

import nbformat
import notebook_contract as contract
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from study.refresh import LARGEST_FILE, LARGEST_SUM, fold, with_navigation

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = {path: nbformat.read(path, as_version=4) for path in PATHS}


# ------------------------------------------------------------------ the notebooks
@pytest.mark.parametrize("rule", contract.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_contract(path, rule):
    complaints = list(rule(path, NOTEBOOKS[path]))
    assert not complaints, "\n".join(complaints)


def test_numbers_follow_each_other():
    assert PATHS, "there are no notebooks"
    assert [path.name[:2] for path in PATHS] == [f"{n:02d}" for n in range(len(PATHS))]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_navigation_is_the_generated_one(path):
    names, position = [p.name for p in PATHS], PATHS.index(path)
    before = names[position - 1] if position else None
    after = names[position + 1] if position + 1 < len(names) else None
    title = NOTEBOOKS[path].cells[0].source
    assert title == with_navigation(title, before, names[0], after)


def test_sizes():
    sizes = {path.name: path.stat().st_size for path in PATHS}
    assert {n: s for n, s in sizes.items() if s > LARGEST_FILE} == {}
    assert sum(sizes.values()) <= LARGEST_SUM


def test_recorded_keys_are_among_the_results():
    file = ROOT / "figures" / "demo" / "results.json"
    if not file.is_file():
        pytest.skip("figures/demo/results.json: the demo's results are not stored yet")
    known = json.loads(file.read_text(encoding="utf-8"))["records"]
    for path, notebook in NOTEBOOKS.items():
        for key in recorded(notebook):
            assert key in known, f"{path.name} records {key}, results.json does not have it"


def recorded(notebook) -> list[str]:
    """Literal first arguments of lab.record(...)."""
    calls = [
        node
        for cell in contract.code(notebook)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lab.record" and node.args
    ]
    return [c.args[0].value for c in calls if isinstance(c.args[0], ast.Constant)]


# ------------------------------------------------------------------ a notebook that keeps it
HEADER = """# 00 · Toy

[contents](00_start_here.ipynb)

**Question**: Is this a notebook?

**Paper**: none.

**Reads / writes**: nothing.

**Time**: demo: about 3 s on 2 CPU cores.

- one goal
- another
"""
TAKE_AWAY = "## What to take away\n\n- one\n- two\n- three\n\n## Try it\n\n1. this\n2. that"


def cell(source: str, *tags: str, outputs=()):
    return new_code_cell(source, metadata={"tags": list(tags)}, outputs=list(outputs))


def picture(**metadata):
    return new_output("display_data", {"image/png": "x"}, metadata=metadata)


def caption(of: str):
    said = f"**Figure.** 5 lesions, 5 patients. *Data set: x; {of}.*"
    return new_output("display_data", {"text/markdown": said})


def good():
    compared = f"{contract.CHECKED}\n1 + 1"
    notebook = new_notebook(
        cells=[
            new_markdown_cell(HEADER),
            cell('experiment: str = "demo"  # name of an experiment', "parameters"),
            cell('from study.lab import open_lab\n\nlab = open_lab(experiment, "00")', "setup"),
            new_markdown_cell("## 1 Why\n\nBecause."),
            *(cell(compared) for _ in range(3)),
            new_markdown_cell("Two."),
            cell("lab", outputs=[picture(**{"image/png": {"alt": "a curve"}})]),
            *(cell('assert 1 + 1 == 2, "the sum is not 2"', "check") for _ in range(2)),
            new_markdown_cell(TAKE_AWAY),
            new_markdown_cell("**Solution 1.** Show the code."),
            cell("# 1 count\nrest = 1\nanswer_1 = rest + 1", "solution"),
            cell('assert answer_1 == 2, "count again"', "grade"),
            new_markdown_cell("## Provenance"),
            cell("lab.provenance()"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    for number, code_cell in enumerate(contract.code(notebook), start=1):
        code_cell.execution_count = number
    fold(notebook)
    return notebook


@pytest.fixture
def path(tmp_path):
    (tmp_path / "00_start_here.ipynb").write_text("")
    return tmp_path / "00_start_here.ipynb"


def complaints_of(path, notebook) -> list[str]:
    return [complaint for rule in contract.RULES for complaint in rule(path, notebook)]


def test_a_good_notebook_has_no_complaint(path):
    assert complaints_of(path, good()) == []


def replaced(old: str, new: str):
    """A change of the first cell that holds a text."""

    def change(notebook):
        found = next(c for c in notebook.cells if old in c.source)
        found.source = found.source.replace(old, new, 1)

    return change


def added(source: str, *tags: str, outputs=()):
    def change(notebook):
        notebook.cells.insert(4, cell(source, *tags, outputs=outputs))

    return change


def written(source: str):
    return lambda notebook: notebook.cells.insert(4, new_markdown_cell(source))


def stderr():
    return new_output("stream", name="stderr", text="careful")


def fault():
    return new_output("error", ename="E", evalue="", traceback=[])


BREAKS = [
    (replaced("# 00 · Toy", "# Toy"), "does not open with"),
    (replaced("[contents]", "[table]"), "no link to the contents"),
    (replaced("**Paper**", "**Article**"), "no field Paper"),
    (replaced("about 3 s", "about ? s"), "not measured"),
    (replaced("- another\n", ""), "1 goals"),
    (lambda n: n.cells[1].metadata.pop("tags"), "not tagged parameters"),
    (replaced("  # name of an experiment", ""), "no type or no help"),
    *(
        (replaced('experiment: str = "demo"', line), "papermill")
        for line in ("a: str = str(3)", "import os", "a: int", "a, b = 1, 2", 'a: str = "#fff"')
    ),
    (replaced('experiment, "00"', 'experiment, "01"'), "does not call open_lab"),
    (added("import math"), "import outside the setup"),
    (lambda n: n.metadata.kernelspec.update(name="mine"), "not python3"),
    (lambda n: n.metadata.update(papermill={}), "papermill"),
    (added("1 +"), "does not parse"),
    (added("\n".join("x = 1" for _ in range(16))), "16 lines"),
    (added("x = " + "1" * 90), "94 columns"),
    (lambda n: [added("x = 1\n" * 8)(n) for _ in range(20)], "in the median"),
    (added("class A:\n    pass"), "a class: A"),
    (added("def f():\n" + "\n".join(["    x = 1"] * 11)), "function f has 12 lines"),
    (added("!ls"), "shell"),
    (added("for _ in x:\n    loss.backward()"), "training loop"),
    (added("assert 1", "check"), "without a message"),
    (added("1", "check"), "asserts nothing"),
    (lambda n: [added('assert 1, "x"', "check")(n) for _ in range(5)], "7 check cells"),
    (added("1", "folded"), "not folded"),
    (lambda n: n.cells[4].metadata.update(jupyter={"source_hidden": True}), "folded: "),
    (replaced("**Solution 1.** Show", "Solution 1"), "no line"),
    (replaced("# 1 count\n", ""), "without a hint"),
    (replaced("answer_1 = rest + 1", "other = 2"), "without answer_1"),
    (lambda n: n.cells.pop(-3), "no cell tagged grade"),
    (added('assert answer_1, "x"', "grade"), "grades no solution"),
    (replaced(', "count again"', ""), "one without a message"),
    (replaced("assert answer_1", "assert 2"), "answer_1 is not graded"),
    (replaced("assert answer_1", "assert rest < answer_1"), "rest is of the solution alone"),
    (added("1"), "4 cells of code in a row"),
    (replaced("## Try it", "## Exercises"), "does not end with the sections"),
    (replaced("- three", ""), "2 points to take away"),
    (replaced("2. that", ""), "1 exercises"),
    (replaced("lab.provenance()", "lab"), "last cell"),
    (written("word " * 121), "121 words"),
    (written("see [there](nowhere.ipynb)"), "dead link"),
    (written("see [there](http://example.org)"), "unencrypted"),
    (written("kept in /home/me/data"), "absolute path"),
    (added("x", outputs=[new_output("stream", text="/tmp/x.py:3")]), "absolute path"),
    (lambda n: n.cells[2].update(execution_count=7), "not one run from the top"),
    (added("x", outputs=[fault()]), "an error"),
    (added("x", outputs=[stderr()]), "stderr"),
    (added("x", outputs=[picture()]), "without alt text"),
    (added("x", outputs=[new_output("display_data", {"text/html": "<img src='x'>"})]), "<img>"),
    (written("![](00_start_here.ipynb)"), "picture without alt"),
    (added("lab.show(f, alt='x')"), "without a caption"),
    (added("lab.show(f, alt='x', caption='y')"), "without a caption, or of what"),
    (added("x", outputs=[caption("test split: 3 lesions")]), "without the number of patients"),
    (added("x", outputs=[caption("2 images, 2 patients")]), "without the number of lesions"),
    (replaced(contract.CHECKED, "#"), "2 cells with"),
    (replaced("1 + 1", "1 + 1;"), "hides its value"),
    (added("# NBVAL_SKIP\nx"), "NBVAL_SKIP without"),
    (added("x", "nbval-skip"), "nbval-skip"),
]


@pytest.mark.parametrize("change, complaint", BREAKS, ids=[b[1] for b in BREAKS])
def test_each_rule_can_fail(path, change, complaint):
    notebook = copy.deepcopy(good())
    change(notebook)
    found = complaints_of(path, notebook)
    assert any(complaint in text for text in found), found


@pytest.mark.parametrize(
    "of", ["test split: 1 lesion (benign), 1 patient", "no lesion, no patient"]
)
def test_a_caption_may_say_that_no_lesion_is_shown(path, of):
    notebook = good()
    added("x", outputs=[caption(of)])(notebook)
    assert not [c for c in complaints_of(path, notebook) if "caption" in c]


def test_a_dated_reason_lets_a_cell_be_passed_over(path):
    notebook = good()
    added("# NBVAL_SKIP: needs a GPU (2026-01-31)\n1")(notebook)
    assert not [c for c in complaints_of(path, notebook) if "NBVAL_SKIP without" in c]
