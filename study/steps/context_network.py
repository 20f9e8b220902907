"""GMIC, the context network, and the saliency maps S of every image."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.settings import project_path
from study.stages import once, stage
from study.steps.data import need_lesions, store
from study.steps.runs import (
    file_state,
    loaded,
    machine,
    run_read,
    several,
    torch_ready,
    train,
    with_weights_file,
)
from study.steps.saliency_controls import other_patients, without_lesions
from study.steps.saliency_file import read_saliency

IMAGES_AT_ONCE = 8


@once
def gmic(lab: Lab, run: int = 0) -> Path:
    """The folder of one trained context network."""
    need_lesions(lab)
    images, s = store(lab), lab.settings
    name = f"gmic/run{run}"
    # the first run's seed has no number, so that it is the same as where there is one run
    seed = derive_seed(s.seed, "gmic", *([run] if run else []))
    inputs = {"gmic": s.gmic.model_dump(exclude={"runs"}), "seed": seed}
    inputs |= {"weights_file": file_state(s.gmic.weights_file)} | several(lab)

    def compute(place: Path) -> None:
        from lesionlib.tasks import GMICTask

        torch_ready(lab)
        task = GMICTask(images, with_weights_file(s.gmic), seed=seed, workers=s.compute.workers)
        train(lab, name, task, place, s.gmic, seed)

    return stage(lab, name, inputs, compute, reads=["store"], resumes=True, shared=machine(lab))


def load_gmic(lab: Lab, run: int = 0):
    """A trained GMIC in evaluation mode."""
    return gmic_network(lab, gmic(lab, run))


def gmic_network(lab: Lab, run_folder: Path):
    """A trained GMIC, by the folder of its run."""
    from lesionlib.models.gmic import gmic_from_settings

    return loaded(lab, run_folder, gmic_from_settings(lab.settings.gmic))


@once
def saliency(lab: Lab, run: int = 0) -> np.ndarray:
    """Saliency maps of every image of the store, float32 (n, 2, h, w); S_m first, then S_b.

    run : of f_agg, which reads them.  They are GMIC's, or those of the file that
    `fagg.saliency_file` names, made by any other network (see `study.steps.saliency_file`).
    """
    return np.load(saliency_folder(lab, run) / "maps.npy", mmap_mode="c")


@once
def saliency_folder(lab: Lab, run: int = 0) -> Path:
    """The stage of the maps that run `run` of f_agg reads, see `runs.run_read`."""
    s = lab.settings
    if s.fagg.saliency_file:
        own = _given_saliency(lab)
    else:
        own = _gmic_saliency(lab, run_read(lab, run, s.gmic.runs, partial(gmic, lab)))
    return own if s.fagg.saliency_of == "own" else _control_saliency(lab, own)


def _gmic_saliency(lab: Lab, run: int) -> Path:
    folder, images, s = gmic(lab, run), store(lab), lab.settings

    def compute(place: Path) -> None:
        torch_ready(lab)
        np.save(place / "maps.npy", saliency_maps(gmic_network(lab, folder), images, s))

    how = {"reads": [f"gmic/run{run}"], "shared": machine(lab)}
    return stage(lab, f"saliency/run{run}", {}, compute, **how)


def saliency_maps(net, images, settings) -> np.ndarray:
    """Maps of every image of a store by GMIC, float32 (n, 2, h, w); S_m first, then S_b."""
    import torch

    from lesionlib.models.gmic import malignant_first

    maps = np.empty((len(images.images), 2, *settings.canvas.map_shape), "f4")
    with torch.no_grad():
        for start in range(0, len(maps), IMAGES_AT_ONCE):
            rows = range(start, min(start + IMAGES_AT_ONCE, len(maps)))
            batch = np.stack([images.standardised(i) for i in rows])[:, None]
            found = net.saliency(torch.from_numpy(batch).to(settings.compute.device))
            maps[rows.start : rows.stop] = malignant_first(found).float().cpu().numpy()
    return maps


def _given_saliency(lab: Lab) -> Path:
    images, s = store(lab), lab.settings
    name = s.fagg.saliency_file

    def compute(place: Path) -> str:
        maps = read_saliency(project_path(name), images.images["image_id"], s.canvas.map_shape)
        np.save(place / "maps.npy", maps)
        return hashlib.sha256(maps).hexdigest()[:16]

    inputs = {"file": [name, file_state(name)]}
    return stage(lab, "saliency/given", inputs, compute, reads=["store"])


def _control_saliency(lab: Lab, own: Path) -> Path:
    images, s = store(lab), lab.settings
    seed = derive_seed(s.seed, "saliency", s.fagg.saliency_of)

    def compute(place: Path) -> None:
        maps = np.load(own / "maps.npy")
        if s.fagg.saliency_of == "exchanged":
            maps = maps[other_patients(images.images, seed)]
        else:
            maps = without_lesions(maps, images, s.canvas.cell)
        np.save(place / "maps.npy", maps)

    inputs = {"saliency_of": s.fagg.saliency_of, "seed": seed}
    reads = ["store", own.relative_to(lab.runs).as_posix()]
    return stage(lab, f"saliency/{s.fagg.saliency_of}/{own.name}", inputs, compute, reads=reads)
