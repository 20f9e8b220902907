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
   steps (:data:`LONGER`);
7. f_agg's learning rate again, as in 5, with the f_loc of 6.

The validation AUC of so few women has a standard error of about .04: what these rules choose may be
no better than what they pass over.  Rows of the table are kept, and the work is resumed where it
stopped, in runs/choice_cbis_<sides>_<rate of GMIC>.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd

from lesionlib import windows as geometry
from lesionlib.seeds import derive_seed
from lesionlib.tasks import FAggTask
from lesionlib.training import fit
from study import steps
from study.lab import Lab
from study.settings import Experiment, load_experiment
from study.steps.patch_network import floc_network, trained_floc, window_outputs
from study.steps.runs import torch_ready
from study.steps.windows import stored_windows

FLOC_RATES = (5e-4, 1e-3, 2e-3)
SIDES = ((48, 112), (32, 96))
PHANTOM = {"initialisation": "file", "weights_file": "runs/demo/floc/run0/best.safetensors"}
FLOC_EPOCHS, FLOC_EPOCH = 6, (800, 800, 400, 0)
RESNET = {"backbone": "resnetv2_mini"}
HALVES = (1500, 1500, 0, 0)  # windows of an epoch: no outside
# settings of f_loc, of its windows
LONGER = {
    "a": ({"epoch": (1000, 1000, 300, 0), "epochs": 10}, {"side_min": 48}),
    "b": (
        {"epoch": (1000, 1000, 0, 0), "epochs": 10, "batch": 50, "learning_rate": 3e-3},
        {"min_overlap": 1500},
    ),
    "c": ({"epoch": (1000, 1000, 300, 0), "epochs": 10} | RESNET, {}),
    "d": ({"epoch": HALVES, "epochs": 25, "learning_rate": 2e-3} | RESNET, {"patch": 48}),
    "e": ({"epoch": HALVES, "epochs": 25, "learning_rate": 2e-3}, {"patch": 48}),
    "f": ({"epoch": HALVES, "epochs": 40, "learning_rate": 5e-4}, {"patch": 48}),
    "g": ({"epoch": HALVES, "epochs": 40} | PHANTOM, {"patch": 48}),
}
GMIC_RATES = (3e-4, 1e-3)
GMIC_EPOCHS = 3
FAGG_RATES = (1e-3, 3e-3, 1e-2)
COMBINATIONS = ("E", "S", "I+S", "E+S")
KEYS = ["network", "learning_rate", "side_min", "side_max", "first_weights", "maps"]
TABLE = Path(__file__).with_suffix(".csv")


def lab_of(sides: tuple[int, int], gmic_rate: float = GMIC_RATES[0]) -> Lab:
    """The experiment with these settings in place of its own."""
    plain = load_experiment("cbis_ddsm").model_dump(mode="json")
    plain["windows"] |= {"side_min": sides[0], "side_max": sides[1]}
    short = {"learning_rate": gmic_rate, "epochs": GMIC_EPOCHS, "patience": GMIC_EPOCHS}
    plain["gmic"] |= short
    name = f"choice_cbis_{sides[0]}_{sides[1]}_{round(1e5 * gmic_rate)}"
    return Lab(Experiment(**plain | {"name": name}), "choice", echo=True)


def floc_run(rate: float, sides: tuple[int, int], first: dict) -> Path:
    """The folder of a short training of f_loc that scores no test lesion."""
    lab = lab_of(sides)
    new = {"learning_rate": rate, "epoch": FLOC_EPOCH, "epochs": FLOC_EPOCHS}
    settings = lab.settings.floc.model_copy(update=new | {"patience": FLOC_EPOCHS} | first)
    name = f"choice/{rate:g}_{first['initialisation']}"
    seed = derive_seed(lab.settings.seed, "choice")
    return trained_floc(lab, name, settings, seed, 0, scored=False)


def fagg_features(lab: Lab, floc: Path) -> dict[str, dict]:
    """What f_agg reads of training and validation windows, and of no others."""
    s, found = lab.settings, {}
    torch_ready(lab)
    net, shift = floc_network(lab, floc, s.floc), geometry.CELL_SHIFTS[s.fagg.cells]
    for split in ("training", "validation"):
        windows = stored_windows(lab)[split]
        h, _ = window_outputs(net, steps.store(lab), windows, s)
        location = geometry.location_maps(windows, s.canvas.map_shape, s.canvas.cell, shift=shift)
        found[split] = {"windows": windows, "location": location, "h": h}
    return found


def fagg_run(lab: Lab, features: dict, maps, combination: str, rate: float) -> Path:
    settings = lab.settings.fagg.model_copy(update={"learning_rate": rate})
    seed = derive_seed(lab.settings.seed, "choice", combination)
    place = lab.runs / "choice" / f"fagg_{combination}_{rate:g}"
    task = FAggTask(features, maps, combination, settings, seed=seed)
    fit(task, place, settings, seed=seed, compute=lab.settings.compute, progress=lab.progress)
    return place


def main(folder: str) -> None:
    os.environ["LESIONLIB_DATA"] = folder
    rows: list[dict] = []

    def tried(network: str, rate: float, sides, first: str, maps: str, place: Path) -> float:
        history = pd.read_csv(place / "history.csv")
        row = dict(zip(KEYS, (network, rate, *sides, first, maps), strict=True))
        row |= {"epochs": len(history), "best_epoch": int(history["score"].idxmax()) + 1}
        rows.append(row | {"validation_auc": history["score"].max()})
        pd.DataFrame(rows).to_csv(TABLE, index=False, float_format="%.4g")
        return history["score"].max()

    def floc(rate, sides, first) -> float:
        place = floc_run(rate, sides, first)
        return tried("f_loc", rate, sides, first["initialisation"], "", place)

    he = {"initialisation": "he", "weights_file": None}
    by_rate = {rate: floc(rate, SIDES[0], he) for rate in FLOC_RATES}
    rate = max(by_rate, key=by_rate.get)
    by_sides = {SIDES[0]: by_rate[rate]} | {each: floc(rate, each, he) for each in SIDES[1:]}
    sides = max(by_sides, key=by_sides.get)
    first = PHANTOM if floc(rate, sides, PHANTOM) > by_sides[sides] else he
    by_gmic = {}
    for each in GMIC_RATES:
        place = steps.gmic(lab_of(sides, each))
        by_gmic[each] = tried("GMIC", each, ("", ""), "he", "", place)
    lab = lab_of(sides, max(by_gmic, key=by_gmic.get))
    features, maps = fagg_features(lab, floc_run(rate, sides, first)), steps.saliency(lab)
    by_fagg = {}
    for each in FAGG_RATES:
        places = {c: fagg_run(lab, features, maps, c, each) for c in COMBINATIONS}
        found = [tried("f_agg", each, sides, "he", c, place) for c, place in places.items()]
        by_fagg[each] = sum(found) / len(found)
    f_agg = max(by_fagg, key=by_fagg.get)
    words = f"f_loc {rate:g}, windows {sides}, first weights {first['initialisation']}"
    print(f"chosen: {words}, GMIC {lab.settings.gmic.learning_rate:g}, f_agg {f_agg:g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
