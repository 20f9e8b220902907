"""The tables of Wu et al. 2020 from data frames, with the paper's values in a column of their own.

The one input is the predictions frame, one row per lesion, model and run:

    lesion_id, patient_id, split, y_true (1 malignant, 0 benign), model, run, y_score

Models are `f_loc` and the seven combinations of maps.  Columns that end with

* `_patients`: the value of the run-averaged score with its 95 % percentile interval, patients
  resampled with all their lesions;
* `_bca`: the same AUC's bias-corrected and accelerated interval, which holds better where a class
  has few lesions (below 100, say);
* `_both`: the mean of the runs' own values with its 95 % interval over runs and patients, the one
  to rest a conclusion on where there are several runs;
* `_t_runs`: that mean with its t interval, over runs on the same lesions;
* `_runs`: mean, SD and mean +- 1.96 SD of the runs' own values: a description
  (with 3 runs it covers the next one in about 77 %).

Every rate is given with its counts.  All functions raise InputError for a predictions frame that
lacks a column, a value or the model asked for, spells a model otherwise than the paper, has a lesion
twice or with two truths or patients, holds a truth or a score that is none, or scores models on
different lesions.
"""

from __future__ import annotations

import gzip
import lzma
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from data_manifest.published_sets import refuse_torn
from data_manifest.splits import count_by_split
from lesionlib.errors import InputError, nearest
from lesionlib.metrics import resampling, roc
from lesionlib.scoring import PREDICTION_COLUMNS
from study import paper
from study.intervals import bca, run_intervals, thresholds

MODELS = ("f_loc", "I", "E", "S", "I+E", "I+S", "E+S", "I+S+E")
GAINS = (
    ("E+S", "E"),
    ("E+S", "S"),
    ("E", "S"),
    ("S", "I"),
    ("I+S", "S"),
    ("I+E", "E"),
    ("I+S+E", "E+S"),
    ("E", "f_loc"),
    # late fusions, see study.statistics.fusion
    ("E+S", "late E & S"),
    ("E+S", "fitted E & S"),
    ("E+S", "late E & I+S"),
    ("E+S", "f_loc + S"),
)

DRAWN = ("E", "S", "E+S")  # of the curves, where no model is named
NAMES = ("lesion_id", "patient_id", "split", "model")
COLUMNS_WANTED = "Give the columns " + ", ".join(PREDICTION_COLUMNS)
SEPARATORS = {";": "semicolons", "\t": "tabs"}  # that others than a comma are
TRUTHS = {"1": 1, "1.0": 1, "true": 1, "malignant": 1}
TRUTHS |= {"0": 0, "0.0": 0, "false": 0, "benign": 0}


