"""AUC and gain in parts of the test set, by finding and by woman.

Parts were not drawn to be compared: with several of them some will stand out by chance (Altman and
Bland 2003, on interaction).  With fewer than `common.MINIMUM` of a class only counts are given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.metrics import resampling, roc
from study import tables
from study.intervals.thresholds import threshold_at
from study.statistics import common

SIZES = ("small", "medium", "large")  # thirds of the lesions' areas
ONE_KIND, BOTH_KINDS = "one kind", "both kinds"  # of the lesions of an image
HOW = ("mean", "max")


def lesion_groups(lesions: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """What the test lesions can be divided by; index lesion_id.

    lesions, images : a store's, or a manifest's for the density.  Columns, of those that can be
    made: size (thirds of area_px), kind, image (lesions of one kind or of both), view, density.
    """
    table = lesions.set_index("lesion_id")
    out = pd.DataFrame(index=table.index)
    if "area_px" in table:
        out["size"] = pd.qcut(table["area_px"].rank(method="first"), 3, labels=SIZES).astype(str)
    if "kind" in table:
        out["kind"] = table["kind"]
    known = lesions[lesions["pathology"].isin(["malignant", "benign"])]
    kinds = table["image_id"].map(known.groupby("image_id")["pathology"].nunique())
    out["image"] = np.where(kinds > 1, BOTH_KINDS, ONE_KIND)
    for name in ("view", "density"):
        if name in images:
            out[name] = table["image_id"].map(images.set_index("image_id")[name])
    return out


def auc_by(
    predictions: pd.DataFrame, groups: pd.Series, models: Sequence[str], *, resamples=2000, seed=0
) -> pd.DataFrame:
    """AUC of one model, or of two and their difference, in each group of lesions.

    groups : one value per lesion, index lesion_id (a column of :func:`lesion_groups`).
    Columns: group, model ("a less b" for the difference), value, low, high, lesions, malignant,
    benign, patients; no value where a class has fewer than `common.MINIMUM` lesions.
    """
    known = _known(predictions, models)
    of_lesion, rows = groups.reindex(known[0].lesion), []
    for group in sorted(of_lesion.dropna().unique(), key=str):
        parts = [common.part(s, of_lesion.to_numpy() == group) for s in known]
        rows += [{"group": group} | row for row in _aucs(parts, resamples, seed)]
    return pd.DataFrame(rows)


def auc_of_units(
    predictions: pd.DataFrame, models, unit=None, how: str = "mean", *, resamples=2000, seed=0
) -> pd.DataFrame:
    """As :func:`auc_by`, of findings or of women instead of lesions.

    models : one or two names.  unit : the finding of each lesion, a Series with index lesion_id; by
        default its patient.  how : mean or max of the unit's lesions, run by run.

    A unit is malignant where one of its lesions is.  Raises InputError for another `how`.
    Columns: model, value, low, high, units, malignant, benign, patients.
    """
    if how not in HOW:
        raise InputError(f"how '{how}'", "auc_of_units", "Give mean or max")
    merged = []
    for s in _known(predictions, models):
        of = pd.Series(s.patient if unit is None else unit.loc[s.lesion].to_numpy(), name="unit")
        runs = pd.DataFrame(s.runs).groupby(of).agg(how)
        first = pd.DataFrame({"patient": s.patient, "truth": s.truth}).groupby(of).max()
        columns = (runs.index, first["patient"], first["truth"], runs)
        merged.append(tables.Scores(s.model, *(c.to_numpy() for c in columns)))
    return pd.DataFrame(_aucs(merged, resamples, seed)).rename(columns={"lesions": "units"})


def _known(predictions: pd.DataFrame, models: Sequence[str]) -> Sequence[tables.Scores]:
    if len(models) == 2:
        return tables.pair(predictions, *models)
    return [tables.scores(predictions, model) for model in models]


def _aucs(known: Sequence[tables.Scores], resamples: int, seed: int) -> list[dict]:
    """A row for each model, and with two of them one for their difference."""
    truth, patient, counted = known[0].truth, known[0].patient, common.counts(known[0])
    names = [s.model for s in known] + [" less ".join(s.model for s in known)] * (len(known) == 2)
    if min(counted["malignant"], counted["benign"]) < common.MINIMUM:
        empty = {"value": None, "low": None, "high": None} | counted
        return [{"model": name} | empty for name in names]
    more = patient, "auc", resamples, seed
    found = [resampling.interval(truth, s.mean, *more) for s in known]
    if len(known) == 2:
        found.append(resampling.paired_difference(truth, *(s.mean for s in known), *more))
    return [{"model": n} | common.entry(x) for n, x in zip(names, found, strict=True)]


def spared_women(
    predictions: pd.DataFrame, model: str, fnr: Sequence[float] = roc.FNR, *, resamples=2000, seed=0
) -> pd.DataFrame:
    """Women without a malignant lesion all of whose lesions are called benign.

    The thresholds are those of table 2, in each resample its own.  One row per FNR: fnr, value
    (share spared), low, high, spared, women (without a malignant lesion), missed (women with a
    malignant lesion all of whose lesions are called benign), patients.
    """
    s = tables.scores(predictions, model)
    woman = pd.factorize(s.patient)[0]
    worst = pd.DataFrame({"score": s.mean, "ill": s.truth}).groupby(woman).max()
    highest, ill = worst["score"].to_numpy(), worst["ill"].to_numpy()
    first = np.unique(woman, return_index=True)[1]

    def share(times: np.ndarray) -> np.ndarray:
        limits = threshold_at(s.truth, s.mean, fnr, times).T
        well = times[first] * ~ill[:, None]  # (women, n)
        spared = [np.sum(well * (highest[:, None] < x), axis=0) for x in limits]
        return (spared / well.sum(axis=0)).T

    out = common.over_patients(s, share, resamples, seed)
    points = roc.operating_points(s.truth, s.mean, fnr)
    out.insert(0, "fnr", points["fnr"])
    low = highest < points["threshold"].to_numpy()[:, None]
    out["spared"], out["women"] = low[:, ~ill].sum(axis=1), int((~ill).sum())
    return out.assign(missed=low[:, ill].sum(axis=1), patients=len(ill))
