"""Choose the settings of cbis_ddsm on its official training part: experiments/choose_cbis.csv.

    .venv/bin/python experiments/choose_cbis.py FOLDER    (the data; after `make demo`)

Networks learn from the experiment's own training patients and are judged on its validation patients,
both of the official training part.  No network is applied to a test image here.  Each row of the
table is one training; none is left out.  One rule decides each time, the highest validation AUC, and
one thing after the other is chosen.  In the first round

1. f_loc's learning rate (:data:`FLOC_RATES`), at the first of :data:`SIDES`;
2. the sides of its windows, at that rate;
3. its first weights: He's, or those of the demo's f_loc, which was trained on the phantom;
4. GMIC's learning rate (:data:`GMIC_RATES`);
5. f_agg's learning rate (:data:`FAGG_RATES`), by the mean of :data:`COMBINATIONS`, with the networks
   that were chosen.

None of the five f_loc of this round had learned anything after 480 steps: the loss had stayed where
it is by chance.  The second round was added when that had been seen:

6. f_loc with windows that hold most of a lesion (`min_overlap`), with smaller patches and with more
   steps (:data:`LONGER`).  Its last, "i", is "g" with the paper's class outside: it is chosen if it
   comes within :data:`STANDARD_ERROR` of the highest;
7. f_agg's learning rate again, as in 5, with the f_loc of 6.

The validation AUC of so few women has a standard error of about .04, so what these rules choose may
be no better than what they pass over.  Rows of the table are kept, and the work is resumed where it
stopped, in runs/choice_cbis_<windows>_<rate of GMIC>.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd

from lesionlib import windows as geometry
from lesionlib.seeds import derive_seed
from lesionlib.tasks import FAggTask, FLocTask
from lesionlib.training import fit
from study import steps
from study.lab import Lab
from study.settings import Experiment, load_experiment
from study.steps.patch_network import floc_network, window_outputs
from study.steps.runs import torch_ready, with_weights_file
from study.steps.windows import stored_windows

FLOC_RATES = (5e-4, 1e-3, 2e-3)
ONCE = {"min_overlap": 1, "patch": 64}
SIDES = ({"side_min": 48, "side_max": 112} | ONCE, {"side_min": 32, "side_max": 96} | ONCE)
HE = {"initialisation": "he", "weights_file": None}
PHANTOM = {"initialisation": "file", "weights_file": "runs/demo/floc/run0/best.safetensors"}
FLOC_EPOCHS, FLOC_EPOCH = 6, (800, 800, 400, 0)
RESNET = {"backbone": "resnetv2_mini"}
HALVES = (1500, 1500, 0, 0)  # windows of an epoch: no outside
LONG_SEED = 5
LONG = {"learning_rate": 1e-3, "patience": 99} | HE
SMALLER = {"patch": 48}
HOLDING = {"side_min": 64, "side_max": 96, "min_overlap": 1000, "patch": 64}
# what each changes: settings of f_loc, of its windows
LONGER = {
    "a": ({"epoch": (1000, 1000, 300, 0), "epochs": 10}, {"side_min": 48}),
    "b": (
        {"epoch": (1000, 1000, 0, 0), "epochs": 10, "batch": 50, "learning_rate": 3e-3},
        {"min_overlap": 1500},
    ),
    "c": ({"epoch": (1000, 1000, 300, 0), "epochs": 10} | RESNET, {}),
    "d": ({"epoch": HALVES, "epochs": 25, "learning_rate": 2e-3} | RESNET, SMALLER),
    "e": ({"epoch": HALVES, "epochs": 25, "learning_rate": 2e-3}, SMALLER),
    "f": ({"epoch": HALVES, "epochs": 40, "learning_rate": 5e-4}, SMALLER),
    "g": ({"epoch": HALVES, "epochs": 40} | PHANTOM, SMALLER),
    "h": ({"epoch": HALVES, "epochs": 40}, SMALLER),
    "i": ({"epoch": (1500, 1500, 300, 0), "epochs": 40} | PHANTOM, SMALLER),
}
STANDARD_ERROR = 0.04
GMIC_RATES = (3e-4, 1e-3)
GMIC_EPOCHS = 3
FAGG_RATES = (1e-3, 3e-3, 1e-2)
COMBINATIONS = ("E", "S", "I+S", "E+S")
TABLE = Path(__file__).with_suffix(".csv")


def lab_of(sides: tuple[int, int], gmic_rate: float = GMIC_RATES[0]) -> Lab:
    """The experiment with these settings in place of its own."""
    plain = load_experiment("cbis_ddsm").model_dump(mode="json")
    plain["windows"] |= {"side_min": sides[0], "side_max": sides[1]}
    short = {"learning_rate": gmic_rate, "epochs": GMIC_EPOCHS, "patience": GMIC_EPOCHS}
    plain["gmic"] |= short
    name = f"choice_cbis_{sides[0]}_{sides[1]}_{round(1e5 * gmic_rate)}"
    return Lab(Experiment(**plain | {"name": name}), "choice", echo=True)


def floc_run(rate: float, sides: tuple[int, int], first: dict) -> tuple:
    """Settings and folder of a short training of f_loc that scores no test lesion."""
    lab = lab_of(sides)
    new = {"learning_rate": rate, "epoch": FLOC_EPOCH, "epochs": FLOC_EPOCHS}
    settings = lab.settings.floc.model_copy(update=new | {"patience": FLOC_EPOCHS} | first)
    name = f"choice/{rate:g}_{first['initialisation']}"
    seed = derive_seed(lab.settings.seed, "choice")
    return settings, trained_floc(lab, name, settings, seed, 0, scored=False)


def longer_run(lab: Lab, name: str) -> tuple:
    """Settings, windows and folder of a training of f_loc by :data:`LONGER`."""
    changed, changed_windows = LONGER[name]
    settings = lab.settings.floc.model_copy(update=LONG | changed)
    windows = lab.settings.windows.model_copy(update=HOLDING | changed_windows)
    how = {"seed": LONG_SEED, "validation_seed": lab.settings.seed}
    torch_ready(lab)
    task = FLocTask(steps.store(lab), with_weights_file(settings), windows, **how)
    place = lab.runs / "choice" / name
    say = lambda message: lab.progress(f"{name}: {message}")  # noqa: E731
    fit(task, place, settings, seed=LONG_SEED, compute=lab.settings.compute, progress=say)
    return settings, windows, place


def fagg_features(lab: Lab, floc: Path, settings, windows) -> dict[str, dict]:
    """What f_agg reads of training and validation windows, and of no others."""
    s, images, found = lab.settings, steps.store(lab), {}
    torch_ready(lab)
    net, shift = floc_network(lab, floc, settings), geometry.CELL_SHIFTS[s.fagg.cells]
    each = {"training": s.fagg.pool_windows, "validation": s.fagg.windows_validation}
    reader = s.model_copy(update={"windows": windows})
    for split, number in each.items():
        lesions, seed = known_lesions(images, split), derive_seed(s.seed, "choice", split)
        drawn = sample_lesion_windows(
            images, lesions, number, windows, seed=seed, training=split == "training"
        )
        h, _ = window_outputs(net, images, drawn, reader)
        location = geometry.location_maps(drawn, s.canvas.map_shape, s.canvas.cell, shift=shift)
        found[split] = {"windows": drawn, "location": location, "h": h}
    return found


def fagg_run(lab: Lab, features: dict, maps, combination: str, rate: float, name: str) -> tuple:
    """Settings and folder of a training of f_agg."""
    new = {"learning_rate": rate, "epoch": (1000, 1000, 0, 0)}
    settings = lab.settings.fagg.model_copy(update=new)
    seed = derive_seed(lab.settings.seed, "choice", combination)
    place = lab.runs / "choice" / f"{name}_{combination}_{rate:g}"
    task = FAggTask(features, maps, combination, settings, seed=seed)
    fit(task, place, settings, seed=seed, compute=lab.settings.compute, progress=lab.progress)
    return settings, place


class Choice:
    """The table of what was tried, and the steps that add to it."""

    def __init__(self):
        self.rows: list[dict] = []

    def tried(self, network: str, settings, windows, place: Path, maps: str = "") -> float:
        """Write a training down; gives its validation AUC."""
        history = pd.read_csv(place / "history.csv")
        row = {"network": network, "maps": maps, "learning_rate": settings.learning_rate}
        if network == "f_loc":
            names = ("backbone", "initialisation", "batch", "epoch")
            row |= {name: getattr(settings, name) for name in names}
            names = ("side_min", "side_max", "min_overlap", "patch")
            row |= {name: getattr(windows, name) for name in names}
        best = {"epochs": len(history), "best_epoch": int(history["score"].idxmax()) + 1}
        self.rows.append(row | best | {"validation_auc": history["score"].max()})
        pd.DataFrame(self.rows).to_csv(TABLE, index=False, float_format="%.4g")
        return history["score"].max()

    def floc(self, rate: float, sides: tuple[int, int], first: dict) -> float:
        settings, place = floc_run(rate, sides, first)
        return self.tried("f_loc", settings, lab_of(sides).settings.windows, place)

    def gmic(self, sides: tuple[int, int], rate: float) -> float:
        lab = lab_of(sides, rate)
        return self.tried("GMIC", lab.settings.gmic, None, steps.gmic(lab))

    def fagg(self, lab: Lab, features: dict, name: str) -> float:
        """The rate with the highest mean over the combinations."""
        maps, found = steps.saliency(lab), {}
        for rate in FAGG_RATES:
            runs = {c: fagg_run(lab, features, maps, c, rate, name) for c in COMBINATIONS}
            aucs = [self.tried("f_agg", *run[:1], None, run[1], c) for c, run in runs.items()]
            found[rate] = sum(aucs) / len(aucs)
        return max(found, key=found.get)


def main(folder: str) -> None:
    os.environ["LESIONLIB_DATA"] = folder
    choice = Choice()
    by_rate = {rate: choice.floc(rate, SIDES[0], HE) for rate in FLOC_RATES}
    rate = max(by_rate, key=by_rate.get)
    by_sides = {SIDES[0]: by_rate[rate]}
    by_sides |= {each: choice.floc(rate, each, HE) for each in SIDES[1:]}
    sides = max(by_sides, key=by_sides.get)
    first = PHANTOM if choice.floc(rate, sides, PHANTOM) > by_sides[sides] else HE
    by_gmic = {each: choice.gmic(sides, each) for each in GMIC_RATES}
    lab = lab_of(sides, max(by_gmic, key=by_gmic.get))
    settings, place = floc_run(rate, sides, first)
    choice.fagg(lab, fagg_features(lab, place, settings, lab.settings.windows), "fagg")
    found = {}
    for name in LONGER:
        settings, windows, place = longer_run(lab, name)
        found[name] = choice.tried("f_loc", settings, windows, place)
    settings, windows, place = longer_run(lab, best := max(found, key=found.get))
    f_agg = choice.fagg(lab, fagg_features(lab, place, settings, windows), f"fagg_{best}")
    print(f"chosen: f_loc {best}, GMIC {lab.settings.gmic.learning_rate:g}, f_agg {f_agg:g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
