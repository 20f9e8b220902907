"""mini-MIAS: the list, the places, and the counts of the complete set."""

import numpy as np
import pytest
from PIL import Image

from data_manifest import registry
from data_manifest.manifest import with_findings_left_out
from data_manifest.mini_mias import reader as mini_mias
from lesionlib.errors import InputError

LIST = """     MAMMOGRAPHIC IMAGE ANALYSIS SOCIETY
7th column: radius; mdb is the prefix of every name.

mdb001 G CIRC B 535 425 197
mdb002 D NORM
mdb003 F CALC M *NOTE 3*
mdb004 F CIRC B
mdb005 F CIRC B 477 133 30
mdb005 F SPIC M 500 168 26
mdb006 G CALC M 300 300 20
mdb006 G CALC M *NOTE 3*
"""
IDS = [f"mdb00{n}" for n in range(1, 7)]


def write(folder, text=LIST, place="png", suffix="png", ids=IDS):
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "Info.txt").write_text(text.replace("\n", "\r\n"), newline="")
    for name in ids:
        (folder / place / f"{name}.{suffix}").write_bytes(b"P5\n2 2\n255\n0000")
    return folder


@pytest.fixture
def small(tmp_path):
    return write(tmp_path)


def test_rows_of_the_list(small):
    rows = mini_mias.read_info(small / "Info.txt").set_index("lesion_id")
    numbers = zip("12345566", "11111212", strict=True)
    assert rows.index.tolist() == [f"mdb00{image}_{number}" for image, number in numbers]
    assert rows.loc["mdb001_1", ["x", "y", "r"]].tolist() == [535, 425, 197]
    assert rows.loc["mdb003_1", "pathology"] == "malignant"
    assert rows.loc["mdb003_1", ["x", "y", "r"]].isna().all()


def test_circles_count_from_the_bottom(small):
    lesion = mini_mias.read(small).lesions.set_index("lesion_id").loc["mdb001_1"]
    assert (lesion["cx"], lesion["cy"], lesion["r"]) == (535.5, 1023 - 425 + 0.5, 197)
    assert (lesion["pathology"], lesion["kind"], lesion["subtype"]) == ("benign", "mass", "CIRC")


def test_lesions_without_a_place_are_listed_and_their_image_if_it_has_no_other(small):
    manifest = mini_mias.read(small)
    out = manifest.exclusions.groupby("level")["id"].apply(list)
    assert out["lesion"] == ["mdb003_1", "mdb004_1", "mdb006_2"]
    assert out["image"] == ["mdb003", "mdb004"]
    assert manifest.images["image_id"].tolist() == ["mdb001", "mdb002", "mdb005", "mdb006"]
    negative = manifest.images.set_index("image_id")["negative"]
    assert negative.tolist() == [False, True, False, False]


def test_an_image_that_keeps_a_circle_and_has_a_lesion_without_one_is_marked(small):
    """Trap: a window off the circle of mdb006 could be on its second lesion, wherever that is."""
    manifest = mini_mias.read(small)
    left_out = with_findings_left_out(manifest.exclusions)
    assert left_out & set(manifest.images["image_id"]) == {"mdb006"}


def test_the_woman_is_the_patient(small):
    images = mini_mias.read(small).images
    assert images["patient_id"].tolist() == ["woman001", "woman001", "woman003", "woman003"]
    assert images["laterality"].tolist() == ["L", "R", "L", "R"]


@pytest.mark.parametrize(("place", "suffix"), [(".", "pgm"), ("scans", "PGM"), ("png", "png")])
def test_images_beside_the_list_or_in_one_folder(tmp_path, place, suffix):
    folder = write(tmp_path, place=place, suffix=suffix)
    file = mini_mias.read(folder).images["file"].iloc[0]
    assert file == (f"mdb001.{suffix}" if place == "." else f"{place}/mdb001.{suffix}")


def test_pgm_goes_before_png(small):
    write(small, suffix="pgm")
    assert mini_mias.read(small).images["file"].iloc[0] == "png/mdb001.pgm"


def test_nothing_there_at_all(tmp_path):
    with pytest.raises(InputError, match="no Info.txt"):
        mini_mias.read(tmp_path)
    (tmp_path / "Info.txt").write_text("prose only\n")
    with pytest.raises(InputError, match="no row 'mdbNNN"):
        mini_mias.read(tmp_path)
    write(tmp_path, ids=[])
    with pytest.raises(InputError, match="6 of 6 image files are missing"):
        mini_mias.read(tmp_path, partial=True)


def test_copies_saved_with_gimp_are_pointed_out(small):
    (small / "png" / "mdb001.png").write_bytes(b"P5\n# CREATOR: GIMP PNM Filter\n2 2\n255\n0000")
    with pytest.warns(UserWarning, match="pectoral muscle"):
        mini_mias.read(small)


# ------------------------------------------------------------------ the complete set
def test_the_complete_set(real_data):
    manifest = registry.read("mini_mias", real_data("mini_mias"))
    flow = manifest.flow().set_index(["level", "reason"])["count"]
    assert flow["image"].tolist() == [322, -4, 318] and flow["lesion"].tolist() == [123, -4, 119]
    kinds = manifest.lesions["pathology"].value_counts().to_dict()
    assert kinds == {"benign": 68, "malignant": 51}
    assert int(manifest.images["negative"].sum()) == 207
    assert manifest.images["patient_id"].nunique() == 161
    kinds = manifest.lesions.groupby(["subtype", "pathology"]).size()
    assert kinds["CALC"].tolist() == [15, 12] and kinds["SPIC"].tolist() == [11, 8]


def test_circles_lie_on_tissue_only_with_the_flip(real_data):
    manifest = mini_mias.read(real_data("mini_mias"))
    right = wrong = 0
    for row in manifest.lesions.iloc[::4].itertuples():
        file = manifest.images.set_index("image_id").loc[row.image_id, "file"]
        pixels = np.asarray(Image.open(manifest.root / file))
        right += pixels[int(row.cy), int(row.cx)] > 60
        wrong += pixels[1023 - int(row.cy), int(row.cx)] > 60
    assert right == 30 and wrong < 29
