"""Weights in and out: initialisation, checkpoints, and GMIC's published files.

Every way in is strict: a key that is missing, left over or of another shape ends in an
InputError that names it, and nothing is loaded. Files are read without running code from them
(safetensors, or a torch file of tensors alone). Checkpoints are written to a temporary name and
renamed when whole; the settings travel inside the file, with a readable copy beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from lesionlib.errors import InputError
from lesionlib.models.backbones import BACKBONES
from lesionlib.models.floc import FLoc
from lesionlib.models.gmic import GMIC

State = dict[str, torch.Tensor]
TIMEOUT = 5  # s until a download counts as impossible
UNUSED_PUBLISHED = "shared_rep_filter.weight"

# GMIC: our name of a module -> its name in the published files
_PUBLISHED = (
    (r"^(global_network\.stages\..*)\.norm([12])\.", r"\1.bn\2."),
    (r"^(global_network\.stages\..*)\.shortcut\.", r"\1.downsample.0."),
    (r"^global_network\.stages\.", "ds_net.layer_list."),
    (r"^global_network\.stem\.", "ds_net.first_conv."),
    (r"^global_network\.norm\.", "ds_net.final_bn."),
    (r"^saliency_head\.", "left_postprocess_net.gn_conv_last."),
    (r"^local_network\.", "dn_resnet."),
    (r"^attention_content\.", "mil_attn_V."),
    (r"^attention_gate\.", "mil_attn_U."),
    (r"^attention_score\.", "mil_attn_w."),
    (r"^local_head\.", "classifier_linear."),
    (r"^fusion_head\.", "fusion_dnn."),
)


# ------------------------------------------------------------------ initialisation
def initialise(model: nn.Module, how: str, file: str | Path | None = None) -> dict:
    """Give a fresh model its first weights and say which ones it really has.

    how: "he" keeps the random weights of construction; "imagenet" takes torchvision's
    published weights (f_loc's DenseNets: all but the last two layers; GMIC: the local network),
    from torch's hub cache or by download; "file" reads a safetensors or torch file: a whole
    checkpoint of this model, for f_loc also its backbone alone, for GMIC also a published file.
    Returns a record for the run's folder: initialisation, source, sha256 of the file, number
    of tensors taken. Raises InputError where the weights cannot be had or do not fit.
    """
    if how == "he":
        return {"initialisation": how, "source": "random", "sha256": "", "tensors": 0}
    if how == "imagenet":
        path, target, state = _imagenet(model)
        _load_strict(target, state, path)
        source = path.name
    elif how == "file":
        if not file:
            raise InputError(
                "initialisation is file but no file is named", "weights_file", "Name one"
            )
        path = Path(file)
        state = _load_any(model, read_state(path), path)
        source = str(path)
    else:
        raise InputError(f"Unknown initialisation {how!r}", "", "Use imagenet, he or file")
    return {
        "initialisation": how,
        "source": source,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tensors": len(state),
    }


def _load_any(model: nn.Module, state: State, path: Path) -> State:
    """Load a whole checkpoint, a backbone or a published GMIC, told apart by their names."""
    if isinstance(model, GMIC) and any(key.startswith("ds_net.") for key in state):
        return _load_published(model, state, path)
    if isinstance(model, FLoc) and not any(key.startswith("trunk.") for key in state):
        return _load_strict(model.trunk, _without_head(state), path)
    return _load_strict(model, state, path)


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
            f"There are no published ImageNet weights for {name}",
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
            f"The download of {path.name} broke off: {error}", url, f"Start again, or set {option}"
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
    _load_strict(model, read_state(path), path)
    if not _is_safetensors(path):
        return {}
    with safe_open(path, framework="pt") as content:
        return json.loads((content.metadata() or {}).get("settings", "{}"))


def read_state(path: Path) -> State:
    """The tensors of a safetensors or torch file by name; no code in the file is run."""
    path = Path(path)
    if not path.is_file():
        raise InputError("Weights file is missing", path, "Check the path")
    try:
        if _is_safetensors(path):
            with safe_open(path, framework="pt") as content:
                return {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            "Weights file holds more than tensors, or is no weights file",
            path,
            "Save the model's state_dict alone, best as safetensors",
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"Weights file cannot be read: {reason}", path, "Copy it again") from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise InputError(
            "Weights file is no table of tensors", path, "Save the model's state_dict alone"
        )
    return dict(state)


def _is_safetensors(path: Path) -> bool:
    """By content: eight bytes of length, then a JSON table."""
    with path.open("rb") as content:
        return content.read(9)[8:] == b"{"


# ------------------------------------------------------------------ strict loading
def _load_strict(model: nn.Module, state: State, path: Path) -> State:
    own = model.state_dict()
    # files of PyTorch before 0.4.1 have no counters; they play no part in the values
    counters = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")}
    state = {**{k: torch.zeros_like(v) for k, v in counters.items()}, **state}
    _check_fit(own, state, path)
    model.load_state_dict(state)
    return state


def _check_fit(wanted: State, given: State, path: Path) -> None:
    misfits = [
        f"{key} is {tuple(given[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted
        if key in given and given[key].shape != wanted[key].shape
    ]
    faults = {
        "missing": [key for key in wanted if key not in given],
        "left over": [key for key in given if key not in wanted],
        "of another shape": misfits,
    }
    found = [f"{len(names)} {fault}: {_few(names)}" for fault, names in faults.items() if names]
    if found:
        raise InputError(
            f"Weights do not fit the network: {'; '.join(found)}",
            path,
            "Give the file that was saved from a network of these settings",
        )


def _few(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


# ------------------------------------------------------------------ published GMIC
def load_gmic_checkpoint(path: Path, top_t: float = 0.02) -> GMIC:
    """GMIC with the weights of a published file (sample_model_1.p ... 5), in evaluation mode.

    top_t of the five published models: .02, .03, .03, .05, .1; the maps do not depend on it.
    The unused `shared_rep_filter.weight` of those files is dropped, and nothing else:
    InputError for any other difference, in the file's own names.
    """
    path = Path(path)
    model = GMIC(top_t=top_t)
    _load_published(model, read_state(path), path)
    return model.eval()


def published_name(key: str) -> str:
    """Our name of a GMIC tensor -> its name in the published files."""
    for pattern, name in _PUBLISHED:
        key = re.sub(pattern, name, key)
    return key


def _load_published(model: GMIC, state: State, path: Path) -> State:
    state = {key: value for key, value in state.items() if key != UNUSED_PUBLISHED}
    own = model.state_dict()
    _check_fit({published_name(key): value for key, value in own.items()}, state, path)
    model.load_state_dict({key: state[published_name(key)] for key in own})
    return state
