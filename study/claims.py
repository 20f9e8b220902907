"""The claims ledger: every number of Wu et al. 2020, our number, and a verdict.

``paper/claims.csv`` holds one row per claim: id, where it is printed, statement, value as printed,
kind (data, method setting, result), what it can be recomputed from, the `key` of our
``results.json`` to compare with, the `check` that judges it ("> 0", "< 0", "<= 0", "= x"), the
paper's own value of what is checked (`expected`, a formula of printed numbers), the `margin` of the
check, and the settings that set it.  ``paper/arithmetic.csv`` adds two kinds: arithmetic, sums of
the paper's own numbers; and derived, what follows from them and is no claim of the paper.
:data:`RULE` states how the verdict is reached.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import reduce
from operator import getitem

import numpy as np
import pandas as pd

from lesionlib.metrics.roc import hanley_mcneil_se
from study import paper

AGREES, DIFFERS, CONTRADICTS = "agrees", "differs", "contradicts"
NOT_REPLICATED, UNDECIDED = "not replicated", "undecided"
NOT_TESTABLE, NO_CLAIM = "not testable here", "no claim"
VERDICTS = (AGREES, DIFFERS, CONTRADICTS, NOT_REPLICATED, UNDECIDED, NOT_TESTABLE, NO_CLAIM)
PHANTOM = "on the phantom"
SHOWN = {
    AGREES: "shows the same",
    CONTRADICTS: "shows the opposite",
    NOT_REPLICATED: "does not show it",
    UNDECIDED: "undecided",
}
RULE = """
- **A value of the private NYU set** cannot be tested on another set: ours is shown next to it and not
  judged.
- **A claim of order** is judged by the 95 % interval of our difference: pooled over seeds where that
  is recorded, else over patients, for first weights over runs. *Above* agrees when the interval is
  wholly above 0, and contradicts when it is wholly below. Where it holds 0, the claim is *not
  replicated* if the interval leaves out the paper's own difference, and *undecided* if it does not.
  Agreement is on the order alone: where the paper's difference is left out, that is said.
- **A claim of equality** agrees when the interval is wholly within ± the margin, contradicts when it
  is wholly outside, and is undecided between. Where it is within the margin and leaves 0 itself out,
  there is a difference, smaller than the margin, and that is said. *No gain* asks the same of the
  upper side alone.
- **Without an interval** nothing is decided. The margins are ours (.01 of AUC for a difference, .05
  for an AUC) and were set after results on phantoms had been seen.
- **Made-up images** neither agree with a statement about women nor contradict it. There the verdict is
  *not testable here*, and the column *on the phantom* says what they show, by the same limits.
- **A method setting** agrees when this experiment uses the paper's value. **Arithmetic** is recomputed
  from the printed numbers alone; what is derived from them is no claim of the paper.
"""


def ledger(results: Mapping[str, Mapping | float], settings) -> pd.DataFrame:
    """Every claim with our number and a verdict by :data:`RULE`.

    Parameters
    ----------
    results : key -> {"value": .., "low": .., "high": .., ..} as in ``results.json``, or a number.
    settings : of the experiment.

    Returns
    -------
    The columns of ``paper.claims`` and ours, verdict (one of :data:`VERDICTS`), "on the phantom"
    (empty on a real set), why; one row per claim, per sum and per derived number.
    """
    blocks = settings.model_dump(mode="json")
    table, numbers = paper.claims(), _formulas()
    judged = [
        _of_setting(row, blocks)
        if row["kind"] == "method setting"
        else _of_result(row, results, numbers)
        for row in table.to_dict("records")
    ]
    table = table.join(pd.DataFrame(judged, columns=["ours", "verdict", "why", "but"]))
    but = table.pop("but")
    table.insert(table.columns.get_loc("why"), PHANTOM, "")
    if blocks["data"]["dataset"] == "phantom":
        made_up = table["check"].ne("") & table["verdict"].isin(list(SHOWN))
        table.loc[made_up, PHANTOM] = table["verdict"].map(SHOWN) + but
        table.loc[made_up, "verdict"] = NOT_TESTABLE
    return pd.concat([table, _of_arithmetic()], ignore_index=True).fillna("")


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Number of claims by kind (rows) and verdict (columns), with the totals."""
    counts = pd.crosstab(table["kind"], table["verdict"])
    counts = counts.reindex(columns=list(VERDICTS), fill_value=0)
    counts["all"] = counts.sum(axis=1)
    counts.loc["all"] = counts.sum()
    return counts.rename_axis(columns=None)


def arithmetic_checks() -> pd.DataFrame:
    """The paper's sums, recomputed from its own printed numbers.

    Columns: id, where, statement, formula, computed, printed, difference, tolerance (of rounding),
    closes (missing where the paper does not give enough to tell), note; one row per sum.
    """
    table = _computed()
    return table[table["printed"].notna()].reset_index(drop=True)


def _formulas() -> dict:
    """The names that a formula may use."""
    return paper.printed() | {"round": round, "min": min, "hanley_mcneil_se": hanley_mcneil_se}


def _value(formula: str, names: Mapping) -> float:
    return float(pd.eval(formula, engine="python", local_dict=names))


def _computed() -> pd.DataFrame:
    table, names = paper.arithmetic(), _formulas()
    sides = table["formula"].str.split(" = ", expand=True)
    table["computed"] = [_value(formula, names) for formula in sides[0]]
    table["printed"] = [_value(f, names) if f else np.nan for f in sides[1].fillna("")]
    table["difference"] = table["computed"] - table["printed"]
    closes = (table["difference"].abs() <= table["tolerance"] + 1e-9).astype("boolean")
    table["closes"] = closes.mask(table["tolerance"].isna())
    return table[["id", "where", "statement", "formula", "computed", "printed", "difference",
                  "tolerance", "closes", "note"]]  # fmt: skip


