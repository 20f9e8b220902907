"""Inputs in chunks: of an epoch, made ahead of a GPU; of the validation, kept between epochs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

KEPT_BYTES = 2**30  # of validation inputs, stay in memory between epochs


class Chunks:
    """Validation inputs, chunk by chunk; those that fit in `KEPT_BYTES` are made once.

    Parameters
    ----------
    make : gives the tensor of a slice of the inputs.
    count : of the inputs.
    each : inputs per chunk.
    """

    def __init__(self, make: Callable[[slice], torch.Tensor], count: int, each: int):
        self.make, self.parts = make, slices(count, each)
        self.kept, self.free = {}, KEPT_BYTES

    def __iter__(self) -> Iterator[torch.Tensor]:
        for k, part in enumerate(self.parts):
            chunk = self.kept[k] if k in self.kept else self.make(part)
            if k not in self.kept and chunk.nbytes <= self.free:
                self.kept[k], self.free = chunk, self.free - chunk.nbytes
            yield chunk


def prepared(make: Callable, parts: Sequence[slice], task) -> Iterator:
    """make(part) in order; in threads, ahead of the network, where that runs on a GPU.

    Parameters
    ----------
    make : gives the input of a slice.
    parts : the slices.
    task : with the attributes model and workers (threads, and how many parts are made ahead).
    """
    if next(task.model.parameters()).device.type == "cpu":
        yield from map(make, parts)
        return
    with ThreadPoolExecutor(task.workers) as threads:
        coming = deque()
        for part in parts:
            coming.append(threads.submit(make, part))
            if len(coming) > task.workers:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def slices(count: int, each: int) -> list[slice]:
    """0..count in pieces of `each`; the last one may be shorter."""
    return [slice(start, min(start + each, count)) for start in range(0, count, each)]
