"""Several devices in one training: two processes on the CPU (gloo) against one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
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
# two processes sum in another order; measured over the three networks: 4e-6 at most
ROUNDING = 1e-4


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
            yield name + "" if norms else f"{name} without norms", task, given
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
    [*(f"{name} without norms" for name in (*CASES, "toy")), "f_loc by windows", "f_agg by windows"],
)
def test_without_batch_norm_two_processes_train_as_one(trained, name):
    one, two, _ = (read_result(folder / name).history for folder in trained[:2]), None, None
    one, two = one
    assert len(one) >= 3 and list(one) == list(two)
    losses = [column for column in one if column.startswith("loss")]
    np.testing.assert_allclose(two[losses], one[losses], rtol=ROUNDING)
    assert one["learning_rate"].tolist() == two["learning_rate"].tolist()


@pytest.mark.parametrize("name", [*CASES, "toy"])
def test_with_batch_norm_the_shares_statistics_count(trained, name):
    """The same files; other numbers, since a share's mean and variance are not the batch's."""
    one, two = (read_result(folder / name).history for folder in trained[:2])
    assert (one["loss"] != two["loss"]).all()
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=0.5)
    assert {file.name for file in (trained[1] / name).iterdir()} == FILES


def test_the_first_process_alone_speaks(trained):
    toy = [line for line in trained[2] if line.startswith("toy  epoch 3/5")]
    assert len(toy) == 2  # two trainings
