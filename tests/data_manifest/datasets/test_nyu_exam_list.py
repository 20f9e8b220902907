"""The exam lists of the NYU group: safe to open, masks to lesions, back to the stored film."""

import json
import pickle
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from made_up import reasons
from PIL import Image

from data_manifest.images.gmic_preparation import gmic_placement
from data_manifest.images.read import read_image, read_mask
from data_manifest.manifest import with_findings_left_out
from data_manifest.nyu import reader as nyu_exam_list
from data_manifest.nyu.plain_pickle import load_plain
from data_manifest.registry import read
from data_manifest.shapes import rasterise, separated
from lesionlib.errors import InputError

ROWS, COLS = 120, 90
NO_LESION = {f"{side}_{kind}": 0 for side in ("left", "right") for kind in ("benign", "malignant")}


def exam(**changed) -> dict:
    """One exam: a benign lesion of the left breast, no film of the right MLO view."""
    entry = {"horizontal_flip": "NO", "L-CC": ["0_L-CC"], "R-CC": ["0_R-CC"], "L-MLO": ["0_L-MLO"]}
    entry["cancer_label"] = NO_LESION | {"left_benign": 1, "benign": 1, "malignant": 0}
    for view in ("L-CC", "R-CC", "L-MLO"):
        entry |= {f"{view}_{k}_seg": [f"0_{view}_{k}"] for k in ("benign", "malignant")}
    return entry | changed


