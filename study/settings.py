"""The settings of an experiment, its folders and its seeds.

An experiment is one YAML file under ``experiments/``.  It holds only what differs from the defaults
written here, which are the values of Wu et al. 2020 where the paper gives one.  Unknown keys are
refused with the nearest known one, so a misspelt setting never goes unnoticed.

Promises: two experiments differ by their YAML alone; the seed of every run is derived from the
experiment's one seed and the run's own name, so that adding a run changes no other.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data_manifest.phantom.settings import PhantomSettings
from lesionlib.errors import InputError, nearest

Counts = tuple[int, int, int, int]
Positive = Annotated[float, Field(gt=0)]
Natural = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
PAPER_EPOCH: Counts = (20, 35, 5000, 4945)


class Section(BaseModel):
    """A block of settings: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    dataset: str = Field(
        "table", description="name of the reader, see data_manifest.registry.names()"
    )
    folder: str | None = Field(None, description="the data; LESIONLIB_DATA or DATA= go before it")
    options: dict = Field(default_factory=dict, description="passed to the reader unchanged")
    validation_share: Share = Field(0.15, description="of the patients, where the set has no split")
    test_share: Share = Field(0.25, description="of the patients, where the set has no split")
    folds: int | None = Field(None, ge=2, description="fold the patients instead of splitting them")
    fold: int = Field(0, ge=0, description="the one that is tested, 0 .. folds - 1")
    sha256: bool = Field(False, description="write sha256 of every source file to the manifest")
    damaged: Literal["error", "exclude"] = Field(
        "error", description="images and outlines that turn out unusable: stop, or go on without"
    )


class Canvas(Section):
    rows: Natural = 2944
    cols: Natural = 1920
    cell: Literal[64] = Field(64, description="px of a cell's side, which GMIC's five halvings fix")
    placement: Literal["breast", "gmic"] = Field(
        "breast",
        description="breast: centred; gmic: its published window, see images.gmic_preparation",
    )
    scale: Positive = Field(1.0, description="canvas px per source px")
    background: Literal["zero", "film"] = Field("zero", description="film: blanked off the breast")
    buffer: int = Field(50, ge=0, description="px kept around the breast, but for the chest wall")
    grey: Literal["raw", "voi"] = Field(
        "raw", description="of DICOM: voi applies its LUT or window"
    )

    @property
    def map_shape(self) -> tuple[int, int]:
        return self.rows // self.cell, self.cols // self.cell

    @model_validator(mode="after")
    def _fits(self):
        if self.rows % self.cell or self.cols % self.cell:
            raise ValueError(f"{self.rows} x {self.cols} px are not whole cells of {self.cell} px")
        if self.placement == "gmic" and self.scale != 1:
            raise ValueError(f"placement gmic needs scale 1, found {self.scale:g}; scale the files")
        return self


class Windows(Section):
    side_min: Positive = Field(128.0, description="px of the canvas")
    side_max: Positive = Field(384.0, description="px of the canvas")
    angle: float = Field(
        30.0, ge=0, le=180, description="training: uniform in -angle..angle degrees"
    )
    angle_evaluation: float = Field(0.0, ge=0, le=180, description="the same at evaluation")
    patch: Natural = Field(256, description="px of a patch's side")
    min_overlap: Natural = Field(1, description="px of the outline that a lesion's window holds")
    purity: bool = Field(
        True, description="training: refuse windows that touch both kinds of lesion"
    )
    breast_share: Share = Field(0.5, description="least share of breast, outside and negative")


class Optimisation(Section):
    """What the training engine needs, the same for the three networks."""

    batch: Natural = 25
    learning_rate: Positive | Literal["search"] = Field(
        1e-5, description="search: the best trial's"
    )
    schedule: Literal["constant", "one_cycle"] = "constant"
    epochs: Natural = Field(100, description="at most")
    patience: Natural = Field(10, description="epochs without a rise of the validation AUC")


# how the weighted cross-entropy of a batch becomes one number
Divisor = Annotated[
    Literal["weights", "windows"],
    Field(description="weighted sum / sum of the weights, torch's mean, or / number of windows"),
]
WeightsFile = Annotated[
    str | None, Field(description="with initialisation file; relative to the project's folder")
]


class FLoc(Optimisation):
    backbone: str = "densenet161"
    initialisation: Literal["imagenet", "he", "file"] = "imagenet"
    weights_file: WeightsFile = None
    weights_head: Literal["drop", "map"] = Field(
        "drop", description="the file's last layer; map: its four classes are ours, keep it"
    )
    h_activation: Literal["relu", "none"] = "relu"
    loss_divisor: Divisor = "weights"
    epoch: Counts = Field(PAPER_EPOCH, description="malignant, benign, outside, negative windows")
    runs: Natural = 3
    flips: bool = Field(False, description="mirror patches up-down at random in training")
    windows_validation: Natural = Field(10, description="windows per validation lesion, each epoch")


