"""The parameters of a notebook or a stage, checked before anything runs.

papermill warns of a parameter that a notebook does not have and goes on with the defaults, so a
misspelt name gives the wrong experiment and no error.  Here the name is refused, with the nearest
known one, and the value is read as the declared type.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from lesionlib.errors import InputError, nearest

TYPES = {"str": str, "int": int, "float": float, "bool": bool}


class Parameter(NamedTuple):
    """One line ``name: type = value  # help`` of a notebook's tagged cell."""

    type: type
    default: object
    help: str


def known_parameters(notebook: Path | str) -> dict[str, Parameter]:
    """The parameters of a notebook by name, as papermill reads them; empty where no cell is tagged.

    One without a declared type has that of its default.  A default that is no literal is None.
    Raises InputError where the file is missing or no notebook.
    """
    from papermill import inspect_notebook  # it takes a second

    if not Path(notebook).is_file():
        raise InputError("there is no such notebook", notebook, "Give its number or its path")
    try:
        found = inspect_notebook(literal(notebook))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"not a notebook: {reason}", notebook, "Save it from Jupyter") from None
    return {name: _parameter(**read) for name, read in found.items()}


def literal(path: Path | str) -> str:
    """A path for papermill, which would put values in place of names in braces."""
    return str(Path(path).resolve()).replace("{", "{{").replace("}", "}}")


def _parameter(name: str, inferred_type_name: str, default: str, help: str) -> Parameter:
    try:
        value = ast.literal_eval(default)
    except (ValueError, SyntaxError):
        value = None
    declared = inferred_type_name if inferred_type_name != "None" else type(value).__name__
    return Parameter(TYPES.get(declared, str), value, help)


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
