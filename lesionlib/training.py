"""One engine for the three networks (training of Wu et al. 2020: Adam, early stopping).

A *task* brings the network, the batches, the loss and the validation; :func:`fit` brings the loop,
the schedule of the learning rate, early stopping on the validation score, and the checkpoints.

Promises: the randomness of an epoch depends on (seed, epoch) alone, so on the CPU a run that was
killed at any moment and started again ends with the same bytes in ``history.csv`` and
``best.safetensors`` as one that was never stopped; a run that has ended is not repeated.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from lesionlib import files
from lesionlib.errors import InputError
from lesionlib.models.weights import load_checkpoint, save_checkpoint
from lesionlib.seeds import derive_seed, digest

Progress = Callable[[str], None]
PRECISIONS = ("32-true", "bf16-mixed")
CHECK_EVERY = 50  # steps between looks at the loss: a look makes a GPU wait
# of a run: its last complete epoch, or how it ended; and its results
END = ("digest", "machine", "best_epoch", "best_score", "over", "diverged", "files")
RESULTS = ("best.safetensors", "history.csv")
FILES = ("state.json", "last.pt", "history.csv", "timing.csv", "best.json", "best.safetensors")


class Task(Protocol):
    """What a network's training consists of; tensors of a batch are moved to the device by fit."""

    name: str  # shown in messages
    model: torch.nn.Module
    steps: int  # batches per epoch
    share: slice  # this process's of every batch; set by fit where there are several devices
    identity: dict[str, Any]  # JSON-like: all that decides the outcome besides settings and seed

    def batches(self, epoch: int) -> Iterable:
        """The batches of epoch 1, 2, ..., or the share of them; a function of these alone."""

    def loss(self, batch) -> torch.Tensor | dict[str, torch.Tensor]:
        """The loss, whose mean over shares is the batch's, or a dict with "loss" and its parts."""

    def validate(self) -> dict[str, float]:
        """Metrics on the validation split; "score" is the one to raise."""


class Diverged(InputError):
    """Loss or score is no longer a number."""


@dataclass(frozen=True)
class TrainingResult:
    """A finished run."""

    best_epoch: int  # whose weights are kept
    best_score: float  # on the validation split
    epochs: int  # that were trained
    history: pd.DataFrame  # one row per epoch, as history.csv
    folder: Path


@dataclass
class _State:
    """A run after its last complete epoch, in ``last.pt``; once over, its `END` in ``state.json``."""

    digest: str
    machine: dict
    best_epoch: int = 0
    best_score: float = -math.inf
    over: bool = False
    diverged: list[str] | None = None  # what was no number, and the remedy
    files: dict[str, str] = field(default_factory=dict)  # results, once over, and their SHA-256
    history: list[dict] = field(default_factory=list)  # one row per epoch, as is timing
    timing: list[dict] = field(default_factory=list)
    best: dict = field(default_factory=dict)  # weights of the best epoch, on the CPU
    model: dict = field(default_factory=dict)
    optimiser: dict = field(default_factory=dict)
    schedule: dict = field(default_factory=dict)


