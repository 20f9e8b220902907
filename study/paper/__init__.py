"""What Wu et al. 2020 printed, as data: values of the private NYU set, to show next to ours.

Nothing here is a result of this compendium.  Each row says where in the paper the value is; tables
and figures show these values under the label :data:`LABEL`.  "spread" is the paper's "+-", which it
does not define; the negative lower bound in table 2 shows that its intervals are mean +- 1.96 SD
over repeated runs.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from operator import attrgetter

import pandas as pd

from lesionlib.errors import InputError, nearest

LABEL = "paper (private NYU set)"


@cache
def _read(name: str, **how) -> pd.DataFrame:
    with (files("study.paper") / f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, **how)


def table_1() -> pd.DataFrame:
    """Images and lesions by split.  Index split; columns as in ``tables.table_1``, and `where`."""
    return _read("table_1").set_index("split")


def table_2() -> pd.DataFrame:
    """TNR of E+S at five FNR: model, fnr, tnr, low, high (over runs), where."""
    return _read("table_2").copy()


def table_3() -> pd.DataFrame:
    """AUC of the seven combinations: model, auc, spread, where."""
    return _read("table_3").copy()


def figure_6() -> pd.DataFrame:
    """The three AUCs of figure 6 that the text names: backbone, initialisation, auc, spread, ..."""
    return _read("figure_6").copy()


def text() -> pd.DataFrame:
    """Every other number used here.  Index key; columns value, unit, where."""
    return _read("text").set_index("key")


def claims() -> pd.DataFrame:
    """Every number and statement of the paper, one row each, all columns text; see `study.claims`."""
    # kept as text, as the paper prints them
    return _read("claims", dtype=str, keep_default_na=False).copy()


def arithmetic() -> pd.DataFrame:
    """The paper's own sums: id, statement, formula, tolerance, note; see `study.claims`."""
    return _read("arithmetic").copy()


def silent(settings) -> pd.DataFrame:
    """What the paper leaves open, our choice with its reason, and where it is set.

    settings : of an experiment.  Columns: subject, choice, reason, parameter (a setting, or the
    module that fixes it in code), here (the setting's present value; empty for what is fixed).
    """
    table = _read("silent").fillna("")
    named = table["parameter"] != ""
    values = [str(attrgetter(p)(settings)) if p else "" for p in table["parameter"]]
    fixed = "fixed in " + table.pop("fixed_in")
    return table.assign(parameter=table["parameter"].where(named, fixed), here=values)


def value(key: str) -> float:
    """One number of :func:`text`.  Raises InputError for an unknown key."""
    table = text()
    if key not in table.index:
        known = nearest(key, table.index)
        raise InputError(f"the paper's '{key}' is not listed", "study/paper/text.csv", known)
    return float(table.at[key, "value"])


def printed() -> dict[str, float]:
    """Every printed number by name, for the formulas of :func:`arithmetic`.

    Names are the keys of :func:`text`; `test_lesions_benign` (split and column of table 1);
    `tnr_2`, `low_2`, `high_2` (table 2 at an FNR of 2 %); `auc_E_S`, `spread_E_S` (table 3).
    """
    second, third = table_2(), table_3()
    second.index = (100 * second["fnr"]).round().astype(int)
    third.index = third["model"].str.replace("+", "_")
    named = {f"{s}_{c}": n for (s, c), n in table_1().drop(columns="where").stack().items()}
    for table, columns in ((second, ["tnr", "low", "high"]), (third, ["auc", "spread"])):
        named |= {f"{column}_{row}": n for (row, column), n in table[columns].stack().items()}
    return {name: float(n) for name, n in (text()["value"].to_dict() | named).items()}
