"""Refreshed notebooks are the author's cells with the outputs of the run, and nothing else."""

from __future__ import annotations

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output
from toy_project import make_project, write_notebook

from lesionlib.errors import InputError
from study import refresh

LINE = "[previous](00_toy.ipynb) · [contents](00_toy.ipynb) · [next](02_toy.ipynb)"


@pytest.fixture
def project(own_root):
    """Three notebooks and their executed copies, as papermill leaves them."""
    make_project(own_root)
    for number in ("00", "01", "02"):
        write_copy(own_root, write_notebook(own_root, number, "1 + 1"))
    return own_root


def write_copy(project, path, value="toy", output="2"):
    copy = nbformat.read(path, as_version=4)
    injected = new_code_cell(f'# Parameters\nexperiment = "{value}"\n', execution_count=2)
    injected.metadata.tags = ["injected-parameters"]
    copy.cells.insert(2, injected)
    given = {"experiment": value}
    copy.metadata.papermill = {"input_path": "/home/me/x.ipynb", "parameters": given}
    for number, cell in enumerate(copy.cells[1:], start=1):
        cell.execution_count = number
        cell.metadata.papermill = {"start_time": "2026"}
    result = new_output("execute_result", {"text/plain": output}, execution_count=3)
    copy.cells[-1].outputs = [result]
    target = project / "runs" / "demo" / "notebooks" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(copy, target)


def test_outputs_come_and_traces_go(project):
    (_, path, _) = refresh.refresh()
    notebook = nbformat.read(path, as_version=4)
    assert len(notebook.cells) == 3  # the injected cell is gone
    assert [c.execution_count for c in notebook.cells[1:]] == [1, 2]
    (output,) = notebook.cells[-1].outputs
    assert (output.data["text/plain"], output.execution_count) == ("2", 2)
    assert "papermill" not in path.read_text() and "/home" not in path.read_text()
    assert notebook.cells[0].source == f"# 01 · Toy\n\n{LINE}\n\nText."


def test_refreshing_twice_changes_nothing(project):
    first = [path.read_bytes() for path in refresh.refresh()]
    assert [path.read_bytes() for path in refresh.refresh()] == first


def test_the_text_may_have_changed_since_the_run_but_not_the_code(project):
    path = project / "notebooks" / "01_toy.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += "\n\nMore."
    nbformat.write(notebook, path)
    refresh.refresh()
    assert nbformat.read(path, as_version=4).cells[0].source.endswith("More.")
    notebook.cells[-1].source = "1 + 2"
    nbformat.write(notebook, path)
    with pytest.raises(InputError, match="01_toy has changed since its run"):
        refresh.refresh()


def test_a_run_with_other_parameters_is_refused(project):
    write_copy(project, project / "notebooks" / "01_toy.ipynb", value="smoke")
    with pytest.raises(InputError, match="experiment = 'smoke'"):
        refresh.refresh()


def test_a_missing_run_is_refused_and_nothing_is_written(project):
    (project / "runs" / "demo" / "notebooks" / "02_toy.ipynb").unlink()
    before = [path.read_bytes() for path in sorted((project / "notebooks").iterdir())]
    with pytest.raises(InputError, match="02_toy has not been run"):
        refresh.refresh()
    assert [p.read_bytes() for p in sorted((project / "notebooks").iterdir())] == before


def test_a_notebook_that_grew_too_large_is_refused(project):
    path = project / "notebooks" / "01_toy.ipynb"
    write_copy(project, path, output="x" * refresh.LARGEST_FILE)
    with pytest.raises(InputError, match="01_toy.ipynb"):
        refresh.refresh()


def test_the_navigation_line_is_replaced_wherever_it_is():
    old = f"# 01 · Toy\n\nText.\n\n{LINE.replace('02_toy', '02_old')}"
    new = refresh.with_navigation(old, "00_toy.ipynb", "00_toy.ipynb", "02_toy.ipynb")
    assert new == f"# 01 · Toy\n\nText.\n\n{LINE}"
    assert refresh.with_navigation(new, "00_toy.ipynb", "00_toy.ipynb", "02_toy.ipynb") == new


def test_a_table_with_links_is_no_navigation():
    text = "# 00 · Toy\n\n| figure 3 | [03](03_toy.ipynb) |"
    done = refresh.with_navigation(text, None, "00_toy.ipynb", "01_toy.ipynb")
    assert "| figure 3 | [03](03_toy.ipynb) |" in done
    assert "[contents](00_toy.ipynb) · [next](01_toy.ipynb)" in done


def test_the_code_of_tagged_cells_is_folded_and_of_no_other(project):
    path = project / "notebooks" / "01_toy.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata.jupyter = {"source_hidden": True}
    notebook.cells[-1].metadata.tags = ["solution"]
    nbformat.write(notebook, path)
    refresh.refresh()
    shown = [c.metadata.get("jupyter") for c in nbformat.read(path, as_version=4).cells]
    assert shown == [None, None, {"source_hidden": True}]
