"""Fixtures for all tests: real data where they are at hand, and small made-up sets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from made_up import TINY_CANVAS
from tiny_table import write_tiny_table

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data():
    """real_data(name) -> folder of a real data set; skips the test where it is not at hand."""
    base = Path(os.environ.get("LESIONLIB_TEST_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(name: str) -> Path:
        if not (base / name).exists():
            pytest.skip(
                f"no real data '{name}': set LESIONLIB_TEST_DATA to the folder that holds it"
            )
        return base / name

    return find


@pytest.fixture
def own_root(tmp_path, monkeypatch):
    """The test's folder, which this process and those that it starts take for the project."""
    from study.settings import project_root

    monkeypatch.setenv("LESIONLIB_ROOT", str(tmp_path))
    project_root.cache_clear()
    yield tmp_path
    project_root.cache_clear()


@pytest.fixture
def tiny_table(tmp_path) -> Path:
    """A fresh folder with a valid set in the table format (see `write_tiny_table`)."""
    return write_tiny_table(tmp_path / "tiny")


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory):
    """An ImageStore of 24 canvases of 192 x 128 px (cell 64) and 20 outlines, made from the set."""
    from data_manifest.images.store import build_store
    from data_manifest.table import reader as table

    base = tmp_path_factory.mktemp("tiny")
    manifest = table.read(write_tiny_table(base / "data"))
    return build_store(manifest, base / "store", TINY_CANVAS)
