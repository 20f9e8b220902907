"""mini-MIAS: 322 film mammograms of 161 women, lesions as circles (Suckling et al. 1994).

* `Info.txt` is prose, then the list: ``id tissue class [severity x y radius]``.
* y counts from the bottom of the 1024 px image: row = 1023 - y.  Without that, circles fall off the
  breast.  x and y name a pixel, so the circle's centre is at x + .5 and 1023 - y + .5.
* Films are numbered in pairs, one woman per pair: woman = (n + 1) // 2.  Odd films show the left
  breast, even ones the right, against a note in `Info.txt`; the page ``data_manifest/mini_mias``
  says how this was settled.  The files are mirrored, so the side of the chest wall is taken from
  the pixels.
* Four abnormal rows have no circle: neither lesions nor normal.
* One view per breast (MLO), so a breast without a row of abnormality is negative.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from data_manifest import published_sets as published
from data_manifest.folders import on_disk
from data_manifest.input_files import input_file
from data_manifest.manifest import Manifest, exclusion
from lesionlib.errors import InputError

TOP = "info.txt"
SIZE_PX = 1024
SPACING_MM = 0.2
KINDS = {
    "CALC": "calc",
    "CIRC": "mass",
    "SPIC": "mass",
    "MISC": "mass",
    "ARCH": "distortion",
    "ASYM": "asymmetry",
}
PLACE = ["x", "y", "r"]  # of a circle
RULES = {
    "id": ("image_id", str),
    "tissue": ("density", {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}),
    "class": ("subtype", {name: name for name in (*KINDS, "NORM")}),
    "severity": ("pathology", {"": "", "B": "benign", "M": "malignant"}),
} | {name: (name, r"\d{0,4}") for name in PLACE}


def read(folder: Path | str, *, partial: bool = False) -> Manifest:
    """The manifest of a folder that holds `Info.txt` and mdb001 .. mdb322 as .pgm or .png.

    The images are next to `Info.txt` or in any one folder below it.

    Parameters
    ----------
    partial : go on with the images that are there; those missing are listed as excluded.

    Raises
    ------
    InputError
        For a missing or unreadable `Info.txt`, and for missing images.
    """
    folder = Path(folder)
    rows = read_info(on_disk(folder / "Info.txt"))
    images = _images(rows)
    files = find_images(folder, images["image_id"].tolist())
    images = images.assign(file=images["image_id"].map(files))
    missing = images.loc[images["file"].isna(), "image_id"].tolist()
    out = published.missing_images(missing, len(images), folder, partial)
    lesions = rows[rows["pathology"] != ""]
    placed = set(lesions.loc[lesions["r"].notna(), "image_id"])
    for name, image, r in lesions[["lesion_id", "image_id", "r"]].itertuples(index=False):
        if image in missing:
            out.append(exclusion("lesion", name, "files", "image file missing"))
        elif pd.isna(r):
            out.append(exclusion("lesion", name, "Info.txt", "no place given", image))
            if image not in placed:
                reason = "no usable truth: its only lesion has no place"
                out.append(exclusion("image", image, "Info.txt", reason))
    lost = {row["id"] for row in out}
    images = images[~images["image_id"].isin(lost)]
    circles = _circles(lesions[~lesions["lesion_id"].isin(lost)])
    return published.assemble("mini-MIAS", folder, images, circles, out, _counted(rows))


def read_info(file: Path) -> pd.DataFrame:
    """The rows of the list: image_id, lesion_id, density, subtype, pathology ("" if normal), x, y, r.

    x, y, r are px as in the file (origin at the bottom left), empty where it gives none.
    Raises InputError with the line of the first row that cannot be read.
    """
    file = input_file(file, remedy="Point data.folder at the unpacked set")
    lines = file.read_text(encoding="latin-1").splitlines()
    words = pd.Series(lines, index=range(1, len(lines) + 1), dtype=str).str.strip()
    words = words[words.str.match(r"mdb\d{3}\b")].str.split()
    if words.empty:
        raise InputError("no row 'mdbNNN ...' found", file, published.AS_DISTRIBUTED)
    table = [dict(zip(RULES, own, strict=False)) for own in words]
    table = pd.DataFrame(table, index=words.index, columns=list(RULES)).fillna("")
    table.loc[table["x"].str.startswith("*"), PLACE] = ""  # *NOTE 3*: spread over the breast
    rows = published.by_rules(table, RULES, file.name)
    wrong = (rows["subtype"] != "NORM") & (rows["pathology"] == "")
    published.refuse(wrong, "severity is not one of B, M", file.name)
    given = (rows[PLACE] != "").sum(axis=1)
    published.refuse(given.isin([1, 2]), "a place without x, y and radius", file.name)
    number = rows.groupby("image_id").cumcount() + 1
    rows[PLACE] = rows[PLACE].apply(pd.to_numeric)
    return rows.assign(lesion_id=rows["image_id"] + "_" + number.astype(str))


def find_images(folder: Path, ids: list[str]) -> dict[str, str]:
    """image_id -> path relative to `folder`; of several folders the one with most images is taken.

    A .pgm, the distributed format, goes before a .png of the same name.
    """
    found: dict[str, str] = {}
    for place in [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]:
        here = {
            file.stem.lower(): file.relative_to(folder).as_posix()
            for file in sorted(place.iterdir(), reverse=True)  # .png before .pgm: the latter stays
            if file.suffix.lower() in (".pgm", ".png") and file.stem.lower() in ids
        }
        found = max(found, here, key=len)
    for path in sorted(found.values())[:1]:
        with open(input_file(folder / path), "rb") as file:
            if b"CREATOR: GIMP" in file.read(64):
                what = "saved again with GIMP: one such copy has no pectoral muscle and labels"
                warnings.warn(f"these mini-MIAS files were {what}", stacklevel=3)
    return found


def _images(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per image of the list."""
    normal = (rows["subtype"] == "NORM").groupby(rows["image_id"]).all()
    images = rows.drop_duplicates("image_id")
    number = images["image_id"].str[3:].astype(int)
    woman = "woman" + ((number + 1) // 2).astype(str).str.zfill(3)
    return images.assign(
        patient_id=woman,
        exam_id=woman,
        laterality=(number % 2).map({1: "L", 0: "R"}),
        view="MLO",
        rows=SIZE_PX,
        cols=SIZE_PX,
        spacing_mm=SPACING_MM,
        bits=8,
        source="film",
        negative=images["image_id"].map(normal),
    )


def _circles(lesions: pd.DataFrame) -> pd.DataFrame:
    """The lesions with their circles, origin at the top left."""
    return lesions.drop(columns="density").assign(
        truth="reader",
        kind=lesions["subtype"].map(KINDS),
        geom="circle",
        cx=lesions["x"] + 0.5,
        cy=SIZE_PX - 1 - lesions["y"] + 0.5,
    )


def _counted(rows: pd.DataFrame) -> dict:
    """What the list holds, under the names of the expected counts."""
    ids, abnormal = set(rows["image_id"]), rows[rows["pathology"] != ""]
    circles = abnormal[abnormal["r"].notna()]
    marked, placed = set(abnormal["image_id"]), set(circles["image_id"])
    return {
        "images": len(ids),
        "images_normal": len(ids - marked),
        "images_abnormal": len(marked),
        "images_with_circle": len(placed),
        "women": _images(rows)["patient_id"].nunique(),
        "rows_abnormal": len(abnormal),
        "circles": len(circles),
        "circles_benign": int((circles["pathology"] == "benign").sum()),
        "circles_malignant": int((circles["pathology"] == "malignant").sum()),
        "without_circle": sorted(marked - placed),
    }
