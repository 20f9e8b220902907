"""The settings of an experiment, its folders and its seeds.

An experiment is one YAML file under ``experiments/``.  It holds only what differs from the defaults
written here, which are the values of Wu et al. 2020 where the paper gives one.  Unknown keys are
refused with the nearest known one, so a misspelt setting never goes unnoticed.

Promises: two experiments differ by their YAML alone; the seed of every run is derived from the
experiment's one seed and the run's own name, so that adding a run changes no other.
"""

from __future__ import annotations

import os
import re
import reprlib
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from data_manifest.phantom.settings import (
    Count,
    Natural,
    Number,
    PhantomSettings,
    Positive,
    Range,
    Section,
    Share,
)
from lesionlib.errors import InputError, nearest

NAME = re.compile("[A-Za-z][A-Za-z0-9_-]{0,63}")  # of an experiment, an arm, a data set
NAMES = "A name begins with a letter and has letters a to z, digits, _ and - only, 64 at most"
MOST_BYTES = 1_000_000  # of an experiment's file

PAPER_BACKBONES = ("resnetv2_50", "resnetv2_101", "resnetv2_152")
PAPER_BACKBONES += ("densenet121", "densenet161", "densenet169")
PUBLISHED = PAPER_BACKBONES[3:]  # with ImageNet weights to download
PAPER_EPOCH = (20, 35, 5000, 4945)


def checked_name(name: object, what: str = "an experiment", where: object = "") -> str:
    """A name as it came; InputError where it is none, so that it may go into paths and commands."""
    if isinstance(name, str) and NAME.fullmatch(name):
        return name
    raise InputError(f"{what} cannot be named {reprlib.repr(name)}", where, NAMES)


