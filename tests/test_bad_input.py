"""Every mistake of a user ends in one clear line with its remedy and an exit code that is not 0."""

from __future__ import annotations

import pandas as pd
import pytest
from PIL import Image

from data_manifest.images import build
from study.__main__ import main
from study.settings import project_root

SETTINGS = """\
data: {dataset: table}
canvas: {rows: 192, cols: 128, buffer: 8}
windows: {side_min: 16, side_max: 48, patch: 32}
compute: {workers: 1}
"""


@pytest.fixture
def project(tmp_path, tiny_table, monkeypatch):
    """A project of its own with a valid set in ``data/`` and the experiment ``mine``."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(SETTINGS)
    tiny_table.rename(tmp_path / "data")
    monkeypatch.setenv("LESIONLIB_ROOT", str(tmp_path))
    monkeypatch.setenv("LESIONLIB_DATA", str(tmp_path / "data"))
    project_root.cache_clear()
    yield tmp_path
    project_root.cache_clear()


def edit(project, name: str, change) -> None:
    file = project / "data" / f"{name}.csv"
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(file, index=False)


def set_value(name: str, row: int, column: str, value: str):
    def spoil(project):
        edit(project, name, lambda table: table.__setitem__(
            column, [value if k == row else v for k, v in enumerate(table[column])]))  # fmt: skip

    return spoil


def missing_image(project):
    (project / "data" / "png" / "P01_CC.png").unlink()


def truncated_image(project):
    file = project / "data" / "png" / "P01_CC.png"
    file.write_bytes(file.read_bytes()[:900])


def mask_of_another_size(project):
    Image.new("L", (300, 300), 255).save(project / "data" / "png" / "P01_CC_lesion1.png")


def outline_outside(project):
    def change(table):
        for column in ("x0", "y0", "x1", "y1"):
            table[column] = ""
        table.loc[0, ["geom", "mask_file"]] = ["box", ""]
        table.loc[0, ["x0", "y0", "x1", "y1"]] = ["500", "500", "540", "540"]

    edit(project, "lesions", change)


def one_kind_in_test(project):
    def change(table):
        table.loc[table["lesion_id"] == "P11_1", "pathology"] = "malignant"

    edit(project, "lesions", change)


def no_folder(project):
    for file in sorted((project / "data").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (project / "data").rmdir()


def settings(text: str):
    return lambda project: (project / "experiments" / "mine.yaml").write_text(text)


CASES = {
    "no data folder": (no_folder, ["does not exist", "DATA=<folder>"]),
    "a missing image": (missing_image, ["P01_CC.png", "missing"]),
    "a truncated image": (truncated_image, ["P01_CC.png", "data.damaged: exclude"]),
    "a lesion naming an unknown image": (
        set_value("lesions", 0, "image_id", "P77_CC"), ["unknown image 'P77_CC'", "lesions table"]),
    "a mask of another size": (mask_of_another_size, ["P01_CC_lesion1.png", "300 rows"]),
    "an outline outside its image": (outline_outside, ["P01_1@P01_CC", "outside"]),
    "a patient in two splits": (set_value("images", 0, "split", "test"), ["P01", "split"]),
    "a test split with one class": (one_kind_in_test, ["test", "benign"]),
    "an experiment with a misspelt key": (
        settings(SETTINGS + "flocc: {epochs: 3}\n"), ["'flocc'", "did you mean 'floc'?"]),
    "a window larger than the canvas": (
        settings(SETTINGS.replace("48", "400")), ["400 px", "canvas of 192 x 128 px", "lower"]),
}  # fmt: skip


def test_the_valid_set_is_taken_and_a_corrected_pathology_decodes_no_image(project, monkeypatch):
    assert main(["stage", "store", "--experiment", "mine"]) == 0
    for row in (0, 1):  # one finding on two views
        set_value("lesions", row, "pathology", "benign")(project)
    monkeypatch.setattr(build, "prepare", None)  # any work would fail
    assert main(["stage", "store", "--experiment", "mine"]) == 0
    stored = pd.read_csv(next((project / "runs" / "mine").rglob("canvases/lesions.csv")))
    assert stored["pathology"].head(2).tolist() == ["benign", "benign"]


@pytest.mark.parametrize("name", CASES)
def test_one_line_with_the_remedy(project, capsys, name):
    spoil, said = CASES[name]
    spoil(project)
    assert main(["stage", "store", "--experiment", "mine"]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ") and len(last) < 400
    for word in said:
        assert word in last, last


def test_damaged_images_are_left_out_when_asked(project):
    truncated_image(project)
    text = SETTINGS.replace("dataset: table", "dataset: table, damaged: exclude")
    (project / "experiments" / "mine.yaml").write_text(text)
    assert main(["stage", "store", "--experiment", "mine"]) == 0
    listed = pd.read_csv(next((project / "runs" / "mine").rglob("canvases/exclusions.csv")))
    assert set(listed["id"]) == {"P01_CC", "P01_1@P01_CC"}


def test_a_parameter_that_the_notebook_lacks(capsys):
    given = ["--experiment", "smoke", "-p", "experimet", "demo"]
    assert main(["notebook", "01", *given]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "experimet" in last and "did you mean 'experiment'" in last
