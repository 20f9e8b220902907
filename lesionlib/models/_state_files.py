"""Files of weights: read without running code from them, loaded strictly or not at all.

A key that is missing, left over or of another shape ends in an InputError that names it, and
nothing is loaded. What is in such a file, and for which network, is for `lesionlib.models.weights`
and `lesionlib.models.gmic._checkpoint`.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from lesionlib.errors import InputError

State = dict[str, torch.Tensor]
MOST_BYTES = 2**29  # the largest network has 0.2 GB


def read_state(path: Path) -> State:
    """The tensors of a safetensors or torch file by name; no code in the file is run.

    InputError for a file that is missing or damaged, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():  # a pipe would wait for ever
        raise InputError("the weights file is missing, or no regular file", path, "Check the path")
    try:
        if _unpacked(path) > MOST_BYTES:
            raise ValueError(f"it holds over {MOST_BYTES >> 20} MiB")
        if is_safetensors(path):
            with safe_open(path, framework="pt") as content:
                return {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        what = "the weights file holds more than tensors, or is no weights file"
        raise InputError(what, path, "Save the model's state_dict, best as safetensors") from None
    except Exception as error:  # damaged bytes fail in many ways
        what = f"the weights file cannot be read: {' '.join(str(error).split())[:120]}"
        raise InputError(what, path, "Copy it again") from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise InputError("the weights file is no table of tensors", path, "Save the state_dict")
    return dict(state)


def _unpacked(path: Path) -> int:
    """Bytes of a file, and of what it holds where it is an archive, as torch's are."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    return sum(member.file_size for member in zipfile.ZipFile(path).infolist())


def is_safetensors(path: Path) -> bool:
    """Whether a file is one of safetensors: eight bytes of length, then a JSON table."""
    with path.open("rb") as content:
        return content.read(9)[8:] == b"{"


def load_strict(model: nn.Module, state: State, path: Path) -> State:
    """Load `state` into `model`, all or nothing, and give back what was loaded.

    Counters of batch norm may be missing. InputError as :func:`check_fit`.
    """
    own = model.state_dict()
    # files of PyTorch before 0.4.1 have no counters; they play no part in the values
    counters = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")}
    state = {**{k: torch.zeros_like(v) for k, v in counters.items()}, **state}
    check_fit(own, state, path)
    model.load_state_dict(state)
    return state


def check_fit(wanted: State, given: State, path: Path) -> None:
    """InputError that names the keys of `given` that are missing, left over or of another shape."""
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
    found = [
        f"{len(names)} {fault}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        for fault, names in faults.items()
        if names
    ]
    if found:
        what = f"weights do not fit the network: {'; '.join(found)}"
        raise InputError(what, path, "Give the file of a network of these settings")


def without_classes(state: State) -> State:
    """torchvision's names as of today, without the layer for the thousand classes.

    Its published DenseNets still hold the names of 2017 (`norm.1` for `norm1`).
    """
    return {
        re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): value
        for key, value in state.items()
        if not key.startswith(("classifier.", "fc."))
    }


def without_wrapper(state: State) -> State:
    """Names without what a wrapping module put before `features.`, if every name has it."""
    first = next((key for key in state if ".features." in key), "")
    wrapper = first.split("features.")[0]
    if not wrapper or not all(key.startswith(wrapper) for key in state):
        return state
    return {key.removeprefix(wrapper): value for key, value in state.items()}
