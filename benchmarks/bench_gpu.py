"""How fast a device trains the three networks, cuts patches, and whether it waits for them.

    python benchmarks/bench_gpu.py [--device cuda] [--precision bf16-mixed] [--work gmic]
        [--batch N] [--steps N] [--peak-tflops N] [--experiment nyu]

Networks, losses and batches are those of the experiment's settings, by default the paper's: f_loc
on 25 patches of 256 x 256 px, GMIC on 16 images of 2944 x 1920 px, f_agg on 100 stacks E+S of 34
maps of 46 x 30 cells; their contents are random and stay on the device.  On the CPU batches are 2
unless `--batch` says otherwise.  All inputs are made on the spot, and each line has a process of
its own, of a minute or a few.

f_loc cut    f_loc again, fed by the real pipeline: windows drawn, patches cut, batches sent
gmic scores  GMIC in evaluation
patches      cutting alone, where the network is, 100 batches at once
copy         copying so many patches on the device: what its memory allows

Each line gives the median of the steps after two to warm up (of f_loc cut the mean, since patches
come many at once); items per second; the peak memory of the device (on the CPU: of the process);
the operations of one item's convolutions and matrix products, forward and backward, a multiply-add
as two; the operations per second, and their share of the chip's peak, where `--peak-tflops` names
it.  Aims on one GPU: patches 200,000 per second, f_loc cut .95 of f_loc.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import pandas as pd
import torch
from bench_curves import draw, made_up
from lightning_fabric.utilities import move_data_to_device
from timing import most_memory, report
from torch.utils.flop_counter import FlopCounterMode

from lesionlib.errors import InputError
from lesionlib.maps import channels
from lesionlib.models.fagg import FAgg
from lesionlib.models.floc import FLoc
from lesionlib.models.gmic import gmic_from_settings
from lesionlib.tasks import FAggTask, FLocTask, GMICTask, class_weights
from lesionlib.training import fit
from study.device_patches import PatchCutter
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
        inputs = self.inputs(epoch)
        with FlopCounterMode(display=False) as counter:
            yield next(inputs)
        self.operations, self.moments = counter.get_total_flops(), []
        for batch in inputs:
            self.moments.append(now(self._device()))
            yield batch
        self.moments.append(now(self._device()))

    def inputs(self, epoch: int) -> Iterator[tuple]:
        return itertools.repeat(move_data_to_device(self.batch, self._device()), self.steps)

    def validate(self) -> dict[str, float]:
        self.memory = memory(
            self._device()
        )  # of training alone: the epoch's end writes checkpoints
        return {"score": 0.0}

    def seconds(self) -> float:
        """Median over the steps after the warm-up."""
        ends = self.moments[WARM_UP - 1 :]
        return statistics.median(b - a for a, b in zip(ends, ends[1:], strict=False))

    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def memory(device: torch.device) -> float:
    """Most memory so far (GiB)."""
    on_gpu = device.type == "cuda"
    return torch.cuda.max_memory_allocated(device) / 2**30 if on_gpu else most_memory()


class FLocSteps(Steps, FLocTask):
    def __init__(self, settings: Experiment, n: int, count: int):
        own = settings.floc
        patches = torch.randn(n, 1, settings.windows.patch, settings.windows.patch)
        batch = patches, torch.arange(n) % 4, torch.from_numpy(class_weights(own.epoch))
        super().__init__(own, FLoc(own.backbone, h_activation=own.h_activation), batch, count)


class FLocCut(Steps, FLocTask):
    """f_loc as it is trained: each step's patches are cut from windows drawn for it."""

    def __init__(self, settings: Experiment, n: int, count: int):
        total, s = n * (WARM_UP + count), settings
        counts = (1, 1, total // 2, total - total // 2 - 2)
        own = s.floc.model_copy(update={"batch": n, "epoch": counts, "initialisation": "he"})
        store, where = made_up(s.canvas.rows, s.canvas.cols), {"workers": s.compute.workers}
        if s.compute.device != "cpu":
            where["cut"] = PatchCutter(store, s.windows.patch, s.compute.device)
        FLocTask.__init__(self, store, own, s.windows, seed=1, **where)
        Steps.__init__(self, own, self.model, (), count)

    def inputs(self, epoch: int) -> Iterator[tuple]:
        return FLocTask.batches(self, epoch)

    def seconds(self) -> float:
        """Mean over the steps after the warm-up."""
        ends = self.moments[WARM_UP - 1 :]
        return (ends[-1] - ends[0]) / (len(ends) - 1)


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


NETWORKS = {"f_loc": FLocSteps, "f_loc cut": FLocCut, "gmic": GMICSteps, "f_agg": FAggSteps}
COLUMNS = ("work", "batch", "s/step", "items/s", "GiB", "GFLOP/item", "TFLOP/s", "share")


def trained(network: str, settings: Experiment, batch: int, steps: int) -> dict[str, float]:
    """Rates of a network's training, by column; InputError for an unusable device."""
    torch.manual_seed(1)
    task = NETWORKS[network](settings, batch, steps)
    with tempfile.TemporaryDirectory() as folder:
        fit(task, folder, task.settings, seed=1, compute=settings.compute)
    seconds, operations = task.seconds(), task.operations
    rates = {"s/step": seconds, "items/s": batch / seconds, "GiB": task.memory}
    return rates | {"GFLOP/item": operations / batch / 1e9, "TFLOP/s": operations / seconds / 1e12}


@torch.inference_mode()
def timed(step: Callable, items: int, device: torch.device, steps: int) -> dict[str, float]:
    """Rates of what has no gradients: median of the steps after the warm-up."""
    took = []
    for _ in range(WARM_UP + steps):
        start = now(device)
        step()
        took.append(now(device) - start)
    seconds = statistics.median(took[WARM_UP:])
    return {"s/step": seconds, "items/s": items / seconds, "GiB": memory(device)}


def gmic_scores(settings: Experiment, device: torch.device, batch: int, steps: int) -> dict:
    model = gmic_from_settings(settings.gmic).to(device).eval()
    images = torch.randn(batch, 1, settings.canvas.rows, settings.canvas.cols, device=device)
    half = settings.compute.precision == "bf16-mixed"
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        return timed(lambda: model(images), batch, device, steps)


def patches(settings: Experiment, device: torch.device, batch: int, steps: int) -> dict:
    store, count = made_up(settings.canvas.rows, settings.canvas.cols), 100 * batch
    windows = draw(store, count, settings.windows)
    cut = PatchCutter(store, settings.windows.patch, device)
    return timed(lambda: cut(windows), len(windows), device, steps)


def copy(settings: Experiment, device: torch.device, batch: int, steps: int) -> dict:
    side = settings.windows.patch
    pixels = torch.rand(100 * batch, 1, side, side, device=device)
    return timed(pixels.clone, len(pixels), device, steps)


OTHERS = {"gmic scores": gmic_scores, "patches": patches, "copy": copy}
WORK = (*NETWORKS, *OTHERS)


def measure(work: str, settings: Experiment, batch: int, steps: int) -> dict[str, float]:
    """One line of the table, measured in this process."""
    if work in NETWORKS:
        return trained(work, settings, batch, steps)
    return OTHERS[work](settings, torch.device(settings.compute.device), batch, steps)


def line(args: argparse.Namespace) -> list:
    """The cells of one line."""
    settings = load_experiment(args.experiment)
    machine = {"device": args.device, "precision": args.precision}
    compute = settings.compute.model_copy(update=machine)
    settings = settings.model_copy(update={"compute": compute})
    parts = {"gmic": settings.gmic, "gmic scores": settings.gmic, "f_agg": settings.fagg}
    own = parts.get(args.work, settings.floc)
    batch = args.batch or (ON_THE_CPU if args.device == "cpu" else own.batch)
    found = measure(args.work, settings, batch, args.steps)
    if args.peak_tflops and "TFLOP/s" in found:
        found["share"] = found["TFLOP/s"] / args.peak_tflops
    return [args.work, batch, *(found.get(name, "") for name in COLUMNS[2:])]


def natural(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="nyu", help="a file in experiments/ (nyu)")
    parser.add_argument("--work", choices=WORK, help="one line of the table (all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (cpu)")
    parser.add_argument("--precision", default="32-true", help="bf16-mixed or 32-true (32-true)")
    parser.add_argument("--batch", type=natural, help="items (the experiment's; on the CPU 2)")
    parser.add_argument("--steps", type=natural, default=5, help="timed after the warm-up (5)")
    parser.add_argument("--peak-tflops", type=float, help="of the chip at this precision")
    return parser.parse_args(words)


def main(argv: list[str] | None = None) -> int:
    """Measure one kind of work here, or all, each in a process of its own; the exit code."""
    words = sys.argv[1:] if argv is None else argv
    args, rows = arguments(words), []
    if args.work:
        try:
            print(*line(args), sep=",")
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0
    for work in WORK:
        one = [sys.executable, __file__, *words, "--work", work]
        done = subprocess.run(one, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            return done.returncode
        cells = done.stdout.splitlines()[-1].split(",")
        rows.append([cells[0], *(float(cell) if cell else None for cell in cells[1:])])
        print(f"  {work}: {rows[-1][3]:.4g} items/s", flush=True)
    table = report("gpu", pd.DataFrame(rows, columns=COLUMNS), digits=4)
    rate = table.set_index("work")["items/s"]
    print(f"real pipeline over resident inputs {rate['f_loc cut'] / rate['f_loc']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
