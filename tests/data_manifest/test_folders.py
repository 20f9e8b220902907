"""The files of a data folder: linked, oddly named, or under names of another case."""

import os

import pytest

from data_manifest import folders
from data_manifest.folders import Names, check_unicode, files_below, on_disk
from lesionlib.errors import InputError


@pytest.fixture
def data(tmp_path):
    for name in ("data/b/2.dcm", "data/a/1.dcm", "data/a.txt", "disk2/3.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "data"


def test_linked_folders_and_files_are_read_once(data):
    (data / "0_disk").symlink_to(data.parent / "disk2")
    (data / "0_first").symlink_to(data / "b")
    (data / "4.dcm").symlink_to(data.parent / "disk2" / "3.dcm")
    (data / "a" / "up").symlink_to("../..")
    (data / "itself").symlink_to("itself")
    files, passed = files_below(data)
    assert files == ["0_disk/3.dcm", "4.dcm", "a/1.dcm", "a.txt", "b/2.dcm"]
    assert passed == {
        "0_first": "a link to a folder that is read under another name",
        "a/up": "a link to a folder that holds the data folder",
        "itself": "a link that leads nowhere",
    }


def test_pipes_are_no_files_and_what_cannot_be_read_is_told(data, monkeypatch):
    os.mkfifo(data / "pipe")
    whole = os.listdir

    def listdir(place):
        if str(place).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return whole(place)

    monkeypatch.setattr(folders.os, "listdir", listdir)
    files, passed = files_below(data)
    assert files == ["a/1.dcm", "a.txt"] and passed == {"b": "not readable: Permission denied"}


def test_names_that_are_not_utf_8_are_told_once_and_readably(data):
    (data / "b").rename(os.fsdecode(os.fsencode(data) + b"/M\xfcller"))
    files, passed = files_below(data)
    assert files == ["a/1.dcm", "a.txt"]
    assert passed == {"M\\xfcller": "its name is not Unicode text: rename it"}
    link = data.parent / "link"
    link.symlink_to(os.fsdecode(os.fsencode(data) + b"/M\xfcller"))
    with pytest.raises(InputError, match="not Unicode text") as caught:
        check_unicode(link)
    str(caught.value).encode()  # can be written anywhere


def test_the_exact_name_goes_first_and_another_case_will_do(data):
    (data / "a" / "1.DCM").touch()
    names = Names(data)
    assert names.find("a/1.dcm") == "a/1.dcm" and names.find("A/1.Dcm") == "a/1.DCM"
    assert names.find("B/2.DCM") == "b/2.dcm" and names.find("a") == "a"
    assert names.find("a/9.dcm") == names.find("c/1.dcm") == names.find("a.txt/1") == ""
    assert on_disk(data / "A.TXT") == data / "a.txt" and on_disk(data / "x") == data / "x"
