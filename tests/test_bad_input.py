"""Every mistake of a user ends in one clear line with its remedy and an exit code that is not 0."""

from __future__ import annotations

import pandas as pd
import pytest
from PIL import Image
from tiny_table import edit

from data_manifest.images import build
from study.__main__ import main

SETTINGS = """\
data: {dataset: table}
canvas: {rows: 192, cols: 128, buffer: 8}
windows: {side_min: 16, side_max: 48, patch: 32}
compute: {workers: 1}
"""


@pytest.fixture
def project(own_root, tiny_table, monkeypatch):
    """A project of its own with a valid set in ``data/`` and the experiment ``mine``."""
    (own_root / "experiments").mkdir()
    (own_root / "experiments" / "mine.yaml").write_text(SETTINGS)
    monkeypatch.setenv("LESIONLIB_DATA", str(tiny_table.rename(own_root / "data")))
    return own_root


def set_value(name: str, row: int, column: str, value: str):
    def spoil(project):
        edit(project / "data", f"{name}.csv", lambda table: table.__setitem__(
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

    edit(project / "data", "lesions.csv", change)


def one_kind_in_test(project):
    def change(table):
        table.loc[table["lesion_id"] == "P11_1", "pathology"] = "malignant"

    edit(project / "data", "lesions.csv", change)


CASES = {
    "a missing image": (missing_image, ["P01_CC.png", "missing"]),
    "a truncated image": (truncated_image, ["P01_CC.png", "data.damaged: exclude"]),
    "a lesion naming an unknown image": (
        set_value("lesions", 0, "image_id", "P77_CC"), ["unknown image 'P77_CC'", "lesions table"]),
    "a mask of another size": (mask_of_another_size, ["P01_CC_lesion1.png", "300 rows"]),
    "an outline outside its image": (outline_outside, ["P01_1@P01_CC", "outside"]),
    "a patient in two splits": (set_value("images", 0, "split", "test"), ["P01", "split"]),
    "a test split with one class": (one_kind_in_test, ["test", "benign"]),
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
