"""Throughput of one training step of each network, through the project's own engine.

    python benchmarks/bench_training.py [--device cuda] [--precision bf16-mixed] [--network gmic]
        [--batch N] [--steps N] [--peak-tflops N] [--experiment nyu]

Networks, losses and batches are those of the experiment's settings, by default the paper's: f_loc
on 25 patches of 256 x 256 px, GMIC on 16 images of 2944 x 1920 px, f_agg on 100 stacks E+S of 34
maps of 46 x 30 cells.  The contents are random: reading images and cutting patches are left out,
moving a batch to the device is part of a step.  On the CPU batches are 2 unless `--batch` says
otherwise.

Each line gives the median of the steps after two to warm up; items (patches, images, stacks) per
second; the peak memory of the device (on the CPU: of the process); the operations of one item's
convolutions and matrix products, forward and backward, a multiply-add as two; the operations per
second, and their share of the chip's peak, where `--peak-tflops` names it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode

from lesionlib.errors import InputError
from lesionlib.maps import channels
from lesionlib.models.fagg import FAgg
from lesionlib.models.floc import FLoc
from lesionlib.models.gmic import gmic_from_settings
from lesionlib.tasks import FAggTask, FLocTask, GMICTask, class_weights
from lesionlib.training import fit
from study.settings import Experiment, load_experiment

WARM_UP = 2  # steps; in the first of them operations are counted, which slows it
ON_THE_CPU = 2  # items of a batch


class Steps:
    """Mixed in before a task: its data are one batch, again and again, and each step is timed."""

    def __init__(self, settings, model: torch.nn.Module, batch: tuple, count: int):
        self.settings = settings.model_copy(
            update={"learning_rate": 1e-6, "schedule": "constant", "epochs": 1}
        )
        self.model, self.batch, self.steps = model, batch, WARM_UP + count
        self.identity: dict = {}

    def batches(self, epoch: int) -> Iterator[tuple]:
        with FlopCounterMode(display=False) as counter:
            yield self.batch
        self.operations, self.moments = counter.get_total_flops(), []
        for _ in range(self.steps - 1):
            self.moments.append(self._now())
            yield self.batch
        self.moments.append(self._now())

    def validate(self) -> dict[str, float]:
        self.memory = self._memory()  # of training alone: the epoch's end writes checkpoints
        return {"score": 0.0}

    def seconds(self) -> float:
        """Median over the steps after the warm-up."""
        ends = self.moments[WARM_UP - 1 :]
        return statistics.median(b - a for a, b in zip(ends, ends[1:], strict=False))

    def _now(self) -> float:
        if self._device().type == "cuda":
            torch.cuda.synchronize(self._device())
        return time.perf_counter()

    def _memory(self) -> float:
        """Most memory so far (GiB)."""
        if self._device().type == "cuda":
            return torch.cuda.max_memory_allocated(self._device()) / 2**30
        unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux KiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


class FLocSteps(Steps, FLocTask):
    def __init__(self, settings: Experiment, n: int, count: int):
        own = settings.floc
        patches = torch.randn(n, 1, settings.windows.patch, settings.windows.patch)
        batch = patches, torch.arange(n) % 4, torch.from_numpy(class_weights(own.epoch))
        super().__init__(own, FLoc(own.backbone, h_activation=own.h_activation), batch, count)


class GMICSteps(Steps, GMICTask):
    def __init__(self, settings: Experiment, n: int, count: int):
        own, canvas = settings.gmic, settings.canvas
        labels = torch.randint(2, (n, 2)).float()
        batch = torch.randn(n, 1, canvas.rows, canvas.cols), labels
        super().__init__(own, gmic_from_settings(own), batch, count)


class FAggSteps(Steps, FAggTask):
    combination = "E+S"

    def __init__(self, settings: Experiment, n: int, count: int):
        own, shape = settings.fagg, settings.canvas.map_shape
        parts = torch.rand(n, *shape), torch.rand(n, 2, *shape), torch.rand(n, 32)
        batch = parts, torch.arange(n) % 4, torch.from_numpy(class_weights(own.epoch))
        super().__init__(own, FAgg(channels(self.combination), own.filters), batch, count)


NETWORKS = {"f_loc": FLocSteps, "gmic": GMICSteps, "f_agg": FAggSteps}
COLUMNS = ("network", "batch", "s/step", "items/s", "GiB", "GFLOP/item", "TFLOP/s", "share")


def measure(network: str, settings: Experiment, batch: int, steps: int) -> dict[str, float]:
    """One line of the table, in its units, by name; InputError for an unusable device."""
    torch.manual_seed(1)
    task = NETWORKS[network](settings, batch, steps)
    with tempfile.TemporaryDirectory() as folder:
        fit(task, folder, task.settings, seed=1, compute=settings.compute)
    seconds, operations = task.seconds(), task.operations
    rates = {"s/step": seconds, "items/s": batch / seconds, "GiB": task.memory}
    return rates | {"GFLOP/item": operations / batch / 1e9, "TFLOP/s": operations / seconds / 1e12}


def line(args: argparse.Namespace) -> str:
    """The line of one network, measured in this process."""
    settings = load_experiment(args.experiment)
    machine = {"device": args.device, "precision": args.precision}
    compute = settings.compute.model_copy(update=machine)
    settings = settings.model_copy(update={"compute": compute})
    own = {"f_loc": settings.floc, "gmic": settings.gmic, "f_agg": settings.fagg}[args.network]
    batch = args.batch or (ON_THE_CPU if args.device == "cpu" else own.batch)
    found = measure(args.network, settings, batch, args.steps)
    share = f"{found['TFLOP/s'] / args.peak_tflops:.1%}" if args.peak_tflops else ""
    numbers = [f"{found[name]:.4g}" for name in COLUMNS[2:-1]]
    return "".join(f"{cell:>14}" for cell in (args.network, batch, *numbers, share))


def natural(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="nyu", help="a file in experiments/ (nyu)")
    parser.add_argument("--network", choices=NETWORKS, help="one of the three (all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (cpu)")
    parser.add_argument("--precision", default="32-true", help="bf16-mixed or 32-true (32-true)")
    parser.add_argument("--batch", type=natural, help="items (the experiment's; on the CPU 2)")
    parser.add_argument("--steps", type=natural, default=5, help="timed after the warm-up (5)")
    parser.add_argument("--peak-tflops", type=float, help="of the chip at this precision")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Measure one network here, or all three, each in a process of its own; the exit code."""
    args = arguments(words)
    if args.network:
        try:
            print(line(args))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0
    print(f"training steps of {args.experiment} on {args.device}, {args.precision}")
    print("".join(f"{name:>14}" for name in COLUMNS), flush=True)
    for network in NETWORKS:
        code = subprocess.call([sys.executable, __file__, "--network", network, *words])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
