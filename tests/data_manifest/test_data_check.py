"""data-check: what it prints and what it calls a fault, on the tiny set of the table format."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from data_manifest import expected_counts as expected
from data_manifest import registry
from data_manifest.data_check import data_check
from data_manifest.table import reader as table
from study.__main__ import main
from study.settings import Canvas, Data, Experiment, settings_for

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
    (tiny_table / "png" / "P06_CC.png").write_bytes(source)  # training, mirrored by its side
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
    images = pd.read_csv(tiny_table / "images.csv", dtype=str, keep_default_na=False)
    images.loc[images["patient_id"] == "P10", "split"] = "training"
    images.to_csv(tiny_table / "images.csv", index=False)
    (fault,) = data_check("table", tiny_table, SMALL)
    assert fault.startswith("split test has 0 malignant and 2 benign lesions")


def test_a_set_without_known_truth_has_no_splits_and_no_fault(tiny_table, capsys):
    lesions = pd.read_csv(tiny_table / "lesions.csv", dtype=str, keep_default_na=False)
    lesions.assign(pathology="unknown").to_csv(tiny_table / "lesions.csv", index=False)
    assert data_check("table", tiny_table, SMALL) == []
    assert lines_below("splits", capsys.readouterr().out)[0].startswith("none: no lesion")


@pytest.mark.parametrize(("change", "code"), [(lambda f: None, 0), (lambda f: f.unlink(), 1)])
def test_the_command_and_its_exit_codes(tiny_table, capsys, change, code):
    change(tiny_table / "png" / "P05_CC.png")
    assert main(["data-check", "table", "--data", str(tiny_table), "-p", "name", "Tiny"]) == code
    assert capsys.readouterr().out.startswith(f"Tiny in {tiny_table}")


def test_what_cannot_be_checked_ends_in_one_line(tiny_table, capsys):
    for words in (["tabel", "--data", "x"], ["phantom", "--data", str(tiny_table)], ["table"]):
        assert main(["data-check", *words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and "unknown data set" in said[0] and "is drawn" in said[1]


def test_a_set_is_read_as_the_experiment_of_its_name_says():
    assert settings_for("mini_mias").canvas.background == "film"
    assert settings_for("table").name == ""
    assert settings_for("table", "demo").name == "demo"
