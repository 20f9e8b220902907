"""What an experiment found, as one file: ``figures/<experiment>/results.json``.

Everything is computed from the lesion scores (and, for the phantom, from what was drawn), so the
file can be made anew at any time.  Its parts:

| key | content |
|---|---|
| experiment, title, data_set, split | what was run, and the split that is judged |
| counts | patients, images and lesions of each split, as table 1 counts them |
| models | model -> AUC: value, low, high (run-averaged score, over patients); each, mean, sd |
| gains | "a-b" -> AUC of a minus AUC of b, paired, over patients |
| operating_points | "model@FNR" -> TNR with its counts |
| spared_more | benign lesions that E+S spares more than E at 2 % missed |
| phantom | null on a real set; else `study.ideal_observers.compare` |
| seeds | null where no experiment repeats this one; else its gain by seed, pooled, control |
| records | flat: every number above and every one that a notebook recorded, for the claims ledger |
| provenance | digests, versions, seed |
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data_manifest.phantom import reader as phantom_reader
from lesionlib import files
from lesionlib.metrics import roc
from study import ideal_observers, tables
from study.lab import Lab
from study.settings import experiment_names, figures_folder
from study.steps.context_network import saliency
from study.steps.data import data_folder, store
from study.steps.lesion_scores import predictions

RESULTS = "results.json"


def results(lab: Lab) -> dict:
    """Make ``figures/../results.json`` of an experiment and return its content; see the module.

    Trains what is missing, as every step does.
    """
    s, scored, images = lab.settings, predictions(lab), store(lab)
    resamples = s.evaluation.resamples
    numbers = tables.numbers(scored, fnr=s.evaluation.fnr, resamples=resamples)
    counts, phantom = tables.table_1(images.images, images.lesions), None
    if lab.is_phantom:
        phantom = ideal_observers.compare(scored, phantom_cases(lab), resamples)
    seeds = over_seeds(lab.name, scored, phantom, resamples)
    flat = ideal_observers.flat(phantom) if phantom else {}
    if seeds:
        pooled = dict(seeds["pooled"])
        flat["gain.pooled"] = {"value": pooled.pop("gain")} | pooled
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
        "records": lab.records() | tables.table_1_numbers(counts) | numbers | flat,
        "provenance": lab.origin(),
    }
    content = _json_ready(content)
    files.write_json(lab.figures / RESULTS, content)
    lab.note(lab.figures / RESULTS)
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


def phantom_cases(lab: Lab) -> pd.DataFrame:
    """What was drawn for each test lesion of the phantom, and the mean saliency of its image.

    Index lesion_id; columns patient_id, y_true, u, c, local, context, both, evidence (see
    ``phantom_reader.ideal_scores``) and s_m, the mean of S_m over the image's cells.
    """
    images, maps = store(lab), saliency(lab)
    lesions = images.lesions[images.lesions["split"] == "test"]
    truth = phantom_reader.truth_table(data_folder(lab), images.lesions)
    ideal = phantom_reader.ideal_scores(truth, lab.settings.phantom).set_index("lesion_id")
    observers = [*ideal_observers.OBSERVERS, "evidence"]
    drawn = truth.set_index("lesion_id")[["u", "c"]].join(ideal[observers])
    cases = lesions.set_index("lesion_id")[["patient_id", "image"]].join(drawn, how="left")
    cases["y_true"] = (lesions["pathology"] == "malignant").to_numpy(int)
    cases["s_m"] = maps[cases["image"].to_numpy(), 0].mean(axis=(1, 2))
    return cases.drop(columns="image").sort_index()


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
        "pooled": dict(gain=pooled.value, low=pooled.low, high=pooled.high, kind=pooled.kind)
        | {"sd_over_seeds": pooled.sd}
        | {"ideal_gain": None if None in ideal else float(np.mean(ideal))}
        | {"seeds": len(used), "lesions": pooled.n, "patients": pooled.patients},
        "control": rows.get(control),
        "missing": [n for n in (*seeds, control) if n and n not in tables_of],
    }


def _saved(names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Predictions of those experiments whose stored results include E and E+S, by name."""
    found = {}
    for name in names:
        saved = sorted(figures_folder(name).glob("predictions.csv*"))
        table = tables.read_predictions(saved[0]) if saved else None
        if saved and {"E", "E+S"} <= set(table["model"]):
            found[name] = table
    return found


def _gain_of(name: str, predictions: pd.DataFrame, resamples: int) -> dict:
    g = tables.gain(predictions, resamples=resamples)
    scored = {model: tables.scores(predictions, model) for model in ("E", "E+S")}
    row = {model: float(roc.auc(s.truth, s.mean)) for model, s in scored.items()}
    stored = files.read_json(figures_folder(name) / RESULTS, {}).get("phantom") or {}
    ideal = stored.get("ideal_gain", {}).get("value")
    row |= {"gain": g.value, "low": g.low, "high": g.high, "kind": g.kind, "ideal_gain": ideal}
    return row | {"lesions": g.n, "patients": g.patients}
