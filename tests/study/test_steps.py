"""The pipeline on a phantom of a few patients: joined, reused, resumed, and repeated to the bit."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file as torch_load

from data_manifest.images.store import ImageStore
from data_manifest.manifest import Manifest
from lesionlib import training
from lesionlib.errors import InputError
from lesionlib.maps import COMBINATIONS
from lesionlib.models.floc import FLoc
from lesionlib.patches import extract_patches
from lesionlib.scoring import window_scores
from lesionlib.store import ArrayStore
from lesionlib.windows import window_table
from study import freshness, stages, steps, tables
from study import lab as lab_module
from study.commands import predict
from study.marks import read_mark, write_mark
from study.settings import Compute, Experiment, Windows, load_experiment
from study.steps import lesion_scores, other_choices, patch_network
from study.steps.aggregation_network import fagg_logits, fagg_network, fagg_trial
from study.steps.context_network import saliency_folder
from study.steps.patch_network import stored_outputs
from study.steps.runs import file_state, learning_rate, validation_auc
from study.steps.windows import training_windows

SMALL = {
    "phantom": {
        "training": 10,
        "negative": 3,
        "aggregation": 8,
        "aggregation_negative": 2,
        "validation": 8,
        "test": 10,
    },
    "floc": {"epoch": (15, 15, 10, 10), "epochs": 2, "runs": 1},
    "fagg": {"epoch": (20, 20, 10, 10), "epochs": 2, "runs": 1},
    "evaluation": {"windows_per_lesion": 2, "compress": False},
    "compute": {"workers": 1},
}


def settings(**changed) -> Experiment:
    base = load_experiment("smoke").model_dump()
    for section, values in (SMALL | changed).items():
        base[section] = base[section] | values if isinstance(values, dict) else values
    return Experiment(**base)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return bench(tmp_path_factory.mktemp("a"))


def bench(folder, **changed):
    lab = lab_module.Lab(settings(**changed), "stage")
    lab.runs, lab.figures = folder / "runs", folder / "figures"
    return lab


def table_lab(runs, **data):
    """A lab of a set in the table format."""
    canvas = {"rows": 192, "cols": 128, "background": "zero", "buffer": 8}
    blocks = {"canvas": canvas, "windows": {"side_min": 24, "side_max": 64}}
    lab = lab_module.Lab(
        Experiment(name="made", data={"dataset": "table"} | data, **blocks), "stage"
    )
    lab.runs = runs
    return lab


def on_a_copy(lab, folder, **changed):
    """A lab with other settings on a copy of what another one has done."""
    shutil.copytree(lab.runs, folder / "runs")
    return bench(folder, **changed)


def test_predictions_hold_every_model_split_and_lesion(lab):
    table = steps.predictions(lab)
    assert list(table) == ["lesion_id", "patient_id", "split", "y_true", "model", "run", "y_score"]
    assert set(table["model"]) == {"f_loc", *COMBINATIONS}
    assert set(table["split"]) == {"validation", "test"}
    assert table.groupby("model").size().nunique() == 1
    assert (
        table["y_score"].between(0, 1).all()
        and not table.duplicated(["lesion_id", "model", "run"]).any()
    )
    lesions = steps.store(lab).lesions.set_index("lesion_id")
    truth = lesions.loc[table["lesion_id"], "pathology"].to_numpy() == "malignant"
    assert (truth == table["y_true"].to_numpy(bool)).all()


def test_a_second_start_reuses_everything_and_opens_the_data_once(lab, monkeypatch):
    first, calls = [steps.predictions(lab), steps.predictions_other_cells(lab)], Counter()
    stamps = {p: p.stat().st_mtime_ns for p in lab.runs.rglob("*") if p.is_file()}
    for opened, name in ((Manifest, "read"), (ImageStore, "__init__")):
        real = getattr(opened, name)
        counted = lambda *given, real=real: calls.update([real.__name__]) or real(*given)  # noqa: E731
        monkeypatch.setattr(opened, name, counted)
    again = bench(lab.runs.parent)
    for made, step in zip(first, (steps.predictions, steps.predictions_other_cells), strict=True):
        pd.testing.assert_frame_equal(step(again), made)
    assert calls == {"read": 1, "__init__": 1}
    assert {p: p.stat().st_mtime_ns for p in lab.runs.rglob("*") if p.is_file()} == stamps


def test_the_same_seed_gives_the_same_scores_in_another_place(lab, tmp_path):
    other = bench(tmp_path)
    pd.testing.assert_frame_equal(steps.predictions(other), steps.predictions(lab))
    np.testing.assert_array_equal(steps.saliency(other), steps.saliency(lab))


def test_no_patient_is_in_two_splits(lab):
    assert (steps.store(lab).images.groupby("patient_id")["split"].nunique() == 1).all()


def test_features_close(lab):
    found = steps.features(lab)
    windows = found["training"]["windows"]
    assert set(windows["label"]) == {0, 1, 2, 3}
    assert (steps.store(lab).images["split"].to_numpy()[windows["image"]] == "aggregation").all()
    for part in found.values():
        assert len(part["windows"]) == len(part["h"]) == len(part["location"])
    # at evaluation nothing is drawn but the stored windows, and they are upright
    assert (found["test"]["windows"]["angle"] == 0).all()


def test_fagg_learns_from_patients_of_its_own_where_there_are_any(lab, tmp_path):
    few = lab.settings.phantom.model_dump() | {"aggregation": 0, "aggregation_negative": 0}
    for one, split in ((lab, "aggregation"), (bench(tmp_path, phantom=few), "training")):
        images, pool = steps.store(one).images, training_windows(one)
        assert set(images["split"][pool["image"]]) == {split} and set(pool["label"]) == {0, 1, 2, 3}


def test_a_pool_without_outside_and_negative_windows_is_of_lesions_alone(lab, tmp_path):
    other = on_a_copy(lab, tmp_path, fagg=SMALL["fagg"] | {"epoch": (20, 20, 0, 0)})
    assert set(training_windows(other)["label"]) == {0, 1}


def test_the_followed_lesion_is_a_malignant_test_lesion_alone_on_its_image(lab):
    table = steps.store(lab).lesions
    row = table.loc[steps.followed_lesion(lab)]
    assert (row["split"], row["pathology"]) == ("test", "malignant")
    assert (table["image"] == row["image"]).sum() == 1


def test_a_changed_setting_redoes_what_depends_on_it_and_nothing_else(lab, tmp_path):
    old = pd.read_csv(steps.fagg(lab, "E") / "predictions.csv")
    other = on_a_copy(lab, tmp_path, fagg=SMALL["fagg"] | {"learning_rate": 2e-3})
    weights = other.runs / "floc" / "run0" / "best.safetensors"
    before = weights.stat().st_mtime_ns
    new = pd.read_csv(steps.fagg(other, "E") / "predictions.csv")
    assert weights.stat().st_mtime_ns == before
    assert not np.allclose(old["y_score"], new["y_score"])


def test_an_arm_waits_for_what_it_reads_alone(lab, tmp_path):
    other = bench(tmp_path)
    steps.fagg(other, "I")
    assert not (other.runs / "gmic").exists() and not (other.runs / "floc").exists()
    steps.fagg(other, "S")
    assert (other.runs / "gmic").exists() and not (other.runs / "floc").exists()
    for arm in ("I", "S"):
        same = [pd.read_csv(steps.fagg(one, arm) / "predictions.csv") for one in (lab, other)]
        pd.testing.assert_frame_equal(*same)


def test_a_searched_learning_rate_is_the_best_trials(lab, tmp_path):
    found = steps.search(lab, "fagg")
    other = on_a_copy(lab, tmp_path, fagg=SMALL["fagg"] | {"learning_rate": "search"})
    best = found.loc[found["validation_auc"].idxmax(), "learning_rate"]
    assert learning_rate(other, "fagg", fagg_trial) == best


def test_a_trial_that_diverged_is_not_trained_again(lab, tmp_path, monkeypatch):
    rates = {"trials": 1, "floc": (1e30, 1e30), "fagg": (1e30, 1e30)}
    trained, run = [], training._Loop.run
    monkeypatch.setattr(training._Loop, "run", lambda loop: trained.append(loop) or run(loop))
    first = on_a_copy(lab, tmp_path, search=rates)
    for other in (first, bench(tmp_path, search=rates)):  # as two processes have labs of their own
        for network in ("floc", "fagg"):
            assert steps.search(other, network)["validation_auc"].isna().all()
    assert len(trained) == 2


def test_a_network_without_a_search_is_told_those_that_have_one(lab):
    with pytest.raises(InputError, match="no search for 'gmic'.*floc, fagg"):
        steps.search(lab, "gmic")


def test_the_arms_of_figure_6_take_the_searched_learning_rate(lab, tmp_path):
    """Trap: the word `search` is no learning rate, and the paper's settings hold it."""
    arms = {"runs": 1, "arms": [{"backbone": "resnetv2_mini"}]}
    changed = {"floc": SMALL["floc"] | {"learning_rate": "search"}, "architectures": arms}
    other = on_a_copy(lab, tmp_path, **changed)
    found = steps.architectures(other)
    history = other.runs / "architectures" / "resnetv2_mini-he" / "run0" / "history.csv"
    assert len(found) == 1 and found["test_auc"].between(0, 1).all()
    most = steps.search(other, "floc")["learning_rate"].max()
    assert pd.read_csv(history)["learning_rate"].max() <= most


