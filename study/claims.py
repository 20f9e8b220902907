"""The claims ledger: every number of Wu et al. 2020, what answers it here, and a verdict.

``data/claims.csv`` holds one row a claim: id, where it stands, statement, value as printed, kind
(data, method setting, result, arithmetic), what it can be recomputed from, the `key` of our
``results.json`` that answers it, the `check` that judges it, and the `setting` that holds it.
:data:`RULE` states how the verdict is reached.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.metrics.roc import hanley_mcneil_se
from study import paper

AGREES, DIFFERS, OPEN = "agrees", "differs", "cannot be checked"
RULE = (
    "Values of the private NYU set cannot be checked on another set: ours stand beside them, never "
    "against them. Only claims of direction are judged on data: '> 0' and '< 0' agree when our "
    "95 % interval lies wholly on that side, differ when it lies wholly on the other, and cannot be "
    "checked when it holds 0 (too few lesions to tell); '= x' agrees when the interval holds x "
    "(which is weak evidence where the interval is wide) and differs when it does not. Where no "
    "interval is recorded the sign of the value decides. A method setting agrees when this "
    "experiment sets the paper's value. Arithmetic is recomputed from the printed numbers alone."
)


@cache
def _claims() -> pd.DataFrame:
    with (files("study.paper") / "claims.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)


def claims() -> pd.DataFrame:
    """The ledger's data, all columns text, values as the paper prints them."""
    return _claims().copy()


