"""An experiment fold by fold: every patient is tested once, and the tests are pooled."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from data_manifest.splits import split_by_settings
from lesionlib import files
from lesionlib.errors import InputError
from lesionlib.metrics import roc
from study import tables
from study.commands.report import report
from study.lab import open_bench
from study.settings import Experiment, figures_folder, load_experiment, project_root
from study.steps import data_folder
from study.workflow import check, read_set, run_experiment

USUAL = 5  # folds


def run_folds(
    experiment: str, folds: int | None = None, data: str | None = None, cores: int | None = None
) -> Path:
    """Run each fold as an experiment of its own, pool their tests, and report; returns the page.

    The folds are ``experiments/<experiment>_fold<k>.yaml``, written where they are missing once all
    of them are known to hold both kinds of lesion in every split; an interrupted start goes on with
    what is not up to date.  The pooled scores and the report are in
    ``figures/<experiment>_folds/``.

    Parameters
    ----------
    folds : `data.folds` of the experiment if None, or 5.
    data : the user's folder.
    cores : jobs side by side; all if None.

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
    for name in names:
        run_experiment(name, data, cores)
    place = figures_folder(f"{experiment}_folds")
    pooled, each = pool({name: saved(name) for name in names})
    files.write_text(place / "predictions.csv", pooled.to_csv(index=False, float_format="%.9g"))
    files.write_text(place / "auc_by_fold.csv", each.to_csv(index=False, float_format="%.6g"))
    return report(place / "predictions.csv", place)


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


def pool(folds: dict[str, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tests of all folds in one frame, and the AUC of each model in each fold.

    Scores of several trainings are pooled as they are: where the AUC of the pool is below those of
    the folds, the folds' scores differ in level.  Raises InputError for a lesion tested twice.
    """
    tests = {name: table[table["split"] == "test"] for name, table in folds.items()}
    lesions = pd.concat([test["lesion_id"].drop_duplicates() for test in tests.values()])
    if lesions.duplicated().any():
        what = f"lesion {lesions[lesions.duplicated()].iloc[0]} is tested in two folds"
        raise InputError(what, "folds", "Run all folds anew on the same data")
    rows = []
    for name, test in tests.items():
        for s in (tables.scores(test, model) for model in tables.models_of(test)):
            counts = {"lesions": s.truth.size, "malignant": int(s.truth.sum())}
            rows.append({"fold": name, "model": s.model, "auc": roc.auc(s.truth, s.mean)} | counts)
    return pd.concat(tests.values(), ignore_index=True), pd.DataFrame(rows)