def test_a_trial_alone_is_a_trial_of_the_search(lab):
    whole = steps.search(lab, "fagg")
    alone = steps.search(lab, "fagg", trial=1)
    pd.testing.assert_frame_equal(alone, whole.iloc[[1]].reset_index(drop=True))


def test_the_other_cells_leave_the_papers_scores_alone(lab):
    steps.predictions(lab)
    before = (lab.figures / "predictions.csv").read_bytes()
    moved = steps.predictions_other_cells(lab)
    table = steps.predictions(lab)
    assert (lab.figures / "predictions.csv").read_bytes() == before
    assert set(moved["model"]) == set(COMBINATIONS) - {"S"} and list(moved) == list(table)
    pair = [t.query("model == 'E'").set_index("lesion_id")["y_score"] for t in (moved, table)]
    assert set(pair[0].index) == set(pair[1].index) and not np.allclose(pair[0], pair[1])
    nominal, true = (steps.features(lab, c)["test"] for c in ("nominal", "true_centre"))
    np.testing.assert_array_equal(nominal["h"], true["h"])
    assert not np.array_equal(nominal["location"], true["location"])


def test_without_the_setting_there_are_no_other_cells(lab, tmp_path):
    other = on_a_copy(lab, tmp_path, fagg=SMALL["fagg"] | {"both_cells": False})
    moved = steps.predictions_other_cells(other)
    assert len(moved) == 0 and list(moved) == list(steps.predictions(other))


