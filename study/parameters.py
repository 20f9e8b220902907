"""The parameters of a notebook or a stage, checked before anything runs.

papermill warns of a parameter that a notebook does not have and goes on with the defaults, so a
misspelt name gives the wrong experiment and no error.  Here the name is refused, with the nearest
known one, and the value is read as the declared type.  A running notebook is compared with the one
in ``notebooks/``, so that what was tried out is never taken for a result of the experiment.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from lesionlib.errors import InputError, nearest

TYPES = {"str": str, "int": int, "float": float, "bool": bool}


class Parameter(NamedTuple):
    """One line ``name: type = value`` of a notebook's tagged cell."""

    type: type
    default: object


# ------------------------------------------------------------------ a notebook as it is written
def code_cells(notebook: str) -> list[tuple[str, list[str]]]:
    """The source and the tags of each code cell of a notebook's JSON."""
    cells = [cell for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    return [("".join(cell["source"]), cell.get("metadata", {}).get("tags", [])) for cell in cells]


def known_parameters(notebook: Path | str) -> dict[str, Parameter]:
    """The parameters of a notebook by name; empty where no cell is tagged.

    One without a declared type has that of its default.  A default that is no literal is None.
    Raises InputError where the file is missing or no notebook.
    """
    if not Path(notebook).is_file():
        raise InputError("there is no such notebook", notebook, "Give its number or its path")
    try:
        cells = code_cells(Path(notebook).read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError):
        raise InputError("not a notebook", notebook, "Save it from Jupyter") from None
    tagged = [source for source, tags in cells if "parameters" in tags]
    return _declared(tagged[0]) if tagged else {}


def literal(path: Path | str) -> str:
    """A path for papermill, which would put values in place of names in braces."""
    return str(Path(path).resolve()).replace("{", "{{").replace("}", "}}")


def _declared(source: str) -> dict[str, Parameter]:
    """The parameters of a cell; none where it does anything but give names their values."""
    given = {}
    try:
        lines = ast.parse(source).body
    except SyntaxError:
        return {}
    for line in lines:
        target = line.target if isinstance(line, ast.AnnAssign) else None
        if isinstance(line, ast.Assign) and len(line.targets) == 1:
            target = line.targets[0]
        if not isinstance(target, ast.Name):
            return {}
        given[target.id] = _parameter(line)
    return given


def _parameter(line: ast.Assign | ast.AnnAssign) -> Parameter:
    try:
        value = ast.literal_eval(line.value)
    except ValueError:
        value = None
    is_typed = isinstance(line, ast.AnnAssign)
    name = ast.unparse(line.annotation) if is_typed else type(value).__name__
    return Parameter(TYPES.get(name, str), value)


# ------------------------------------------------------------------ a notebook as it is run
class Session:
    """What this kernel has run so far, against the notebook as its author wrote it.

    papermill puts the given values into a cell of their own; in JupyterLab one edits the tagged
    cell, or any other, and runs cells in any order.  Both are read from the kernel's history.

    Parameters
    ----------
    notebook : the author's file; None where there is none.
    """

    def __init__(self, notebook: Path | None):
        self.where = f"notebook {notebook.stem}" if notebook else ""
        self.known = known_parameters(notebook) if notebook else {}
        cells = code_cells(notebook.read_text(encoding="utf-8")) if notebook else []
        self.own_cells = {source.strip() for source, _ in cells}

    def check(self) -> None:
        """Raise InputError for a parameter that the notebook lacks, since the last `open_lab`."""
        recent = takewhile(lambda cell: "open_lab(" not in cell, _history()[-2::-1])
        for cell in recent if self.known else ():
            refuse_unknown(self._given(cell), self.known, self.where)

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters as last given; the experiment is told apart by its folders."""
        values = {name: known.default for name, known in self.known.items()}
        for cell in _history():
            values |= {name: given.default for name, given in self._given(cell).items()}
        return {name: values[name] for name in self.known if name != "experiment"}

    @property
    def changed(self) -> dict[str, object]:
        """The parameters that differ from their defaults."""
        return changed(self.parameters, self.known)

    @property
    def has_own_code(self) -> bool:
        """Whether nothing but the notebook's cells and its parameters were run."""
        return all(cell in self.own_cells or self._given(cell) for cell in _history())

    def _given(self, cell: str) -> dict[str, Parameter]:
        """What a cell of parameters gives: papermill's, a typed one, one with a known name."""
        given = _declared(cell)
        is_typed = re.fullmatch(r"(\w+ *:.*(\n+|$))+", cell)
        is_meant = cell.startswith("# Parameters") or is_typed or given.keys() & self.known.keys()
        return given if is_meant else {}


def _history() -> list[str]:
    """The cells that this kernel has run, the running one last; none outside a notebook."""
    cells = vars(sys.modules["__main__"]).get("In", [])
    return [cell.strip() for cell in cells if cell.strip()]


# ------------------------------------------------------------------ values
def changed(values: dict[str, object], known: dict[str, Parameter]) -> dict[str, object]:
    """The values that are not a notebook's defaults; its experiment is no change of it."""
    own = {name: parameter.default for name, parameter in known.items()}
    return {n: v for n, v in values.items() if n != "experiment" and v != own.get(n)}


def explored_folder(runs: Path, number: str, values: dict[str, object]) -> Path:
    """Where a notebook that is not run as it is written leaves its results, apart from its own.

    runs : the experiment's folder.  values : those that differ from the notebook's defaults.
    """
    words = [number, *(f"{name}-{value}" for name, value in sorted(values.items()))]
    return runs / "explored" / re.sub(r"[^\w.+-]", "_", "-".join(words))[:100]


def refuse_unknown(given: Iterable[str], known: Iterable[str], where: object) -> None:
    """Raise InputError for the first given name that is not known; `where` is named in it."""
    known = set(known)
    for name in given:
        if name not in known:
            remedy = nearest(name, known) if known else "Leave it out"
            raise InputError(f"unknown parameter '{name}'", where, remedy)


def read_values(words: dict[str, str], types: dict[str, type], where: object) -> dict[str, object]:
    """Words of a command line as values of their declared types, by name.

    Raises InputError for a name without a type, or a word that is no value of its type.
    """
    refuse_unknown(words, types, where)
    return {name: _value(name, word, types[name]) for name, word in words.items()}


def _value(name: str, word: str, kind: type) -> object:
    try:
        return TypeAdapter(kind).validate_python(word)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].partition(",")[0]
        remedy = reason.replace("Input should be", "Give")
        raise InputError(f"{name} is {word!r}", "command line", remedy) from None
