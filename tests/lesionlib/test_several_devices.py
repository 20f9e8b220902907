"""Several devices in one training: two processes on the CPU (gloo) against one."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_tasks import CASES, CPU, FAGG, FLOC, RULES, features_task
from test_training import FILES, ToyTask, contents, settings
from torch import nn
from torch.multiprocessing import ProcessExitedException

from lesionlib.errors import InputError
from lesionlib.tasks import FLocTask
from lesionlib.training import Diverged, fit, read_result
from study import processes
from study.steps.runs import train

TWO = SimpleNamespace(**{**vars(CPU), "devices": 2})
# two processes sum in another order; measured over three epochs of each network: 2e-7 at most
ROUNDING = 2e-6
# of the tests' shares of 2 to 5 samples, whose batch norms see less; measured: 0.17 at most
NORMS = 0.3


class SharedToy(ToyTask):
    """The toy with a share of every batch; a process can be killed, and norms be left out."""

    share = slice(None)

    def __init__(self, kill=None, norms=True, **given):
        super().__init__(**given)
        self.kill = kill
        if not norms:
            leave_out(self.model, nn.BatchNorm1d, nn.Dropout)

    def batches(self, epoch):
        for step, (x, y) in enumerate(super().batches(epoch)):
            if (self.share.start, epoch, step) == self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            yield x[self.share], y[self.share]


def leave_out(model, *kinds) -> None:
    for name, module in list(model.named_modules()):
        if isinstance(module, kinds):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, nn.Identity())


def cases(store):
    """Name -> task and settings: the three networks with their batch norms and without."""
    for name, (make, given) in CASES.items():
        for norms in (True, False):
            task = make(store)
            if not norms:
                leave_out(task.model, nn.BatchNorm1d, nn.BatchNorm2d)
            yield name if norms else f"{name} without norms", task, given
    changed = {"loss_divisor": "windows"}
    task = FLocTask(store, FLOC.model_copy(update=changed), RULES, seed=4)
    leave_out(task.model, nn.BatchNorm2d)
    yield "f_loc by windows", task, task.settings
    task = features_task("E+S", seed=4, settings=FAGG.model_copy(update=changed))
    leave_out(task.model, nn.BatchNorm2d)
    yield "f_agg by windows", task, task.settings
    yield "toy", SharedToy(), settings()
    yield "toy without norms", SharedToy(norms=False), settings()


def train_all(store, folder, compute, progress=None):
    for name, task, given in cases(store):
        fit(task, folder / name, given, seed=4, compute=compute, progress=progress)
    with pytest.raises(Diverged, match="score is nan in epoch 2"):
        task = SharedToy(scores=[0.5, float("nan")])
        fit(task, folder / "diverged", settings(), seed=4, compute=compute, progress=progress)


@pytest.fixture(scope="module")
def trained(tiny_store, tmp_path_factory):
    """Folders of the same trainings in one process and in two, and what these two have said."""
    one, two, said = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two"), []
    train_all(tiny_store, one, CPU)
    processes.together(2, train_all, tiny_store, two, TWO, say=said.append)
    return one, two, said


@pytest.mark.parametrize(
    "name",
    [
        *(f"{name} without norms" for name in (*CASES, "toy")),
        "f_loc by windows",
        "f_agg by windows",
    ],
)
def test_without_batch_norm_two_processes_train_as_one(trained, name):
    one, two = (read_result(folder / name).history for folder in trained[:2])
    assert len(one) >= 3 and list(one) == list(two)
    losses = [column for column in one if column.startswith("loss")]
    np.testing.assert_allclose(two[losses], one[losses], rtol=ROUNDING)
    assert one["learning_rate"].tolist() == two["learning_rate"].tolist()


@pytest.mark.parametrize("name", [*CASES, "toy"])
def test_with_batch_norm_the_shares_statistics_count(trained, name):
    """The same files; other numbers, since a share's mean and variance are not the batch's."""
    one, two = (read_result(folder / name).history for folder in trained[:2])
    assert (one["loss"] != two["loss"]).all()
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=NORMS)
    assert {file.name for file in (trained[1] / name).iterdir()} == FILES


def test_the_first_process_alone_speaks(trained):
    toy = [line for line in trained[2] if line.startswith("toy  epoch 3/5")]
    assert len(toy) == 2, "of the trainings with norms and without"


def test_processes_that_diverge_end_alike(trained):
    for folder in trained[:2]:
        with pytest.raises(Diverged, match="score is nan in epoch 2"):
            read_result(folder / "diverged")


# ------------------------------------------------------------------ stopping and going on
def left() -> list:
    """Processes that a training has started; other tests leave loky's pool."""
    return [p for p in multiprocessing.active_children() if "Loky" not in p.name]