def test_f_agg_is_trained_once_more_on_h_before_its_relu(lab):
    parts = stored_outputs(lab)[1]
    for part in parts.values():
        np.testing.assert_array_equal(part["h"], np.maximum(part["before"], 0))
    assert (parts["test"]["before"] < 0).any()
    own, plain = steps.predictions(lab), steps.predictions_before_relu(lab)
    assert set(plain["model"]) == {"E", "E+S"} and set(plain["run"]) == {0}
    net = fagg_network(lab, steps.fagg(lab, "E+S", activated=False), "E+S")
    given = steps.features(lab)["test"]
    maps = steps.saliency(lab)[given["windows"]["image"]]
    scores = window_scores(
        fagg_logits(net, "E+S", (given["location"], maps, given["before"]), "cpu")
    )
    of_test = "model == 'E+S' and run == 0 and split == 'test'"
    assert np.isclose(scores.mean(), plain.query(of_test)["y_score"].mean(), atol=1e-6)
    assert not np.isclose(scores.mean(), own.query(of_test)["y_score"].mean(), atol=1e-6)


def test_without_a_relu_there_is_no_h_before_it(lab, tmp_path):
    other = on_a_copy(lab, tmp_path, floc=SMALL["floc"] | {"h_activation": "none"})
    assert steps.predictions_before_relu(other).empty
    part = stored_outputs(other)[1]["test"]
    np.testing.assert_array_equal(part["h"], part["before"])


def test_saliency_of_another_network_comes_from_a_file(lab, tmp_path):
    images = steps.store(lab).images
    own = np.random.default_rng(1).random((len(images), 2, 9, 6), dtype=np.float32)
    file = tmp_path / "maps.npz"
    np.savez(file, maps=own[::-1], image_id=images["image_id"].to_numpy(str)[::-1])
    other = bench(tmp_path, fagg=SMALL["fagg"] | {"saliency_file": str(file)})
    np.testing.assert_array_equal(steps.saliency(other), own)
    assert not (other.runs / "gmic").exists(), "GMIC is not needed"


def test_paired_runs_of_f_agg_each_read_a_run_of_f_loc_and_gmic(lab, tmp_path):
    """And the first run is that of an experiment without pairs."""
    changed = {"fagg": SMALL["fagg"] | {"runs": 3, "pair_runs": True}}
    changed |= {"floc": SMALL["floc"] | {"runs": 2}, "gmic": {"runs": 2}}
    paired = on_a_copy(lab, tmp_path, **changed)
    maps, read = (
        [step(paired, run=k) for k in range(3)] for step in (steps.saliency, steps.features)
    )
    for first, second, third in (maps, [each["test"]["h"] for each in read]):
        assert not np.array_equal(first, second) and np.array_equal(first, third)
    np.testing.assert_array_equal(maps[0], steps.saliency(lab))
    same = [pd.read_csv(steps.fagg(one, "E+S") / "predictions.csv") for one in (lab, paired)]
    pd.testing.assert_frame_equal(*same)
    again = [read_mark(steps.fagg(paired, "E+S", k) / stages.STAGE)["key"] for k in range(2)]
    assert again[0] != again[1]


def test_without_pairs_the_best_runs_on_validation_are_read_by_all(lab, tmp_path):
    changed = {"floc": SMALL["floc"] | {"runs": 2}, "gmic": {"runs": 2}}
    other = on_a_copy(lab, tmp_path, **changed)
    best = np.argmax([validation_auc(steps.gmic(other, run)) for run in range(2)])
    assert saliency_folder(other, 5) == other.runs / "saliency" / f"run{best}"
    best = np.argmax([validation_auc(steps.floc(other, run)) for run in range(2)])
    assert stored_outputs(other, 5)[0] == other.runs / "windows" / "outputs" / f"run{best}"


