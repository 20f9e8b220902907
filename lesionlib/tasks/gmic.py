"""What GMIC learns from (Shen et al. 2021): whole images, labelled by the lesions on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from lesionlib.errors import InputError
from lesionlib.loading import prepared
from lesionlib.metrics.roc import auc, checked_truth
from lesionlib.models.gmic import gmic_from_settings, gmic_loss_terms
from lesionlib.models.weights import initialise
from lesionlib.seeds import rng
from lesionlib.tasks._shared import outputs_of, seeded, slices, store_digest


class GMICTask:
    """GMIC on whole images, labelled benign present and malignant present (GMIC's order).

    Training: images with lesions of known truth, and negative images. Images on which a lesion of
    unknown truth is outlined, or a finding was left out, are not used: their labels are not known.
    Judged on the validation images with lesions by y_global, which is made of the saliency maps,
    all that Wu et al. 2020 use.

    Parameters
    ----------
    store : with rows and cols (px), the tables images and lesions (columns: `tasks._shared`),
        ``standardised(i)``, float32 (rows, cols), and ``image_rows(split=, negative=,
        with_lesions=, clear=)``, numbers of images.
    settings : with the attributes that `models.gmic.gmic_from_settings` reads, initialisation,
        weights_file, batch, flips (bool), beta, sparsity and sparsity_mean (bool).
    seed : of this run.
    workers : threads that read images while a GPU computes; not used on the CPU.

    Raises
    ------
    InputError : where the validation images all have, or all lack, malignant lesions, and where
        there are no training images.
    """

    name = "gmic"
    share = slice(None)

    def __init__(self, store, settings, *, seed: int, workers: int = 2):
        self.store, self.settings, self.seed, self.workers = store, settings, seed, workers
        self.labels, known = image_labels(store)
        annotated = store.image_rows(split="training", with_lesions=True, clear=True)
        negative = store.image_rows(split="training", negative=True)
        self.training = np.union1d(annotated[known[annotated]], negative[known[negative]])
        validation = store.image_rows(split="validation", with_lesions=True, clear=True)
        self.validation = validation[known[validation]]
        checked_truth(self.labels[self.validation, 1], "validation images, malignant present")
        if len(self.training) == 0:
            raise InputError("no training images", "GMIC", "Put patients into the training split")
        self.steps = max(1, len(self.training) // settings.batch)
        self.identity = {"selection": "global", "store": store_digest(store)}
        with seeded(seed):
            self.model = gmic_from_settings(settings)
            first = settings.initialisation, settings.weights_file
            self.identity["weights"] = initialise(self.model, *first)

    def batches(self, epoch: int) -> Iterator[tuple]:
        """(images (n, 1, rows, cols), labels (n, 2)) in a new order, mirrored up-down at random."""
        draw = rng(self.seed, "images", epoch)
        order = draw.permutation(self.training)
        flips = draw.random(len(order)) < (0.5 if self.settings.flips else 0.0)
        size = min(self.settings.batch, len(order))
        parts = slices(self.steps * size, size, self.share)
        read = prepared(
            lambda part: self._images(order[part], flips[part]), parts, self.model, self.workers
        )
        for part, images in zip(parts, read, strict=True):
            yield images, torch.from_numpy(self.labels[order[part]])

    def loss(self, batch) -> dict[str, torch.Tensor]:
        """The loss of Shen et al. 2021 and its four summands, see `models.gmic.gmic_loss_terms`."""
        images, labels = batch
        how = {"beta": self.settings.beta, "sparsity": self.settings.sparsity}
        how["reduction"] = "mean" if self.settings.sparsity_mean else "sum"
        terms = gmic_loss_terms(self.model(images), labels, **how)
        parts = {f"loss_{name}": term for name, term in terms.items()}
        return {"loss": torch.stack(tuple(terms.values())).sum(), **parts}

    def validate(self) -> dict[str, float]:
        """AUCs over validation images of y_global, y_local and y_fusion, for both labels.

        The score is that of y_global for malignant. The AUC for benign is not a number where every image, or none, has a benign lesion.
        """
        parts = slices(len(self.validation), self.settings.batch)
        chunks = (self._images(self.validation[part]) for part in parts)
        scores = outputs_of(self._predictions, chunks, self.model)
        truth, metrics = self.labels[self.validation] > 0, {}
        for k, head in enumerate(("global", "local", "fusion")):
            benign, malignant = scores[:, 2 * k], scores[:, 2 * k + 1]
            metrics[f"auc_{head}"] = float(auc(truth[:, 1], malignant))
            both = truth[:, 0].any() and not truth[:, 0].all()
            metrics[f"auc_{head}_benign"] = float(auc(truth[:, 0], benign)) if both else np.nan
        return {"score": metrics["auc_global"], **metrics}

    def _predictions(self, images: torch.Tensor) -> torch.Tensor:
        out = self.model(images)
        return torch.cat([out.y_global, out.y_local, out.y_fusion], dim=1)

    def _images(self, rows: np.ndarray, flips: np.ndarray | None = None) -> torch.Tensor:
        """Standardised images (n, 1, rows, cols); mirrored up-down where `flips` says so."""
        images = [self.store.standardised(int(row)) for row in rows]
        if flips is not None:
            pairs = zip(images, flips, strict=True)
            images = [image[::-1] if flip else image for image, flip in pairs]
        return torch.from_numpy(np.stack(images)[:, None])


def image_labels(store) -> tuple[np.ndarray, np.ndarray]:
    """Labels of every image of a store, and whether they are known.

    Parameters
    ----------
    store : with the tables images and lesions (image, pathology).

    Returns
    -------
    labels : float32 (n, 2), benign present, malignant present (GMIC's order).
    known : bool (n,), False where a lesion of unknown truth is outlined on the image.
    """
    lesions, count = store.lesions, len(store.images)
    image, pathology = lesions["image"].to_numpy(), lesions["pathology"].to_numpy()
    labels, known = np.zeros((count, 2), dtype=np.float32), np.ones(count, dtype=bool)
    for column, kind in enumerate(("benign", "malignant")):
        labels[image[pathology == kind], column] = 1
    known[image[~np.isin(pathology, ("benign", "malignant"))]] = False
    return labels, known
