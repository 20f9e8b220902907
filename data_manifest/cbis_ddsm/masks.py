"""Which file of a case is the mammogram, which the mask, and whether the mask fits.

Neither the lists nor the names separate a mask from a crop: both are in the lesion's folder, in no
fixed order, and the lists' columns are exchanged in places.  The number of stored bits does: 8 is a
mask (0 and 255), 16 in a folder without a number at its end is a mammogram, and 16 in a folder with
one is a crop.  Crops were stretched in contrast one by one and their size gives away the lesion's,
so they are never used.
"""

from __future__ import annotations

import pandas as pd

from data_manifest.cbis_ddsm.layouts import File
from data_manifest.manifest import exclusion

SAME_PROPORTIONS = 0.002  # above it the film was scanned again, and scaling would displace the mask


def place(
    rows: pd.DataFrame, files: dict[str, list[File]]
) -> tuple[list[dict], list[dict], list[dict]]:
    """Images and lesions of the manifest, and an exclusion for each lesion that cannot be placed.

    rows : the lesions that the protocol uses; with columns x0 .. y1 where boxes are given.
    A film stored under two cases is one image: the first case that has its file.
    """
    of_film: dict[str, list[dict]] = {}
    for row in rows.to_dict("records"):
        of_film.setdefault(row["film"], []).append(row)
    images, lesions, lost = [], [], []
    for part in of_film.values():
        found = [(row["image_case"], mammogram(files.get(row["image_case"], []))) for row in part]
        case, image = next(((case, film) for case, film in found if film), ("", None))
        placed = []
        for row in part:
            shape = _shape(row, image, files.get(row["roi_case"], []))
            if isinstance(shape, tuple):
                lost.append(exclusion("lesion", row["lesion_id"], *shape, row["film"]))
            else:
                placed.append(_lesion(row) | shape)
        if placed:
            images.append(_image(part[0], case, image))
            lesions += placed
    return images, lesions, lost


def mammogram(files: list[File]) -> File | None:
    """The film of a case's folder without a number: its one file of more than 8 stored bits."""
    films = [file for file in files if file.stored > 8]
    return films[0] if len(films) == 1 else None


def _shape(row: dict, image: File | None, files: list[File]) -> dict | tuple[str, str]:
    """The columns of a lesion's geometry, or stage and reason why there is none."""
    if image is None:
        return "files", "not one readable mammogram"
    if "x0" in row:
        return {"geom": "box", **{name: row[name] for name in ("x0", "y0", "x1", "y1")}}
    masks = [file for file in files if file.stored == 8]
    if len(masks) != 1:
        return "files", f"not one readable mask of 8 stored bits ({len(masks)})"
    mask = masks[0]
    shape = {"geom": "mask", "mask_file": mask.path}
    if (mask.rows, mask.cols) == (image.rows, image.cols):
        return shape
    wider = (mask.cols / mask.rows) / (image.cols / image.rows)
    if abs(wider - 1) <= SAME_PROPORTIONS:
        return shape | {"resized": True}
    size = f"{mask.rows} x {mask.cols}, its film {image.rows} x {image.cols} px"
    return "masks", f"mask of other proportions than its film ({size})"


def _lesion(row: dict) -> dict:
    names = ("lesion_id", "finding_id", "pathology", "truth", "kind", "subtype", "birads")
    return {"image_id": row["film"], **{name: row[name] for name in names}}


def _image(row: dict, case: str, file: File) -> dict:
    image = {"image_id": row["film"], "patient_id": row["patient_id"], "exam_id": row["patient_id"]}
    image |= {"laterality": row["laterality"], "view": row["view"], "file": file.path}
    image |= {"rows": file.rows, "cols": file.cols, "bits": file.bits, "source": "film"}
    image |= {"negative": False, "split": row["split"], "density": row["density"], "case": case}
    return image | ({"resized": True} if file.resized else {})
