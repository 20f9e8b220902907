"""How far chance in training carries: the spread of repeated runs, and whose chance it is.

Runs are grouped by what they share (data, and where networks are kept, these): the spread within
groups is pooled.  Intervals take values as normal; with few runs they are wide, and that is the
message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import chdtri, fdtri

from lesionlib.errors import InputError


def pooled_sd(groups: Sequence[Sequence[float]]) -> dict:
    """SD of a single run within groups of runs, pooled over groups of two or more.

    Returns value, low, high (95 %, chi-squared), df (runs less groups), runs, groups.
    Raises InputError where no group has two runs.
    """
    used = [np.asarray(group, float) for group in groups if len(group) > 1]
    if not used:
        raise InputError("no group of two runs", "pooled_sd", "Train at least two runs")
    squares = sum(((x - x.mean()) ** 2).sum() for x in used)
    runs = sum(map(len, used))
    df = runs - len(used)
    low, high = (float(np.sqrt(squares / chdtri(df, p))) for p in (0.025, 0.975))
    value = float(np.sqrt(squares / df))
    return {"value": value, "low": low, "high": high, "df": df, "runs": runs, "groups": len(used)}


def variance_share(part: dict, whole: dict) -> dict:
    """Variance of `part` over that of `whole`, both of :func:`pooled_sd`, from separate runs.

    Returns value, low, high (95 %, F).  It may be above 1 by chance.
    """
    ratio = (part["value"] / whole["value"]) ** 2
    ends = [ratio / fdtri(part["df"], whole["df"], p) for p in (0.975, 0.025)]
    return {"value": ratio, "low": float(ends[0]), "high": float(ends[1])}


def compared(whole: Mapping[str, Sequence], part: Mapping[str, Sequence]) -> pd.DataFrame:
    """The spread of all that is trained again, and of a part of it, by the name of a number.

    whole, part : name -> groups of runs, as :func:`pooled_sd` takes them.  Index: the names.
    Columns: sd_all, low, high, sd_part, share, share_low, share_high; those of a part with a single
    run are missing.
    """
    rows = {}
    for name, groups in whole.items():
        every = pooled_sd(groups)
        rows[name] = {"sd_all": every["value"], "low": every["low"], "high": every["high"]}
        if max(map(len, part[name])) > 1:
            alone = pooled_sd(part[name])
            share = variance_share(alone, every)
            rows[name] |= {"sd_part": alone["value"], "share": share["value"]}
            rows[name] |= {"share_low": share["low"], "share_high": share["high"]}
    return pd.DataFrame(rows).T.rename_axis("number")
