"""Splits: which patient is for training, validation or test.

The unit is the patient, never the image or the lesion.  Splits that a data set brings are kept; the
rest is drawn, stratified by what the patient has.  A small set can be folded instead, so that every
patient is tested once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from data_manifest.checks import check_not_one, check_patients
from data_manifest.manifest import SPLITS, Manifest, present_splits
from lesionlib.errors import InputError
from lesionlib.seeds import rng

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
        return with_splits(manifest, data.validation_share, data.test_share, seed)
    return with_folds(manifest, data.folds, data.fold, data.validation_share, seed)


def with_splits(
    manifest: Manifest, validation_share: float = 0.15, test_share: float = 0.25, seed: int = 1
) -> Manifest:
    """A manifest in which every image has a split, the same one for all images of a patient.

    A patient who has a split on any image keeps it.  The others are drawn stratum by stratum: of
    each stratum's patients, `test_share` go to test and `validation_share` to validation, at least
    one each where the stratum has three or more.  A split that the data set brings itself is not
    added to, so an official test set stays as it is.  Where it brings a training set and no
    validation set, `validation_share` of those training patients, drawn in the same way, become it.

    Raises
    ------
    InputError
        If the shares leave no training patients, or as :func:`check_splits`.
    """
    if validation_share < 0 or test_share < 0 or validation_share + test_share >= 1:
        what = f"validation_share {validation_share:g} and test_share {test_share:g}"
        remedy = "Choose shares that add up to less than 1"
        raise InputError(f"{what} leave no training", "data", remedy)
    images = manifest.images
    check_patients(images)
    check_not_one(images)
    known = images[images["split"] != ""].drop_duplicates("patient_id")
    given = known.set_index("patient_id")["split"]
    shares = {"test": test_share, "validation": validation_share}
    shares = {name: share for name, share in shares.items() if name not in set(given)}
    kind = strata(images, manifest.lesions)
    drawn = dict(given) | _drawn(kind[~kind.index.isin(given.index)], shares, seed, "splits")
    if "validation" in shares:
        official = kind[kind.index.isin(given.index[given == "training"])]
        drawn |= _drawn(official, {"validation": validation_share}, seed, "validation")
    return _split(manifest, drawn)


def with_folds(
    manifest: Manifest, folds: int, fold: int, validation_share: float = 0.15, seed: int = 1
) -> Manifest:
    """A manifest whose test set is fold number `fold` (0 .. folds - 1).

    Patients are dealt to the folds one by one, stratum after stratum: every patient is tested in
    one fold and no other, and the folds differ by one patient at most, in each stratum and in all.
    `validation_share` of each stratum's other patients go to validation, the rest to training.
    Splits that the data set brings are put aside.

    Raises
    ------
    InputError
        If there is no such fold, more folds than patients, or as :func:`check_splits`.
    """
    if not (folds >= 2 and 0 <= fold < folds and 0 <= validation_share < 1):
        what = f"fold {fold} of {folds} with validation_share {validation_share:g}"
        remedy = "Choose 2 folds or more, a fold from 0 to folds - 1, and a share below 1"
        raise InputError(what, "data", remedy)
    kind = strata(manifest.images, manifest.lesions)
    if folds > len(kind):
        raise InputError(f"{folds} folds of {len(kind)} patients", "data", "Ask for fewer folds")
    dealt = np.concatenate([_shuffled(kind, stratum, seed, "folds") for stratum in STRATA])
    tested = np.arange(len(dealt)) % folds == fold
    rest = kind[np.sort(dealt[~tested])]
    shares = {"validation": validation_share}
    drawn = dict.fromkeys(dealt[tested], "test") | _drawn(rest, shares, seed, f"fold {fold}")
    remedy = "Ask for another number of folds, or change data.validation_share or the seed"
    return _split(manifest, drawn, f"fold {fold} of {folds}", remedy)


def with_permuted_labels(manifest: Manifest, seed: int) -> Manifest:
    """A split manifest for a control: what is learned from it tells nothing of the true test labels.

    Within training, validation and aggregation the patients exchange their truth at random: all
    lesions of known truth of a patient become malignant if any of the other's is, else benign, so
    that they hang together as before.  The test part keeps its labels.
    """
    lesions = manifest.lesions.reset_index(drop=True)
    image = manifest.images.set_index("image_id").loc[lesions["image_id"]]
    patient, split = image["patient_id"].to_numpy(), image["split"].to_numpy()
    known = lesions["pathology"].isin(["malignant", "benign"]).to_numpy()
    new = lesions["pathology"].copy()
    for name in sorted(set(split) - {"test"}):
        part = known & (split == name)
        malignant = (new[part] == "malignant").groupby(patient[part]).any()
        given = pd.Series(
            rng(seed, "permuted labels", name).permutation(malignant), malignant.index
        )
        new[part] = np.where(given[patient[part]], "malignant", "benign")
    return replace(manifest, lesions=lesions.assign(pathology=new))


def _split(manifest: Manifest, drawn: dict[str, str], *told: str) -> Manifest:
    split = manifest.images["patient_id"].map(drawn)
    return check_splits(replace(manifest, images=manifest.images.assign(split=split)), *told)


def check_splits(
    manifest: Manifest,
    where: str = "splits",
    remedy: str = "Move patients between the splits, or change the shares or the seed",
) -> Manifest:
    """Gives the manifest back if it can train and test.

    Parameters
    ----------
    where, remedy : what the error says where a split lacks one kind.

    Raises
    ------
    InputError
        If an image has no split, a patient has two, or a split lacks malignant or benign lesions
        (an AUC needs both).
    """
    images = manifest.images
    check_patients(images)
    check_not_one(images)
    empty = images[images["split"] == ""]
    if len(empty):
        first = empty["image_id"].iloc[0]
        what = f"{len(empty)} of {len(images)} images have no split, first {first}"
        raise InputError(what, "images", "Draw them with data_manifest.splits.with_splits")
    if not manifest.lesions["pathology"].isin(["benign", "malignant"]).any():
        what = f"none of {len(manifest.lesions)} lesions has a known pathology"
        proxy = "Name a stand-in in data.options, where the set has one (truth: birads_proxy)"
        raise InputError(what, manifest.name, proxy)
    counts = count_by_split(images, manifest.lesions)
    for split in SPLITS:
        malignant, benign = counts.loc[split, ["lesions_malignant", "lesions_benign"]]
        if not (malignant and benign):
            what = f"split {split} has {malignant} malignant and {benign} benign lesions of "
            what += f"{counts.loc[split, 'patients']} patients; an AUC needs both kinds"
            raise InputError(what, where, remedy)
    return manifest


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


def _parts(n: int, shares: dict[str, float]) -> list[str]:
    """n split names; each share is rounded, and at least one where n allows it."""
    parts: list[str] = []
    for name, share in shares.items():
        least = 1 if share > 0 and n >= 3 else 0
        parts += [name] * max(least, int(np.floor(share * n + 0.5)))
    return (parts + ["training"] * n)[:n]


def count_by_split(images: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Table 1 of Wu et al. 2020 for a set: one row per split, and `all`.

    Returns
    -------
    DataFrame
        Columns patients, images, images_negative, images_benign, images_malignant (an image with
        both kinds counts in both), lesions_benign, lesions_malignant, lesions_unknown.
    """
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
