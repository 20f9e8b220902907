"""What a network is made of: its layers in the order in which they run, with shapes and weights."""

from __future__ import annotations

import copy

import pandas as pd
import torch
from torch import nn


def layers(model: nn.Module, example: torch.Tensor, depth: int = 1) -> pd.DataFrame:
    """The layers of a network that take part in one evaluation of a batch.

    Parameters
    ----------
    model : stays as it is; a copy is run.
    example : a batch that the model takes.
    depth : how many levels of modules within modules are opened, at least 1.

    Returns
    -------
    One row per layer in the order of the first calls: its name, kind, the shape of its output
    ("not called" where the example does not reach it) and its parameters.
    """
    model, shapes = copy.deepcopy(model).eval(), {}
    for name, part in model.named_modules():
        level = name.count(".") + 1
        if name and (level == depth or (level < depth and not [*part.children()])):
            shapes[name] = "not called"
            part.register_forward_hook(_keeper(name, shapes))
    with torch.no_grad():
        model(example)
    rows = []
    for name, shape in sorted(shapes.items(), key=lambda row: row[1] == "not called"):
        part = model.get_submodule(name)
        rows.append((name, type(part).__name__.lstrip("_"), shape, parameters(part)))
    return pd.DataFrame(rows, columns=["layer", "kind", "output", "parameters"])


def parameters(module: nn.Module) -> int:
    """How many numbers of a module training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _keeper(name: str, shapes: dict[str, str]):
    def keep(module, inputs, output) -> None:  # what a hook returns would replace the output
        if shapes[name] == "not called":
            del shapes[name]  # the order of a dict is that of the first calls
            shapes[name] = " x ".join(map(str, output.shape))

    return keep
