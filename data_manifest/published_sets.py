"""What the readers of published sets share: a list read by its rules, and a manifest made of it.

A reader states each column of its set's list as ``name in the list: (name here, rule)``.  A rule is

* ``str``: any text;
* a regular expression: the form of the whole text;
* ``int``, ``"Int64"`` or ``float``: a number; the latter two may be empty;
* a dictionary: every code that may occur, in capitals or not, with its meaning here.

A value that breaks its rule is refused with its row, so that no unknown code passes for a known one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from data_manifest.checks import check_manifest
from data_manifest.images.dicom_header import FILE_KINDS, VIEW_KINDS, ImageHeader
from data_manifest.manifest import Manifest, exclusion
from data_manifest.shapes import check_extent, shape_facts
from lesionlib.errors import InputError, nearest
from lesionlib.files import input_file

TRUTHS = (None, "birads_proxy")  # of a lesion: none on record, or what BI-RADS suggests
SIDES = {"L": "L", "R": "R"}
BREAST = ["patient_id", "exam_id", "laterality"]  # one side in one exam
NO_TRUTH = "no usable truth: neither a usable outline nor a breast known without a lesion"
AS_DISTRIBUTED = "Take the list as distributed"
MOST_BYTES = (2**31, 2**24)  # of a CSV, and of a sheet, which takes many times as much memory
FIRST_ROW = 2  # row 1 of a list is its header


# ------------------------------------------------------------------ lists
def read_list(
    file: Path, rules: dict, separator: str = ",", unique: Sequence[str] = ()
) -> pd.DataFrame:
    """The set's list, its columns renamed and its values mapped by `rules`; its index numbers rows.

    Parameters
    ----------
    file : CSV, or XLSX (its first sheet).
    unique : columns, by their names here, whose values together occur once.

    Raises
    ------
    InputError
        For a missing or unreadable list, a missing column, a value that breaks its rule, a row that
        occurs twice, and a list without rows.
    """
    as_text = {"dtype": str, "keep_default_na": False}
    as_text["usecols"] = lambda name: str(name).strip() in rules
    sheet = file.suffix.lower() == ".xlsx"
    input_file(file, MOST_BYTES[sheet], "Point data.folder at the unpacked set")
    try:
        if sheet:
            frame = pd.read_excel(file, **as_text)
        else:
            frame = pd.read_csv(file, sep=separator, encoding="utf-8-sig", **as_text)
    except Exception as error:  # the parsers raise many kinds; their words may quote the list
        cause = f"list not readable: {type(error).__name__}"
        raise InputError(cause, file, f"{AS_DISTRIBUTED}, or save it as CSV") from None
    frame.columns = [str(c).strip() for c in frame.columns]
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes the first for names of rows
        raise InputError("rows with more fields than the header", file, AS_DISTRIBUTED)
    lacking = [c for c in rules if c not in frame]
    if lacking:
        raise InputError(f"column '{lacking[0]}' is missing", file.name, AS_DISTRIBUTED)
    frame.index += FIRST_ROW
    frame = frame[list(rules)].fillna("").apply(lambda values: values.str.strip())
    frame = frame[(frame != "").any(axis=1)]
    if frame.empty:
        raise InputError("a list without rows", file, AS_DISTRIBUTED)
    listed = by_rules(frame, rules, file.name)
    if unique:
        refuse(listed.duplicated(list(unique)), f"{' and '.join(unique)} listed twice", file.name)
    return listed


def by_rules(texts: pd.DataFrame, rules: dict, name: str, own: bool = False) -> pd.DataFrame:
    """A table of texts, its columns renamed and its values mapped by `rules`; InputError as above.

    name : of the list; the table's index numbers its rows.
    own : a user's own table, of which a wrong value may be shown.
    """
    out = {}
    for column, (ours, rule) in rules.items():
        out[ours], wrong, what = _by_rule(texts[column], rule)
        value = f" = '{texts[column][wrong].iloc[0]}'" if own and wrong.any() else ""
        remedy = "Correct the value" if own else AS_DISTRIBUTED
        refuse(wrong, f"{column}{value} is not {what}", name, remedy)
    return pd.DataFrame(out)


def _by_rule(texts: pd.Series, rule) -> tuple[pd.Series, pd.Series, str]:
    """The values, which of them break the rule, and what such a value is not."""
    if isinstance(rule, dict):
        codes = {code.lower(): meaning for code, meaning in rule.items()}
        words = "one of " + ", ".join(code or "(empty)" for code in rule)
        return texts.str.lower().map(codes), ~texts.str.lower().isin(codes), words
    if rule in (int, "Int64", float):
        numbers = pd.to_numeric(texts, errors="coerce")
        wrong = numbers.isna() & ((texts != "") | (rule is int))
        if rule is float:
            return numbers, wrong, "a number"
        return numbers, wrong | (numbers % 1 > 0), "a whole number"
    free = rule is str
    return texts, ~texts.str.fullmatch("" if free else rule) & (not free), f"of the form {rule}"


def refuse(wrong: pd.Series, what: str, name: str, remedy: str = AS_DISTRIBUTED) -> None:
    """InputError with `what` for the first row that is `wrong`; its index is the row's number."""
    if wrong.any():
        raise InputError(what, f"{name}, row {wrong.index[wrong][0]}", remedy)


