"""What the three networks learn from: weights, labels, batches; and a stop changes nothing."""

from __future__ import annotations

import time
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from lightning_fabric.utilities import move_data_to_device

from lesionlib import loading, tasks
from lesionlib.errors import InputError
from lesionlib.models.weights import save_checkpoint
from lesionlib.outlines import Outline
from lesionlib.scoring import lesion_scores, window_scores
from lesionlib.store import ArrayStore
from lesionlib.tasks import FAggTask, FLocTask, GMICTask, class_weights, image_labels, weighted_loss
from lesionlib.training import fit
from study.settings import GMIC, FAgg, FLoc, Windows

CPU = SimpleNamespace(device="cpu", precision="32-true", threads=1, channels_last=False, devices=1)
RULES = Windows(side_min=16, side_max=40, patch=16)
FLOC = FLoc(
    backbone="densenet_mini", initialisation="he", epoch=(6, 8, 6, 6), batch=10, epochs=3,
    learning_rate=2e-3, schedule="one_cycle", windows_validation=3, flips=True,
)  # fmt: skip
CONTEXT = GMIC(
    width=2, local_width=2, crops=2, crop=32, top_t=0.3, attention=4, batch=4, epochs=3,
    learning_rate=2e-3, schedule="one_cycle",
)  # fmt: skip
FAGG = FAgg(epoch=(12, 18, 5, 5), batch=10, epochs=3, learning_rate=1e-2, windows_validation=2)


# ------------------------------------------------------------------ class weights
def test_class_weights_of_the_papers_epoch():
    weights = class_weights((20, 35, 5000, 4945))
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [500, 285.714286, 2, 2.022245], rtol=1e-6)


def test_a_class_without_windows_weighs_nothing():
    np.testing.assert_array_equal(class_weights((1, 3, 4, 0)), [8, np.float32(8 / 3), 2, 0])


def test_the_weighted_sum_is_divided_by_weights_or_windows():
    """Two windows with losses log 4 (malignant, weight 3) and log 2 (outside, 1)."""
    logits = torch.log(torch.tensor([[1.0, 1, 1, 1], [1, 1, 3, 1]]))
    given = logits, torch.tensor([0, 2]), torch.tensor([3.0, 0, 1, 0])
    total = 3 * np.log(4) + np.log(2)
    assert float(weighted_loss(*given)) == pytest.approx(total / 4)
    assert float(weighted_loss(*given, "windows")) == pytest.approx(total / 2)


@pytest.mark.parametrize("make, settings", [(FLocTask, FLOC), (FAggTask, FAGG)])
def test_the_divisor_is_the_settings(tiny_store, make, settings):
    changed = settings.model_copy(update={"loss_divisor": "windows"})
    if make is FLocTask:
        task = FLocTask(tiny_store, changed, RULES, seed=4)
    else:
        task = features_task("I", settings=changed)
    batch = next(iter(task.batches(1)))
    per_window = float(task.loss(batch).detach())
    task.settings = settings
    *_, labels, weights = batch
    share = float(weights[labels].mean())
    assert per_window == pytest.approx(share * float(task.loss(batch).detach()), rel=1e-4)


# ------------------------------------------------------------------ stopping and going on
def floc_task(store, seed=4):
    return FLocTask(store, FLOC, RULES, seed=seed)


def gmic_task(store, seed=4):
    return GMICTask(store, CONTEXT, seed=seed)


def fagg_task(store, seed=4):
    return features_task("E+S", seed=seed)


CASES = {"f_loc": (floc_task, FLOC), "gmic": (gmic_task, CONTEXT), "f_agg": (fagg_task, FAGG)}