def _of_arithmetic() -> pd.DataFrame:
    """Sums and derived numbers as rows of the ledger."""
    table = _computed()
    sums = table["printed"].notna()
    verdict = table["closes"].map({True: AGREES, False: DIFFERS}).fillna(UNDECIDED)
    rows = table[["id", "where", "statement"]].assign(
        value=table["printed"].round(4).map("{:.7g}".format).where(sums, ""),
        kind=sums.map({True: "arithmetic", False: "derived"}),
        can_be_recomputed_from=table["formula"],
        ours=table["computed"].round(4).map("{:.7g}".format),
        verdict=verdict.where(sums, NO_CLAIM),
    )
    return rows.assign(why=table["note"].replace("", "recomputed from the printed numbers"))


def _of_setting(row: dict, blocks: Mapping) -> tuple[str, ...]:
    if not row["setting"]:
        return "", NOT_TESTABLE, "fixed in the code, no setting", ""
    ours = [reduce(getitem, name.split("."), blocks) for name in row["setting"].split()]
    shown = " / ".join(dict.fromkeys(json.dumps(value) for value in ours))
    if all(_same(json.loads(row["value"]), value) for value in ours):
        return shown, AGREES, "this experiment sets the paper's value", ""
    return shown, DIFFERS, f"this experiment sets {row['setting']} otherwise", ""


def _same(a, b) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if numbers else a == b


def _of_result(row: dict, results: Mapping, numbers: Mapping) -> tuple[str, ...]:
    """Our number as text, the verdict, why, and what the verdict alone would hide."""
    key, _, field = row["key"].partition(":")
    if not key:
        return "", NOT_TESTABLE, row["can_be_recomputed_from"], ""
    names = [*([f"{key}.pooled"] if row["check"] else []), key]
    name = next((name for name in names if name in results), None)
    if name is None:
        return "", NOT_TESTABLE, f"{key} is not recorded in this experiment", ""
    entry = results[name] if isinstance(results[name], Mapping) else {"value": results[name]}
    shown = _shown(entry, field)
    if not row["check"]:
        return shown, NOT_TESTABLE, "a value of the private NYU set; ours is of another set", ""
    expected = _value(row["expected"], numbers) if row["expected"] else None
    verdict, why, but = _judged(row["check"], float(row["margin"] or 0), entry, expected)
    of = "not pooled over seeds" if name == key else f"pooled over {entry.get('seeds')} seeds"
    return shown, verdict, f"{of}: {why}", but


def _shown(entry: Mapping, field: str) -> str:
    """Our number as text: a value with its interval, or one field of the entry."""
    sd, runs, (low, high) = entry.get("sd"), entry.get("runs"), _bounds(entry)
    if field == "sd":
        return "one run, no SD" if sd is None else f"SD {sd:.3f} over {runs} runs"
    if field == "intervals":  # the paper does not say which of the two its own is
        text = "" if low is None else f"[{low:.3f}, {high:.3f}] over patients; "
        if sd is None:
            return text + "one run, no spread of runs"
        ends = [entry["mean"] + z * sd for z in (-1.96, 1.96)]
        return text + f"mean ± 1.96 SD of {runs} runs [{ends[0]:.3f}, {ends[1]:.3f}]"
    if field == "percent":
        return f"{100 * entry['value']:.1f}"
    value = entry.get(field or "value")
    if field or not isinstance(value, float):
        return f"{value:.1f}" if isinstance(value, float) else str(value)
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _bounds(entry: Mapping) -> tuple[float | None, float | None]:
    low, high = entry.get("low"), entry.get("high")
    given = low is not None and high is not None and np.isfinite([low, high]).all()
    return (low, high) if given else (None, None)


def _judged(check: str, margin: float, entry: Mapping, expected=None) -> tuple[str, str, str]:
    """Verdict on '> x', '< x', '<= x' or '= x' by RULE, its reason, and what it would hide."""
    (sign, x), (low, high) = check.split(), _bounds(entry)
    if low is None:
        return UNDECIDED, "no interval recorded", ""
    least, most = float(x) - margin, float(x) + margin
    above, below = low > most, high < least
    within = least <= low and high <= most
    agrees = {">": above, "<": below, "=": within, "<=": high <= most}[sign]
    contradicts = {">": below, "<": above, "=": above or below, "<=": above}[sign]
    if above or below:
        place = "lies above" if above else "lies below"
    else:
        place = "holds" if not margin else "lies within" if within else "is not within"
    why = f"interval [{low:.3f}, {high:.3f}] {place} {x}" + (f" ± {margin:g}" if margin else "")
    without = sign == "=" and within and not low <= float(x) <= high
    why += f", but leaves {x} out" * without
    left_out = sign in "<>" and expected is not None and not low <= expected <= high
    why += "" if expected is None else f"; the paper's is {expected:.3f}" + ", left out" * left_out
    if contradicts:
        return CONTRADICTS, why, ""
    if agrees:
        less = left_out and abs(entry["value"]) < abs(expected)
        other = f", but a {'smaller' if less else 'larger'} difference" * left_out
        return AGREES, why, f" within the margin, though not {x}" if without else other
    return (NOT_REPLICATED if left_out else UNDECIDED), why, ""