def test_an_experiment_with_other_maps_takes_over_store_and_networks(lab, tmp_path, monkeypatch):
    images, trained, run = steps.store(lab).images, [], training._Loop.run
    steps.fagg(lab, "E"), steps.fagg(lab, "E+S")
    maps = np.zeros((len(images), 2, 9, 6), dtype=np.float32)
    np.savez(tmp_path / "maps.npz", maps=maps, image_id=images["image_id"].to_numpy(str))
    other = bench(
        lab.runs.parent, fagg=SMALL["fagg"] | {"saliency_file": str(tmp_path / "maps.npz")}
    )
    other.runs = lab.runs.with_name("other")
    monkeypatch.setattr(training._Loop, "run", lambda loop: trained.append(loop) or run(loop))
    steps.fagg(other, "E"), steps.fagg(other, "E+S")
    assert len(trained) == 1, "E+S alone reads the maps"
    stored = [one.runs / "store" / "canvases" / "lesions.csv" for one in (lab, other)]
    assert stored[0].samefile(stored[1])


@pytest.mark.parametrize("how", ["exchanged", "outside"])
def test_a_control_of_s_trains_only_f_agg_with_s_anew(lab, tmp_path, monkeypatch, how):
    steps.fagg(lab, "E"), steps.fagg(lab, "E+S")
    trained, run = [], training._Loop.run
    monkeypatch.setattr(training._Loop, "run", lambda loop: trained.append(loop) or run(loop))
    other = on_a_copy(lab, tmp_path, fagg=SMALL["fagg"] | {"saliency_of": how})
    steps.fagg(other, "E"), steps.fagg(other, "E+S")
    assert len(trained) == 1
    own, given = steps.saliency(lab), steps.saliency(other)
    assert not np.array_equal(own, given)
    is_same = (given[:, None] == own[None]).all(axis=(2, 3, 4))
    assert not np.diagonal(is_same).any() or how == "outside"
    assert is_same.any(axis=1).all() == (how == "exchanged")


def test_phantoms_that_differ_in_their_pictures_alone_have_stores_of_their_own(lab):
    """Trap: the tables of a phantom are the same whatever its context says."""
    silent = SMALL["phantom"] | {"context_effect": 0.0}
    other = bench(lab.runs.parent, phantom=silent)
    other.runs = lab.runs.with_name("other_phantom")
    here, there = steps.store(lab), steps.store(other)
    assert here.lesions.equals(there.lesions)
    assert not np.array_equal(here.raw(0), there.raw(0))


def test_stored_maps_are_gmics_own_with_malignant_first(lab):
    """Trap: GMIC gives benign first; every map stored and stacked has malignant first."""
    stored, net = steps.saliency(lab)[3], steps.load_gmic(lab)
    with torch.no_grad():
        image = torch.from_numpy(steps.store(lab).standardised(3)[None, None])
        benign, malignant = net.saliency(image)[0].numpy()
    np.testing.assert_allclose(stored, [malignant, benign], atol=1e-6)
    assert np.abs(malignant - benign).max() > 1e-3, "a swap would show"


def test_trained_networks_are_loaded_ready_for_use(lab):
    net = steps.load_fagg(lab, "E+S")
    assert not net.training and net.channels == 34
    stored = steps.features(lab)["test"]
    windows = stored["windows"].head(5)
    h, logits = steps.outputs(lab, steps.floc(lab), lab.settings.floc, windows)
    np.testing.assert_allclose(h, stored["h"][:5], atol=1e-5)
    assert not steps.load_floc(lab).training and logits.shape == (5, 4)


