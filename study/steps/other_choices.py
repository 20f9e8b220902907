"""The windows of the test lesions, scored by trained networks under other choices at evaluation."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from lesionlib import windows as geometry
from lesionlib.seeds import derive_seed, rng
from study.lab import Lab
from study.stages import once, stage
from study.steps.aggregation_network import fagg, fagg_logits, fagg_network, features
from study.steps.context_network import saliency
from study.steps.data import store
from study.steps.patch_network import floc, floc_network, window_outputs
from study.steps.runs import run_read, torch_ready
from study.steps.windows import EVALUATION

MODELS = ("E", "E+S")
WINDOWS = 100  # of a lesion in the paper
LESIONS = 300  # at least, whose windows are drawn and cut anew: half a minute on one core
AT_ONCE = 2000  # windows between two lines of progress


@once
def sensitivity(lab: Lab, run: int = 0) -> pd.DataFrame:
    """Scores of one run of E and E+S for windows of the test lesions; nothing is trained.

    The evaluation windows of every lesion; of the patients that hold some `LESIONS` lesions also
    more of the same kind, up to `WINDOWS` of a lesion, and as many turned as there are evaluation
    windows, by up to `windows.angle` degrees, of the same places and sizes.

    Columns: lesion_id, patient_id, y_true, number (within the lesion, from 0, in the order of
    drawing), turned, part (of those patients), overlap (share of the outline in the window), touches
    (an outline of another truth), E, E+S.
    """
    s, images, read = lab.settings, store(lab), features(lab, run=run)["test"]
    folders = {model: fagg(lab, model, run) for model in MODELS}
    patches = floc(lab, run_read(lab, run, s.floc.runs, partial(floc, lab)))
    maps = saliency(lab, run)

    def compute(place: Path) -> None:
        from lesionlib.scoring import window_scores

        torch_ready(lab)
        drawn = _drawn(images, read["windows"], s)
        new = (drawn["turned"] | (drawn["number"] >= s.evaluation.windows_per_lesion)).to_numpy()
        h, net = np.empty((len(drawn), 32), np.float32), floc_network(lab, patches, s.floc)
        h[~new] = read["h"]
        for start in range(0, new.sum(), AT_ONCE):
            rows = np.flatnonzero(new)[start : start + AT_ONCE]
            h[rows] = window_outputs(net, images, drawn.iloc[rows], s)[0]
            lab.progress(f"sensitivity: {start + len(rows)} of {new.sum()} windows")
        shift = geometry.CELL_SHIFTS[s.fagg.cells]
        location = geometry.location_maps(drawn, s.canvas.map_shape, s.canvas.cell, shift=shift)
        given = location, maps[drawn["image"].to_numpy()], h
        for model, folder in folders.items():
            logits = fagg_logits(fagg_network(lab, folder, model), model, given, s.compute.device)
            drawn[model] = window_scores(logits)
        _named(drawn, images).to_parquet(place / "windows.parquet")

    inputs = {"windows": s.windows.model_dump(), "each": s.evaluation.windows_per_lesion}
    reads = [folder.relative_to(lab.runs).as_posix() for folder in (patches, *folders.values())]
    done = stage(lab, f"sensitivity/run{run}", inputs, compute, reads=[EVALUATION, *reads])
    return pd.read_parquet(done / "windows.parquet")


def _drawn(images, evaluation: pd.DataFrame, s) -> pd.DataFrame:
    """The evaluation windows, then the further ones, with number, turned and part."""
    from lesionlib.sampling import sample_lesion_windows

    each, lesions = s.evaluation.windows_per_lesion, evaluation["lesion"].unique()
    patient = images.lesions["patient_id"].iloc[lesions]
    order = rng(s.seed, "sensitivity").permutation(patient.unique())
    held = patient.value_counts()[order].cumsum().to_numpy()
    some = lesions[patient.isin(order[: np.searchsorted(held, LESIONS) + 1])]
    seed = derive_seed(s.seed, "evaluation windows")  # its first ones are the evaluation windows
    more = sample_lesion_windows(
        images, some, max(WINDOWS, each), s.windows, seed=seed, training=False
    )
    rules = s.windows.model_copy(update={"angle_evaluation": s.windows.angle})
    turned = sample_lesion_windows(images, some, each, rules, seed=seed, training=False)
    parts = [evaluation, more, turned]
    numbered = [part.assign(number=part.groupby("lesion").cumcount()) for part in parts]
    numbered[1] = numbered[1][numbered[1]["number"] >= each]
    drawn = pd.concat(numbered, ignore_index=True)
    drawn["turned"] = np.arange(len(drawn)) >= len(drawn) - len(turned)
    return drawn.assign(part=drawn["lesion"].isin(some))


def _named(drawn: pd.DataFrame, images) -> pd.DataFrame:
    """What the statistics need of each window, with its overlap and the outlines it touches."""
    from lesionlib.scoring import truth_of

    lesions, truth = images.lesions, truth_of(images.lesions)
    overlap, touches = np.empty(len(drawn)), np.zeros(len(drawn), bool)
    for j, rows in drawn.groupby("lesion").indices.items():
        own = drawn.iloc[rows]
        overlap[rows] = geometry.points_inside(own, images.outline(j).centres).mean(axis=1)
        same = lesions.index[lesions["image"] == lesions.at[j, "image"]]
        for k in same[truth[same] != truth[j]]:
            touches[rows] |= geometry.points_inside(own, images.outline(k).centres).any(axis=1)
    held = lesions[["lesion_id", "patient_id"]].iloc[drawn["lesion"]].reset_index(drop=True)
    held = held.assign(y_true=truth[drawn["lesion"]], overlap=overlap, touches=touches)
    return held.join(drawn[["number", "turned", "part", *MODELS]])
