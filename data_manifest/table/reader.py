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
from pathlib import Path, PurePosixPath

import pandas as pd

from data_manifest.checks import check_manifest
from data_manifest.folders import Names, on_disk
from data_manifest.images.dicom_header import FILE_KINDS, VIEW_KINDS
from data_manifest.images.read import read_image
from data_manifest.manifest import IMAGE_COLUMNS, LESION_COLUMNS, RARE_COLUMNS, Manifest, conformed
from data_manifest.published_sets import by_rules, read_texts, refuse
from data_manifest.shapes import GEOMETRIES, scaled
from lesionlib.errors import InputError

TOP = "images.[cx]*"
REQUIRED = {
    "images.csv": ("image_id", "patient_id", "laterality", "view", "file"),
    "lesions.csv": ("image_id", "lesion_id", "pathology", "geom"),
}
# of these, the columns without a default
FILLED = {
    "images.csv": ("image_id", "patient_id", "file"),
    "lesions.csv": ("image_id", "lesion_id", "geom"),
}
FILL_IN = {"geom": f"Write one of {', '.join(GEOMETRIES)}, and the outline in its columns"}
OUTLINE = ("geom", "mask_file", "mask_value", "polygon", "x0", "y0", "x1", "y1", "cx", "cy", "r")
SPLIT_NAMES = {"train": "training", "val": "validation", "valid": "validation"}
ALL_KINDS = (*FILE_KINDS, *VIEW_KINDS)
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
    lesions = on_resized_images(folder, images, lesions)
    whole = check_outlines(check_manifest(Manifest(name, folder, images, lesions)))
    return without_images(whole, lost)


def without_images(manifest: Manifest, image_ids: list[str]) -> Manifest:
    """`manifest` less images whose files are missing, and their lesions: all of them are listed."""
    kept, listed = {}, [manifest.exclusions]
    for level, table in (("image", manifest.images), ("lesion", manifest.lesions)):
        gone = table["image_id"].isin(image_ids)
        kept[f"{level}s"], names = table[~gone], table.loc[gone, f"{level}_id"]
        row = {"level": level, "stage": "files", "reason": "image file missing"}
        listed.append(pd.DataFrame({"id": names}).assign(**row))
    return replace(manifest, **kept, exclusions=pd.concat(listed, ignore_index=True))


# ------------------------------------------------------------------ one table
def read_table(file: Path, columns: dict) -> pd.DataFrame:
    """A table with the known columns, each of its type; absent optional ones get their default.

    Parameters
    ----------
    file : images.csv or lesions.csv; where there is none, the .xlsx file of that name is read.
    columns : `IMAGE_COLUMNS` or `LESION_COLUMNS`.

    Raises
    ------
    InputError
        As :func:`data_manifest.published_sets.read_texts`, for a missing or misspelt column, and
        with the row of the first value that does not fit.
    """
    needed, filled = REQUIRED[file.name], FILLED[file.name]
    file = table_file(file)
    frame = read_texts(file, needed, own=True)
    _check_columns(file, frame, columns | RARE_COLUMNS, needed)
    columns = columns | {name: rule for name, rule in RARE_COLUMNS.items() if name in frame}
    for name in filled:
        remedy = FILL_IN.get(name, "Fill it in, or remove a row below the table (a total, a note)")
        refuse(frame[name] == "", f"{name} is empty", file.name, remedy)
    given = {name: (name, RULES[kind]) for name, (kind, _) in columns.items() if name in frame}
    texts = frame[list(given)]
    values = by_rules(texts, given, file.name, own=True)
    return conformed(values.astype(object).mask(texts == ""), columns)


def table_file(file: Path) -> Path:
    """A CSV file, or the workbook that stands for it; InputError where it is not clear which."""
    named = [on_disk(file.with_suffix(end)) for end in (".csv", ".xlsx", ".xls")]
    found = [name for name in named if name.exists()]
    if not found:
        return file
    if len(found) > 1:
        what = " and ".join(name.name for name in found)
        raise InputError(what, file.parent, "Keep the one that is meant")
    if found[0] == named[2]:
        raise InputError("a workbook of the old form", found[0], "Save it as .xlsx or CSV (UTF-8)")
    return found[0]


def _check_columns(file: Path, frame: pd.DataFrame, known: dict, needed: tuple[str, ...]) -> None:
    found = list(frame.columns)
    # Exam ID is meant as exam_id; pandas numbers equal names
    names = pd.Series(found).str.lower().str.replace(r"[\s_-]+", "_", regex=True)
    names = names.str.replace(r"\.\d+$", "", regex=True)
    twice = names[names.duplicated() & names.isin(known)]
    if len(twice):
        raise InputError(f"column '{twice.iloc[0]}' occurs twice", file.name, "Leave one out")
    lacking = [c for c in needed if c not in found]
    if lacking:
        near = get_close_matches(lacking[0], names, n=1, cutoff=0.6)
        hint = "Add the column: the first row names them"
        hint = f"Rename '{found[names.tolist().index(near[0])]}'" if near else hint
        raise InputError(f"column '{lacking[0]}' is missing", file.name, hint)
    for column, name in zip(found, names, strict=True):  # else passed over in silence
        near = get_close_matches(name, [k for k in known if k not in found], n=1, cutoff=0.8)
        if column not in known and near:
            raise InputError(f"unknown column '{column}'", file.name, f"Did you mean '{near[0]}'?")


