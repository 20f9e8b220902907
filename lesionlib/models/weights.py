"""Weights in and out: the first weights of a network, and its checkpoints.

Every way in is strict, see `lesionlib.models.state_files`. Checkpoints are written to a temporary
name and renamed when whole; the settings travel inside the file, with a readable copy beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from lesionlib.errors import InputError
from lesionlib.models.backbones import BACKBONES
from lesionlib.models.floc import CLASS_COUNT, FLoc
from lesionlib.models.gmic import GMIC
from lesionlib.models.gmic.checkpoint import is_published, load_published
from lesionlib.models.state_files import State, is_safetensors, load_strict, read_state

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
    Returns a record for the run's folder: initialisation, source, sha256 of the file, number
    of tensors taken. Raises InputError where the weights cannot be had or do not fit.
    """
    if head == "map" and not (how == "file" and isinstance(model, FLoc)):
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
        state = _load_any(model, read_state(path), path, head)
        source = str(path)
    else:
        raise InputError(f"unknown initialisation {how!r}", "", "Use imagenet, he or file")
    return {
        "initialisation": how,
        "source": source,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tensors": len(state),
    }


def _load_any(model: nn.Module, state: State, path: Path, head: str) -> State:
    """Load a whole checkpoint, a part of the network or a published file, told apart by names."""
    if isinstance(model, GMIC) and is_published(state):
        return load_published(model, state, path)
    if isinstance(model, GMIC) and "layer1.0.conv1.weight" in state:
        return load_strict(model.local_network, _without_head(state), path)
    if isinstance(model, FLoc) and not any(key.startswith("trunk.") for key in state):
        return _load_trunk(model, _unwrapped(state), path, head)
    if head == "map":
        raise InputError("the file is a whole f_loc", path, "Set floc.weights_head: drop")
    return load_strict(model, state, path)


def _load_trunk(model: FLoc, state: State, path: Path, head: str) -> State:
    """A backbone, and its last layer where that is asked for.

    So the patch classifier of Wu et al. 2019 comes in, a torchvision DenseNet-121 with the outputs
    malignant, benign, outside, negative, which are ours. It was trained with TensorFlow's padding
    (first convolution 2 px before and 3 after, first pool 0 and 1; torchvision: 3 and 3, 1 and 1),
    so that its features look 3 px further up and left here, and its outputs are not quite its own.
    """
    last = [state.get(f"classifier.{name}") for name in ("weight", "bias")]
    wanted = [(CLASS_COUNT, model.hidden.in_features), (CLASS_COUNT,)]
    if head == "map" and [None if x is None else tuple(x.shape) for x in last] != wanted:
        raise InputError(
            f"there is no last layer classifier of {CLASS_COUNT} classes to map",
            path,
            "Set floc.weights_head: drop",
        )
    trunk = load_strict(model.trunk, _without_head(state), path)
    if head == "drop":
        return trunk
    model.become_linear(*last)
    return trunk | {"classifier.weight": last[0], "classifier.bias": last[1]}


def _unwrapped(state: State) -> State:
    """Names without what a wrapping module put before `features.`, if every name has it."""
    first = next((key for key in state if ".features." in key), "")
    wrapper = first.split("features.")[0]
    if not wrapper or not all(key.startswith(wrapper) for key in state):
        return state
    return {key.removeprefix(wrapper): value for key, value in state.items()}


def _imagenet(model: nn.Module) -> tuple[Path, nn.Module, State]:
    """File of torchvision's weights, the part of the model that takes them, and the weights."""
    if isinstance(model, FLoc):
        weights, target = BACKBONES[model.backbone].imagenet, model.trunk
        name, option = f"backbone {model.backbone}", "floc.weights_file"
    elif isinstance(model, GMIC):
        target = model.local_network
        weights = "ResNet18_Weights" if target.conv1.out_channels == 64 else ""
        name, option = f"a local network {target.conv1.out_channels} wide", "gmic.weights_file"
    else:
        weights, target, name, option = "", model, type(model).__name__, "weights_file"
    if not weights:
        raise InputError(
            f"there are no published ImageNet weights for {name}",
            "initialisation",
            f"Use he, or file with {option}",
        )
    path = _fetch(_imagenet_url(weights), option)
    return path, target, _without_head(read_state(path))


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


def _without_head(state: State) -> State:
    """torchvision's names as of today, without the layer for the thousand classes.

    Its published DenseNets still hold the names of 2017 (`norm.1` for `norm1`).
    """
    return {
        re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): value
        for key, value in state.items()
        if not key.startswith(("classifier.", "fc."))
    }


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
