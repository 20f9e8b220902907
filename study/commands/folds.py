"""An experiment fold by fold: every patient is tested once, and the tests are pooled."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from lesionlib import files
from lesionlib.errors import InputError
from lesionlib.metrics import roc
from study import tables
from study.commands.report import report
from study.settings import figures_folder, load_experiment, project_root
from study.workflow import check, run_experiment

USUAL = 5  # folds


def run_folds(
    experiment: str, folds: int | None = None, data: str | None = None, cores: int | None = None
) -> Path:
    """Run each fold as an experiment of its own, pool their tests, and report; returns the page.

    The folds are ``experiments/<experiment>_fold<k>.yaml``, written where they are missing; an
    interrupted start goes on with what is not up to date.  The pooled scores and the report are in
    ``figures/<experiment>_folds/``.

    Parameters
    ----------
    folds : `data.folds` of the experiment if None, or 5.
    data : the user's folder.
    cores : jobs side by side; all if None.

    Raises
    ------
    InputError
        For a phantom, which has its own splits, fewer than 2 folds, a fold's file with other
        settings, and as a run.  JobError as a run.
    """
    settings = load_experiment(experiment)
    number = folds or settings.data.folds or USUAL
    if settings.is_phantom:
        remedy = "Repeat it with another seed instead, as demo_seed2"
        raise InputError("a phantom is drawn with its splits", f"experiment {experiment}", remedy)
    if number < 2:
        raise InputError(f"{number} folds", "command line", "Ask for 2 folds or more")
    names = [fold_experiment(experiment, number, fold) for fold in range(number)]
    for name in names:
        check(name, data)  # all of them, before the first is run
    for name in names:
        run_experiment(name, data, cores)
    place = figures_folder(f"{experiment}_folds")
    pooled, each = pool({name: saved(name) for name in names})
    files.write_text(place / "predictions.csv", pooled.to_csv(index=False, float_format="%.9g"))
    files.write_text(place / "auc_by_fold.csv", each.to_csv(index=False, float_format="%.6g"))
    return report(place / "predictions.csv", place)


def fold_experiment(experiment: str, folds: int, fold: int) -> str:
    """The name of a fold's experiment, whose file is written where it is missing."""
    name = f"{experiment}_fold{fold}"
    file = project_root() / "experiments" / f"{name}.yaml"
    content = {"extends": experiment, "data": {"folds": folds, "fold": fold}}
    if not file.is_file():
        head = f"# Command   study folds {experiment} --folds {folds}\n"
        files.write_text(file, head + yaml.safe_dump(content, sort_keys=False))
    data = load_experiment(name).data
    if (data.folds, data.fold) != (folds, fold):
        what = f"fold {data.fold} of {data.folds}, not {fold} of {folds}"
        raise InputError(what, file, "Remove the file, or ask for as many folds as it has")
    return name


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
