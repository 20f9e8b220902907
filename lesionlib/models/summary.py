"""What a network is made of: its layers in the order in which they run, with shapes and weights."""

from __future__ import annotations

import pandas as pd
import torch
from torch import nn

COLUMNS = ("layer", "kind", "output", "parameters")
NOT_CALLED = "not called"


def layers(model: nn.Module, example: torch.Tensor, depth: int = 1) -> pd.DataFrame:
    """One row a layer: its name, its kind, the shape of its output, its trainable numbers.

    example : a batch that the model takes; it is run once, in evaluation mode and without
    gradients, and the model is left in the mode in which it came.  depth : how many levels of
    modules within modules are opened; a part above that depth without parts of its own is shown as
    it is.  0 gives the whole model as one row.

    Rows stand in the order of their first call; a layer called twice has one row.  What the model
    computes without a module (a mean, a ReLU written as a function) has no row, and a module that
    the example does not reach has the output "not called".  `parameters` sums to the model's own
    number unless a module holds parameters beside those of its parts.
    """
    chosen = dict(_at_depth(model, "", depth))
    shapes: dict[str, str] = {}
    hooks = [m.register_forward_hook(_keeper(name, shapes)) for name, m in chosen.items()]
    modes = [(part, part.training) for part in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        for part, mode in modes:
            part.training = mode
        for hook in hooks:
            hook.remove()
    order = [*shapes, *(name for name in chosen if name not in shapes)]
    rows = [
        (name, _kind(chosen[name]), shapes.get(name, NOT_CALLED), parameters(chosen[name]))
        for name in order
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def parameters(module: nn.Module) -> int:
    """How many numbers of a module training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _at_depth(module: nn.Module, name: str, depth: int):
    """(name, module) of the modules `depth` levels down, and of those above that have no parts."""
    parts = list(module.named_children())
    if depth == 0 or not parts:
        yield name or _kind(module), module
        return
    for own, part in parts:
        yield from _at_depth(part, f"{name}.{own}" if name else own, depth - 1)


def _keeper(name: str, shapes: dict[str, str]):
    def keep(module, inputs, output) -> None:  # what a hook returns would replace the output
        shapes.setdefault(name, _shape(output))

    return keep


def _kind(module: nn.Module) -> str:
    return type(module).__name__.lstrip("_")


def _shape(output) -> str:
    """1 x 32 x 9 x 6 of a tensor; of several, theirs, parted by commas; else the type's name."""
    if torch.is_tensor(output):
        return " x ".join(map(str, output.shape))
    if isinstance(output, tuple | list):
        return ", ".join(_shape(part) for part in output)
    return type(output).__name__
