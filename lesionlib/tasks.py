"""What each of the three networks learns from, and how it is judged (Wu et al. 2020).

`FLocTask` trains on patches drawn anew each epoch, `GMICTask` on whole images, `FAggTask` on maps
built from stored windows.  All three are judged on the validation split alone; `training.fit` runs
them.

Promises: the batches of an epoch depend on (seed, epoch) only; the last, incomplete batch of an
epoch is left out, so that batch norm always sees as many.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from lesionlib import maps
from lesionlib.errors import InputError
from lesionlib.experiment import derive_seed, rng
from lesionlib.metrics.roc import auc, checked_truth
from lesionlib.models.fagg import FAgg
from lesionlib.models.floc import FLoc
from lesionlib.models.gmic import gmic_from_settings, gmic_loss_terms
from lesionlib.models.weights import initialise
from lesionlib.patches import extract_patches
from lesionlib.sampling import sample_epoch, sample_lesion_windows
from lesionlib.scoring import lesion_scores, window_scores
from lesionlib.windows import CLASSES

KEPT_BYTES = 2**30  # validation inputs up to this size stay in memory between epochs
PATCHES_AT_ONCE = 500
IMAGE_IDENTITY = ["image_id", "split", "negative", "mean", "std", "sha256"]
LESION_IDENTITY = ["lesion_id", "image", "split", "pathology", "row0", "col0", "rows", "cols"]


def class_weights(counts: Sequence[int]) -> np.ndarray:
    """Weight of each class in the cross-entropy: windows of an epoch / those of the class.

    float32 (4,).  A class without windows weighs 0.  The paper's epoch of 20, 35, 5,000 and 4,945
    windows gives 500, 285.714, 2 and 2.0222; with torch's weighted mean only their ratios count.
    """
    counts = np.asarray(counts, dtype=np.float64)
    weights = np.divide(counts.sum(), counts, out=np.zeros_like(counts), where=counts > 0)
    return weights.astype(np.float32)


def weighted_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, divisor: str = "weights"
) -> torch.Tensor:
    """Weighted cross-entropy of a batch, (n, 4) logits and (n,) labels, as one number.

    divisor : the sum over windows of weight x cross-entropy is divided by the sum of the "weights",
    so that every batch counts alike, or by the number of "windows", so that every window of a class
    counts alike whatever its batch holds.  The paper does not say which.
    """
    if divisor == "weights":
        return F.cross_entropy(logits.float(), labels, weights)
    return F.cross_entropy(logits.float(), labels, weights, reduction="sum") / len(labels)


# ------------------------------------------------------------------ f_loc
class FLocTask:
    """f_loc on patches of an epoch of windows; judged by the AUC over validation lesions.

    store : ImageStore.  settings : `experiment.FLoc`.  windows : `experiment.Windows`.
    seed : of this run.  validation_seed : of the validation windows; it is not the run's, so that
    all runs and trials are compared on the same windows.  workers : threads that cut patches
    while a GPU computes; not used on the CPU.

    Raises InputError where the validation split lacks one kind of lesion.
    """

    name = "f_loc"

    def __init__(self, store, settings, windows, *, seed: int, validation_seed=0, workers=2):
        self.store, self.settings, self.windows = store, settings, windows
        self.seed, self.workers = seed, workers
        self.lesions = _known_lesions(store, "validation")
        self.truth = (store.lesions["pathology"].to_numpy() == "malignant")[self.lesions]
        checked_truth(self.truth, "validation lesions")
        self.steps = _steps(sum(settings.epoch), settings.batch)
        self.identity = {
            "windows": windows.model_dump(mode="json"),
            "validation_seed": validation_seed,
            "store": _store_digest(store),
        }
        self.validation_seed, self._validation = validation_seed, None
        with _seeded(seed):
            self.model = FLoc(settings.backbone, h_activation=settings.h_activation)
            self.identity["weights"] = _first_weights(self.model, settings)

    def batches(self, epoch: int) -> Iterator[tuple]:
        """(patches (n, 1, P, P), labels (n,), class weights (4,)) of newly drawn windows."""
        drawn = sample_epoch(
            self.store,
            self.settings.epoch,
            self.windows,
            seed=derive_seed(self.seed, "windows", epoch),
        )
        labels = torch.from_numpy(drawn["label"].to_numpy(np.int64))
        weights = torch.from_numpy(class_weights(torch.bincount(labels, minlength=len(CLASSES))))
        flips = self._flips(epoch, len(drawn))
        size = self.settings.batch
        each = max(1, PATCHES_AT_ONCE // size) * size
        parts = _parts(min(len(drawn), max(size, self.steps * size)), each)
        chunks = _prepared(lambda part: self._patches(drawn.iloc[part]), parts, self)
        for part, patches in zip(parts, chunks, strict=True):
            turned = flips[part][:, None, None, None]
            patches = torch.where(turned, patches.flip(2), patches) if turned.any() else patches
            for rows in _parts(len(patches), size):
                yield patches[rows], labels[part][rows], weights

    def loss(self, batch) -> torch.Tensor:
        """Weighted cross-entropy over the four classes."""
        patches, labels, weights = batch
        logits = self.model(patches)[0]
        return weighted_loss(logits, labels, weights, self.settings.loss_divisor)

    def validate(self) -> dict[str, float]:
        """AUC over the validation lesions ("score") and the plain cross-entropy of their windows."""
        windows, chunks = self._validation_inputs()
        logits = _outputs(lambda patches: self.model(patches)[0], chunks, self.model)
        return _lesion_metrics(logits, windows, self.lesions, self.truth)

    def _flips(self, epoch: int, count: int) -> torch.Tensor:
        """Which patches are mirrored up-down: a breast keeps its chest wall on the left."""
        share = 0.5 if self.settings.flips else 0.0
        return torch.from_numpy(rng(self.seed, "flips", epoch).random(count) < share)

    def _patches(self, windows: pd.DataFrame) -> torch.Tensor:
        return torch.as_tensor(extract_patches(self.store, windows, self.windows.patch))

    def _validation_inputs(self) -> tuple[pd.DataFrame, _Chunks]:
        if self._validation is None:  # drawn when first used: a finished run needs none
            windows = sample_lesion_windows(
                self.store,
                self.lesions,
                self.settings.windows_validation,
                self.windows,
                seed=derive_seed(self.validation_seed, "validation windows"),
                rotate=False,
            )
            size = 4 * self.windows.patch**2 * len(windows)
            cut = lambda part: self._patches(windows.iloc[part])  # noqa: E731
            self._validation = windows, _Chunks(cut, len(windows), PATCHES_AT_ONCE, size)
        return self._validation


# ------------------------------------------------------------------ GMIC
class GMICTask:
    """GMIC on whole images, labelled benign present and malignant present (GMIC's order).

    Training: images with lesions of known truth, and negative images.  Images on which a lesion of
    unknown truth is outlined are left out: their labels are not known.  Judged on the validation
    images with lesions.

    store : ImageStore.  settings : `experiment.GMIC`.  seed : of this run.  selection : "global"
    or "fusion", the prediction whose AUC for malignant is the score; the saliency maps, all that
    Wu et al. 2020 use, make the global one.  workers : threads that read images while a GPU
    computes; not used on the CPU.

    Raises InputError where the validation images all have, or all lack, malignant lesions, and
    where there are no training images.
    """

    name = "gmic"

    def __init__(self, store, settings, *, seed: int, selection: str = "global", workers: int = 2):
        if selection not in ("global", "fusion"):
            raise InputError(f"unknown selection '{selection}'", "GMIC", "Use global or fusion")
        self.store, self.settings, self.seed = store, settings, seed
        self.selection, self.workers = selection, workers
        self.labels, known = image_labels(store)
        annotated = store.image_rows(split="training", with_lesions=True)
        negative = store.image_rows(split="training", negative=True)
        self.training = np.union1d(annotated[known[annotated]], negative[known[negative]])
        validation = store.image_rows(split="validation", with_lesions=True)
        self.validation = validation[known[validation]]
        checked_truth(self.labels[self.validation, 1], "validation images, malignant present")
        if len(self.training) == 0:
            raise InputError("no training images", "GMIC", "Put patients into the training split")
        self.steps = _steps(len(self.training), settings.batch)
        self.identity = {"selection": selection, "store": _store_digest(store)}
        with _seeded(seed):
            self.model = gmic_from_settings(settings)
            self.identity["weights"] = _first_weights(self.model, settings)

    def batches(self, epoch: int) -> Iterator[tuple]:
        """(images (n, 1, rows, cols), labels (n, 2)) in a new order, mirrored up-down at random."""
        draw = rng(self.seed, "images", epoch)
        order = draw.permutation(self.training)
        flips = draw.random(len(order)) < (0.5 if self.settings.flips else 0.0)
        size = min(self.settings.batch, len(order))
        parts = _parts(self.steps * size, size)
        read = lambda part: self._images(order[part], flips[part])  # noqa: E731
        for part, images in zip(parts, _prepared(read, parts, self), strict=True):
            yield images, torch.from_numpy(self.labels[order[part]])

    def loss(self, batch) -> dict[str, torch.Tensor]:
        """The loss of Shen et al. 2021 and its four summands, see `models.gmic.gmic_loss_terms`."""
        images, labels = batch
        settings = self.settings
        terms = gmic_loss_terms(
            self.model(images),
            labels,
            beta=settings.beta,
            sparsity=settings.sparsity,
            reduction="mean" if settings.sparsity_mean else "sum",
        )
        parts = {f"loss_{name}": term for name, term in terms.items()}
        return {"loss": torch.stack(tuple(terms.values())).sum(), **parts}

    def validate(self) -> dict[str, float]:
        """AUCs over validation images of y_global, y_local and y_fusion, for both labels.

        The AUC for benign is not a number where every image, or none, has a benign lesion.
        """
        read = lambda part: self._images(self.validation[part])  # noqa: E731
        size = max(1, self.settings.batch)
        chunks = (read(part) for part in _parts(len(self.validation), size))
        scores = _outputs(self._predictions, chunks, self.model)
        truth, metrics = self.labels[self.validation] > 0, {}
        for k, head in enumerate(("global", "local", "fusion")):
            benign, malignant = scores[:, 2 * k], scores[:, 2 * k + 1]
            metrics[f"auc_{head}"] = float(auc(truth[:, 1], malignant))
            both = truth[:, 0].any() and not truth[:, 0].all()
            metrics[f"auc_{head}_benign"] = float(auc(truth[:, 0], benign)) if both else np.nan
        return {"score": metrics[f"auc_{self.selection}"], **metrics}

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
    """Labels of every image of the store, and whether they are known.

    float32 (n, 2): benign present, malignant present (GMIC's order).  bool (n,): False where a
    lesion of unknown truth is outlined on the image.
    """
    lesions, count = store.lesions, len(store.images)
    image, pathology = lesions["image"].to_numpy(), lesions["pathology"].to_numpy()
    labels, known = np.zeros((count, 2), dtype=np.float32), np.ones(count, dtype=bool)
    for column, kind in enumerate(("benign", "malignant")):
        labels[image[pathology == kind], column] = 1
    known[image[~np.isin(pathology, ("benign", "malignant"))]] = False
    return labels, known


# ------------------------------------------------------------------ f_agg
class FAggTask:
    """f_agg on maps of stored windows; judged by the AUC over validation lesions.

    features : for "training" and "validation" (others for `logits`) a dict of ``windows`` (columns
    image, label, lesion), ``h`` (n, 32) and ``location`` (n, H, W).  saliency : (images, 2, H, W)
    by row of the store, S_m first; None will do where the combination has no S.  settings :
    `experiment.FAgg`.  seed : of this run.

    An epoch draws its windows from the stored ones, with replacement, class by class.  Stored with
    equally many windows a lesion, every lesion of a class is then as likely, as in the paper.
    A pool without negative windows moves their share to outside.  The first
    `settings.windows_validation` windows of each validation lesion judge an epoch.

    Raises InputError for an unknown combination, a pool that lacks a class, and where the
    validation windows lack one kind of lesion.
    """

    name = "f_agg"

    def __init__(self, features: dict, saliency, combination: str, settings, *, seed: int):
        self.features, self.saliency = features, saliency
        self.combination, self.settings, self.seed = combination, settings, seed
        label = features["training"]["windows"]["label"].to_numpy()
        self.pool = [np.flatnonzero(label == k) for k in range(len(CLASSES))]
        self.counts = _composition(settings.epoch, self.pool)
        self.labels = torch.from_numpy(label.astype(np.int64))
        self.steps = _steps(sum(self.counts), settings.batch)
        self.chosen = self._judging_windows()
        self._validation = None
        self.identity = {"combination": combination, "features": self._digest()}
        with _seeded(seed):
            self.model = FAgg(maps.channels(combination), settings.filters)

    def batches(self, epoch: int) -> Iterator[tuple]:
        """((location, saliency, h), labels (n,), class weights (4,)); what X lacks is None."""
        draw = rng(self.seed, "windows", epoch)
        pairs = zip(self.pool, self.counts, strict=True)
        rows = draw.permutation(np.concatenate([draw.choice(p, n) for p, n in pairs if n]))
        weights = torch.from_numpy(class_weights(self.counts))
        size = min(self.settings.batch, len(rows))
        for part in _parts(self.steps * size, size):
            yield self._inputs("training", rows[part]), self.labels[rows[part]], weights

    def loss(self, batch) -> torch.Tensor:
        """Weighted cross-entropy over the four classes."""
        parts, labels, weights = batch
        logits = self.model(self._stack(parts))
        return weighted_loss(logits, labels, weights, self.settings.loss_divisor)

    def validate(self) -> dict[str, float]:
        """AUC over the validation lesions ("score") and the plain cross-entropy of their windows."""
        if self._validation is None:
            self._validation = self._chunks("validation", self.chosen)
        logits = _outputs(self.model, self._validation, self.model)
        windows = self.features["validation"]["windows"].iloc[self.chosen]
        return _lesion_metrics(logits, windows, self.lesions, self.truth)

    def logits(self, split: str) -> np.ndarray:
        """Logits, float32 (n, 4), of all stored windows of a split, by the network as it is."""
        rows = np.arange(len(self.features[split]["windows"]))
        self.model.eval()
        with torch.inference_mode():
            return _outputs(self.model, self._chunks(split, rows, keep=False), self.model)

    def _judging_windows(self) -> np.ndarray:
        """Rows of the validation windows that judge an epoch; sets the lesions and their truth."""
        windows = self.features["validation"]["windows"]
        windows = windows[windows["label"].isin((0, 1))]
        first = windows.groupby("lesion").cumcount() < self.settings.windows_validation
        truth = windows.groupby("lesion")["label"].first() == CLASSES.index("malignant")
        self.lesions, self.truth = truth.index.to_numpy(), truth.to_numpy()
        checked_truth(self.truth, "validation windows")
        known = self.features["validation"]["windows"].index.get_indexer(windows.index)
        return known[first.to_numpy()]

    def _inputs(self, split: str, rows: np.ndarray) -> tuple:
        """Location (n, H, W); saliency (n, 2, H, W) and h (n, 32), or None where X lacks them."""
        stored, used = self.features[split], self.combination.split("+")
        location = _tensor(stored["location"], rows)
        h = _tensor(stored["h"], rows) if "E" in used else None
        if "S" not in used:
            return location, None, h
        return location, _tensor(self.saliency, stored["windows"]["image"].to_numpy()[rows]), h

    def _stack(self, parts: tuple) -> torch.Tensor:
        location, saliency, h = parts
        return maps.stack(self.combination, location, saliency, h)

    def _chunks(self, split: str, rows: np.ndarray, keep: bool = True) -> _Chunks:
        shape = self.features[split]["location"].shape[1:]
        size = 4 * maps.channels(self.combination) * int(np.prod(shape)) * len(rows)
        make = lambda part: self._stack(self._inputs(split, rows[part]))  # noqa: E731
        return _Chunks(make, len(rows), 1000, size if keep else KEPT_BYTES + 1)

    def _digest(self) -> str:
        """Of all that training reads: windows, h, location and their images' saliency."""
        total = hashlib.sha256()
        for split in ("training", "validation"):
            windows = self.features[split]["windows"][["image", "label", "lesion"]]
            total.update(np.ascontiguousarray(windows.to_numpy(np.int64)))
            for part in self._inputs(split, np.arange(len(windows)))[::2]:
                total.update(b"" if part is None else part.numpy())
            if "S" in self.combination:
                images = np.unique(windows["image"].to_numpy())
                total.update(np.ascontiguousarray(self.saliency[images], np.float32))
        return total.hexdigest()[:16]


def _composition(epoch: Sequence[int], pool: list[np.ndarray]) -> tuple[int, ...]:
    """The epoch's counts for the classes that the pool holds."""
    malignant, benign, outside, negative = epoch
    if negative and len(pool[3]) == 0:
        outside, negative = outside + negative, 0
    counts = (malignant, benign, outside, negative)
    for name, rows, count in zip(CLASSES, pool, counts, strict=True):
        if count and len(rows) == 0:
            raise InputError(
                f"an epoch needs {count} {name} windows and none is stored",
                "training windows",
                f"Store some, or set the count of {name} windows in fagg.epoch to 0",
            )
    return counts


# ------------------------------------------------------------------ shared
class _Chunks:
    """Validation inputs, chunk by chunk; made once where all of them fit in `KEPT_BYTES`."""

    def __init__(self, make: Callable[[slice], torch.Tensor], count: int, each: int, size: int):
        self.make, self.parts = make, _parts(count, each)
        self.kept: dict[int, torch.Tensor] | None = {} if size <= KEPT_BYTES else None

    def __iter__(self) -> Iterator[torch.Tensor]:
        for k, part in enumerate(self.parts):
            if self.kept is None:
                yield self.make(part)
                continue
            if k not in self.kept:
                self.kept[k] = self.make(part)
            yield self.kept[k]


def _outputs(network: Callable, chunks: Iterable[torch.Tensor], model) -> np.ndarray:
    """The network's outputs for all chunks, float32 (n, k)."""
    device = next(model.parameters()).device
    found = [network(chunk.to(device)).float().cpu() for chunk in chunks]
    return torch.cat(found).numpy()


def _lesion_metrics(logits, windows: pd.DataFrame, lesions, truth) -> dict[str, float]:
    scores = window_scores(logits)
    if not np.isfinite(scores).all():  # the engine tells it to the user
        return {"score": np.nan, "validation_loss": np.nan}
    of_lesions = lesion_scores(scores, windows["lesion"].to_numpy(), lesions)
    labels = torch.from_numpy(windows["label"].to_numpy(np.int64))
    loss = F.cross_entropy(torch.from_numpy(logits), labels)
    return {"score": float(auc(truth, of_lesions)), "validation_loss": float(loss)}


def _prepared(make: Callable, parts: Sequence[slice], task) -> Iterator:
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


def _parts(count: int, each: int) -> list[slice]:
    return [slice(start, min(start + each, count)) for start in range(0, count, each)]


def _steps(count: int, batch: int) -> int:
    """Whole batches in an epoch; one smaller batch where there is less than a whole one."""
    return max(1, count // batch)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """torch's generator as this run's initial weights need it, put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initialisation"))
        yield


def _first_weights(model, settings) -> dict:
    """Initialise the network; what it started from, without the folder it was read from."""
    head = getattr(settings, "weights_head", "drop")  # GMIC has none to choose
    record = initialise(model, settings.initialisation, settings.weights_file, head=head)
    return {**record, "source": Path(record["source"]).name}


def _known_lesions(store, split: str) -> np.ndarray:
    """Rows of the split's malignant and benign lesions, ascending."""
    kinds = [store.lesion_rows(split=split, pathology=kind) for kind in CLASSES[:2]]
    return np.sort(np.concatenate(kinds))


def _store_digest(store) -> str:
    """Of the images and lesions that a network learns from, not of where they lie on disk."""
    total = hashlib.sha256(f"{store.rows} x {store.cols}".encode())
    for table, columns in ((store.images, IMAGE_IDENTITY), (store.lesions, LESION_IDENTITY)):
        # as text: the hash of a column must not depend on how it was read
        text = table[columns].astype(str).reset_index(drop=True)
        total.update(pd.util.hash_pandas_object(text, index=False).to_numpy())
    return total.hexdigest()[:16]


def _tensor(array, rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array[rows], dtype=np.float32))
