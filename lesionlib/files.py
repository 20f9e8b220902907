"""Small files, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lesionlib.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: to a temporary name, then renamed.

    Parameters
    ----------
    path : of the file; its folder is made.
    text : written as UTF-8.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """As :func:`write_text`, for bytes.

    Parameters
    ----------
    path, content : of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or a crash of the machine may leave the name without content
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content) -> None:
    """JSON with sorted keys, written whole or not at all.

    Parameters
    ----------
    path : of the file.
    content : of JSON's types; anything else is written as its text.
    """
    write_text(path, json.dumps(content, indent=1, sort_keys=True, default=str) + "\n")


def read_json(path: Path, default=None):
    """The content of a JSON file, or `default` where there is none, or one that is damaged.

    Parameters
    ----------
    path : of the file.
    default : content of another type is damaged, too.

    Raises
    ------
    InputError : for a damaged file where there is no default.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default
    except ValueError:
        if default is None:
            raise InputError("not readable as JSON", path, "Restore or delete it") from None
        found = default
    return found if default is None or isinstance(found, type(default)) else default
