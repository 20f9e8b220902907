"""What holds for every set: names on the disk, missing files, refused values, counts, privacy."""

import json
import os
import re
import shutil

import cbis_tree
import pandas as pd
import pytest
import test_cmmd
import test_embed
import test_inbreast
import test_mini_mias
import test_nyu_exam_list
import test_vindr_mammo
from made_up import TINY_CANVAS
from made_up_dicom import TRACES, write
from tiny_table import write_tiny_table

from data_manifest import expected_counts as expected
from data_manifest import registry
from data_manifest.expected_counts import DATA_MANIFEST
from data_manifest.images.store import build_store
from lesionlib.errors import InputError
from study import settings as settings_module

# most sets here have masses only
pytestmark = pytest.mark.filterwarnings("ignore:CBIS-DDSM. without the lists of kind calc")


def nyu(folder):
    (folder / "masks").mkdir(parents=True)
    test_nyu_exam_list.write(folder, [test_nyu_exam_list.exam()], test_nyu_exam_list.LESION)
    for name in test_nyu_exam_list.LESION:
        (folder / f"{name}.png").rename(folder / "masks" / f"{name}.png")


def embed(folder):
    files = [test_embed.file("a"), test_embed.file("b", ViewPosition="MLO")]
    test_embed.write(folder, [test_embed.finding()], files)


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


@pytest.fixture
def made(tmp_path, monkeypatch):
    """made(name) -> folder with a small set, and read(**options) -> its manifest."""

    def make(name):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "salt").write_text("0123456789abcdef")
        folder, (writer, usual) = tmp_path / "data", SETS[name]
        folder.mkdir()
        writer(folder)
        return folder, lambda **options: registry.read_as_it_is(name, folder, **usual, **options)

    return make


# ------------------------------------------------------------------ names on the disk
def tables(found):
    """All but the paths, in an order that does not depend on them."""
    assert all((found.root / file).is_file() for file in found.images["file"])
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


@pytest.mark.parametrize("name", "cmmd embed inbreast mini_mias table vindr_mammo".split())
def test_a_folder_too_high_or_too_low_is_told_with_the_right_one(made, name):
    folder, _ = made(name)
    below = next(place for place in folder.iterdir() if place.is_dir() and place.name != "tables")
    archive = folder.with_suffix(".zip")
    archive.touch()
    (folder.parent / "up" / "upper").mkdir(parents=True)
    moved = folder.rename(folder.parent / "up" / "upper" / "set")
    for wrong in (moved.parent, moved.parent.parent, moved / below.name):
        with pytest.raises(InputError, match=f"^no .*Point data.folder at {moved}$"):
            registry.read_as_it_is(name, wrong)
    with pytest.raises(InputError, match="a file, no folder .*Unpack"):
        registry.read_as_it_is(name, archive)


CASES = [(name, in_capitals) for name in SETS]
CASES += [(name, linked_in) for name in SETS if name != "table"]  # whose paths stay in the folder


@pytest.mark.parametrize(("name", "change"), CASES)
def test_capitals_and_links_change_nothing(made, name, change):
    """Traps: a copy through Windows ends in .DCM; a part of the set lies on another disk."""
    folder, read = made(name)
    before = tables(read())
    change(folder)
    for old, new in zip(before, tables(read()), strict=True):
        pd.testing.assert_frame_equal(old, new)


@pytest.mark.parametrize("layout", [cbis_tree.kaggle, cbis_tree.compact])
def test_each_layout_of_cbis_ddsm_may_be_in_capitals(tmp_path, layout):
    folder = layout(tmp_path / "data")
    before = tables(registry.read_as_it_is("cbis_ddsm", folder))
    in_capitals(folder)
    for old, new in zip(before, tables(registry.read_as_it_is("cbis_ddsm", folder)), strict=True):
        pd.testing.assert_frame_equal(old, new)


