"""How long a manifest of a million images takes: made, validated, split, written and read again.

    python benchmarks/bench_manifest.py [IMAGES]

A made-up set in the proportions of the NYU set of Wu et al. 2020 (1,001,093 images of 141,473
patients, 8,842 lesions).  Limits: 60 s each to validate and to split, 4 GiB of memory in all.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from timing import most_memory, report

from data_manifest.checks import check_manifest, warnings_of
from data_manifest.manifest import Manifest
from data_manifest.splits import with_folds, with_splits

IMAGES_PER_PATIENT, LESIONS_PER_IMAGE, MALIGNANT = 7.08, 8_842 / 1_001_093, 2_054 / 8_842
LEAST_LESIONS = 40


def made_up(images: int, seed: int = 1) -> Manifest:
    """A valid manifest without splits: four views per exam, circles of 10 to 60 px as lesions."""
    rng = np.random.default_rng(seed)
    number = np.arange(images)
    patient = number // 4 % max(3, round(images / IMAGES_PER_PATIENT))
    text = pd.Series(number).astype(str)
    exam = pd.Series(number // 4).astype(str)
    owner = "p" + pd.Series(patient).astype(str)
    table = pd.DataFrame({"image_id": "i" + text, "patient_id": owner})
    table = table.assign(exam_id="e" + exam, file="exams/" + exam + "/" + text + ".png")
    table["laterality"] = np.where(number % 2, "R", "L")
    table["view"] = np.where(number // 2 % 2, "MLO", "CC")
    table = table.assign(rows=3328, cols=2560, spacing_mm=0.07, bits=12)
    lesions = max(round(images * LESIONS_PER_IMAGE), min(LEAST_LESIONS, images // 2))
    on = np.sort(rng.choice(images, lesions, replace=False))
    marked = pd.Series(number // 4 * 2 + number % 2).isin(on // 4 * 2 + on % 2)  # breasts
    table["negative"] = ~marked
    lesions = pd.DataFrame({"image_id": table["image_id"].to_numpy()[on]})
    lesions = lesions.assign(lesion_id="l" + lesions["image_id"], geom="circle", truth="biopsy")
    lesions["finding_id"] = lesions["lesion_id"]
    lesions["pathology"] = np.where(rng.random(len(on)) < MALIGNANT, "malignant", "benign")
    lesions["cx"], lesions["cy"] = rng.uniform(100, 2400, len(on)), rng.uniform(100, 3200, len(on))
    lesions["r"] = rng.uniform(10, 60, len(on))
    return Manifest("made up", ".", table, lesions)


def measure(images: int) -> dict[str, float]:
    """Seconds of each step, and the most memory of this process (GiB)."""
    took, start = {}, time.perf_counter()

    def done(step: str) -> None:
        nonlocal start
        took[f"{step} (s)"] = time.perf_counter() - start
        start = time.perf_counter()

    manifest = made_up(images)
    done("make")
    check_manifest(manifest)
    done("validate")
    warnings_of(manifest)
    done("warnings")
    split = with_splits(manifest)
    done("split")
    with_folds(manifest, 5, 0)
    done("fold")
    with tempfile.TemporaryDirectory() as folder:
        split.write(Path(folder))
        done("write")
        Manifest.read(Path(folder))
        done("read")
    took["memory (GiB)"] = most_memory()
    return took


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=int, nargs="?", default=1_000_000)
    images = parser.parse_args(argv).images
    report("manifest", [{"images": images} | measure(images)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