def _device(name: str) -> str:
    if not re.fullmatch("cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise ValueError("should be cpu, cuda, cuda:1 (the second GPU) or mps")
    return name


def _learnable(counts: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    if not (counts[0] and counts[1]):
        raise ValueError("should have malignant and benign windows")
    return counts


# ------------------------------------------------------------------ values that several blocks have
Angle = Annotated[Number, Field(ge=0, le=180)]
Backbone = Annotated[
    Literal[(*PAPER_BACKBONES, "densenet_mini", "resnetv2_mini")],
    Field(description="see lesionlib.models.backbones"),
]
# how the weighted cross-entropy of a batch becomes one number
Divisor = Annotated[
    Literal["weights", "windows"],
    Field(description="weighted sum / sum of the weights, torch's mean, or / number of windows"),
]
Epoch = Annotated[
    tuple[Count, Count, Count, Count],
    AfterValidator(_learnable),
    Field(description="windows of an epoch: malignant, benign, outside, negative"),
]
Epochs = Annotated[Natural, Field(description="at most")]
Initialisation = Annotated[
    Literal["imagenet", "he", "file"],
    Field(description="first weights: ImageNet's (downloaded once), random, or a file's"),
]
Rate = Annotated[
    Positive | Literal["search"], Field(description="of Adam; search: the best trial's")
]
Runs = Annotated[Natural, Field(description="trainings that differ by their seed alone")]
ValidationWindows = Annotated[
    Natural, Field(description="windows per validation lesion, each epoch")
]


# ------------------------------------------------------------------ blocks
class Block(Section):
    """Settings that have to fit together: `_faults` of a class gives what does not."""

    @model_validator(mode="after")
    def _fits(self):
        for kind in reversed(type(self).__mro__):
            for fault in vars(kind).get("_faults", lambda block: ())(self):
                raise ValueError(fault)
        return self


class Data(Block):
    """What is read, and how its patients are split."""

    dataset: Annotated[str, AfterValidator(partial(checked_name, what="a data set"))] = Field(
        "table", description="name of the reader, see data_manifest.registry.names()"
    )
    folder: str | None = Field(None, description="the data; LESIONLIB_DATA or DATA= go before it")
    options: dict[str, object] = Field(
        default_factory=dict, description="passed to the reader unchanged"
    )
    validation_share: Share = Field(
        0.15, gt=0, lt=1, description="of the patients, where the set has no split"
    )
    test_share: Share = Field(
        0.25, gt=0, lt=1, description="of the patients, where the set has no split"
    )
    folds: Natural | None = Field(
        None, ge=2, description="fold the patients instead of splitting them"
    )
    fold: Count = Field(0, description="the one that is tested, 0 .. folds - 1")
    sha256: bool = Field(False, description="write sha256 of every source file to the manifest")
    permuted_labels: bool = Field(
        False,
        description="a control: women of training, and of validation, exchange their lesions' truth",
    )
    damaged: Literal["error", "exclude"] = Field(
        "error", description="images and outlines that turn out unusable: stop, or go on without"
    )

    def _faults(self):
        if self.validation_share + self.test_share >= 1:
            shares = (
                f"validation_share {self.validation_share:g} and test_share {self.test_share:g}"
            )
            yield f"{shares} leave no training; they should add up to less than 1"
        if self.dataset == "phantom" and self.options:
            yield "the phantom takes no options, but settings in the block phantom"
        if self.fold >= (self.folds or 1):
            counted = f"{self.folds} folds, counted from 0" if self.folds else "no folds"
            yield f"there is no fold {self.fold} of {counted}"
        if self.permuted_labels and (self.folds or self.dataset == "phantom"):
            yield "permuted_labels is for a real set that is split, not folded"


class Canvas(Block):
    """The picture of one size on which every breast is placed."""

    rows: Natural = Field(2944, description="px, whole cells")
    cols: Natural = Field(1920, description="px, whole cells")
    cell: Literal[64] = Field(64, description="px of a cell's side, which GMIC's five halvings fix")
    placement: Literal["breast", "gmic"] = Field(
        "breast",
        description="breast: centred; gmic: its published window, see images.gmic_preparation",
    )
    scale: Positive = Field(1.0, description="canvas px per source px")
    background: Literal["zero", "film"] = Field("zero", description="film: blanked off the breast")
    buffer: Count = Field(50, description="px kept around the breast, but for the chest wall")
    grey: Literal["raw", "voi"] = Field(
        "raw", description="of DICOM: voi applies its LUT or window"
    )

    @property
    def map_shape(self) -> tuple[int, int]:
        return self.rows // self.cell, self.cols // self.cell

    def _faults(self):
        if self.rows % self.cell or self.cols % self.cell:
            yield f"{self.rows} x {self.cols} px are not whole cells of {self.cell} px"
        if self.placement == "gmic" and self.scale != 1:
            yield f"placement gmic needs scale 1, found {self.scale:g}; scale the files"


class Windows(Section):
    """The square windows that are cut out in and around lesions, and their patches."""

    side_min: Positive = Field(128.0, description="px of the canvas")
    side_max: Positive = Field(384.0, description="px of the canvas")
    angle: Angle = Field(30.0, description="training: uniform in -angle..angle degrees")
    angle_evaluation: Angle = Field(0.0, description="the same at evaluation")
    patch: Natural = Field(256, ge=16, description="px of a patch's side")
    min_overlap: Natural = Field(1, description="px of the outline that a lesion's window holds")
    purity: bool = Field(
        True, description="training: refuse windows that touch both kinds of lesion"
    )
    breast_share: Share = Field(0.5, description="least share of breast, outside and negative")


class Optimisation(Block):
    """What the training engine needs, the same for the three networks."""

    batch: Natural = Field(25, description="images or windows of a step")
    learning_rate: Rate = 1e-5
    schedule: Literal["constant", "one_cycle"] = Field(
        "constant", description="of the learning rate; one_cycle: over all epochs, its peak given"
    )
    epochs: Epochs = 100
    patience: Natural = Field(10, description="epochs without a rise of the validation AUC")


class FirstWeights(Block):
    """Where the weights of a network come from before it is trained."""

    initialisation: Initialisation = "he"
    weights_file: str | None = Field(
        None, description="with initialisation file; relative to the project's folder"
    )

    def _faults(self):
        if self.initialisation == "file" and not self.weights_file:
            yield "initialisation file needs a weights_file"


class Trunk(FirstWeights):
    """A backbone with its first weights."""

    backbone: Backbone

    def _faults(self):
        if self.initialisation == "imagenet" and self.backbone not in PUBLISHED:
            instead = "use initialisation he, or file with weights_file"
            yield f"there are no published ImageNet weights for {self.backbone}; {instead}"


class FLoc(Optimisation, Trunk):
    """f_loc, the patch network."""

    backbone: Backbone = "densenet161"
    initialisation: Initialisation = "imagenet"
    weights_head: Literal["drop", "map"] = Field(
        "drop", description="the file's last layer; map: its four classes are ours, keep it"
    )
    h_activation: Literal["relu", "none"] = Field("relu", description="of the 32 numbers h")
    loss_divisor: Divisor = "weights"
    epoch: Epoch = PAPER_EPOCH
    runs: Runs = 3
    flips: bool = Field(False, description="mirror patches up-down at random in training")
    windows_validation: ValidationWindows = 10

    def _faults(self):
        if self.weights_head == "map" and self.initialisation != "file":
            yield "weights_head map needs initialisation file"


class GMIC(Optimisation, FirstWeights):
    """GMIC, the context network, which makes the saliency maps."""

    batch: Natural = Field(16, description="images of a step")
    learning_rate: Positive = Field(1e-5, description="there is no search for GMIC's")
    epochs: Epochs = 50
    width: Natural = Field(16, description="channels of the global network's first stage")
    local_width: Natural = Field(64, description="channels of the local network's first stage")
    crops: Natural = Field(6, description="crops of an image that the local network sees")
    crop: Natural = Field(256, description="px of a crop's side")
    top_t: Share = Field(0.02, description="share of the cells that make y_global")
    attention: Natural = Field(128, description="units of the attention over the crops")
    saliency_bias: Number | None = Field(None, description="none, as published, or its first value")
    beta: Number = Field(1e-4, ge=0, description="weight of the saliency maps' sparsity")
    sparsity: Positive = Field(1.0, description="exponent of the saliency in the sparsity term")
    sparsity_mean: bool = Field(False, description="mean over the cells in place of their sum")
    runs: Runs = 1
    flips: bool = Field(True, description="mirror images up-down at random in training")
    initialisation: Literal["he", "imagenet", "file"] = Field(
        "he", description="first weights; imagenet: of the local network alone"
    )

    def _faults(self):
        if self.initialisation == "imagenet" and self.local_width != 64:
            found = f"ImageNet weights are for local_width 64, found {self.local_width}"
            yield f"{found}; use initialisation he or file"


class FAgg(Optimisation):
    """f_agg, the aggregation network, which joins the maps of one lesion to its score."""

    batch: Natural = Field(100, description="windows of a step")
    learning_rate: Rate = 1e-4
    epoch: Epoch = PAPER_EPOCH
    filters: Natural = Field(32, description="channels of its convolution")
    loss_divisor: Divisor = "weights"
    cells: Literal["nominal", "true_centre"] = Field(
        "nominal", description="where the cells of I and E are, see lesionlib.windows.CELL_SHIFTS"
    )
    both_cells: bool = Field(False, description="table 3 with the other choice of cells, too")
    saliency_file: str | None = Field(
        None, description="maps of another context network, see study.steps.saliency_file"
    )
    saliency_of: Literal["own", "exchanged", "outside"] = Field(
        "own",
        description="controls of S; exchanged: of another patient of the split; outside: blanked "
        "around the lesions, see study.steps.saliency_controls",
    )
    runs: Runs = 3
    pair_runs: bool = Field(
        False,
        description="run r reads run r of f_loc and of GMIC (counted on from 0 where they have "
        "fewer), so that the spread over runs is that of all three; else the best on validation",
    )
    pool_windows: Natural = Field(50, description="stored windows per training lesion")
    pool_epochs: Natural = Field(4, description="stored outside and negative windows, in epochs")
    windows_validation: ValidationWindows = 10


class Evaluation(Section):
    """How lesions are scored and judged."""

    windows_per_lesion: Natural = Field(100, description="whose mean is the lesion's score")
    resamples: Natural = Field(2000, description="of patients, for 95 % intervals")
    fnr: tuple[Share, ...] = Field(
        (0.0, 0.01, 0.02, 0.03, 0.05),
        min_length=1,
        description="shares of malignant lesions missed, at which table 2 counts spared biopsies",
    )
    compress: bool = Field(False, description="write predictions.csv.xz, not predictions.csv")


class Arm(Trunk):
    """One arm of figure 6."""

    @property
    def name(self) -> str:
        return f"{self.backbone}-{self.initialisation}"


def _different(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    names = [arm.name for arm in arms]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"arm {twice[0]} is there twice")
    return arms


# the paper's; its ResNets with ImageNet weights need files: torchvision publishes none
PAPER_ARMS = tuple(
    Arm(backbone=backbone, initialisation=how)
    for backbone in PAPER_BACKBONES
    for how in ("imagenet", "he")
    if how == "he" or backbone in PUBLISHED
)


class Architectures(Section):
    """Figure 6: backbones of f_loc trained with one budget."""

    arms: Annotated[tuple[Arm, ...], AfterValidator(_different)] = Field(
        PAPER_ARMS, min_length=1, description="each a backbone, initialisation, weights_file"
    )
    epochs: Epochs = 100
    runs: Runs = 3


class Search(Section):
    """Random search over the learning rate, log-uniform in [low, high]."""

    trials: Natural = Field(20, description="of each network")
    epochs: Epochs = 100
    floc: Range = Field((1e-6, 1e-4), description="low, high of f_loc's learning rate")
    fagg: Range = Field((1e-5, 1e-3), description="low, high of f_agg's learning rate")


class Compute(Block):
    """The machine."""

    device: Annotated[str, AfterValidator(_device)] = Field(
        "cpu", description="cpu, cuda, cuda:1 (the second GPU) or mps"
    )
    devices: Natural = Field(
        1, description="of one training: GPUs from the first on, or processes on the CPU"
    )
    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="of the training; bf16-mixed: half the memory of a GPU"
    )
    threads: Natural = Field(1, description="of one process; results depend on it, so it is fixed")
    workers: Natural = Field(2, description="processes that read and draw images")
    patches: Literal["cpu", "device"] = Field("cpu", description="where f_loc's patches are cut")
    channels_last: bool = Field(False, description="order of the numbers on a GPU, often faster")

    def _faults(self):
        if self.channels_last and self.device == "cpu":
            yield "channels_last is for a GPU, not for device cpu"
        if self.devices > 1 and self.device not in ("cpu", "cuda"):
            yield f"several devices are for device cpu or cuda, found {self.device}"
        if self.devices > 1 and self.patches == "device":
            yield "patches device is for one device; use patches cpu"


def _block(model: type[Section]) -> object:
    return Field(model(), description=model.__doc__.partition("\n")[0])


class Experiment(Block):
    """Everything in which two experiments may differ."""

    name: str = Field("", description="that of its file, and not to be set")
    title: str = Field("", description="one line for the reader")
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = Field(
        1, description="all other seeds derive from it"
    )
    data: Data = _block(Data)
    phantom: PhantomSettings = _block(PhantomSettings)
    canvas: Canvas = _block(Canvas)
    windows: Windows = _block(Windows)
    floc: FLoc = _block(FLoc)
    gmic: GMIC = _block(GMIC)
    fagg: FAgg = _block(FAgg)
    evaluation: Evaluation = _block(Evaluation)
    architectures: Architectures = _block(Architectures)
    search: Search = _block(Search)
    compute: Compute = _block(Compute)

    @property
    def is_phantom(self) -> bool:
        return self.data.dataset == "phantom"

    def _faults(self):
        w, c, p = self.windows, self.canvas, self.phantom
        if w.side_min > w.side_max:
            yield f"windows.side_min {w.side_min} exceeds windows.side_max {w.side_max}"
        if w.side_max > min(c.rows, c.cols):
            larger = f"windows.side_max {w.side_max:g} px is larger than the canvas of"
            mend = "lower windows.side_max or enlarge the canvas"
            yield f"{larger} {c.rows} x {c.cols} px; {mend}"
        if w.min_overlap > w.side_max**2:
            yield f"windows.min_overlap {w.min_overlap} px is more than a window holds"
        trunks = (self.floc, *self.architectures.arms)
        large = [trunk.backbone for trunk in trunks if trunk.backbone in PUBLISHED]
        if large and w.patch < 31:
            yield f"windows.patch {w.patch} px is too small for {large[0]}, at least 31"
        # a window larger than it was drawn for would see context around a lesion
        if self.is_phantom and w.side_max > p.side_max:
            exceeds = (
                f"windows.side_max {w.side_max:g} px exceeds phantom.side_max {p.side_max:g} px"
            )
            yield f"{exceeds}, so a window would see the context; set both alike"
        for name in ("floc", "gmic", "fagg"):
            if (batch := getattr(self, name).batch) % (count := self.compute.devices):
                mend = f"set it to a multiple of {count}"
                yield f"{name}.batch {batch} cannot be shared alike by {count} devices; {mend}"
        if self.is_phantom and (c.rows, c.cols) != (p.rows, p.cols):
            yield f"the canvas of {c.rows} x {c.cols} px is not the phantom's {p.rows} x {p.cols} px"


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
    """Where results go; those of the experiments that are read together lie in one folder."""
    place = project_root() / "figures"
    return place / (f"evidence/{experiment}" if experiment.startswith("evidence_") else experiment)


def project_path(name: str | Path) -> Path:
    """A path as a setting gives it: relative to the project's folder; ~ is the user's own."""
    return project_root() / os.path.expanduser(name)


# ------------------------------------------------------------------ reading
def experiment_names() -> list[str]:
    names = [file.stem for file in (project_root() / "experiments").glob("*.yaml")]
    return sorted(name for name in names if NAME.fullmatch(name))


def experiment_files(name: str) -> list[Path]:
    """The YAML of an experiment and of those that it extends, its own first.

    Raises InputError for a missing or broken file, and for one that extends itself in the end.
    """
    files: list[Path] = []
    while name is not None:
        checked_name(name, where=files[-1].name if files else "")
        file = project_root() / "experiments" / f"{name}.yaml"
        if not file.is_file():
            known = nearest(name, experiment_names())
            raise InputError(f"there is no experiment '{name}'", file, known)
        if file in files:
            what = f"'{name}' extends itself in the end"
            raise InputError(what, files[-1].name, "Remove the line extends")
        files.append(file)
        name = _content(file).get("extends")
    return files


def load_experiment(name: str) -> Experiment:
    """The settings of ``experiments/<name>.yaml``.

    ``extends: other`` starts from another experiment's file; blocks are merged key by key.
    Raises InputError for a missing file, broken YAML, an unknown key or a value out of range.
    """
    merged: dict = {}
    files = experiment_files(name)
    for file in reversed(files):
        merged = _merge(merged, {k: v for k, v in _content(file).items() if k != "extends"})
    if merged.get("name", name) != name:
        what = f"the name of an experiment is that of its file, found name: {merged['name']}"
        raise InputError(" ".join(what.split())[:200], files[0].name, "Leave the line out")
    try:
        return Experiment(**{**merged, "name": name})
    except ValidationError as error:
        raise _explained(error, files[0]) from None


def settings_for(dataset: str, experiment: str | None = None) -> Experiment:
    """The settings that say how a set is read: of `experiment`, of the set's own, or the defaults."""
    name = experiment or (dataset if dataset in experiment_names() else None)
    return load_experiment(name) if name else Experiment()


class _Loader(yaml.SafeLoader):
    """YAML of plain values: texts, numbers, yes or no, lists, and tables whose keys are texts.

    A date is a text.  There are no aliases, so no value contains itself or grows without bound.
    """

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="an alias (*) is not read here", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        """As YAML has it; a key that is given twice, or is no text, is refused with its line."""
        seen = set()
        for key, _ in node.value:
            problem = "is no text" if key.tag not in _TEXTS else "is given twice"
            if key.tag not in _TEXTS or key.value in seen:
                shown = f"key {reprlib.repr(key.value)} {problem}"
                raise yaml.MarkedYAMLError(problem=shown, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_TAG = "tag:yaml.org,2002:"
_TEXTS = (f"{_TAG}str", f"{_TAG}timestamp")
_KINDS = ("null", "bool", "int", "float", "str", "seq", "map")
_Loader.yaml_constructors = {
    **{_TAG + kind: yaml.SafeLoader.yaml_constructors[_TAG + kind] for kind in _KINDS},
    _TEXTS[1]: yaml.SafeLoader.construct_yaml_str,
    None: yaml.SafeLoader.construct_undefined,
}


def read_yaml(text: str | bytes, where: str) -> object:
    """The content of a YAML text, of plain values alone; InputError with the line of its fault."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506
    except yaml.reader.ReaderError:
        raise InputError("not a text in UTF-8", where, "Save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}" if mark else where
        reason = getattr(error, "problem", None) or str(error)
        raise InputError(f"not valid YAML: {reason}", place, "Mend the file") from None


def _content(file: Path) -> dict:
    if file.stat().st_size > MOST_BYTES:
        raise InputError("too large for settings", file.name, f"Keep it below {MOST_BYTES} bytes")
    content = read_yaml(file.read_bytes(), file.name)
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
    faults = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    first, path = faults[0], _path(faults[0])
    if first["type"] == "extra_forbidden":
        *block, name = first["loc"]
        what = f"unknown setting '{'.'.join(map(str, [*block, name[:100]]))}'"
        return InputError(what, file.name, nearest(name, _fields_at(block)))
    # a rate is a number or a word: each kind says what it should be
    said = dict.fromkeys(_said(each) for each in faults if _path(each) == path)
    what, remedy = f"setting '{path or 'experiment'}': {' or '.join(said)}", "Correct it"
    if not isinstance(first["input"], dict | Section):
        what += f", found {reprlib.repr(first['input'])}"
    if first["type"] == "literal_error":
        remedy = nearest(first["input"], re.findall("'([^']+)'", first["ctx"]["expected"]))
    return InputError(what, file.name, remedy)


def _path(fault: dict) -> str:
    """Where a fault is, without the names that pydantic gives to the kinds of a value."""
    parts = (str(part) for part in fault["loc"])
    return ".".join(part for part in parts if part.isdigit() or part.isidentifier())


def _said(fault: dict) -> str:
    return fault["msg"].removeprefix("Value error, ").removeprefix("Input ")


def _fields_at(path: list) -> list[str]:
    model = Experiment
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else next(iter(get_args(model)), model)
    return list(getattr(model, "model_fields", {}))
