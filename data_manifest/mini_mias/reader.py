"""mini-MIAS: 322 film mammograms of 161 women, lesions as circles (Suckling et al. 1994).

What the reader knows of the set:

* `Info.txt` is prose with the list behind it: ``id tissue class [severity x y radius]``.
* y counts from the bottom of the 1024 px image: row = 1023 - y.  Without that, circles fall off the
  breast.  x and y name a pixel, so the circle's centre is at x + .5 and 1023 - y + .5.
* A circle encloses the lesion; it is not its outline.
* Films are numbered in pairs, one woman a pair: woman = (n + 1) // 2.  The files lie mirrored, and
  burned-in markers read so; the side of the chest wall is therefore taken from the pixels.
* Four abnormal rows have no circle.  Their images are neither lesion images nor negative and are
  listed as excluded, with their lesions; an image with a circle, too, would stay.
* One view a breast (MLO), so a breast without a row of abnormality is negative.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pandas as pd

from data_manifest.checks import check_manifest
from data_manifest.manifest import Manifest, exclusion
from lesionlib.errors import InputError

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
PATHOLOGY = {"B": "benign", "M": "malignant"}
DENSITY = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}
_ROW = re.compile(r"^mdb\d{3}\b")


def read(folder: Path | str, *, partial: bool = False) -> Manifest:
    """The manifest of a folder that holds `Info.txt` and mdb001 .. mdb322 as .pgm or .png.

    The images lie beside `Info.txt` or in any one folder below it.
    partial : go on with the images that are there; those missing are listed as excluded.

    Raises InputError for a missing or unreadable `Info.txt`, and for missing images.
    """
    folder = Path(folder)
    rows = read_info(folder / "Info.txt")
    ids = list(dict.fromkeys(row["image_id"] for row in rows))
    files = find_images(folder, ids)
    missing = [i for i in ids if i not in files]
    if missing and (not partial or len(missing) == len(ids)):
        raise InputError(
            f"{len(missing)} of {len(ids)} image files are missing: {_some(missing)}",
            folder,
            "Complete the download, or set data.options: {partial: true}",
        )
    exclusions = _exclusions(rows, missing)
    out = set(exclusions.loc[exclusions["level"] == "image", "id"])
    images = pd.DataFrame([_image(i, files[i], rows) for i in ids if i not in out])
    lost = set(exclusions.loc[exclusions["level"] == "lesion", "id"])
    lesions = [_lesion(row) for row in rows if row["severity"] and row["lesion_id"] not in lost]
    lesions = pd.DataFrame(lesions)
    return check_manifest(
        Manifest("mini-MIAS", folder, images, lesions, exclusions, _counted(rows))
    )


# ------------------------------------------------------------------ the list
def read_info(file: Path) -> list[dict]:
    """Rows of the list: image_id, lesion_id, tissue, abnormality, severity ("" if normal), x, y, r.

    x, y, r are as in the file (origin at the bottom left), None where it gives none.
    Raises InputError with the line of the first row that cannot be read.
    """
    try:
        text = file.read_text(encoding="latin-1")
    except FileNotFoundError:
        raise InputError(
            "no Info.txt", file.parent, "Point data.folder at the unpacked set"
        ) from None
    rows: list[dict] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not _ROW.match(line.strip()):
            continue
        row = _info_row(line.split(), f"Info.txt, line {number}")
        seen[row["image_id"]] = seen.get(row["image_id"], 0) + 1
        rows.append(row | {"lesion_id": f"{row['image_id']}_{seen[row['image_id']]}"})
    if not rows:
        raise InputError("no row 'mdbNNN ...' found", file, "Take Info.txt as distributed")
    return rows


def _info_row(words: list[str], where: str) -> dict:
    remedy = "Take Info.txt as distributed"
    row = {"image_id": words[0], "tissue": "", "abnormality": "", "severity": ""}
    row |= {"x": None, "y": None, "r": None}
    if len(words) < 3 or words[2] not in {*KINDS, "NORM"}:
        raise InputError(f"row '{' '.join(words)}' has no known class", where, remedy)
    row |= {"tissue": words[1], "abnormality": words[2]}
    if words[2] == "NORM":
        return row
    if len(words) < 4 or words[3] not in PATHOLOGY:
        raise InputError(f"row '{' '.join(words)}' has no severity B or M", where, remedy)
    row["severity"] = words[3]
    if len(words) == 4 or words[4].startswith("*"):  # e.g. *NOTE 3*: spread over the breast
        return row
    try:
        row["x"], row["y"], row["r"] = (int(w) for w in words[4:7] if len(w) <= 4)
    except ValueError:
        raise InputError(f"row '{' '.join(words)}' has no x, y and radius", where, remedy) from None
    return row


# ------------------------------------------------------------------ the files
def find_images(folder: Path, ids: list[str]) -> dict[str, str]:
    """image_id -> path relative to `folder`; of several folders the one with most images is taken.

    A .pgm, the distributed format, goes before a .png of the same name.
    """
    places = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
    found: dict[str, str] = {}
    for place in places:
        here: dict[str, str] = {}
        for file in sorted(place.iterdir(), reverse=True):  # .png before .pgm: the latter stays
            if file.suffix.lower() in (".pgm", ".png") and file.stem.lower() in ids:
                here[file.stem.lower()] = file.relative_to(folder).as_posix()
        if len(here) > len(found):
            found = here
    _warn_if_edited(folder, found)
    return found


def _warn_if_edited(folder: Path, found: dict[str, str]) -> None:
    for path in sorted(found.values())[:1]:
        with open(folder / path, "rb") as file:
            if b"CREATOR: GIMP" in file.read(64):
                warnings.warn(
                    "these mini-MIAS files were saved again with GIMP: one such copy has the "
                    "pectoral muscle and the labels erased",
                    stacklevel=4,
                )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


# ------------------------------------------------------------------ rows of the manifest
def _image(image_id: str, file: str, rows: list[dict]) -> dict:
    number, woman = int(image_id[3:]), _woman(image_id)
    own = [row for row in rows if row["image_id"] == image_id]
    return {
        "image_id": image_id,
        "patient_id": woman,
        "exam_id": woman,
        "laterality": "R" if number % 2 else "L",
        "view": "MLO",
        "file": file,
        "rows": SIZE_PX,
        "cols": SIZE_PX,
        "spacing_mm": SPACING_MM,
        "bits": 8,
        "source": "film",
        "chest_wall": "auto",
        "negative": all(row["abnormality"] == "NORM" for row in own),
        "density": DENSITY.get(own[0]["tissue"], ""),
    }


def _woman(image_id: str) -> str:
    return f"woman{(int(image_id[3:]) + 1) // 2:03d}"


def _lesion(row: dict) -> dict:
    return {
        "lesion_id": row["lesion_id"],
        "finding_id": row["lesion_id"],
        "image_id": row["image_id"],
        "pathology": PATHOLOGY[row["severity"]],
        "truth": "reader",
        "kind": KINDS[row["abnormality"]],
        "subtype": row["abnormality"],
        "geom": "circle",
        "cx": row["x"] + 0.5,
        "cy": SIZE_PX - 1 - row["y"] + 0.5,
        "r": float(row["r"]),
    }


def _exclusions(rows: list[dict], missing: list[str]) -> pd.DataFrame:
    """Missing images and their lesions; lesions without a place, and images with no other lesion."""
    out = [exclusion("image", i, "files", "image file missing") for i in missing]
    abnormal = [row for row in rows if row["severity"]]
    placed = {row["image_id"] for row in abnormal if row["x"] is not None}
    for row in abnormal:
        if row["image_id"] in missing:
            out.append(exclusion("lesion", row["lesion_id"], "files", "image file missing"))
        elif row["x"] is None:
            image = row["image_id"]
            out.append(exclusion("lesion", row["lesion_id"], "Info.txt", "no place given", image))
            if image not in placed:
                reason = "no usable truth: its only lesion has no place"
                out.append(exclusion("image", image, "Info.txt", reason))
    return pd.DataFrame(out, columns=["level", "id", "stage", "reason", "image_id"])


def _counted(rows: list[dict]) -> dict:
    """What the list holds, under the names of the expected counts."""
    ids = {row["image_id"] for row in rows}
    abnormal = [row for row in rows if row["severity"]]
    circles = [row for row in abnormal if row["x"] is not None]
    with_circle = {row["image_id"] for row in circles}
    images_abnormal = {row["image_id"] for row in abnormal}
    return {
        "images": len(ids),
        "images_normal": len(ids - images_abnormal),
        "images_abnormal": len(images_abnormal),
        "images_with_circle": len(with_circle),
        "women": len({_woman(image_id) for image_id in ids}),
        "rows_abnormal": len(abnormal),
        "circles": len(circles),
        "circles_benign": sum(row["severity"] == "B" for row in circles),
        "circles_malignant": sum(row["severity"] == "M" for row in circles),
        "without_circle": sorted(images_abnormal - with_circle),
    }
