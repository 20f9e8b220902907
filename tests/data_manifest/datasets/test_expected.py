"""Expected counts: one file a data set, one comparison for all readers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_manifest import expected_counts as expected
from data_manifest import registry
from lesionlib.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
COUNTS = {"about": "counted by hand", "images": 4, "lesions": {"benign": 2, "malignant": 1}}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(expected, "DATA_MANIFEST", tmp_path)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "expected_counts.json").write_text(json.dumps(COUNTS))


def test_every_count_is_next_to_the_expected_one(made):
    table = expected.compare("made", {"lesions": {"benign": 3}, "images": 4, "views": ["CC"]})
    assert table.to_numpy().tolist() == [
        ["images", 4, 4, True],
        ["lesions.benign", 2, 3, False],
        ["lesions.malignant", 1, None, True],  # not counted: not checked
        ["views", None, ["CC"], True],
    ]


def test_the_first_count_that_differs_is_refused(made):
    expected.check("made", {"images": 4, "lesions": {"benign": 2}})
    with pytest.raises(InputError, match=r"lesions.benign = 3, expected 2 \(2 such counts\)"):
        expected.check("made", {"images": 4, "lesions": {"benign": 3, "malignant": 0}})


def test_a_set_without_a_list_is_not_checked(made):
    assert expected.compare("other", {"images": 4}).empty
    expected.check("other", {"images": 4})


@pytest.mark.parametrize("read", [registry.read, registry.read_as_it_is])
def test_a_set_of_ours_that_has_lost_its_list_is_refused(made, tmp_path, monkeypatch, read):
    """Trap: without the package's data files no count was compared, and nothing said so."""
    counted = SimpleNamespace(counted={"images": 4})
    monkeypatch.setattr(registry, "_reader", lambda dataset: lambda folder: counted)
    with pytest.raises(InputError, match="no expected counts of the data set mini_mias"):
        read("mini_mias", tmp_path)
    assert read("ours", tmp_path) is counted, "another package's set may have none"


def test_a_package_that_is_built_carries_the_files_of_the_sets(tmp_path):
    """Trap: an install that is not editable holds only the files that the settings name."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("lesionlib", "data_manifest", "study"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = ["-c", "from setuptools import setup; setup()", "-q", "build_py", "--build-lib", "out"]
    subprocess.run([sys.executable, *build], cwd=source, check=True, capture_output=True)
    kinds = (".py", ".csv", ".json", ".md")
    there, carried = (
        {f.relative_to(base) for f in (base / "data_manifest").rglob("*") if f.suffix in kinds}
        for base in (ROOT, source / "out")
    )
    assert there - carried == set()
    assert Path("data_manifest/mini_mias/expected_counts.json") in carried
