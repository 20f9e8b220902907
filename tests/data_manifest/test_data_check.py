"""data-check: what it prints and what it calls a fault, on the tiny set of the table format."""

import json
import os
import subprocess
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_table import edit, write_tiny_table

from data_manifest import expected_counts as expected
from data_manifest import registry
from data_manifest.data_check import _origin, data_check
from data_manifest.table import reader as table
from study.__main__ import main
from study.settings import Canvas, Data, Experiment, project_root, settings_for

SMALL = Experiment(
    canvas=Canvas(rows=192, cols=128, buffer=8), windows={"side_min": 24, "side_max": 72}
)


def lines_below(title, text):
    """The lines of a section, stripped."""
    return [line.strip() for line in text.split(f"\n{title}")[1].split("\n\n")[0].splitlines()[1:]]


def test_a_fine_set_is_told_in_full(tiny_table, capsys):
    assert data_check("table", tiny_table, SMALL, pixels=True) == []
    text = capsys.readouterr().out
    flow = lines_below("from what the set holds", text)
    assert [line.split()[-1] for line in flow[1:]] == ["24", "24", "20", "20"]
    splits = lines_below("splits (training and validation and test as the set brings them)", text)
    assert splits[1].split() == ["patients", "6", "3", "3", "12"]
    assert "unusable, of 24 images" in text and lines_below("unusable", text) == ["none"]
    assert lines_below("near-duplicates of different patients", text) == ["none"]
    assert lines_below("warnings", text) == ["none"]
    assert lines_below("result", text) == ["no fault found"]


