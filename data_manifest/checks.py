"""Checks of a manifest before any pixel is read: one clear line for the first fault found.

First the values of single columns, then what joins tables or rows: patients and splits, findings
and pathologies, shapes and images.
"""

from __future__ import annotations

import re
from itertools import product

import pandas as pd

from data_manifest.ids import LOST_IDS, plain_id
from data_manifest.manifest import AGGREGATION, SPLITS, Manifest, with_findings_left_out
from data_manifest.shapes import GEOMETRIES, check_extent, shape_facts
from lesionlib.errors import InputError

IMAGE_ID = r"[\w.-]{1,64}"
VALUES = {
    "laterality": ("L", "R"),
    "view": ("CC", "MLO", "other"),
    "polarity": ("MONOCHROME1", "MONOCHROME2"),
    "source": ("film", "ffdm", "synth2d"),
    "chest_wall": ("left", "right", "auto"),
    "split": ("", *SPLITS, AGGREGATION),
    "pathology": ("benign", "malignant", "unknown"),
    "truth": ("biopsy", "followup", "birads_proxy", "reader"),
    "kind": ("mass", "calc", "distortion", "asymmetry", "other"),
    "geom": GEOMETRIES,
}
RANGES = {"spacing_mm": (0.02, 0.3), "bits": (8, 16), "rows": (0, 65535), "cols": (0, 65535)}
MAX_OFF_BREAST = 0.2
NO_SPACING = "spacing_mm is empty"
SPACING_APART = 1.2  # ratio, above which lesions look of another size
OTHER_SPACING = "spacing_mm is over a fifth off the set's median, and all images get one scale"
MOST_IMAGES = "has most of the images: the ids of several may have been lost"
CLIPPED = "the outline is cut at the edge of its image"
OFF_BREAST = f"over {MAX_OFF_BREAST:.0%} of the outline is off the breast"
FILLED = ("patient_id", "file", "lesion_id", "finding_id")
IDS = {
    "images": ("image_id", "patient_id", "exam_id"),
    "lesions": ("image_id", "lesion_id", "finding_id"),
}
MAX_SHARE_OF_ONE = 0.5
FEW_IMAGES = 4  # two views of both breasts: a set this small may be one patient's


def check_manifest(manifest: Manifest) -> Manifest:
    """Every check that needs no pixel; gives the manifest back.

    Raises
    ------
    InputError
        Of one line, for the first fault: a value outside its set, an id twice or lost in a
        spreadsheet, a lesion of an unknown image, two spellings of one patient, an exam of two
        patients, a patient in two splits, a finding with two pathologies or on both sides, a
        negative breast with a lesion, a shape that is empty, huge or off its image.
    """
    if manifest.images.empty:
        raise InputError("no images", manifest.root, "Check the folder and its tables")
    for table, key in (("images", "image_id"), ("lesions", "lesion_id")):
        _check_ids(table, getattr(manifest, table), key)
        _check_values(table, getattr(manifest, table), key)
    _check_known_images(manifest)
    check_patients(manifest.images)
    _check_findings(manifest)
    _check_negatives(manifest)
    _check_shapes(manifest)
    return manifest


def check_patients(images: pd.DataFrame) -> None:
    """Whether patients can be told apart and are in one split each.

    Raises
    ------
    InputError
        For two ids that are likely one patient, an exam of two patients, and a patient in two splits.
    """
    check_alike(images["patient_id"], images["patient_id"].drop_duplicates().map(plain_id))
    exams = images[images["exam_id"] != ""]
    remedy = "Give all images of an exam one patient, and no two patients an exam of the same id"
    where = "images, column patient_id"
    _check_one(exams["patient_id"], exams["exam_id"], "exam {} is of {} patients", where, remedy)
    known = images[images["split"] != ""]
    where, remedy = "images, column split", "Give all images of a patient one split"
    _check_one(known["split"], known["patient_id"], "patient {} is in {} splits", where, remedy)


