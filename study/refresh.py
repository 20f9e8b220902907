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
from nbstripout import strip_output

from lesionlib.errors import InputError
from study.parameters import known_parameters
from study.settings import project_root, runs_folder

EXPERIMENT = "demo"
LARGEST_FILE = 400_000  # bytes
LARGEST_SUM = 5_000_000
NAVIGATION = re.compile(r"^.*\[(?:contents|next|previous)\]\(\d\d_\w+\.ipynb\).*$", re.MULTILINE)
# metadata of one run, one machine or one editor; nbstripout takes them out
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
    names, fresh = [path.name for path in paths], {}
    for path, before, after in zip(paths, [None, *names], [*names[1:], None], strict=False):
        merged = with_outputs(path, runs_folder(EXPERIMENT) / "notebooks" / path.name)
        title = merged.cells[0]
        title.source = with_navigation(title.source, before, names[0], after)
        keep = {"keep_output": True, "keep_count": True, "keep_id": True}
        strip_output(merged, **keep, extra_keys=list(NOISE))
        fresh[path] = (nbformat.writes(merged) + "\n").encode()
    total = _checked_size({path.name: len(content) for path, content in fresh.items()})
    for path, content in fresh.items():
        path.write_bytes(content)
    print(f"{len(fresh)} notebooks refreshed, {total / 1e6:.1f} MB in all")
    return list(fresh)


def with_outputs(source: Path, executed: Path) -> nbformat.NotebookNode:
    """The author's notebook with the outputs of its executed copy.

    Raises InputError where the copy's code or parameters are not those of the source.
    """
    if not executed.is_file():
        raise InputError(f"notebook {source.stem} has not been run", executed, "Run make demo")
    notebook, copy = (nbformat.read(path, as_version=4) for path in (source, executed))
    _check_parameters(source, copy)
    cells, ran = code_cells(notebook), code_cells(copy)
    if [c.source for c in cells] != [c.source for c in ran]:
        what = f"notebook {source.stem} has changed since its run"
        raise InputError(what, executed, "Run make demo")
    for number, (cell, done) in enumerate(zip(cells, ran, strict=True), start=1):
        cell.outputs, cell.execution_count = done.outputs, number
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = number
    return notebook


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The code cells as the author wrote them: no injected parameters, no empty cell."""
    cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    return [c for c in cells if "injected-parameters" not in c.metadata.get("tags", [])]


def with_navigation(text: str, before: str | None, contents: str, after: str | None) -> str:
    """The header cell with one line of links under its title.

    before, contents, after : file names of the neighbouring notebooks, None at either end, and of
    the table of contents.
    """
    links = [("previous", before), ("contents", contents), ("next", after)]
    line = " · ".join(f"[{word}]({target})" for word, target in links if target)
    if NAVIGATION.search(text):
        return NAVIGATION.sub(line, text, count=1)
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{line}\n\n{rest.lstrip()}".rstrip()


def _check_parameters(source: Path, copy: nbformat.NotebookNode) -> None:
    """The given values must be the defaults, or the outputs would belong to others."""
    known = known_parameters(source)
    for name, value in copy.metadata.get("papermill", {}).get("parameters", {}).items():
        if name not in known or value != known[name].default:
            what = f"the run of {source.stem} has {name} = {value!r}"
            remedy = f"Run make run EXPERIMENT={EXPERIMENT}"
            raise InputError(what, "its injected parameters", remedy)


def _checked_size(sizes: dict[str, int]) -> int:
    """Bytes of all notebooks; InputError where one or all of them are too large."""
    largest, total = max(sizes, key=sizes.get), sum(sizes.values())
    remedy = "Show fewer or smaller pictures"
    if sizes[largest] > LARGEST_FILE:
        raise InputError(f"{sizes[largest]} bytes, at most {LARGEST_FILE}", largest, remedy)
    if total > LARGEST_SUM:
        raise InputError(f"{total} bytes in all, at most {LARGEST_SUM}", "notebooks", remedy)
    return total
