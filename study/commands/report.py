"""The paper's tables and figures, and what a reviewer asks beyond them, from any file of predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from lesionlib.errors import InputError
from lesionlib.metrics import resampling, roc
from study import paper, plots, tables
from study.commands.page import Page
from study.statistics import calibration, imrmc, net_benefit, prevalence
from study.statistics.fusion import with_fusions
from study.statistics.multiplicity import holm, pairs_of

STARTS = ("he", "imagenet", "file")  # what the name of an arm of figure 6 ends with
MOST_CURVES, MOST_BANDS = 8, 3  # of figure 7 and its legend
BIOPSY_FROM = (0.02, 0.05, 0.1, 0.2)  # probabilities of malignancy; BI-RADS 4 begins at 2 %


def report(
    file: Path | str,
    output: Path | str | None = None,
    share: float = prevalence.PAPER,
    first: Callable[[Page], None] | None = None,
) -> Path:
    """Write tables 2 and 3, figures 6 and 7, paired tests, calibration, net benefit, predictive
    values and a file for iMRMC; returns the HTML page.

    Parameters
    ----------
    file : with the columns of `study.tables`, as ``predictions.csv``, ``.csv.gz`` or ``.csv.xz``.
    output : folder; by default ``report`` next to the file.
    share : of malignant lesions where the score would be used, for net benefit and predictive
        values; by default that of the paper's lesions.
    first : adds to the page what stands before its tables.

    Raises
    ------
    InputError
        For what is no file of predictions, a share that is not between 0 and 1, and as the functions
        of `study.tables`.
    """
    if not 0 < share < 1:
        raise InputError(f"a prevalence of {share:g}", "report", "Give one above 0 and below 1")
    predictions = tables.read_predictions(file)
    test = predictions[predictions["split"] == "test"]
    models = tables.models_of(test if len(test) else predictions)
    tables.same_lesions(test)
    own = [model for model in models if model not in tables.MODELS]
    shown = [m for m in tables.DRAWN if m in models] + own
    shown = (shown or models)[:MOST_CURVES]
    papers = [model for model in shown if model in tables.DRAWN]
    last = tables.scores(predictions, (papers or shown)[-1])
    if len(set(last.patient)) == 1:  # every resample would be the same
        what = f"all lesions are of patient {last.patient[0]}"
        raise InputError(
            what, file, "Give each patient an id of her own: intervals are over patients"
        )
    page = Page(Path(output) if output else Path(file).parent / "report", "Lesion scores, judged")
    counts = f"{last.truth.size} test lesions, {last.truth.sum()} malignant"
    page.text(
        f"{Path(file).name}: {counts}, of {len(set(last.patient))} patients. Not for clinical use.",
        "Intervals over patients resample patients with all their lesions; those over runs are "
        "mean ± 1.96 SD of repeated trainings.",
    )
    seen = set(predictions.loc[predictions["split"] != "test", "patient_id"]) & set(last.patient)
    if seen:
        who = f"{len(seen)} test patients are in other splits, too, first {min(seen)}"
        page.text(f"Warning: {who}. A network that was trained on them is not tested.")
    if first:
        first(page)
    _table_3(page, predictions)
    judged = [m for m in models if m in ("E", "E+S", *own)] or shown
    _operating_points(page, predictions, judged, shown)
    if left := [model for model in models if model not in shown]:
        page.text(f"Not drawn in figure 7: {', '.join(left)}.")
    _gains(page, with_fusions(predictions))
    _in_use(page, predictions, judged[:MOST_CURVES], share)
    _standard_errors(page, predictions, models)
    _figure_6(page, predictions, models)
    page.text(heading=f"Scores of {last.model} by truth")
    page.figure("scores", plots.scores(last.truth, last.mean), "Histograms of scores by truth")
    _for_imrmc(page, predictions, models)
    return page.write("report")


def _for_imrmc(page: Page, predictions: pd.DataFrame, models: Sequence[str]) -> None:
    """The scores for the FDA's iMRMC, so that they can be judged by other software, too."""
    try:
        file = imrmc.write_imrmc(predictions, models, page.folder / "scores.imrmc")
        told = f"{file.name} holds these scores for iMRMC. {imrmc.LIMITS}"
    except InputError as error:
        told = f"Not written: {error}"
    page.text(told, heading="To check elsewhere: iMRMC")


def _table_3(page: Page, predictions: pd.DataFrame) -> None:
    table = tables.table_3(predictions)
    page.text(heading="Table 3: AUC of each model")
    page.table("table_3", table)
    page.picture(plots.forest(table), "AUC of each model with its interval over patients")