class GMIC(Optimisation):
    batch: Natural = 16
    learning_rate: Positive = Field(1e-5, description="there is no search for GMIC's")
    epochs: Natural = 50
    width: Natural = Field(16, description="channels of the global network's first stage")
    local_width: Natural = Field(64, description="channels of the local network's first stage")
    crops: Natural = 6
    crop: Natural = Field(256, description="px of a crop's side")
    top_t: Share = Field(0.02, description="share of the cells that make y_global")
    attention: Natural = 128
    saliency_bias: float | None = Field(None, description="none, as published, or its first value")
    beta: float = Field(1e-4, ge=0, description="weight of the saliency maps' sparsity")
    sparsity: Positive = Field(1.0, description="exponent of the saliency in the sparsity term")
    sparsity_mean: bool = Field(False, description="mean over the cells in place of their sum")
    flips: bool = True
    initialisation: Literal["he", "imagenet", "file"] = Field(
        "he", description="imagenet: of the local network alone"
    )
    weights_file: WeightsFile = None


class FAgg(Optimisation):
    batch: Natural = 100
    learning_rate: Positive | Literal["search"] = 1e-4
    epoch: Counts = Field(PAPER_EPOCH, description="malignant, benign, outside, negative windows")
    filters: Natural = 32
    loss_divisor: Divisor = "weights"
    cells: Literal["nominal", "true_centre"] = Field(
        "nominal", description="where the cells of I and E are, see lesionlib.windows.CELL_SHIFTS"
    )
    both_cells: bool = Field(False, description="table 3 with the other choice of cells, too")
    saliency_file: str | None = Field(
        None, description="maps of another context network, see study.steps.saliency_file"
    )
    runs: Natural = 3
    pool_windows: Natural = Field(50, description="stored windows per training lesion")
    pool_epochs: Natural = Field(4, description="stored outside and negative windows, in epochs")
    windows_validation: Natural = Field(10, description="windows per validation lesion, each epoch")


class Evaluation(Section):
    windows_per_lesion: Natural = 100
    resamples: Natural = Field(2000, description="of patients, for 95 % intervals")
    fnr: tuple[Share, ...] = (0.0, 0.01, 0.02, 0.03, 0.05)
    compress: bool = Field(False, description="write predictions.csv.gz, not predictions.csv")


class Arm(Section):
    backbone: str
    initialisation: Literal["imagenet", "he", "file"] = "he"
    weights_file: WeightsFile = None

    @property
    def name(self) -> str:
        return f"{self.backbone}-{self.initialisation}"


PAPER_BACKBONES = ("resnetv2_50", "resnetv2_101", "resnetv2_152")
PAPER_BACKBONES += ("densenet121", "densenet161", "densenet169")


class Architectures(Section):
    arms: tuple[Arm, ...] = tuple(
        Arm(backbone=b, initialisation=i) for b in PAPER_BACKBONES for i in ("imagenet", "he")
    )
    epochs: Natural = 100
    runs: Natural = 3


class Search(Section):
    """Random search over the learning rate, log-uniform in [low, high]."""

    trials: Natural = 20
    epochs: Natural = 100
    floc: tuple[Positive, Positive] = (1e-6, 1e-4)
    fagg: tuple[Positive, Positive] = (1e-5, 1e-3)


class Compute(Section):
    device: str = "cpu"
    precision: str = "32-true"
    threads: Natural = Field(1, description="of one process; results depend on it, so it is fixed")
    workers: Natural = Field(2, description="processes that read and draw images")
    channels_last: bool = False