def test_new_images_are_scored_as_an_experiments_own_whatever_is_known_of_them(
    lab, tmp_path, monkeypatch
):
    own, said = steps.predictions(lab), []
    monkeypatch.setattr(predict, "open_bench", lambda *_: lab)
    monkeypatch.setattr(lab, "progress", said.append)
    data = shutil.copytree(lab.runs / "phantom", tmp_path / "new films")
    lesions = pd.read_csv(data / "lesions.csv")
    patients = lesions["lesion_id"].str[:6]
    third = lesions[patients.isin(patients.unique()[::3])]  # of all splits
    third.to_csv(data / "lesions.csv", index=False)
    own = own[own["patient_id"].isin(patients[third.index])]
    assert set(own["split"]) == {"validation", "test"}
    page = predict.predict("smoke", data, output=tmp_path / "all")
    known = pd.read_csv(page.parent / "predictions.csv", float_precision="round_trip")
    phantom = "the networks were trained on a phantom"
    assert any(line.startswith(f"warning: {phantom}") for line in said)
    assert page.read_text(encoding="utf-8").count(f"Warning: {phantom}") == 1
    both = own.merge(known, on=["lesion_id", "patient_id", "model", "run"], suffixes=("", "_new"))
    assert len(both) == len(own) and (known["split"] == "test").all()
    assert both["y_score_new"].to_numpy() == pytest.approx(both["y_score"], rel=1e-6)
    assert (both["y_true_new"] == both["y_true"]).all()
    assert known["lesion_id"].nunique() > own["lesion_id"].nunique()  # training patients, too

    some = third.iloc[:3].assign(pathology="unknown")
    some.to_csv(data / "lesions.csv", index=False)
    page = predict.predict("smoke", data, output=tmp_path / "some")
    unknown = pd.read_csv(page.parent / "predictions.csv")
    assert unknown["y_true"].isna().all() and len(unknown) == 3 * len(own.groupby(["model", "run"]))
    same = unknown.merge(known, on=["lesion_id", "model", "run"], suffixes=("", "_known"))
    assert same["y_score"].to_numpy() == pytest.approx(same["y_score_known"], rel=1e-6)
    page = predict.predict("smoke", data, output=tmp_path / "half", scale=0.5)
    half = pd.read_csv(page.parent / "predictions.csv")
    assert (half["y_score"] - unknown["y_score"]).abs().max() > 1e-3
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 3
    with pytest.raises(InputError, match="neither malignant nor benign"):
        tables.table_3(tables.read_predictions(page.parent / "predictions.csv"))


def test_what_cannot_be_scored_is_told_in_one_line(lab, tiny_table, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "open_bench", lambda *_: bench(tmp_path))
    with pytest.raises(InputError, match="no trained gmic and f_loc.*study run smoke"):
        predict.predict("smoke", tiny_table)
    monkeypatch.setattr(predict, "open_bench", lambda *_: lab)
    lesions = pd.read_csv(tiny_table / "lesions.csv")
    lesions.iloc[:0].to_csv(tiny_table / "lesions.csv", index=False)
    with pytest.raises(InputError, match="no lesion on 24 images"):
        predict.predict("smoke", tiny_table)


@pytest.mark.parametrize(
    "trained, new, said",
    [
        ([0.05, 0.06, np.nan], [0.045, 0.07, np.nan], None),
        ([0.05, 0.06], [0.2, 0.3, 0.06], "2 of 3 images .* 0.25 mm .*, 0.05 to 0.06 mm"),
        ([0.2], [0.1], "1 of 1 images"),
        ([np.nan], [0.1], None),
        (None, [0.1], None),
    ],
)
def test_another_pixel_spacing_than_that_of_the_training_is_told(tmp_path, trained, new, said):
    place = tmp_path / "store" / "canvases"
    if trained:
        place.mkdir(parents=True)
        pd.DataFrame({"spacing_mm": trained}).to_csv(place / "images.csv")
    canvas = SimpleNamespace(scale=0.5)
    settings = SimpleNamespace(canvas=canvas)
    lab = SimpleNamespace(runs=tmp_path, is_phantom=False, settings=settings)
    images = SimpleNamespace(images=pd.DataFrame({"spacing_mm": new}))
    found = predict.warnings(lab, images, canvas.scale)
    assert len(found) == bool(said) and all(re.match(said, line) for line in found)


def test_a_scale_of_their_own_brings_new_images_to_the_spacing_of_the_training(tmp_path):
    place = tmp_path / "store" / "canvases"
    place.mkdir(parents=True)
    pd.DataFrame({"spacing_mm": [0.05]}).to_csv(place / "images.csv")
    one = SimpleNamespace(runs=tmp_path, is_phantom=False)
    one.settings = SimpleNamespace(canvas=SimpleNamespace(scale=0.125))
    images = SimpleNamespace(images=pd.DataFrame({"spacing_mm": [0.2]}))
    assert "--scale" in predict.warnings(one, images, 0.125)[0]
    assert predict.warnings(one, images, 0.5) == []


def test_scores_near_0_keep_their_order(lab, tmp_path, monkeypatch):
    """Trap: six digits after the point make one tie of all scores below 5e-7."""
    rows = steps.predictions(lab).head(3).assign(y_score=[1.2e-7, 3.4567891e-7, 0.5])
    rows.to_csv(tmp_path / "predictions.csv", index=False)
    monkeypatch.setattr(lab, "figures", tmp_path / "figures")
    found = lesion_scores._gathered(lab, [tmp_path], "predictions.csv")
    stored = pd.read_csv(lab.figures / "predictions.csv")
    assert found["y_score"].tolist() == rows["y_score"].tolist()
    assert stored["y_score"].tolist() == [1.2e-7, 3.4567891e-7, 0.5]


