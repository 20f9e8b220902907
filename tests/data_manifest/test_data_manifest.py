"""Every data set's folder says what a reader must know, and says it in a form that machines read."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
import warnings
from pathlib import Path

import mlcroissant
import pytest

import data_manifest
from data_manifest import registry
from data_manifest.manifest import IMAGE_COLUMNS, LESION_COLUMNS

ROOT = Path(__file__).resolve().parents[2] / "data_manifest"
NO_SET = {"images", "dicom_folder"}  # any export; it is named on the page of the table format
SETS = sorted(p.parent.name for p in ROOT.glob("*/__init__.py") if p.parent.name not in NO_SET)
PARTS = ("Motivation", "Composition", "Collection", "Labels", "Splits", "Uses", "Limits")


@pytest.mark.parametrize("name", SETS)
def test_the_datasheet_has_all_parts(name):
    text = (ROOT / name / "datasheet.md").read_text(encoding="utf-8")
    assert [part for part in PARTS if f"**{part}.**" not in text] == []


@pytest.mark.parametrize("name", SETS)
def test_croissant_validates_the_metadata(name):
    file = ROOT / name / "croissant.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = mlcroissant.Dataset(jsonld=file)
    assert found.metadata.name and not found.metadata.ctx.issues.errors
    assert content["license"] and content["citeAs"] and content["description"]


@pytest.mark.parametrize(
    ("table", "columns"), [("images", IMAGE_COLUMNS), ("lesions", LESION_COLUMNS)]
)
def test_the_page_of_the_table_format_has_all_columns(table, columns):
    page = (ROOT / "table" / "README.md").read_text(encoding="utf-8")
    part = page.split(f"**{table}.csv**")[1].split("**lesions.csv**")[0]
    content = json.loads((ROOT / "table" / "croissant.json").read_text(encoding="utf-8"))
    (described,) = (r["field"] for r in content["recordSet"] if r["name"] == table)
    for name in columns:
        assert f"`{name}`" in part, name
        assert name in {field["name"] for field in described}, name


@pytest.mark.parametrize("name", SETS)
def test_the_page_tells_where_from_under_which_licence_and_how_to_cite(name):
    text = (ROOT / name / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^# \S", text) and "**What.**" in text
    for word in ("Licence", "itation", "How to get it"):
        assert word in text, word


def test_every_reader_has_a_folder_and_every_folder_a_row_of_the_table():
    assert set(registry.OWN) - NO_SET == set(SETS)
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in SETS if f"({name}/README.md)" not in table] == []


@pytest.mark.parametrize("file", sorted(ROOT.glob("*/expected_counts.json")), ids=str)
def test_expected_counts_say_where_they_come_from(file):
    assert len(json.loads(file.read_text(encoding="utf-8"))["about"]) > 20


def test_importing_the_modules_changes_nothing_in_other_packages():
    """Trap: a reader of this package finds OpenCV on one thread and a decoder of pydicom gone."""
    found = pkgutil.walk_packages(data_manifest.__path__, "data_manifest.")
    code = f"""
import importlib, cv2, PIL.Image
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGLSLossless
def state():
    plugins = [get_decoder(s).available_plugins for s in (JPEG2000, JPEGBaseline8Bit, JPEGLSLossless)]
    return cv2.getNumThreads(), PIL.Image.MAX_IMAGE_PIXELS, plugins
cv2.setNumThreads(3)
before = state()
for name in {[module.name for module in found]}:
    importlib.import_module(name)
assert state() == before, (before, state())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