@pytest.mark.parametrize("name", CASES)
def test_interrupted_and_resumed_equals_uninterrupted(tiny_store, tmp_path, name):
    make, settings = CASES[name]
    first = fit(make(tiny_store), tmp_path / "whole", settings, seed=4, compute=CPU)
    halted = make(tiny_store)
    halted.batches = stops_in_epoch(halted.batches, 3)
    with pytest.raises(KeyboardInterrupt):
        fit(halted, tmp_path / "halted", settings, seed=4, compute=CPU)
    resumed = make(tiny_store)
    last = fit(resumed, tmp_path / "halted", settings, seed=4, compute=CPU)
    for file in ("best.safetensors", "history.csv"):
        assert (last.folder / file).read_bytes() == (first.folder / file).read_bytes(), file
    history = first.history
    assert len(history) == 3 and history["loss"].between(0, 100).all()
    assert first.best_score == history["score"].max()


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_trains_the_three_networks(tiny_store, tmp_path, name):
    make, settings = CASES[name]
    compute = SimpleNamespace(**{**vars(CPU), "precision": "bf16-mixed"})
    short = settings.model_copy(update={"epochs": 1})
    plain, half = (
        fit(make(tiny_store), tmp_path / how, short, seed=4, compute=c).history["loss"].item()
        for how, c in (("plain", CPU), ("half", compute))
    )
    assert half != plain and half == pytest.approx(plain, rel=0.05)


