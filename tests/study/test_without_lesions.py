"""An export without lesions: its images are looked at, its tables wait to be completed."""

import shutil

import pandas as pd
import pytest
from made_up_dicom import breast, write

from data_manifest import registry
from lesionlib.errors import InputError
from study import steps
from study.lab import Lab
from study.settings import Experiment, load_experiment


@pytest.fixture
def lab(tmp_path, monkeypatch):
    for n in range(4):
        tags = {"SOPInstanceUID": f"1.2.{n}", "PatientID": f"P{n // 2}"}
        tags |= {"StudyInstanceUID": f"1.{n // 2}", "ViewPosition": ("CC", "MLO")[n % 2]}
        write(tmp_path / "export" / f"IM{n}", breast(), **tags)
    monkeypatch.setenv("LESIONLIB_DATA", str(tmp_path / "export"))
    base = load_experiment("smoke").model_dump()
    canvas = {"rows": 192, "cols": 128, "background": "zero", "scale": 1.0}
    base["data"] |= {"dataset": "dicom_folder"}
    base["canvas"] |= canvas
    lab = Lab(Experiment(**base), "01")
    lab.runs, lab.figures = tmp_path / "runs", tmp_path / "figures"
    return lab


def test_images_are_stored_and_followed_and_training_is_refused_in_one_line(lab):
    assert (steps.manifest(lab).images["split"] == "").all() and len(steps.store(lab)) == 4
    i, place = steps.followed_place(lab)
    assert i == 0 and place.mask.all()
    rows, cols = place.row0 // 4, place.col0 // 4
    assert steps.store(lab).breast(0)[rows : rows + 8, cols : cols + 8].all()
    for step in (steps.evaluation_windows, steps.gmic, steps.floc):
        with pytest.raises(InputError, match="no lesion .*to_complete/lesions.csv"):
            step(lab)


@pytest.mark.parametrize("dataset", ["dicom_folder", "table"])
def test_the_tables_to_complete_are_read_once_completed(lab, tmp_path, dataset):
    steps.manifest(lab)
    shutil.copytree(lab.runs / "to_complete", tmp_path / "export", dirs_exist_ok=True)
    file = tmp_path / "export" / "lesions.csv"
    lesions = pd.read_csv(file, dtype=str, keep_default_na=False)
    assert set(lesions["pathology"]) == {""} and lesions["file"].tolist()[0] == "IM0"
    box = {"pathology": "malignant", "geom": "box", "x0": 10, "y0": 60, "x1": 30, "y1": 90}
    lesions.head(1).assign(**box).to_csv(file, index=False)
    found = registry.read(dataset, tmp_path / "export")
    assert len(found.images) == 4 and found.lesions["pathology"].tolist() == ["malignant"]


def test_a_table_that_the_user_changed_is_never_written_over(lab, tmp_path, monkeypatch):
    steps.manifest(lab)
    place, said = lab.runs / "to_complete", []
    (place / "lesions.csv").write_bytes("image_id;pathology\nä;benign\n".encode("latin-1"))
    mine, images = (place / "lesions.csv").read_bytes(), (place / "images.csv").read_text()
    for number in (7, 8):  # a changed export, twice: what is kept stays known as the user's
        tags = {"SOPInstanceUID": f"1.2.{number}", "PatientID": f"P{number}"}
        write(tmp_path / "export" / f"IM{number}", breast(), **tags, StudyInstanceUID=f"1.{number}")
        again = Lab(lab.settings, "01")
        again.runs, again.figures = lab.runs, lab.figures
        monkeypatch.setattr(again, "progress", said.append)
        assert len(steps.manifest(again).images) == number - 2
        assert (place / "lesions.csv").read_bytes() == mine
        assert (place / "images.csv").read_text().count("\n") == images.count("\n") + number - 6
    told = [line for line in said if "to_complete" in line]
    assert len(told) == 2 and all("lesions.csv has your changes and stays" in line for line in told)