# ------------------------------------------------------------------ what is missing or spoilt
ONE = "1 of {} image files are missing: {}"
# set -> a file, the refusal without it, and what is listed in place of it
MISSING = {
    "cmmd": ("CMMD/07-18-2010/1-4.dcm", "1 of 4 breasts have no image file: D1-1343_L",
             {"D1-1343_L"}),
    "embed": ("images/cohort_1/P1/A1/b.dcm", ONE.format(2, "b"), {"b", "b_1"}),
    "inbreast": ("AllDICOMs/20000001_aa11_MG_R_CC_ANON.dcm", ONE.format(9, "20000001"),
                 {"20000001", "20000001_1"}),
    "mini_mias": ("png/mdb001.png", ONE.format(6, "mdb001"), {"mdb001", "mdb001_1"}),
    "nyu": ("0_L-CC.png", "image file 0_L-CC.png is missing", {"0_L-CC", "0_L-CC_benign"}),
    "table": ("png/P01_CC.png", "1 of 24 files are missing, first png/P01_CC.png",
              {"P01_CC", "P01_1@P01_CC"}),
    "vindr_mammo": ("images/s1/a1.dicom", ONE.format(7, "a1"), {"a1", "a1_1", "a1_2"}),
}  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_file_is_refused_or_listed_with_its_lesions(made, name):
    folder, read = made(name)
    file, words, lost = MISSING[name]
    before = read()
    (folder / file).unlink()
    with pytest.raises(InputError, match=words) as caught:
        read()
    assert "\n" not in str(caught.value)
    after = read(partial=True)
    keys = [set(m.exclusions[["id", "reason"]].itertuples(index=False)) for m in (before, after)]
    assert {name for name, _ in keys[1] - keys[0]} == lost
    assert "files" in set(after.exclusions["stage"])
    assert len(before.images) - len(after.images) == 1
    assert not lost & {*after.images["image_id"], *after.lesions["lesion_id"]}


CBIS, VINDR = "mass_case_description_train_set.csv", "finding_annotations.csv"
CMMD = f"{test_cmmd.LIST}.csv"
SPOILT = {
    ("cbis_ddsm", CBIS): [
        ("MALIGNANT", "MALIGNENT", 2, "pathology is not one of"),
        ("image view", "view", None, "column 'image view' is missing"),
        ("/1.3.6.", "1.3.6.", 2, "file path is not of the form"),
        ("P_00001,3", "P_00001,dense", 2, "breast_density is not of the form"),
        (",N/A,4,", ",N/A,IV,", 2, "assessment is not of the form"),
    ],
    ("cmmd", CMMD): [
        ("D1-0001,R", "D1-1,R", 2, "ID1 is not of the form"),
        (",R,44", ",B,44", 2, "LeftRight is not one of L, R"),
        ("Benign", "Normal", 2, "classification is not one of"),
        ("calcif", "classif", 2, "abnormality is not one of"),
        ("D1-1343,L", "D1-0001,R", 3, "patient_id and laterality listed twice"),
    ],
    ("inbreast", "INbreast.csv"): [
        (";5\n", ";7\n", 2, "Bi-Rads is not one of"),
        (";20000002;", ";20000001;", 3, "image_id listed twice"),
        (";R;", ";B;", 2, "Laterality is not one of L, R"),
        (";CC;", ";XCC;", 2, "View is not one of CC, ML, MLO, FB"),
    ],
    ("mini_mias", "Info.txt"): [
        ("mdb002 D NORM", line, 5, words)
        for line, words in (
            ("mdb002 D", "class is not one of CALC"),
            ("mdb002 D TUMOR B 1 2 3", "class is not one of CALC"),
            ("mdb002 X NORM", "tissue is not one of F, G, D"),
            ("mdb002 D CIRC X 1 2 3", "severity is not one of .*B, M"),
            ("mdb002 D CIRC", "severity is not one of B, M"),
            ("mdb002 D CIRC B 1 2", "without x, y and radius"),
            ("mdb002 D CIRC B 1 2 wide", "r is not of the form"),
            ("mdb002 D CIRC B 1 2 " + "9" * 400, "r is not of the form"),
        )
    ],
    ("vindr_mammo", VINDR): [
        (",40,30,", ",tall,30,", 2, "height is not a whole number"),
        ("10.5,10.25", "left,10.25", 2, "xmin is not a number"),
        ("training", "validation", 2, "split is not one of"),
        (",L,CC", ",B,CC", 2, "laterality is not one of"),
        ("s1,x", "../s1,x", 2, "study_id is not of the form"),
        ("a1,L", "..,L", 2, "image_id is not of the form"),
        ("L,CC", "L,XCC", 2, "view_position is not one of CC, MLO"),
        ("30,BI-RADS 4", "30,BI-RADS 0", 2, "breast_birads is not one of"),
        ("BI-RADS 4,10.5", "BIRADS 4,10.5", 2, "finding_birads is not one of .empty., BI-RADS 3"),
    ],
}


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "row", "words"),
    [(*place, *case) for place in SPOILT for case in SPOILT[place]],
)
def test_a_value_that_cannot_be_read_is_named_by_its_row(made, name, file, old, new, row, words):
    folder, read = made(name)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=words) as caught:
        read()
    assert (f"{file}, row {row}" if row else file) in str(caught.value)


