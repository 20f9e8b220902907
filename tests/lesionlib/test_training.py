"""The engine: schedule, early stopping, checkpoints, and the promise that a stop changes nothing."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn

from lesionlib.errors import InputError
from lesionlib.seeds import rng
from lesionlib.training import Diverged, fit, read_result
from study.settings import Optimisation

CPU = SimpleNamespace(device="cpu", precision="32-true", threads=1, channels_last=False, devices=1)
RESULTS = ("best.safetensors", "history.csv", "state.json")
FILES = {*RESULTS, "best.json", "timing.csv"}


class ToyTask:
    """Regression by a network with batch norm and dropout: buffers and torch's generator count."""

    name = "toy"
    steps = 3

    def __init__(self, seed=1, scores=None, fail=None, weight=1.0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = nn.Sequential(
                nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1)
            )
        self.seed, self.scores, self.fail, self.weight = seed, scores, fail, weight
        self.identity, self.seen, self.torch_seeds = {"weight": weight}, [], []

    def batches(self, epoch):
        draw = rng(self.seed, "toy", epoch)
        self.torch_seeds.append(torch.initial_seed())
        for step in range(self.steps):
            if (epoch, step) == self.fail:
                raise KeyboardInterrupt
            x = torch.from_numpy(draw.normal(size=(10, 4)).astype("float32"))
            yield x, x.sum(dim=1, keepdim=True)
        self.seen.append(epoch)

    def loss(self, batch):
        x, y = batch
        square = self.weight * (self.model(x) - y).square().mean()
        return {"loss": square, "loss_square": square}

    def validate(self):
        assert not self.model.training and torch.is_inference_mode_enabled()
        if self.scores is not None:
            return {"score": self.scores[len(self.seen) - 1]}
        x = torch.linspace(-1, 1, 40).reshape(10, 4)
        return {"score": -(self.model(x) - x.sum(dim=1, keepdim=True)).square().mean()}


def settings(**changed) -> Optimisation:
    values = dict(batch=10, learning_rate=0.01, schedule="one_cycle", epochs=5, patience=5)
    return Optimisation(**(values | changed))


def train(folder, task=None, say=None, seed=1, compute=CPU, **changed):
    task = task or ToyTask()
    return fit(task, folder, settings(**changed), seed=seed, compute=compute, progress=say)