def test_a_real_set_without_a_folder_is_told_how_to_give_one(tmp_path, monkeypatch):
    monkeypatch.delenv("LESIONLIB_DATA", raising=False)
    lab = lab_module.Lab(load_experiment("mini_mias"), "stage")
    lab.runs = tmp_path
    with pytest.raises(InputError, match="DATA=<folder>"):
        steps.manifest(lab)
    monkeypatch.setenv("LESIONLIB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="does not exist.*DATA=<folder>"):
        steps.manifest(lab)


def test_a_set_that_was_moved_is_read_from_its_new_place(tiny_table, tmp_path, monkeypatch):
    """Trap: names, sizes and times of the files are the same after a move."""
    moved = tmp_path / "moved"
    for folder in (tiny_table, moved):
        lab = table_lab(tmp_path / "runs")
        monkeypatch.setenv("LESIONLIB_DATA", str(folder))
        assert steps.manifest(lab).root == folder
        if folder != moved:
            folder.rename(moved)


def test_a_set_that_was_copied_is_read_anew_and_trains_nothing_anew(
    tiny_table, tmp_path, monkeypatch
):
    """Trap: a copy, or a disk that was mounted again, gives every file another time."""
    monkeypatch.setenv("LESIONLIB_DATA", str(tiny_table))
    said, keys = [], []
    for _ in range(2):
        lab = table_lab(tmp_path / "runs")
        lab.progress = said.append
        steps.store(lab)
        keys.append(stages.key_of(lab.runs / "store"))
        for file in tiny_table.rglob("*"):
            os.utime(file, (1, 1))
    assert sum("images per second" in line for line in said) == 2 and keys[0] == keys[1]


def test_an_edited_data_folder_is_followed_unless_one_was_given(tmp_path, monkeypatch):
    monkeypatch.delenv("LESIONLIB_DATA", raising=False)
    folders = [tmp_path / name for name in ("first", "second", "given")]
    labs = [lab_module.Lab(Experiment(data={"folder": str(f)}), "stage") for f in folders[:2]]
    for lab, folder in zip(labs, folders, strict=False):
        lab.runs = tmp_path
        folder.mkdir()
        assert steps.data_folder(lab) == folder
    folders[2].mkdir()
    monkeypatch.setenv("LESIONLIB_DATA", str(folders[2]))
    assert steps.data_folder(labs[0]) == folders[2]
    monkeypatch.delenv("LESIONLIB_DATA")
    assert steps.data_folder(labs[0]) == folders[2], "the last one given is remembered"


def test_another_file_of_the_same_name_is_another_stage(tmp_path):
    """Trap: the same name may hold other first weights or other maps tomorrow."""
    file = tmp_path / "first.safetensors"
    seen = [file_state(str(file))]
    for content in ("a", "more"):
        file.write_text(content)
        seen.append(file_state(str(file)))
    assert seen[0] != seen[1] != seen[2] and file_state(None) is None


def test_data_can_be_folded_and_its_files_checksummed(tiny_table, tmp_path, monkeypatch):
    monkeypatch.setenv("LESIONLIB_DATA", str(tiny_table))
    tested = []
    for fold in (0, 1):
        data = {"folds": 2, "validation_share": 0.3, "sha256": True, "fold": fold}
        lab = table_lab(tmp_path / str(fold), **data)
        images = steps.manifest(lab).images
        tested += images.loc[images["split"] == "test", "patient_id"].unique().tolist()
        assert len((lab.runs / "manifest" / "files.sha256").read_text().splitlines()) == 24 + 20
    assert sorted(tested) == sorted(images["patient_id"].unique())


def test_a_download_completed_below_the_top_of_the_folder_is_noticed(tmp_path, monkeypatch):
    """Trap: the lists at the top stay the same while films arrive three folders below them."""
    place = tmp_path / "case" / "study" / "series"
    place.mkdir(parents=True)
    (tmp_path / "list.csv").write_text("a")
    (place / "1.dcm").write_bytes(b"half")
    seen = [steps.fingerprint(tmp_path)]
    assert steps.fingerprint(tmp_path) == seen[0]
    (place / ".hidden").write_bytes(b"left by the system")
    assert steps.fingerprint(tmp_path) == seen[0]
    (place / "2.dcm").write_bytes(b"new")
    seen.append(steps.fingerprint(tmp_path))
    (place / "1.dcm").write_bytes(b"half and half")
    seen.append(steps.fingerprint(tmp_path))
    os.utime(place / "1.dcm", ns=(1, 1))
    seen.append(steps.fingerprint(tmp_path))
    assert len(set(seen)) == 4
    monkeypatch.setattr(steps.data, "MOST_ENTRIES", 2)  # case and list.csv
    few = steps.fingerprint(tmp_path)
    (place / "3.dcm").write_bytes(b"beyond what is looked at")
    assert steps.fingerprint(tmp_path) == few


def test_a_mended_file_is_read_anew(tiny_table, tmp_path, monkeypatch):
    """Trap: the tables are the same, so that nothing else shows that the film was repaired."""
    monkeypatch.setenv("LESIONLIB_DATA", str(tiny_table))
    lab = table_lab(tmp_path)
    film = tiny_table / "png" / "P05_CC.png"
    whole = film.read_bytes()
    film.write_bytes(whole[:900])
    for _ in range(2):
        with pytest.raises(InputError, match="1 images and . lesions cannot be used"):
            steps.store(lab)
    film.write_bytes(whole)
    assert len(steps.store(lab)) == 24


# ------------------------------------------------------------------ what an edit of the code redoes
def arms(wanted) -> set[str]:
    """The stages of the f_agg whose combination reads what is wanted, on either grid of cells."""
    papers = {f"fagg/{arm}/run0" for arm in COMBINATIONS if wanted(arm)}
    return papers | {f"fagg_true_centre/{a}/run0" for a in COMBINATIONS if a != "S" and wanted(a)}


FAGG = arms(lambda arm: True)
OF_MAPS = {"saliency/run0"} | arms(lambda arm: "S" in arm)
OF_GMIC = {"gmic/run0"} | OF_MAPS
OF_H = {"windows/outputs/run0"} | arms(lambda arm: "E" in arm)
OF_FLOC = {"floc/run0"} | OF_H
LOCATION = {"windows/location/nominal", "windows/location/true_centre"}
OF_WINDOWS = {"windows/evaluation", "windows/training"} | LOCATION | OF_FLOC | FAGG
EDITS = {
    "data_manifest.phantom.render.render": {"manifest"},
    "data_manifest.table.reader.read": {"manifest"},
    "data_manifest.splits.split_by_settings": {"manifest"},
    "data_manifest.images.prepare.prepare": {"store"} | OF_WINDOWS | OF_GMIC,
    "lesionlib.sampling.sample_lesion_windows": OF_WINDOWS,
    "lesionlib.scoring.known_lesions": OF_WINDOWS,
    "lesionlib.scoring.window_scores": OF_FLOC | FAGG,
    "lesionlib.windows.location_maps": LOCATION | FAGG,
    "lesionlib.patches.extract_patches": OF_FLOC,
    "lesionlib.models.floc.FLoc": OF_FLOC,
    "lesionlib.models.gmic.network.GMIC": OF_GMIC,
    "lesionlib.models.gmic._maps.malignant_first": OF_MAPS,
    "lesionlib.tasks.gmic.GMICTask": OF_GMIC,
    "lesionlib.training.fit": OF_FLOC | OF_GMIC | FAGG,
    "lesionlib.maps.stack": FAGG,
    "lesionlib.models.fagg.FAgg": FAGG,
    "study.steps.context_network._gmic_saliency": OF_MAPS,
    "study.steps.data.data_folder": set(),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the code whose definitions and texts can be edited."""
    place = tmp_path_factory.mktemp("tree")
    for room in ("lesionlib", "data_manifest", "study", "notebooks"):
        shutil.copytree(freshness.HOME / room, place / room)
    return place


@pytest.fixture
def edit(tree):
    """edit(file, change) writes change(text); each file is put back at the end."""
    originals = {}

    def _edit(file: Path, change):
        originals.setdefault(file, file.read_text())
        file.write_text(change(originals[file]))

    yield _edit
    for file, text in originals.items():
        file.write_text(text)


def file_of(tree: Path, name: str) -> Path:
    """The file of a module named in full."""
    place = tree / name.replace(".", "/")
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def insert(source: str, name: str) -> str:
    """A source with one more line in the innermost body of a definition."""
    (node,) = (n for n in ast.parse(source).body if getattr(n, "name", "") == name)
    nested = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    last = (nested[0] if isinstance(node, ast.FunctionDef) and nested else node).body[-1]
    line = min(n.lineno for n in (last, *getattr(last, "decorator_list", ())))
    lines = source.splitlines(keepends=True)
    lines.insert(line - 1, " " * last.col_offset + "edited = True\n")
    return "".join(lines)


@pytest.fixture
def redone(lab, tree, tmp_path, monkeypatch):
    """Gives the stages that the code in the tree would do again; nothing is computed."""
    steps.predictions(lab), steps.predictions_other_cells(lab)
    other, found = on_a_copy(lab, tmp_path), set()

    def carry_out(folder, compute, mark, *_):
        name = folder.relative_to(other.runs).as_posix()
        found.add(name)
        # another reader seldom reads another manifest: what it read is what counts
        content = stages.key_of(folder) if name == "manifest" else mark["key"]
        write_mark(folder / stages.STAGE, mark | {"complete": True, "content": content})

    def work() -> set[str]:
        steps.predictions(other), steps.predictions_other_cells(other)
        return found

    monkeypatch.setattr(stages, "code_digest", partial(freshness.code_digest, root=tree))
    monkeypatch.setattr(stages, "_carry_out", carry_out)
    return work


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_line_redoes_what_runs_it_and_nothing_else(tree, edit, redone, name):
    module, _, definition = name.rpartition(".")
    edit(file_of(tree, module), partial(insert, name=definition))
    assert redone() == EDITS[name]


def test_prose_and_the_papers_claims_redo_nothing(tree, edit, redone):
    """Of the notebooks, 00 and 13 show the ledger of the claims."""

    def keys() -> dict[str, str]:
        notebooks = [file.relative_to(tree) for file in (tree / "notebooks").glob("*.ipynb")]
        return {file.name[:2]: freshness.code_digest(file, root=tree) for file in notebooks}

    before = keys()
    for file in tree.rglob("*.py"):
        edit(file, lambda text: text.replace('"""', '"""Edited.  ', 1) + "\n# a remark\n")
    assert redone() == set() and keys() == before
    edit(tree / "study" / "paper" / "claims.csv", lambda text: text + "\n")
    assert redone() == set()
    now = keys()
    assert {name for name in now if now[name] != before[name]} == {"00", "13"}


def test_every_module_that_a_stage_reaches_is_in_its_key(lab, tree, edit, monkeypatch):
    seen = {}
    record = lambda *roots: seen.setdefault(roots, freshness.code_digest(*roots))  # noqa: E731
    monkeypatch.setattr(stages, "code_digest", record)
    steps.predictions(bench(lab.runs.parent))
    reached = {m: roots for roots in seen for m, _ in freshness.closure(*roots)}
    assert len(reached) > 30
    for module, roots in reached.items():
        file = file_of(tree, module)
        edit(file, lambda text: text + "\nassert True\n")
        assert freshness.code_digest(*roots, root=tree) != seen[roots], module
        edit(file, str)


def test_windows_under_other_choices_begin_with_those_that_judge(lab, monkeypatch):
    monkeypatch.setattr(other_choices, "WINDOWS", 5)
    monkeypatch.setattr(other_choices, "LESIONS", 6)
    scored, table = steps.predictions(lab), steps.sensitivity(lab)
    upright, turned = (table[table["turned"] == x] for x in (False, True))
    judged = upright[upright["number"] < 2].groupby("lesion_id")
    for model in ("E", "E+S"):
        known = scored.query("split == 'test' and run == 0 and model == @model")
        known = known.set_index("lesion_id")["y_score"]
        np.testing.assert_allclose(judged[model].mean()[known.index], known, atol=1e-6)
    part = table[table["part"]]
    some = part.groupby("patient_id")["lesion_id"].nunique()
    whole = table[table["patient_id"].isin(some.index)].groupby("patient_id")["lesion_id"].nunique()
    assert some.sum() >= 6 and some.equals(whole), "patients with all their lesions"
    counts = part.groupby(["lesion_id", "turned"])["number"].agg(["count", "max"])
    assert set(counts.loc[(slice(None), False), "count"]) == {5}
    assert set(counts.loc[(slice(None), True), "max"]) == {1} and turned["part"].all()
    assert table["overlap"].between(0, 1, inclusive="right").all()


@pytest.mark.parametrize("patches", ["cpu", "device"])
def test_outputs_of_windows_are_the_same_wherever_patches_are_cut(patches, monkeypatch):
    monkeypatch.setattr(patch_network, "AT_ONCE", 2)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64)).astype(np.uint8)
    images, net = ArrayStore(pixels), FLoc("densenet_mini").eval()
    windows = window_table(image=[1, 0, 1], row=32, col=[20, 32, 60], side=[28, 40, 50])
    settings = Experiment(windows=Windows(patch=32), compute=Compute(patches=patches))
    h, logits = patch_network.window_outputs(net, images, windows, settings)
    with torch.no_grad():
        wanted = net(torch.from_numpy(extract_patches(images, windows, 32)))
    for found, expected in zip((logits, h), wanted, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_model_card_names_every_network_its_file_and_its_auc(lab):
    found = steps.results(lab)
    text = (lab.figures / "MODEL_CARD.md").read_text()
    networks = ["floc/run0", "gmic/run0", *(f"fagg/{c}/run0" for c in COMBINATIONS)]
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line[:1] == "|"}
    for name in networks:
        file = lab.runs / name / "best.safetensors"
        assert hashlib.sha256(file.read_bytes()).hexdigest() in rows[name]
    weights = torch_load(lab.runs / "fagg" / "E+S" / "run0" / "best.safetensors")
    assert f"| {sum(w.numel() for w in weights.values())} |" in re.sub(
        " +", " ", rows["fagg/E+S/run0"]
    )
    assert set(rows) >= {*networks, *found["models"], *found["counts"]}
    assert all(f"{found['models']['E+S'][key]:.3f}" in rows["E+S"] for key in ("mean", "low_both"))
    assert "Not for clinical use" in text and "made up" in text
    assert yaml.safe_load(text.partition("```yaml")[2].partition("```")[0])["floc"]["epochs"] == 2
    note = (lab.runs / "written" / "stage.json").read_text()
    assert "MODEL_CARD.md" in note and "results.json" in note
