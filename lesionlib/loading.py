"""How inputs reach a network: prepared ahead in threads, or patches cut on its own device.

Patches (Wu et al. 2020) cut on a device are those of `patches.extract_patches` within `TOLERANCE`:
the same samples of the same smoothed image, summed in another order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch

from lesionlib.patches import extract_patches, plan_cuts
from lesionlib.store import Store

TOLERANCE = 1e-4  # of the range of an image's values
RESIDENT_BYTES = 8 * 2**30  # images up to this size together stay on the device
SAMPLES_AT_ONCE = 2**22  # bounds the memory of a cut, changes no number


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
            coming.append(threads.submit(lambda part=part: _pinned(make(part), device)))
            if len(coming) > workers:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Send a tensor to a device; a GPU goes on computing meanwhile.

    Parameters
    ----------
    tensor : on any device
    device : of torch

    Returns
    -------
    The tensor on the device.
    """
    return _pinned(tensor, device).to(device, non_blocking=True)


def _pinned(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.pin_memory() if device.type == "cuda" and not tensor.is_cuda else tensor


def patch_cutter(
    store: Store, patch: int, device: torch.device | str | None = None
) -> Callable[[pd.DataFrame], torch.Tensor]:
    """Make what cuts the windows of a store.

    Parameters
    ----------
    store : Store
    patch : int, side in px
    device : where patches are cut, and stay; None cuts with OpenCV, on the CPU.

    Returns
    -------
    Function of a window table -> float32 tensor (n, 1, patch, patch), see `extract_patches`.
    """
    if device is None:
        return lambda windows: torch.from_numpy(extract_patches(store, windows, patch))
    return DevicePatches(store, patch, device)


class DevicePatches:
    """Cut windows of a store on a device: called with a window table, see `extract_patches`.

    Parameters
    ----------
    store : Store
    patch : int, side in px
    device : of torch
    resident : bytes
        Where all images fit into them as 16 bits, each stays on the device once it was read;
        otherwise the windows' boxes alone are sent, anew in each call.
    """

    def __init__(self, store: Store, patch: int, device, *, resident: int = RESIDENT_BYTES):
        self.store, self.patch, self.device = store, patch, torch.device(device)
        shape = (len(store.images), store.rows, store.cols)
        self.held = None
        if 2 * np.prod(shape, dtype=float) <= resident:
            self.held = torch.empty(shape, dtype=torch.int16, device=self.device)
            self.read = np.zeros(len(store.images), bool)

    @torch.no_grad()
    def __call__(self, windows: pd.DataFrame) -> torch.Tensor:
        cuts = plan_cuts(self.store, windows, self.patch)
        shape = (len(windows), 1, self.patch, self.patch)
        patches = torch.empty(shape, dtype=torch.float32, device=self.device)
        kinds = pd.DataFrame({"finer": cuts.finer, "smooth": cuts.smoothing > 0})
        each = max(1, SAMPLES_AT_ONCE // self.patch**2)
        for (finer, smooth), rows in kinds.groupby(["finer", "smooth"]).indices.items():
            for start in range(0, len(rows), each):
                part = rows[start : start + each]
                patches[self._sent(part), 0] = self._cut(cuts, part, finer, smooth)
        return patches

    def _cut(self, cuts, part: np.ndarray, finer: int, smooth: bool) -> torch.Tensor:
        """Standardised patches (m, patch, patch) of windows that are sampled in the same way."""
        pixels, *place = self._pixels(cuts, part)
        numbers = (cuts.maps, cuts.smoothing, cuts.mean, cuts.per_std)
        maps, a, mean, per_std = (self._sent(x[part].astype(np.float32)) for x in numbers)
        start, stride, low, high = (self._sent(x)[..., None, None] for x in place)
        at = torch.arange(self.patch, device=self.device)
        total = 0
        for i, j in np.ndindex(finer, finer):
            v, u = (finer * at + i)[:, None], finer * at + j
            x, y = (maps[:, k, :, None, None].unbind(1) for k in (0, 1))
            rows, cols = (
                _taps(m[0] * u + m[1] * v + m[2], low[:, k], high[:, k], a, smooth)
                for k, m in ((0, y), (1, x))
            )
            for row, of_row in rows:
                for col, of_col in cols:
                    index = (start + row * stride + col).clamp_(0, len(pixels) - 1)
                    total = total + of_row * of_col * (pixels[index].int() & 0xFFFF)
        return (total / finer**2 - mean[:, None, None]) * per_std[:, None, None]

    def _pixels(self, cuts, part: np.ndarray) -> tuple:
        """16-bit pixels in one row; where box pixel (0, 0) would be, and the next row's distance.

        And the box's part on the canvas, start and end (m, 2), half-open.
        """
        size = np.array([self.store.rows, self.store.cols])
        corner = cuts.boxes[part, :2]
        low = np.maximum(-corner, 0)
        high = np.minimum(cuts.boxes[part, 2:], size) - corner
        images = cuts.image[part]
        if self.held is not None:
            for i in np.unique(images[~self.read[images]]):
                self.held[i], self.read[i] = self._sent(_bits(self.store.raw(i))), True
            start = (images * size[0] + corner[:, 0]) * size[1] + corner[:, 1]
            return self.held.view(-1), start, np.full(len(part), size[1]), low, high
        boxes = [
            _bits(self.store.raw(image)[a:b, c:d])
            for image, (a, c), (b, d) in zip(images, corner + low, corner + high, strict=True)
        ]
        stride, ends = np.array([box.shape[1] for box in boxes]), np.cumsum([b.size for b in boxes])
        start = ends - [box.size for box in boxes] - low[:, 0] * stride - low[:, 1]
        row = np.concatenate([*(box.ravel() for box in boxes), np.zeros(1, np.int16)])
        return self._sent(row), start, stride, low, high

    def _sent(self, array: np.ndarray) -> torch.Tensor:
        return sent(torch.from_numpy(array), self.device)


def _bits(raw: np.ndarray) -> np.ndarray:
    """A copy as int16 of the same bits, since torch computes little with uint16."""
    return raw.astype(np.uint16).view(np.int16)


def _taps(at: torch.Tensor, low, high, a: torch.Tensor, smooth: bool) -> list[tuple]:
    """Pixels along one axis that a sample reads, and their weights; 0 off the canvas."""
    first, a = at.floor(), a[:, None, None]
    f = at - first
    weights = {0: 1 - f, 1: f}
    if smooth:
        weights = {-1: a * (1 - f), 0: (1 - 2 * a) * (1 - f) + a * f,
                   1: (1 - 2 * a) * f + a * (1 - f), 2: a * f}  # fmt: skip
    taps = []
    for k, weight in weights.items():
        pixel = first.long() + k
        inside = (pixel >= low) & (pixel < high)
        taps.append((pixel, weight * inside))
    return taps
