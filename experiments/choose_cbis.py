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


def lab_of(windows: dict, gmic_rate: float = GMIC_RATES[0]) -> Lab:
    """The experiment with these windows and a short GMIC in place of its own."""
    plain = load_experiment("cbis_ddsm").model_dump(mode="json")
    plain["windows"] |= windows
    plain["gmic"] |= {"learning_rate": gmic_rate, "epochs": GMIC_EPOCHS, "patience": GMIC_EPOCHS}
    plain["fagg"] |= {"epoch": (1000, 1000, 500, 0), "runs": 1}
    rate = round(1e5 * gmic_rate)
    name = "_".join(map(str, ["choice_cbis", *windows.values(), rate]))
    return Lab(Experiment(**plain | {"name": name}), "choice", echo=True)


def floc_run(windows: dict, changed: dict, name: str, seed: int) -> tuple:
    """Lab, settings and folder of a training of f_loc that is applied to no test image."""
    lab = lab_of(windows)
    settings = lab.settings.floc.model_copy(update=changed)
    how = {"seed": seed, "validation_seed": lab.settings.seed}
    torch_ready(lab)
    images = steps.store(lab)
    task = FLocTask(images, with_weights_file(settings), lab.settings.windows, **how)
    place = lab.runs / "choice" / name
    say = lambda message: lab.progress(f"{name}: {message}")  # noqa: E731
    fit(task, place, settings, seed=seed, compute=lab.settings.compute, progress=say)
    return lab, settings, place


def fagg_features(lab: Lab, settings, floc: Path) -> dict[str, dict]:
    """What f_agg reads of training and validation windows, and of no others."""
    s, found = lab.settings, {}
    net, shift = floc_network(lab, floc, settings), geometry.CELL_SHIFTS[s.fagg.cells]
    for split in ("training", "validation"):
        windows = stored_windows(lab)[split]
        h, _ = window_outputs(net, steps.store(lab), windows, s)
        location = geometry.location_maps(windows, s.canvas.map_shape, s.canvas.cell, shift=shift)
        found[split] = {"windows": windows, "location": location, "h": h}
    return found


def fagg_run(lab: Lab, features: dict, maps, combination: str, rate: float) -> tuple:
    """Settings and folder of a training of f_agg."""
    settings = lab.settings.fagg.model_copy(update={"learning_rate": rate})
    seed = derive_seed(lab.settings.seed, "choice", combination)
    place = lab.runs / "choice" / f"fagg_{combination}_{rate:g}"
    task = FAggTask(features, maps, combination, settings, seed=seed)
    fit(task, place, settings, seed=seed, compute=lab.settings.compute, progress=lab.progress)
    return settings, place


class Choice:
    """The table of what was tried, and the steps that add to it."""

    def __init__(self):
        self.rows: list[dict] = []

    def tried(self, network: str, settings, place: Path, windows=None, maps: str = "") -> float:
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

    def floc(self, *run) -> float:
        lab, settings, place = floc_run(*run)
        return self.tried("f_loc", settings, place, lab.settings.windows)

    def gmic(self, windows: dict, rate: float) -> float:
        lab = lab_of(windows, rate)
        return self.tried("GMIC", lab.settings.gmic, steps.gmic(lab))

    def fagg(self, lab: Lab, features: dict) -> float:
        """The rate with the highest mean over the combinations."""
        maps, found = steps.saliency(lab), {}
        for rate in FAGG_RATES:
            runs = {c: fagg_run(lab, features, maps, c, rate) for c in COMBINATIONS}
            aucs = [self.tried("f_agg", *run, maps=c) for c, run in runs.items()]
            found[rate] = sum(aucs) / len(aucs)
        return max(found, key=found.get)


def main(folder: str) -> None:
    os.environ["LESIONLIB_DATA"] = folder
    choice = Choice()

    def short(rate: float, sides: dict, first: dict) -> tuple:
        changed = {"learning_rate": rate, "epoch": FLOC_EPOCH, "epochs": FLOC_EPOCHS}
        changed |= {"patience": FLOC_EPOCHS} | first
        seed = derive_seed(load_experiment("cbis_ddsm").seed, "choice")
        return sides, changed, f"{rate:g}_{first['initialisation']}", seed

    by_rate = {rate: choice.floc(*short(rate, SIDES[0], HE)) for rate in FLOC_RATES}
    rate = max(by_rate, key=by_rate.get)
    by_sides = [by_rate[rate], choice.floc(*short(rate, SIDES[1], HE))]
    sides = SIDES[by_sides.index(max(by_sides))]
    first = PHANTOM if choice.floc(*short(rate, sides, PHANTOM)) > max(by_sides) else HE
    by_gmic = {each: choice.gmic(sides, each) for each in GMIC_RATES}
    gmic_rate = max(by_gmic, key=by_gmic.get)
    lab, settings, place = floc_run(*short(rate, sides, first))
    choice.fagg(lab_of(sides, gmic_rate), fagg_features(lab, settings, place))

    runs = {
        name: (HOLDING | windows, LONG | changed, name, LONG_SEED)
        for name, (changed, windows) in LONGER.items()
    }
    found = {name: choice.floc(*run) for name, run in runs.items()}
    last, best = "i", max(found, key=found.get)
    chosen = last if found[last] > found[best] - STANDARD_ERROR else best
    lab, settings, place = floc_run(*runs[chosen])
    features = fagg_features(lab, settings, place)
    f_agg = choice.fagg(lab_of(runs[chosen][0], gmic_rate), features)
    print(f"chosen: f_loc {chosen}, GMIC {gmic_rate:g}, f_agg {f_agg:g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