def mask_of(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((ROWS, COLS), np.uint8)
    for r0, c0, r1, c1 in boxes:
        mask[r0:r1, c0:c1] = 255
    return mask


def write(folder, exams: list[dict], masks: dict[str, np.ndarray], how=pickle.dumps):
    for name, pixels in masks.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    for entry in exams:
        for view in nyu_exam_list.VIEWS:
            for stem in entry.get(view, []):
                pixels = np.full((ROWS, COLS), 4095, np.uint16)
                Image.fromarray(pixels).save(folder / f"{stem}.png")
    name = "exams.pkl" if how is pickle.dumps else "exams.json"
    (folder / name).write_bytes(how(exams) if how is pickle.dumps else how(exams).encode())
    return folder


LESION = {"0_L-CC_benign": mask_of((10, 20, 30, 40))}


@pytest.mark.parametrize("how", [pickle.dumps, json.dumps])
def test_the_list_is_found_in_capitals_and_next_to_hidden_files(tmp_path, how):
    (name,) = write(tmp_path, [exam()], LESION, how).glob("exams.*")
    (tmp_path / f"._{name.name}").write_bytes(b"\0\5\x16\7")
    name.rename(tmp_path / name.name.upper())
    assert len(nyu_exam_list.read(tmp_path, masks="image").images) == 3


@pytest.mark.parametrize("how", [pickle.dumps, json.dumps])
def test_images_and_lesions_of_a_list(tmp_path, how):
    found = nyu_exam_list.read(write(tmp_path, [exam()], LESION, how), masks="image")
    images = found.images.set_index("image_id")
    assert images.index.tolist() == ["0_L-CC", "0_R-CC", "0_L-MLO"]
    assert images.loc["0_L-MLO", ["laterality", "view", "file"]].tolist() == [
        "L", "MLO", "0_L-MLO.png"]  # fmt: skip
    assert images.loc["0_L-CC", ["rows", "cols", "bits"]].tolist() == [ROWS, COLS, 16]
    lesion = found.lesions.iloc[0]
    assert (lesion["lesion_id"], lesion["pathology"], lesion["truth"]) == (
        "0_L-CC_benign1", "benign", "biopsy")  # fmt: skip
    outline = rasterise("polygon", lesion, (ROWS, COLS))
    assert outline.box == (10, 20, 30, 40) and outline.mask.all()


def test_a_view_may_have_several_films(tmp_path):
    """Trap: the stems of a view are a list, and so are those of its masks, place by place."""
    several = {"L-CC": ["a", "b"], "L-CC_benign_seg": ["a_mask", "b_mask"]}
    folder = write(tmp_path, [exam(**several)], {"b_mask": LESION["0_L-CC_benign"]})
    found = nyu_exam_list.read(folder, masks="image")
    assert found.lesions["image_id"].tolist() == ["b"]
    assert len(found.images) == 4


@pytest.mark.parametrize(("flip", "edges"), [("NO", "left right"), ("YES", "right left")])
def test_the_flip_says_where_the_chest_wall_lies(tmp_path, flip, edges):
    """Trap: NO does not mean that no film is to be mirrored: it means that right ones are."""
    folder = write(tmp_path, [exam(horizontal_flip=flip)], {})
    images = nyu_exam_list.read(folder, masks="image").images.set_index("image_id")
    assert images.loc[["0_L-CC", "0_R-CC"], "chest_wall"].tolist() == edges.split()


def test_another_flip_is_refused(tmp_path):
    folder = write(tmp_path, [exam(), exam(horizontal_flip=False)], {})
    with pytest.raises(InputError, match="neither NO nor YES .exams.pkl, exam 1") as caught:
        nyu_exam_list.read(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_mask_is_no_lesion_but_listed(tmp_path):
    """Trap: most masks that a list names were never shipped; their view has no outline."""
    found = nyu_exam_list.read(write(tmp_path, [exam()], LESION), masks="image")
    rows = found.exclusions[["level", "id", "reason"]].to_numpy().tolist()
    assert rows == [["lesion", "0_L-MLO_benign", "mask file missing: no lesion on this view"]]
    assert "0_L-MLO" in set(found.images["image_id"])
    flow = found.flow().query("level == 'lesion'")["count"].tolist()
    assert flow == [2, -1, 1]


def test_one_mask_holds_every_lesion_of_its_class_and_specks(tmp_path):
    """Trap: parts of a mask are lesions only above a size."""
    mask = mask_of((10, 20, 30, 40), (50, 20, 65, 30), (80, 20, 83, 24))
    folder = write(tmp_path, [exam()], {"0_L-CC_benign": mask})
    found = nyu_exam_list.read(folder, masks="image")
    assert found.lesions["lesion_id"].tolist() == ["0_L-CC_benign1", "0_L-CC_benign2"]
    assert found.lesions["finding_id"].is_unique
    assert len(nyu_exam_list.read(folder, masks="image", speck_px=12).lesions) == 3
    none = nyu_exam_list.read(folder, masks="image", speck_px=500)
    assert "mask of specks only" in none.exclusions["reason"].tolist()


def test_negative_breasts(tmp_path):
    both = NO_LESION | {"unknown": 0}
    cases = {
        "labelled without": (both, True),
        "unknown for the exam": (both | {"unknown": 1}, None),
        "malignant, but no side": (both | {"malignant": 1}, None),
        "only the left is known": ({"left_benign": 0, "left_malignant": 0}, None),
        "no label": ({}, None),
    }
    for name, (label, expected) in cases.items():
        entry = {"horizontal_flip": "NO", "R-CC": ["x"], "cancer_label": label}
        found = nyu_exam_list.read(write(tmp_path, [entry], {})).images["negative"].iloc[0]
        assert bool(found) if expected else found is pd.NA, name
    found = nyu_exam_list.read(write(tmp_path, [exam()], {}), masks="image").images
    assert found["negative"].tolist() == [False, True, False]


def test_a_mask_against_its_label_is_listed(tmp_path):
    folder = write(tmp_path, [exam()], {"0_R-CC_malignant": LESION["0_L-CC_benign"]})
    found = nyu_exam_list.read(folder, masks="image")
    assert found.lesions.empty
    why = "mask of a breast that is labelled without a malignant lesion"
    assert reasons(found)["0_R-CC_malignant"] == why


def test_a_breast_with_a_mask_against_its_label_is_not_negative(tmp_path):
    """Trap: labelled without a lesion, but with a mask on one view: neither view is negative."""
    both = {"horizontal_flip": "NO", "R-CC": ["cc"], "R-MLO": ["mlo"], "cancer_label": NO_LESION}
    both |= {"R-CC_malignant_seg": ["mask"], "L-CC": ["left"]}
    folder = write(tmp_path, [both], {"mask": LESION["0_L-CC_benign"]})
    images = nyu_exam_list.read(folder, masks="image").images.set_index("image_id")
    assert images["negative"].isna().to_dict() == {"cc": True, "mlo": True, "left": False}


def test_findings_left_out_on_an_image_that_stays(tmp_path):
    """Trap: a window off the mask could be on a lesion that has none, or none of known class."""
    label = exam()["cancer_label"]
    for change in ({"left_malignant": 1}, {"unknown": 1}):
        folder = tmp_path / next(iter(change))
        folder.mkdir()
        folder = write(folder, [exam(cancer_label=label | change)], LESION)
        found = nyu_exam_list.read(folder, masks="image")
        assert "0_L-CC" in with_findings_left_out(found.exclusions), change
        assert "0_L-CC" in set(found.lesions["image_id"])


def test_an_exam_is_a_patient_unless_the_list_names_one(tmp_path):
    """Trap: a patient screened every year would be in two splits; the lists do not tell."""
    second = {"horizontal_flip": "NO", "L-CC": ["1_L-CC"], "patient_id": "P7", "split": "train"}
    images = nyu_exam_list.read(write(tmp_path, [exam(), second], {}), masks="image").images
    assert images["patient_id"].tolist() == ["exam000000"] * 3 + ["P7"]
    assert images["split"].tolist() == ["", "", "", "training"]


@pytest.mark.parametrize(
    ("head", "words"),
    [(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\0\xff\xff" * 2, "size 65535 rows"),
     (b"GIF89a" + bytes(40), "no PNG file")],
)  # fmt: skip
def test_a_film_is_measured_before_anything_is_decoded(tmp_path, head, words):
    """Trap: a few bytes can claim four thousand million pixels."""
    folder = write(tmp_path, [exam()], LESION)
    (folder / "0_L-CC.png").write_bytes(head)
    with pytest.raises(InputError, match=words):
        nyu_exam_list.read(folder, masks="image")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"L-CC": "0_L-CC"}, "L-CC is no list"),
        ({"L-CC": [3]}, "L-CC is no list"),
        ({"L-CC": ["../secret"]}, "names no file inside"),
        ({"L-CC": ["/etc/passwd"]}, "names no file inside"),
        ({"L-CC_benign_seg": ["a/../../b"]}, "names no file inside"),
        ({"cancer_label": 1}, "cancer_label is no dictionary"),
        ({"cancer_label": {"left_benign": "no"}}, "other values than 0 and 1"),
    ],
)
def test_an_exam_of_another_form_is_refused(tmp_path, changed, words):
    folder = write(tmp_path, [exam()], LESION)
    (folder / "exams.pkl").write_bytes(pickle.dumps([exam(**changed)]))
    with pytest.raises(InputError, match=words):
        nyu_exam_list.read(folder, masks="image")


