"""What Wu et al. 2020 printed, as data: values of the private NYU set, to set ours beside.

Nothing here is a result of this compendium.  Each row names where the value stands; in tables and
figures these values carry the label :data:`LABEL`.  "spread" is the paper's "+-", which it does not
define; the negative lower bound in table 2 tells that its intervals are mean +- 1.96 SD over
repeated runs.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from operator import attrgetter

import pandas as pd

from lesionlib.errors import InputError, nearest

LABEL = "paper (private NYU set)"


@cache
def _read(name: str) -> pd.DataFrame:
    with (files("study.paper") / f"{name.removeprefix('paper_')}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def table_1() -> pd.DataFrame:
    """Images and lesions by split.  Index split; columns as in ``tables.table_1``, and `where`."""
    return _read("paper_table_1").set_index("split")


def table_2() -> pd.DataFrame:
    """TNR of E+S at five FNR: model, fnr, tnr, low, high (over runs), where."""
    return _read("paper_table_2").copy()


def table_3() -> pd.DataFrame:
    """AUC of the seven combinations: model, auc, spread, where."""
    return _read("paper_table_3").copy()


def figure_6() -> pd.DataFrame:
    """The three AUCs of figure 6 that the text names: backbone, initialisation, auc, spread, ..."""
    return _read("paper_figure_6").copy()


def text() -> pd.DataFrame:
    """Every other number used here.  Index key; columns value, unit, where."""
    return _read("paper_text").set_index("key")


def silent(settings) -> pd.DataFrame:
    """What the paper leaves open, our choice with its reason, and what holds it.

    settings : of an experiment.  Columns: subject, choice, reason, parameter (a setting, or the
    module that fixes it in code), here (the setting's present value; empty for what is fixed).
    """
    table = _read("paper_silent").fillna("")
    named = table["parameter"] != ""
    values = [str(attrgetter(p)(settings)) if p else "" for p in table["parameter"]]
    fixed = "fixed in " + table.pop("fixed_in")
    return table.assign(parameter=table["parameter"].where(named, fixed), here=values)


def value(key: str) -> float:
    """One number of :func:`text`.  Raises InputError for an unknown key."""
    table = text()
    if key not in table.index:
        raise InputError(
            f"the paper's '{key}' is not listed", "paper_text.csv", nearest(key, table.index)
        )
    return float(table.at[key, "value"])
