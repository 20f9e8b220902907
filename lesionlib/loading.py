"""How inputs reach a network: where it runs on a GPU, prepared ahead of it in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch


def prepared(make: Callable, parts: Sequence, model: torch.nn.Module, workers: int) -> Iterator:
    """Make a network's inputs in order: where it runs on a GPU, in threads and ahead of it.

    Parameters
    ----------
    make : part -> tensor
    parts : what `make` is called with
    model : the network
    workers : number of threads; no value depends on it

    Yields
    ------
    The tensors; for a GPU in pinned memory, which it reads while it computes.
    """
    device = next(model.parameters()).device
    if device.type == "cpu":
        yield from map(make, parts)
        return
    with ThreadPoolExecutor(workers) as threads:
        coming = deque()
        for part in parts:
            coming.append(threads.submit(lambda part=part: pinned(make(part), device)))
            if len(coming) > workers:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def pinned(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Put a tensor for a GPU into memory that it reads while it computes.

    Parameters
    ----------
    tensor : of any shape
    device : for which it is meant

    Returns
    -------
    The same numbers; for another device the tensor itself.
    """
    return tensor.pin_memory() if device.type == "cuda" and not tensor.is_cuda else tensor
