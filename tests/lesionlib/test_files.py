"""Small files: whole or not at all, and on the disk before they have their name."""

from __future__ import annotations

import os

import pytest

from lesionlib import files
from lesionlib.errors import InputError


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append(os.fstat(number).st_size))
    monkeypatch.setattr(os, "replace", lambda *names: done.append("named") or replace(*names))
    files.write_json(tmp_path / "new" / "x.json", {"a": 1})
    assert done == [12, "named"]
    assert files.read_json(tmp_path / "new" / "x.json") == {"a": 1}
    assert len([*(tmp_path / "new").iterdir()]) == 1


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\0", b"[1]"])
def test_damaged_json_is_as_none_or_bad_input(tmp_path, content):
    file = tmp_path / "x.json"
    assert files.read_json(file) is None and files.read_json(file, {"b": 2}) == {"b": 2}
    file.write_bytes(content)
    assert files.read_json(file, {"b": 2}) == {"b": 2}
    if content != b"[1]":
        with pytest.raises(InputError, match="not readable as JSON .*x.json"):
            files.read_json(file)