def fit(
    task: Task,
    folder: Path | str,
    settings,
    *,
    seed: int,
    compute,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train `task` in `folder`, or go on where an interrupted run stopped.

    The folder holds, at the end, ``best.safetensors``, ``history.csv`` (a line per epoch: learning
    rate of its last step, mean loss and its parts, validation metrics), ``timing.csv`` (seconds),
    ``best.json`` (settings and what else decided the run) and ``state.json`` (how it ended). A run
    of other settings, seed or data found there is replaced, and said so; the number of repeated
    runs and the device do not count as a difference, the number of devices does. After an error or
    Ctrl-C, complete epochs are kept.

    Several devices need a process each that calls fit, e.g. by torchrun. All draw the same batches,
    train on their shares and average the gradients (DDP): the run is that of one device but for
    rounding, dropout and batch norms, whose mean and variance are of a share. The first process
    alone validates and writes, with its own running statistics.

    Parameters
    ----------
    task : see :class:`Task`; at the end `task.model` holds the best epoch's weights, in evaluation
        mode.
    folder : of this run.
    settings : with the attributes learning_rate, schedule ("constant", or "one_cycle" over all
        epochs with its peak at learning_rate), epochs (at most), patience (epochs without a rise of
        the score) and those that the task reads.
    seed : of this run; give the task the same one.
    compute : with the attributes device ("cpu", "cuda", "cuda:1", "mps"), devices (how many: GPUs
        from the first on, or processes on the CPU), precision, threads (of a process) and
        channels_last (bool, not on the CPU).
    progress : called with a line of text per epoch.

    Returns
    -------
    The finished run.

    Raises
    ------
    InputError : for an unusable device or precision, and for a batch that the devices cannot share.
    Diverged : when loss or score is not finite. Such a run has ended: it is trained again only with
        other settings, seed or data, or on another machine.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    fabric = _fabric(compute)
    fabric.launch()
    say = progress if progress and fabric.is_global_zero else lambda message: None
    with _conditions(compute.threads, fabric.device.type):
        first = fabric.is_global_zero  # of several processes, the one that writes and speaks
        state = fabric.broadcast(first and _opened(task, folder, settings, seed, compute, say))
        if not state.over:
            _Loop(task, folder, settings, seed, compute, say, fabric, state).run()
        if first:
            _remove(folder, ("last.pt",))
        fabric.barrier()  # the others read what the first one has written
        result = read_result(folder)
        load_checkpoint(folder / "best.safetensors", task.model)
        task.model.eval()
    return result


def read_result(folder: Path | str) -> TrainingResult:
    """The result of a run.

    Parameters
    ----------
    folder : in which :func:`fit` has trained.

    Returns
    -------
    The finished run.

    Raises
    ------
    InputError : where there is no finished run.
    Diverged : where the run ended so.
    """
    folder = Path(folder)
    state = _read(folder)
    if state is None or not state.over:
        raise InputError("no finished training", folder, "Run the stage that trains this network")
    if state.diverged:
        raise Diverged(state.diverged[0], folder, state.diverged[1])
    history = pd.read_csv(folder / "history.csv", float_precision="round_trip")
    return TrainingResult(state.best_epoch, state.best_score, len(history), history, folder)


class _Loop:
    """The epochs of one run, from a state onwards."""

    def __init__(self, task, folder, settings, seed, compute, say, fabric, state):
        self.task, self.folder, self.settings, self.seed = task, folder, settings, seed
        self.say, self.fabric, self.state = say, fabric, state
        if fabric.world_size > 1:
            task.share = slice(fabric.global_rank, None, fabric.world_size)
        if compute.channels_last:  # a batch follows the convolutions' weights
            task.model.to(memory_format=torch.channels_last)
        adam = torch.optim.Adam(task.model.parameters(), lr=settings.learning_rate, foreach=True)
        # DDP averages what goes through a module's forward pass; setup moves the task's in place
        network = torch.nn.Module()
        network.model, network.forward = task.model, lambda batch: task.loss(batch())
        self.loss, self.optimiser = fabric.setup(network, adam)
        self.schedule = _schedule(adam, settings, task.steps)
        if state.history:
            task.model.load_state_dict(state.model)
            self.optimiser.load_state_dict(state.optimiser)
            self.schedule.load_state_dict(state.schedule)

    def run(self) -> None:
        """Train to the end, by epochs or patience, and write the results; an error keeps epochs."""
        state, settings = self.state, self.settings
        try:
            while len(state.history) < min(settings.epochs, state.best_epoch + settings.patience):
                self._epoch(len(state.history) + 1)
        except KeyboardInterrupt:
            self.say(f"{self.task.name}  stopped by hand; {len(state.history)} epochs are kept")
            raise
        except Diverged as fault:
            state.diverged = [fault.what, fault.remedy]
        if not self.fabric.is_global_zero:
            return
        if not state.diverged:
            self._write_tables()
            self.task.model.load_state_dict(state.best)
            save_checkpoint(self.folder / "best.safetensors", self.task.model, self._provenance())
            state.files = {name: _sha256(self.folder / name) for name in RESULTS}
        state.over = True
        files.write_json(self.folder / "state.json", {name: getattr(state, name) for name in END})

    def _epoch(self, epoch: int) -> None:
        start = time.perf_counter()
        torch.manual_seed(derive_seed(self.seed, "epoch", epoch) + self.fabric.global_rank)
        row = {"epoch": epoch, **self._train(epoch), **self._validate(epoch)}
        state, weights = self.state, self.task.model.state_dict()
        if row["score"] > state.best_score:
            state.best_epoch, state.best_score = epoch, row["score"]
            state.best = {name: value.cpu().clone() for name, value in weights.items()}
        seconds = time.perf_counter() - start
        state.history.append(row)
        state.timing.append({"epoch": epoch, "seconds": round(seconds, 3)})
        if self.fabric.is_global_zero:
            self._save()
        self.say(_message(self.task.name, self.settings.epochs, row, state, seconds))

    def _train(self, epoch: int) -> dict[str, float]:
        self.task.model.train()
        totals: dict[str, torch.Tensor] = {}
        steps, rate = 0, self.settings.learning_rate
        mean = self.fabric.all_reduce  # over the processes, in place, so that all judge alike
        for batch in self.task.batches(epoch):
            rate = self.optimiser.param_groups[0]["lr"]
            for name, value in self._step(batch).items():
                totals[name] = totals.get(name, 0) + value.detach().float()
            steps += 1
            if steps % CHECK_EVERY == 0:
                self._must_be_finite(epoch, "loss", float(mean(totals["loss"])))
        if steps != self.task.steps:
            raise RuntimeError(f"{self.task.name}: {steps} batches, {self.task.steps} announced")
        means = {name: float(mean(total)) / steps for name, total in totals.items()}
        self._must_be_finite(epoch, "loss", means["loss"])
        return {"learning_rate": rate, **means}

    def _step(self, batch) -> dict[str, torch.Tensor]:
        batch = self.fabric.to_device(batch)
        loss = self.loss(lambda: batch)  # as a function: of numbers Fabric would round the inputs
        parts = loss if isinstance(loss, dict) else {"loss": loss}
        self.optimiser.zero_grad()
        self.fabric.backward(parts["loss"])
        self.optimiser.step()
        self.schedule.step()
        return parts

    def _validate(self, epoch: int) -> dict[str, float]:
        self.task.model.eval()
        with torch.inference_mode(), self.fabric.autocast():
            found = self.task.validate() if self.fabric.is_global_zero else {}
            metrics = self.fabric.broadcast({name: float(value) for name, value in found.items()})
        self._must_be_finite(epoch, "validation score", metrics["score"])
        return metrics

    def _must_be_finite(self, epoch: int, what: str, value: float) -> None:
        if not math.isfinite(value):
            now = f"{self.settings.learning_rate:g}"
            remedy = f"Lower learning_rate (now {now}), e.g. to a third of it"
            what = f"{self.task.name}: the {what} is {value} in epoch {epoch}"
            raise Diverged(what, self.folder, remedy)

    def _save(self) -> None:
        """Replace ``last.pt`` at one stroke: killed before or after, one whole epoch is there."""
        self.state.model = self.task.model.state_dict()
        self.state.optimiser = self.optimiser.state_dict()
        self.state.schedule = self.schedule.state_dict()
        content = io.BytesIO()
        torch.save(vars(self.state), content)
        seal = hashlib.sha256(content.getvalue()).digest()
        files.write_bytes(self.folder / "last.pt", seal + content.getvalue())
        self._write_tables()

    def _write_tables(self) -> None:
        for name in ("timing", "history"):
            text = pd.DataFrame(getattr(self.state, name)).to_csv(index=False)
            files.write_text(self.folder / f"{name}.csv", text)

    def _provenance(self) -> dict:
        own = {"task": self.task.name, "seed": self.seed, "settings": vars(self.settings)}
        own |= {"identity": self.task.identity, "machine": self.state.machine}
        return own | {"digest": self.state.digest}


# ------------------------------------------------------------------ machine
def _fabric(compute):
    """Lightning's Fabric; imported here because its import takes about a second."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    if compute.precision not in PRECISIONS:
        what = f"precision '{compute.precision}' is not supported"
        raise InputError(what, "compute.precision", f"Choose one of {', '.join(PRECISIONS)}")
    (device, _, number), count = compute.device.partition(":"), compute.devices
    alone = [LightningEnvironment()]  # one machine, whatever a Slurm job around it says
    chosen = {"accelerator": device, "precision": compute.precision, "plugins": alone}
    if count > 1:  # no limit to the wait for the first process, which validates
        chosen["strategy"] = DDPStrategy(timeout=timedelta(days=100))
    try:
        # of a numbered device there is one: Fabric refuses a number that is there twice
        fabric = Fabric(**chosen, devices=[int(number)] * count if number else count)
    except (RuntimeError, ValueError, TypeError, MisconfigurationException) as error:
        reason = str(error).split(". ")[0].rstrip(".")  # what follows speaks to programmers
        what = f"device '{compute.device}' cannot be used: {reason}"
        remedy = "Set compute.device to cpu, or to a device that this machine has"
        raise InputError(what, "compute.device", remedy) from None
    if compute.channels_last and fabric.device.type == "cpu":
        what = "channels_last is refused on the CPU, where it has crashed"
        raise InputError(what, "compute.channels_last", "Set it to false, or train on a GPU")
    return fabric


@contextmanager
def _conditions(count: int, device: str) -> Iterator[None]:
    """Threads, determinism and torch's generator as a run needs them, put back afterwards."""
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    try:
        torch.set_num_threads(count)
        # on a GPU some gradients (adaptive pooling) have no deterministic form and would raise
        torch.use_deterministic_algorithms(strict or device == "cpu")
        torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, changes nothing
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
        torch.utils.deterministic.fill_uninitialized_memory = fill


def _schedule(optimiser, settings, steps: int):
    """The schedule of the learning rate, stepped after every batch."""
    if settings.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1)
    total = settings.epochs * steps
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=total)