def check_alike(patients: pd.Series, plain: pd.Series) -> None:
    """InputError that names the pairs of patients whose plain ids are the same.

    patients : of each image.  plain : of each patient, at the index of one of her images.
    """
    several = patients.loc[plain.index].groupby(plain).unique()
    pairs = [" and ".join(map(ascii, sorted(ids)[:2])) for ids in several if len(ids) > 1]
    if pairs:
        shown = "; ".join(pairs[:5]) + ("; ..." if len(pairs) > 5 else "")
        raise InputError(
            f"likely one patient under two ids: {shown} ({len(pairs)} such patients)",
            "images, column patient_id",
            "Write the id of a patient in one way, and those of two patients more differently",
        )


def _check_one(values: pd.Series, of: pd.Series, what: str, where: str, remedy: str) -> None:
    """InputError for the first of `of` with several `values`: `what` takes it and their number."""
    number = values.groupby(of).nunique()
    several = number.index[number > 1]
    if len(several):
        names = sorted(map(str, values[of == several[0]].dropna().unique()))
        shown = " and ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        such = f"{len(several)} such {what.partition(' ')[0]}s"
        what = what.format(several[0], len(names))
        raise InputError(f"{what}, {shown} ({such})", where, remedy)


def check_not_one(images: pd.DataFrame) -> None:
    """InputError where one patient has most images: ids were lost, and no split can be drawn."""
    for name, number in _with_most_images(images).items():
        raise InputError(
            f"patient {name} has {number} of {len(images)} images",
            "images, column patient_id",
            "Give each patient an id of her own; an anonymiser may have written one for all",
        )


def _with_most_images(images: pd.DataFrame) -> pd.Series:
    """The number of images of the patient who has most of them, if there is one."""
    number = images["patient_id"].value_counts()
    return number[(number > MAX_SHARE_OF_ONE * len(images)) & (number > FEW_IMAGES)]


def _check_ids(table: str, frame: pd.DataFrame, key: str) -> None:
    for column, (what, form) in product(IDS[table], LOST_IDS.items()):
        lost = frame[column].str.fullmatch(form, flags=re.IGNORECASE)
        if lost.any():
            what = f"{column} = '{frame[column][lost].iloc[0]}' is {what} ({lost.sum()} such rows)"
            remedy = "Take the ids from their source again, in a column formatted as text"
            raise InputError(what, table, remedy)
    twice = frame[key][frame[key].duplicated()]
    if len(twice):
        what = f"{key} '{twice.iloc[0]}' occurs more than once ({twice.nunique()} such ids)"
        raise InputError(what, table, "Make every id unique")


def _check_values(table: str, frame: pd.DataFrame, key: str) -> None:
    for column, values in frame.items():
        valid, what = _rule(column, values)
        wrong = values.notna() & ~valid
        if wrong.any():
            who, value = frame.loc[wrong, [key, column]].iloc[0]
            what = f"{column} = '{value}' is not {what} ({wrong.sum()} such rows)"
            raise InputError(what, f"{table}, {key} {who}", f"Correct the column '{column}'")


def _rule(column: str, values: pd.Series) -> tuple[pd.Series, str]:
    """Which values of a column are valid, and what those are."""
    if column in VALUES:
        known = VALUES[column]
        return values.isin(known), "one of " + ", ".join(v or "(empty)" for v in known)
    if column in RANGES:
        return values.between(*RANGES[column]), "within {:g} to {:g}".format(*RANGES[column])
    if column == "image_id":
        return values.str.fullmatch(IMAGE_ID), f"of the form {IMAGE_ID}"
    return values.ne("") | (column not in FILLED), "filled in"


def _check_known_images(manifest: Manifest) -> None:
    lesions, known = manifest.lesions, manifest.images["image_id"]
    lost = lesions[~lesions["image_id"].isin(known)]
    if len(lost):
        lesion, name = lost[["lesion_id", "image_id"]].iloc[0]
        meant = known[known.map(plain_id) == plain_id(name)]
        remedy = f"Write '{meant.iloc[0]}'" if len(meant) else "Add the image, or remove the lesion"
        what = f"lesion {lesion} names the unknown image '{name}'"
        raise InputError(what, f"lesions table, {len(lost)} in all", remedy)


