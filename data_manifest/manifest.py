"""The manifest: every image, lesion and patient of a data set, in three plain tables.

A reader (:mod:`data_manifest.registry`) turns files into a :class:`Manifest`; everything after it sees
only these tables.  No pixel is read here.

Promises: the tables always have the columns below, in this order and of these types; what a reader
left out is listed with its reason, and the counts close.  A manifest that has passed
:func:`data_manifest.checks.check_manifest` has unique ids, known images, disjoint patients and
shapes within their images.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.files import read_json, write_json, write_text

SPLITS = ("training", "validation", "test")
# training patients kept for f_agg alone, where a set has them: the other networks never see them
AGGREGATION = "aggregation"
FORMAT = 1

# column -> (type, value where a reader gives none)
IMAGE_COLUMNS = {
    "image_id": (str, ""),
    "patient_id": (str, ""),
    "exam_id": (str, ""),
    "laterality": (str, ""),
    "view": (str, "other"),
    "file": (str, ""),  # relative to the manifest's root
    "rows": ("int64", 0),  # px; 0: not stated
    "cols": ("int64", 0),
    "spacing_mm": ("float64", np.nan),  # mm per px
    "bits": ("int64", 16),  # stored grey levels: 2 ** bits
    "polarity": (str, "MONOCHROME2"),
    "source": (str, "ffdm"),
    "chest_wall": (str, "auto"),  # the side edge of the file of the chest wall
    "negative": ("boolean", pd.NA),  # the breast is known without a lesion; empty: not known
    "split": (str, ""),
}
LESION_COLUMNS = {
    "lesion_id": (str, ""),  # one finding on one image: unique
    "finding_id": (str, ""),  # the finding, shared by its views
    "image_id": (str, ""),
    "pathology": (str, "unknown"),
    "truth": (str, "reader"),
    "kind": (str, "other"),
    "geom": (str, "mask"),
    "mask_file": (str, ""),
    "mask_value": ("Int64", pd.NA),  # empty: every value above 0
    "polygon": (str, ""),  # "x y;x y;..."
    "x0": ("float64", np.nan),
    "y0": ("float64", np.nan),
    "x1": ("float64", np.nan),
    "y1": ("float64", np.nan),
    "cx": ("float64", np.nan),
    "cy": ("float64", np.nan),
    "r": ("float64", np.nan),
    "subtype": (str, ""),
    "birads": (str, ""),
}
# in a table only where its reader gives them, so that the others need not carry them
RARE_COLUMNS = {
    # images: kinds of DICOM file that are refused unless named here, see images.dicom_header
    "accept": (str, ""),
    # images: of the breast, in the set's own words or grades
    "density": (str, ""),
    # images: the file was squeezed, and is brought back to rows x cols when it is read
    # lesions: the mask is brought to its image's size (nearest px)
    "resized": ("boolean", pd.NA),
    # exclusions: the image of a lesion that was left out
    "image_id": (str, ""),
}
EXCLUSION_COLUMNS = dict.fromkeys(("level", "id", "stage", "reason"), (str, ""))
TABLES = ("images", "lesions", "exclusions")


def conformed(frame: pd.DataFrame | None, columns: dict) -> pd.DataFrame:
    """A table with exactly these columns, in order and of their types; missing ones are filled.

    Parameters
    ----------
    frame : any table; None is an empty one.  Other columns are dropped, except `RARE_COLUMNS`.
    columns : name -> (type, value where the table has none).

    Raises
    ------
    InputError
        For a value that cannot be of the column's type.
    """
    source = pd.DataFrame() if frame is None else frame.reset_index(drop=True)
    columns = columns | {name: rule for name, rule in RARE_COLUMNS.items() if name in source}
    out = {}
    for name, (kind, default) in columns.items():
        values = source[name] if name in source else pd.Series([default] * len(source))
        if kind is str:
            out[name] = _text(values, default)
            continue
        filled = values if pd.isna(default) else values.where(values.notna(), default)
        try:
            out[name] = filled.astype(kind)
        except (TypeError, ValueError):
            what = f"column '{name}' holds values that are not {kind}"
            raise InputError(what, "manifest", "Correct the table") from None
    return pd.DataFrame(out, columns=list(columns))


def _text(values: pd.Series, default: str) -> pd.Series:
    """As texts of dtype object; a column that holds nothing else is only copied."""
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values.astype(object)
    return values.astype(object).where(values.notna(), default).map(str).astype(object)


def exclusion(level: str, name: str, stage: str, reason: str, image_id: str = "") -> dict:
    """One row of the table of exclusions.

    Parameters
    ----------
    image_id : of a lesion, its image, where that image may stay in use.
    """
    row = {"level": level, "id": str(name), "stage": stage, "reason": reason}
    return row | ({"image_id": image_id} if image_id else {})


def present_splits(images: pd.DataFrame) -> tuple[str, ...]:
    """The splits that tables count: the three, and f_agg's own patients where there are any."""
    if not images["split"].eq(AGGREGATION).any():
        return SPLITS
    return (SPLITS[0], AGGREGATION, *SPLITS[1:])