@pytest.mark.parametrize("name", CASES)
def test_a_step_mixes_no_devices(tiny_store, monkeypatch, name):
    """Trap: a tensor made on the CPU amid a network fails on a GPU alone.  The device "meta", which
    knows shapes and no numbers, refuses it as well."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    task = CASES[name][0](tiny_store)
    task.model.to("meta")
    batch = move_data_to_device(next(iter(task.batches(1))), torch.device("meta"))
    loss = task.loss(batch)
    loss = loss["loss"] if isinstance(loss, dict) else loss
    loss.backward()
    assert loss.is_meta and all(p.grad.is_meta for p in task.model.parameters())


def stops_in_epoch(batches, last):
    def until(epoch):
        for k, batch in enumerate(batches(epoch)):
            if (epoch, k) == (last, 1):
                raise KeyboardInterrupt
            yield batch

    return until


@pytest.mark.parametrize("name", CASES)
def test_initial_weights_and_batches_follow_the_seed(tiny_store, name):
    make, _ = CASES[name]
    torch.rand(3)
    one, same, other = make(tiny_store), make(tiny_store, seed=4), make(tiny_store, seed=5)
    weight = [next(p for p in task.model.parameters() if p.ndim > 1) for task in (one, same, other)]
    assert torch.equal(weight[0], weight[1]) and not torch.equal(weight[0], weight[2])
    assert one.identity == same.identity
    batches = [flat(next(iter(task.batches(epoch)))) for task, epoch in
               ((one, 1), (same, 1), (one, 2), (other, 1))]  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(batches[0], batches[1], strict=True))
    for changed in batches[2:]:
        assert not all(torch.equal(a, b) for a, b in zip(batches[0], changed, strict=True))


def flat(batch) -> list[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        return [batch]
    return [tensor for part in batch if part is not None for tensor in flat(part)]


# ------------------------------------------------------------------ a small store by hand
@pytest.fixture
def store():
    """Training 0-5 (5 of unknown lesion, 4 negative, 3 nothing known); validation 6-9."""
    lesions = [
        (0, "malignant"),
        (0, "benign"),
        (1, "malignant"),
        (2, "benign"),
        (5, "unknown"),
        (6, "malignant"),
        (7, "benign"),
        (8, "benign"),
        (9, "unknown"),
        (9, "malignant"),
    ]
    pixels = np.random.default_rng(0).integers(0, 255, (10, 192, 128)).astype(np.uint8)
    images = pd.DataFrame({"split": ["training"] * 6 + ["validation"] * 4, "mean": 127.0})
    images = images.assign(negative=images.index == 4, std=70.0)
    lesions = pd.DataFrame(lesions, columns=["image", "pathology"])
    outlines = [Outline(80, 40, np.ones((9, 9), bool))] * len(lesions)
    return ArrayStore(pixels, images, lesions, outlines, np.ones((10, 48, 32), bool))


# ------------------------------------------------------------------ f_loc
def test_floc_batches_hold_patches_labels_and_weights(store):
    task = FLocTask(store, FLOC, Windows(side_min=16, side_max=40, patch=16, purity=False), seed=1)
    batches = list(task.batches(1))
    assert len(batches) == task.steps == 2, "26 windows are two whole batches of 10"
    for patches, labels, weights in batches:
        assert patches.shape == (10, 1, 16, 16) and labels.shape == (10,)
        np.testing.assert_allclose(weights, class_weights((6, 8, 6, 6)))
    assert {0, 1, 2, 3} == set(torch.cat([labels for _, labels, _ in batches]).tolist())


def test_floc_flips_mirror_rows_only(store):
    plain = FLocTask(store, FLOC.model_copy(update={"flips": False}), RULES, seed=1)
    flipping = FLocTask(store, FLOC, RULES, seed=1)
    before = torch.cat([batch[0] for batch in plain.batches(1)])
    after = torch.cat([batch[0] for batch in flipping.batches(1)])
    mirrored = torch.tensor([torch.equal(a.flip(1), b) for a, b in zip(before, after, strict=True)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(before, after, strict=True)])
    assert (mirrored ^ same).all() and 3 <= int(mirrored.sum()) <= 17


def test_floc_score_is_the_auc_over_known_validation_lesions(store):
    task = FLocTask(store, FLOC, RULES, seed=1)
    assert task.lesions.tolist() == [5, 6, 7, 9] and task.truth.tolist() == [1, 0, 0, 1]
    task.model.eval()
    with torch.inference_mode():
        found = task.validate()
        windows, chunks = task._validation_inputs()
        logits = torch.cat([task.model(patches)[0] for patches in chunks]).numpy()
    scores = lesion_scores(window_scores(logits), windows["lesion"], task.lesions)
    pairs = [
        (scores[m] > scores[b]) + 0.5 * (scores[m] == scores[b]) for m in (0, 3) for b in (1, 2)
    ]
    assert found["score"] == pytest.approx(np.mean(pairs))
    assert (windows["angle"] == 0).all() and len(windows) == 3 * 4
    again = FLocTask(store, FLOC, RULES, seed=2)._validation_inputs()[0]
    pd.testing.assert_frame_equal(again, windows)


def test_floc_cuts_its_validation_patches_once_unless_they_are_too_many(store, monkeypatch):
    cuts = []
    cut = tasks.floc.extract_patches
    monkeypatch.setattr(tasks.floc, "extract_patches", lambda *a: cuts.append(1) or cut(*a))
    for limit, expected in ((tasks._shared.KEPT_BYTES, 1), (100, 3)):
        monkeypatch.setattr(tasks._shared, "KEPT_BYTES", limit)
        task = FLocTask(store, FLOC, RULES, seed=1)
        cuts.clear()
        with torch.inference_mode():
            scores = {task.validate()["score"] for _ in range(3)}
        assert len(cuts) == expected and len(scores) == 1


def test_a_validation_split_of_one_kind_is_refused_before_training(store):
    store.lesions.loc[store.lesions["split"] == "validation", "pathology"] = "benign"
    with pytest.raises(InputError, match="lesions are benign"):
        FLocTask(store, FLOC, RULES, seed=1)
    with pytest.raises(InputError, match="benign"):
        GMICTask(store, CONTEXT, seed=1)


def test_another_store_is_another_run(store):
    first = FLocTask(store, FLOC, RULES, seed=1).identity
    store.images.loc[0, "mean"] += 1
    assert FLocTask(store, FLOC, RULES, seed=1).identity != first


def test_other_first_weights_are_another_run(store, tmp_path):
    first = FLocTask(store, FLOC, RULES, seed=1)
    assert first.identity["weights"]["initialisation"] == "he"
    save_checkpoint(tmp_path / "w.safetensors", first.model, {})
    file = {"initialisation": "file", "weights_file": str(tmp_path / "w.safetensors")}
    second = FLocTask(store, FLOC.model_copy(update=file), RULES, seed=2)
    assert second.identity["weights"]["source"] == "w.safetensors"
    for name, value in second.model.state_dict().items():
        assert torch.equal(value, first.model.state_dict()[name]), name


# ------------------------------------------------------------------ GMIC
def test_image_labels_are_benign_and_malignant_present(store):
    labels, known = image_labels(store)
    assert labels[:6].tolist() == [[1, 1], [0, 1], [1, 0], [0, 0], [0, 0], [0, 0]]
    assert np.flatnonzero(~known).tolist() == [5, 9]


def test_gmic_trains_on_annotated_and_negative_images(store):
    task = GMICTask(store, CONTEXT, seed=1)
    assert task.training.tolist() == [0, 1, 2, 4] and task.validation.tolist() == [6, 7, 8]
    (images, labels), *more = task.batches(1)
    assert not more and images.shape == (4, 1, 192, 128) and images.dtype == torch.float32
    assert sorted(labels.tolist()) == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_gmic_does_not_use_images_with_a_finding_that_was_left_out(store):
    """Trap: a malignant finding without an outline would make its image `malignant absent`."""
    store.images.loc[[2, 8], "clear"] = False
    task = GMICTask(store, CONTEXT, seed=1)
    assert task.training.tolist() == [0, 1, 4] and task.validation.tolist() == [6, 7]


def test_gmic_images_are_mirrored_up_down_with_their_own_label(store):
    task = GMICTask(store, CONTEXT, seed=1)
    originals = {
        tuple(task.labels[k]): torch.from_numpy(store.standardised(k)) for k in (0, 1, 2, 4)
    }
    kinds = set()
    for epoch in range(1, 5):
        for images, labels in task.batches(epoch):
            for image, label in zip(images, labels.tolist(), strict=True):
                original = originals[tuple(label)]
                kind = "same" if torch.equal(image[0], original) else "mirrored"
                assert kind == "same" or torch.equal(image[0].flip(0), original)
                kinds.add(kind)
    assert kinds == {"same", "mirrored"}


def test_gmic_logs_the_summands_of_its_loss(store):
    task = GMICTask(store, CONTEXT, seed=1)
    with torch.no_grad():
        parts = task.loss(next(iter(task.batches(1))))
    names = ["loss_global", "loss_local", "loss_fusion", "loss_sparsity"]
    assert list(parts) == ["loss", *names]
    assert float(parts["loss"]) == pytest.approx(sum(float(parts[name]) for name in names))


def test_gmic_score_is_the_auc_of_y_global_for_malignant(store):
    task = GMICTask(store, CONTEXT, seed=1)
    heads = torch.full((3, 6), 0.5)
    heads[:, 1] = torch.tensor([0.6, 0.2, 0.9])  # one benign image above the malignant one
    task._predictions = lambda images: heads
    found = task.validate()
    assert found["score"] == found["auc_global"] == 0.5
    assert {"auc_global", "auc_local", "auc_fusion", "auc_global_benign"} < set(found)
    heads[:, 1] = torch.tensor([0.95, 0.2, 0.9])
    found = task.validate()
    assert found["score"] == 1 and found["auc_fusion"] == 0.5


# ------------------------------------------------------------------ f_agg
def stored_windows(lesions, each, others, seed):
    """Windows of `lesions` lesions, every third malignant, with h[0] large for those."""
    draw = np.random.default_rng(seed)
    lesion = np.repeat(np.arange(lesions), each)
    label = np.concatenate([(lesion % 3 > 0).astype(int), np.repeat([2, 3], others)])
    lesion = np.concatenate([lesion, np.full(2 * others, -1)])
    h = draw.random((len(label), 32)).astype(np.float32)
    h[:, 0] += label == 0
    location = draw.random((len(label), 3, 2)).astype(np.float32)
    frame = pd.DataFrame(
        {"image": draw.integers(0, 20, len(label)), "label": label, "lesion": lesion}
    )
    return {"windows": frame, "h": h, "location": location}


@pytest.fixture
def features():
    return {"training": stored_windows(12, 4, 10, 0), "validation": stored_windows(9, 4, 0, 1)}


SALIENCY = np.random.default_rng(2).random((20, 2, 3, 2)).astype(np.float32)


def features_task(combination, seed=1, settings=FAGG):
    stored = {"training": stored_windows(12, 4, 10, 0), "validation": stored_windows(9, 4, 0, 1)}
    return FAggTask(stored, SALIENCY, combination, settings, seed=seed)


def test_fagg_draws_the_epochs_composition_from_the_pool(features):
    task = FAggTask(features, SALIENCY, "I+S+E", FAGG, seed=1)
    batches = list(task.batches(1))
    assert len(batches) == task.steps == 4
    labels = torch.cat([labels for _, labels, _ in batches])
    assert torch.bincount(labels).tolist() == [12, 18, 5, 5]
    np.testing.assert_allclose(batches[0][2], class_weights((12, 18, 5, 5)))
    (location, saliency, h), labels, _ = batches[0]
    pool = features["training"]
    for k in range(10):  # each is a stored window, with its own maps and its image's saliency
        row = int(np.flatnonzero((pool["h"] == h[k].numpy()).all(axis=1))[0])
        assert pool["windows"]["label"][row] == labels[k]
        np.testing.assert_array_equal(location[k], pool["location"][row])
        np.testing.assert_array_equal(saliency[k], SALIENCY[pool["windows"]["image"][row]])


@pytest.mark.parametrize("combination", ["I", "S", "E", "I+S+E"])
def test_fagg_learns_from_what_its_combination_names(features, combination, tmp_path):
    saliency = SALIENCY if "S" in combination else None
    task = FAggTask(features, saliency, combination, FAGG, seed=1)
    result = fit(task, tmp_path, FAGG.model_copy(update={"epochs": 8}), seed=1, compute=CPU)
    assert (result.best_score == 1) == ("E" in combination), "only h tells the kinds apart"


def test_fagg_is_judged_by_the_first_windows_of_each_validation_lesion(features):
    task = FAggTask(features, SALIENCY, "E", FAGG, seed=1)
    windows = features["validation"]["windows"]
    assert task.chosen.tolist() == [k for k in range(len(windows)) if k % 4 < 2]
    assert task.lesions.tolist() == list(range(9))
    assert task.truth.tolist() == [True, False, False] * 3
    task.model.eval()
    with torch.inference_mode():
        found = task.validate()["score"]
    scores = window_scores(task.logits("validation"))[task.chosen]
    means = scores.reshape(9, 2).mean(axis=1)
    wins = means[task.truth][:, None] > means[~task.truth][None]
    assert found == pytest.approx(wins.mean())


def test_fagg_without_stored_negative_windows_draws_outside_ones(features):
    pool = features["training"]
    rows = np.flatnonzero(pool["windows"]["label"] < 3)
    few = {name: pool[name][rows] for name in ("h", "location")}
    few["windows"] = pool["windows"].iloc[rows]
    task = FAggTask({**features, "training": few}, SALIENCY, "E", FAGG, seed=1)
    labels = torch.cat([labels for _, labels, _ in task.batches(1)])
    assert torch.bincount(labels, minlength=4).tolist() == [12, 18, 10, 0]


def test_fagg_refuses_a_pool_without_a_class(features):
    features["training"]["windows"]["label"] = features["training"]["windows"]["label"].replace(
        0, 1
    )
    with pytest.raises(InputError, match="needs 12 malignant windows and none is stored"):
        FAggTask(features, SALIENCY, "E", FAGG, seed=1)


def test_other_features_are_another_run(features):
    first = FAggTask(features, SALIENCY, "E", FAGG, seed=1).identity
    assert FAggTask(features, SALIENCY + 1, "E", FAGG, seed=1).identity == first, "E reads no S"
    assert FAggTask(features, SALIENCY, "I", FAGG, seed=1).identity != first
    features["training"]["h"][0, 0] += 1
    assert FAggTask(features, SALIENCY, "E", FAGG, seed=1).identity != first
    with_s = [FAggTask(features, s, "E+S", FAGG, seed=1).identity for s in (SALIENCY, SALIENCY + 1)]
    assert with_s[0] != with_s[1]


# ------------------------------------------------------------------ beside a GPU
OFF_THE_CPU = torch.nn.Linear(1, 1, device="meta")  # torch's device without memory


def test_fagg_keeps_on_the_device_what_fits_there(features, monkeypatch):
    """Of at most 1,000 bytes are the saliency maps and the places of the validation windows."""
    task = FAggTask(features, SALIENCY, "I+S+E", FAGG, seed=1)
    expected = [flat(batch) for batch in task.batches(1)]
    monkeypatch.setattr(FAggTask, "on_device", 1000)
    task = FAggTask(features, SALIENCY, "I+S+E", FAGG, seed=1)
    for batch, whole in zip(task.batches(1), expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(flat(batch), whole, strict=True))
    task.kept.clear()
    task.model.to("meta")
    (location, saliency, h), _, _ = next(task.batches(1))
    assert location.is_meta and saliency.is_meta and h.is_meta
    assert task._maps("validation", task.chosen).is_meta
    on_device = {name for name, array in task.kept.items() if array.is_meta}
    assert on_device == {"saliency", "validation location"}, "X is stacked where f_agg runs"


def test_fagg_copies_no_array_that_is_mapped_from_a_file(features, tmp_path, recwarn):
    pool = features["training"]
    np.save(tmp_path / "location.npy", pool["location"])
    for mode, is_copied in (("c", False), ("r", True)):
        pool["location"] = np.load(tmp_path / "location.npy", mmap_mode=mode)
        task = FAggTask(features, SALIENCY, "I", FAGG, seed=1)
        next(task.batches(1))
        kept = task.kept["training location"].numpy()
        assert np.shares_memory(kept, pool["location"]) != is_copied
    assert not recwarn.list, "torch warns of tensors that share memory which must not be written"


def test_parts_prepared_in_threads_keep_their_order():
    """A network off the CPU has its inputs made ahead."""
    parts, made = [slice(k, k + 1) for k in range(8)], []

    def make(part):
        time.sleep(0.002 * (8 - part.start))  # later parts are ready sooner
        made.append(part.start)
        return part.start

    found = []
    for value in loading.prepared(make, parts, OFF_THE_CPU, 3):
        found.append(value)
        assert len(made) <= len(found) + 3, "no more than the threads' number is held ahead"
    assert found == list(range(8)) and sorted(made) == found


def test_batches_do_not_depend_on_the_number_of_workers(store, monkeypatch):
    """One after another on the CPU, and ahead in 1 or 5 threads: the same bytes in the same order."""
    monkeypatch.setattr(tasks.floc, "PIXELS_AT_ONCE", 1)  # as many parts as batches
    task = FLocTask(store, FLOC, RULES, seed=1)
    here = [[tensor.numpy().tobytes() for tensor in batch] for batch in task.batches(1)]
    task.model = OFF_THE_CPU
    for task.workers in (1, 5):
        ahead = [[tensor.numpy().tobytes() for tensor in batch] for batch in task.batches(1)]
        assert ahead == here
