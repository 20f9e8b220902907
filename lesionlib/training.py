"""One engine for the three networks (training of Wu et al. 2020: Adam, early stopping).

A *task* brings the network, the batches, the loss and the validation; :func:`fit` brings the loop,
the schedule of the learning rate, early stopping on the validation score, and the checkpoints.

Promises: the randomness of an epoch depends on (seed, epoch) alone, so on the CPU a run that was
killed at any moment and started again ends with the same bytes in ``history.csv`` and
``best.safetensors`` as one that was never stopped; a finished run is returned, not repeated.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
# files of single epochs, and half-written ones that a kill has left
SPENT = ("epoch-*", *(f".{name}*" for name in ("epoch-", "best.", "history.", "timing.", "state.")))
LASTING = ("best.*", "history.csv", "timing.csv")


class Task(Protocol):
    """What a network's training consists of; tensors of a batch are moved to the device by fit."""

    name: str  # shown in messages
    model: torch.nn.Module
    steps: int  # batches of an epoch
    identity: dict[str, Any]  # JSON-like: all that decides the outcome besides settings and seed

    def batches(self, epoch: int) -> Iterable:
        """The batches of epoch 1, 2, ...; a function of the epoch alone."""

    def loss(self, batch) -> torch.Tensor | dict[str, torch.Tensor]:
        """The loss, or a dict with "loss" and the parts to be logged."""

    def validate(self) -> dict[str, float]:
        """Metrics on the validation split; "score" is the one to raise."""


class Diverged(InputError):
    """Loss or score is no longer a number."""


@dataclass(frozen=True)
class TrainingResult:
    """A finished run; `history` has one row an epoch (see history.csv), `epochs` of them."""

    best_epoch: int
    best_score: float
    epochs: int
    history: pd.DataFrame
    folder: Path


