"""CMMD: classes of breasts without places; each trap of the set on a made-up one."""

import pandas as pd
import pytest
from made_up import reasons
from made_up_dicom import TRACES, code, write_breast

from data_manifest.cmmd import reader as cmmd
from data_manifest.splits import with_splits
from lesionlib.errors import InputError

LIST = "CMMD_clinicaldata_revision"
COLUMNS = ["ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype"]
BREASTS = [
    ("D1-0001", "R", 44, 2, "calcification", "Benign", ""),
    ("D1-1343", "L", 51, 2, "mass", "Malignant", ""),
    ("D2-0002", "L", 60, 2, "both", "Malignant", "Luminal A"),
    ("D2-0002", "R", 60, 2, "mass", "Benign", ""),
]
# patient, side, view
IMAGES = [
    ("D1-0001", "R", "CC"),
    ("D1-0001", "R", "MLO"),
    ("D1-0001", "L", "CC"),  # the breast that was not biopsied
    ("D1-1343", "L", "CC"),
    ("D2-0002", "L", "CC"),
    ("D2-0002", "R", "CC"),
]


def write_image(file, patient, side, view, **tags):
    """Only the header tells patient, side and view."""
    fields = {
        "PatientID": patient,
        "PatientOrientation": ["A" if side == "L" else "P", "F"],
        "ViewPosition": None,
        "ViewCodeSequence": [code({"CC": "R-10242", "MLO": "R-10226"}[view])],
        "VOILUTFunction": "SIGMOID",
        "WindowCenter": 128,
        "WindowWidth": 256,
        "BitsStored": 8,
    }
    return write_breast(file, side, **(fields | tags))


def write(folder, breasts=BREASTS, suffix="csv"):
    folder.mkdir(exist_ok=True)
    table = pd.DataFrame(breasts, columns=COLUMNS)
    if suffix == "csv":
        table.to_csv(folder / f"{LIST}.csv", index=False)
    else:
        table.to_excel(folder / f"{LIST}.xlsx", index=False)
    for k, (patient, side, view) in enumerate(IMAGES, start=1):
        bits = 16 if patient == "D1-1343" else 8
        file = folder / "CMMD" / "07-18-2010" / f"1-{k}.dcm"
        write_image(file, patient, side, view, BitsStored=bits)
    return folder


@pytest.fixture
def small(tmp_path):
    return write(tmp_path / "cmmd")


def test_patient_side_and_view_come_from_the_header(small):
    """Trap: neither the list nor the file names tell the side of an image."""
    images = cmmd.read(small).images
    assert images["image_id"].tolist() == ["_".join(row) for row in IMAGES]
    assert images["file"].iloc[0] == "CMMD/07-18-2010/1-1.dcm"


def test_the_other_breast_is_not_negative(small):
    """Trap: 1,458 images show a breast of which nothing is known; a biopsied one has a lesion."""
    negative = cmmd.read(small).images.set_index("image_id")["negative"]
    assert negative.pop("D1-0001_L_CC") is pd.NA
    assert negative.tolist() == [False] * 5


def test_a_class_without_a_place_is_no_lesion(small):
    """Trap: there are no outlines; an outline of the whole breast would be made up."""
    manifest = cmmd.read(small)
    assert manifest.lesions.empty
    names = ["D1-0001_R", "D1-1343_L", "D2-0002_L", "D2-0002_R"]
    assert reasons(manifest) == dict.fromkeys(names, "no place given")
    assert manifest.flow()["count"].tolist() == [6, 6, 4, -4, 0]


def test_without_lesions_it_is_refused_for_training(small):
    with pytest.raises(InputError, match="none of 0 lesions has a known pathology"):
        with_splits(cmmd.read(small))


def test_a_patient_has_no_class(small):
    """Trap: 30 women have a benign and a malignant breast; the class belongs to the side."""
    manifest, breasts = cmmd.read(small), cmmd.read_breasts(small)
    joined = manifest.images.merge(breasts, how="left", on=["patient_id", "laterality"])
    found = joined.set_index("image_id")["pathology"]
    assert found["D2-0002_L_CC"] == "malignant" and found["D2-0002_R_CC"] == "benign"
    assert pd.isna(found["D1-0001_L_CC"])
    assert manifest.counted["patients_benign_and_malignant"] == 1


def test_the_edge_comes_from_the_orientation(small):
    """Trap: columns lead away from the chest wall (A) or towards it (P)."""
    images = cmmd.read(small).images
    edges = images.groupby("laterality")["chest_wall"].unique().map(list).to_dict()
    assert edges == {"L": ["left"], "R": ["right"]}


def test_one_patient_has_16_bits(small):
    """Trap: D1-1343 has 16 bits and all others 8; read as 8 it would overflow."""
    bits = cmmd.read(small).images.groupby("patient_id")["bits"].unique().map(list).to_dict()
    assert bits == {"D1-0001": [8], "D1-1343": [16], "D2-0002": [8]}


def test_a_repeated_view_gets_an_id_of_its_own(small):
    write_image(small / "later.dcm", "D1-0001", "R", "CC")
    ids = cmmd.read(small).images["image_id"]
    assert ids.is_unique and "D1-0001_R_CC_2" in set(ids)


def test_the_list_may_be_an_xlsx(tmp_path):
    pytest.importorskip("openpyxl", reason="reading XLSX needs openpyxl")
    from_xlsx = cmmd.read_breasts(write(tmp_path / "a", suffix="xlsx"))
    assert from_xlsx.equals(cmmd.read_breasts(write(tmp_path / "b")))


def test_an_xlsx_that_cannot_be_read_is_asked_for_as_csv(small):
    (small / f"{LIST}.csv").rename(small / f"{LIST}.xlsx")
    with pytest.raises(InputError, match="save it as CSV") as caught:
        cmmd.read(small)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_used_are_listed_without_their_patient(small):
    """Trap: a foreign file's PatientID may be a real one; it is never passed on."""
    write_image(small / "foreign.dcm", "SECRET-17", "L", "CC")
    write_image(small / "sideless.dcm", "D1-0001", "L", "CC", ImageLaterality=None)
    (small / "broken.dcm").write_bytes(b"\0" * 200)
    manifest = cmmd.read(small)
    lost = reasons(manifest)
    assert lost["foreign.dcm"] == "its patient is not in the list"
    assert lost["sideless.dcm"] == "no side in its header"
    assert lost["broken.dcm"].startswith("DICOM")
    text = manifest.images.to_csv() + manifest.exclusions.to_csv()
    assert not any(trace in text for trace in TRACES)


def test_nothing_there_at_all(tmp_path):
    with pytest.raises(InputError, match="no clinical list"):
        cmmd.read(tmp_path)
    pd.DataFrame(BREASTS, columns=COLUMNS).to_csv(tmp_path / f"{LIST}.csv")
    with pytest.raises(InputError, match="no DICOM file"):
        cmmd.read(tmp_path)


def test_the_number_of_images_is_counted_unless_some_are_allowed_to_lack(small):
    """Trap: no list names the images; only their number tells that some are missing."""
    assert "images_total" in cmmd.read(small).counted
    assert "images_total" not in cmmd.read(small, partial=True).counted