def contents(folder) -> dict[str, bytes]:
    return {name: (Path(folder) / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return contents(folder)


# ------------------------------------------------------------------ what a run leaves
def test_a_run_leaves_its_best_weights_and_one_line_an_epoch(tmp_path):
    said = []
    result = train(tmp_path, say=said.append)
    history = pd.read_csv(tmp_path / "history.csv")
    assert list(history) == ["epoch", "learning_rate", "loss", "loss_square", "score"]
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert result.best_score == history["score"].max()
    assert result.best_epoch == history["epoch"][history["score"].idxmax()]
    assert pd.read_csv(tmp_path / "timing.csv")["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert {file.name for file in tmp_path.iterdir()} == FILES
    record = json.loads((tmp_path / "best.json").read_text())
    assert record["settings"] == settings().model_dump(mode="json")
    assert (record["seed"], record["identity"]) == (1, {"weight": 1.0})
    assert len(said) == 5 and said[2].startswith("toy  epoch 3/5  loss ")
    assert "validation AUC" in said[2] and said[2].endswith(" s")


def test_the_best_epoch_is_kept_and_loaded(tmp_path):
    task = ToyTask(scores=[0.5, 0.7, 0.6, 0.7, 0.65])
    kept = {}

    def keep(message):
        if "epoch 2/5" in message:
            kept.update({k: v.clone() for k, v in task.model.state_dict().items()})
            assert ".700  best .700 (2)" in message

    result = train(tmp_path, task, keep)
    assert (result.best_epoch, result.best_score) == (2, 0.7), "a tie is no rise"
    assert not task.model.training
    for name, value in task.model.state_dict().items():
        assert torch.equal(value, kept[name]), name


def test_training_stops_when_the_score_has_not_risen_for_patience_epochs(tmp_path):
    task = ToyTask(scores=[0.5, 0.6, 0.6, 0.55, 0.9])
    result = train(tmp_path, task, patience=2)
    assert (result.epochs, result.best_epoch) == (4, 2)
    assert task.seen == [1, 2, 3, 4]


def test_learning_rate_rises_to_its_peak_and_falls(tmp_path):
    rates = train(tmp_path / "cycle", epochs=8).history["learning_rate"]
    assert rates.max() == pytest.approx(0.01, rel=0.05)
    assert rates.iloc[0] < rates.max() and rates.iloc[-1] < 1e-3 * rates.max()
    assert set(train(tmp_path / "constant", schedule="constant").history["learning_rate"]) == {0.01}


def test_the_same_seed_gives_the_same_bytes_whatever_torch_drew_before(tmp_path, whole):
    torch.rand(17)
    train(tmp_path)
    assert contents(tmp_path) == whole


def test_adam_gives_the_numbers_of_adam_weight_by_weight(tmp_path, monkeypatch, whole):
    adam = torch.optim.Adam
    one_by_one = lambda weights, lr, foreach: adam(weights, lr=lr, foreach=not foreach)  # noqa: E731
    monkeypatch.setattr(torch.optim, "Adam", one_by_one)
    train(tmp_path)
    assert contents(tmp_path) == whole


def test_another_seed_gives_other_weights(tmp_path, whole):
    train(tmp_path, seed=2)  # the dropout differs, nothing else
    assert contents(tmp_path)["best.safetensors"] != whole["best.safetensors"]


def test_each_epoch_and_seed_has_its_own_dropout(tmp_path):
    tasks = ToyTask(), ToyTask()
    for seed, task in enumerate(tasks):
        train(tmp_path / str(seed), task, seed=seed)
    assert len({*tasks[0].torch_seeds, *tasks[1].torch_seeds}) == 10


def test_torch_is_left_as_it_was(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(tmp_path, epochs=1, compute=SimpleNamespace(**{**vars(CPU), "threads": 2}))
    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()


# ------------------------------------------------------------------ stopping and going on
@pytest.mark.parametrize("moment", [(1, 1), (2, 0), (3, 2), (5, 2)])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, whole, moment):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, ToyTask(fail=moment))
    second, said = ToyTask(), []
    train(tmp_path, second, said.append)
    assert second.seen == list(range(moment[0], 6)), "complete epochs were trained again"
    assert contents(tmp_path) == whole
    assert moment[0] == 1 or said[0] == f"toy  resumes after epoch {moment[0] - 1}"


def test_killed_at_any_step_of_a_checkpoint_it_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    """Between any two renames or removals: the set that state.json names stays whole."""
    train(tmp_path / "reference", epochs=3)
    expected = contents(tmp_path / "reference")
    n, killed = 0, True
    while killed:
        folder = tmp_path / str(n)
        with monkeypatch.context() as patch:
            die_at_step(patch, n)
            try:
                train(folder, epochs=3)
                killed = False
            except Killed:
                n += 1
        train(folder, epochs=3)
        assert contents(folder) == expected, f"killed at step {n - 1}"
        assert {file.name for file in folder.iterdir()} == FILES
    assert n > 20


class Killed(BaseException):
    pass


def die_at_step(patch, n) -> None:
    """Let n renames and removals of files pass, and die at the next."""
    left = [n]

    def dying(function):
        def step(*given, **named):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return function(*given, **named)

        return step

    for name in ("replace", "unlink"):
        patch.setattr(os, name, dying(getattr(os, name)))


def test_a_finished_run_is_returned_without_training(tmp_path, whole):
    first = train(tmp_path)
    task, said = ToyTask(seed=1), []
    again = train(tmp_path, task, said.append)
    assert task.seen == [] and "done before" in said[0]
    assert (again.best_epoch, again.best_score) == (first.best_epoch, first.best_score)
    pd.testing.assert_frame_equal(again.history, first.history)
    pd.testing.assert_frame_equal(read_result(tmp_path).history, first.history)
    reference = ToyTask()
    train(tmp_path / "reference", reference)
    x = torch.ones(2, 4)
    assert torch.equal(task.model(x), reference.model(x)), "the best weights were not loaded"


@pytest.mark.parametrize(
    "change", [{"learning_rate": 0.02}, {"seed": 2}, {"task": ToyTask(weight=2.0)}]
)
def test_other_settings_seed_or_data_start_anew_and_say_so(tmp_path, change):
    train(tmp_path, epochs=2)
    task, said = change.pop("task", ToyTask()), []
    train(tmp_path, task, said.append, **({"epochs": 2} | change))
    assert "starts anew: settings, seed or data differ" in said[0]
    assert task.seen[-2:] == [1, 2]


def test_the_number_of_runs_does_not_repeat_a_run(tmp_path):
    from study.settings import FAgg

    own = dict(epochs=2, batch=10, learning_rate=0.01)
    fit(ToyTask(), tmp_path, FAgg(runs=1, **own), seed=1, compute=CPU)
    task = ToyTask()
    fit(task, tmp_path, FAgg(runs=5, **own), seed=1, compute=CPU)
    assert task.seen == []


@pytest.mark.parametrize(
    "fail, damage, content",
    [
        ((3, 0), "last.pt", b"no state"),
        ((3, 0), "last.pt", b""),
        (None, "state.json", b'{"digest": '),
        (None, "state.json", b'{"digest": "of an older form", "done": true}'),
        ((3, 0), "last.pt", "flipped"),
        (None, "best.safetensors", "flipped"),
        (None, "history.csv", b""),
        (None, "history.csv", None),
        (None, "best.safetensors", None),
    ],
)
def test_a_damaged_folder_starts_anew(tmp_path, whole, fail, damage, content):
    with pytest.raises(KeyboardInterrupt) if fail else nullcontext():
        train(tmp_path, ToyTask(fail=fail))
    if content is None:
        (tmp_path / damage).unlink()
    elif content == "flipped":  # a bit of a weight: still a file that can be read
        found = bytearray((tmp_path / damage).read_bytes())
        found[len(found) // 2] ^= 1
        (tmp_path / damage).write_bytes(found)
    else:
        (tmp_path / damage).write_bytes(content)
    said = []
    train(tmp_path, say=said.append)
    assert said[0].startswith("toy  starts anew: ") and damage in said[0]
    assert contents(tmp_path) == whole


def test_an_interrupted_run_has_no_result_yet(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, ToyTask(fail=(3, 0)))
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [1, 2], "to be looked at"
    with pytest.raises(InputError, match="no finished training"):
        read_result(tmp_path)


# ------------------------------------------------------------------ refusals
def test_a_loss_that_is_no_number_names_the_remedy(tmp_path):
    with pytest.raises(Diverged, match=r"loss is nan in epoch 1.*Lower learning_rate \(now 0.01\)"):
        train(tmp_path, ToyTask(weight=float("nan")))
    with pytest.raises(InputError, match="validation score is nan in epoch 2"):
        train(tmp_path / "score", ToyTask(scores=[0.5, float("nan")]))


def test_a_run_that_diverged_has_ended_on_this_machine_with_these_settings(tmp_path):
    messages = []
    for task in (ToyTask(scores=[0.5, float("nan")]), ToyTask()):
        with pytest.raises(Diverged, match="score is nan in epoch 2.*Lower") as caught:
            train(tmp_path, task)
        messages.append(str(caught.value))
    assert task.seen == [] and messages[0] == messages[1]
    with pytest.raises(Diverged, match="score is nan in epoch 2"):
        read_result(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"state.json", "history.csv", "timing.csv"}
    said = []
    other = SimpleNamespace(**{**vars(CPU), "threads": 2})
    assert train(tmp_path, say=said.append, compute=other).epochs == 5
    assert "starts anew: the run found here diverged on" in said[0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"channels_last": True}, "channels_last is refused on the CPU"),
        ({"precision": "16-mixed"}, "precision '16-mixed' is not supported"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"device": "cpu:3"}, "device 'cpu:3' cannot be used"),
        ({"device": "cpu:x"}, "device 'cpu:x' cannot be used"),
    ],
)
def test_unusable_machines_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        train(tmp_path, compute=SimpleNamespace(**{**vars(CPU), **change}))


def test_a_gpu_that_the_machine_lacks_is_refused(tmp_path, monkeypatch):
    """Trap: Lightning has an exception of its own for the number of a missing GPU."""
    for name in ("torch.cuda.device_count", "lightning_fabric.accelerators.cuda.num_cuda_devices"):
        monkeypatch.setattr(name, lambda: 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(InputError, match="'cuda:5' cannot be used: .* only has"):
        train(tmp_path, compute=SimpleNamespace(**{**vars(CPU), "device": "cuda:5"}))


def test_bfloat16_runs_the_network_in_bfloat16(tmp_path):
    task, seen = ToyTask(), []
    task.model[0].register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    compute = SimpleNamespace(**{**vars(CPU), "precision": "bf16-mixed"})
    result = train(tmp_path, task, epochs=2, compute=compute)
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in task.model.parameters())
    assert result.epochs == 2


def test_a_task_that_miscounts_its_batches_is_a_fault(tmp_path):
    task = ToyTask()
    task.batches = lambda epoch: iter([])
    with pytest.raises(RuntimeError, match="0 batches, 3 announced"):
        train(tmp_path, task)