# ------------------------------------------------------------------ table 1
def table_1(images: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Images and lesions of each split, as table 1 of the paper counts them.

    Parameters
    ----------
    images : columns image_id, patient_id, split, negative (may be missing); a manifest's or a
        store's.
    lesions : columns image_id, pathology (malignant, benign, unknown).

    An image with lesions of both kinds counts as benign *and* malignant, so
    images = negative + benign + malignant - both + other; "other" has no lesion of known pathology
    and is not known to be negative.  Index split; the last row is "overall".
    """
    table = count_by_split(images, lesions).rename({"all": "overall"})
    known = lesions[lesions["pathology"].isin(["benign", "malignant"])]
    kinds = images["image_id"].map(known.groupby("image_id")["pathology"].nunique())
    both = images["split"][kinds == 2].value_counts()
    both["overall"] = (kinds == 2).sum()
    table.insert(5, "images_both", both.reindex(table.index, fill_value=0))
    held = table["images_negative"] + table["images_benign"] + table["images_malignant"]
    table.insert(6, "images_other", table["images"] - held + table["images_both"])
    return table


def counted(lesions: pd.DataFrame) -> str:
    """How many lesions a frame holds, for a caption: *1,542 lesions (626 malignant), 600 patients*.

    lesions : one row per lesion, model and run; columns lesion_id (or it is the index), patient_id,
        and pathology or y_true.
    """
    once = lesions if "lesion_id" in lesions else lesions.reset_index()
    once = once.drop_duplicates("lesion_id")
    if "y_true" in once:
        kinds = _truth(once["y_true"]).map({1: "malignant", 0: "benign"})
        once = once.assign(pathology=kinds.fillna("unknown"))
    return f"{_lesions(once['pathology'])}, {_many(once['patient_id'].nunique(), 'patient')}"


def of_split(lesions: pd.DataFrame) -> str:
    """:func:`counted` after the split that they are of: *test split: 2 lesions (1 malignant), ...*."""
    return f"{_splits(lesions)}{counted(lesions)}"


def on_images(store, images, lesions=None) -> str:
    """What is seen on images of a store: *test split: 2 images, 3 lesions (1 malignant), 2 patients*.

    images : rows of ``store.images``, whose patients count, with a lesion or without.
    lesions : rows of ``store.lesions`` (-1 is none); by default all that lie on these images.
    """
    drawn, held = store.images[store.images.index.isin(images)], store.lesions
    held = held[held["image"].isin(images) if lesions is None else held.index.isin(lesions)]
    people = _many(drawn["patient_id"].nunique(), "patient")
    return f"{_splits(drawn)}{_many(len(drawn), 'image')}, {_lesions(held['pathology'])}, {people}"


def _splits(frame: pd.DataFrame) -> str:
    names = list(frame["split"].unique()) if "split" in frame else []
    return f"{', '.join(names)} split{'s' * (len(names) > 1)}: " if names else ""


def _lesions(kinds: pd.Series) -> str:
    """One lesion with its truth, more with the number of malignant ones."""
    bad = kinds.iloc[0] if len(kinds) == 1 else f"{(kinds == 'malignant').sum():,} malignant"
    return _many(len(kinds), "lesion") + f" ({bad})" * (len(kinds) > 0)


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}" if n else f"no {what}"


# ------------------------------------------------------------------ predictions
@dataclass(frozen=True)
class Scores:
    """One model on one split: lesions in the order of their id, one column of scores per run."""

    model: str
    lesion: np.ndarray  # (n,)
    patient: np.ndarray  # (n,)
    truth: np.ndarray  # (n,) bool, True malignant
    runs: np.ndarray  # (n, runs)

    @property
    def mean(self) -> np.ndarray:
        """(n,) score averaged over runs."""
        return self.runs.mean(axis=1)

    def over_runs(self, statistic) -> run_intervals.RunsInterval:
        """Spread over runs of statistic(truth, score)."""
        return run_intervals.runs_interval([statistic(self.truth, s) for s in self.runs.T])

    def over_both(self, statistic, resamples: int, seed: int) -> run_intervals.TwoLevel:
        """Mean over runs, with its interval over runs and patients."""
        how = statistic, resamples, seed
        return run_intervals.two_level(self.truth, self.runs, self.patient, *how)


def stored_file(file: Path | str) -> Path | None:
    """The file of this name, as it is or compressed; None where there is none."""
    found = (Path(f"{file}{ending}") for ending in ("", ".xz", ".gz"))
    return next((path for path in found if path.is_file()), None)


def read_predictions(file: Path | str) -> pd.DataFrame:
    """The predictions of a file, as ``predictions.csv``, ``.csv.gz`` or ``.csv.xz``, checked.

    A file named without its ``.gz`` or ``.xz`` is found: the repository keeps large ones compressed.
    Raises InputError for what is no such file, and as every function here.
    """
    file = stored_file(file) or file
    if not Path(file).is_file():
        raise InputError("there is no such file", file, "Give the path of a predictions.csv")
    ending = Path(file).suffix.lower()
    how = {"skipinitialspace": True, "compression": {".gz": "gzip", ".xz": "xz"}.get(ending)}
    try:
        head = list(pd.read_csv(file, nrows=0, **how))
        for sign, name in SEPARATORS.items():
            if "lesion_id" not in head and sign in "".join(head):
                remedy = "Save it with commas between the columns and points in the numbers"
                raise InputError(f"its columns are separated by {name}", file, remedy)
        for name in (name.removesuffix(".1") for name in head if name.endswith(".1")):
            if name in PREDICTION_COLUMNS:  # pandas numbers equal names
                raise InputError(f"column {name} occurs twice", file, "Leave one out")
        opened = {".gz": gzip.open, ".xz": lzma.open}.get(ending, open)
        with opened(file, "rt", encoding="utf-8-sig", newline="") as lines:
            refuse_torn(lines, ",", Path(file).name)
        how |= {"dtype": dict.fromkeys(NAMES, str), "float_precision": "round_trip"}
        table = pd.read_csv(file, **how)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        reason = " ".join(str(error).split())
        remedy = f"Save it as CSV (UTF-8). {COLUMNS_WANTED}"
        raise InputError(f"cannot be read as CSV: {reason}", file, remedy) from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes the first for names of rows
        raise InputError("more fields than the header", file, "Quote values that hold a comma")
    for name in {*NAMES, "y_true"} & {*table.select_dtypes(["object", "string"])}:  # as `"L1" ,`
        table[name] = table[name].str.strip()
    return checked_predictions(table, file)


def checked_predictions(predictions: pd.DataFrame, where: object = "predictions") -> pd.DataFrame:
    """The frame itself, which has every column, rows, no gap but in truth and score, known models,
    and one patient and truth per lesion, whatever the model and the run.

    Each truth and score is checked by :func:`scores`, for the split that is judged: lesions of
    unknown truth may be in another.  A model of one's own has a name of its own.
    """
    absent = [column for column in PREDICTION_COLUMNS if column not in predictions]
    if absent:
        alike = [c for c in predictions if str(c).strip().lower() in absent]
        remedy = f"Rename '{alike[0]}': letters are small" if alike else COLUMNS_WANTED
        raise InputError(f"no column {', '.join(absent)}", where, remedy)
    if predictions.empty:
        raise InputError("no row", where, "Give one row per lesion, model and run")
    gaps = predictions[[*NAMES, "run"]].isna().sum()
    if gaps.any():
        column = gaps.idxmax()
        raise InputError(f"{gaps[column]} rows have no {column}", where, "Fill the column")
    for model in predictions["model"].unique():
        meant = _LETTERS.get(_letters(model), model)
        if meant != model:
            raise InputError(f"unknown model '{model}'", where, f"did you mean '{meant}'?")
    told = {"patients": predictions["patient_id"], "truths": _truth(predictions["y_true"])}
    for name, column in told.items():
        each = column.groupby(predictions["lesion_id"]).nunique()
        if (each > 1).any():
            what = f"lesion {each.index[each > 1][0]} has two {name}"
            raise InputError(what, where, "Give it the same in the rows of every model and run")
    return predictions


def _truth(column: pd.Series) -> pd.Series:
    """1 malignant, 0 benign, however it is spelt; nan for anything else."""
    return column.map({value: TRUTHS.get(str(value).lower()) for value in column.unique()})


def _letters(model: object) -> str:
    """What is left of a model's name without case, signs and order: E+S, e + s, S_E are one."""
    return "".join(sorted(re.sub("[^A-Z]", "", str(model).upper())))


_LETTERS = {_letters(model): model for model in MODELS}


def scores(predictions: pd.DataFrame, model: str, split: str = "test") -> Scores:
    """One model's lesion scores of a split, checked and aligned."""
    where, frame = f"predictions, {split} split", checked_predictions(predictions)
    own, on_split = frame["model"] == model, frame["split"] == split
    if not own.any():
        known = nearest(model, frame["model"].unique())
        raise InputError(f"no prediction of '{model}'", where, known)
    if not (own & on_split).any():
        known = ", ".join(map(str, frame.loc[own, "split"].unique()))
        remedy = f"Its splits are {known}: name the one to be judged '{split}'"
        raise InputError(f"no prediction of {model} on the split '{split}'", where, remedy)
    part = frame[own & on_split]
    _refuse_odd_rows(part, 1 + np.flatnonzero(own & on_split), model)
    truth, score = roc.checked(_truth(part["y_true"]), part["y_score"], f"{model}, {split}")
    part = part.assign(y_true=truth, y_score=score)
    wide = part.pivot(index="lesion_id", columns="run", values="y_score")
    absent = wide.isna().stack()
    if absent.any():
        lesion, run = absent.idxmax()
        what = f"{absent.sum()} scores of {model} are missing, first {lesion} in run {run}"
        raise InputError(what, where, "Score every lesion in every run, and spell the model alike")
    first = part.groupby("lesion_id")[["patient_id", "y_true"]].first().loc[wide.index]
    lesion, patient = wide.index.to_numpy(), first["patient_id"].to_numpy()
    return Scores(model, lesion, patient, first["y_true"].to_numpy(), wide.to_numpy(float))


def _refuse_odd_rows(part: pd.DataFrame, rows: np.ndarray, model: str) -> None:
    """InputError that names the first row without truth or score, or with a lesion scored already.

    rows : number of each row in its file, from 1 below the header.
    """
    score = pd.to_numeric(part["y_score"], errors="coerce").astype(float)
    for column, odd, what, remedy in (
        ("y_true", _truth(part["y_true"]).isna(), "truths are neither malignant nor benign",
         "Write 1 or 0, and leave lesions of unknown truth out"),
        ("y_score", ~np.isfinite(score), "scores are missing or infinite",
         "Score every lesion, as 0.5 and not 0,5, or drop it for every model alike"),
        ("lesion_id", part.duplicated(["lesion_id", "run"]), "rows are a lesion's second in a run",
         "Give one row per lesion, model and run"),
    ):  # fmt: skip
        if odd.any():
            what = f"{odd.sum()} of {len(part)} {what}: '{part[column][odd].iloc[0]}'"
            raise InputError(what, f"row {rows[odd][0]}, {column} of {model}", remedy)


def same_lesions(predictions: pd.DataFrame) -> None:
    """InputError where a model lacks test lesions that another one has."""
    part = predictions[predictions["split"] == "test"]
    found = {model: set(lesions) for model, lesions in part.groupby("model")["lesion_id"]}
    by_size = sorted(found, key=lambda model: len(found[model]))
    for model, other in product(by_size, by_size[::-1]):
        if lost := sorted(found[other] - found[model], key=str):
            some = ", ".join(map(str, lost[:3])) + f" and {len(lost) - 3} more" * (len(lost) > 3)
            what = f"{model} lacks {len(lost)} lesions that {other} has: {some}"
            remedy = "Score the same lesions with every model, and spell each model alike"
            raise InputError(what, "predictions, test split", remedy)


def pair(predictions: pd.DataFrame, a: str, b: str) -> tuple[Scores, Scores]:
    """Two models' scores of the same test lesions; InputError where their lesions differ."""
    one, two = scores(predictions, a), scores(predictions, b)
    same_lesions(predictions[predictions["model"].isin([a, b])])
    return one, two


def models_of(predictions: pd.DataFrame) -> list[str]:
    """The models of a predictions frame, in the paper's order, then others alphabetically.

    Variants of a model ("E+S, cells moved") are in the order of their models.
    """
    found = list(checked_predictions(predictions)["model"].unique())
    place = {model: k for k, model in enumerate(MODELS)}
    others = sorted((m for m in found if m not in MODELS), key=str)
    others.sort(key=lambda m: place.get(str(m).partition(",")[0], len(MODELS)))
    return [m for m in MODELS if m in found] + others


def _drawn(predictions: pd.DataFrame, models: Sequence[str] | None) -> Sequence[str]:
    """The models of a figure: those asked for, or those of DRAWN that the frame has."""
    if models is not None:
        return models
    found = [model for model in DRAWN if model in models_of(predictions)]
    if not found:
        what, known = f"none of the models {', '.join(DRAWN)}", models_of(predictions)
        raise InputError(what, "predictions", f"Name those to draw, of {', '.join(known)}")
    return found


# ------------------------------------------------------------------ tables 2 and 3
def table_2(
    predictions: pd.DataFrame,
    model: str = "E+S",
    fnr: Sequence[float] = roc.FNR,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """TNR at each FNR, with counts, every kind of interval, and the paper's value.

    missed .. high_patients belong to the run-averaged score; mean_runs .. high_both to the runs'
    own values.  `note` says what an interval rests on (`study.intervals.thresholds.notes`): at FNR
    0 the value depends on the one malignant lesion with the lowest score, and there is no interval
    over patients.
    """
    s = scores(predictions, model)
    fnr = np.asarray(fnr, float)
    points = roc.operating_points(s.truth, s.mean, fnr).drop(columns="threshold")
    at = partial(roc.tnr_at, fnr=fnr)
    over = resampling.band(s.truth, s.mean, s.patient, at, resamples, seed)
    points["low_patients"], points["high_patients"] = over["low"], over["high"]
    points["patients"] = len(np.unique(s.patient))
    each = np.array([at(s.truth, score) for score in s.runs.T])
    points = points.join(pd.DataFrame([_over_runs(column) for column in each.T]))
    both = s.over_both(at, resamples, seed)
    points["low_both"], points["high_both"] = both.low, both.high
    ends = [f"{end}_{kind}" for end in ("low", "high") for kind in ("patients", "t_runs", "both")]
    points.loc[fnr == 0, ends] = np.nan
    points["note"] = thresholds.notes(fnr, s.truth.sum())
    printed = paper.table_2().query("model == @model")
    rows = (printed[np.isclose(printed["fnr"], x)] for x in fnr)
    points[paper.LABEL] = [_printed(r, "{tnr:.3f} [{low:.3f}, {high:.3f}]") for r in rows]
    return points


def _over_runs(values) -> dict:
    r, t = run_intervals.runs_interval(values), run_intervals.t_interval(values)
    ends = {"low_runs": r.low, "high_runs": r.high, "runs": r.n}
    ends |= {"low_t_runs": t.low, "high_t_runs": t.high}
    return {"mean_runs": r.mean, "sd_runs": r.sd} | ends


def _printed(rows: pd.DataFrame, text: str = "{auc:.3f} +- {spread:.3f}") -> str:
    return text.format(**rows.iloc[0]) if len(rows) else "not printed"


def table_3(predictions: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """AUC of f_loc and of each combination of maps, one row per model, and the paper's value.

    auc .. high_bca belong to the run-averaged score; mean_runs .. high_both to the runs' own AUCs.  Models that the predictions lack have no row.
    """
    printed, rows = paper.table_3(), []
    for model in models_of(predictions):
        s = scores(predictions, model)
        over = resampling.interval(s.truth, s.mean, s.patient, "auc", resamples, seed)
        row = {"model": model, "auc": over.value}
        row |= {"low_patients": over.low, "high_patients": over.high}
        corrected = bca.auc_bca(s.truth, s.mean, s.patient, resamples, seed)
        row |= {"low_bca": corrected.low, "high_bca": corrected.high}
        row |= _over_runs([roc.auc(s.truth, score) for score in s.runs.T])
        both = s.over_both("auc", resamples, seed)
        row |= {"low_both": both.low, "high_both": both.high}
        row |= {"lesions": over.n, "malignant": over.malignant, "benign": over.benign}
        row |= {"patients": over.patients}
        rows.append(row | {paper.LABEL: _printed(printed[printed["model"] == model])})
    return pd.DataFrame(rows)


# ------------------------------------------------------------------ comparisons
def gain(
    predictions: pd.DataFrame, a: str = "E+S", b: str = "E", *, resamples: int = 2000, seed: int = 0
) -> resampling.Interval:
    """AUC of a minus AUC of b, run-averaged scores, paired, with its interval over patients."""
    one, two = pair(predictions, a, b)
    return resampling.paired_difference(
        one.truth, one.mean, two.mean, one.patient, "auc", resamples, seed
    )


def gain_over_runs(
    predictions: pd.DataFrame, a: str = "E+S", b: str = "E", *, resamples: int = 2000, seed: int = 0
) -> run_intervals.TwoLevel:
    """Mean over runs of AUC of a minus AUC of b, with its interval over runs and patients.

    A model b of one run lends it to each run of a.  Raises InputError where they have other numbers
    of runs.
    """
    one, two = pair(predictions, a, b)
    runs = one.runs.shape[1] if two.runs.shape[1] == 1 else 1
    how = one.truth, one.runs, one.patient, "auc", resamples, seed
    return run_intervals.two_level(*how, less=np.repeat(two.runs, runs, axis=1))


def spared_more(
    predictions: pd.DataFrame,
    a: str = "E+S",
    b: str = "E",
    fnr: float = 0.02,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict:
    """Benign lesions that a spares more than b when at most a share `fnr` of malignant is missed.

    Keys: value, low, high (difference of the TNRs, interval over patients), per_100_benign,
    relative (spared by a over spared by b, less 1; None where b spares none), and the counts
    spared_a, spared_b, benign, missed_a, missed_b, malignant, patients, and note (as
    :func:`table_2`).
    """
    one, two = pair(predictions, a, b)
    at = lambda truth, score, times=None: roc.tnr_at(truth, score, fnr, times)[..., 0]  # noqa: E731
    over = resampling.paired_difference(
        one.truth, one.mean, two.mean, one.patient, at, resamples, seed
    )
    points = [roc.operating_points(s.truth, s.mean, fnr).iloc[0] for s in (one, two)]
    spared, missed = ([int(p[name]) for p in points] for name in ("spared", "missed"))
    out = dict(value=over.value, low=over.low, high=over.high, kind=over.kind)
    out |= dict(per_100_benign=100 * over.value)
    out |= dict(relative=spared[0] / spared[1] - 1 if spared[1] else None)
    out |= dict(spared_a=spared[0], spared_b=spared[1], benign=over.benign)
    out |= dict(missed_a=missed[0], missed_b=missed[1], malignant=over.malignant)
    return out | dict(patients=over.patients, note=thresholds.notes(fnr, over.malignant)[0])


def numbers(
    predictions: pd.DataFrame,
    *,
    fnr: Sequence[float] = roc.FNR,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict]:
    """Every number of tables 2 and 3 and every comparison, ready for ``lab.record(key, **entry)``.

    Keys: `auc.<model>`; `gain.<a>-<b>` for the pairs of :data:`GAINS`; `tnr.<model>@<fnr>` for E
    and E+S; `tnr_gain.E+S-E@0.02`.  Each entry has value, low, high, kind and its counts; AUC and
    TNR also mean and sd over runs with low_both and high_both, as gains of as many runs, and AUC
    the value of each run.  No interval is None.
    """
    sampling = dict(resamples=resamples, seed=seed)
    models, out = models_of(predictions), {}
    for row in table_3(predictions, **sampling).to_dict("records"):
        s = scores(predictions, row["model"])
        each = [float(roc.auc(s.truth, x)) for x in s.runs.T]
        counts = {k: row[k] for k in ("lesions", "malignant", "benign", "patients")}
        out[f"auc.{row['model']}"] = _entry(row, "auc", each=each, **counts)
    for a, b in GAINS:
        if a in models and b in models:
            entry = gain_entry(gain(predictions, a, b, **sampling))
            one, two = pair(predictions, a, b)
            if two.runs.shape[1] in (1, one.runs.shape[1]):
                both = gain_over_runs(predictions, a, b, **sampling)
                entry |= dict(mean=float(both.value), runs=both.runs)
                entry |= dict(low_both=float(both.low), high_both=float(both.high))
            out[f"gain.{a}-{b}"] = entry
    for model in (m for m in ("E", "E+S") if m in models):
        for row in table_2(predictions, model, fnr, **sampling).to_dict("records"):
            names = ("missed", "malignant", "spared", "benign", "patients")
            counts = {k: row[k] for k in names}
            out[f"tnr.{model}@{row['fnr']:g}"] = _entry(row, "tnr", **counts, note=row["note"])
    if {"E", "E+S"} <= set(models):
        out["tnr_gain.E+S-E@0.02"] = spared_more(predictions, **sampling)
    return out


def gain_entry(g: resampling.Interval) -> dict:
    """A difference of two AUCs as an entry of ``results.json``."""
    entry = dict(value=g.value, low=g.low, high=g.high, kind=g.kind)
    return entry | dict(lesions=g.n, malignant=g.malignant, patients=g.patients)


def _entry(row: dict, value: str, **more) -> dict:
    # one run has no SD, FNR 0 no interval: JSON has no NaN
    row = {name: None if x != x else x for name, x in row.items()}
    over = dict(value=row[value], low=row["low_patients"], high=row["high_patients"])
    runs = dict(mean=row["mean_runs"], sd=row["sd_runs"], runs=row["runs"])
    runs |= dict(low_both=row["low_both"], high_both=row["high_both"])
    return {**over, "kind": "95 % over patients", **runs, **more}


def table_1_numbers(table: pd.DataFrame) -> dict[str, dict]:
    """The counts of :func:`table_1` under the keys `table_1.<split>.<column>`."""
    cells = table.stack().items()
    return {f"table_1.{split}.{column}": {"value": int(n)} for (split, column), n in cells}


# ------------------------------------------------------------------ frames of figures
def figure_7(
    predictions: pd.DataFrame,
    models: Sequence[str] | None = None,
    *,
    bands: Sequence[str] = ("E", "E+S"),
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """TNR against FNR of the run-averaged scores, at every number of malignant lesions missed.

    models : by default those of E, S and E+S that the frame has.
    Columns: model, fnr, tnr, low, high (pointwise over patients; NaN for models not in `bands`),
    missed, malignant, spared, benign.
    """
    parts = []
    for model in _drawn(predictions, models):
        s = scores(predictions, model)
        curve = roc.tnr_curve(s.truth, s.mean)
        curve["low"] = curve["high"] = np.nan
        if model in bands:
            at = partial(roc.tnr_at, fnr=curve["fnr"].to_numpy())
            over = resampling.band(s.truth, s.mean, s.patient, at, resamples, seed)
            curve["low"], curve["high"] = over["low"], over["high"]
        parts.append(curve.assign(model=model))
    names = ["model", "fnr", "tnr", "low", "high", "missed", "malignant", "spared", "benign"]
    return pd.concat(parts, ignore_index=True)[names]


def roc_curves(predictions: pd.DataFrame, models: Sequence[str] | None = None) -> pd.DataFrame:
    """ROC curves of the run-averaged scores: model, auc, and the columns of ``roc.roc_curve``.

    models : by default those of E, S and E+S that the frame has.
    """
    parts = []
    for model in _drawn(predictions, models):
        s = scores(predictions, model)
        curve = roc.roc_curve(s.truth, s.mean)
        parts.append(curve.assign(model=model, auc=float(roc.auc(s.truth, s.mean))))
    return pd.concat(parts, ignore_index=True)


def figure_6(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over runs of each arm of figure 6, and the paper's value where it is named.

    runs : columns backbone, initialisation, run, test_auc; one row per run, as
    ``steps.architectures`` gives them.  Returns backbone, initialisation, auc, sd, low, high
    (mean +- 1.96 SD), runs and the paper's column.
    """
    printed, arms, rows = paper.figure_6(), ["backbone", "initialisation"], []
    for arm, part in runs.groupby(arms, sort=False):
        r = run_intervals.runs_interval(part["test_auc"])
        row = dict(zip(arms, arm, strict=True))
        row |= dict(auc=r.mean, sd=r.sd, low=r.low, high=r.high, runs=r.n)
        row[paper.LABEL] = _printed(printed[(printed[arms] == arm).all(axis=1)])
        rows.append(row)
    return pd.DataFrame(rows)


def figure_6_numbers(table: pd.DataFrame) -> dict[str, dict]:
    """Entries `floc.<backbone>.<initialisation>`, and `floc_gain.<backbone>` (ImageNet less He).

    The interval of a gain is that of the difference of two trainings, one of each arm.
    """
    out = {}
    for row in table.to_dict("records"):
        sd = None if np.isnan(row["sd"]) else row["sd"]
        key = f"floc.{row['backbone']}.{row['initialisation']}"
        out[key] = {"value": row["auc"], "sd": sd, "runs": row["runs"], "kind": "mean over runs"}
    arms = table.set_index("initialisation")
    for backbone, part in arms.groupby("backbone"):
        if {"imagenet", "he"} <= set(part.index):
            value = float(part.at["imagenet", "auc"] - part.at["he", "auc"])
            sd = float(np.hypot(*part.loc[["imagenet", "he"], "sd"]))
            entry = {"value": value, "kind": "difference of means, +- 1.96 SD over runs"}
            ends = {} if np.isnan(sd) else dict(low=value - 1.96 * sd, high=value + 1.96 * sd)
            out[f"floc_gain.{backbone}"] = entry | ends
    return out


# ------------------------------------------------------------------ to text
def to_markdown(frame: pd.DataFrame, digits: int = 3) -> str:
    """A data frame as a Markdown table; missing values become a dash, a named index is shown."""
    named = frame.index.name is not None or isinstance(frame.index, pd.MultiIndex)
    shown = frame.reset_index() if named else frame
    text = pd.DataFrame({str(c): [_cell(v, digits) for v in shown[c]] for c in shown.columns})
    return text.to_markdown(index=False, disable_numparse=True)


def folded(title: str, frame: pd.DataFrame, digits: int = 3) -> str:
    """:func:`to_markdown` under a line that opens it, for rows that a first reader passes over."""
    table = to_markdown(frame, digits)
    return f"<details><summary>{title}</summary>\n\n{table}\n\n</details>"


def _cell(value, digits: int) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}f}"
    return " ".join(str(value).replace("|", "\\|").split())