def ledger(results: Mapping[str, Mapping | float], settings=None) -> pd.DataFrame:
    """Every claim with our number and a verdict by :data:`RULE`.

    Parameters
    ----------
    results : key -> {"value": .., "low": .., "high": .., ..} as in ``results.json``, or a number.
    settings : the experiment's settings (a mapping of blocks, or a pydantic model).  Without them
        method settings cannot be checked.

    Returns the columns of :func:`claims` and ours, verdict (agrees, differs, cannot be checked) and
    why.
    """
    dump = getattr(settings, "model_dump", None)
    blocks = dump(mode="json") if dump else (settings or {})
    sums = arithmetic_checks().set_index("id")
    table = claims()
    judged = []
    for row in table.to_dict("records"):
        if row["kind"] == "arithmetic":
            judged.append(_of_arithmetic(row, sums))
        elif row["kind"] == "method setting":
            judged.append(_of_setting(row, blocks))
        else:
            judged.append(_of_result(row, results))
    return table.join(pd.DataFrame(judged, columns=["ours", "verdict", "why"]))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Claims by kind and verdict, with their sums."""
    counts = pd.crosstab(table["kind"], table["verdict"])
    counts = counts.reindex(columns=[AGREES, DIFFERS, OPEN], fill_value=0)
    counts["all"] = counts.sum(axis=1)
    counts.loc["all"] = counts.sum()
    return counts.rename_axis(columns=None)


def _of_arithmetic(row: dict, sums: pd.DataFrame) -> tuple[str, str, str]:
    if row["id"] not in sums.index:
        raise InputError(f"no check '{row['id']}'", "claims.csv", "Add it to arithmetic_checks()")
    check = sums.loc[row["id"]]
    closes = check["closes"]
    verdict = OPEN if pd.isna(closes) else AGREES if closes else DIFFERS
    return (
        f"{check['computed']:.6g}",
        verdict,
        check["note"] or "recomputed from the printed numbers",
    )


def _of_setting(row: dict, blocks: Mapping) -> tuple[str, str, str]:
    if not row["setting"]:
        return "", OPEN, "fixed in the code, no setting"
    ours = blocks
    for part in row["setting"].split("."):
        if not isinstance(ours, Mapping) or part not in ours:
            return "", OPEN, "settings not given"
        ours = ours[part]
    shown, same = json.dumps(ours), _same(json.loads(row["value"]), ours)
    if same:
        return shown, AGREES, "this experiment sets the paper's value"
    return shown, DIFFERS, f"this experiment sets {row['setting']} otherwise"


def _same(a, b) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if numbers else a == b


# ------------------------------------------------------------------ data and results
def _of_result(row: dict, results: Mapping) -> tuple[str, str, str]:
    key, _, field = row["key"].partition(":")
    if not key:
        return "", OPEN, f"{row['can_be_recomputed_from']}"
    if key not in results:
        return "", OPEN, f"{key} is not recorded in this experiment"
    entry = results[key] if isinstance(results[key], Mapping) else {"value": results[key]}
    shown = _shown(entry, field)
    if not row["check"]:
        return shown, OPEN, "a value of the private NYU set; ours is of another set"
    return shown, *_direction(row["check"], entry)


def _shown(entry: Mapping, field: str) -> str:
    """Our number as text: a value with its interval, or one field of the entry."""
    sd, runs = entry.get("sd"), entry.get("runs")
    if field == "sd":
        return "one run, no SD" if sd is None else f"SD {sd:.3f} over {runs} runs"
    if field == "runs":
        if sd is None:
            return "one run, no interval"
        mean = entry["mean"]
        return f"[{mean - 1.96 * sd:.3f}, {mean + 1.96 * sd:.3f}] over {runs} runs"
    value = entry.get(field or "value")
    if field or not isinstance(value, float):
        return f"{value:.1f}" if isinstance(value, float) else str(value)
    low, high = _bounds(entry)
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _bounds(entry: Mapping) -> tuple[float | None, float | None]:
    low, high = entry.get("low"), entry.get("high")
    given = low is not None and high is not None and np.isfinite([low, high]).all()
    return (low, high) if given else (None, None)


def _direction(check: str, entry: Mapping) -> tuple[str, str]:
    """Verdict and reason for a claim '> x', '< x' or '= x' on one recorded value."""
    sign, x = check.split()
    x, value = float(x), float(entry["value"])
    low, high = _bounds(entry)
    if low is None:
        if sign == "=":
            return OPEN, "no interval recorded"
        right = value > x if sign == ">" else value < x
        return (AGREES if right else DIFFERS), f"{value:.3f}, by its sign; no interval recorded"
    inside = low <= x <= high
    span = f"interval [{low:.3f}, {high:.3f}]"
    if sign == "=":
        return (AGREES, f"{span} holds {x:g}") if inside else (DIFFERS, f"{span} leaves {x:g} out")
    if inside:
        return OPEN, f"{span} holds {x:g}: too few lesions to tell"
    right = low > x if sign == ">" else high < x
    return (AGREES if right else DIFFERS), f"{span} lies {'above' if low > x else 'below'} {x:g}"


# ------------------------------------------------------------------ arithmetic
def arithmetic_checks() -> pd.DataFrame:
    """The paper's sums, recomputed from its own printed numbers.

    Columns: id, statement, computed, printed, difference, tolerance (of rounding), closes (missing
    where the print does not tell), note.
    """
    rows = [*_sums(), *_shares(), *_design(), *_intervals(), *_words()]
    names = ["id", "statement", "computed", "printed", "tolerance", "note", "known"]
    table = pd.DataFrame(rows, columns=names)
    table.insert(4, "difference", table["computed"] - table["printed"])
    within = table["difference"].abs() <= table["tolerance"] + 1e-9
    table.insert(6, "closes", within.astype("boolean").mask(~table.pop("known")))
    return table


def _row(id, statement, computed, printed, tolerance=0.0, note="", known=True) -> tuple:
    return id, statement, float(computed), float(printed), tolerance, note, known


def _sums() -> list[tuple]:
    t, p = paper.table_1(), paper.value
    splits, test, overall = t.drop("overall"), t.loc["test"], t.loc["overall"]
    lesions = ["lesions_benign", "lesions_malignant"]
    rows = [
        _row("sum-test-lesions", "464 + 136", test[lesions].sum(), p("test_lesions")),
        _row(
            "sum-test-images",
            "432 + 116 - 14",
            test["images_benign"] + test["images_malignant"] - p("test_images_both"),
            p("test_images"),
        ),
        _row(
            "sum-lesions",
            "5602 + 1790 + 722 + 128 + 464 + 136",
            splits[lesions].to_numpy().sum(),
            p("lesions"),
        ),
    ]
    for column in splits.columns.drop("where"):
        statement = f"{column.replace('_', ', ')}: sum of the splits"
        rows.append(_row(f"sum-{column}", statement, splits[column].sum(), overall[column]))
    short = "194 images are neither negative nor annotated, or the sum is off"
    images = overall["images_negative"] + p("annotated_images")
    return [*rows, _row("sum-images", "992,819 + 8,080", images, p("images"), note=short)]


def _shares() -> list[tuple]:
    t, p = paper.table_1(), paper.value
    overall = t.loc["overall"]
    both = overall["images_benign"] + overall["images_malignant"] - p("annotated_images")
    several = p("images_several_percent") / 100 * p("annotated_images")
    negatives = t["images_negative"]
    lesions = t["lesions_benign"] + t["lesions_malignant"]
    return [
        _row(
            "images-both",
            "6,307 + 1,874 - 8,080, against 25.75 % of 7.45 % of 8,080",
            both,
            round(p("several_both_percent") / 100 * several),
            note="table 1 leaves 101 images with both kinds, the percentages 155 of 602",
        ),
        _row(
            "split-negatives",
            "negatives: validation 123,130 over test 60,959",
            negatives["validation"] / negatives["test"],
            p("split_validation_percent") / p("split_test_percent"),
            0.05,
            "validation holds twice the negatives of test, although both are called 10 %",
        ),
        _row(
            "split-training",
            "lesions: training over all",
            lesions["training"] / lesions["overall"],
            p("split_training_percent") / 100,
            0.005,
            "patients, not lesions, were split; their number by split is not printed",
            known=False,
        ),
    ]


def _design() -> list[tuple]:
    p = paper.value
    epoch = {k: p(f"epoch_{k}") for k in ("malignant", "benign", "outside", "negative")}
    total = sum(epoch.values())
    rows = [_row("epoch", "20 + 35 + 5,000 + 4,945", total, p("epoch_windows"))]
    weights = {"malignant": 500, "benign": 285.714, "outside": 2, "negative": 2.0222}
    for kind, count in epoch.items():
        statement = f"{total:.0f} / {count:.0f}"
        rows.append(_row(f"weight-{kind}", statement, total / count, weights[kind], 5e-4))
    for axis in ("rows", "cols"):
        cells, px = p(f"map_{axis}"), p("cell")
        statement = f"{cells:.0f} x {px:.0f}"
        rows.append(_row(f"map-{axis}", statement, cells * px, p(f"canvas_{axis}")))
    maps = {"I": p("maps_location"), "S": p("maps_saliency"), "E": p("maps_embedding")}
    for name, channels in (("I+E", 33), ("I+S", 3), ("E+S", 34), ("I+S+E", 35)):
        parts = [maps[x] for x in name.split("+")]
        statement = " + ".join(f"{x:.0f}" for x in parts)
        rows.append(_row(f"channels-{name}", statement, sum(parts), channels))
    return rows


def _intervals() -> list[tuple]:
    rows, t = [], paper.table_2()
    for r in t.itertuples():
        centre = (r.low + r.high) / 2
        mirrored = 2 * r.tnr - r.low
        note = f"a high end of {mirrored:.3f} +- .001 would be symmetric, 0.462 by one digit"
        note = "" if abs(centre - r.tnr) <= 1e-3 + 1e-9 else note
        statement = f"centre of [{r.low:.3f}, {r.high:.3f}]"
        # value and centre are each rounded to .001
        rows.append(_row(f"symmetry-{r.fnr:g}", statement, centre, r.tnr, 1e-3, note))
    note = "a rate lies in 0..1: the intervals are mean +- 1.96 SD over runs, not over lesions"
    low = min(t["low"].min(), 0.0)
    return [*rows, _row("rate-bounds", "lowest end of an interval", low, 0, note=note)]


def _words() -> list[tuple]:
    p, test = paper.value, paper.table_1().loc["test"]
    best = paper.table_3()["auc"].max()
    tnr = paper.table_2().query("fnr == 0.02")["tnr"].item()
    more = p("spared_more_percent")
    se = hanley_mcneil_se(0.8, int(test["lesions_malignant"]), int(test["lesions_benign"]))
    spread = paper.table_3().set_index("model").at["E+S", "spread"]
    return [
        _row("abstract", ".799 to one decimal", round(best, 1), p("auc_abstract")),
        _row(
            "spared-more",
            "15 % more, in points or relative",
            more,
            more,
            note=f"E's TNR is not printed: {tnr:.3f} for E+S would mean {tnr - more / 100:.3f} for "
            f"E if these are points, {tnr / (1 + more / 100):.3f} if relative",
            known=False,
        ),
        _row(
            "hanley-mcneil",
            "AUC .8, 136 malignant and 464 benign lesions, as if independent",
            se,
            0.024,
            5e-4,
            f"+- {1.96 * se:.3f} over lesions beside the printed +- {spread:.3f} over runs",
        ),
    ]
