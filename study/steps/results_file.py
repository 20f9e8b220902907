"""What an experiment found, as one file: ``figures/<experiment>/results.json``, and its model card.

Everything is computed from the lesion scores (and, for the phantom, from what was drawn), so the
file can be made anew at any time.  Its parts:

| key | content |
|---|---|
| experiment, title, data_set, split | what was run, and the split that is judged |
| counts | patients, images and lesions of each split, as table 1 counts them |
| models | model -> AUC: value, low, high (run-averaged score, over patients); each, mean, sd |
| fusions | the same of late fusions of two models, see `study.statistics.fusion` |
| gains | "a-b" -> AUC of a minus AUC of b, paired, over patients |
| operating_points | "model@FNR" -> TNR with its counts |
| spared_more | benign lesions that E+S spares more than E at 2 % missed |
| phantom | null on a real set; else `study.ideal_observers.compare` |
| evidence | of the demo: the pooled outcomes of several other phantoms (`study.evidence`), or null |
| records | flat: every number above and every one that a notebook recorded, for the claims ledger |
| provenance | digests, versions, seed |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from lesionlib import files
from lesionlib.maps import COMBINATIONS
from study import ideal_observers, tables
from study.lab import Lab
from study.model_card import write_card
from study.settings import figures_folder
from study.statistics.fusion import with_fusions
from study.steps.aggregation_network import fagg
from study.steps.context_network import gmic
from study.steps.data import store
from study.steps.drawn_cases import phantom_cases
from study.steps.lesion_scores import predictions
from study.steps.patch_network import floc

RESULTS, ILLUSTRATION = "results.json", "demo"


def results(lab: Lab) -> dict:
    """Make ``figures/../results.json`` and ``MODEL_CARD.md``; returns the first's content.

    Trains what is missing, as every step does.
    """
    s, scored, images = lab.settings, predictions(lab), store(lab)
    resamples = s.evaluation.resamples
    every = with_fusions(scored)
    numbers = tables.numbers(every, fnr=s.evaluation.fnr, resamples=resamples)
    aucs = _under("auc.", numbers)
    counts, phantom = tables.table_1(images.images, images.lesions), None
    if lab.is_phantom:
        phantom = ideal_observers.compare(scored, phantom_cases(lab), resamples)
    flat = ideal_observers.flat(phantom) if phantom else {}
    # the demo is an illustration; what is claimed of its phantom rests on several others
    several = files.read_json(figures_folder("evidence") / "evidence.json", {})
    several = several.get("pooled") if lab.name == ILLUSTRATION else None
    for key, entry in (several or {}).items():
        of, _, number = key.partition(".")
        flat[f"{number}.pooled" if of == "evidence" else f"{key}.pooled"] = entry
    content = {
        "experiment": lab.name,
        "title": s.title,
        "data_set": s.data.dataset,
        "split": "test",
        "counts": counts.to_dict("index"),
        "models": {m: e for m, e in aucs.items() if m in tables.MODELS},
        "fusions": {m: e for m, e in aucs.items() if m not in tables.MODELS},
        "gains": _under("gain.", numbers),
        "operating_points": _under("tnr.", numbers),
        "spared_more": numbers.get("tnr_gain.E+S-E@0.02"),
        "phantom": phantom,
        "evidence": several,
        "records": lab.records() | tables.table_1_numbers(counts) | numbers | flat,
        "provenance": lab.origin(),
    }
    content = _json_ready(content)
    files.write_json(lab.figures / RESULTS, content)
    card = write_card(lab, content, _trained(lab))
    lab.note(lab.figures / RESULTS, card)
    return content


def _trained(lab: Lab) -> list[Path]:
    """The folders of the trained networks that the results rest on."""
    s = lab.settings
    found = [floc(lab, run) for run in range(s.floc.runs)]
    if not s.fagg.saliency_file:
        found += [gmic(lab, run) for run in range(s.gmic.runs)]
    return found + [fagg(lab, c, run) for c in COMBINATIONS for run in range(s.fagg.runs)]


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
