"""GMIC, the context network, and the saliency maps S of every image."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.stages import key_of, stage
from study.steps.data import store
from study.steps.networks import loaded, named, torch_ready, weights_file_state, with_weights_file

CODE = ("models/gmic", "models/weights", "models/_state_files", "training", "tasks", "metrics/roc")
IMAGES_AT_ONCE = 8


def gmic(lab: Lab) -> Path:
    """The folder of the trained context network."""
    images, s = store(lab), lab.settings
    seed = derive_seed(s.seed, "gmic")
    inputs = {"gmic": s.gmic.model_dump(), "seed": seed, "store": key_of(lab.runs / "store")}
    inputs |= weights_file_state(s.gmic)

    def compute(place: Path) -> None:
        from lesionlib.tasks import GMICTask
        from lesionlib.training import fit

        torch_ready(lab)
        task = GMICTask(images, with_weights_file(s.gmic), seed=seed, workers=s.compute.workers)
        fit(task, place, s.gmic, seed=seed, compute=s.compute, progress=named(lab, "gmic"))

    return stage(lab, "gmic", inputs, CODE, compute, resumes=True)


def load_gmic(lab: Lab):
    """The trained GMIC in evaluation mode."""
    from lesionlib.models.gmic import gmic_from_settings

    return loaded(lab, gmic(lab), gmic_from_settings(lab.settings.gmic))


def saliency(lab: Lab) -> np.ndarray:
    """Saliency maps of every image of the store, float32 (n, 2, h, w); S_m first, then S_b.

    They are GMIC's, or those of the file that `fagg.saliency_file` names, made by any other network
    (see `study.steps.saliency_file`).
    """
    if lab.settings.fagg.saliency_file:
        return _given_saliency(lab)
    folder, images, s = gmic(lab), store(lab), lab.settings

    def compute(place: Path) -> None:
        import torch

        from lesionlib.models.gmic import malignant_first

        torch_ready(lab)
        net, maps = load_gmic(lab), np.empty((len(images.images), 2, *s.canvas.map_shape), "f4")
        with torch.no_grad():
            for start in range(0, len(maps), IMAGES_AT_ONCE):
                rows = range(start, min(start + IMAGES_AT_ONCE, len(maps)))
                batch = np.stack([images.standardised(i) for i in rows])[:, None]
                found = net.saliency(torch.from_numpy(batch).to(s.compute.device))
                maps[rows.start : rows.stop] = malignant_first(found).float().cpu().numpy()
        np.save(place / "maps.npy", maps)

    place = stage(lab, "saliency", {"gmic": key_of(folder)}, ("models/gmic",), compute)
    return np.load(place / "maps.npy", mmap_mode="r")


def _given_saliency(lab: Lab) -> np.ndarray:
    from study.settings import project_root
    from study.steps.saliency_file import read_saliency

    images, s = store(lab), lab.settings
    file = project_root() / s.fagg.saliency_file
    state = [file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None
    inputs = {"file": [str(file), state], "store": key_of(lab.runs / "store")}

    def compute(place: Path) -> str:
        maps = read_saliency(file, images.images["image_id"], s.canvas.map_shape)
        np.save(place / "maps.npy", maps)
        return hashlib.sha256(maps).hexdigest()[:16]

    place = stage(lab, "saliency", inputs, ("saliency_file",), compute)
    return np.load(place / "maps.npy", mmap_mode="r")
