"""From annotations in the COCO form to the two tables of the table format.

COCO knows neither patients nor sides nor views: an image's entry may have them under the names of
the table's columns (``"patient_id": "p7", "laterality": "L", ...``); what is not there is left empty,
to be filled in by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from data_manifest.input_files import input_file
from data_manifest.manifest import IMAGE_COLUMNS, LESION_COLUMNS, RARE_COLUMNS
from data_manifest.shapes import polygon_text
from data_manifest.table.reader import FILLED, REQUIRED
from lesionlib.errors import InputError
from lesionlib.files import write_text

RLE = (
    "Export polygons instead; or decode each (pycocotools.mask.decode), save it as a PNG, and name "
    "it in lesions.csv (geom mask, mask_file)"
)
AGAIN = "Export the annotations as COCO again"
KINDS = {"mass": "mass", "calc": "calc", "distortion": "distortion", "asymm": "asymmetry"}


def convert(json_path: Path | str, folder: Path | str) -> list[str]:
    """Write images.csv and lesions.csv into the folder of the images.

    Parameters
    ----------
    json_path : the annotations: "images", "annotations" and "categories".
    folder : of the images; each `file_name` is a path inside it.

    Returns
    -------
    list of str
        Columns of images.csv that have to be filled in, as ``["patient_id", "laterality"]``.

    Raises
    ------
    InputError
        For a file that is not of this form, an annotation without a polygon or box, one in run
        lengths (RLE), a folder that is not there, and tables that are there already.
    """
    json_path, folder = Path(json_path), Path(folder)
    if not folder.is_dir():
        raise InputError("no such folder", folder, "Give the folder of the images")
    content = _content(json_path)
    try:
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        images = pd.DataFrame([_image(entry) for entry in content["images"]])
        lesions = [_lesion(entry, names, json_path.name) for entry in content["annotations"]]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        what = f"an entry is not as COCO has it: {type(error).__name__} {error}"
        raise InputError(what, json_path, AGAIN) from None
    lesions = pd.DataFrame(lesions, columns=None if lesions else REQUIRED["lesions.csv"])
    for name, table in (("images.csv", images), ("lesions.csv", lesions)):
        if (folder / name).exists():
            raise InputError(f"there is a {name} already", folder, "Move it away first")
        if table.empty and name == "images.csv":
            raise InputError("no images", json_path, AGAIN)
    for name, table in (("images.csv", images), ("lesions.csv", lesions)):
        write_text(folder / name, table.to_csv(index=False))
    needed = dict.fromkeys((*FILLED["images.csv"], *REQUIRED["images.csv"]))
    return [name for name in needed if images[name].isin(["", None]).any()]


def _content(file: Path) -> dict:
    try:
        content = json.loads(input_file(file).read_bytes())
    except (ValueError, RecursionError):
        raise InputError("not readable JSON", file, AGAIN) from None
    lacking = {"images", "annotations", "categories"} - set(content if content else ())
    if lacking or not isinstance(content, dict):
        remedy = "Export the annotations as COCO (object detection)"
        raise InputError(f"no '{min(lacking, default='images')}'", file, remedy)
    return content


def _given(entry: dict, columns: dict) -> dict:
    """What an entry says under the names of the table's own columns."""
    more = entry.get("attributes")
    entry = (more if isinstance(more, dict) else {}) | entry
    return {name: entry[name] for name in (*columns, *RARE_COLUMNS) if name in entry}


def _image(entry: dict) -> dict:
    row = {"image_id": "", "patient_id": "", "laterality": "", "view": ""}
    row |= {"file": entry["file_name"], "rows": entry["height"], "cols": entry["width"]}
    return row | _given(entry, IMAGE_COLUMNS) | {"image_id": str(entry["id"])}


def _lesion(entry: dict, names: dict, file: str) -> dict:
    name = names[entry["category_id"]]
    kind = next((kind for word, kind in KINDS.items() if word in name.lower()), "other")
    row = {"lesion_id": str(entry["id"]), "pathology": pathology(name), "kind": kind}
    row |= {"subtype": name, **_given(entry, LESION_COLUMNS), "image_id": str(entry["image_id"])}
    rings, box = entry.get("segmentation"), entry.get("bbox")
    if rings and not isinstance(rings, list):
        where = f"{file}, annotation {entry['id']}"
        raise InputError("an outline in run lengths (RLE)", where, RLE)
    if rings:
        return row | {"geom": "polygon", "polygon": joined(rings)}
    x, y, width, height = map(float, box)
    return row | {"geom": "box", "x0": x, "y0": y, "x1": x + width, "y1": y + height}


def pathology(category: str) -> str:
    """The pathology that the name of a category states: one of the two words, and no "not"."""
    words = set(re.findall(r"[a-z]+", category.lower()))
    stated = words & {"malignant", "benign"}
    return stated.pop() if len(stated) == 1 and not words & {"non", "not", "no"} else "unknown"


def joined(rings: list[list[float]]) -> str:
    """Polygons ``[x, y, x, y, ...]`` of one lesion as one text, joined by lines without area."""
    points = [np.asarray(ring, dtype=np.float64).reshape(-1, 2) for ring in rings]
    turned = []
    for ring in points:
        x, y = ring.T
        area = x @ np.roll(y, -1) - y @ np.roll(x, -1)
        ring = ring if area > 0 else ring[::-1]  # all of one turn, so that areas add up
        turned.append(np.concatenate([ring, ring[:1]]) if len(points) > 1 else ring)
    back = [ring[:1] for ring in turned[-2::-1]]
    return polygon_text(np.concatenate(turned + back))
