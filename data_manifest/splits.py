"""Splits: which patient is for training, validation or test.

The unit is the patient, never the image or the lesion.  Splits that a data set brings are kept; the
rest is drawn, stratified by what the patient has.  A small set can be folded instead, so that every
patient is tested once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.seeds import rng

if TYPE_CHECKING:
    from data_manifest.manifest import Manifest

STRATA = ("malignant", "benign", "negative")


def strata(images: pd.DataFrame, lesions: pd.DataFrame) -> pd.Series:
    """Patient -> "malignant" (any malignant lesion), "benign" (else any lesion), "negative"."""
    patient = images.set_index("image_id")["patient_id"]
    owner = lesions["image_id"].map(patient)
    kind = pd.Series("negative", index=pd.Index(sorted(images["patient_id"].unique())))
    kind[kind.index.isin(owner)] = "benign"
    kind[kind.index.isin(owner[lesions["pathology"] == "malignant"])] = "malignant"
    return kind


def split_by_settings(manifest: Manifest, data, seed: int) -> Manifest:
    """The manifest split or folded as an experiment's settings `data` say."""
    if data.folds is None:
        return manifest.with_splits(data.validation_share, data.test_share, seed)
    return manifest.with_folds(data.folds, data.fold, data.validation_share, seed)


def draw_splits(
    manifest: Manifest, validation_share: float, test_share: float, seed: int
) -> pd.Series:
    """The split of every image, one value a patient.

    A patient who has a split on any image keeps it.  The others are drawn stratum by stratum: of
    each stratum's patients, `test_share` go to test and `validation_share` to validation, at least
    one each where the stratum has three or more.  A split that the data set brings itself is not
    added to, so an official test set stays as it is.  Where it brings a training set and no
    validation set, `validation_share` of those training patients, drawn in the same way, become it.

    Raises InputError if the shares leave no training patients, or a patient has two splits.
    """
    if validation_share < 0 or test_share < 0 or validation_share + test_share >= 1:
        raise InputError(
            f"validation_share {validation_share:g} and test_share {test_share:g} leave no "
            "training",
            "data",
            "Choose shares that add up to less than 1",
        )
    images = manifest.images
    given = _given(images)
    brought = set(given)
    shares = {"test": test_share, "validation": validation_share}
    shares = {name: share for name, share in shares.items() if name not in brought}
    kind = strata(images, manifest.lesions)
    drawn = dict(given) | _drawn(kind[~kind.index.isin(given.index)], shares, seed, "splits")
    if "validation" in shares:
        official = kind[kind.index.isin(given.index[given == "training"])]
        drawn |= _drawn(official, {"validation": validation_share}, seed, "validation")
    return images["patient_id"].map(drawn)


def draw_folds(
    manifest: Manifest, folds: int, fold: int, validation_share: float, seed: int
) -> pd.Series:
    """The split of every image when fold number `fold` (0 .. folds - 1) is the test set.

    Patients are dealt to the folds one by one, stratum after stratum: every patient is tested in
    one fold and no other, and the folds differ by one patient at most, in each stratum and in all.
    `validation_share` of each stratum's other patients go to validation, the rest to training.
    Splits that the data set brings are put aside.

    Raises InputError if there is no such fold.
    """
    if not (folds >= 2 and 0 <= fold < folds and 0 <= validation_share < 1):
        raise InputError(
            f"fold {fold} of {folds} with validation_share {validation_share:g}",
            "data",
            "Choose 2 folds or more, a fold from 0 to folds - 1, and a share below 1",
        )
    kind = strata(manifest.images, manifest.lesions)
    dealt = np.concatenate([_shuffled(kind, stratum, seed, "folds") for stratum in STRATA])
    tested = np.arange(len(dealt)) % folds == fold
    rest = kind[np.sort(dealt[~tested])]
    shares = {"validation": validation_share}
    drawn = dict.fromkeys(dealt[tested], "test") | _drawn(rest, shares, seed, f"fold {fold}")
    return manifest.images["patient_id"].map(drawn)


def _drawn(kind: pd.Series, shares: dict[str, float], seed: int, purpose: str) -> dict[str, str]:
    """Patient -> split, each stratum's share of the patients in `kind`; the rest for training."""
    drawn = {}
    for stratum in STRATA:
        patients = _shuffled(kind, stratum, seed, purpose)
        drawn |= dict(zip(patients, _parts(len(patients), shares), strict=True))
    return drawn


def _shuffled(kind: pd.Series, stratum: str, seed: int, purpose: str) -> np.ndarray:
    """The patients of a stratum in an order of its own."""
    patients = kind.index[kind == stratum].to_numpy()
    return patients[rng(seed, purpose, stratum).permutation(len(patients))]


def _given(images: pd.DataFrame) -> pd.Series:
    known = images[images["split"] != ""].drop_duplicates(["patient_id", "split"])
    twice = known["patient_id"][known["patient_id"].duplicated()]
    if len(twice):
        raise InputError(f"patient {twice.iloc[0]} is in two splits", "images", "Keep one split")
    return known.set_index("patient_id")["split"]


def _parts(n: int, shares: dict[str, float]) -> list[str]:
    """n split names; each share is rounded, and at least one where n allows it."""
    parts: list[str] = []
    for name, share in shares.items():
        least = 1 if share > 0 and n >= 3 else 0
        parts += [name] * max(least, int(np.floor(share * n + 0.5)))
    return (parts + ["training"] * n)[:n]


def count_by_split(images: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Patients, images and lesions of each split and of all; see :meth:`Manifest.counts`."""
    from data_manifest.manifest import present_splits

    split_of = images.set_index("image_id")["split"]
    lesion_split = lesions["image_id"].map(split_of)
    rows = {}
    for name in (*present_splits(images), "all"):
        part = images if name == "all" else images[images["split"] == name]
        found = lesions if name == "all" else lesions[lesion_split == name]
        kinds = {k: found[found["pathology"] == k] for k in ("benign", "malignant", "unknown")}
        row = {"patients": part["patient_id"].nunique(), "images": len(part)}
        row["images_negative"] = int(part["negative"].fillna(False).astype(bool).sum())
        row |= {f"images_{k}": kinds[k]["image_id"].nunique() for k in ("benign", "malignant")}
        row |= {f"lesions_{k}": len(table) for k, table in kinds.items()}
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("split")
