"""What f_loc learns from (Wu et al. 2020): patches of windows that are drawn anew each epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from lesionlib.loading import prepared
from lesionlib.metrics.roc import checked_truth
from lesionlib.models.floc import FLoc
from lesionlib.models.weights import initialise
from lesionlib.patches import extract_patches
from lesionlib.sampling import sample_epoch, sample_lesion_windows
from lesionlib.scoring import known_lesions
from lesionlib.seeds import derive_seed, rng
from lesionlib.tasks._shared import Chunks, lesion_metrics, outputs_of, seeded, slices, store_digest
from lesionlib.tasks.loss import class_weights, weighted_loss
from lesionlib.windows import CLASSES

PATCHES_AT_ONCE = 500
PIXELS_AT_ONCE = 2**22  # of a training epoch: larger arrays come as new, slow memory each time


class FLocTask:
    """f_loc on patches of an epoch of windows; judged by the AUC over validation lesions.

    Parameters
    ----------
    store : as `sampling` and `patches` read it, with the columns of `tasks._shared`.
    settings : with the attributes backbone, h_activation, initialisation, weights_file,
        weights_head, epoch (windows of the four classes), batch, flips (bool), loss_divisor and
        windows_validation (windows per validation lesion).
    windows : as `sampling.sample_epoch` reads it, with patch (px per side).
    seed : of this run.
    validation_seed : of the validation windows; it is not the run's, so that all runs and trials
        are compared on the same windows.
    workers : threads that cut patches while a GPU computes; not used on the CPU.
    cut : windows -> patches (n, 1, P, P), on any device; without it, `patches.extract_patches`.

    Raises
    ------
    InputError : where the validation split lacks one kind of lesion.
    """

    name = "f_loc"
    share = slice(None)  # of a batch, for this process

    def __init__(self, store, settings, windows, *, seed, validation_seed=0, workers=2, cut=None):
        self.store, self.settings, self.windows = store, settings, windows
        self.seed, self.workers, self.cut = seed, workers, cut or self._extract
        self.lesions = known_lesions(store, "validation")
        self.truth = (store.lesions["pathology"].to_numpy() == "malignant")[self.lesions]
        checked_truth(self.truth, "validation lesions")
        self.steps = max(1, sum(settings.epoch) // settings.batch)
        self.identity = {"windows": dict(vars(windows)), "validation_seed": validation_seed}
        self.identity["store"] = store_digest(store)
        self.validation_seed, self._validation = validation_seed, None
        with seeded(seed):
            self.model = FLoc(settings.backbone, h_activation=settings.h_activation)
            first = settings.initialisation, settings.weights_file
            self.identity["weights"] = initialise(self.model, *first, head=settings.weights_head)

    def batches(self, epoch: int) -> Iterator[tuple]:
        """(patches (n, 1, P, P), labels (n,), class weights (4,)) of newly drawn windows."""
        seed = derive_seed(self.seed, "windows", epoch)
        drawn = sample_epoch(self.store, self.settings.epoch, self.windows, seed=seed)
        labels = torch.from_numpy(drawn["label"].to_numpy(np.int64))
        weights = torch.from_numpy(class_weights(torch.bincount(labels, minlength=len(CLASSES))))
        # up-down alone: a breast keeps its chest wall on the left
        share = 0.5 if self.settings.flips else 0.0
        flips = torch.from_numpy(rng(self.seed, "flips", epoch).random(len(drawn)) < share)
        size = min(self.settings.batch, len(drawn))
        (own,) = slices(size, size, self.share)
        at_once = min(PATCHES_AT_ONCE, PIXELS_AT_ONCE // self.windows.patch**2)
        each = max(1, at_once // size) * size
        parts = slices(min(len(drawn), self.steps * size), each, self.share)
        cut = lambda part: self._patches(drawn.iloc[part], flips[part])  # noqa: E731
        chunks = prepared(cut, parts, self.model, self.workers)
        for part, patches in zip(parts, chunks, strict=True):
            for rows in slices(len(patches), len(range(size)[own])):
                yield patches[rows], labels[part][rows], weights

    def loss(self, batch) -> torch.Tensor:
        """Weighted cross-entropy over the four classes."""
        patches, labels, weights = batch
        logits = self.model(patches)[0]
        return weighted_loss(logits, labels, weights, self.settings.loss_divisor, self.share.step)

    def validate(self) -> dict[str, float]:
        """AUC over the validation lesions ("score") and plain cross-entropy of their windows."""
        windows, chunks = self._validation_inputs()
        logits = outputs_of(lambda patches: self.model(patches)[0], chunks, self.model)
        return lesion_metrics(logits, windows, self.lesions, self.truth)

    def _patches(self, windows: pd.DataFrame, flips: torch.Tensor | None = None) -> torch.Tensor:
        """Patches (n, 1, P, P); mirrored up-down where `flips`, bool (n,), says so."""
        patches = self.cut(windows)
        if flips is None or not flips.any():
            return patches
        return torch.where(flips.to(patches.device)[:, None, None, None], patches.flip(2), patches)

    def _extract(self, windows: pd.DataFrame) -> torch.Tensor:
        return torch.from_numpy(extract_patches(self.store, windows, self.windows.patch))

    def _validation_inputs(self) -> tuple[pd.DataFrame, Chunks]:
        if self._validation is None:  # drawn when first used: a finished run needs none
            windows = sample_lesion_windows(
                self.store,
                self.lesions,
                self.settings.windows_validation,
                self.windows,
                seed=derive_seed(self.validation_seed, "validation windows"),
                training=False,
            )
            chunks = Chunks(
                lambda part: self._patches(windows.iloc[part]), len(windows), PATCHES_AT_ONCE
            )
            self._validation = windows, chunks
        return self._validation