@dataclass
class _State:
    """What ``state.json`` holds; the files of epochs `epoch` and `best_epoch` belong to it."""

    digest: str
    compute: dict
    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    done: bool = False

    def over(self, settings) -> bool:
        stale = self.epoch - self.best_epoch
        return self.epoch >= settings.epochs or stale >= settings.patience


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

    Parameters
    ----------
    settings : learning_rate, schedule ("constant", or "one_cycle" over all epochs with its peak at
        learning_rate), epochs (at most), patience (epochs without a rise of the score), and the
        task's own fields (`experiment.FLoc`, `GMIC`, `FAgg`).
    seed : of this run; give the task the same one.
    compute : device ("cpu", "cuda", "cuda:1", "mps"), precision, threads, channels_last.

    Returns the result; `task.model` then holds the weights of the best epoch, in evaluation mode.

    The folder holds, at the end, ``best.safetensors``, ``history.csv`` (a line an epoch: learning
    rate of its last step, mean loss and its parts, validation metrics), ``timing.csv`` (seconds),
    ``best.json`` (settings and what else decided the run) and ``state.json``.  A run of other
    settings, seed or data found there is replaced, and said so; the number of repeated runs and the
    device do not count as a difference.

    Raises InputError for an unusable device or precision, and :class:`Diverged` (an InputError)
    when loss or score is not finite.  After any error or Ctrl-C, complete epochs are kept.
    """
    say = progress or (lambda message: None)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    fabric = _fabric(compute)
    with _conditions(compute.threads, fabric.device.type):
        state = _open_state(task, folder, settings, seed, compute, say)
        if not state.done:
            _Loop(task, folder, settings, seed, compute, say, fabric, state).run()
        _remove(folder, SPENT)
        load_checkpoint(folder / "best.safetensors", task.model)
        task.model.eval()
    return read_result(folder)


def read_result(folder: Path | str) -> TrainingResult:
    """The result of a finished run, from its folder; InputError where there is none."""
    folder = Path(folder)
    state = _read_state(folder)
    if state is None or not state.done:
        raise InputError("no finished training", folder, "Run the stage that trains this network")
    history = _read_table(folder / "history.csv", state.epoch)
    return TrainingResult(state.best_epoch, state.best_score, state.epoch, history, folder)


class _Loop:
    """The epochs of one run, from a state onwards."""

    def __init__(self, task, folder, settings, seed, compute, say, fabric, state):
        self.task, self.folder, self.settings, self.seed = task, folder, settings, seed
        self.say, self.fabric, self.state = say, fabric, state
        self.channels_last = getattr(compute, "channels_last", False)
        if state.epoch:
            load_checkpoint(_weights_file(folder, state.epoch), task.model)
        if self.channels_last:
            task.model.to(memory_format=torch.channels_last)
        adam = torch.optim.Adam(task.model.parameters(), lr=settings.learning_rate)
        # the task calls its own module, which setup has moved in place; the wrapper is not needed
        _, self.optimiser = fabric.setup(task.model, adam)
        self.schedule = _schedule(adam, settings, task.steps)
        if state.epoch:
            self._load_optimiser(_optimiser_file(folder, state.epoch))
        self.history = _read_table(folder / "history.csv", state.epoch)
        self.timing = _read_table(folder / "timing.csv", state.epoch)

    def run(self) -> None:
        try:
            while not self.state.over(self.settings):
                self._epoch(self.state.epoch + 1)
        except KeyboardInterrupt:
            self.say(f"{self.task.name}  stopped by hand; {self.state.epoch} epochs are kept")
            raise
        self._finish()

    def _epoch(self, epoch: int) -> None:
        start = time.perf_counter()
        torch.manual_seed(derive_seed(self.seed, "epoch", epoch))
        row = {"epoch": epoch, **self._train(epoch), **self._validate(epoch)}
        self.state.epoch = epoch
        if row["score"] > self.state.best_score:
            self.state.best_epoch, self.state.best_score = epoch, row["score"]
        seconds = time.perf_counter() - start
        self.history = _with_row(self.history, row)
        self.timing = _with_row(self.timing, {"epoch": epoch, "seconds": round(seconds, 3)})
        self._save(epoch)
        self.say(_message(self.task.name, self.settings.epochs, row, self.state, seconds))

    def _train(self, epoch: int) -> dict[str, float]:
        self.task.model.train()
        totals: dict[str, torch.Tensor] = {}
        steps, rate = 0, self.settings.learning_rate
        for batch in self.task.batches(epoch):
            rate = self.optimiser.param_groups[0]["lr"]
            for name, value in self._step(batch).items():
                totals[name] = totals.get(name, 0) + value.detach().float()
            steps += 1
            if steps % CHECK_EVERY == 0:
                self._must_be_finite(epoch, "loss", float(totals["loss"]))
        if steps != self.task.steps:
            raise RuntimeError(f"{self.task.name}: {steps} batches, {self.task.steps} announced")
        means = {name: float(total) / steps for name, total in totals.items()}
        self._must_be_finite(epoch, "loss", means["loss"])
        return {"learning_rate": rate, **means}

    def _step(self, batch) -> dict[str, torch.Tensor]:
        batch = self.fabric.to_device(batch)
        if self.channels_last:
            batch = _channels_last(batch)
        with self.fabric.autocast():
            loss = self.task.loss(batch)
        parts = loss if isinstance(loss, dict) else {"loss": loss}
        self.optimiser.zero_grad()
        self.fabric.backward(parts["loss"])
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        return parts

    def _validate(self, epoch: int) -> dict[str, float]:
        self.task.model.eval()
        with torch.inference_mode(), self.fabric.autocast():
            metrics = {name: float(value) for name, value in self.task.validate().items()}
        self._must_be_finite(epoch, "validation score", metrics["score"])
        return metrics

    def _must_be_finite(self, epoch: int, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise Diverged(
                f"{self.task.name}: the {what} is {value} in epoch {epoch}",
                self.folder,
                f"Lower learning_rate (now {self.settings.learning_rate:g}), e.g. to a third of it",
            )

    def _save(self, epoch: int) -> None:
        """Write the epoch beside the previous one, switch state.json, then remove what is spent.

        Killed before the switch, the previous epoch is whole and this one is done again; killed
        after it, only spent files are left over.
        """
        save_checkpoint(_weights_file(self.folder, epoch), self.task.model, self._provenance())
        schedule = self.schedule.state_dict() if self.schedule is not None else {}
        content = {"optimiser": self.optimiser.state_dict(), "schedule": schedule}
        _write_tensors(_optimiser_file(self.folder, epoch), content)
        for name in ("timing", "history"):
            text = getattr(self, name).to_csv(index=False)
            files.write_text(self.folder / f"{name}.csv", text)
        _write_state(self.folder, self.state)
        kept = {_weights_file(self.folder, e).stem for e in (epoch, self.state.best_epoch)}
        for file in list(self.folder.glob("epoch-*")):
            name, _, kind = file.name.partition(".")
            old_optimiser = kind == "optimiser.pt" and file != _optimiser_file(self.folder, epoch)
            if name not in kept or old_optimiser:
                file.unlink()

    def _finish(self) -> None:
        load_checkpoint(_weights_file(self.folder, self.state.best_epoch), self.task.model)
        save_checkpoint(self.folder / "best.safetensors", self.task.model, self._provenance())
        self.state.done = True
        _write_state(self.folder, self.state)

    def _provenance(self) -> dict:
        own = {"task": self.task.name, "seed": self.seed, "digest": self.state.digest}
        own |= {"identity": self.task.identity, "machine": self.state.compute}
        return own | {"settings": self.settings.model_dump(mode="json")}

    def _load_optimiser(self, file: Path) -> None:
        saved = torch.load(file, map_location="cpu", weights_only=True)
        self.optimiser.load_state_dict(saved["optimiser"])
        if self.schedule is not None:
            self.schedule.load_state_dict(saved["schedule"])


# ------------------------------------------------------------------ machine
def _fabric(compute):
    """Lightning's Fabric for one device; imported here because its import takes about a second."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    if compute.precision not in PRECISIONS:
        raise InputError(
            f"precision '{compute.precision}' is not supported",
            "compute.precision",
            f"Choose one of {', '.join(PRECISIONS)}",
        )
    device, _, number = compute.device.partition(":")
    alone = LightningEnvironment()  # one process, whatever a Slurm job around it says
    try:
        devices = [int(number)] if number else 1
        machine = {"accelerator": device, "devices": devices}
        fabric = Fabric(**machine, precision=compute.precision, plugins=[alone])
    except (RuntimeError, ValueError, TypeError, MisconfigurationException) as error:
        reason = str(error).split(". ")[0].rstrip(".")  # what follows speaks to programmers
        raise InputError(
            f"device '{compute.device}' cannot be used: {reason}",
            "compute.device",
            "Set compute.device to cpu, or to a device that this machine has",
        ) from None
    if getattr(compute, "channels_last", False) and fabric.device.type == "cpu":
        raise InputError(
            "channels_last is refused on the CPU, where it has crashed",
            "compute.channels_last",
            "Set it to false, or train on a GPU",
        )
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
    """None for a constant rate; it is stepped after every batch."""
    if settings.schedule == "constant":
        return None
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.epochs * steps
    )


