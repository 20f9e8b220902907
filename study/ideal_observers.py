"""Networks next to the ideal observers of the phantom, whose latents u and c are known.

u is how a lesion looks, c the context of one half of its breast.  An ideal observer knows u, the c
of both halves, or all of them, exactly as drawn, with or without the half that the lesion is in
(`data_manifest.phantom.reader.ideal_scores`); no network that sees the same can score better but by
chance.  :func:`acceptance` answers, question by question, whether the method works as built.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import expit

from lesionlib.errors import InputError
from lesionlib.metrics import resampling
from lesionlib.scoring import PREDICTION_COLUMNS
from study import tables
from study.statistics import common
from study.statistics.fusion import LATE, fuse
from study.statistics.mixed_pairs import pairs_in_order

OBSERVERS = ("local", "context", "context_no_place", "both", "both_no_place")
TRUE_CONTEXT = "E + true context"
# model -> the ideal observer that sees the same, and how far below it the model may be
LIMITS = {
    "S": ("context_no_place", 0.04),
    "I+S": ("context", 0.08),
    "f_loc": ("local", 0.06),
    "E": ("local", 0.06),
    "E+S": ("both", 0.08),
}
LEAK = 0.1  # a larger correlation within truth is taken as a leak
MARGIN = 0.015  # of a gain in a control, where there is nothing to gain
# what each gain asks
GAINS = {
    ("I+S", "S"): "the place adds to the context",
    ("E+S", "E"): "the context adds to the patch",
    ("E+S", LATE): "reading both at once adds to the sum of two scores",
}
MIXED = ("S", "I+S", "E", LATE, "E+S")  # judged within images of both kinds
# name -> (model's number, latent, whether the two should agree; None is reported alone)
WITHIN_TRUTH = {
    "E_u": ("E", "u", True),
    "E_c": ("E", "c", False),
    "S_m_half_c": ("s_m_half", "c", True),
    "S_m_near_u": ("s_m_near", "u", False),
    "S_m_other_c": ("s_m_other", "c", None),
}

WORDS = {
    "_no_place": ", place unknown",
    "s_m_": "S_m ",
    "S_m near": "S_m at the lesion",
    "S_m half": "S_m of the lesion's half",
    "S_m other": "S_m of the other half",
}


def in_words(name: str) -> str:
    """A name of an outcome, question or observer as a reader wants it."""
    for short, words in WORDS.items():
        name = name.replace(short, words)
    return name


def with_observers(predictions: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Predictions of the test split with the ideal observers as further models.

    Added are "ideal <observer>" of each of :data:`OBSERVERS`, the late fusion of E and S, and
    "E + true context": the logit of E's run-averaged score plus the evidence of c, which no better
    context network could beat.
    """
    e, known = _judged(predictions, cases)
    test = predictions[predictions["split"] == "test"]
    own = common.log_odds(e.mean) + known["evidence"].to_numpy()
    seen = {f"ideal {name}": known[name].to_numpy() for name in OBSERVERS}
    seen |= {TRUE_CONTEXT: expit(own)}
    parts = [common.test_rows(e, m, x[:, None]) for m, x in seen.items()]
    parts += [fuse(predictions, LATE)]
    return pd.concat([test, *parts], ignore_index=True)[list(PREDICTION_COLUMNS)]


def _judged(predictions: pd.DataFrame, cases: pd.DataFrame) -> tuple[tables.Scores, pd.DataFrame]:
    """E's scores of the test lesions, and what was drawn of each."""
    e = tables.scores(predictions, "E")
    lost = e.lesion[~np.isin(e.lesion, cases.index)]
    if len(lost):
        what = f"{len(lost)} of {len(e.lesion)} lesions were not drawn here, first {lost[0]}"
        raise InputError(what, "predictions", "Score the lesions of this phantom")
    return e, cases.loc[e.lesion]


def observer_table(
    predictions: pd.DataFrame, cases: pd.DataFrame, resamples: int = 2000
) -> pd.DataFrame:
    """``tables.table_3`` with the models of :func:`with_observers`; index model."""
    seen = with_observers(predictions, cases)
    return tables.table_3(seen, resamples=resamples).set_index("model")


def compare(
    predictions: pd.DataFrame,
    cases: pd.DataFrame,
    resamples: int = 2000,
    rows: pd.DataFrame | None = None,
) -> dict:
    """Networks next to the ideal observers of the same test lesions: `phantom` of ``results.json``.

    cases : as ``steps.phantom_cases`` gives it.  rows : :func:`observer_table`, where it is made
    already.  Every entry has value, low, high (95 % over patients) and counts.
    """
    seen = with_observers(predictions, cases)
    rows = observer_table(predictions, cases, resamples) if rows is None else rows

    def less(a: str, b: str) -> dict:
        return tables.gain_entry(tables.gain(seen, a, b, resamples=resamples))

    out = {
        "ideal": {name: _auc(rows.loc[f"ideal {name}"]) for name in OBSERVERS},
        "E_true_context": _auc(rows.loc[TRUE_CONTEXT]),
        "gains": {f"{a}-{b}": less(a, b) for a, b in GAINS},
        "ideal_gain": less("ideal both", "ideal local"),
        "shortfall": {m: less(f"ideal {n}", m) | {"ideal": n} for m, (n, _) in LIMITS.items()},
        "mixed_pairs": {
            m: pairs_in_order(seen, cases["image_id"], m, resamples=resamples) for m in MIXED
        },
        "within_truth": correlations(predictions, cases, resamples),
    }
    return out | {"acceptance": acceptance(_auc(rows.loc["I"]), out)}


