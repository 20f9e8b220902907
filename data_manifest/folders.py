"""The files of a data folder: found below linked folders, and under names that differ in case alone.

Disks and archives change names: a copy through Windows ends in ``.DCM``, part of a set is linked in
from another disk, an old archive unpacks to names that are not UTF-8.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path, PurePosixPath

from lesionlib.errors import InputError


def files_below(folder: Path | str) -> tuple[list[str], dict[str, str]]:
    """Paths of all files below a folder, and what was passed over: path -> reason.

    Links are followed.  Each folder is read once, under the name without a link if it has one, so
    that loops end; a link to a folder that holds the data folder is passed over.

    Returns
    -------
    files : relative to the folder, sorted, with ``/``.
    passed : folders and files that were not read; bytes that are not UTF-8 are escaped.
    """
    root, files, passed, seen = Path(folder), [], {}, set()
    real, linked = deque([""]), deque()
    while real or linked:
        place = (real or linked).popleft()
        try:
            facts, names = os.stat(root / place), sorted(os.listdir(root / place))
        except OSError as error:
            passed[place] = f"not readable: {error.strerror}"
            continue
        if (facts.st_dev, facts.st_ino) in seen:
            passed[place] = "a link to a folder that is read under another name"
            continue
        seen.add((facts.st_dev, facts.st_ino))
        for path in (f"{place}/{name}".lstrip("/") for name in names):
            link, is_folder = os.path.islink(root / path), os.path.isdir(root / path)
            if reason := _unfit(root, path, link, is_folder):
                passed[printable(path)] = reason
            elif is_folder:
                (linked if link else real).append(path)
            elif os.path.isfile(root / path):
                files.append(path)
    return sorted(files, key=lambda path: path.split("/")), passed


def _unfit(root: Path, path: str, link: bool, is_folder: bool) -> str:
    """Why a file or folder cannot be read; "" if it can."""
    if printable(path) != path:
        return "its name is not Unicode text: rename it"
    if link and not os.path.exists(root / path):
        return "a link that leads nowhere"
    if link and is_folder and root.resolve().is_relative_to((root / path).resolve()):
        return "a link to a folder that holds the data folder"
    return ""


def printable(name: object) -> str:
    """A name with bytes that are not UTF-8 escaped, as ``\\xfc``."""
    return os.fsencode(str(name)).decode(errors="backslashreplace")


def check_unicode(folder: Path | str) -> None:
    """InputError for a folder whose path, links resolved, is not UTF-8: no file could name it."""
    path = Path(folder).resolve()
    if printable(path) != str(path):
        raise InputError("the path is not Unicode text", path, "Rename the folder")


class Names:
    """Files below `root` by their relative paths, whatever the case of the letters on the disk."""

    def __init__(self, root: Path | str):
        self.root, self._listed = Path(root), {}

    def find(self, path: str) -> str:
        """The path on the disk: `path` itself, or one that differs in case alone; "" if neither."""
        if os.path.exists(self.root / path):  # pathlib raises where a name is too long for a disk
            return path
        here = PurePosixPath()
        for part in PurePosixPath(path).parts:
            if not os.path.exists(self.root / here / part):
                part = self._of_folder(here).get(part.lower())
            if part is None:
                return ""
            here /= part
        return here.as_posix()

    def _of_folder(self, place: PurePosixPath) -> dict[str, str]:
        if place not in self._listed:
            where = self.root / place
            names = sorted(os.listdir(where), reverse=True) if os.path.isdir(where) else []
            self._listed[place] = {name.lower(): name for name in names}
        return self._listed[place]


def on_disk(file: Path) -> Path:
    """`file`, or where nothing has that name what differs from it in case alone."""
    known = os.path.isdir(file.parent) or file.parent == file
    folder = file.parent if known else on_disk(file.parent)
    return folder / (Names(folder).find(file.name) or file.name)