def with_findings_left_out(exclusions: pd.DataFrame) -> set[str]:
    """Ids of the images with a finding that is not among the lesions.

    A window off all outlines of such an image may still hold a finding.
    """
    return set(exclusions.get("image_id", pd.Series(dtype=str))) - {""}


def flow_table(used: dict[str, int], exclusions: pd.DataFrame) -> pd.DataFrame:
    """From what a set holds to what is used, stage by stage; every level closes.

    Parameters
    ----------
    used : number of images and lesions that are left, as ``{"image": n, "lesion": m}``.

    Returns
    -------
    DataFrame
        Columns level, stage, reason, count: a row `input`, one negative row for each stage and reason,
        and a row `used`; the counts of `input` and of the exclusions add up to `used`.  Reasons that
        differ in numbers and places alone are one reason.
    """
    rows = []
    for level, left in used.items():
        lost = exclusions[exclusions["level"] == level]
        rows.append((level, "input", "", left + len(lost)))
        reason = lost["reason"].str.split(" (", regex=False).str[0].str.rstrip(". ")
        reason = reason.str.replace(r"\d+(\.\d+)?", "n", regex=True)
        steps = lost.groupby(["stage", reason], sort=False).size()
        rows += [(level, stage, reason, -int(n)) for (stage, reason), n in steps.items()]
        rows.append((level, "used", "", left))
    return pd.DataFrame(rows, columns=["level", "stage", "reason", "count"])


@dataclass(frozen=True)
class Manifest:
    """A data set before any pixel is read.

    Attributes
    ----------
    name : of the data set.
    root : folder to which `file` and `mask_file` are relative.
    images : one row per image, columns `IMAGE_COLUMNS`.
    lesions : one row per finding on an image, columns `LESION_COLUMNS`.
    exclusions : what the set holds and is not used: level ("image" or "lesion"), id, stage, reason;
        of lesions on an image that stays also its image_id: it gives no outside windows.
    counted : what the reader counted in the set's lists; see :mod:`data_manifest.expected_counts`.
    """

    name: str
    root: Path
    images: pd.DataFrame
    lesions: pd.DataFrame
    exclusions: pd.DataFrame = field(default_factory=pd.DataFrame)
    counted: dict = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))
        object.__setattr__(self, "images", conformed(self.images, IMAGE_COLUMNS))
        object.__setattr__(self, "lesions", conformed(self.lesions, LESION_COLUMNS))
        object.__setattr__(self, "exclusions", conformed(self.exclusions, EXCLUSION_COLUMNS))

    def flow(self) -> pd.DataFrame:
        """What was read, what was left out and why, what is used; see :func:`flow_table`."""
        return flow_table({"image": len(self.images), "lesion": len(self.lesions)}, self.exclusions)

    # ------------------------------------------------------------------ on disk
    def write(self, folder: Path | str) -> None:
        """Three CSV files and manifest.json (last, so that it marks a whole manifest)."""
        folder = Path(folder)
        for name in TABLES:
            write_text(folder / f"{name}.csv", getattr(self, name).to_csv(index=False))
        content = {"format": FORMAT, "name": self.name, "root": str(self.root)}
        content |= {"images": len(self.images), "lesions": len(self.lesions)}
        write_json(folder / "manifest.json", content | {"counted": self.counted})

    @staticmethod
    def read(folder: Path | str) -> Manifest:
        """The manifest that :meth:`write` left in `folder`; InputError if there is none."""
        folder = Path(folder)
        content = read_json(folder / "manifest.json")
        if content is None or content.get("format") != FORMAT:
            remedy = "Make it first: run notebook 01 or the pipeline"
            raise InputError("no manifest", folder, remedy)
        columns = {**IMAGE_COLUMNS, **LESION_COLUMNS, **RARE_COLUMNS, **EXCLUSION_COLUMNS}
        kinds = {name: kind for name, (kind, _) in columns.items()}
        tables = {name: read_csv(folder / f"{name}.csv", kinds) for name in TABLES}
        counted = content.get("counted", {})
        return Manifest(content["name"], Path(content["root"]), **tables, counted=counted)


def read_csv(file: Path, kinds: dict) -> pd.DataFrame:
    """A CSV table that keeps every text as it is: an empty field means "none" in numbers only.

    Parameters
    ----------
    kinds : column -> type; the columns that are not named hold numbers.
    """
    header = pd.read_csv(file, nrows=0).columns
    types = {name: object if kind is str else kind for name, kind in kinds.items()}
    none = {name: [""] for name in header if types.get(name) is not object}
    how = {"keep_default_na": False, "na_values": none, "float_precision": "round_trip"}
    return pd.read_csv(file, dtype={k: types[k] for k in types if k in header}, **how)
