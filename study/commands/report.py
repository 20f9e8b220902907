"""The tables and figures of the paper from any file of predictions, made here or elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd

from lesionlib.metrics import resampling, roc
from study import paper, plots, tables
from study.commands.page import Page

STARTS = ("he", "imagenet", "file")  # what the name of an arm of figure 6 ends with
MOST_PAIRS = 12
MOST_CURVES, MOST_BANDS = 8, 3  # of figure 7 and its legend


def report(file: Path | str, output: Path | str | None = None) -> Path:
    """Write tables 2 and 3, figures 6 and 7, gains and standard errors; returns the HTML page.

    Parameters
    ----------
    file : with the columns of `study.tables`, as ``predictions.csv`` or ``.csv.gz``.
    output : folder; by default ``report`` next to the file.

    Raises
    ------
    InputError
        For what is no file of predictions, and as the functions of `study.tables`.
    """
    predictions = tables.read_predictions(file)
    test = predictions[predictions["split"] == "test"]
    models = tables.models_of(test if len(test) else predictions)
    tables.same_lesions(test)
    own = [model for model in models if model not in tables.MODELS]
    shown = [m for m in tables.DRAWN if m in models] + own
    shown = (shown or models)[:MOST_CURVES]
    papers = [model for model in shown if model in tables.DRAWN]
    first = tables.scores(predictions, (papers or shown)[-1])
    page = Page(Path(output) if output else Path(file).parent / "report", "Lesion scores, judged")
    counts = f"{first.truth.size} test lesions, {first.truth.sum()} malignant"
    page.text(
        f"{Path(file).name}: {counts}, of {len(set(first.patient))} patients. Not for clinical use.",
        "Intervals over patients resample patients with all their lesions; those over runs are "
        "mean ± 1.96 SD of repeated trainings.",
    )
    _table_3(page, predictions)
    judged = [m for m in models if m in ("E", "E+S", *own)] or shown
    _operating_points(page, predictions, judged, shown)
    if left := [model for model in models if model not in shown]:
        page.text(f"Not drawn in figure 7: {', '.join(left)}.")
    _gains(page, predictions, models)
    _standard_errors(page, predictions, models)
    _figure_6(page, predictions, models)
    page.text(heading=f"Scores of {first.model} by truth")
    page.figure("scores", plots.scores(first.truth, first.mean), "Histograms of scores by truth")
    return page.write("report")


def _table_3(page: Page, predictions: pd.DataFrame) -> None:
    table = tables.table_3(predictions)
    page.text(heading="Table 3: AUC of each model")
    page.table("table_3", table)
    page.picture(plots.forest(table), "AUC of each model with its interval over patients")


def _operating_points(
    page: Page, predictions: pd.DataFrame, judged: Sequence[str], shown: Sequence[str]
) -> None:
    page.text(heading="Table 2: benign lesions spared at a given share of malignant ones missed")
    parts = [tables.table_2(predictions, model).assign(model=model) for model in judged]
    table = pd.concat(parts, ignore_index=True)
    page.table("table_2", table[["model", *table.columns.drop("model")]])
    page.text("Do not rest a conclusion on FNR 0: it depends on one lesion.", heading="Figure 7")
    bands = [model for model in judged if model in shown]
    curves = tables.figure_7(predictions, shown, bands=bands if len(bands) <= MOST_BANDS else ())
    drawn = plots.figure_7(curves, printed=paper.table_2() if "E+S" in shown else None)
    page.figure("figure_7", drawn, "TNR against FNR", curves)


def _gains(page: Page, predictions: pd.DataFrame, models: Sequence[str]) -> None:
    """Differences of two AUCs: the paper's pairs, or those of the file's own models."""
    pairs = [pair for pair in tables.GAINS if set(pair) <= set(models)]
    pairs = pairs or list(combinations(models, 2))[:MOST_PAIRS]
    rows = []
    for a, b in pairs:
        one, two = tables.pair(predictions, a, b)
        over = resampling.paired_difference(one.truth, one.mean, two.mean, one.patient)
        delong = roc.delong(one.truth, one.mean, two.mean, one.patient)
        row = {"gain": f"{a} less {b}", "auc": over.value, "low": over.low, "high": over.high}
        rows.append(row | {"se (DeLong, by patient)": delong.se, "p (DeLong)": delong.p})
    if not rows:
        return
    table = pd.DataFrame(rows)
    page.text(heading="Gains: AUC of one model less that of another, on the same lesions")
    page.table("gains", table)
    named = dict(label="gain", low="low", high="high", name="difference of AUC, 95 % over patients")
    page.picture(plots.forest(table, reference=0, **named), "Gains with their intervals")


def _standard_errors(page: Page, predictions: pd.DataFrame, models: Sequence[str]) -> None:
    rows = []
    for s in (tables.scores(predictions, model) for model in models):
        clustered, plain = (roc.delong(s.truth, s.mean, patient=p) for p in (s.patient, None))
        row = {"model": s.model, "auc": clustered.value, "DeLong, by patient": clustered.se}
        row |= {"DeLong, lesions taken as independent": plain.se}
        counts = plain.malignant, plain.benign
        rows.append(row | {"Hanley and McNeil": roc.hanley_mcneil_se(plain.value, *counts)})
    page.text(heading="Standard errors of the AUCs, without resampling")
    page.table("standard_errors", pd.DataFrame(rows))


def _figure_6(page: Page, predictions: pd.DataFrame, models: Sequence[str]) -> None:
    """Of models that are named as arms are: ``densenet161-imagenet``."""
    rows = []
    for model in models:
        backbone, _, start = str(model).rpartition("-")
        if not backbone or start not in STARTS:
            continue
        s = tables.scores(predictions, model)
        arm = {"backbone": backbone, "initialisation": start}
        rows += [arm | {"run": k, "test_auc": roc.auc(s.truth, x)} for k, x in enumerate(s.runs.T)]
    page.text(heading="Figure 6: backbones of f_loc")
    if not rows:
        page.text("No model is named as an arm is, <backbone>-<he, imagenet or file>.")
        return
    each = pd.DataFrame(rows)
    table = tables.figure_6(each)
    drawn = plots.figure_6(table, each=each, printed=paper.figure_6())
    page.figure("figure_6", drawn, "AUC by backbone and initialisation", table)
