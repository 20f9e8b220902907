"""The pipeline on a phantom of a few patients: joined, reused, resumed, and repeated to the bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lesionlib import lab as lab_module
from lesionlib import pipeline
from lesionlib.errors import InputError
from lesionlib.experiment import Experiment, load_experiment
from lesionlib.maps import COMBINATIONS

SMALL = {
    "phantom": {"training": 10, "negative": 3, "validation": 8, "test": 10},
    "floc": {"epoch": (15, 15, 10, 10), "epochs": 2, "runs": 1},
    "fagg": {"epoch": (20, 20, 10, 10), "epochs": 2, "runs": 1},
    "evaluation": {"windows_per_lesion": 2},
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


def test_predictions_hold_every_model_split_and_lesion(lab):
    table = pipeline.predictions(lab)
    assert list(table) == ["lesion_id", "patient_id", "split", "y_true", "model", "run", "y_score"]
    assert set(table["model"]) == {"f_loc", *COMBINATIONS}
    assert set(table["split"]) == {"validation", "test"}
    assert table.groupby("model").size().nunique() == 1
    assert table["y_score"].between(0, 1).all() and not table.duplicated(
        ["lesion_id", "model", "run"]
    ).any()
    lesions = pipeline.store(lab).lesions.set_index("lesion_id")
    truth = lesions.loc[table["lesion_id"], "pathology"].to_numpy() == "malignant"
    assert (truth == table["y_true"].to_numpy(bool)).all()


def test_a_second_start_reuses_everything(lab):
    first = pipeline.predictions(lab)
    stamps = {p: p.stat().st_mtime_ns for p in lab.runs.rglob("*") if p.is_file()}
    pd.testing.assert_frame_equal(pipeline.predictions(lab), first)
    assert {p: p.stat().st_mtime_ns for p in lab.runs.rglob("*") if p.is_file()} == stamps


def test_the_same_seed_gives_the_same_scores_in_another_place(lab, tmp_path):
    other = bench(tmp_path)
    pd.testing.assert_frame_equal(pipeline.predictions(other), pipeline.predictions(lab))
    np.testing.assert_array_equal(pipeline.saliency(other), pipeline.saliency(lab))


def test_no_patient_is_in_two_splits(lab):
    assert (pipeline.store(lab).images.groupby("patient_id")["split"].nunique() == 1).all()


def test_features_close(lab):
    found = pipeline.features(lab)
    windows = found["training"]["windows"]
    assert set(windows["label"]) == {0, 1, 2, 3}
    assert (pipeline.store(lab).images["split"].to_numpy()[windows["image"]] == "training").all()
    for part in found.values():
        assert len(part["windows"]) == len(part["h"]) == len(part["location"])
    # at evaluation nothing is drawn but the stored windows, and they lie upright
    assert (found["test"]["windows"]["angle"] == 0).all()


def test_the_followed_lesion_is_a_malignant_test_lesion_alone_on_its_image(lab):
    table = pipeline.store(lab).lesions
    row = table.loc[pipeline.followed_lesion(lab)]
    assert (row["split"], row["pathology"]) == ("test", "malignant")
    assert (table["image"] == row["image"]).sum() == 1


def test_a_changed_setting_redoes_what_depends_on_it_and_nothing_else(lab, tmp_path):
    other = bench(lab.runs.parent, fagg=SMALL["fagg"] | {"learning_rate": 2e-3})
    before = (lab.runs / "floc" / "run0" / "best.safetensors").stat().st_mtime_ns
    old = pd.read_csv(pipeline.fagg(lab, "E") / "predictions.csv")
    new = pd.read_csv(pipeline.fagg(other, "E") / "predictions.csv")
    assert (lab.runs / "floc" / "run0" / "best.safetensors").stat().st_mtime_ns == before
    assert not np.allclose(old["y_score"], new["y_score"])


def test_a_searched_learning_rate_is_the_best_trials(lab):
    found = pipeline.search(lab, "fagg")
    other = bench(lab.runs.parent, fagg=SMALL["fagg"] | {"learning_rate": "search"})
    best = found.loc[found["validation_auc"].idxmax(), "learning_rate"]
    assert pipeline.learning_rate(other, "fagg") == best


def test_a_trial_alone_is_a_trial_of_the_search(lab):
    whole = pipeline.search(lab, "fagg")
    alone = pipeline.search(lab, "fagg", trial=1)
    pd.testing.assert_frame_equal(alone, whole.iloc[[1]].reset_index(drop=True))


def test_the_other_cells_leave_the_papers_scores_alone(lab):
    before = (lab.figures / "predictions.csv").read_bytes()
    moved = pipeline.predictions_other_cells(lab)
    table = pipeline.predictions(lab)
    assert (lab.figures / "predictions.csv").read_bytes() == before
    assert set(moved["model"]) == set(COMBINATIONS) - {"S"} and list(moved) == list(table)
    pair = [t.query("model == 'E'").set_index("lesion_id")["y_score"] for t in (moved, table)]
    assert set(pair[0].index) == set(pair[1].index) and not np.allclose(pair[0], pair[1])
    nominal, true = (pipeline.features(lab, c)["test"] for c in ("nominal", "true_centre"))
    np.testing.assert_array_equal(nominal["h"], true["h"])
    assert not np.array_equal(nominal["location"], true["location"])


def test_without_the_setting_there_are_no_other_cells(lab):
    other = bench(lab.runs.parent, fagg=SMALL["fagg"] | {"both_cells": False})
    moved = pipeline.predictions_other_cells(other)
    assert len(moved) == 0 and list(moved) == list(pipeline.predictions(other))


def test_saliency_of_another_network_comes_from_a_file(lab, tmp_path):
    images = pipeline.store(lab).images
    own = np.random.default_rng(1).random((len(images), 2, 9, 6), dtype=np.float32)
    file = tmp_path / "maps.npz"
    np.savez(file, maps=own[::-1], image_id=images["image_id"].to_numpy(str)[::-1])
    other = bench(tmp_path, fagg=SMALL["fagg"] | {"saliency_file": str(file)})
    np.testing.assert_array_equal(pipeline.saliency(other), own)
    assert not (other.runs / "gmic").exists(), "GMIC is not needed"


def test_trained_networks_are_loaded_ready_for_use(lab):
    net = pipeline.load_fagg(lab, "E+S")
    assert not net.training and net.channels == 34
    stored = pipeline.features(lab)["test"]
    windows = stored["windows"].head(5)
    h, logits = pipeline.outputs(lab, pipeline.floc(lab), lab.settings.floc, windows)
    np.testing.assert_allclose(h, stored["h"][:5], atol=1e-5)
    assert not pipeline.load_floc(lab).training and logits.shape == (5, 4)


def test_evaluation_windows_remember_what_was_impure(lab):
    """Trap: a table that is read back loses its notes where the file format drops them."""
    assert pipeline.evaluation_windows(lab).attrs["impure"] == []


def test_a_real_set_without_a_folder_is_told_how_to_give_one(tmp_path, monkeypatch):
    monkeypatch.delenv("LESIONLIB_DATA", raising=False)
    lab = lab_module.Lab(load_experiment("mini_mias"), "stage")
    lab.runs = tmp_path
    with pytest.raises(InputError, match="DATA=<folder>"):
        pipeline.manifest(lab)
    monkeypatch.setenv("LESIONLIB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="does not exist.*DATA=<folder>"):
        pipeline.manifest(lab)


def test_data_can_be_folded_and_its_files_checksummed(tiny_table, tmp_path, monkeypatch):
    monkeypatch.setenv("LESIONLIB_DATA", str(tiny_table))
    data = {"dataset": "table", "folds": 2, "validation_share": 0.3, "sha256": True}
    tested = []
    for fold in (0, 1):
        lab = lab_module.Lab(Experiment(name="made", data={**data, "fold": fold}), "stage")
        lab.runs = tmp_path / str(fold)
        images = pipeline.manifest(lab).images
        tested += images.loc[images["split"] == "test", "patient_id"].unique().tolist()
        assert len((lab.runs / "manifest" / "files.sha256").read_text().splitlines()) == 24 + 20
    assert sorted(tested) == sorted(images["patient_id"].unique())