def _auc(row: pd.Series) -> dict:
    counts = {k: int(row[k]) for k in ("lesions", "malignant", "benign", "patients")}
    return {"value": row["auc"], "low": row["low_patients"], "high": row["high_patients"]} | counts


def flat(found: Mapping) -> dict[str, dict]:
    """The numbers of :func:`compare` under one key each: ideal.local, shortfall.S, within_truth.E_c."""
    out = {f"ideal.{name}": entry for name, entry in found["ideal"].items()}
    out |= {f"auc.{TRUE_CONTEXT}": found["E_true_context"], "ideal.gain": found["ideal_gain"]}
    for part in ("shortfall", "mixed_pairs", "within_truth"):
        out |= {f"{part}.{name}": entry for name, entry in found[part].items()}
    return out


def correlations(predictions: pd.DataFrame, cases: pd.DataFrame, resamples: int = 2000) -> dict:
    """Correlation within truth between what a network says and what was drawn, with its interval.

    E should follow u and not c; S_m should follow c in the half that it was drawn for, and not u at
    the lesion.  Truth moves both latents, so the mean of each truth is subtracted first; what is
    left would be a leak.
    """
    e, known = _judged(predictions, cases)
    known = known.assign(E=e.mean)
    # what is resampled is the index of a lesion, by which both numbers are looked up
    place = np.arange(len(e.truth))
    out = {}
    for name, (said, latent, wanted) in WITHIN_TRUTH.items():
        a, b = known[said].to_numpy(float), known[latent].to_numpy(float)
        statistic = partial(_correlation_at, a=a, b=b)
        r = resampling.interval(e.truth, place, e.patient, statistic, resamples)
        entry = dict(value=r.value, low=r.low, high=r.high, kind=r.kind)
        out[name] = entry | dict(wanted=wanted, lesions=r.n, patients=r.patients)
    return out


def _correlation_at(truth: np.ndarray, place: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    rows = place.astype(int)
    return within_truth(truth, a[rows], b[rows])


def within_truth(truth: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of a and b, (n,) each, less the mean of each truth; 0 where one is constant."""
    a, b = np.array(a, float), np.array(b, float)
    for kind in (truth, ~truth):
        a[kind] -= a[kind].mean()
        b[kind] -= b[kind].mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 1e-12 else 0.0


def acceptance(location: Mapping, found: Mapping) -> list[dict]:
    """The phantom's questions, each with our number, its limit and whether it is met.

    location : the AUC of I.  found : the other parts of :func:`compare`.  Where the ideal observer
    gains nothing from the context, the phantom is a control, whose gains have to be small.
    """
    half, above = ".5 in the interval", "interval above {:g}".format
    rows = [_question("I alone tells nothing", location, half, _holds(location, 0.5))]
    for model, (name, limit) in LIMITS.items():
        entry = found["shortfall"][model]
        text = f"{model} is near the ideal observer ({name}): ideal less {model}"
        rows.append(_question(text, entry, f"within {limit:g}", abs(entry["value"]) <= limit))
    pairs, is_control = found["mixed_pairs"], found["ideal_gain"]["value"] <= 0
    for (a, b), text in GAINS.items():
        g = found["gains"][f"{a}-{b}"]
        asked = f"{text}: {a} less {b}", g, above(0), g["low"] > 0
        if is_control:
            small = abs(g["value"]) <= MARGIN
            asked = f"no gain where there is none: {a} less {b}", g, f"within {MARGIN:g}", small
        rows.append(_question(*asked))
    mixed = "mixed pairs: S alone does not tell two lesions of one image apart"
    rows.append(_question(mixed, pairs["S"], half, _holds(pairs["S"], 0.5)))
    if not is_control:
        low = pairs["I+S"]["low"]
        told = low is not None and low > 0.5
        rows.append(_question("mixed pairs: I+S does", pairs["I+S"], above(0.5), told))
    for name, entry in found["within_truth"].items():
        if entry["wanted"] is False:
            said, latent, _ = WITHIN_TRUTH[name]
            text = f"no leak: {said.replace('s_m', 'S_m').replace('_near', ' near')} with {latent}"
            is_small = abs(entry["value"]) < LEAK
            rows.append(_question(f"{text}, within truth", entry, f"|r| < {LEAK:g}", is_small))
    return rows


def _holds(entry: Mapping, value: float) -> bool:
    """Whether an interval holds a value; one of too few images, which is None, does not."""
    return entry["low"] is not None and entry["low"] <= value <= entry["high"]


def _question(text: str, entry: Mapping, limit: str, holds: bool) -> dict:
    numbers = {k: entry[k] for k in ("value", "low", "high")}
    return {"question": text, **numbers, "limit": limit, "holds": bool(holds)}