def _check_findings(manifest: Manifest) -> None:
    """A finding seen on two views is one thing: one patient, one breast, one pathology."""
    lesions, remedy = manifest.lesions, "Give different findings different ids"
    images = manifest.images.set_index("image_id").loc[lesions["image_id"]]
    images.index = lesions.index
    known = lesions["pathology"].where(lesions["pathology"] != "unknown")
    for values, what in (
        (images["patient_id"], "finding {} has {} patients"),
        (images["laterality"], "finding {} is on films of {} sides"),
        (known, "finding {} has {} pathologies"),
    ):
        _check_one(values, lesions["finding_id"], what, "lesions", remedy)


def _check_negatives(manifest: Manifest) -> None:
    """A view without a mark is not negative if the other view of the breast has a lesion.

    A lesion that was left out counts, too.
    """
    images = manifest.images
    breast = images.groupby(["patient_id", "exam_id", "laterality"], sort=False).ngroup()
    known = {*manifest.lesions["image_id"], *with_findings_left_out(manifest.exclusions)}
    marked = images["image_id"].isin(known)
    negative = images["negative"].fillna(False).astype(bool)
    wrong = images[negative & breast.isin(breast[marked])]
    if len(wrong):
        what = f"image {wrong['image_id'].iloc[0]} is negative, but its breast has a lesion"
        remedy = "Leave 'negative' empty or false for both views"
        raise InputError(f"{what} ({len(wrong)} such images)", "images, column negative", remedy)


def _check_shapes(manifest: Manifest) -> None:
    for row in _with_sizes(manifest):
        where = f"lesion {row['lesion_id']} on image {row['image_id']}"
        if row["geom"] == "mask":
            if not row["mask_file"]:
                raise InputError("geom is mask, but mask_file is empty", where, "Name its file")
            continue
        try:
            facts = shape_facts(row["geom"], row)
        except InputError as error:
            raise InputError(error.what, where, error.remedy) from None
        check_extent(*facts, row["rows"], row["cols"], where)


def _with_sizes(manifest: Manifest) -> list[dict]:
    """Rows of the lesions with `rows` and `cols` of their images."""
    sizes = manifest.images[["image_id", "rows", "cols"]]
    sizes = sizes[sizes["image_id"].isin(manifest.lesions["image_id"])]
    return manifest.lesions.merge(sizes, on="image_id").to_dict("records")


# ------------------------------------------------------------------ warnings
def warnings_of(manifest: Manifest, outlines: pd.DataFrame | None = None) -> pd.DataFrame:
    """What is no fault but worth a look.

    Parameters
    ----------
    outlines : a store's table of lesions (lesion_id, on_breast), for the last of the warnings.

    Returns
    -------
    DataFrame
        One row per warning, columns level, id, warning: a patient who has most images, a pixel
        spacing that is not stated or unlike the others, an outline cut at the edge of its image, an
        outline of which over 20 % is off the breast.
    """
    images, sized = manifest.images, _with_sizes(manifest)
    stated = images["spacing_mm"].dropna()  # numpy warns of a median of nothing
    ratio = images["spacing_mm"] / (stated.median() if len(stated) else 1)
    found = {
        ("patient", MOST_IMAGES): _with_most_images(images).index,
        ("image", NO_SPACING): images["image_id"][images["spacing_mm"].isna()],
        ("image", OTHER_SPACING): images["image_id"][
            (ratio > SPACING_APART) | (ratio < 1 / SPACING_APART)
        ],
        ("lesion", CLIPPED): [row["lesion_id"] for row in sized if _clipped(row)],
    }
    if outlines is not None:
        off = outlines["on_breast"] < 1 - MAX_OFF_BREAST
        found["lesion", OFF_BREAST] = outlines["lesion_id"][off]
    rows = [(level, name, what) for (level, what), names in found.items() for name in names]
    return pd.DataFrame(rows, columns=["level", "id", "warning"])


def _clipped(row: dict) -> bool:
    """Whether a shape reaches over the edge of its image, as far as sizes are stated."""
    if row["geom"] == "mask" or not (row["rows"] and row["cols"]):
        return False
    _, (x0, y0, x1, y1) = shape_facts(row["geom"], row)
    return bool(x0 < 0 or y0 < 0 or x1 > row["cols"] or y1 > row["rows"])
