"""Files of a user, checked before they are opened."""

from __future__ import annotations

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

    Returns
    -------
    The path.

    Raises
    ------
    InputError : for what is missing, a folder, pipe, socket or device, not readable, or larger.
    """
    path, fault = Path(path), "not readable: no regular file"
    try:
        if stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever, a device never end
            with open(path, "rb") as file:
                size = path.stat().st_size
                # a picture's bytes may hold the mark of an archive's end by chance
                if size <= most and file.read(2) == b"PK" and zipfile.is_zipfile(file):
                    size = sum(member.file_size for member in zipfile.ZipFile(file).infolist())
            fault = f"{size / 2**20:,.0f} MiB, allowed {most / 2**20:,.0f}" if size > most else ""
    except FileNotFoundError:
        fault = f"no {path.name}"
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        fault = f"not readable: {getattr(error, 'strerror', '') or 'damaged name or archive'}"
    if fault:
        raise InputError(fault, path, remedy)
    return path