# ------------------------------------------------------------------ truth and files
def check_option(name: str, value: object, known: Collection) -> None:
    """InputError for an option of a reader with another value than those `known`."""
    if value not in known:
        raise InputError(f"{name} = '{value}'", "data.options", nearest(str(value), known))


def with_proxy(lesions: pd.DataFrame, proxy: dict[str, str], truth: str | None) -> pd.DataFrame:
    """The lesions with a pathology: by `truth`, that which `proxy` gives their `birads`, or unknown."""
    birads = lesions.get("birads", pd.Series(dtype=object))
    pathology = birads.map(proxy).fillna("unknown") if truth else "unknown"
    return lesions.assign(pathology=pathology, truth=truth or "reader")


def missing_images(
    names: Sequence[str],
    total: int,
    folder: Path,
    partial: bool,
    what: str = "image files are missing",
) -> list[dict]:
    """Rows of exclusions for absent image files; InputError if not `partial`, or if all are."""
    if names and (not partial or len(names) == total):
        first = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        remedy = "Complete the download, or set data.options: {partial: true}"
        raise InputError(f"{len(names)} of {total} {what}: {first}", folder, remedy)
    return [exclusion("image", name, "files", "image file missing") for name in names]


def facts_of(header: ImageHeader) -> dict:
    """rows, cols, bits and spacing_mm of the manifest; InputError where no image is usable."""
    fault = header.refusal(accept=(*FILE_KINDS, *VIEW_KINDS))
    if fault:
        raise InputError(fault)
    return {name: getattr(header, name) for name in ("rows", "cols", "bits", "spacing_mm")}


def whole_breasts(images: pd.DataFrame, clean: pd.Series) -> pd.Series:
    """True on every image of a breast all of whose images are `clean`; empty (not known) elsewhere.

    A lesion seen on MLO only makes the CC view of its breast not negative.
    """
    whole = clean.astype(bool).groupby([images[c] for c in BREAST]).transform("all")
    return whole.astype("boolean").mask(~whole)


# ------------------------------------------------------------------ the manifest
def assemble(
    name: str,
    folder: Path,
    images: pd.DataFrame,
    lesions: pd.DataFrame,
    exclusions: Sequence[dict],
    counted: dict,
) -> Manifest:
    """The validated manifest of the lesions and images that can be used; the others are excluded.

    An image can be used if it has a usable lesion or is known to be negative.  A lesion cannot be
    used if its image is left out, or if its shape is empty, tiny, huge or off the image.

    Parameters
    ----------
    images, lesions : columns as in the manifest; others are dropped.  `finding_id` may be missing
        where every lesion is a finding of its own.
    exclusions : rows of :func:`data_manifest.manifest.exclusion` that the reader made before.
    counted : what the list holds, under the names of ``expected_counts.json``.
    """
    sizes = images.drop_duplicates("image_id").set_index("image_id")[["rows", "cols"]]
    sizes = sizes.to_dict("index")
    why = [_unusable(row, sizes.get(row["image_id"])) for row in lesions.to_dict("records")]
    usable = [reason is None for reason in why]
    exclusions = [*exclusions, *(reason for reason in why if reason)]
    lesions = lesions[pd.Series(usable, index=lesions.index, dtype=bool)]
    if "finding_id" not in lesions:
        lesions = lesions.assign(finding_id=lesions.get("lesion_id"))
    keep = images["negative"].fillna(False).astype(bool)
    keep |= images["image_id"].isin(lesions.get("image_id", []))
    untrue = images.loc[~keep, "image_id"]
    exclusions += [exclusion("image", image, "truth", NO_TRUTH) for image in untrue]
    exclusions = pd.DataFrame(exclusions)
    return check_manifest(Manifest(name, folder, images[keep], lesions, exclusions, counted))


def _unusable(lesion: dict, size: dict | None) -> dict | None:
    """The row of exclusions for a lesion that cannot be used."""
    name = lesion["lesion_id"]
    if size is None:
        return exclusion("lesion", name, "images", "its image is left out")
    try:
        check_extent(*shape_facts(lesion["geom"], lesion), size["rows"], size["cols"], "")
    except InputError as error:
        return exclusion("lesion", name, "outlines", error.what, lesion["image_id"])
    return None
