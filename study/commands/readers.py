"""The readers' edition: copies of the notebooks with empty solutions that tell right from wrong.

A cell tagged `solution` opens with a hint in comments and names its results ``answer_1``,
``answer_1b``, ...; the cell after it, tagged `grade`, asserts what is true of them.  A copy keeps the
hint and the names, and the solutions go to a folder of their own.
"""

from __future__ import annotations

import ast
import re
from itertools import takewhile
from pathlib import Path

import nbformat

from study.desk import lay_down
from study.settings import project_root

EDITION, SOLUTIONS = "readers", "solutions"
ANSWER = re.compile(r"answer_\w+")
SHOW = re.compile(r"\*\*Solution (\w+)\.\*\* Show .*")  # the line over a solution


def readers_edition() -> Path:
    """Write ``readers/``, and the solutions to ``readers/solutions/``; returns the folder.

    Copies that a learner has edited stay as they are.
    """
    copies, solutions = {}, {}
    for path in sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        copies[path.name] = _content(without_solutions(notebook))
        solutions[path.name] = _content(solutions_of(notebook))
    lay_down(project_root() / EDITION, copies)
    lay_down(project_root() / EDITION / SOLUTIONS, solutions)
    return project_root() / EDITION


def without_solutions(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy with the hints of its solutions, and with checks that ask for an answer first."""
    copy, names = nbformat.from_dict(notebook), []
    for cell in copy.cells:
        if has_tag(cell, "solution"):
            names = answers(cell.source)
            cell.source = "\n".join([*hint(cell.source), *map("{} = None  # yours".format, names)])
            cell.metadata.pop("jupyter", None)
        elif has_tag(cell, "grade"):
            cell.source = "\n".join([*map(_ask, names), cell.source])
        else:
            cell.source = SHOW.sub(r"**Your answer to \1**", cell.source)
            continue
        cell.outputs, cell.execution_count = [], None
    return copy


def solutions_of(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The tasks and their solutions alone, with what they give, in view."""
    copy = nbformat.from_dict(notebook)
    first = next(i for i, cell in enumerate(copy.cells) if "## Try it" in cell.source)
    kept = [
        cell
        for cell in copy.cells[first:]
        if cell.cell_type == "markdown" or has_tag(cell, "solution")
    ]
    copy.cells = [cell for cell in kept if "## Provenance" not in cell.source]
    for cell in copy.cells:
        cell.metadata.pop("jupyter", None)
    return copy


def hint(source: str) -> list[str]:
    """The lines of comment that a solution opens with."""
    return list(takewhile(lambda line: line.startswith("#"), source.splitlines()))


def answers(source: str) -> list[str]:
    """The names of the answers that a cell gives a value, in their order."""
    names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    stored = [node.id for node in names if isinstance(node.ctx, ast.Store)]
    return sorted(filter(ANSWER.fullmatch, {*stored}))


def has_tag(cell: nbformat.NotebookNode, tag: str) -> bool:
    """Whether a cell has a tag."""
    return tag in cell.metadata.get("tags", [])


def _ask(name: str) -> str:
    return f'assert {name} is not None, "{name} has no value yet: give it one in the cell above"'


def _content(notebook: nbformat.NotebookNode) -> bytes:
    return (nbformat.writes(notebook) + "\n").encode()