# ------------------------------------------------------------------ pickles
class Bomb:
    def __reduce__(self):
        return print, ("the pickle was run",)


@pytest.mark.parametrize("value", [Bomb(), Fraction(1, 3), np.float64(2), np.arange(3), print])
def test_a_pickle_that_names_a_class_is_refused_and_not_run(tmp_path, capsys, value):
    """Trap: pickle.load runs whatever the author of the file wrote."""
    file = tmp_path / "exams.pkl"
    file.write_bytes(pickle.dumps([{"horizontal_flip": value}]))
    with pytest.raises(InputError, match="names a class or function is not opened") as caught:
        load_plain(file)
    assert not capsys.readouterr().out and "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_of_every_protocol(tmp_path, protocol):
    file = tmp_path / "exams.pkl"
    value = [exam(best_center={"L-CC": [(1011.0, -222)]}, other=(None, True, 2**70, "ü"))]
    file.write_bytes(pickle.dumps(value, protocol))
    assert load_plain(file) == value


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no pickle", pickle.dumps([exam()])[:-9],
        b"\x80\x04N" + b"r\xff\xff\xff\x7f.",  # a memo of 2 thousand million places
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",  # an array of 1 TB
    ],
    ids=["empty", "text", "truncated", "forged memo", "forged length"],
)  # fmt: skip
def test_damaged_and_forged_pickles(tmp_path, data):
    """Trap: the reader in C sets aside memory for whatever place or length a file claims."""
    file = tmp_path / "exams.pkl"
    file.write_bytes(data)
    with pytest.raises(InputError):
        nyu_exam_list.read(tmp_path)


