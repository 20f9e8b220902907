"""What an experiment found, as one file: ``figures/<experiment>/results.json``.

Everything is computed from the predictions (and, for the phantom, from what was drawn), so the file
can be made anew at any time.  Its parts:

| key | holds |
|---|---|
| experiment, title, data_set, split | what was run, and the split that is judged |
| counts | patients, images and lesions of each split, as table 1 counts them |
| models | model -> AUC: value, low, high (run-averaged score, over patients); each, mean, sd |
| gains | "a-b" -> AUC of a minus AUC of b, paired, over patients |
| operating_points | "model@FNR" -> TNR with its counts |
| spared_more | benign lesions that E+S spares more than E at 2 % missed |
| phantom | null on a real set; else ideal observers, shortfalls, correlations, acceptance |
| seeds | null where no experiment repeats this one; else its gain by seed, pooled, control |
| records | flat: every number above and every one that a notebook recorded, for the claims ledger |
| provenance | digests, versions, seed |

``phantom.acceptance`` answers, question by question, whether the method works as built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from lesionlib import files
from lesionlib.metrics import resampling, roc
from lesionlib.scoring import PREDICTION_COLUMNS
from study import tables
from study.settings import experiment_names, figures_folder

FILE = "results.json"
OBSERVERS = ("local", "context", "both")
TRUE_CONTEXT = "E + true context"
# model -> the ideal observer that sees what it sees, and how far below it may stay
LIMITS = {"S": ("context", 0.04), "f_loc": ("local", 0.06), "E+S": ("both", 0.06)}
LEAK = 0.1  # correlation within truth that would speak of a leak
CONTROL_GAIN = 0.015  # of a control, where there is nothing to gain
# name -> (model's number, latent, whether the two should agree)
WITHIN_TRUTH = {
    "E_u": ("E", "u", True),
    "E_c": ("E", "c", False),
    "S_m_c": ("s_m", "c", True),
    "S_m_u": ("s_m", "u", False),
}


# ------------------------------------------------------------------ the file
def assemble(lab) -> dict:
    """Make ``results.json`` of an experiment and give its content; see the module.

    Trains what is missing, as every stage does.
    """
    from study import steps

    s, predictions, store = lab.settings, steps.predictions(lab), steps.store(lab)
    resamples = s.evaluation.resamples
    numbers = tables.results(predictions, fnr=s.evaluation.fnr, resamples=resamples)
    counts, phantom = tables.table_1(store.images, store.lesions), None
    if lab.is_phantom:
        phantom = phantom_results(predictions, phantom_cases(lab), resamples)
    seeds = over_seeds(lab.name, predictions, phantom, resamples)
    content = {
        "experiment": lab.name,
        "title": s.title,
        "data_set": s.data.dataset,
        "split": "test",
        "counts": counts.to_dict("index"),
        "models": _under("auc.", numbers),
        "gains": _under("gain.", numbers),
        "operating_points": _under("tnr.", numbers),
        "spared_more": numbers.get("tnr_gain.E+S-E@0.02"),
        "phantom": phantom,
        "seeds": seeds,
        "records": lab.records() | tables.table_1_results(counts) | numbers | flat(phantom, seeds),
        "provenance": lab.origin(),
    }
    content = _json_ready(content)
    files.write_json(lab.figures / FILE, content)
    return content


def _under(prefix: str, numbers: Mapping[str, dict]) -> dict[str, dict]:
    return {k.removeprefix(prefix): v for k, v in numbers.items() if k.startswith(prefix)}


def _json_ready(value):
    """Plain numbers of six digits, and null for what is not finite: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {str(k): _json_ready(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


# ------------------------------------------------------------------ the phantom
def phantom_cases(lab) -> pd.DataFrame:
    """What was drawn for each test lesion of the phantom, and the mean saliency of its image.

    Index lesion_id; columns patient_id, y_true, u, c, local, context, both, evidence (see
    ``phantom.ideal_scores``) and s_m, the mean of S_m over the image's cells.
    """
    from data_manifest.phantom import reader as phantom
    from study import steps

    store, maps = steps.store(lab), steps.saliency(lab)
    lesions = store.lesions[store.lesions["split"] == "test"]
    truth = phantom.truth_table(steps.data_folder(lab), store.lesions)
    ideal = phantom.ideal_scores(truth, lab.settings.phantom).set_index("lesion_id")
    drawn = truth.set_index("lesion_id")[["u", "c"]].join(ideal[[*OBSERVERS, "evidence"]])
    cases = lesions.set_index("lesion_id")[["patient_id", "image"]].join(drawn, how="left")
    cases["y_true"] = (lesions["pathology"] == "malignant").to_numpy(int)
    cases["s_m"] = maps[cases["image"].to_numpy(), 0].mean(axis=(1, 2))
    return cases.drop(columns="image").sort_index()


def with_observers(predictions: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Predictions of the test split with the ideal observers as further models.

    Added are "ideal local", "ideal context", "ideal both", and "E + true context": the logit of E's
    run-averaged score plus the evidence of c, which no better context network could beat.
    """
    test = predictions[predictions["split"] == "test"]
    e = tables.scores(test, "E")
    # a score of 0 or 1 has no finite logit
    own = logit(np.clip(e.mean, 1e-6, 1 - 1e-6)) + cases.loc[e.lesion, "evidence"].to_numpy()
    seen = {f"ideal {name}": cases.loc[e.lesion, name].to_numpy() for name in OBSERVERS}
    head = {"lesion_id": e.lesion, "patient_id": e.patient, "split": "test"}
    head |= {"y_true": e.truth.astype(int), "run": 0}
    seen |= {TRUE_CONTEXT: expit(own)}
    parts = [pd.DataFrame(head | {"model": m, "y_score": x}) for m, x in seen.items()]
    return pd.concat([test, *parts], ignore_index=True)[list(PREDICTION_COLUMNS)]


def observer_table(
    predictions: pd.DataFrame, cases: pd.DataFrame, resamples: int = 2000
) -> pd.DataFrame:
    """``tables.table_3`` with the models of :func:`with_observers`; index model."""
    seen = with_observers(predictions, cases)
    return tables.table_3(seen, resamples=resamples).set_index("model")


def phantom_results(
    predictions: pd.DataFrame,
    cases: pd.DataFrame,
    resamples: int = 2000,
    rows: pd.DataFrame | None = None,
) -> dict:
    """Networks beside the ideal observers of the same test lesions.

    cases : as :func:`phantom_cases` gives it.  rows : :func:`observer_table`, where it is there
    already.  Every entry has value, low, high (95 % over patients) and counts.
    """
    seen = with_observers(predictions, cases)
    rows = observer_table(predictions, cases, resamples) if rows is None else rows
    ideal = {name: _auc(rows.loc[f"ideal {name}"]) for name in OBSERVERS}
    below = {
        model: _difference(seen, f"ideal {name}", model, resamples) | {"ideal": name}
        for model, (name, _) in (LIMITS | {"E": ("local", None)}).items()
    }
    out = {
        "ideal": ideal,
        "E_true_context": _auc(rows.loc[TRUE_CONTEXT]),
        "gain": _difference(seen, "E+S", "E", resamples),
        "ideal_gain": _difference(seen, "ideal both", "ideal local", resamples),
        "shortfall": below,
        "within_truth": correlations(predictions, cases, resamples),
    }
    return out | {"acceptance": acceptance(_auc(rows.loc["I"]), out)}


def flat(phantom: Mapping | None, seeds: Mapping | None = None) -> dict[str, dict]:
    """These numbers under one key each: ideal.local, shortfall.S, within_truth.E_c, gain.pooled."""
    out = {}
    if phantom:
        out |= {f"ideal.{name}": entry for name, entry in phantom["ideal"].items()}
        out |= {f"auc.{TRUE_CONTEXT}": phantom["E_true_context"]}
        out |= {"ideal.gain": phantom["ideal_gain"]}
        for part in ("shortfall", "within_truth"):
            out |= {f"{part}.{name}": entry for name, entry in phantom[part].items()}
    if seeds:
        pooled = dict(seeds["pooled"])
        out["gain.pooled"] = {"value": pooled.pop("gain")} | pooled
    return out


def _auc(row: pd.Series) -> dict:
    counts = {k: int(row[k]) for k in ("lesions", "malignant", "benign", "patients")}
    return {"value": row["auc"], "low": row["low_patients"], "high": row["high_patients"]} | counts


def _difference(predictions, a: str, b: str, resamples: int) -> dict:
    g = tables.gain(predictions, a, b, resamples=resamples)
    counts = dict(lesions=g.n, malignant=g.malignant, patients=g.patients)
    return dict(value=g.value, low=g.low, high=g.high, kind=g.kind, **counts)


def correlations(predictions: pd.DataFrame, cases: pd.DataFrame, resamples: int = 2000) -> dict:
    """Correlation within truth of what a network says and what was drawn, with its interval.

    E should follow u and not c, the mean of S_m should follow c and not u.  Truth moves both
    latents, so the mean of each truth is taken off first; what is left would be a leak.
    """
    e = tables.scores(predictions, "E")
    known = cases.loc[e.lesion].assign(E=e.mean)
    out = {}
    for name, (said, latent, wanted) in WITHIN_TRUTH.items():
        a, b = known[said].to_numpy(float), known[latent].to_numpy(float)
        r = _correlation_interval(e.truth, a, b, e.patient, resamples)
        entry = dict(value=r.value, low=r.low, high=r.high, kind=r.kind)
        out[name] = entry | dict(wanted=wanted, lesions=r.n, patients=r.patients)
    return out


def _correlation_interval(truth, a, b, patient, resamples: int) -> resampling.Interval:
    def statistic(kind, place):
        rows = place.astype(int)
        return within_truth(kind, a[rows], b[rows])

    # the "score" that is resampled is the lesion's place, which fetches both numbers
    place = np.arange(len(truth))
    return resampling.interval(truth, place, patient, statistic, resamples)


def within_truth(truth: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of a and b, (n,) each, less the mean of each truth; 0 where one is constant."""
    a, b = np.array(a, float), np.array(b, float)
    for kind in (truth, ~truth):
        a[kind] -= a[kind].mean()
        b[kind] -= b[kind].mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 1e-12 else 0.0


def acceptance(location: Mapping, found: Mapping) -> list[dict]:
    """The phantom's questions, each with our number, its limit and whether it holds.

    location : the AUC of I.  found : the other parts of :func:`phantom_results`.
    """
    rows = [_question("I alone tells nothing", location, ".5 in the interval",
                      location["low"] <= 0.5 <= location["high"])]  # fmt: skip
    for model, (name, limit) in LIMITS.items():
        entry = found["shortfall"][model]
        rows.append(_question(f"{model} is near the ideal observer ({name}): ideal less {model}",
                              entry, f"within {limit:g}", abs(entry["value"]) <= limit))  # fmt: skip
    gain, possible = found["gain"], found["ideal_gain"]["value"]
    if possible > 0:
        asked = "the gain of E+S over E", gain, "interval above 0", gain["low"] > 0
    else:  # the control
        small = abs(gain["value"]) <= CONTROL_GAIN
        asked = "no gain of E+S over E where there is none", gain, f"within {CONTROL_GAIN}", small
    rows.append(_question(*asked))
    for name, entry in found["within_truth"].items():
        if not entry["wanted"]:
            said, latent, _ = WITHIN_TRUTH[name]
            what = f"no leak: {said.replace('s_m', 'mean S_m')} with {latent}, within truth"
            rows.append(_question(what, entry, f"|r| < {LEAK:g}", abs(entry["value"]) < LEAK))
    return rows


def _question(text: str, entry: Mapping, limit: str, holds: bool) -> dict:
    numbers = {k: entry[k] for k in ("value", "low", "high")}
    return {"question": text, **numbers, "limit": limit, "holds": bool(holds)}


# ------------------------------------------------------------------ several experiments
def siblings(name: str) -> tuple[list[str], str | None]:
    """Experiments that repeat `name` with other seeds (name_seed2, ...), and its control."""
    others = experiment_names()
    seeds = [other for other in others if re.fullmatch(rf"{re.escape(name)}_seed\d+", other)]
    control = f"{name}_control"
    return seeds, control if control in others else None


def over_seeds(
    name: str, predictions: pd.DataFrame, phantom: Mapping | None, resamples: int = 2000
) -> dict | None:
    """The gain of E+S over E in this experiment and in those that repeat it with other seeds.

    Reads the siblings' ``figures/<name>/predictions.csv`` (or ``.csv.gz``); those not run yet are
    listed as missing.

    Returns None where no experiment repeats this one; else each (name -> AUCs, gain, low, high,
    ideal_gain, counts), pooled (mean gain, patients resampled within each seed), control (as in
    each, or None) and missing.
    """
    seeds, control = siblings(name)
    if not seeds:
        return None
    tables_of = {name: predictions} | _saved([*seeds, *filter(None, [control])])
    used = [n for n in (name, *seeds) if n in tables_of]
    rows = {n: _gain_of(n, table, resamples) for n, table in tables_of.items()}
    rows[name]["ideal_gain"] = phantom["ideal_gain"]["value"] if phantom else None
    pooled = tables.pooled_gain([tables_of[n] for n in used], resamples=resamples)
    ideal = [rows[n]["ideal_gain"] for n in used]
    return {
        "each": {n: rows[n] for n in used},
        "pooled": {
            "gain": pooled.value,
            "low": pooled.low,
            "high": pooled.high,
            "kind": pooled.kind,
            "sd_over_seeds": pooled.sd,
            "ideal_gain": None if None in ideal else float(np.mean(ideal)),
            "seeds": len(used),
            "lesions": pooled.n,
            "patients": pooled.patients,
        },
        "control": rows.get(control),
        "missing": [n for n in (*seeds, control) if n and n not in tables_of],
    }


def _saved(names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Predictions of those experiments whose stored results hold E and E+S, by name."""
    found = {}
    for name in names:
        files = sorted(figures_folder(name).glob("predictions.csv*"))
        table = pd.read_csv(files[0]) if files else pd.DataFrame(columns=["model"])
        if {"E", "E+S"} <= set(table["model"]):
            found[name] = table
    return found


def _gain_of(name: str, predictions: pd.DataFrame, resamples: int) -> dict:
    g = tables.gain(predictions, resamples=resamples)
    scored = {model: tables.scores(predictions, model) for model in ("E", "E+S")}
    row = {model: float(roc.auc(s.truth, s.mean)) for model, s in scored.items()}
    stored = files.read_json(figures_folder(name) / FILE, {}).get("phantom") or {}
    ideal = stored.get("ideal_gain", {}).get("value")
    row |= {"gain": g.value, "low": g.low, "high": g.high, "kind": g.kind, "ideal_gain": ideal}
    return row | {"lesions": g.n, "patients": g.patients}
