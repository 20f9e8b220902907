"""The claims ledger: every number of Wu et al. 2020, our number, and a verdict.

``paper/claims.csv`` holds one row per claim: id, where it is printed, statement, value as printed,
kind (data, method setting, result, arithmetic), what it can be recomputed from, the `key` of our
``results.json`` to compare with, the `check` that judges it, and the `setting` that sets it.
``paper/arithmetic.csv`` holds the formulas of the claims of kind arithmetic.  :data:`RULE` states
how the verdict is reached.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from lesionlib.metrics.roc import hanley_mcneil_se
from study import paper

AGREES, DIFFERS, OPEN = "agrees", "differs", "cannot be checked"
RULE = (
    "Values of the private NYU set cannot be checked on another set: ours are shown next to them "
    "and not judged. Only claims of direction are judged on data: '> 0' and '< 0' agree when our "
    "95 % interval is wholly on that side, differ when it is wholly on the other, and cannot be "
    "checked when it contains 0 (too few lesions to tell); '= x' agrees when the interval contains "
    "x (weak evidence where the interval is wide) and differs when it does not. Where no interval "
    "is recorded the sign of the value decides. A method setting agrees when this experiment uses "
    "the paper's value. Arithmetic is recomputed from the printed numbers alone."
)


def ledger(results: Mapping[str, Mapping | float], settings=None) -> pd.DataFrame:
    """Every claim with our number and a verdict by :data:`RULE`.

    Parameters
    ----------
    results : key -> {"value": .., "low": .., "high": .., ..} as in ``results.json``, or a number.
    settings : the experiment's settings (a mapping of blocks, or a pydantic model).  Without them
        method settings cannot be checked.

    Returns
    -------
    The columns of ``paper.claims`` and ours, verdict (agrees, differs, cannot be checked), why; one
    row per claim.
    """
    dump = getattr(settings, "model_dump", None)
    blocks = dump(mode="json") if dump else (settings or {})
    judge = {"arithmetic": (_of_arithmetic, arithmetic_checks().set_index("id"))}
    judge["method setting"] = (_of_setting, blocks)
    table, judged = paper.claims(), []
    for row in table.to_dict("records"):
        verdict, given = judge.get(row["kind"], (_of_result, results))
        judged.append(verdict(row, given))
    return table.join(pd.DataFrame(judged, columns=["ours", "verdict", "why"]))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Number of claims by kind (rows) and verdict (columns), with the totals."""
    counts = pd.crosstab(table["kind"], table["verdict"])
    counts = counts.reindex(columns=[AGREES, DIFFERS, OPEN], fill_value=0)
    counts["all"] = counts.sum(axis=1)
    counts.loc["all"] = counts.sum()
    return counts.rename_axis(columns=None)


def arithmetic_checks() -> pd.DataFrame:
    """The paper's sums, recomputed from its own printed numbers.

    Columns: id, statement, computed, printed, difference, tolerance (of rounding), closes (missing
    where the paper does not give enough to tell), note; one row per sum.
    """
    table = paper.arithmetic()
    names = paper.printed() | {"round": round, "hanley_mcneil_se": hanley_mcneil_se}
    sides = table.pop("formula").str.split(" = ", expand=True)
    for column, side in zip(("computed", "printed"), sides.columns, strict=True):
        table[column] = [
            float(pd.eval(formula, engine="python", local_dict=names)) for formula in sides[side]
        ]
    table["difference"] = table["computed"] - table["printed"]
    closes = (table["difference"].abs() <= table["tolerance"] + 1e-9).astype("boolean")
    table["closes"] = closes.mask(table["tolerance"].isna())
    return table[["id", "statement", "computed", "printed", "difference", "tolerance", "closes",
                  "note"]].fillna({"note": ""})  # fmt: skip


def _of_arithmetic(row: dict, sums: pd.DataFrame) -> tuple[str, str, str]:
    check = sums.loc[row["id"]]
    verdict = OPEN if pd.isna(check["closes"]) else AGREES if check["closes"] else DIFFERS
    why = check["note"] or "recomputed from the printed numbers"
    return f"{check['computed']:.6g}", verdict, why


def _of_setting(row: dict, blocks: Mapping) -> tuple[str, str, str]:
    if not row["setting"]:
        return "", OPEN, "fixed in the code, no setting"
    ours = blocks
    for part in row["setting"].split("."):
        if not isinstance(ours, Mapping) or part not in ours:
            return "", OPEN, "settings not given"
        ours = ours[part]
    if _same(json.loads(row["value"]), ours):
        return json.dumps(ours), AGREES, "this experiment sets the paper's value"
    return json.dumps(ours), DIFFERS, f"this experiment sets {row['setting']} otherwise"


def _same(a, b) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if numbers else a == b


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
