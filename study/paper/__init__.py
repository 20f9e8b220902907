"""What Wu et al. 2020 printed, as data: values of the private NYU set, to show next to ours.

Nothing here is a result of this compendium.  Each row says where in the paper the value is; tables
and figures show these values under the label :data:`LABEL`.  Every number is written once: tables
1 to 3 and figure 6 in files of their own, other numbers that formulas need in ``text.csv``, the rest
in ``claims.csv``; claims and formulas name them (:func:`as_printed`).  "spread" is the paper's "+-",
which it does not define: SD over runs, 1.96 SD over runs, or half of a bootstrap interval.
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
    """Other numbers that formulas need.  Index key; columns value, unit, where."""
    return _read("text").set_index("key")


def claims() -> pd.DataFrame:
    """What the paper prints, one row each, all columns text; see `study.claims`."""
    # kept as text, as the paper prints them
    table, numbers = _read("claims", dtype=str, keep_default_na=False), as_printed()
    return table.assign(value=[value.format_map(numbers) for value in table["value"]])


def arithmetic() -> pd.DataFrame:
    """Sums of printed numbers, and numbers derived from them; see `study.claims`.

    Columns: id, where, statement, formula ("a = b" for a sum, else a derived number), tolerance, note.
    """
    return _read("arithmetic").fillna({"note": ""})


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


def settings() -> pd.DataFrame:
    """Every setting of an experiment, or a block of them, and whose it is; see `study.against_paper`.

    Columns: setting, source (paper, GMIC, open, not of the paper), what, paper (in words, where the
    full settings hold another value or none).
    """
    return _read("every_setting").fillna("")


def value(key: str) -> float:
    """One number of :func:`text`.  Raises InputError for an unknown key."""
    table = text()
    if key not in table.index:
        known = nearest(key, table.index)
        raise InputError(f"the paper's '{key}' is not listed", "study/paper/text.csv", known)
    return float(table.at[key, "value"])


def as_printed() -> dict[str, str]:
    """Every number of the tables and of :func:`text` by name, as the paper writes it.

    Names are the keys of :func:`text`; `test_lesions_benign` (split and column of table 1);
    `fnr_2`, `tnr_2`, `low_2`, `high_2` (table 2 at an FNR of 2 %); `auc_E_S`, `spread_E_S`
    (table 3); `auc_densenet121_he`, `spread_densenet121_he` (figure 6).
    """
    first, second, third, arms, other = (
        _read(name, dtype=str) for name in ("table_1", "table_2", "table_3", "figure_6", "text")
    )
    percent = (100 * second["fnr"].astype(float)).round().astype(int)
    named = other.set_index("key")["value"].to_dict()
    first = first.set_index("split").drop(columns="where").stack()
    named |= {f"{split}_{column}": n for (split, column), n in first.items()}
    for table, names, columns in (
        (second, percent, ["fnr", "tnr", "low", "high"]),
        (third, third["model"].str.replace("+", "_"), ["auc", "spread"]),
        (arms, arms["backbone"] + "_" + arms["initialisation"], ["auc", "spread"]),
    ):
        cells = table[columns].set_axis(names).stack().items()
        named |= {f"{column}_{name}": n for (name, column), n in cells}
    return named


def printed() -> dict[str, float]:
    """The numbers of :func:`as_printed`, for the formulas of `study.claims`."""
    return {name: float(n) for name, n in as_printed().items()}
