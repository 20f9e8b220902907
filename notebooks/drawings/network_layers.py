"""The layers of f_loc, GMIC and f_agg (Wu et al. 2020), with shapes and numbers of weights."""

from __future__ import annotations

import copy
from functools import partial

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def layers(model: nn.Module, example: torch.Tensor, depth: int = 1) -> pd.DataFrame:
    """The layers of a network that the evaluation of a batch calls.

    Parameters
    ----------
    model : stays as it is; a copy is run.
    example : a batch that the model takes.
    depth : how many levels of modules within modules are opened, at least 1.

    Returns
    -------
    One row per layer, in the order of the first calls: layer, kind, shape of its output, parameters.
    """
    model, rows = copy.deepcopy(model).eval(), {}

    def keep(name, part, _, output) -> None:  # what a hook returns would replace the output
        shape = " x ".join(map(str, output.shape))
        rows.setdefault(name, (name, type(part).__name__.lstrip("_"), shape, parameters(part)))

    for name, part in model.named_modules():
        level = name.count(".") + 1
        if name and (level == depth or (level < depth and not [*part.children()])):
            part.register_forward_hook(partial(keep, name))
    with torch.no_grad():
        model(example)
    return pd.DataFrame(rows.values(), columns=["layer", "kind", "output", "parameters"])


def parameters(module: nn.Module) -> int:
    """How many numbers of a module training may change.

    Parameters
    ----------
    module : a network or a part of one.

    Returns
    -------
    Their number.
    """
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def operations(model: nn.Module, example: torch.Tensor) -> int:
    """Additions and multiplications of a network's evaluation, those of its convolutions and linear layers.

    Parameters
    ----------
    model : is put into evaluation mode; on the *meta* device nothing is computed.
    example : a batch that the model takes.

    Returns
    -------
    Their number; a multiplication with its addition counts as two.
    """
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model.eval()(example)
    return counted.get_total_flops()
