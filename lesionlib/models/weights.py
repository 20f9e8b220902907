"""Weights in and out: a network's first weights (Wu et al. 2020: ImageNet's), and its checkpoints.

Every way in is strict, see `lesionlib.models._state_files`. A checkpoint carries the settings of its
run in the file, with a readable copy next to it.
"""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from lesionlib import files
from lesionlib.errors import InputError
from lesionlib.models._state_files import (
    State,
    is_safetensors,
    load_strict,
    read_state,
    without_classes,
)
from lesionlib.models._torchvision import torchvision_models

TIMEOUT = 5  # s until a download counts as impossible


# ------------------------------------------------------------------ initialisation
def initialise(
    model: nn.Module, how: str, file: str | Path | None = None, *, head: str = "drop"
) -> dict:
    """Give a fresh model its first weights and say which ones it really has.

    What a network takes besides its own checkpoints it says itself, by `load_part` and
    `imagenet_part`, so that no network depends on the code of another.

    Parameters
    ----------
    model : f_loc, GMIC or f_agg; changed in place.
    how : "he" keeps the random weights of construction. "imagenet" takes torchvision's published
        weights (f_loc's DenseNets: all but the last two layers; GMIC: the local network) from
        torch's hub cache or by download. "file" reads a safetensors or torch file: a whole
        checkpoint of this model, for f_loc also its backbone with or without torchvision's last
        layer, for GMIC also a published file, or its local network alone.
    file : the file, where `how` is "file".
    head : what becomes of the last layer in a backbone's file: "drop", or, where its classes are
        our four, "map" (see `FLoc.become_linear`).

    Returns
    -------
    A record for the run's folder: initialisation, name of the source, sha256 of the file, number
    of tensors taken.

    Raises
    ------
    InputError : where the weights cannot be had or do not fit.
    """
    if head == "map" and not (how == "file" and hasattr(model, "become_linear")):
        what = f"there is no head to map with initialisation {how}"
        remedy = "Set initialisation: file, or weights_head: drop"
        raise InputError(what, "floc.weights_head", remedy)
    if how == "he":
        return {"initialisation": how, "source": "random", "sha256": "", "tensors": 0}
    if how == "imagenet":
        path, target, state = _imagenet(model)
        load_strict(target, state, path)
    elif how == "file":
        if not file:
            raise InputError("no file is named for the weights", "weights_file", "Name one")
        path = Path(file)
        state = read_state(path)
        part = model.load_part(state, path, head) if hasattr(model, "load_part") else None
        state = part or load_strict(model, state, path)
    else:
        raise InputError(f"unknown initialisation {how!r}", "", "Use imagenet, he or file")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"initialisation": how, "source": path.name, "sha256": sha256, "tensors": len(state)}


def _imagenet(model: nn.Module) -> tuple[Path, nn.Module, State]:
    """File of torchvision's weights, the part of the model that takes them, and the weights."""
    usual = ("", model, type(model).__name__, "weights_file")
    weights, target, name, option = getattr(model, "imagenet_part", usual)
    if not weights:
        what = f"there are no published ImageNet weights for {name}"
        raise InputError(what, "initialisation", f"Use he, or file with {option}")
    path = _fetch(_imagenet_url(weights), option)
    return path, target, without_classes(read_state(path))


def _imagenet_url(weights: str) -> str:
    return getattr(torchvision_models(), weights).IMAGENET1K_V1.url


def _fetch(url: str, option: str) -> Path:
    """The file of `url` in torch's hub cache, downloaded if need be; its hash is checked."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    start = path.stem.rsplit("-", 1)[1]  # the file's name ends with the start of its sha256
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:  # torch's own download would wait for minutes where there is no network
            head = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(head, timeout=TIMEOUT).close()
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except (OSError, RuntimeError) as error:  # URLError and timeouts among them
            what = f"ImageNet weights {path.name} are not cached and cannot be downloaded: {error}"
            remedy = f"Put the file there, or set initialisation: file and {option}"
            raise InputError(what, path.parent, remedy) from None
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(start):
        raise InputError("ImageNet weights are damaged", path, "Delete the file and start again")
    return path


# ------------------------------------------------------------------ checkpoints
def save_checkpoint(path: Path, model: nn.Module, settings: Mapping) -> None:
    """Write a network's weights and the settings that made them; each file whole or not at all.

    Parameters
    ----------
    path : of the safetensors file, which also holds the settings; a .json of them is next to it.
    model : the network.
    settings : a table for JSON.
    """
    path = Path(path)
    text = json.dumps(settings, indent=2, sort_keys=True, default=str)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    files.write_bytes(path, save(state, metadata={"settings": text}))
    files.write_text(path.with_suffix(".json"), text + "\n")


def load_checkpoint(path: Path, model: nn.Module) -> dict:
    """Load a checkpoint, strictly.

    Parameters
    ----------
    path : of the file.
    model : changed in place.

    Returns
    -------
    The settings it was saved with; {} for a torch file of tensors alone, which is taken too.

    Raises
    ------
    InputError : for a file that is missing or damaged, and for weights that do not fit.
    """
    path = Path(path)
    load_strict(model, read_state(path), path)
    if not is_safetensors(path):
        return {}
    with safe_open(path, framework="pt") as content:
        return json.loads((content.metadata() or {}).get("settings", "{}"))
