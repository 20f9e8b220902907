"""A tiny data set in the table format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

TINY_ROWS, TINY_COLS = 160, 128
# patient -> split and, for each lesion, (x, y, radius, pathology) on the unflipped left breast
TINY = {
    "P01": ("training", [(40, 60, 9, "malignant")]),
    "P02": ("training", [(50, 90, 8, "malignant"), (30, 50, 6, "benign")]),
    "P03": ("training", [(45, 80, 10, "benign")]),
    "P04": ("training", [(35, 100, 7, "benign"), (60, 70, 6, "unknown")]),
    "P05": ("training", []),
    "P06": ("training", []),
    "P07": ("validation", [(42, 70, 9, "malignant")]),
    "P08": ("validation", [(38, 95, 8, "benign")]),
    "P09": ("validation", []),
    "P10": ("test", [(48, 85, 8, "malignant")]),
    "P11": ("test", [(33, 65, 9, "benign")]),
    "P12": ("test", []),
}


def half_ellipse(rows: int, cols: int) -> np.ndarray:
    """A breast: half an ellipse at the left edge, bool (rows, cols)."""
    y, x = np.mgrid[0:rows, 0:cols] + 0.5
    return ((y - rows / 2) / (0.45 * rows)) ** 2 + (x / (0.8 * cols)) ** 2 < 1


def tiny_image(seed: int, discs: list[tuple]) -> np.ndarray:
    """uint8 (160, 128): noisy tissue on 0, with a bright disc a lesion; chest wall at the left."""
    generator = np.random.default_rng(seed)
    breast = half_ellipse(TINY_ROWS, TINY_COLS)
    grey = 90 + 20 * generator.standard_normal(breast.shape)
    y, x = np.mgrid[0:TINY_ROWS, 0:TINY_COLS] + 0.5
    for cx, cy, r, _ in discs:
        grey[(x - cx) ** 2 + (y - cy) ** 2 <= r * r] += 80
    return np.where(breast, np.clip(grey, 5, 255), 0).astype(np.uint8)


def write_tiny_table(folder: Path) -> Path:
    """Write the set in the table format: 12 patients, two views each, 24 images, 20 masks.

    Odd patients have the left breast (chest wall at the left edge of the file), even ones the right
    (mirrored).  One mask file a lesion.  A lesion on CC and MLO is one finding.
    """
    images, lesions = [], []
    (folder / "png").mkdir(parents=True, exist_ok=True)
    for number, (patient, (split, discs)) in enumerate(TINY.items(), start=1):
        flip = number % 2 == 0
        for view in ("CC", "MLO"):
            name = f"{patient}_{view}"
            moved = [(cx, cy + (4 if view == "MLO" else 0), r, p) for cx, cy, r, p in discs]
            pixels = tiny_image(10 * number + (view == "MLO"), moved)
            _save(folder / "png" / f"{name}.png", pixels, flip)
            images.append(
                {
                    "image_id": name,
                    "patient_id": patient,
                    "exam_id": patient,
                    "laterality": "R" if flip else "L",
                    "view": view,
                    "file": f"png/{name}.png",
                    "rows": TINY_ROWS,
                    "cols": TINY_COLS,
                    "spacing_mm": 0.1,
                    "bits": 8,
                    "source": "ffdm",
                    "chest_wall": "auto",
                    "split": split,
                    "negative": "" if discs else "true",
                }
            )
            for k, (cx, cy, r, pathology) in enumerate(moved, start=1):
                y, x = np.mgrid[0:TINY_ROWS, 0:TINY_COLS] + 0.5
                mask = ((x - cx) ** 2 + (y - cy) ** 2 <= r * r).astype(np.uint8) * 255
                file = f"png/{name}_lesion{k}.png"
                _save(folder / file, mask, flip)
                lesions.append(
                    {
                        "image_id": name,
                        "lesion_id": f"{patient}_{k}",
                        "pathology": pathology,
                        "truth": "biopsy",
                        "kind": "mass",
                        "geom": "mask",
                        "mask_file": file,
                    }
                )
    pd.DataFrame(images).to_csv(folder / "images.csv", index=False)
    pd.DataFrame(lesions).to_csv(folder / "lesions.csv", index=False)
    return folder


def edit(folder: Path, name: str, change) -> None:
    """Change a table of the set, read as texts; `change` may change its frame or give another."""
    frame = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    changed = change(frame)
    (frame if changed is None else changed).to_csv(folder / name, index=False)


def _save(file: Path, pixels: np.ndarray, flip: bool) -> None:
    Image.fromarray(np.ascontiguousarray(pixels[:, ::-1] if flip else pixels)).save(file)
