"""The parameters of a notebook: read from its tagged cell, checked before anything runs.

papermill warns of a parameter that a notebook does not have and goes on with the defaults, so a
misspelt name gives the wrong experiment and no error.  Here the name is refused, with the nearest
known one, and the value is read as the type that the notebook declares.
"""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from pathlib import Path

import nbformat

from lesionlib.errors import InputError, nearest

TAG = "parameters"
INJECTED_TAG = "injected-parameters"
FORM = "Write name: type = value  # help"
READERS = {"str": str, "int": int, "float": float}
TRUTH = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class Parameter:
    """One line ``name: type = value  # help`` of the tagged cell."""

    name: str
    type: str
    value: object
    help: str


def known_parameters(notebook: Path | str) -> dict[str, Parameter]:
    """The parameters of a notebook by name, in their order; empty where no cell is tagged.

    Raises InputError where the file is no notebook or a tagged line is no literal assignment.
    """
    path = Path(notebook)
    cells = read_notebook(path).cells
    source = next((c.source for c in cells if c.cell_type == "code" and tagged(c, TAG)), "")
    return {p.name: p for p in parameters_of(source, path.name)}


def parameters_of(source: str, place: str = "") -> list[Parameter]:
    """The parameters that the source of a tagged cell declares; `place` is named in errors."""
    try:
        statements = ast.parse(source).body
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, tokenize.TokenError) as error:
        raise InputError(f"the parameters cell does not parse: {error}", place, FORM) from None
    helps = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    return [_parameter(s, helps.get(s.lineno, ""), place) for s in statements]


def check_parameters(notebook: Path | str, given: dict) -> None:
    """Raise InputError for the first given name that the notebook does not have."""
    known = known_parameters(notebook)
    for name in given:
        if name not in known:
            raise InputError(
                f"unknown parameter '{name}'", Path(notebook).name, nearest(name, known)
            )


def parsed_parameters(notebook: Path | str, given: dict[str, str]) -> dict[str, object]:
    """Values from a command line as the notebook's types; the names are checked first.

    Raises InputError for an unknown name, or a text that is no value of the declared type.
    """
    check_parameters(notebook, given)
    known = known_parameters(notebook)
    return {name: parsed(text, known[name].type, name) for name, text in given.items()}


def parsed(text: str, kind: str, name: str) -> object:
    """A word of the command line as `kind`: str, int, float or bool; other kinds stay text.

    Raises InputError where it is no such value.
    """
    try:
        return TRUTH[text.lower()] if kind == "bool" else READERS.get(kind, str)(text)
    except (KeyError, ValueError):
        raise InputError(f"{name} is {text!r}", "command line", f"Give a {kind}") from None


def tagged(cell, tag: str) -> bool:
    """Whether a notebook's cell carries a tag."""
    return tag in cell.get("metadata", {}).get("tags", [])


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook as nbformat 4; raises InputError where the file is missing or broken."""
    if not path.is_file():
        raise InputError("there is no such notebook", path, "Name it by its number or its path")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"not a notebook: {reason}", path, "Save it from Jupyter") from None


def _parameter(statement: ast.stmt, help: str, place: str) -> Parameter:
    try:
        target = getattr(statement, "target", None) or statement.targets[0]
        kind, value = getattr(statement, "annotation", None), ast.literal_eval(statement.value)
        return Parameter(
            target.id, ast.unparse(kind) if kind else type(value).__name__, value, help
        )
    except (ValueError, AttributeError, TypeError):
        what = f"not a parameter: {ast.unparse(statement)}"
        raise InputError(what, place, FORM) from None
