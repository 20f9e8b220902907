"""Checksums of source files, in the form that sha256sum reads."""

import hashlib

import pytest

from data_manifest.checksums import write_checksums
from data_manifest.table import reader as table
from lesionlib.errors import InputError


def test_every_image_and_mask_has_a_line_in_the_order_of_paths(tiny_table, tmp_path):
    write_checksums(table.read(tiny_table), tmp_path / "files.sha256", workers=2)
    lines = [line.split("  ") for line in (tmp_path / "files.sha256").read_text().splitlines()]
    paths = [path for _, path in lines]
    assert len(paths) == 24 + 20 and paths == sorted(paths)
    for value, path in lines[::7]:
        assert value == hashlib.sha256((tiny_table / path).read_bytes()).hexdigest()


def test_a_missing_file_is_named(tiny_table, tmp_path):
    manifest = table.read(tiny_table)
    (tiny_table / "png" / "P03_CC.png").unlink()
    with pytest.raises(InputError, match="no P03_CC.png"):
        write_checksums(manifest, tmp_path / "files.sha256")
    assert not (tmp_path / "files.sha256").exists()