# ------------------------------------------------------------------ counts, truth, privacy
@pytest.mark.parametrize(
    ("name", "counts", "words"),
    [
        ("cmmd", {"images_total": 6, "images_labelled": 5}, "rows_breasts = 4, expected 1872"),
        (
            "inbreast",
            {"rows": 9, "by_view": {"CC": 5, "MLO": 3, "FB": 1}},
            "rows = 9, expected 410",
        ),
        ("mini_mias", {"women": 3, "circles": 4}, "images = 6, expected 322"),
        (
            "vindr_mammo",
            {"rows": 8, "images": 7, "box_rows": 4}
            | {"breasts_by_birads": {f"BI-RADS {k}": 1 for k in (4, 1, 5, 2)}}
            | {
                "finding_birads_of_boxes": {
                    b: 1 for b in (*map("BI-RADS {}".format, "345"), "missing")
                }
            },
            "rows = 8, expected 20486",
        ),
    ],
)
def test_the_counts_are_held_against_those_of_the_complete_set(made, name, counts, words):
    folder, read = made(name)
    counted = read().counted
    assert counted | counts == counted
    assert expected.compare(name, counted)["expected"].notna().all()
    with pytest.raises(InputError, match=words):
        registry.read(name, folder)


@pytest.mark.parametrize(
    ("name", "grades"), [("inbreast", ["5", "5", "2", "3"]), ("vindr_mammo", ["4", "3", "5", ""])]
)
def test_without_the_proxy_nothing_is_known(made, name, grades):
    """Trap: no lesion of these sets has a biopsy on record."""
    lesions = made(name)[1]().lesions
    assert set(lesions["pathology"]) == {"unknown"} and set(lesions["truth"]) == {"reader"}
    assert lesions["birads"].tolist() == grades


@pytest.mark.parametrize(
    ("name", "lesions", "traces"),
    [("inbreast", 3, ("removed", "2010", "2008")), ("vindr_mammo", 4, ())],
)
def test_the_images_can_be_built_and_nothing_about_a_patient_is_kept(
    made, tmp_path, name, lesions, traces
):
    manifest = made(name)[1](truth="birads_proxy")
    manifest.write(tmp_path / "out")
    text = "".join(file.read_text() for file in (tmp_path / "out").iterdir())
    assert not any(trace in text for trace in (*TRACES, *traces))
    store = build_store(manifest, tmp_path / "store", TINY_CANVAS)
    assert (len(store), len(store.lesions)) == (5, lesions)


@pytest.mark.parametrize("name", ["inbreast", "vindr_mammo"])
def test_another_word_for_the_truth_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="truth = 'biopsy'.*birads_proxy"):
        registry.read(name, tmp_path, truth="biopsy")


# ------------------------------------------------------------------ what the pages promise
@pytest.mark.parametrize("name", ["inbreast", "vindr_mammo"])
def test_the_settings_on_the_page_can_be_loaded(name, tmp_path, monkeypatch):
    page = (DATA_MANIFEST / name / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shutil.copytree(DATA_MANIFEST.parent / "experiments", tmp_path / "experiments")
    (tmp_path / "experiments" / f"{name}.yaml").write_text(block)
    monkeypatch.setattr(settings_module, "project_root", lambda: tmp_path)
    settings = settings_module.load_experiment(name)
    assert settings.data.dataset == name
    assert settings.data.options == {"truth": "birads_proxy"}


@pytest.mark.parametrize(
    ("name", "whole", "parts"),
    [
        ("inbreast", "rows", ["by_birads", "by_view", "by_side"]),
        ("vindr_mammo", "box_rows", ["box_rows_by_split", "finding_birads_of_boxes"]),
        ("vindr_mammo", "studies", ["studies_by_split"]),
        ("cmmd", "rows_breasts", ["by_class", "by_abnormality"]),
    ],
)
def test_expected_counts_add_up(name, whole, parts):
    counts = json.loads((DATA_MANIFEST / name / "expected_counts.json").read_text())
    for part in parts:
        assert sum(counts[part].values()) == counts[whole], part
