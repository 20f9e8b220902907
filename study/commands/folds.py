"""An experiment fold by fold: every patient is tested once, and the tests are judged together."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import yaml

from data_manifest.splits import split_by_settings
from lesionlib import files
from lesionlib.errors import InputError
from study import tables
from study.commands.page import Page
from study.commands.report import report
from study.jobs import JobError
from study.lab import open_bench
from study.settings import Experiment, figures_folder, load_experiment, project_root
from study.statistics.multiplicity import pairs_of
from study.statistics.within_folds import AS_TRAINED, PERCENTILES, WITHIN, by_fold, pool
from study.steps import data_folder
from study.workflow import check, read_set, run_experiment, side_by_side

USUAL = 5  # folds


def run_folds(
    experiment: str,
    folds: int | None = None,
    data: str | None = None,
    cores: int | None = None,
    notebooks: bool = False,
) -> Path:
    """Score each fold as an experiment of its own, judge their tests together; returns the page.

    The folds are ``experiments/<experiment>_fold<k>.yaml``, written where they are missing once all
    of them are known to hold both kinds of lesion in every split; an interrupted start goes on with
    what is not up to date.  How they are pooled is in `study.statistics.within_folds`; the pooled
    scores, the AUC of each fold and the report are in ``figures/<experiment>_folds/``.

    Parameters
    ----------
    folds : `data.folds` of the experiment if None, or 5.
    data : the user's folder.
    cores : jobs side by side; all if None.
    notebooks : every notebook of each fold, not only what its predictions need.

    Raises
    ------
    InputError
        For a phantom, which has its own splits, fewer than 2 folds or more than patients, a fold
        without malignant or benign lesions in one of its splits, a fold's file of other folds, and
        as a run.  JobError as a run.
    """
    settings = load_experiment(experiment)
    number = folds or settings.data.folds or USUAL
    if settings.is_phantom:
        remedy = "Repeat it with another seed instead, as demo_seed2"
        raise InputError("a phantom is drawn with its splits", f"experiment {experiment}", remedy)
    if number < 2:
        raise InputError(f"{number} folds", "command line", "Ask for 2 folds or more")
    found = read_set(check(experiment, data))
    data = str(data_folder(open_bench(experiment)))  # also where it was remembered
    names = [f"{experiment}_fold{fold}" for fold in range(number)]
    for fold, name in enumerate(names):  # all of them, before anything is written or run
        each = fold_settings(experiment, name, number, fold)
        split_by_settings(found, each.data, each.seed)
    for fold, name in enumerate(names):
        _write_where_missing(experiment, name, number, fold)
        check(name, data)
    if notebooks:
        for name in names:
            run_experiment(name, data, cores)
    elif failed := side_by_side("predictions", names, cores):
        raise JobError(f"{len(failed)} folds failed: {', '.join(failed)}")
    return judge(names, figures_folder(f"{experiment}_folds"))


def judge(names: list[str], place: Path) -> Path:
    """Pool the predictions that these experiments have written; returns the page.

    Writes ``predictions.csv``, ``auc_by_fold.csv``, ``gains_by_fold.csv``, ``results.json`` and a
    report to the folder `place`.  Raises InputError as `study.statistics.within_folds.pool`.
    """
    pooled = pool({name: saved(name) for name in names})
    models = tables.models_of(pooled)
    aucs = {model: by_fold(pooled, model) for model in models}
    gains = {f"{a} less {b}": by_fold(pooled, a, b) for a, b in pairs_of(models)}
    files.write_text(place / "predictions.csv", pooled.to_csv(index=False, float_format="%.9g"))
    origin = {name: open_bench(name, "folds").origin() for name in names}
    parts = {"models": _values(aucs), "gains": _values(gains), "provenance": origin}
    files.write_json(place / "results.json", {"folds": len(names)} | parts)
    return report(place / "predictions.csv", place, first=partial(_by_fold, aucs, gains))


def _values(found: dict[str, pd.DataFrame]) -> dict[str, dict]:
    """Name -> value, low, high and counts of the pairs within folds, and both other poolings."""
    out = {}
    for name, table in found.items():
        rows = table.rename(columns={"auc": "value"}).set_index("fold")
        whole = rows.loc[WITHIN].to_dict()
        counts = {key: int(whole.pop(key)) for key in rows.columns[3:]}
        others = {"percentiles": PERCENTILES, "as_trained": AS_TRAINED}
        out[name] = whole | {k: rows.loc[row, "value"] for k, row in others.items()} | counts
    return out


def _by_fold(aucs: dict[str, pd.DataFrame], gains: dict[str, pd.DataFrame], page: Page) -> None:
    """What the page begins with: the AUCs of each fold, and the three ways to pool them."""
    page.text(
        "Every patient is tested once, by the networks of a fold that never saw them. The estimate is "
        f"'{WITHIN}': the share in order of all pairs (malignant, benign) that one fold scored, with "
        "patients resampled within folds. Scores of other folds are of other networks and differ in "
        "level, so pairs across folds are left out. The intervals hold for these networks and folds, "
        "not for others.",
        f"All that follows this section reads percentiles within fold, model and run ('{PERCENTILES}'), "
        "which asks that the folds have like shares of malignant lesions; its intervals resample all "
        f"patients. '{AS_TRAINED}' is shown to tell how much the level matters: where little is "
        "learned it is biased below .5 (Parker et al. 2007).",
        heading="AUC by fold",
    )
    for name, key, found in (("auc_by_fold", "model", aucs), ("gains_by_fold", "gain", gains)):
        if found:
            page.table(name, pd.concat(found, names=[key]).reset_index(key))


def fold_settings(experiment: str, name: str, folds: int, fold: int) -> Experiment:
    """The settings of a fold: those of its file `name`, or of `experiment` where there is none.

    Raises InputError for a file of another fold.
    """
    file = _file(name)
    settings = load_experiment(name if file.is_file() else experiment)
    data = settings.data
    if not file.is_file():
        data = data.model_copy(update={"folds": folds, "fold": fold})
    if (data.folds, data.fold) != (folds, fold):
        what = f"fold {data.fold} of {data.folds}, not {fold} of {folds}"
        raise InputError(what, file, "Remove the file, or ask for as many folds as it has")
    return settings.model_copy(update={"data": data})


def _write_where_missing(experiment: str, name: str, folds: int, fold: int) -> None:
    content = {"extends": experiment, "data": {"folds": folds, "fold": fold}}
    if not _file(name).is_file():
        head = f"# Command   study folds {experiment} --folds {folds}\n"
        files.write_text(_file(name), head + yaml.safe_dump(content, sort_keys=False))


def _file(name: str) -> Path:
    return project_root() / "experiments" / f"{name}.yaml"


def saved(name: str) -> pd.DataFrame:
    """The predictions that an experiment has written."""
    found = sorted(figures_folder(name).glob("predictions.csv*"))
    return tables.read_predictions(found[0] if found else figures_folder(name) / "predictions.csv")
