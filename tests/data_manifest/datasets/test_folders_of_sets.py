"""Every reader finds its files under names of another case and below linked folders."""

import os

import cbis_tree
import pandas as pd
import pytest
import test_cmmd
import test_embed
import test_inbreast
import test_mini_mias
import test_nyu_exam_list
import test_vindr_mammo
from made_up_dicom import write
from tiny_table import write_tiny_table

from data_manifest import registry


def nyu(folder):
    (folder / "masks").mkdir(parents=True)
    test_nyu_exam_list.write(folder, [test_nyu_exam_list.exam()], test_nyu_exam_list.LESION)
    for name in test_nyu_exam_list.LESION:
        (folder / f"{name}.png").rename(folder / "masks" / f"{name}.png")


def embed(folder):
    test_embed.write(folder, [test_embed.finding()], [test_embed.file("a")])


SETS = {
    "cbis_ddsm": (cbis_tree.classic, {}),
    "cmmd": (test_cmmd.write, {}),
    "dicom_folder": (lambda folder: write(folder / "2019" / "a.dcm"), {"salt_file": "salt"}),
    "embed": (embed, {}),
    "inbreast": (test_inbreast.write, {}),
    "mini_mias": (test_mini_mias.write, {}),
    "nyu": (nyu, {"segmentation": "masks", "masks": "image"}),
    "table": (write_tiny_table, {}),
    "vindr_mammo": (test_vindr_mammo.write, {}),
}


def read(name, folder, **options):
    found = registry.read_as_it_is(name, folder, **options)
    assert all((folder / file).is_file() for file in found.images["file"])
    lesions = found.lesions.drop(columns="mask_file").sort_values("lesion_id", ignore_index=True)
    images = found.images.drop(columns="file").sort_values("image_id", ignore_index=True)
    return images, lesions, found.exclusions


def in_capitals(folder):
    """All names below a folder as an old disk writes them."""
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            os.rename(os.path.join(place, name), os.path.join(place, name.upper()))


def linked_in(folder):
    """All folders of a folder on another disk, linked in."""
    for place in [p for p in folder.iterdir() if p.is_dir()]:
        disk = folder.parent / "disk2"
        disk.mkdir(exist_ok=True)
        (folder / place.name).rename(disk / place.name)
        (folder / place.name).symlink_to(disk / place.name)


CASES = [(name, in_capitals) for name in SETS]
CASES += [(name, linked_in) for name in SETS if name != "table"]  # whose paths stay in the folder


@pytest.mark.parametrize(("name", "change"), CASES)
def test_capitals_and_links_change_nothing(tmp_path, monkeypatch, name, change):
    """Traps: a copy through Windows ends in .DCM; a part of the set lies on another disk."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "salt").write_text("0123456789abcdef")
    writer, options = SETS[name]
    (tmp_path / "data").mkdir()
    writer(tmp_path / "data")
    before = read(name, tmp_path / "data", **options)
    change(tmp_path / "data")
    for old, new in zip(before, read(name, tmp_path / "data", **options), strict=True):
        pd.testing.assert_frame_equal(old, new)