def _channels_last(batch):
    if isinstance(batch, tuple | list):
        return type(batch)(_channels_last(part) for part in batch)
    if isinstance(batch, torch.Tensor) and batch.ndim == 4:
        return batch.to(memory_format=torch.channels_last)
    return batch


# ------------------------------------------------------------------ state and files
def _weights_file(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:04d}.safetensors"


def _optimiser_file(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:04d}.optimiser.pt"


def _open_state(task, folder: Path, settings, seed: int, compute, say: Progress) -> _State:
    """The state found in the folder, or a new one after removing what another run left."""
    machine = {name: getattr(compute, name) for name in ("device", "precision", "threads")}
    # the number of repeated runs says nothing about this one
    own = {k: v for k, v in settings.model_dump(mode="json").items() if k != "runs"}
    mine = digest({"settings": own, "seed": seed, "task": task.name, "identity": task.identity})
    found = _read_state(folder)
    reason = _unusable(found, mine, folder)
    if found is not None and not reason:
        if found.done:
            say(f"{task.name}  done before: best {_short(found.best_score)} ({found.best_epoch})")
        else:
            changed = "" if found.compute == machine else f", begun on {found.compute}"
            say(f"{task.name}  resumes after epoch {found.epoch}{changed}")
        return found
    if reason:
        say(f"{task.name}  starts anew: {reason}")
    _remove(folder, ("state.json",))  # first, so that no state points to files half removed
    _remove(folder, SPENT + LASTING)
    return _State(mine, machine)


def _read_state(folder: Path) -> _State | None:
    try:
        found = files.read_json(folder / "state.json")
        return None if found is None else _State(**found)
    except (ValueError, TypeError):
        return _State("damaged", {})


def _unusable(found: _State | None, mine: str, folder: Path) -> str:
    """Why a state that was found cannot be continued; empty where it can, or there is none."""
    if found is None:
        return ""
    if found.digest == "damaged":
        return "state.json is damaged"
    if found.digest != mine:
        return "settings, seed or data differ from those of the run found here"
    needed = [folder / "best.safetensors"] if found.done else _files_of(found, folder)
    missing = [file.name for file in [*needed, folder / "history.csv"] if not file.is_file()]
    return f"{', '.join(missing)} missing" if missing else ""


def _files_of(state: _State, folder: Path) -> list[Path]:
    weights = [_weights_file(folder, epoch) for epoch in (state.epoch, state.best_epoch)]
    return [*weights, _optimiser_file(folder, state.epoch), folder / "timing.csv"]


def _write_state(folder: Path, state: _State) -> None:
    files.write_json(folder / "state.json", vars(state))


def _write_tensors(file: Path, content: dict) -> None:
    """torch.save to a temporary name, then rename: `file` is either old or new, never half."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    torch.save(content, partial)
    partial.replace(file)


def _remove(folder: Path, patterns: Iterable[str]) -> None:
    for file in [file for pattern in patterns for file in folder.glob(pattern)]:
        file.unlink(missing_ok=True)


def _read_table(file: Path, epochs: int) -> pd.DataFrame:
    """A CSV of one row an epoch, without epochs that the state does not know of."""
    if not epochs or not file.is_file():
        return pd.DataFrame()
    table = pd.read_csv(file, float_precision="round_trip")
    return table[table["epoch"] <= epochs].reset_index(drop=True)


def _with_row(table: pd.DataFrame, row: dict) -> pd.DataFrame:
    return pd.DataFrame([*table.to_dict("records"), row])


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
