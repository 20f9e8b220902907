"""The way of the data: each step of the paper as a stage that reads what earlier stages wrote.

files -> manifest -> store -> windows -> f_loc -> features \
                         \\-> GMIC -> saliency maps ---------> X -> f_agg -> lesion scores

Every function takes a :class:`~lesionlib.lab.Lab`, makes what it needs first, and gives back plain
things: a manifest, a store, a data frame, an array.  So any notebook can be run alone, in any
order, and a second run reuses what is there.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from lesionlib import provenance
from lesionlib.errors import InputError
from lesionlib.experiment import derive_seed
from lesionlib.lab import Lab
from lesionlib.stages import key_of, stage

SCORED = ("validation", "test")
STORED = ("training", *SCORED)  # splits whose windows f_agg reads


# ------------------------------------------------------------------ data
def data_folder(lab: Lab) -> Path | None:
    """The user's data: LESIONLIB_DATA (DATA= of make), else the last one used, else the settings'.

    Raises InputError where a real set has no folder.
    """
    if lab.is_phantom:
        return lab.runs / "phantom"
    remembered = lab.runs / "data_folder.txt"
    given = os.environ.get("LESIONLIB_DATA") or (
        remembered.read_text().strip() if remembered.is_file() else lab.settings.data.folder
    )
    remedy = f"Give it: make run EXPERIMENT={lab.name} DATA=<folder>"
    if not given:
        raise InputError("no data folder was given", f"experiment {lab.name}", remedy)
    if not Path(given).is_dir():
        raise InputError("the data folder does not exist", given, remedy)
    provenance.write_text(remembered, str(Path(given).resolve()) + "\n")
    return Path(given)


def manifest(lab: Lab):
    """The validated :class:`~lesionlib.manifest.Manifest` with patient-disjoint splits."""
    from lesionlib.checksums import write_checksums
    from lesionlib.manifest import Manifest
    from lesionlib.splits import split_by_settings

    folder, s = data_folder(lab), lab.settings
    inputs = {"data": s.data.model_dump(exclude={"folder", "damaged"}), "seed": s.seed}
    inputs |= {"phantom": s.phantom} if lab.is_phantom else {"files": fingerprint(folder)}
    inputs = {k: v.model_dump() if hasattr(v, "model_dump") else v for k, v in inputs.items()}

    def compute(place: Path) -> str:
        found = _read_data(lab, folder)
        found = split_by_settings(found, s.data, s.seed).validate()
        found.write(place)
        if s.data.sha256:
            write_checksums(found, place / "files.sha256", s.compute.workers)
        return _digest_of_files(place)

    place = stage(lab, "manifest", inputs, ("datasets", "manifest"), compute)
    return Manifest.read(place)


def _read_data(lab: Lab, folder: Path):
    from lesionlib import datasets

    s = lab.settings
    if lab.is_phantom:
        from lesionlib.datasets import phantom

        return phantom.read(
            folder, s.phantom, seed=s.seed, workers=s.compute.workers, progress=lab.progress
        )
    return datasets.read(s.data.dataset, folder, **s.data.options)


def fingerprint(folder: Path) -> str:
    """Names, sizes and times of the tables at the top of a data folder (pixels are checked later)."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    rows = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def _digest_of_files(place: Path) -> str:
    total = hashlib.sha256()
    for file in sorted(p for p in place.iterdir() if p.suffix == ".csv"):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()[:16]


def store(lab: Lab):
    """The memory-mapped :class:`~lesionlib.images.store.ImageStore` of all canvases."""
    from lesionlib.images.store import STAGE, ImageStore, build_store

    found, s = manifest(lab), lab.settings
    inputs = {"canvas": s.canvas.model_dump(), "manifest": key_of(lab.runs / "manifest")}

    def compute(place: Path) -> None:
        build_store(
            found, place / "canvases", s.canvas, workers=s.compute.workers, progress=lab.progress
        )

    place = stage(lab, "store", inputs, ("images", "outlines", "manifest"), compute, resumes=True)
    images = ImageStore.open(place / "canvases")
    if s.data.damaged == "error":
        _refuse_damaged(lab, images.exclusions[images.exclusions["stage"] == STAGE])
    return images