# ------------------------------------------------------------------ state and files
def _opened(task, folder: Path, settings, seed: int, compute, say: Progress) -> _State:
    """The state found in the folder, or a new one after removing what another run left."""
    machine = {name: getattr(compute, name) for name in ("device", "precision", "threads")}
    own = {k: v for k, v in vars(settings).items() if k != "runs"}  # of which this is one
    mine = {"settings": own, "seed": seed, "task": task.name, "identity": task.identity}
    mine = digest(mine | ({"devices": compute.devices} if compute.devices > 1 else {}))
    found = _read(folder)
    if reason := found and _unusable(found, mine, machine, folder):
        say(f"{task.name}  starts anew: {reason}")
    if reason or not found:
        _remove(folder, FILES)
        return _State(mine, machine)
    if not found.over:
        changed = "" if found.machine == machine else f", begun on {found.machine}"
        say(f"{task.name}  resumes after epoch {len(found.history)}{changed}")
    elif not found.diverged:
        say(f"{task.name}  done before: best {_short(found.best_score)} ({found.best_epoch})")
    return found


def _read(folder: Path) -> _State | None:
    """How the run in a folder ended, or its last complete epoch; None where there is no run."""
    try:
        if (folder / "state.json").is_file():
            return _State(**files.read_json(folder / "state.json"))
        if not (folder / "last.pt").is_file():
            return None
        last = (folder / "last.pt").read_bytes()
        if last[:32] == hashlib.sha256(content := last[32:]).digest():
            return _State(**torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except (InputError, TypeError):
        pass
    return _State("damaged", {})


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _unusable(found: _State, mine: str, machine: dict, folder: Path) -> str:
    """Why a state that was found is of no use; empty where it is."""
    if found.digest == "damaged":
        return "state.json or last.pt is damaged"
    if found.digest != mine:
        return "settings, seed or data differ from those of the run found here"
    if found.diverged and found.machine != machine:
        return f"the run found here diverged on {found.machine}"
    harmed = [name for name, sha256 in found.files.items() if _sha256(folder / name) != sha256]
    return f"{', '.join(harmed)} missing or damaged" if harmed else ""


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files of a run, in this order, and the half-written ones that a kill has left."""
    halves = [half for name in FILES for half in folder.glob(f".{name}.*")]
    for file in [*(folder / name for name in names), *halves]:
        file.unlink(missing_ok=True)


# ------------------------------------------------------------------ messages
def _message(name: str, epochs: int, row: dict, state: _State, seconds: float) -> str:
    return (
        f"{name}  epoch {row['epoch']}/{epochs}  loss {row['loss']:.3g}  "
        f"validation AUC {_short(row['score'])}  "
        f"best {_short(state.best_score)} ({state.best_epoch})  {seconds:.0f} s"
    )


def _short(score: float) -> str:
    """.741 for 0.741, as AUCs are printed."""
    return f"{score:.3f}".replace("0.", ".", 1) if abs(score) < 1 else f"{score:.3f}"
