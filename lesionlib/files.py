"""Files of a user, checked before they are opened, and own small ones, written whole or not."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path

from lesionlib.errors import InputError

MOST_BYTES = 2**28


def input_file(path: Path | str, most=MOST_BYTES, remedy: str = "Check the path") -> Path:
    """The path of a regular, readable file that is small enough to be read whole.

    Parameters
    ----------
    path : links are followed.
    most : bytes, also of all that a zip archive holds (npz, xlsx, weights of torch).
    remedy : of what is wrong.

    Raises
    ------
    InputError : for what is missing, a folder, pipe, socket or device, not readable, or larger.
    """
    path, fault = Path(path), "not readable: no regular file"
    try:
        if stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever, a device never end
            with open(path, "rb") as file:
                size = path.stat().st_size
                if size <= most and zipfile.is_zipfile(file):
                    size = sum(member.file_size for member in zipfile.ZipFile(file).infolist())
            fault = f"{size / 2**20:,.0f} MiB, allowed {most / 2**20:,.0f}" if size > most else ""
    except FileNotFoundError:
        fault = f"no {path.name}"
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        fault = f"not readable: {getattr(error, 'strerror', '') or 'damaged name or archive'}"
    if fault:
        raise InputError(fault, path, remedy)
    return path


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
    default : content of another type is damaged, too; where it is None, damage is an InputError.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default
    except ValueError:
        if default is None:
            raise InputError("not readable as JSON", path, "Restore or delete it") from None
        found = default
    return found if default is None or isinstance(found, type(default)) else default