def _refuse_damaged(lab: Lab, found: pd.DataFrame) -> None:
    """Name the first image or outline that the store had to leave out, and how to go on."""
    if found.empty:
        return
    lesions = found["level"] == "lesion"
    first = found[~lesions].iloc[0] if not lesions.all() else found.iloc[0]
    raise InputError(
        f"{(~lesions).sum()} images and {lesions.sum()} lesions cannot be used, "
        f"{first['level']} {first['id']} first: {first['reason'].rstrip('.')}",
        f"all in runs/{lab.name}/store/canvases/exclusions.csv",
        "Or go on without them: data.damaged: exclude",
    )


def evaluation_windows(lab: Lab) -> pd.DataFrame:
    """The windows by which each validation and test lesion is judged, drawn once for all models."""
    from lesionlib.sampling import sample_lesion_windows

    images, s = store(lab), lab.settings
    inputs = {"windows": s.windows.model_dump(), "each": s.evaluation.windows_per_lesion}
    inputs |= {"seed": s.seed, "store": key_of(lab.runs / "store")}

    def compute(place: Path) -> None:
        lesions = scored_lesions(images)
        drawn = sample_lesion_windows(
            images, lesions, s.evaluation.windows_per_lesion, s.windows,
            seed=derive_seed(s.seed, "evaluation windows"), rotate=False,
        )  # fmt: skip
        drawn.to_parquet(place / "windows.parquet")

    place = stage(lab, "windows", inputs, ("windows", "sampling"), compute)
    return pd.read_parquet(place / "windows.parquet")


def scored_lesions(images) -> np.ndarray:
    """Rows of the validation and test lesions whose truth is known, in the store's order."""
    rows = [
        images.lesion_rows(split=split, pathology=pathology)
        for split in SCORED
        for pathology in ("malignant", "benign")
    ]
    return np.sort(np.concatenate(rows))