def stop(folder, said, *, error, **task):
    """Train the toy until an error, after which no process is left."""
    given = SharedToy(**task), folder, settings()
    with pytest.raises(error):
        processes.together(2, fit, *given, say=said, seed=4, compute=TWO)
    assert not left()


def test_killed_and_interrupted_and_resumed_equals_uninterrupted(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0)
    stop(tmp_path, print, error=ProcessExitedException, kill=(1, 2, 1))
    said = []

    def interrupted(line):
        said.append(line)
        if "epoch 3/5" in line:
            raise KeyboardInterrupt

    stop(tmp_path, interrupted, error=KeyboardInterrupt, kill=(0, 5, 0))
    assert said[0] == "toy  resumes after epoch 1"
    lab = SimpleNamespace(settings=SimpleNamespace(compute=TWO), progress=said.append)
    task = SharedToy()
    train(lab, "toy/run0", task, tmp_path, settings(), 4)
    assert said[-1].startswith("toy/run0: toy  epoch 5/5")
    assert contents(tmp_path) == contents(trained[1] / "toy")
    assert {file.name for file in tmp_path.iterdir()} == FILES
    best = load_file(tmp_path / "best.safetensors")
    assert best.keys() == task.model.state_dict().keys() and not task.model.training
    assert all(torch.equal(best[k], value) for k, value in task.model.state_dict().items())


def test_a_run_of_another_number_of_devices_starts_anew(trained, tmp_path):
    shutil.copytree(trained[1] / "toy", tmp_path / "toy")
    said = []
    fit(SharedToy(), tmp_path / "toy", settings(), seed=4, compute=CPU, progress=said.append)
    assert "starts anew: settings" in said[0]
    assert contents(tmp_path / "toy") == contents(trained[0] / "toy")


# ------------------------------------------------------------------ shares
@pytest.mark.parametrize("name", CASES)
def test_the_shares_of_two_processes_are_the_whole_batch(tiny_store, name):
    tasks = [CASES[name][0](tiny_store) for _ in range(3)]
    for rank, task in enumerate(tasks[1:]):
        task.share = slice(rank, None, 2)
    count = 0
    for whole, *shares in zip(*(task.batches(2) for task in tasks), strict=True):
        for rank, share in enumerate(shares):
            for mine, all_of_it in zip(tensors(share), tensors(whole), strict=True):
                is_class_weights = all_of_it.shape == (4,) and name != "gmic"
                assert torch.equal(mine, all_of_it if is_class_weights else all_of_it[rank::2])
        count += 1
    assert count == tasks[0].steps


def tensors(batch) -> list[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        return [batch]
    return [tensor for part in batch if part is not None for tensor in tensors(part)]


def test_a_batch_that_two_processes_cannot_share_is_refused_in_one_line(tiny_store, tmp_path):
    odd = FLOC.model_copy(update={"batch": 9})
    task = FLocTask(tiny_store, odd, RULES, seed=4)
    message = (
        r"^a batch of 9 cannot be shared alike by 2 devices \(batch\). Set it to a multiple of 2$"
    )
    with pytest.raises(InputError, match=message):
        processes.together(2, fit, task, tmp_path, odd, say=print, seed=4, compute=TWO)
    assert not left()


def test_several_devices_have_no_number(tmp_path, monkeypatch):
    for name in ("torch.cuda.device_count", "lightning_fabric.accelerators.cuda.num_cuda_devices"):
        monkeypatch.setattr(name, lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    compute = SimpleNamespace(**{**vars(TWO), "device": "cuda:1"})
    with pytest.raises(InputError, match="'cuda:1' cannot be used: .* unique"):
        fit(SharedToy(), tmp_path, settings(), seed=4, compute=compute)
