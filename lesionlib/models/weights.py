"""Weights in and out: the first weights of a network, and its checkpoints.

Every way in is strict, see `lesionlib.models.state_files`. Checkpoints are written to a temporary
name and renamed when whole; the settings travel inside the file, with a readable copy beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from lesionlib.errors import InputError
from lesionlib.models.state_files import (
    State,
    is_safetensors,
    load_strict,
    read_state,
    without_classes,
)

TIMEOUT = 5  # s until a download counts as impossible


# ------------------------------------------------------------------ initialisation
def initialise(
    model: nn.Module, how: str, file: str | Path | None = None, *, head: str = "drop"
) -> dict:
    """Give a fresh model its first weights and say which ones it really has.

    how: "he" keeps the random weights of construction; "imagenet" takes torchvision's
    published weights (f_loc's DenseNets: all but the last two layers; GMIC: the local network),
    from torch's hub cache or by download; "file" reads a safetensors or torch file: a whole
    checkpoint of this model, for f_loc also its backbone with or without torchvision's last layer,
    for GMIC also a published file, or its local network alone.
    head: what becomes of the last layer in a backbone's file: "drop", or, where it tells our four
    classes apart, "map" (see `FLoc.become_linear`).

    What a network takes beside its own checkpoints it says itself, by `load_part` and
    `imagenet_part`, so that no network's code is that of another.
    Returns a record for the run's folder: initialisation, source, sha256 of the file, number
    of tensors taken. Raises InputError where the weights cannot be had or do not fit.
    """
    if head == "map" and not (how == "file" and hasattr(model, "become_linear")):
        raise InputError(
            f"there is no head to map with initialisation {how}",
            "floc.weights_head",
            "Set initialisation: file, or weights_head: drop",
        )
    if how == "he":
        return {"initialisation": how, "source": "random", "sha256": "", "tensors": 0}
    if how == "imagenet":
        path, target, state = _imagenet(model)
        load_strict(target, state, path)
        source = path.name
    elif how == "file":
        if not file:
            raise InputError(
                "initialisation is file but no file is named", "weights_file", "Name one"
            )
        path = Path(file)
        state = read_state(path)
        part = model.load_part(state, path, head) if hasattr(model, "load_part") else None
        state = part or load_strict(model, state, path)
        source = str(path)
    else:
        raise InputError(f"unknown initialisation {how!r}", "", "Use imagenet, he or file")
    return {
        "initialisation": how,
        "source": source,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tensors": len(state),
    }


def _imagenet(model: nn.Module) -> tuple[Path, nn.Module, State]:
    """File of torchvision's weights, the part of the model that takes them, and the weights."""
    usual = ("", model, type(model).__name__, "weights_file")
    weights, target, name, option = getattr(model, "imagenet_part", usual)
    if not weights:
        raise InputError(
            f"there are no published ImageNet weights for {name}",
            "initialisation",
            f"Use he, or file with {option}",
        )
    path = _fetch(_imagenet_url(weights), option)
    return path, target, without_classes(read_state(path))


def _imagenet_url(weights: str) -> str:
    from torchvision import models  # slow to import

    return getattr(models, weights).IMAGENET1K_V1.url


def _fetch(url: str, option: str) -> Path:
    """The file of `url` in torch's hub cache, downloaded if need be; its hash is checked."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    start = path.stem.rsplit("-", 1)[1]  # the file's name ends with the start of its sha256
    if not path.exists():
        if not _reachable(url):
            raise InputError(
                f"ImageNet weights {path.name} are neither cached nor to be downloaded from here",
                path.parent,
                f"Put the file there, or set initialisation: file and {option}",
            )
        _download(url, path, option)
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(start):
        raise InputError("ImageNet weights are damaged", path, "Delete the file and start again")
    return path


def _download(url: str, path: Path, option: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the download of {path.name} broke off: {error}", url, f"Start again, or set {option}"
        ) from None


def _reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT):
            return True
    except OSError:  # URLError and timeouts among them
        return False


# ------------------------------------------------------------------ checkpoints
def save_checkpoint(path: Path, model: nn.Module, settings: Mapping) -> None:
    """Write the weights to `path` (safetensors) and the settings into it and beside it (.json).

    `settings` is a table for JSON. Both files appear whole or not at all.
    """
    path = Path(path)
    text = json.dumps(settings, indent=2, sort_keys=True, default=str)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    beside = path.with_suffix(".json")
    temporary_beside = beside.with_name(f".{beside.name}.{os.getpid()}")
    try:
        save_file(state, temporary, metadata={"settings": text})
        temporary_beside.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)
        os.replace(temporary_beside, beside)
    finally:
        temporary.unlink(missing_ok=True)
        temporary_beside.unlink(missing_ok=True)


def load_checkpoint(path: Path, model: nn.Module) -> dict:
    """Load a checkpoint into `model`, strictly, and return the settings it was saved with.

    A torch file of tensors alone is taken too (settings {}). InputError for a missing or broken
    file, for one with anything but tensors in it, and for keys that do not fit.
    """
    path = Path(path)
    load_strict(model, read_state(path), path)
    if not is_safetensors(path):
        return {}
    with safe_open(path, framework="pt") as content:
        return json.loads((content.metadata() or {}).get("settings", "{}"))
