"""What a user names is read only if it is a regular file of a bearable size."""

import os
import socket
import zipfile

import pytest

from data_manifest.checksums import _sha256
from data_manifest.images.dicom_header import read_header
from data_manifest.images.read import read_image, read_mask
from data_manifest.input_files import input_file
from data_manifest.manifest import IMAGE_COLUMNS
from data_manifest.nyu.plain_pickle import load_plain
from data_manifest.nyu.reader import _png_size, read_exam_list
from data_manifest.published_sets import read_list
from data_manifest.table.reader import read_table
from lesionlib.errors import InputError
from lesionlib.models._state_files import read_state
from study.steps.saliency_file import read_saliency

READERS = {
    "image": read_image,
    "mask": read_mask,
    "header": read_header,
    "table": lambda file: read_table(file, IMAGE_COLUMNS),
    "list": lambda file: read_list(file, {}),
    "sheet": lambda file: read_list(file, {}),
    "pickle": load_plain,
    "exams": read_exam_list,
    "png_size": _png_size,
    "checksum": _sha256,
    "weights": read_state,
    "saliency": lambda file: read_saliency(file, [], (1, 1)),
}


def pipe(file):
    os.mkfifo(file)


def device(file):
    file.symlink_to("/dev/zero")


def endless_link(file):
    file.symlink_to(file)


def folder(file):
    file.mkdir()


def sparse(file):
    file.touch()
    os.truncate(file, 6 * 2**30)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("make", [pipe, device, endless_link, folder, sparse])
def test_dangerous_files_are_refused_before_they_are_opened(tmp_path, make, name):
    """Trap: a pipe waits for ever, a device has no end, and 6 GB do not fit the memory."""
    file = tmp_path / "images.csv"
    make(file)
    if name == "sheet":
        file = file.rename(tmp_path / "images.xlsx")
        if make is endless_link:
            file.unlink()
            make(file)
    words = "no regular file|symbolic links|6,144 MiB, allowed|over 512 MiB|no images.csv"
    with pytest.raises(InputError, match=words) as told:
        READERS[name](file)
    assert "\n" not in str(told.value)


def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
        with pytest.raises(InputError, match="no regular file"):
            input_file("s")


@pytest.mark.parametrize("name", ["weights", "saliency", "sheet"])
def test_archives_are_measured_by_what_they_hold(tmp_path, name):
    """Trap: a megabyte of zip that holds a gigabyte of zeros."""
    file = tmp_path / "a.xlsx"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("archive/data.pkl", "w") as member:
            for _ in range(2**9 + 1):
                member.write(bytes(2**20))
    assert file.stat().st_size < 2**20
    with pytest.raises(InputError, match="513 MiB, allowed|over 512 MiB"):
        READERS[name](file)


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_names_that_no_file_can_have(path):
    with pytest.raises(InputError, match="not readable"):
        input_file(path)


def test_a_picture_with_the_mark_of_an_archives_end_is_no_archive(tmp_path):
    """Trap: four bytes that one in 80,000 pictures of 50 kB holds by chance."""
    path = tmp_path / "film.png"
    path.write_bytes(b"\x89PNG" + bytes(50) + b"PK\x05\x06" + bytes(18))
    assert zipfile.is_zipfile(path) and input_file(path) == path