# ------------------------------------------------------------------ what joins rows or files
def on_resized_images(folder: Path, images: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """The lesions of `resized` images, given in px of the file, in px of `rows` x `cols`.

    A mask of such an image is marked `resized`, too.
    """
    if "resized" not in images:
        return lesions
    resized, out = images[images["resized"].fillna(False)], []
    for name in resized["image_id"][(resized["rows"] == 0) | (resized["cols"] == 0)]:
        where = f"images.csv, image_id {name}"
        raise InputError("resized, but rows or cols is empty", where, "Give the size to reach")
    marked = resized[resized["image_id"].isin(lesions["image_id"])].to_dict("records")
    factors = {row["image_id"]: _factors(folder, row) for row in marked}
    for row in lesions.to_dict("records"):
        if row["image_id"] in factors and row["geom"] == "mask":
            row["resized"] = True
        elif row["image_id"] in factors and row["geom"] in GEOMETRIES:
            row = scaled(row["geom"], row, *factors[row["image_id"]])
        out.append(row)
    return pd.DataFrame(out, columns=None if out else lesions.columns)


def _factors(folder: Path, image: dict) -> tuple[float, float]:
    """By which columns and rows grow from the file to the image; 1 where it cannot be read."""
    try:
        rows, cols = read_image(folder / image["file"], accept=ALL_KINDS).pixels.shape
    except InputError:  # missing or damaged: listed when the images are read
        return 1.0, 1.0
    return image["cols"] / cols, image["rows"] / rows


def with_findings(lesions: pd.DataFrame) -> pd.DataFrame:
    """Fill `finding_id`, and make `lesion_id` unique where one finding is on several views."""
    if (lesions["finding_id"] != "").any():
        empty = lesions["finding_id"] == ""
        return lesions.assign(finding_id=lesions["finding_id"].mask(empty, lesions["lesion_id"]))
    ids = lesions[["lesion_id", "image_id"]]
    twice = ids[ids.duplicated()]
    if len(twice):
        lesion, image = twice.iloc[0]
        what = f"lesion_id '{lesion}' occurs twice on image {image}"
        raise InputError(what, "lesions.csv", "Give each lesion of an image its own id")
    shared = lesions["lesion_id"].duplicated(keep=False)
    own = lesions["lesion_id"].mask(shared, lesions["lesion_id"] + "@" + lesions["image_id"])
    return lesions.assign(finding_id=lesions["lesion_id"], lesion_id=own)


def check_outlines(manifest: Manifest) -> Manifest:
    """Gives the manifest back; InputError where two lesions of an image have one outline."""
    twice = manifest.lesions[manifest.lesions.duplicated(["image_id", *OUTLINE])]
    if len(twice):
        lesion, image = twice[["lesion_id", "image_id"]].iloc[0]
        what = f"lesion {lesion} has the outline of another lesion"
        remedy = "Leave one out, or give each its own: of a mask that holds both, its mask_value"
        raise InputError(what, f"lesions.csv, image_id {image}", remedy)
    return manifest


def check_files(
    folder: Path, frame: pd.DataFrame, column: str, table: str, key: str, *, refuse: bool
) -> list[str]:
    """Ids of the rows whose file is absent; InputError if `refuse`, or for a path out of bounds.

    A path that differs from the file's in case alone is corrected in `frame`.
    """
    names, parents, paths, lost = Names(folder), {}, [], []
    for name, path in zip(frame[key], frame[column], strict=True):
        found = path and _found(names, path, parents, f"{table}, {key} {name}")
        paths.append(found or path)
        if path and not found:
            lost.append((name, path))
    frame[column] = paths
    if lost and refuse:
        way_out = "set data.options: {partial: true}" if column == "file" else "remove the rows"
        what = f"{len(lost)} of {len(frame)} files are missing, first {lost[0][1]}"
        where = f"{table}, {key} {lost[0][0]}"
        raise InputError(what, where, f"Complete {folder}, or {way_out}")
    return [name for name, _ in lost]


def _found(names: Names, path: str, parents: dict[Path, bool], where: str) -> str:
    """The name on the disk of a file inside the folder, "" if absent; a parent is resolved once."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or re.match(r"^[A-Za-z]:", path):
        what = f"path '{path}' leaves the data folder"
        raise InputError(what, where, "Give a path inside it, with /")
    found = names.find(path)
    file, root = names.root / (found or path), names.root.resolve()
    if file.parent not in parents:
        parents[file.parent] = file.parent.resolve().is_relative_to(root)
    linked_out = os.path.islink(file) and not file.resolve().is_relative_to(root)
    if not parents[file.parent] or linked_out:
        what = f"'{path}' is a link out of the data folder"
        raise InputError(what, where, "Copy the file into it")
    return found
