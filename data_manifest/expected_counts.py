"""What a complete data set holds, against what its reader counted.

``data_manifest/<data set>/expected_counts.json`` names the counts, with their source under "about".
The reader counts the same things under the same names, in the set's own lists and before it leaves
anything out, and hands them on: ``Manifest(..., counted={"images": 322, ...})``.  That is its whole
part.  :func:`data_manifest.registry.read` refuses a set whose counts differ, and ``data-check`` shows
them all.  What a reader does not count is not checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from lesionlib.errors import InputError
from lesionlib.files import read_json

DATA_MANIFEST = Path(__file__).resolve().parent


def compare(dataset: str, counted: dict) -> pd.DataFrame:
    """One row per count: count, expected, found (None: not expected, or not counted), equal.

    counted : name -> number, text or list; names in a dictionary below a name are joined by dots.
    Empty where the set has no list of expected counts.
    """
    expected = dict(_flat(read_json(_file(dataset), {})))
    expected.pop("about", None)
    found = dict(_flat(counted))
    names = [*expected, *(name for name in found if name not in expected)] if expected else []
    rows = [(name, expected.get(name), found.get(name)) for name in names]
    table = pd.DataFrame(rows, columns=["count", "expected", "found"], dtype=object)
    both = [name in expected and name in found for name in names]
    same = [not known or a == b for known, (_, a, b) in zip(both, rows, strict=True)]
    return table.assign(equal=same)


def check(dataset: str, counted: dict) -> None:
    """InputError for the first count that is not the expected one."""
    table = compare(dataset, counted)
    wrong = table[~table["equal"].astype(bool)]
    if len(wrong):
        name, expected, found, _ = wrong.iloc[0]
        what = f"{name} = {found}, expected {expected} ({len(wrong)} such counts)"
        remedy = "Complete the download, and take the set's lists as distributed"
        raise InputError(what, f"data set {dataset}", remedy)


def check_present(dataset: str) -> None:
    """InputError where the counts to expect are missing, as in an install without its data files."""
    if not _file(dataset).is_file():
        remedy = "Install the package with its data files, or write what the complete set holds"
        raise InputError(f"no expected counts of the data set {dataset}", _file(dataset), remedy)


def _file(dataset: str) -> Path:
    return DATA_MANIFEST / dataset / "expected_counts.json"


def _flat(counts: dict, above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in counts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
