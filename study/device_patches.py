"""Patches cut on the network's device, as a GPU needs them (`compute.patches: device`).

They are those of `lesionlib.patches.extract_patches` within `TOLERANCE`: the same samples of the
same smoothed image, summed in another order.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch

from lesionlib.loading import pinned
from lesionlib.patches import Cuts, extract_patches
from lesionlib.store import Store

TOLERANCE = 1e-4  # of the range of an image's values
RESIDENT_BYTES = 8 * 2**30  # images up to this size together stay on the device
SAMPLES_AT_ONCE = 2**22  # bounds the memory of a cut, changes no number


def cutter(store: Store, settings):
    """What cuts a store's windows into patches as the experiment's settings say: window table ->
    float32 tensor (n, 1, patch, patch), on the CPU or on the network's device."""
    patch, compute = settings.windows.patch, settings.compute
    if compute.patches == "device":
        return PatchCutter(store, patch, compute.device)
    return partial(_on_cpu, store, patch)


def _on_cpu(store: Store, patch: int, windows: pd.DataFrame) -> torch.Tensor:
    return torch.from_numpy(extract_patches(store, windows, patch))


class PatchCutter:
    """Cut windows of a store into patches on a device, as `lesionlib.patches.extract_patches` does.

    It is called with a window table and gives a float32 tensor (n, 1, patch, patch) on the device.

    Parameters
    ----------
    store : Store
    patch : int, side in px
    device : where patches are cut, and stay
    resident : bytes
        Where all images fit into them as 16 bits, each stays on the device once it was read;
        otherwise the windows' boxes alone are sent, anew in each call.
    """

    def __init__(self, store: Store, patch: int, device, *, resident: int = RESIDENT_BYTES):
        self.store, self.patch = store, patch
        self.device, self.held = torch.device(device), None
        shape = (len(store.images), store.rows, store.cols)
        if 2 * np.prod(shape, dtype=float) <= resident:
            self.held = torch.empty(shape, dtype=torch.int16, device=self.device)
            self.read = np.zeros(len(store.images), bool)

    @torch.no_grad()
    def __call__(self, windows: pd.DataFrame) -> torch.Tensor:
        cuts = Cuts(self.store, windows, self.patch)
        patches = torch.empty((len(windows), 1, self.patch, self.patch), device=self.device)
        kinds = pd.DataFrame({"finer": cuts.finer, "smooth": cuts.smoothing > 0})
        each = max(1, SAMPLES_AT_ONCE // self.patch**2)
        for (finer, smooth), rows in kinds.groupby(["finer", "smooth"]).indices.items():
            for start in range(0, len(rows), each):
                part = rows[start : start + each]
                patches[self._sent(part), 0] = self._cut(cuts, part, finer, smooth)
        return patches

    def _cut(self, cuts: Cuts, part: np.ndarray, finer: int, smooth: bool) -> torch.Tensor:
        """Standardised patches (m, patch, patch) of windows that are sampled in the same way."""
        pixels, *place = self._pixels(cuts, part)
        numbers = (cuts.maps, cuts.smoothing, cuts.mean, cuts.per_std)
        maps, a, mean, per_std = (self._sent(np.float32(x[part]))[..., None, None] for x in numbers)
        start, stride, low, high = (self._sent(x)[..., None, None] for x in place)
        at, total = finer * torch.arange(self.patch, device=self.device), 0
        for i, j in np.ndindex(finer, finer):
            col, row = (m[:, 0] * (at + j) + m[:, 1] * (at + i)[:, None] + m[:, 2]
                        for m in maps.unbind(1))  # fmt: skip
            across = _taps(col, low[:, 1], high[:, 1], a, smooth)
            for y, of_row in _taps(row, low[:, 0], high[:, 0], a, smooth):
                for x, of_col in across:
                    index = (start + y * stride + x).clamp_(0, len(pixels) - 1)
                    total = total + of_row * of_col * (pixels[index].int() & 0xFFFF)
        return (total / finer**2 - mean) * per_std

    def _pixels(self, cuts: Cuts, part: np.ndarray) -> tuple:
        """16-bit pixels in one row; where box pixel (0, 0) would be, and the next row's distance.

        And the box's part on the canvas, start and end (m, 2), half-open.
        """
        size, images = np.array([self.store.rows, self.store.cols]), cuts.image[part]
        corner = cuts.boxes[part, :2]
        low = np.maximum(-corner, 0)
        high = np.minimum(cuts.boxes[part, 2:], size) - corner
        if self.held is not None:
            for i in np.unique(images[~self.read[images]]):
                self.held[i], self.read[i] = self._sent(_bits(self.store.raw(i))), True
            start = (images * size[0] + corner[:, 0]) * size[1] + corner[:, 1]
            return self.held.view(-1), start, np.full(len(part), size[1]), low, high
        boxes = [
            _bits(self.store.raw(image)[a:b, c:d])
            for image, (a, c), (b, d) in zip(images, corner + low, corner + high, strict=True)
        ]
        sizes, stride = ([f(box) for box in boxes] for f in (np.size, lambda box: box.shape[1]))
        start = np.cumsum(sizes) - sizes - low[:, 0] * stride - low[:, 1]
        row = np.concatenate([*(box.ravel() for box in boxes), np.zeros(1, np.int16)])
        return self._sent(row), start, np.array(stride), low, high

    def _sent(self, array: np.ndarray) -> torch.Tensor:
        tensor = pinned(torch.from_numpy(array), self.device)
        return tensor.to(self.device, non_blocking=True)


def _bits(raw: np.ndarray) -> np.ndarray:
    """A copy as int16 of the same bits, since torch computes little with uint16."""
    return raw.astype(np.uint16).view(np.int16)


def _taps(at: torch.Tensor, low, high, a: torch.Tensor, smooth: bool) -> list[tuple]:
    """Pixels along one axis that a sample reads, and their weights; 0 off the canvas."""
    first = at.floor()
    f = at - first
    weights = {0: 1 - f, 1: f}
    if smooth:
        weights = {-1: a * (1 - f), 0: (1 - 2 * a) * (1 - f) + a * f,
                   1: (1 - 2 * a) * f + a * (1 - f), 2: a * f}  # fmt: skip
    pixels = {k: first.long() + k for k in weights}
    return [(p, weights[k] * ((p >= low) & (p < high))) for k, p in pixels.items()]
