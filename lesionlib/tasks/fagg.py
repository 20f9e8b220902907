"""What f_agg learns from (Wu et al. 2020): maps of stored windows, their h and saliency maps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from lesionlib import maps
from lesionlib.errors import InputError
from lesionlib.metrics.roc import checked_truth
from lesionlib.models.fagg import FAgg
from lesionlib.seeds import rng
from lesionlib.tasks._shared import Chunks, lesion_metrics, outputs_of, seeded, slices
from lesionlib.tasks.loss import class_weights, weighted_loss
from lesionlib.windows import CLASSES


class FAggTask:
    """f_agg on maps of stored windows; judged by the AUC over validation lesions.

    An epoch draws its windows from the stored ones, with replacement, class by class. With equally
    many stored windows per lesion, every lesion of a class is then as likely, as in the paper. A
    pool without negative windows moves their share to outside.

    Parameters
    ----------
    features : for "training" and "validation" (others for `logits`) a dict of ``windows`` (columns
        image, label, lesion), ``h`` (n, 32) and ``location`` (n, H, W).
    saliency : (images, 2, H, W) by row of the store, S_m first; None where X has no S.
    combination : of the maps in X, e.g. "I+S+E", see `lesionlib.maps.channels`.
    settings : with the attributes epoch (windows of the four classes), batch, filters,
        loss_divisor and windows_validation (the first windows of each validation lesion, which
        judge an epoch).
    seed : of this run.

    Raises
    ------
    InputError : for an unknown combination, a pool that lacks a class, and where the validation
        windows lack one kind of lesion.
    """

    name = "f_agg"
    share = slice(None)
    on_device = 2**32  # bytes of an array that is kept on a GPU; of a larger one, rows are sent

    def __init__(self, features: dict, saliency, combination: str, settings, *, seed: int):
        self.features, self.saliency = features, saliency
        self.combination, self.settings, self.seed, self.kept = combination, settings, seed, {}
        label = features["training"]["windows"]["label"].to_numpy()
        self.pool = [np.flatnonzero(label == k) for k in range(len(CLASSES))]
        self.counts = _composition(settings.epoch, self.pool)
        self.labels = torch.from_numpy(label.astype(np.int64))
        self.steps = max(1, sum(self.counts) // settings.batch)
        self.chosen = self._judging_windows()
        self._validation = Chunks(self._judged, len(self.chosen), 1000)
        self.identity = {"combination": combination, "features": self._digest()}
        with seeded(seed):
            self.model = FAgg(maps.channels(combination), settings.filters)

    def batches(self, epoch: int) -> Iterator[tuple]:
        """((location, saliency, h), labels (n,), class weights (4,)); what X lacks is None."""
        draw = rng(self.seed, "windows", epoch)
        pairs = zip(self.pool, self.counts, strict=True)
        rows = draw.permutation(np.concatenate([draw.choice(p, n) for p, n in pairs if n]))
        weights = torch.from_numpy(class_weights(self.counts))
        size = min(self.settings.batch, len(rows))
        for part in slices(self.steps * size, size, self.share):
            yield self._inputs("training", rows[part]), self.labels[rows[part]], weights

    def loss(self, batch) -> torch.Tensor:
        """Weighted cross-entropy over the four classes."""
        parts, labels, weights = batch
        logits = self.model(maps.stack(self.combination, *parts))
        return weighted_loss(logits, labels, weights, self.settings.loss_divisor, self.share.step)

    def validate(self) -> dict[str, float]:
        """AUC over the validation lesions ("score") and plain cross-entropy of their windows."""
        logits = outputs_of(self.model, self._validation, self.model)
        windows = self.features["validation"]["windows"].iloc[self.chosen]
        return lesion_metrics(logits, windows, self.lesions, self.truth)

    def logits(self, split: str) -> np.ndarray:
        """Logits of all stored windows, by the network as it is.

        Parameters
        ----------
        split : a key of `features`.

        Returns
        -------
        float32 (n, 4).
        """
        rows = np.arange(len(self.features[split]["windows"]))
        chunks = (self._maps(split, rows[part]) for part in slices(len(rows), 1000))
        self.model.eval()
        with torch.inference_mode():
            return outputs_of(self.model, chunks, self.model)

    def _judging_windows(self) -> np.ndarray:
        """Rows of the validation windows that judge an epoch; sets the lesions and their truth."""
        windows = self.features["validation"]["windows"]
        rows = np.flatnonzero(windows["label"].isin((0, 1)))
        lesions = windows.iloc[rows].groupby("lesion")
        truth = lesions["label"].first() == CLASSES.index("malignant")
        self.lesions, self.truth = truth.index.to_numpy(), truth.to_numpy()
        checked_truth(self.truth, "validation windows")
        return rows[lesions.cumcount() < self.settings.windows_validation]

    def _inputs(self, split: str, rows: np.ndarray) -> tuple:
        """Location (n, H, W); saliency (n, 2, H, W) and h (n, 32), or None where X lacks them."""
        stored, used = self.features[split], self.combination.split("+")
        location = self._rows(split + " location", stored["location"], rows)
        h = self._rows(split + " h", stored["h"], rows) if "E" in used else None
        images = stored["windows"]["image"].to_numpy()[rows]
        return location, self._rows("saliency", self.saliency, images) if "S" in used else None, h

    def _rows(self, name: str, array: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """Rows of an array on the network's device, to which the array itself goes if it fits."""
        device = next(self.model.parameters()).device
        if name not in self.kept:
            whole = torch.from_numpy(np.require(array, np.float32, ["C", "W"]))
            self.kept[name] = whole.to(device) if whole.nbytes <= self.on_device else whole
        whole = self.kept[name]
        return whole[torch.from_numpy(rows).to(whole.device)].to(device)

    def _maps(self, split: str, rows: np.ndarray) -> torch.Tensor:
        return maps.stack(self.combination, *self._inputs(split, rows))

    def _judged(self, part: slice) -> torch.Tensor:
        return self._maps("validation", self.chosen[part])

    def _digest(self) -> str:
        """Of all that training reads: windows, h, location and their images' saliency."""
        total = hashlib.sha256()
        for split in ("training", "validation"):
            windows = self.features[split]["windows"][["image", "label", "lesion"]]
            total.update(np.ascontiguousarray(windows.to_numpy(np.int64)))
            for name in ["location", "h"] if "E" in self.combination else ["location"]:
                total.update(np.ascontiguousarray(self.features[split][name], np.float32))
            if "S" in self.combination:
                images = np.unique(windows["image"].to_numpy())
                total.update(np.ascontiguousarray(self.saliency[images], np.float32))
        return total.hexdigest()[:16]


def _composition(epoch: Sequence[int], pool: list[np.ndarray]) -> tuple[int, ...]:
    """The epoch's counts for the classes that the pool holds."""
    malignant, benign, outside, negative = epoch
    moved = 0 if len(pool[3]) else negative
    counts = (malignant, benign, outside + moved, negative - moved)
    for name, rows, count in zip(CLASSES, pool, counts, strict=True):
        if count and len(rows) == 0:
            what = f"an epoch needs {count} {name} windows and none is stored"
            raise InputError(what, "training windows", "Store some, or set fagg.epoch to 0 there")
    return counts