class Experiment(Section):
    """Everything in which two experiments may differ."""

    name: str = ""
    title: str = ""
    seed: int = Field(1, ge=0)
    data: Data = Data()
    phantom: PhantomSettings = PhantomSettings()
    canvas: Canvas = Canvas()
    windows: Windows = Windows()
    floc: FLoc = FLoc()
    gmic: GMIC = GMIC()
    fagg: FAgg = FAgg()
    evaluation: Evaluation = Evaluation()
    architectures: Architectures = Architectures()
    search: Search = Search()
    compute: Compute = Compute()

    @property
    def is_phantom(self) -> bool:
        return self.data.dataset == "phantom"

    @model_validator(mode="after")
    def _windows_fit(self):
        w, c = self.windows, self.canvas
        if w.side_min > w.side_max:
            raise ValueError(f"windows.side_min {w.side_min} exceeds windows.side_max {w.side_max}")
        if w.side_max > min(c.rows, c.cols):
            raise ValueError(
                f"windows.side_max {w.side_max:g} px is larger than the canvas of "
                f"{c.rows} x {c.cols} px; lower windows.side_max or enlarge the canvas"
            )
        p = self.phantom  # a window larger than it was drawn for would see context around a lesion
        if self.is_phantom and w.side_max > p.side_max:
            raise ValueError(
                f"windows.side_max {w.side_max:g} px exceeds phantom.side_max {p.side_max:g} px, "
                "so a window would see the context; set both alike"
            )
        if self.is_phantom and (c.rows, c.cols) != (p.rows, p.cols):
            raise ValueError(
                f"the canvas of {c.rows} x {c.cols} px is not the phantom's {p.rows} x {p.cols} px"
            )
        return self


# ------------------------------------------------------------------ folders
@cache
def project_root() -> Path:
    """The folder that holds ``experiments/`` and ``notebooks/``.

    ``LESIONLIB_ROOT`` goes first, then the working folder and its parents (papermill starts in the
    caller's folder, Jupyter in the notebook's), then the folder of an editable installation.
    """
    given = os.environ.get("LESIONLIB_ROOT")
    places = [Path(given)] if given else []
    places += [Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[1]]
    for place in places:
        if (place / "experiments").is_dir():
            return place
    remedy = "Start inside the compendium or set LESIONLIB_ROOT"
    raise InputError("no folder experiments/ found", Path.cwd(), remedy)


def runs_folder(experiment: str) -> Path:
    return project_root() / "runs" / experiment


def figures_folder(experiment: str) -> Path:
    return project_root() / "figures" / experiment


# ------------------------------------------------------------------ reading
def experiment_names() -> list[str]:
    return sorted(p.stem for p in (project_root() / "experiments").glob("*.yaml"))


def experiment_files(name: str) -> list[Path]:
    """The YAML of an experiment and of those that it extends, its own first.

    Raises InputError for a missing or broken file, and for one that extends itself in the end.
    """
    files: list[Path] = []
    while name:
        file = project_root() / "experiments" / f"{name}.yaml"
        if not file.is_file():
            known = nearest(name, experiment_names())
            raise InputError(f"there is no experiment '{name}'", file, known)
        if file in files:
            what = f"'{name}' extends itself in the end"
            raise InputError(what, files[-1].name, "Remove the line extends")
        files.append(file)
        name = _parse(file).get("extends")
    return files


def load_experiment(name: str) -> Experiment:
    """The settings of ``experiments/<name>.yaml``.

    ``extends: other`` starts from another experiment's file; blocks are merged key by key.
    Raises InputError for a missing file, broken YAML, an unknown key or a value out of range.
    """
    merged: dict = {}
    files = experiment_files(name)
    for file in reversed(files):
        merged = _merge(merged, {k: v for k, v in _parse(file).items() if k != "extends"})
    try:
        return Experiment(**{**merged, "name": name})
    except ValidationError as error:
        raise _explained(error, files[0]) from None


def settings_for(dataset: str, experiment: str | None = None) -> Experiment:
    """The settings that say how a set is read: of `experiment`, of the set's own, or the defaults."""
    name = experiment or (dataset if dataset in experiment_names() else None)
    return load_experiment(name) if name else Experiment()


def _parse(file: Path) -> dict:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise InputError("not valid YAML", f"{file.name}, line {line}", "Mend the file") from None
    if not isinstance(content, dict | None):
        raise InputError("not a table of settings", file.name, "Write 'key: value' lines")
    return content or {}


def _merge(base: dict, extra: dict) -> dict:
    out = dict(base)
    for key, value in extra.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        out[key] = _merge(base[key], value) if both else value
    return out


def _explained(error: ValidationError, file: Path) -> InputError:
    """The first fault of a settings file as one line with its remedy."""
    # of a misspelt key the wrong name comes before what is then missing
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        fields = _fields_at(first["loc"][:-1])
        return InputError(f"unknown setting '{path}'", file.name, nearest(first["loc"][-1], fields))
    message = first["msg"].removeprefix("Value error, ")
    if not isinstance(first["input"], dict | Section):
        message += f", found {first['input']!r}"
    return InputError(f"setting '{path or 'experiment'}': {message}", file.name, "Correct it")


def _fields_at(path: tuple) -> list[str]:
    model = Experiment
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else next(iter(get_args(model)), model)
    return list(getattr(model, "model_fields", {}))