def _operating_points(
    page: Page, predictions: pd.DataFrame, judged: Sequence[str], shown: Sequence[str]
) -> None:
    page.text(heading="Table 2: benign lesions spared at a given share of malignant ones missed")
    table = pd.concat({m: tables.table_2(predictions, m) for m in judged}, names=["model"])
    page.table("table_2", table.reset_index("model"))
    page.text("Do not rest a conclusion on FNR 0: it depends on one lesion.", heading="Figure 7")
    bands = [model for model in judged if model in shown]
    curves = tables.figure_7(predictions, shown, bands=bands if len(bands) <= MOST_BANDS else ())
    drawn = plots.figure_7(curves, printed=paper.table_2() if "E+S" in shown else None)
    page.figure("figure_7", drawn, "TNR against FNR", curves)


def _gains(page: Page, predictions: pd.DataFrame) -> None:
    """Differences of two AUCs: the paper's pairs, or those of the file's own models."""
    rows = []
    for a, b in pairs_of(tables.models_of(predictions)):
        one, two = tables.pair(predictions, a, b)
        over = resampling.paired_difference(one.truth, one.mean, two.mean, one.patient)
        delong = roc.delong(one.truth, one.mean, two.mean, one.patient)
        row = {"gain": f"{a} less {b}", "auc": over.value, "low": over.low, "high": over.high}
        rows.append(row | {"se (DeLong, by patient)": delong.se, "p (DeLong)": delong.p})
    if not rows:
        return
    table = pd.DataFrame(rows)
    table["p (Holm)"] = holm(table["p (DeLong)"])
    page.text(
        "Paired tests by DeLong's method with variances clustered by patient; Holm's adjustment is "
        f"for the {len(table)} tests of this table.",
        heading="Gains: AUC of one model less that of another, on the same lesions",
    )
    page.table("gains", table)
    named = dict(label="gain", low="low", high="high", name="difference of AUC, 95 % over patients")
    page.picture(plots.forest(table, reference=0, **named), "Gains with their intervals")


def _in_use(page: Page, predictions: pd.DataFrame, models: Sequence[str], share: float) -> None:
    """Calibration, net benefit and predictive values, of the models whose scores are in 0..1."""
    test = predictions[predictions["split"] == "test"]
    low, high = (test.groupby("model")["y_score"].agg(end) for end in ("min", "max"))
    fit = [model for model in models if low[model] >= 0 and high[model] <= 1]
    if left := [model for model in models if model not in fit]:
        told = f"Scores of {', '.join(left)} are not in 0..1: no calibration and no net benefit."
        page.text(told, heading="Scores that are no probabilities")
    if fit:
        _calibration(page, predictions, fit)
        _net_benefit(page, predictions, fit, share)
    page.text(
        f"If {share:.1%} of the lesions sent to biopsy are malignant, and the threshold is set on "
        "these lesions. Spared and missed are of 100 lesions that would have been biopsied.",
        heading="Predictive values, and biopsies spared of 100",
    )
    parts = {m: prevalence.at_prevalence(predictions, m, share) for m in models}
    page.table("predictive_values", pd.concat(parts, names=["model"]).reset_index("model"))


def _calibration(page: Page, predictions: pd.DataFrame, models: Sequence[str]) -> None:
    """As the scores are, and recalibrated on validation where they can be."""
    parts, names = [predictions[predictions["split"] == "test"]], []
    page.text(
        "Intercept 0 and slope 1 where scores are right; an intercept below 0: too high; a slope "
        "below 1: too extreme. The Brier score is to be held against that of a constant (right). "
        f"'{calibration.PLATT}' is recalibrated on the validation split.",
        heading="Calibration",
    )
    for model in models:
        names.append(model)
        if why := calibration.obstacle(predictions, model):
            page.text(f"{model} is not recalibrated: {why}.")
        else:
            parts.append(calibration.platt(predictions, model))
            names.append(f"{model}, {calibration.PLATT}")
    every = pd.concat(parts, ignore_index=True)
    page.table("calibration", calibration.calibration_table(every, names))
    last = names[names.index(models[-1]) :]
    bins = [calibration.reliability(every, name).assign(model=name) for name in last]
    told = pd.concat(bins, ignore_index=True)
    page.figure("reliability", plots.reliability(told), "Share malignant against score", told)


def _net_benefit(
    page: Page, predictions: pd.DataFrame, models: Sequence[str], share: float
) -> None:
    """Decision curves of recalibrated scores, and biopsies avoided at a few thresholds."""
    new = pd.concat([calibration.recalibrated(predictions, model, share) for model in models])
    names = tables.models_of(new)
    page.text(
        f"Where {share:.1%} of the lesions are malignant, of scores recalibrated for that share. A "
        "model is worth its use at thresholds where it is above both biopsy all and biopsy none.",
        heading="Net benefit",
    )
    curves = net_benefit.decision_curves(new, names, share=share)
    page.figure("net_benefit", plots.decision_curves(curves), "Net benefit by threshold", curves)
    page.text(
        "Needless biopsies avoided per 100 lesions against biopsy all, at no loss of benefit."
    )
    page.table("avoided", net_benefit.avoided(new, names, BIOPSY_FROM, share))


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