def followed_lesion(lab: Lab, pathology: str = "malignant") -> int:
    """The row of the lesion that the notebooks follow from its outline to its place on the ROC curve.

    A rule and not a choice: of the malignant test lesions that are alone on their image (of all
    where none is), the one whose outline has the median area.  pathology : "benign" gives its
    counterpart, by the same rule.
    """
    table = store(lab).lesions
    alone = table.groupby("image")["lesion_id"].transform("size") == 1
    found = table[(table["split"] == "test") & (table["pathology"] == pathology)]
    found = found[alone[found.index]] if alone[found.index].any() else found
    return int(found["area_px"].sort_values(kind="stable").index[len(found) // 2])


# ------------------------------------------------------------------ f_loc
def floc(lab: Lab, run: int = 0) -> Path:
    """The folder of one trained f_loc: weights, history, scores of its evaluation windows."""
    s = lab.settings
    settings = s.floc.model_copy(update={"learning_rate": learning_rate(lab, "floc")})
    return _trained_floc(lab, f"floc/run{run}", settings, derive_seed(s.seed, "floc", run), run)


def _trained_floc(
    lab: Lab, name: str, settings, seed: int, run: int, *, scored: bool = True
) -> Path:
    """scored : score the evaluation windows too; a trial of a search needs no look at the test."""
    windows, s = evaluation_windows(lab), lab.settings
    inputs = {"floc": settings.model_dump(exclude={"runs"}), "windows": s.windows.model_dump(), "seed": seed}
    inputs |= {"store": key_of(lab.runs / "store"), "drawn": key_of(lab.runs / "windows")}

    def compute(place: Path) -> None:
        from lesionlib.scoring import lesion_predictions, window_scores
        from lesionlib.tasks import FLocTask
        from lesionlib.training import fit

        images = store(lab)
        torch_ready(lab)
        task = FLocTask(
            images, settings, s.windows, seed=seed, validation_seed=s.seed, workers=s.compute.workers
        )
        fit(task, place, settings, seed=seed, compute=s.compute, progress=_named(lab, name))
        if not scored:
            return
        h, logits = outputs(lab, place, settings, windows)
        np.savez(place / "evaluation.npz", h=h, logits=logits)
        table = lesion_predictions(images, windows, window_scores(logits), model="f_loc", run=run)
        table.to_csv(place / "predictions.csv", index=False)

    return stage(lab, name, inputs, FLOC_CODE, compute, resumes=True)


FLOC_CODE = ("models/backbones", "models/floc", "models/weights", "training", "tasks", "scoring")
FLOC_CODE += ("models/state_files", "patches", "sampling", "windows")


def outputs(lab: Lab, run_folder: Path, settings, windows: pd.DataFrame):
    """h (n, 32) and logits (n, 4) of a trained f_loc for a table of windows, float32."""
    import torch

    from lesionlib.patches import extract_patches

    images, s, net = store(lab), lab.settings, _floc_network(lab, run_folder, settings)
    h, logits = np.empty((len(windows), 32), np.float32), np.empty((len(windows), 4), np.float32)
    with torch.no_grad():
        for start in range(0, len(windows), 250):
            part = slice(start, start + 250)
            patches = extract_patches(images, windows.iloc[part], s.windows.patch)
            out = net(torch.from_numpy(patches).to(s.compute.device))
            logits[part], h[part] = (t.float().cpu().numpy() for t in out)
    return h, logits


def load_floc(lab: Lab, run: int = 0):
    """A trained f_loc in evaluation mode."""
    return _floc_network(lab, floc(lab, run), lab.settings.floc)


def _floc_network(lab: Lab, run_folder: Path, settings):
    from lesionlib.models.floc import FLoc

    net = FLoc(settings.backbone, h_activation=settings.h_activation)
    return _loaded(lab, run_folder, net)


def _loaded(lab: Lab, run_folder: Path, net):
    """A network with the weights of a finished run, on the set device, in evaluation mode."""
    from lesionlib.models.weights import load_checkpoint

    load_checkpoint(run_folder / "best.safetensors", net)
    return net.to(lab.settings.compute.device).eval()


def best_floc(lab: Lab) -> tuple[int, Path]:
    """The run of f_loc whose validation AUC is highest; its h feeds every f_agg."""
    from lesionlib.training import read_result

    runs = [floc(lab, run) for run in range(lab.settings.floc.runs)]
    scores = [read_result(folder).best_score for folder in runs]
    return int(np.argmax(scores)), runs[int(np.argmax(scores))]


# ------------------------------------------------------------------ GMIC
def gmic(lab: Lab) -> Path:
    """The folder of the trained context network."""
    images, s = store(lab), lab.settings
    seed = derive_seed(s.seed, "gmic")
    inputs = {"gmic": s.gmic.model_dump(), "seed": seed, "store": key_of(lab.runs / "store")}

    def compute(place: Path) -> None:
        from lesionlib.tasks import GMICTask
        from lesionlib.training import fit

        torch_ready(lab)
        task = GMICTask(images, s.gmic, seed=seed, workers=s.compute.workers)
        fit(task, place, s.gmic, seed=seed, compute=s.compute, progress=_named(lab, "gmic"))

    modules = ("models/gmic", "training", "tasks", "models/weights", "models/state_files")
    return stage(lab, "gmic", inputs, modules, compute, resumes=True)


def load_gmic(lab: Lab):
    """The trained GMIC in evaluation mode."""
    from lesionlib.models.gmic import gmic_from_settings

    return _loaded(lab, gmic(lab), gmic_from_settings(lab.settings.gmic))


def saliency(lab: Lab) -> np.ndarray:
    """Saliency maps of every image of the store, float32 (n, 2, h, w); S_m first, then S_b.

    They are GMIC's, or those of the file that `fagg.saliency_file` names, made by any other network
    (see `lesionlib.saliency_file`).
    """
    if lab.settings.fagg.saliency_file:
        return _given_saliency(lab)
    folder, images, s = gmic(lab), store(lab), lab.settings

    def compute(place: Path) -> None:
        import torch

        from lesionlib.models.gmic import malignant_first

        torch_ready(lab)
        net, maps = load_gmic(lab), np.empty((len(images.images), 2, *s.canvas.map_shape), "f4")
        with torch.no_grad():
            for start in range(0, len(maps), 8):
                rows = range(start, min(start + 8, len(maps)))
                batch = np.stack([images.standardised(i) for i in rows])[:, None]
                found = net.saliency(torch.from_numpy(batch).to(s.compute.device))
                maps[rows.start : rows.stop] = malignant_first(found).float().cpu().numpy()
        np.save(place / "maps.npy", maps)

    place = stage(lab, "saliency", {"gmic": key_of(folder)}, ("models/gmic",), compute)
    return np.load(place / "maps.npy", mmap_mode="r")


def _given_saliency(lab: Lab) -> np.ndarray:
    from lesionlib.experiment import project_root
    from lesionlib.saliency_file import read_saliency

    images, s = store(lab), lab.settings
    file = project_root() / s.fagg.saliency_file
    state = [file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None
    inputs = {"file": [str(file), state], "store": key_of(lab.runs / "store")}

    def compute(place: Path) -> str:
        maps = read_saliency(file, images.images["image_id"], s.canvas.map_shape)
        np.save(place / "maps.npy", maps)
        return hashlib.sha256(maps).hexdigest()[:16]

    place = stage(lab, "saliency", inputs, ("saliency_file",), compute)
    return np.load(place / "maps.npy", mmap_mode="r")


# ------------------------------------------------------------------ features and f_agg
def features(lab: Lab, cells: str | None = None) -> dict[str, dict]:
    """What f_agg reads: for each split the stored windows with h, logits and location maps.

    Keys of a split: ``windows`` (data frame), ``h`` (n, 32), ``logits`` (n, 4), ``location``
    (n, h, w).  Training windows are a pool drawn once; validation and test are the evaluation
    windows.  cells : where the cells of the location maps lie, `fagg.cells` if None.
    """
    stored, location = _stored_windows(lab), _location(lab, cells or lab.settings.fagg.cells)
    return {name: _read_features(stored / name, location / f"{name}.npy") for name in STORED}


def _stored_windows(lab: Lab) -> Path:
    run, folder = best_floc(lab)
    windows, s = evaluation_windows(lab), lab.settings
    inputs = {"floc": key_of(folder), "fagg": s.fagg.model_dump(include=_POOL), "seed": s.seed}

    def compute(place: Path) -> None:
        torch_ready(lab)
        known = np.load(folder / "evaluation.npz")
        split = store(lab).lesions["split"].to_numpy()[windows["lesion"]]
        for name in SCORED:
            rows = np.flatnonzero(split == name)
            _write_features(place / name, windows.iloc[rows].reset_index(drop=True),
                            known["h"][rows], known["logits"][rows])  # fmt: skip
        pool = training_pool(lab)
        h, logits = outputs(lab, folder, s.floc, pool)
        _write_features(place / "training", pool, h, logits)

    modules = ("windows", "sampling", "patches", "models/floc", "models/backbones")
    return stage(lab, "features", inputs, modules, compute)


def _location(lab: Lab, cells: str) -> Path:
    """The folder of the stored windows' location maps, a file a split."""
    from lesionlib.windows import CELL_SHIFTS, location_maps

    stored, canvas = _stored_windows(lab), lab.settings.canvas
    inputs = {"features": key_of(stored), "cells": cells, "canvas": canvas.map_shape}

    def compute(place: Path) -> None:
        for name in STORED:
            windows = pd.read_parquet(stored / name / "windows.parquet")
            shift = CELL_SHIFTS[cells]
            found = location_maps(windows, canvas.map_shape, canvas.cell, shift=shift)
            np.save(place / f"{name}.npy", found)

    return stage(lab, f"location/{cells}", inputs, ("windows",), compute)


_POOL_ONLY = {"pool_windows", "pool_epochs"}
_POOL = {"epoch"} | _POOL_ONLY
# told by the keys of the stages before, or by the name of the run
_NOT_OF_A_RUN = {"runs", "cells", "both_cells", "saliency_file"} | _POOL_ONLY


def training_pool(lab: Lab) -> pd.DataFrame:
    """Windows stored for f_agg's training: of every training lesion, and outside and negative."""
    from lesionlib.sampling import sample_epoch, sample_lesion_windows

    images, s = store(lab), lab.settings
    known = [images.lesion_rows(split="training", pathology=p) for p in ("malignant", "benign")]
    lesions = np.sort(np.concatenate(known))
    seed = derive_seed(s.seed, "training pool")
    near = sample_lesion_windows(
        images, lesions, s.fagg.pool_windows, s.windows, seed=seed, rotate=True, keep_impure=False
    )
    _, _, outside, negative = s.fagg.epoch
    counts = (0, 0, s.fagg.pool_epochs * outside, s.fagg.pool_epochs * negative)
    far = sample_epoch(images, counts, s.windows, seed=seed)
    return pd.concat([near, far], ignore_index=True)


def _write_features(place: Path, windows: pd.DataFrame, h, logits) -> None:
    place.mkdir(exist_ok=True)
    windows.to_parquet(place / "windows.parquet")
    np.save(place / "h.npy", h)
    np.save(place / "logits.npy", logits)


def _read_features(place: Path, location: Path) -> dict:
    files = {"h": place / "h.npy", "logits": place / "logits.npy", "location": location}
    arrays = {name: np.load(file, mmap_mode="r") for name, file in files.items()}
    return {"windows": pd.read_parquet(place / "windows.parquet"), **arrays}


def fagg(lab: Lab, combination: str, run: int = 0, cells: str | None = None) -> Path:
    """The folder of one trained f_agg: weights, history and lesion scores.

    cells : where the cells of I and E lie, `fagg.cells` if None; nothing else differs, the seed
    neither.
    """
    s = lab.settings
    settings = s.fagg.model_copy(update={"learning_rate": learning_rate(lab, "fagg")})
    other = cells not in (None, s.fagg.cells)
    name = f"fagg_{cells}" if other else "fagg"
    return _trained_fagg(lab, f"{name}/{combination}/run{run}", settings, combination, run, cells)


def load_fagg(lab: Lab, combination: str, run: int = 0):
    """A trained f_agg in evaluation mode."""
    from lesionlib.maps import channels
    from lesionlib.models.fagg import FAgg

    net = FAgg(channels(combination), lab.settings.fagg.filters)
    return _loaded(lab, fagg(lab, combination, run), net)


def _trained_fagg(
    lab: Lab, name: str, settings, combination: str, run: int, cells: str | None = None
) -> Path:
    read, maps, s = features(lab, cells), saliency(lab), lab.settings
    seed = derive_seed(s.seed, "fagg", combination, run)
    inputs = {"fagg": settings.model_dump(exclude=_NOT_OF_A_RUN), "combination": combination}
    inputs |= {"seed": seed, "saliency": key_of(lab.runs / "saliency")}
    inputs |= {"features": key_of(lab.runs / "features")}
    inputs |= {"location": key_of(lab.runs / "location" / (cells or s.fagg.cells))}

    def compute(place: Path) -> None:
        from lesionlib.scoring import lesion_predictions, window_scores
        from lesionlib.tasks import FAggTask
        from lesionlib.training import fit

        torch_ready(lab)
        task = FAggTask(read, maps, combination, settings, seed=seed)
        fit(task, place, settings, seed=seed, compute=s.compute, progress=_named(lab, name))
        scored = [
            lesion_predictions(
                store(lab), read[split]["windows"], window_scores(task.logits(split)),
                model=combination, run=run,
            )
            for split in SCORED
        ]  # fmt: skip
        pd.concat(scored).to_csv(place / "predictions.csv", index=False)

    modules = ("models/fagg", "maps", "training", "tasks", "scoring")
    return stage(lab, name, inputs, modules, compute, resumes=True)


# ------------------------------------------------------------------ what is compared
def architectures(lab: Lab, arm: str | None = None) -> pd.DataFrame:
    """Every arm of figure 6, trained with one budget; a row a run with its validation and test AUC.

    arm : name of the only arm to run, for work done side by side.
    """
    from lesionlib.metrics.roc import auc
    from lesionlib.training import read_result

    s, rows = lab.settings, []
    for which in s.architectures.arms:
        for run in range(s.architectures.runs if arm in (None, which.name) else 0):
            changed = {"epochs": s.architectures.epochs, "weights_head": "drop"}
            changed |= which.model_dump()
            settings = s.floc.model_copy(update=changed)
            name = f"architectures/{which.name}/run{run}"
            seed = derive_seed(s.seed, "architectures", which.name, run)
            folder = _trained_floc(lab, name, settings, seed, run)
            test = pd.read_csv(folder / "predictions.csv").query("split == 'test'")
            rows.append(
                {"backbone": which.backbone, "initialisation": which.initialisation, "run": run,
                 "validation_auc": read_result(folder).best_score,
                 "test_auc": auc(test["y_true"].to_numpy(), test["y_score"].to_numpy())}
            )  # fmt: skip
    return pd.DataFrame(rows)


def search(lab: Lab, network: str = "floc", trial: int | None = None) -> pd.DataFrame:
    """Random search over the learning rate of `floc` or `fagg`; see `lesionlib.search`.

    trial : the only one to run, for work done side by side.
    """
    from lesionlib.search import run_search
    from lesionlib.training import read_result

    s = lab.settings
    low, high = getattr(s.search, network)

    def train(k: int, rate: float):
        changed = {"learning_rate": rate, "epochs": s.search.epochs}
        settings = getattr(s, network).model_copy(update=changed)
        name = f"search/{network}/trial{k}"
        if network == "floc":
            seed = derive_seed(s.seed, name)
            return read_result(_trained_floc(lab, name, settings, seed, k, scored=False))
        return read_result(_trained_fagg(lab, name, settings, "E+S", k))

    seed = derive_seed(s.seed, "search", network)
    trials = range(s.search.trials) if trial is None else [trial]
    return run_search(train, trials, low=low, high=high, seed=seed, progress=lab.progress)


def learning_rate(lab: Lab, network: str) -> float:
    """The set learning rate; with the setting `search`, the best trial's by validation AUC."""
    rate = getattr(lab.settings, network).learning_rate
    if rate != "search":
        return rate
    from lesionlib.search import best_trial

    return float(best_trial(search(lab, network))["learning_rate"])


# ------------------------------------------------------------------ results
def predictions(lab: Lab) -> pd.DataFrame:
    """Lesion scores of every model and run, validation and test; ``figures/../predictions.csv``."""
    from lesionlib.maps import COMBINATIONS

    s = lab.settings
    folders = [floc(lab, run) for run in range(s.floc.runs)]
    folders += [fagg(lab, c, run) for c in COMBINATIONS for run in range(s.fagg.runs)]
    return _gathered(lab, folders, "predictions.csv")


def predictions_other_cells(lab: Lab) -> pd.DataFrame:
    """As :func:`predictions`, of the combinations of the window, with I and E on the other cells.

    h, S, windows and seeds are those of :func:`predictions`.  ``figures/../predictions_<cells>.csv``;
    no row where `fagg.both_cells` is off.
    """
    from lesionlib.maps import OF_THE_WINDOW
    from lesionlib.windows import CELL_SHIFTS

    s = lab.settings
    if not s.fagg.both_cells:
        return predictions(lab).iloc[:0]
    (other,) = CELL_SHIFTS.keys() - {s.fagg.cells}
    folders = [fagg(lab, c, run, other) for c in OF_THE_WINDOW for run in range(s.fagg.runs)]
    return _gathered(lab, folders, f"predictions_{other}.csv")


def _gathered(lab: Lab, folders: list[Path], name: str) -> pd.DataFrame:
    """The predictions of these runs, kept in one file, which is left alone where it says the same."""
    table = pd.concat([pd.read_csv(folder / "predictions.csv") for folder in folders])
    content = table.to_csv(index=False, float_format="%.6f").encode()
    target = lab.figures / name
    if lab.settings.evaluation.compress:
        target = target.with_name(f"{name}.gz")
        content = gzip.compress(content, mtime=0)  # no time in it: the same scores, the same file
    if not target.is_file() or target.read_bytes() != content:
        provenance.write_bytes(target, content)
    return pd.read_csv(target)


def results(lab: Lab) -> dict:
    """Every number of this experiment, ``figures/../results.json``; see `lesionlib.results`."""
    from lesionlib.results import assemble

    return assemble(lab)


# ------------------------------------------------------------------ small helpers
def torch_ready(lab: Lab) -> None:
    """One number of threads for every sum, so that a run repeats to the bit on one machine."""
    import torch

    torch.set_num_threads(lab.settings.compute.threads)


def _named(lab: Lab, name: str):
    return lambda message: lab.progress(f"{name}: {message}")
