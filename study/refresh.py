"""Bring the outputs of the demo into the committed notebooks.

The executed copies under ``runs/`` hold times, paths and an injected cell; the committed ones hold
the author's text.  Refreshing takes the author's notebook cell by cell, puts in the outputs of the
same cell of the executed copy, numbers them 1..n, writes the navigation line under the title, and
strips what differs from run to run.  The same run always gives the same bytes.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from lesionlib.errors import InputError
from study.parameters import INJECTED_TAG, known_parameters, parameters_of, read_notebook, tagged
from study.settings import project_root, runs_folder
from study.workflow import code_cells

EXPERIMENT = "demo"
LARGEST_FILE = 400_000  # bytes
LARGEST_SUM = 4_000_000
NAVIGATION = re.compile(r"^.*\[(?:contents|next|previous)\]\(\d\d_\w+\.ipynb\).*$", re.MULTILINE)
# metadata that tells of one run, one machine or one editor; nbstripout takes them out
NOISE = (
    "metadata.papermill", "metadata.widgets", "metadata.language_info.version",
    "cell.metadata.papermill", "cell.metadata.execution", "cell.metadata.collapsed",
)  # fmt: skip


def refresh() -> list[Path]:
    """Refresh every notebook from the executed copies of the demo; returns the files written.

    Raises InputError where a copy is missing, belongs to other cells or other parameters, or the
    result is too large; no file is written then.
    """
    folder = project_root() / "notebooks"
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise InputError("there are no notebooks", folder, "Run inside the compendium")
    fresh = {}
    for position, path in enumerate(paths):
        merged = with_outputs(path, runs_folder(EXPERIMENT) / "notebooks" / path.name)
        before = paths[position - 1].name if position else None
        after = paths[position + 1].name if position + 1 < len(paths) else None
        title = merged.cells[0]
        title.source = with_navigation(title.source, before, paths[0].name, after)
        fresh[path] = nbformat.writes(stripped(merged)) + "\n"
    _check_sizes(fresh)
    for path, text in fresh.items():
        path.write_text(text, encoding="utf-8")
    total = sum(len(text.encode()) for text in fresh.values())
    print(f"{len(fresh)} notebooks refreshed, {total / 1e6:.1f} MB in all")
    return list(fresh)


def with_outputs(source: Path, executed: Path) -> nbformat.NotebookNode:
    """The author's notebook with the outputs of its executed copy.

    Raises InputError where the copy's code or parameters are not those of the source.
    """
    if not executed.is_file():
        raise InputError(f"notebook {source.stem} has not been run", executed, "Run make demo")
    notebook, copy = read_notebook(source), read_notebook(executed)
    _check_parameters(source, copy)
    cells, ran = code_cells(notebook), code_cells(copy)
    if [c.source for c in cells] != [c.source for c in ran]:
        raise InputError(
            f"notebook {source.stem} has changed since its run", executed, "Run make demo"
        )
    for number, (cell, done) in enumerate(zip(cells, ran, strict=True), start=1):
        cell.outputs, cell.execution_count = done.outputs, number
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = number
    return notebook


def with_navigation(text: str, before: str | None, contents: str, after: str | None) -> str:
    """The header cell with one line of links under its title."""
    links = [("previous", before), ("contents", contents), ("next", after)]
    line = " · ".join(f"[{word}]({target})" for word, target in links if target)
    if NAVIGATION.search(text):
        return NAVIGATION.sub(line, text, count=1)
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{line}\n\n{rest.lstrip()}".rstrip()


def stripped(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without the traces of one run; outputs and their numbers stay."""
    from nbstripout import strip_output

    return strip_output(
        notebook, keep_output=True, keep_count=True, keep_id=True, extra_keys=list(NOISE)
    )


def _check_parameters(source: Path, copy) -> None:
    """The injected values must be the defaults, or the outputs would belong to others."""
    defaults = {name: p.value for name, p in known_parameters(source).items()}
    for cell in copy.cells:
        for given in parameters_of(cell.source) if tagged(cell, INJECTED_TAG) else []:
            if given.value != defaults.get(given.name):
                what = f"the run of {source.stem} has {given.name} = {given.value!r}"
                remedy = f"Run make run EXPERIMENT={EXPERIMENT}"
                raise InputError(what, "its injected parameters", remedy)


def _check_sizes(fresh: dict[Path, str]) -> None:
    sizes = {path: len(text.encode()) for path, text in fresh.items()}
    largest = max(sizes, key=sizes.get)
    remedy = "Show fewer or smaller pictures"
    if sizes[largest] > LARGEST_FILE:
        what = f"{sizes[largest]} bytes, at most {LARGEST_FILE}"
        raise InputError(what, largest.name, remedy)
    if sum(sizes.values()) > LARGEST_SUM:
        raise InputError(f"{sum(sizes.values())} bytes in all, at most {LARGEST_SUM}", "", remedy)
