"""How far the result depends on what the paper leaves open at evaluation.

From the scores of single windows (`study.steps.other_choices`), of one run: which windows count, how
many, and how they are put together.  Each choice is set beside the run as it was, on the same
lesions.  No choice is made by these numbers: they are of the test split.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lesionlib.metrics import resampling, roc

MODELS = "E", "E+S"
AS_RUN, ON_PART = "as run", "as run, a part of the lesions"
COUNTS = (1, 2, 4, 8, 16, 32, 64, 100)  # windows of a lesion
OVERLAPS = (0.25, 0.5)  # least shares of the outline that are in a window
WAYS = {
    "median": "median",
    "vote": lambda scores: (scores > 0.5).mean(),
    "highest": "max",
}


def lesion_scores(windows: pd.DataFrame, keep=None, way="mean") -> pd.DataFrame:
    """Lesion scores of the windows that are kept, index lesion_id.

    windows : columns lesion_id, patient_id, y_true, overlap, E, E+S.  keep : bool (n,), all if None.
    way : how scores are put together, as pandas' ``agg`` takes it.
    A lesion without a kept window is judged by those that hold most of it, and counted as `lost`.
    """
    lesion = windows["lesion_id"]
    keep = np.ones(len(windows), bool) if keep is None else np.asarray(keep)
    lost = ~pd.Series(keep, windows.index).groupby(lesion).transform("any")
    most = windows["overlap"] == windows["overlap"].groupby(lesion).transform("max")
    used = windows[keep | (lost & most)].groupby("lesion_id")
    out = used[["patient_id", "y_true"]].first().join(used[list(MODELS)].agg(way))
    return out.assign(lost=lost.groupby(lesion).first())


def choices(windows: pd.DataFrame, each: int) -> dict[str, pd.DataFrame]:
    """Lesion scores under every choice, by its name; the first is the run as it was.

    windows : as ``steps.sensitivity`` gives them.  each : windows of a lesion at evaluation.
    Choices after `ON_PART` are of the lesions of which more windows were drawn.
    """
    upright = windows[~windows["turned"]]
    own = upright[upright["number"] < each]
    out = {AS_RUN: lesion_scores(own)}
    for share in OVERLAPS:
        name = f"{share:.0%} of the outline in each window"
        out[name] = lesion_scores(own, own["overlap"] >= share)
    out["no lesion of another truth in a window"] = lesion_scores(own, ~own["touches"])
    out |= {f"{name} in place of the mean": lesion_scores(own, way=w) for name, w in WAYS.items()}
    some = upright[upright["part"]]
    out[ON_PART] = lesion_scores(some[some["number"] < each])
    for count in COUNTS:
        part = some[some["number"] < count]
        out[f"{count} window{'s' * (count > 1)} of a lesion"] = lesion_scores(part)
    return out | {"windows turned at random": lesion_scores(windows[windows["turned"]])}


def retrained(predictions: pd.DataFrame, name: str, run: int = 0) -> dict[str, pd.DataFrame]:
    """Test scores of one run that had to be trained for a choice, as :func:`choices` has them.

    Empty where the frame lacks E or E+S.
    """
    own = predictions[(predictions["split"] == "test") & (predictions["run"] == run)]
    wide = own.pivot(index="lesion_id", columns="model", values="y_score")
    if not set(MODELS) <= set(wide):
        return {}
    first = own.drop_duplicates("lesion_id").set_index("lesion_id")[["patient_id", "y_true"]]
    return {name: first.join(wide[list(MODELS)]).assign(lost=False)}


def effects(
    found: Mapping[str, pd.DataFrame], *, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """AUC under each choice, what E+S changes by it, and the gain of E+S over E.

    Columns: choice, auc E, auc E+S, change, change_low, change_high (E+S less E+S of the run as it
    was, on the same lesions), gain, gain_low, gain_high (E+S less E), lost, lesions, malignant,
    patients.  Intervals are of 95 % over patients.
    """
    rows = []
    for name, table in found.items():
        known = found[AS_RUN].loc[table.index]
        truth, patient = table["y_true"] == 1, table["patient_id"]
        row = {"choice": name} | {f"auc {m}": float(roc.auc(truth, table[m])) for m in MODELS}
        for key, other in (("change", known["E+S"]), ("gain", table["E"])):
            more = (truth, table["E+S"], other, patient, "auc", resamples, seed)
            x = resampling.paired_difference(*more)
            row |= {key: x.value, f"{key}_low": x.low, f"{key}_high": x.high}
        counts = {"lost": int(table["lost"].sum()), "lesions": x.n, "malignant": x.malignant}
        rows.append(row | counts | {"patients": x.patients})
    return pd.DataFrame(rows)
