"""The readers' edition: its checks fail until the solutions are put back."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell
from toy_project import make_project, write_notebook

from study.__main__ import main
from study.commands.readers import has_tag, solutions_of, without_solutions
from study.refresh import fold

TASKS = "## Try it\n\n1. The sum of the scores?\n2. Their order?"
FIRST = "# 1 add them\n# one by one\nrest = sum(scores)\nanswer_1 = rest\nprint(answer_1)"
CHECK = 'assert answer_1 == max(scores) + min(scores), "add every score once"\nprint("1 right")'


def tagged(source: str, tag: str):
    return new_code_cell(source, metadata={"tags": [tag]})


@pytest.fixture
def project(own_root):
    """One notebook with two tasks, run and folded."""
    path = write_notebook(make_project(own_root), "04", "scores = [1, 2]\nscores")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [
        new_markdown_cell(TASKS),
        new_markdown_cell("**Solution 1.** Show the code."),
        tagged(FIRST, "solution"),
        tagged(CHECK, "grade"),
        new_markdown_cell("**Solution 2.** Show the code."),
        tagged("# 2 the ends are enough\nanswer_2, answer_2b = scores[0], scores[-1]", "solution"),
        tagged('assert answer_2 < answer_2b, "low before high"\nprint("2 right")', "grade"),
        new_markdown_cell("## Provenance"),
        new_code_cell("'the end'"),
    ]
    execute(notebook)
    fold(notebook)
    nbformat.write(notebook, path)
    return own_root


def execute(notebook):
    return NotebookClient(notebook, timeout=60, kernel_name="python3").execute()


def read(path):
    return nbformat.read(path, as_version=4)


def put_back(edition, solutions):
    """The cells of the edition with those of the solutions in their places."""
    own = {cell.id: cell.source for cell in solutions.cells if cell.cell_type == "code"}
    for cell in edition.cells:
        cell.source = own.pop(cell.id, cell.source)
    assert not own
    return edition


def test_checks_fail_without_the_solutions_and_hold_with_them(project, capsys):
    assert main(["readers-edition"]) == 0 and "readers/solutions/" in capsys.readouterr().out
    (path,) = (project / "readers").glob("*.ipynb")
    with pytest.raises(CellExecutionError, match="answer_1 has no value yet"):
        execute(read(path))
    ran = execute(put_back(read(path), read(project / "readers" / "solutions" / path.name)))
    said = [out.text for cell in ran.cells for out in cell.get("outputs", []) if "text" in out]
    assert said == ["3\n", "1 right\n", "2 right\n"]


def test_a_wrong_answer_is_told_with_the_message_of_the_check(project):
    main(["readers-edition"])
    edition = read(project / "readers" / "04_toy.ipynb")
    (cell,) = (c for c in edition.cells if "answer_1 = None" in c.source)
    cell.source = "answer_1 = 2"
    with pytest.raises(CellExecutionError, match="add every score once"):
        execute(edition)


def test_hints_and_outputs_stay_and_solutions_go(project):
    main(["readers-edition"])
    edition = read(project / "readers" / "04_toy.ipynb")
    sources = [cell.source for cell in edition.cells]
    assert "# 1 add them\n# one by one\nanswer_1 = None  # yours" in sources
    assert "answer_2 = None  # yours\nanswer_2b = None  # yours" in "\n".join(sources)
    assert "**Your answer to 1**" in sources and "Solution" not in "\n".join(sources)
    assert not any("rest" in source for source in sources)
    given = {c.source.splitlines()[0]: c.outputs for c in edition.cells if c.cell_type == "code"}
    assert given["scores = [1, 2]"] and not given["# 1 add them"]
    solutions = read(project / "readers" / "solutions" / "04_toy.ipynb")
    assert [c.source for c in solutions.cells[:3]] == [
        TASKS,
        "**Solution 1.** Show the code.",
        FIRST,
    ]
    assert not any(c.metadata.get("jupyter") for c in solutions.cells)
    assert "Provenance" not in "\n".join(c.source for c in solutions.cells)


def test_what_a_learner_wrote_stays(project):
    main(["readers-edition"])
    path = project / "readers" / "04_toy.ipynb"
    edition = read(path)
    edition.cells[-1].source = "mine"
    nbformat.write(edition, path)
    main(["readers-edition"])
    assert read(path).cells[-1].source == "mine"


NOTEBOOKS = sorted(Path(__file__).resolve().parents[2].glob("notebooks/[0-9][0-9]_*.ipynb"))
NEEDS = "LESIONLIB_READERS is not set: needs a finished demo (make demo), and six minutes"


@pytest.mark.skipif(not os.environ.get("LESIONLIB_READERS"), reason=NEEDS)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_check_of_the_compendium_fails_first_and_holds_then(path):
    """In one kernel: each solution is left empty, then put back."""
    notebook = read(path)
    edition, own = without_solutions(notebook), solutions_of(notebook)
    solution = {cell.id: cell.source for cell in own.cells if has_tag(cell, "solution")}
    client = NotebookClient(edition, timeout=1200, resources={"metadata": {"path": path.parent}})
    with client.setup_kernel():
        for k, cell in enumerate(edition.cells):
            if not has_tag(cell, "grade"):
                client.execute_cell(cell, k)
                continue
            with pytest.raises(CellExecutionError, match="has no value yet"):
                client.execute_cell(cell, k)
            put_in = edition.cells[k - 1]
            put_in.source = solution.pop(put_in.id)
            client.execute_cell(put_in, k - 1)
            client.execute_cell(cell, k)
    assert not solution