def test_the_list_has_to_be_found_and_named(tmp_path):
    with pytest.raises(InputError, match="0 exam lists: none"):
        nyu_exam_list.read(tmp_path)
    lists = {"first list": [exam()], "second list": [exam()]}
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    with pytest.raises(InputError, match="2 of its lists .* first list; second list"):
        nyu_exam_list.read(tmp_path)
    assert len(nyu_exam_list.read_exam_list(tmp_path / "lists.json", "sec")) == 1
    (tmp_path / "lists.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not readable JSON"):
        nyu_exam_list.read(tmp_path)
    (tmp_path / "lists.json").write_text("[1]")
    with pytest.raises(InputError, match="no list of exams"):
        nyu_exam_list.read(tmp_path)
    with pytest.raises(InputError, match="no .*Check data.options: {exams: file}"):
        nyu_exam_list.read(tmp_path, exams="other.pkl")


# ------------------------------------------------------------------ masks in the window
def test_masks_of_the_window_are_brought_back_to_the_film(tmp_path):
    """Trap: published masks are cut, mirrored and padded; read as film pixels they are elsewhere.

    By hand: the breast fills rows 150..550 and columns 200..500 of a right film of 700 x 500.  With
    50 px around it, but for the chest wall, the crop starts at row 100, ends at column 500, and is
    500 rows high: (2944 - 500) / 2 = 1222 rows above it.  Film row r is window row r + 1122, film
    column c is window column 499 - c.
    """
    film = np.zeros((700, 500), np.uint16)
    film[150:550, 200:500] = 900
    mask = np.zeros((2944, 1920), np.uint8)
    mask[1422:1462, 70:100] = 255
    entry = {"horizontal_flip": "NO", "R-CC": ["x"], "R-CC_malignant_seg": ["m"]}
    folder = write(tmp_path, [entry], {"m": mask})
    Image.fromarray(film).save(folder / "x.png")
    found = nyu_exam_list.read(folder)
    outline = rasterise("polygon", found.lesions.iloc[0], film.shape)
    assert outline.box == (300, 400, 340, 430) and outline.mask.all()
    with pytest.raises(InputError, match="2944 rows x 1920 cols, its image has 700 x 500"):
        nyu_exam_list.read(folder, masks="image")
    with pytest.raises(InputError, match="masks = 'film'"):
        nyu_exam_list.read(folder, masks="film")
    with pytest.raises(InputError, match="speck_px = 'few'"):
        nyu_exam_list.read(folder, speck_px="few")


def test_the_published_samples(real_data):
    """Exam 0 has images and masks: its lesions land on their window's pixels again."""
    folder = real_data("nyu_samples")
    found = read("nyu", folder, exams="exam_lists.json", named="GMIC sample_data/exam",
                 images="gmic", segmentation="gmic", partial=True)  # fmt: skip
    counts = found.flow().set_index(["level", "stage"])["count"].to_dict()
    assert [v for (level, _), v in counts.items() if level == "image"] == [16, -12, 4]
    assert [v for (level, _), v in counts.items() if level == "lesion"] == [8, -6, 2]
    assert found.images["negative"].tolist() == [True, False, True, False]
    for row in found.lesions.itertuples():
        image = found.images.set_index("image_id").loc[row.image_id]
        pixels = read_image(folder / image["file"]).pixels
        outline = rasterise("polygon", {"polygon": row.polygon}, pixels.shape)
        assert pixels[outline.row0 :, outline.col0 :][outline.mask.nonzero()].mean() > 500
        placed = gmic_placement(pixels, image["chest_wall"], image["view"]).apply_outline(outline)
        (lesion,) = separated(read_mask(folder / f"gmic/{row.image_id}_benign.png"))
        assert placed.box == lesion.box and (placed.mask == lesion.mask).all()
