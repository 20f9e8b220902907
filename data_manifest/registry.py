"""Data sets: one reader each, which makes a folder of files a :class:`~data_manifest.manifest.Manifest`.

A reader is the function ``read(folder, *, partial=False, **options) -> Manifest`` of
``data_manifest/<name>/reader.py``.  Its part:

* options are keyword arguments of its own; an unknown one is refused here with the nearest name;
* ``partial=True`` goes on with the image files that are there and lists the others as excluded;
* TOP, where its module has one, is the pattern of a name at the top of the set, in small letters: a
  folder too high or too low is told with the right one;
* what it leaves out it lists in ``Manifest.exclusions``, so that the counts close; files that are
  missing or cannot be read have the stage "files", which ``data-check`` takes for a fault;
* what it counts in the set's lists it hands on as ``Manifest.counted``; these are checked here against
  ``data_manifest/<name>/expected_counts.json``; see :mod:`data_manifest.expected_counts`.

Other packages add readers through the entry point group ``data_manifest.readers``; they cannot take
over a name of ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from fnmatch import fnmatch
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, getmodule, signature
from itertools import chain
from pathlib import Path

from data_manifest import expected_counts
from data_manifest.folders import check_unicode
from data_manifest.manifest import Manifest
from lesionlib.errors import InputError, nearest

GROUP = "data_manifest.readers"
OWN = sorted(file.parent.name for file in Path(__file__).parent.glob("*/reader.py"))


def _others() -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=GROUP) if e.name not in OWN}


def names() -> list[str]:
    """Names of the data sets that can be read, ours and those of installed packages."""
    return sorted([*OWN, *_others()])


def read(dataset: str, folder: Path | str | None, **options) -> Manifest:
    """The manifest of a data set.

    Parameters
    ----------
    dataset : a name of :func:`names`.
    folder : of its files.
    options : passed to the reader unchanged.

    Raises
    ------
    InputError
        For an unknown name, a missing folder, an unknown option, counts that are not those of the
        complete set, and whatever the reader finds wrong with the files.
    """
    found = read_as_it_is(dataset, folder, **options)
    if dataset in OWN:
        expected_counts.check(dataset, found.counted)
    return found


def read_as_it_is(dataset: str, folder: Path | str | None, **options) -> Manifest:
    """The manifest of a data set that need not be complete: :func:`read` without comparing counts."""
    check_options(dataset, options)
    if folder is None or str(folder) == "":
        raise InputError(f"no folder given for the data set '{dataset}'", "data.folder", "Name it")
    folder = Path(os.path.expanduser(folder))
    if folder.is_file():
        raise InputError("a file, no folder", folder, "Unpack an archive, and give its folder")
    if dataset != "phantom" and not folder.is_dir():  # the phantom makes its folder
        raise InputError("no such data folder", folder, "Check the path of the data")
    check_unicode(folder)
    try:
        found = _reader(dataset)(folder, **options)
    except InputError as error:
        if (top := _top_of(dataset, folder)) != folder:
            raise InputError(error.what, error.where, f"Point data.folder at {top}") from None
        raise
    if dataset in OWN and found.counted:
        expected_counts.check_present(dataset)
    return found


def _top_of(dataset: str, folder: Path) -> Path:
    """The first folder that has the reader's TOP: this one, or up to two levels above or below."""
    top = getattr(getmodule(_reader(dataset)), "TOP", "")
    below = (place for depth in ("*", "*/*") for place in sorted(folder.glob(depth)))
    for place in chain([folder], folder.resolve().parents[:2], below) if top else ():
        if any(fnmatch(found.name.lower(), top) for found in place.glob("*")):
            return place
    return folder


def check_options(dataset: str, options: dict) -> None:
    """InputError for an unknown data set, for an option that its reader does not have, and for one
    that is on or off and is given as anything else."""
    parameters = signature(_reader(dataset)).parameters.values()
    known = [p.name for p in parameters][1:]
    flags = {p.name for p in parameters if isinstance(p.default, bool)}
    for name in flags & options.keys():
        if not isinstance(options[name], bool):
            what = f"the option '{name}' of '{dataset}' is '{options[name]}'"
            raise InputError(what, "data.options", "Write true or false")
    unknown = [name for name in options if name not in known]
    if unknown and all(p.kind is not Parameter.VAR_KEYWORD for p in parameters):
        what = f"the reader of '{dataset}' has no option '{unknown[0]}'"
        remedy = nearest(unknown[0], known) if known else "It takes none"
        raise InputError(what, "data.options", remedy)


def _reader(dataset: str) -> Callable[..., Manifest]:
    if dataset in OWN:  # no other reader is imported
        return import_module(f"data_manifest.{dataset}.reader").read
    others = _others()
    if dataset not in others:
        raise InputError(f"unknown data set '{dataset}'", "data.dataset", nearest(dataset, names()))
    return others[dataset].load()
