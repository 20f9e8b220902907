"""Inputs in chunks: of an epoch, made ahead of a GPU; of the validation, kept between epochs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

KEPT_BYTES = 2**30  # validation inputs up to this size stay in memory between epochs


class Chunks:
    """Validation inputs, chunk by chunk; made once where all of them fit in `KEPT_BYTES`."""

    def __init__(self, make: Callable[[slice], torch.Tensor], count: int, each: int, size: int):
        self.make, self.parts = make, slices(count, each)
        self.kept: dict[int, torch.Tensor] | None = {} if size <= KEPT_BYTES else None

    def __iter__(self) -> Iterator[torch.Tensor]:
        for k, part in enumerate(self.parts):
            if self.kept is None:
                yield self.make(part)
                continue
            if k not in self.kept:
                self.kept[k] = self.make(part)
            yield self.kept[k]


def prepared(make: Callable, parts: Sequence[slice], task) -> Iterator:
    """make(part) in order; in threads, ahead of the network, where that runs on a GPU."""
    if next(task.model.parameters()).device.type == "cpu":
        yield from map(make, parts)
        return
    with ThreadPoolExecutor(task.workers) as threads:
        coming, left = deque(), iter(parts)
        for part in left:
            coming.append(threads.submit(make, part))
            if len(coming) > task.workers:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def slices(count: int, each: int) -> list[slice]:
    """0..count in pieces of `each`; the last one may be shorter."""
    return [slice(start, min(start + each, count)) for start in range(0, count, each)]


def whole_batches(count: int, batch: int) -> int:
    """Whole batches in an epoch; one smaller batch where there is less than a whole one."""
    return max(1, count // batch)
