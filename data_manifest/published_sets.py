"""What the readers of published sets share: a list read by its rules, and a manifest made of it.

A reader states each column of its set's list as ``name in the list: (name here, rule)``.  A rule is

* ``str``: any text;
* a regular expression: the form of the whole text;
* ``ID``: any text but what a spreadsheet leaves of an id, as 8.09913E+15;
* ``int``, ``"Int64"`` or ``float``: a number; the latter two may be empty;
* a dictionary: every code that may occur, in capitals or not, with its meaning here.

A value that breaks its rule is refused with its row, so that no unknown code passes for a known one.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import pandas as pd

from data_manifest.checks import check_manifest
from data_manifest.folders import files_below, on_disk
from data_manifest.ids import LOST_IDS
from data_manifest.images.dicom_header import FILE_KINDS, VIEW_KINDS, ImageHeader
from data_manifest.input_files import input_file
from data_manifest.manifest import Manifest, exclusion
from data_manifest.shapes import check_extent, shape_facts
from lesionlib.errors import InputError, nearest

TRUTHS = (None, "birads_proxy")  # of a lesion: none on record, or what BI-RADS suggests
SIDES = {"L": "L", "R": "R"}
ID = rf"(?i)(?!(?:{'|'.join(LOST_IDS.values())})$).*"  # two ids that were rounded may be one
BREAST = ["patient_id", "exam_id", "laterality"]  # one side in one exam
NO_TRUTH = "no usable truth: neither a usable outline nor a breast known without a lesion"
AS_DISTRIBUTED = "Take the list as distributed"
# remedies for a table that is absent or not readable
OF_A_SET = "Point data.folder at the unpacked set", f"{AS_DISTRIBUTED}, or save it as CSV"
OF_ONES_OWN = "Write the table, or check the path", "Save it as CSV (UTF-8)"
# of a table, which takes several times as much memory as its file, a sheet many times
MOST_BYTES = {"own": 2**26, "sheet": 2**24, "list": 2**31}
FIRST_ROW = 2  # row 1 of a list is its header
SEPARATORS = ",;\t|"
ABOVE_HEADER = re.compile(r'("?sep=.?)?[\s,;|"]*', re.IGNORECASE)  # a line
LONGEST_HEADER = 1_000_000  # characters
EXACT = 1e15  # larger numbers lose digits in a spreadsheet


# ------------------------------------------------------------------ lists
def read_list(file: Path, rules: dict, unique: Sequence[str] = ()) -> pd.DataFrame:
    """The set's list, its columns renamed and its values mapped by `rules`; its index numbers rows.

    Parameters
    ----------
    file : as for :func:`read_texts`.
    unique : columns, by their names here, whose values together occur once.

    Raises
    ------
    InputError
        For a missing or unreadable list, a missing column, a value that breaks its rule, a row that
        occurs twice, and a list without rows.
    """
    frame = read_texts(file, rules)
    lacking = [c for c in rules if c not in frame]
    if lacking:
        raise InputError(f"column '{lacking[0]}' is missing", file.name, AS_DISTRIBUTED)
    if frame.empty:
        raise InputError("a list without rows", file, AS_DISTRIBUTED)
    listed = by_rules(frame, rules, file.name)
    if unique:
        refuse(listed.duplicated(list(unique)), f"{' and '.join(unique)} listed twice", file.name)
    return listed


def read_texts(file: Path, wanted: Collection[str], own: bool = False) -> pd.DataFrame:
    """A table of texts, less the blanks around them and blank rows; its index numbers rows.

    Parameters
    ----------
    file : XLSX (its first sheet) or CSV: comma, semicolon or tab, whichever finds most of the
        columns `wanted`, UTF-8 or UTF-16, with or without a first line "sep=".
    own : a user's own table, of which all columns are kept; else those `wanted` are.

    Raises
    ------
    InputError
        For a missing or unreadable file, and rows with more fields than the header.
    """
    file, (absent, remedy) = on_disk(file), OF_ONES_OWN if own else OF_A_SET
    sheet = file.suffix.lower() == ".xlsx"
    most = MOST_BYTES["sheet" if sheet else "own" if own else "list"]
    input_file(file, most, remedy if file.exists() else absent)
    kept = None if own else lambda name: str(name).strip() in wanted
    try:
        if sheet:
            frame = _first_sheet(file, kept, own)
        else:
            how = {"dtype": str, "keep_default_na": False, "skip_blank_lines": False}
            how |= _dialect(file, wanted)
            if own:
                with open(file, encoding=how["encoding"], newline="") as lines:
                    refuse_torn(lines, how["sep"], file.name)
            frame = pd.read_csv(file, usecols=kept, **how).fillna("")
    except InputError:
        raise
    except UnicodeError:
        raise InputError("not UTF-8 text", file, remedy) from None
    except Exception as error:  # the parsers raise many kinds; their words may quote the table
        longer = re.search(r"fields in line (\d+), saw", str(error))
        if longer:
            raise _too_many_fields(f"{file.name}, row {longer[1]}", own) from None
        cause = f"not a readable table: {type(error).__name__}"
        raise InputError(cause, file, remedy) from None
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes the first for names of rows
        raise _too_many_fields(file.name, own)
    frame.columns = [str(c).strip() for c in frame.columns]
    frame.index += FIRST_ROW
    frame = frame.apply(lambda values: values.str.strip())
    return frame[(frame != "").any(axis=1)]


def _too_many_fields(where: str, own: bool) -> InputError:
    remedy = "Quote values that hold a separator" if own else AS_DISTRIBUTED
    return InputError("more fields than the header", where, remedy)


def _dialect(file: Path, wanted: Collection[str]) -> dict:
    """How :func:`pandas.read_csv` reads a CSV file: encoding, separator, lines before the header."""
    with open(file, "rb") as data:  # UTF-16: the second byte of an ASCII character is 0
        wide = re.match(rb"(\xff\xfe)?[ -~]\0|\xfe\xff\0", data.read(4))
    encoding = "utf-16" if wide else "utf-8-sig"
    with open(file, encoding=encoding) as lines:
        above, header = 0, lines.readline(LONGEST_HEADER)
        while header and ABOVE_HEADER.fullmatch(header):
            above, header = above + 1, lines.readline(LONGEST_HEADER)

    def found(separator: str) -> int:
        names = next(csv.reader([header], delimiter=separator), [])
        return len({name.strip() for name in names} & set(wanted))

    separator = max(SEPARATORS, key=found)
    return {"encoding": encoding, "sep": separator, "skiprows": above}


def refuse_torn(lines: Iterable[str], separator: str, name: str) -> None:
    """InputError for what :func:`pandas.read_csv` takes without a word.

    A quote that is not closed swallows rows up to the next one; a value ends at a NUL, which disks
    leave in files that were not written to their end.
    """
    csv.field_size_limit(MOST_BYTES["own"])
    # blanks between a closing quote and the next separator do no harm; a line's end is kept
    lines = (re.sub(rf'" +(?={re.escape(separator)}|\r?\n?$)', '"', line) for line in lines)
    rows = csv.reader(lines, delimiter=separator, strict=True)
    try:
        damaged = any("\0" in value for row in rows for value in row)
    except csv.Error:
        remedy = "Close the quote, or double it inside of quotes"
        raise InputError("a stray quote", f"{name}, row {rows.line_num}", remedy) from None
    if damaged:
        where = f"{name}, row {rows.line_num}"
        raise InputError("a damaged file: it holds NUL", where, "Write it again")


def _first_sheet(file: Path, kept: Callable | None, own: bool) -> pd.DataFrame:
    """The first sheet of a workbook as texts."""
    with pd.ExcelFile(file, engine="openpyxl", engine_kwargs={"read_only": not own}) as book:
        merged = own and book.book.worksheets[0].merged_cells.ranges
        if merged:  # all but the first of them would be empty
            where = f"{file.name}, cells {min(map(str, merged))}"
            raise InputError("merged cells", where, "Unmerge them, and fill in each")
        return book.parse(dtype=object, keep_default_na=False, usecols=kept).map(_cell)


def _cell(value: object) -> str:
    """A cell of a workbook as text: a number too long to be exact as spreadsheets show it."""
    if isinstance(value, int | float) and abs(value) >= EXACT:
        return f"{value:.5E}"
    return "" if isinstance(value, float) and math.isnan(value) else str(value)


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
        if "number" in what and "," in value:
            remedy = "Write a decimal point, and no separator of thousands"
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
    if rule == ID:
        return texts, ~texts.str.fullmatch(ID), "whole: a spreadsheet has changed it"
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


def dicom_files(folder: Path) -> tuple[list[str], list[dict]]:
    """Paths of the files below a folder that end in .dcm or .DCM, and exclusions of what was not read.

    Hidden files, which systems write next to the images, do not count.
    """
    files, passed = files_below(folder)
    files = [f for f in files if f.lower().endswith(".dcm") and not Path(f).name.startswith(".")]
    return files, [exclusion("image", path, "files", why) for path, why in passed.items()]


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
