"""The table format: any set of images with `images.csv` and `lesions.csv` next to it.

The columns are those of :data:`data_manifest.manifest.IMAGE_COLUMNS` and ``LESION_COLUMNS``; those
of REQUIRED and of a lesion's geometry must be there.  A `lesion_id` that occurs on two views is one
finding seen twice: it becomes the `finding_id`, and each row gets a `lesion_id` ``<id>@<image_id>``.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from difflib import get_close_matches
from io import StringIO
from pathlib import Path, PurePosixPath

import pandas as pd

from data_manifest.checks import check_manifest
from data_manifest.manifest import IMAGE_COLUMNS, LESION_COLUMNS, RARE_COLUMNS, Manifest, conformed
from data_manifest.published_sets import FIRST_ROW, by_rules
from lesionlib.errors import InputError
from lesionlib.files import input_file

REQUIRED = {
    "images.csv": ("image_id", "patient_id", "laterality", "view", "file"),
    "lesions.csv": ("image_id", "lesion_id", "pathology", "geom"),
}
SPLIT_NAMES = {"train": "training", "val": "validation", "valid": "validation"}
MOST_BYTES = 2**26  # of a table, which takes several times as much memory
YES, NO = ("true", "1", "yes"), ("false", "0", "no")
# type of a column -> what its values may be, see `published_sets`
RULES = {
    str: str,
    "float64": float,
    "int64": "Int64",
    "Int64": "Int64",
    "boolean": dict.fromkeys(YES, True) | dict.fromkeys(NO, False) | {"": None},
}


def read(folder: Path | str, *, name: str = "table", partial: bool = False) -> Manifest:
    """The manifest of a folder in the table format, validated.

    Parameters
    ----------
    name : of the data set, for titles.
    partial : go on with the image files that are there; the others are listed as excluded, with
        their lesions.

    Raises
    ------
    InputError
        For a missing or unreadable table, a missing or misspelt column, a value of the wrong type, a
        path that leaves the folder, a missing file, and whatever the checks of a manifest refuse.
    """
    folder = Path(folder)
    images = read_table(folder / "images.csv", IMAGE_COLUMNS)
    lesions = read_table(folder / "lesions.csv", LESION_COLUMNS)
    images["split"] = images["split"].replace(SPLIT_NAMES)
    lesions = with_findings(lesions)
    lost = check_files(folder, images, "file", "images.csv", "image_id", refuse=not partial)
    check_files(folder, lesions, "mask_file", "lesions.csv", "lesion_id", refuse=True)
    whole = check_manifest(Manifest(name, folder, images, lesions))
    return without_images(whole, lost, "files", "image file missing") if lost else whole


def without_images(manifest: Manifest, image_ids: list[str], stage: str, reason: str) -> Manifest:
    """`manifest` less some images and their lesions, all of them listed as excluded."""
    gone_i = manifest.images["image_id"].isin(image_ids)
    gone_l = manifest.lesions["image_id"].isin(image_ids)
    rows = [("image", i) for i in manifest.images.loc[gone_i, "image_id"]]
    rows += [("lesion", i) for i in manifest.lesions.loc[gone_l, "lesion_id"]]
    listed = pd.DataFrame(rows, columns=["level", "id"]).assign(stage=stage, reason=reason)
    exclusions = pd.concat([manifest.exclusions, listed], ignore_index=True)
    images, lesions = manifest.images[~gone_i], manifest.lesions[~gone_l]
    return replace(manifest, images=images, lesions=lesions, exclusions=exclusions)


# ------------------------------------------------------------------ one table
def read_table(file: Path, columns: dict) -> pd.DataFrame:
    """A CSV file with the known columns, each of its type; absent optional ones get their default.

    Comma or semicolon, with or without a byte order mark.  Raises InputError with the row of the
    first value that does not fit.
    """
    try:
        text = input_file(file, MOST_BYTES, "Check the table").read_text(encoding="utf-8-sig")
        header = text.split("\n", 1)[0]
        separator = ";" if ";" in header and "," not in header else ","
        frame = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False, sep=separator)
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text", file, "Save it as CSV (UTF-8)") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"not a readable table: {error}", file, "Save it as CSV (UTF-8)") from None
    frame.columns = [str(c).strip() for c in frame.columns]
    columns = columns | {name: rule for name, rule in RARE_COLUMNS.items() if name in frame}
    _check_columns(file, frame, columns)
    frame.index += FIRST_ROW
    given = {name: (name, RULES[kind]) for name, (kind, _) in columns.items() if name in frame}
    texts = frame[list(given)].fillna("").apply(lambda values: values.str.strip())
    values = by_rules(texts, given, file.name, own=True)
    return conformed(values.astype(object).mask(texts == ""), columns)


def _check_columns(file: Path, frame: pd.DataFrame, known: dict) -> None:
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes the first for names of rows
        remedy = "Quote values that hold a separator"
        raise InputError("rows with more fields than the header", file.name, remedy)
    found = list(frame.columns)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise InputError(f"column '{twice[0]}' occurs twice", file.name, "Leave one of them out")
    lacking = [c for c in REQUIRED[file.name] if c not in found]
    if lacking:
        near = get_close_matches(lacking[0], found, n=1, cutoff=0.6)
        hint = f"Rename '{near[0]}'" if near else "Add the column"
        raise InputError(f"column '{lacking[0]}' is missing", file.name, hint)
    for column in found:  # a misspelt optional column would be passed over in silence
        near = get_close_matches(column, [k for k in known if k not in found], n=1, cutoff=0.8)
        if column not in known and near:
            raise InputError(f"unknown column '{column}'", file.name, f"Did you mean '{near[0]}'?")


# ------------------------------------------------------------------ what joins rows or files
def with_findings(lesions: pd.DataFrame) -> pd.DataFrame:
    """Fill `finding_id`, and make `lesion_id` unique where one finding is on several views."""
    if (lesions["finding_id"] != "").any():
        empty = lesions["finding_id"] == ""
        return lesions.assign(finding_id=lesions["finding_id"].mask(empty, lesions["lesion_id"]))
    twice = lesions.duplicated(["lesion_id", "image_id"])
    if twice.any():
        row = lesions[twice].iloc[0]
        raise InputError(
            f"lesion_id '{row['lesion_id']}' occurs twice on image {row['image_id']}",
            "lesions.csv",
            "Give each lesion of an image its own id",
        )
    shared = lesions["lesion_id"].duplicated(keep=False)
    own = lesions["lesion_id"] + "@" + lesions["image_id"]
    return lesions.assign(
        finding_id=lesions["lesion_id"], lesion_id=lesions["lesion_id"].mask(shared, own)
    )


def check_files(
    folder: Path, frame: pd.DataFrame, column: str, table: str, key: str, *, refuse: bool
) -> list[str]:
    """Ids of the rows whose file is absent; InputError if `refuse`, or for a path out of bounds."""
    root = folder.resolve()
    parents: dict[Path, tuple[bool, dict[str, bool]]] = {}
    lost = []
    for name, path in zip(frame[key], frame[column], strict=True):
        if path and not _present(root, path, parents, f"{table}, {key} {name}"):
            lost.append((name, path))
    if lost and refuse:
        way_out = "set data.options: {partial: true}" if column == "file" else "remove the rows"
        raise InputError(
            f"{len(lost)} of {len(frame)} files are missing, first {lost[0][1]}",
            f"{table}, {key} {lost[0][0]}",
            f"Complete {folder}, or {way_out}",
        )
    return [name for name, _ in lost]


def _present(root: Path, path: str, parents: dict, where: str) -> bool:
    """Whether a relative path names a file inside root; each parent folder is listed once only."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or re.match(r"^[A-Za-z]:", path):
        raise InputError(
            f"path '{path}' leaves the data folder", where, "Give a path inside it, with /"
        )
    parent = root / pure.parent
    if parent not in parents:
        inside = parent.resolve().is_relative_to(root)
        entries = list(os.scandir(parent)) if parent.is_dir() else []
        files = {entry.name: entry.is_symlink() for entry in entries}
        parents[parent] = (inside, files)
    inside, files = parents[parent]
    linked_out = files.get(pure.name) and not (parent / pure.name).resolve().is_relative_to(root)
    if not inside or linked_out:
        raise InputError(
            f"'{path}' is a link out of the data folder", where, "Copy the file into it"
        )
    return pure.name in files
