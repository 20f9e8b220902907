"""What the readers of published sets share: lists as text, and what of a set cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_manifest.images.dicom_header import FILE_KINDS, VIEW_KINDS, ImageHeader
from data_manifest.manifest import exclusion
from data_manifest.shapes import check_extent, shape_facts
from lesionlib.errors import InputError

PROXY = "birads_proxy"
NO_TRUTH = "no usable truth: neither a usable outline nor a breast known without a lesion"


def read_list(file: Path, columns: Sequence[str], separator: str = ",") -> pd.DataFrame:
    """The set's list (CSV, or the first sheet of an XLSX) with `columns` as stripped text.

    Raises InputError for a missing or unreadable list, a missing column, and a list without rows.
    """
    as_text = {"dtype": str, "keep_default_na": False}
    as_text["usecols"] = lambda name: str(name).strip() in columns
    try:
        if file.suffix.lower() == ".xlsx":
            frame = pd.read_excel(file, **as_text)
        else:
            frame = pd.read_csv(file, sep=separator, encoding="utf-8-sig", **as_text)
    except FileNotFoundError:
        raise InputError(
            f"no {file.name}", file.parent, "Point data.folder at the unpacked set"
        ) from None
    except Exception as error:  # the parsers raise many kinds; their words may quote the list
        cause = f"list not readable: {type(error).__name__}"
        raise InputError(cause, file, "Take it as distributed, or save it as CSV") from None
    frame.columns = [str(c).strip() for c in frame.columns]
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes the first for names of rows
        raise InputError("rows with more fields than the header", file, "Take it as distributed")
    lacking = [c for c in columns if c not in frame]
    if lacking:
        raise InputError(f"column '{lacking[0]}' is missing", file.name, "Take it as distributed")
    frame = frame[list(columns)].fillna("").apply(lambda values: values.str.strip())
    frame = frame[(frame != "").any(axis=1)].reset_index(drop=True)
    if frame.empty:
        raise InputError("a list without rows", file, "Take it as distributed")
    return frame


def proxy_asked(truth: str | None) -> bool:
    """Whether BI-RADS is to stand for the pathology; InputError for any other word."""
    if truth not in (None, PROXY):
        raise InputError(
            f"truth = '{truth}'",
            "data.options",
            f"Write '{PROXY}', or leave it out: then the pathology is unknown",
        )
    return truth == PROXY


def missing_images(names: Sequence[str], total: int, folder: Path, partial: bool) -> list[dict]:
    """Rows of exclusions for absent image files; InputError if not `partial`, or if all are."""
    if names and (not partial or len(names) == total):
        first = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise InputError(
            f"{len(names)} of {total} image files are missing: {first}",
            folder,
            "Complete the download, or set data.options: {partial: true}",
        )
    return [exclusion("image", name, "files", "image file missing") for name in names]


def usable_lesions(lesions: list[dict], images: pd.DataFrame) -> tuple[list[dict], list[dict]]:
    """The lesions whose shape can be used, and a row of exclusions for each other one.

    Not usable is a shape on an image that is left out, or that :meth:`Manifest.validate` refuses.
    """
    sizes = images.set_index("image_id")[["rows", "cols"]].to_dict("index")
    kept, out = [], []
    for lesion in lesions:
        name, size = lesion["lesion_id"], sizes.get(lesion["image_id"])
        if size is None:
            out.append(exclusion("lesion", name, "images", "its image is left out"))
            continue
        try:
            check_extent(*shape_facts(lesion["geom"], lesion), size["rows"], size["cols"], "")
            kept.append(lesion)
        except InputError as error:
            out.append(exclusion("lesion", name, "outlines", error.what, lesion["image_id"]))
    return kept, out


def with_truth(images: pd.DataFrame, lesions: list[dict]) -> tuple[pd.DataFrame, list[dict]]:
    """The images with a lesion or known to be negative; rows of exclusions for the rest."""
    marked = images["image_id"].isin({lesion["image_id"] for lesion in lesions})
    keep = marked | images["negative"].fillna(False).astype(bool)
    out = [exclusion("image", name, "truth", NO_TRUTH) for name in images.loc[~keep, "image_id"]]
    return images[keep], out


def whole_breasts(images: pd.DataFrame, clean: pd.Series) -> pd.Series:
    """True on every image of a breast all of whose images are `clean`; empty (not known) elsewhere.

    A breast is one side in one exam: a lesion seen on MLO only makes its CC view not negative.
    """
    breast = [images[c] for c in ("patient_id", "exam_id", "laterality")]
    whole = clean.astype(bool).groupby(breast).transform("all")
    return whole.astype("boolean").mask(~whole)


def facts_of(header: ImageHeader) -> dict:
    """rows, cols, bits and spacing_mm of the manifest; InputError where no image is usable."""
    fault = header.refusal(accept=(*FILE_KINDS, *VIEW_KINDS))
    if fault:
        raise InputError(fault)
    names = ("rows", "cols", "bits", "spacing_mm")
    return {name: getattr(header, name) for name in names}
