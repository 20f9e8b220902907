"""A hospital's export: what is used, what is left out and why, and that it names nobody."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
from made_up import TINY_CANVAS
from made_up_dicom import TRACES, breast, write
from PIL import Image

from data_manifest import registry
from data_manifest.dicom_folder import reader as dicom_folder
from data_manifest.images.dicom_header import hashed
from data_manifest.images.store import build_store
from lesionlib.errors import InputError

SALT = "0123456789abcdef"


@pytest.fixture
def export(tmp_path):
    """Four views of one woman without suffixes, and what archives add to them."""
    folder = tmp_path / "export"
    number = 0
    for side, edge in (("L", "left"), ("R", "right")):
        for view in ("CC", "MLO"):
            number += 1
            image(folder / "DIR0" / f"IM{number:04d}", number, side, view, values=breast(edge))
    for name in ("DICOMDIR", "DIR0/dicomdir"):
        (folder / name).write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 40)
    (folder / "readme.txt").write_text("from the archive")
    (tmp_path / "export.salt").write_text(SALT)
    return folder


def image(path, number, side="L", view="CC", values=None, **tags):
    tags = {"SeriesNumber": 1, "InstanceNumber": number} | tags
    uid = f"1.2.826.0.1.77.5.{number}"
    values = breast() if values is None else values
    tags = {"ImageLaterality": side, "ViewPosition": view, "SOPInstanceUID": uid} | tags
    return write(path, values, **tags)


def outline(folder, *rows):
    """lesions.csv: (image, lesion) with a box on the breast."""
    box = {"pathology": "benign", "geom": "box", "x0": 10, "y0": 60, "x1": 30, "y1": 90}
    lesions = [{"image_id": name, "lesion_id": lesion, **box} for name, lesion in rows]
    pd.DataFrame(lesions).to_csv(folder / "lesions.csv", index=False)


def reasons(manifest, level="image"):
    lost = manifest.exclusions[manifest.exclusions["level"] == level]
    return dict(zip(lost["id"], lost["reason"], strict=True))


def closes(manifest, images):
    assert len(manifest.images) + len(reasons(manifest)) == images


# ------------------------------------------------------------------ what is used
def test_four_views_without_suffixes(export):
    found = registry.read("dicom_folder", export)
    assert found.images["file"].tolist() == [f"DIR0/IM{k:04d}" for k in (1, 2, 3, 4)]
    assert found.images[["patient_id", "exam_id"]].nunique().tolist() == [1, 1]
    assert found.images["view"].tolist() == ["CC", "MLO"] * 2
    assert found.images["laterality"].tolist() == ["L", "L", "R", "R"]
    assert found.images["negative"].isna().all() and found.lesions.empty
    assert found.exclusions.empty and "accept" not in found.images
    facts = found.images[["rows", "cols", "bits", "spacing_mm", "source"]]
    assert set(facts.itertuples(index=False, name=None)) == {(160, 128, 12, 0.07, "ffdm")}


def test_a_file_without_preamble(export):
    image(export / "b" / "IM9", 9, preamble=False, StudyInstanceUID="1.2.826.0.1.77.8")
    assert len(dicom_folder.read(export).images) == 5


def test_a_synthetic_image_is_marked(export):
    image(export / "IM9", 9, StudyInstanceUID="1.2.826.0.1.77.8", **SYNTHETIC)
    assert dicom_folder.read(export).images["source"].tolist() == ["ffdm"] * 4 + ["synth2d"]


def test_no_line_of_the_manifest_tells_of_the_patient(export, tmp_path):
    image(export / "IM8", 8, PresentationIntentType="FOR PROCESSING", ViewPosition="SECRET")
    dicom_folder.read(export).write(tmp_path / "out")
    text = "".join(p.read_text() for p in (tmp_path / "out").iterdir())
    assert "FOR PROCESSING" in text
    for trace in TRACES:
        assert trace not in text


# ------------------------------------------------------------------ the salt
def test_the_same_salt_gives_the_same_ids_anywhere(export, tmp_path):
    first = dicom_folder.read(export)
    shutil.copytree(export, tmp_path / "elsewhere")
    other = dicom_folder.read(tmp_path / "elsewhere", salt_file=str(tmp_path / "export.salt"))
    assert first.images["image_id"].tolist() == other.images["image_id"].tolist()
    (tmp_path / "export.salt").write_text("fedcba9876543210")
    third = dicom_folder.read(export)
    assert not set(first.images["patient_id"]) & set(third.images["patient_id"])


def test_a_salt_is_made_once_beside_the_folder(export, tmp_path, monkeypatch, capsys):
    salt = tmp_path / "export.salt"
    salt.unlink()
    monkeypatch.chdir(export)
    ids = [dicom_folder.read(f).images["image_id"].tolist() for f in (export, ".", "../export")]
    told = [line for line in capsys.readouterr().err.splitlines() if "was written" in line]
    assert len(told) == 1 and told[0].startswith(f"{salt} was written: the secret with which ids")
    assert ids[0] == ids[1] == ids[2] and not (export / ".salt").exists()
    first = salt.read_text().strip()
    assert len(first) == 64 and salt.stat().st_mode & 0o77 == 0  # the owner's only
    salt.unlink()
    dicom_folder.read(export)
    assert salt.read_text().strip() != first


def test_salts_that_are_missing_short_or_no_text(export, tmp_path):
    with pytest.raises(InputError, match="no salt"):
        dicom_folder.read(export, salt_file=str(tmp_path / "none"))
    with pytest.raises(InputError, match="no salt"):
        dicom_folder.read(export, salt_file=str(export / "DIR0"))
    (tmp_path / "export.salt").write_bytes(b"\xff" * 16)
    with pytest.raises(InputError, match="no salt"):
        dicom_folder.read(export)
    (tmp_path / "export.salt").write_text("abc")
    with pytest.raises(InputError, match="a salt of 3 letters"):
        dicom_folder.read(export)


# ------------------------------------------------------------------ what is left out
def test_every_file_that_is_not_used_is_listed(export):
    image(export / "a_raw", 11, PresentationIntentType="FOR PROCESSING")
    image(export / "b_spot", 12, EstimatedRadiographicMagnificationFactor="1.8")
    image(export / "c_sr", 13, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Rows=None)
    image(export / "d_tomo", 14, NumberOfFrames=40)
    image(export / "e_screen", 15, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    image(export / "f_side", 16, side=None)
    image(export / "g_nobody", 17, PatientID="")
    image(export / "h_us", 18, Modality="US")
    shutil.copy(export / "DIR0" / "IM0001", export / "i_again")
    (export / "j_broken").write_bytes(b"\x08\0\x05\0CS\xff\xff")
    found = dicom_folder.read(export)
    closes(found, 14)
    why = reasons(found)
    assert list(why) == sorted(why)
    for word, reason in zip(
        ("FOR PROCESSING", "magnified", "without pixels", "40 frames", "secondary capture",
         "no side", "no PatientID", "modality MG", "a second time", "without pixels"),
        why.values(), strict=True,
    ):  # fmt: skip
        assert word in reason


@pytest.mark.parametrize("tag", ["PatientID", "StudyInstanceUID", "SOPInstanceUID"])
def test_an_image_without_its_ids_is_listed(export, tag):
    """Trap: images without ids would all be one patient's, one exam's, or copies of one image."""
    image(export / "nobody", 17, **{tag: ""})
    assert reasons(dicom_folder.read(export))["nobody"].startswith("no PatientID")


def test_a_copy_is_one_of_an_image_that_is_used(export):
    """Traps: a copy of raw data is raw data; the first of two copies may lack what the other has."""
    for name in ("a", "b"):
        image(export / name, 11, PresentationIntentType="FOR PROCESSING")
    for name in ("c", "d_L", "e_L"):
        image(export / name, 12, side=None, StudyInstanceUID="1.2.3.9")
    found = dicom_folder.read(export)
    assert found.images["file"].tolist()[4:] == ["d_L"]
    assert reasons(found) == {
        "a": "raw data, FOR PROCESSING (accept: for_processing)",
        "b": "raw data, FOR PROCESSING (accept: for_processing)",
        "c": "no side, neither in the header nor in the file name",
        "e_L": "the same image a second time",
    }


def test_links_are_followed_and_what_cannot_be_opened_is_listed(export, tmp_path):
    """Traps: a year may be linked in from another disk; one deflated file stops no other."""
    image(tmp_path / "disk2" / "IM9", 9, StudyInstanceUID="1.2.826.0.1.77.8")
    (export / "2020").symlink_to(tmp_path / "disk2")
    (export / "loop").symlink_to(export)
    (export / "lost").symlink_to(tmp_path / "none")
    (export / "packed").write_bytes(bytes(128) + b"DICM" + b"1.2.840.10008.1.2.1.99" + bytes(20))
    found = dicom_folder.read(export)
    assert found.images["file"].tolist()[0] == "2020/IM9" and len(found.images) == 5
    assert reasons(found) == {
        "packed": "deflated DICOM",
        "loop": "a link to a folder that holds the data folder",
        "lost": "a link that leads nowhere",
    }


def test_kinds_can_be_accepted_and_the_store_is_told(export):
    image(export / "a", 11, view="ML")
    image(export / "b", 12, view="MLO", BreastImplantPresent="YES", StudyInstanceUID="1.2.3.4")
    found = registry.read("dicom_folder", export, accept=["view", "implant"])
    assert len(found.images) == 6 and (found.images["accept"] == "view implant").all()
    assert found.images.loc[found.images["file"] == "a", "view"].item() == "other"
    with pytest.raises(InputError, match="did you mean 'implant'"):
        registry.read("dicom_folder", export, accept=["implants"])
    with pytest.raises(InputError, match="no option 'acept'"):
        registry.read("dicom_folder", export, acept=["implant"])


def test_a_folder_without_usable_files(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="no DICOM file"):
        dicom_folder.read(tmp_path / "x")
    image(tmp_path / "x" / "a", 1, NumberOfFrames=9)
    image(tmp_path / "x" / "b", 2, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", view="ML")
    image(tmp_path / "x" / "c", 3, PresentationIntentType="FOR PROCESSING")
    with pytest.raises(InputError, match="none of 3 DICOM files can be used") as caught:
        dicom_folder.read(tmp_path / "x")
    for words in (
        "9 frames (tomosynthesis?): 1, first a;",
        "secondary capture; view ML, not CC or MLO (accept: secondary_capture, view): 1, first b;",
        "data.options: {accept: [secondary_capture, view, for_processing]}",
    ):
        assert words in str(caught.value)


def test_damaged_files_alone(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "broken").write_bytes(b"\0" * 128 + b"DICM\2\0\1\0")
    with pytest.raises(InputError, match="none of 1 DICOM files can be used: .*first broken"):
        dicom_folder.read(tmp_path / "x")


def test_a_folder_whose_name_is_not_utf_8_is_named(export):
    """Trap: such a name can be written into no table."""
    (export / "DIR0").rename(os.fsdecode(os.fsencode(export) + b"/M\xfcller"))
    with pytest.raises(
        InputError, match=r"its name is not Unicode text: rename it: 1, first M\\xfcller"
    ):
        dicom_folder.read(export)
    image(export / "IM9", 9)
    assert reasons(dicom_folder.read(export)) == {
        "M\\xfcller": "its name is not Unicode text: rename it"
    }


@pytest.mark.parametrize("word", ["view", ["view"], "view, implant"])
def test_one_word_is_accepted_as_a_list_of_one(export, word):
    image(export / "a", 11, view="ML")
    assert len(registry.read("dicom_folder", export, accept=word).images) == 5


# ------------------------------------------------------------------ what anonymisers leave
def test_one_exam_of_several_patients_is_left_out(export):
    """Trap: a PatientID for each file would put the views of one woman into two splits."""
    image(export / "IM9", 9, PatientID="ANON0009", StudyInstanceUID="1.2.3.9")
    image(export / "IM10", 10, PatientID="ANON0010", StudyInstanceUID="1.2.3.9", view="MLO")
    why = reasons(dicom_folder.read(export))
    assert set(why) == {"IM10", "IM9"}
    assert why["IM9"].startswith("one StudyInstanceUID with several PatientIDs")


def test_one_sop_instance_uid_for_several_images_is_no_copy(export):
    uid = dict(SOPInstanceUID="1.2.3.4", StudyInstanceUID="1.2.3.9")
    image(export / "IM7", 7, **uid)
    image(export / "IM8", 8, view="MLO", **uid)
    why = reasons(dicom_folder.read(export))
    assert why == {"IM8": "the SOPInstanceUID of another file, which differs (IM7)"}


# ------------------------------------------------------------------ repeated views
SYNTHETIC = {"ImageType": ["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D"]}
RAW = {"PresentationIntentType": "FOR PROCESSING"}
RAW_TOO = ("for_processing",)
LARGE = breast(rows=200)
TALL = breast(rows=220, cols=100)  # more rows and fewer pixels


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({**RAW, "values": LARGE}, {}),
        ({**SYNTHETIC, "values": LARGE}, {}),
        (RAW, SYNTHETIC),
        ({"SeriesNumber": 9}, {"values": LARGE}),
        ({"values": TALL}, {"values": LARGE}),
        ({"SeriesNumber": 2, "InstanceNumber": 9}, {"SeriesNumber": 3, "InstanceNumber": 1}),
        ({"SeriesNumber": 2, "InstanceNumber": 1}, {"SeriesNumber": 2, "InstanceNumber": 5}),
    ],
)
@pytest.mark.parametrize("first", ["worse", "better"])
def test_one_image_of_each_view_is_kept_by_the_rule(tmp_path, worse, better, first):
    """Trap: raw, processed, synthetic and reprocessed copies count one exposure several times."""
    kinds = {"worse": worse, "better": better}
    for k, name in enumerate(sorted(kinds, key=lambda n: n != first)):
        image(tmp_path / "x" / name, 20 + k, **kinds[name])
    found = dicom_folder.read(tmp_path / "x", accept=RAW_TOO)
    assert found.images["file"].tolist() == ["better"]
    kept = found.images["image_id"].item()
    assert reasons(found) == {"worse": f"repeated view ({kept} is used)"}


def test_where_nothing_else_differs_the_highest_id_is_kept(tmp_path):
    for number in range(20, 24):
        image(tmp_path / "x" / str(number), number, InstanceNumber=1)
    (tmp_path / "x.salt").write_text(SALT)
    ids = {hashed(f"1.2.826.0.1.77.5.{number}", SALT) for number in range(20, 24)}
    assert dicom_folder.read(tmp_path / "x").images["image_id"].tolist() == [max(ids)]


def test_views_that_are_not_told_apart_are_no_repeats(export):
    """Trap: LM, ML and XCCL views that were asked for are all "other", and not one exposure."""
    for number, view in enumerate(("ML", "LM", "XCCL"), start=30):
        image(export / view, number, view=view)
    found = dicom_folder.read(export, accept=("view",))
    assert len(found.images) == 7 and not reasons(found)


def test_other_exams_and_sides_are_not_repeats(export):
    other = {"StudyInstanceUID": "1.2.3.8", "PatientID": "another"}
    for k, tags in enumerate(({"StudyInstanceUID": "1.2.3.9"}, other)):
        image(export / f"b{k}", 30 + k, **tags)
    assert len(dicom_folder.read(export).images) == 6


def test_two_spellings_of_one_patient_are_refused(tmp_path):
    """Trap: their hashes have nothing in common."""
    for k, name in enumerate(("P 07", "p7")):
        image(tmp_path / "x" / str(k), 40 + k, PatientID=name, StudyInstanceUID=f"1.2.3.{k}")
    with pytest.raises(InputError, match="likely one patient under two ids"):
        dicom_folder.read(tmp_path / "x")


# ------------------------------------------------------------------ outlines
def test_outlines_by_file_or_by_id_and_a_marked_image_goes_first(export):
    image(export / "DIR0" / "IM0000", 40, **RAW)
    ids = dict(dicom_folder.read(export, accept=RAW_TOO).images[["file", "image_id"]].to_numpy())
    assert "DIR0/IM0000" not in ids
    outline(export, ("DIR0/IM0000", "one"), (ids["DIR0/IM0002"], "one"), ("DIR0/IM0003", "two"))
    found = dicom_folder.read(export, accept=RAW_TOO)
    assert set(reasons(found)) == {"DIR0/IM0001"} and len(found.lesions) == 3
    assert found.lesions["finding_id"].tolist() == ["one", "one", "two"]
    assert set(found.lesions["image_id"]) <= set(found.images["image_id"])


def test_outlines_go_with_their_image(export):
    image(export / "raw", 41, PresentationIntentType="FOR PROCESSING")
    outline(export, ("raw", "one"), ("DIR0/IM0002", "two"))
    found = dicom_folder.read(export)
    assert found.lesions["lesion_id"].tolist() == ["two"]
    assert reasons(found, "lesion") == {
        "one": "its image: raw data, FOR PROCESSING (accept: for_processing)"
    }


def test_outlines_of_images_that_are_not_there(export):
    outline(export, ("DIR0/IM0002", "one"), ("DIR0/none", "two"))
    with pytest.raises(InputError, match="1 of 2 lesions .* lesion_id two"):
        dicom_folder.read(export)
    found = dicom_folder.read(export, partial=True)
    assert reasons(found, "lesion") == {"two": "its image: not in the folder"}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("mask_file", "../mask.png", "leaves the data folder"),
        ("mask_file", "mask.png", "1 of 1 files are missing"),
        ("x1", "10", "empty box"),
        ("pathology", "cancer", "pathology = 'cancer' is not one of"),
    ],
)
def test_faulty_outlines_are_refused(export, column, value, words):
    outline(export, ("DIR0/IM0001", "one"))
    table = pd.read_csv(export / "lesions.csv", dtype=str).assign(**{column: value})
    table.to_csv(export / "lesions.csv", index=False)
    with pytest.raises(InputError, match=words):
        dicom_folder.read(export)


def test_a_copy_of_an_image_does_not_take_its_outline_away(export):
    shutil.copy(export / "DIR0" / "IM0001", export / "again")
    outline(export, ("DIR0/IM0001", "one"))
    found = dicom_folder.read(export)
    assert len(found.lesions) == 1 and not reasons(found, "lesion")


def test_from_the_folder_to_the_store(export, tmp_path):
    mask = np.zeros((160, 128), np.uint8)
    mask[60:90, 10:30] = 255
    Image.fromarray(mask).save(export / "mask.png")
    row = {"image_id": "DIR0/IM0001", "lesion_id": "one", "pathology": "malignant", "geom": "mask"}
    pd.DataFrame([row | {"mask_file": "mask.png"}]).to_csv(export / "lesions.csv", index=False)
    store = build_store(dicom_folder.read(export), tmp_path / "store", TINY_CANVAS)
    assert len(store) == 4 and store.lesions["area_px"].tolist() == [600]


def test_the_manifest_is_a_table_to_be_completed(export, tmp_path):
    found = dicom_folder.read(export)
    found.write(tmp_path / "manifest")
    shutil.copy(tmp_path / "manifest" / "images.csv", export)
    outline(export, (found.images["image_id"][0], "one"))
    again = registry.read("table", export)
    pd.testing.assert_frame_equal(again.images, found.images)
    assert len(again.lesions) == 1
