"""Data sets: one reader each, which turns a folder of files into a :class:`~data_manifest.manifest.Manifest`.

A reader is a function ``read(folder, *, partial=False, **options) -> Manifest``, registered below
by name.  Its part:

* options are keyword arguments of its own; an unknown one is refused here with the nearest name;
* ``partial=True`` goes on with the image files that are there and lists the others as excluded;
* what it leaves out it lists in ``Manifest.exclusions``, so that the counts close; files that are
  missing or cannot be read have the stage "files", which ``data-check`` takes for a fault;
* what it counts in the set's lists goes to ``Manifest.counted`` and is held against
  ``data_manifest/<name>/expected_counts.json`` here; see :mod:`data_manifest.expected_counts`.

Other packages add readers through the entry point group ``data_manifest.registry``; a name of ours
cannot be taken over.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from lesionlib.errors import InputError, nearest

if TYPE_CHECKING:
    from data_manifest.manifest import Manifest

GROUP = "data_manifest.registry"
OWN = {
    "table": "data_manifest.table.reader:read",
    "mini_mias": "data_manifest.mini_mias.reader:read",
    "cbis_ddsm": "data_manifest.cbis_ddsm.reader:read",
    "inbreast": "data_manifest.inbreast.reader:read",
    "vindr_mammo": "data_manifest.vindr_mammo.reader:read",
    "cmmd": "data_manifest.cmmd.reader:read",
    "dicom_folder": "data_manifest.dicom_folder.reader:read",
    "embed": "data_manifest.embed.reader:read",
    "nyu": "data_manifest.nyu.reader:read",
    "phantom": "data_manifest.phantom.reader:read",
}


def _others() -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=GROUP) if e.name not in OWN}


def names() -> list[str]:
    """Names of the data sets that can be read, ours and those of installed packages."""
    return sorted([*OWN, *_others()])


def read(dataset: str, folder: Path | str | None, **options) -> Manifest:
    """The manifest of a data set.

    dataset : a name of :func:`names`.
    folder : where its files lie.
    options : passed to the reader as they are.

    Raises InputError for an unknown name, a missing folder, an unknown option, counts that are not
    those of the complete set, and whatever the reader finds wrong with the files.
    """
    from data_manifest import expected_counts as expected

    found = read_as_it_is(dataset, folder, **options)
    if dataset in OWN:
        expected.check(dataset, found.counted)
    return found


def read_as_it_is(dataset: str, folder: Path | str | None, **options) -> Manifest:
    """As :func:`read`, but the counts are not held against those expected."""
    reader = _reader(dataset)
    if folder is None or str(folder) == "":
        raise InputError(f"no folder given for the data set '{dataset}'", "data.folder", "Name it")
    folder = Path(folder).expanduser()
    if dataset != "phantom" and not folder.is_dir():  # the phantom makes its folder
        raise InputError("no such data folder", folder, "Check the path of the data")
    _check_options(dataset, reader, options)
    return reader(folder, **options)


def _reader(dataset: str):
    if dataset in OWN:
        module, function = OWN[dataset].split(":")
        return getattr(import_module(module), function)
    others = _others()
    if dataset not in others:
        raise InputError(f"unknown data set '{dataset}'", "data.dataset", nearest(dataset, names()))
    return others[dataset].load()


def _check_options(dataset: str, reader, options: dict) -> None:
    from inspect import Parameter, signature

    parameters = signature(reader).parameters.values()
    if any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters][1:]
    for name in options:
        if name not in known:
            remedy = nearest(name, known) if known else "It takes none"
            raise InputError(
                f"the reader of '{dataset}' has no option '{name}'", "data.options", remedy
            )