def small_films(folder, size=16):
    """The set with films of a few px, of different women whose breasts have one shape."""
    images = pd.read_csv(folder / "images.csv", dtype=str, keep_default_na=False)
    y, x = np.mgrid[0:160, 0:128] + 0.5
    inside = ((y - 80) / 70) ** 2 + (x / 90) ** 2 < 1
    for number, row in images.iterrows():
        rng = np.random.default_rng(number)
        coarse = rng.integers(90, 250, (160 // size, 128 // size)).astype(np.uint8)
        pixels = np.where(inside, Image.fromarray(coarse).resize((128, 160), 3), 0)
        pixels = pixels[:, ::-1] if row["laterality"] == "R" else pixels
        Image.fromarray(pixels.astype(np.uint8)).save(folder / row["file"])


def test_small_films_on_the_papers_canvas_are_no_duplicates(tiny_table, capsys):
    """Trap: a film of 160 px covers three px of a canvas's thumbnail; all look the same there."""
    small_films(tiny_table)
    assert data_check("table", tiny_table, Experiment(), pixels=True) == []
    found = lines_below("near-duplicates of different patients", capsys.readouterr().out)
    assert found == ["none"]


def test_an_image_full_of_breast_is_a_fault(tiny_table, capsys):
    file = tiny_table / "png" / "P05_CC.png"
    Image.fromarray(np.random.default_rng(0).integers(9, 255, (160, 128), np.uint8)).save(file)
    (fault,) = data_check("table", tiny_table, SMALL, pixels=True)
    assert fault.startswith("1 images or outlines cannot be used, first image P05_CC")
    assert "of the whole image" in capsys.readouterr().out


def test_the_splits_name_whose_they_are(tiny_table):
    manifest, mine = table.read(tiny_table), SMALL.model_copy(update={"name": "mine"})
    folded = mine.model_copy(update={"data": Data(folds=3, fold=1)})
    assert _origin(["test"], manifest, folded) == "fold 1 of 3, as experiment mine"
    assert _origin([], manifest, SMALL) == "drawn by patient, by default settings"
    some = "test as the set brings them, the rest drawn as experiment mine"
    assert _origin(["test"], manifest, mine) == some


def test_make_hands_an_experiment_on_where_one_is_named():
    words = ["make", "-n", "data-check", "DATASET=table", "DATA=x", "READY="]
    environment = {name: value for name, value in os.environ.items() if name != "EXPERIMENT"}
    run = partial(subprocess.check_output, cwd=project_root(), env=environment, text=True)
    assert "--experiment" not in run(words) and "--experiment" in run([*words, "EXPERIMENT=mine"])


def test_missing_and_damaged_files_are_faults(tiny_table, capsys):
    (tiny_table / "png" / "P05_CC.png").unlink()
    (tiny_table / "png" / "P06_CC.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    (tiny_table / "png" / "P01_CC_lesion1.png").write_bytes(b"")
    quick = data_check("table", tiny_table, SMALL)
    assert quick == ["1 images without a usable file, first P05_CC"]
    _, damaged = data_check("table", tiny_table, SMALL, pixels=True)
    assert damaged.startswith("3 images or outlines cannot be used, first lesion P01_1@P01_CC")
    assert "image P06_CC: PNG header not readable" in capsys.readouterr().out
    lenient = SMALL.model_copy(update={"data": Data(damaged="exclude")})
    assert len(data_check("table", tiny_table, lenient, pixels=True)) == 1


def test_one_film_under_two_names_is_a_fault_where_it_leaks(tiny_table, capsys):
    source = (tiny_table / "png" / "P05_CC.png").read_bytes()  # training
    (tiny_table / "png" / "P09_MLO.png").write_bytes(source)  # validation
    (tiny_table / "png" / "P06_CC.png").write_bytes(source)  # training, a right breast
    left = {"chest_wall": lambda f: f["chest_wall"].mask(f["image_id"] == "P06_CC", "left")}
    edit(tiny_table, "images.csv", lambda f: f.assign(**left))
    faults = data_check("table", tiny_table, SMALL, pixels=True)
    assert faults == ["2 pairs of near-duplicates are in different splits"]
    pairs = lines_below("near-duplicates of different patients", capsys.readouterr().out)
    assert len(pairs) == 1 + 3  # the pair within training is shown, too


def test_counts_that_differ_are_faults(tiny_table, tmp_path, monkeypatch, capsys):
    (tmp_path / "table").mkdir()
    file = tmp_path / "table" / "expected_counts.json"
    file.write_text(json.dumps({"images": 25, "patients": 12}))
    monkeypatch.setattr(expected, "DATA_MANIFEST", tmp_path)
    counted = replace(table.read(tiny_table), counted={"images": 24})
    monkeypatch.setattr(registry, "read_as_it_is", lambda *_, **__: counted)
    assert data_check("table", tiny_table, SMALL) == ["images = 24, expected 25"]
    counts = lines_below("counts", capsys.readouterr().out)
    assert counts[1].split() == ["images", "25", "24", "differs"]
    assert counts[2].split() == ["patients", "12", "-", "not", "counted"]


def test_splits_without_both_kinds_are_a_fault(tiny_table):
    moved = {"split": lambda f: f["split"].mask(f["patient_id"] == "P10", "training")}
    edit(tiny_table, "images.csv", lambda f: f.assign(**moved))
    (fault,) = data_check("table", tiny_table, SMALL)
    assert fault.startswith("split test has 0 malignant and 2 benign lesions")


def test_a_set_without_known_truth_has_no_splits_and_no_fault(tiny_table, capsys):
    edit(tiny_table, "lesions.csv", lambda f: f.assign(pathology="unknown"))
    assert data_check("table", tiny_table, SMALL) == []
    assert lines_below("splits", capsys.readouterr().out)[0].startswith("none: no lesion")


@pytest.mark.parametrize(("change", "code"), [(lambda f: None, 0), (lambda f: f.unlink(), 1)])
def test_the_command_and_its_exit_codes(tiny_table, capsys, change, code):
    change(tiny_table / "png" / "P05_CC.png")
    assert main(["data-check", "table", "--data", str(tiny_table), "-p", "name", "Tiny"]) == code
    assert capsys.readouterr().out.startswith(f"Tiny in {tiny_table}")


def test_the_command_writes_the_page_and_says_where(tiny_table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("study.settings.runs_folder", lambda name: tmp_path / "runs" / name)
    words = ["data-check", "table", "--data", str(tiny_table), "--pixels", "--cores", "1"]
    assert main(words) == 0
    (page,) = (tmp_path / "runs/data-check/table").glob("tiny-*/outlines.html")
    assert lines_below("every outline on its film", capsys.readouterr().out) == [str(page)]
    assert page.read_text().count("<figure>") == 20
    other = write_tiny_table(tmp_path / "other" / tiny_table.name)
    assert main([*words[:2], "--data", str(other), *words[4:]]) == 0
    assert len(list((tmp_path / "runs/data-check/table").glob("tiny-*/outlines.html"))) == 2


def test_an_outline_that_is_cut_is_told_though_the_table_states_no_size(tiny_table, capsys):
    lesions = pd.read_csv(tiny_table / "lesions.csv", dtype=str, keep_default_na=False)
    box = {"geom": "box", "mask_file": "", "x0": "-5", "y0": "60", "x1": "15", "y1": "80"}
    lesions.loc[0, [*box]] = [*box.values()]
    lesions.to_csv(tiny_table / "lesions.csv", index=False)
    edit(tiny_table, "images.csv", lambda f: f.drop(columns=["rows", "cols"]))
    assert data_check("table", tiny_table, SMALL, pixels=True) == []
    told = "1 lesions: the outline is cut at the edge of its image, first P01_1@P01_CC"
    assert lines_below("warnings", capsys.readouterr().out) == [told]


def test_what_cannot_be_checked_ends_in_one_line(tiny_table, capsys):
    for words in (["tabel", "--data", "x"], ["phantom", "--data", str(tiny_table)], ["table"]):
        assert main(["data-check", *words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and "unknown data set" in said[0] and "is drawn" in said[1]


def test_a_set_is_read_as_the_experiment_of_its_name_says():
    assert settings_for("mini_mias").canvas.background == "film"
    assert settings_for("table").name == ""
    assert settings_for("table", "demo").name == "demo"
