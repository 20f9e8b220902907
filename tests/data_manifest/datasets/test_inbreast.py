"""INbreast: the list, the outlines, BI-RADS as a proxy; each trap of the set, made up."""

import plistlib

import pandas as pd
import pytest
from made_up import reasons
from made_up_dicom import write_breast

from data_manifest.inbreast import reader as inbreast
from data_manifest.manifest import with_findings_left_out
from lesionlib.errors import InputError

HEAD = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads\n"
SQUARE = [(12, 10), (20, 10), (20, 18), (12, 18)]  # half of it on the breast, at either edge
# file number, patient, side, view in the list, view in the file name, date, BI-RADS, regions
IMAGES = [
    ("20000001", "aa11", "R", "CC", "CC", "201002", "5", [("Mass", SQUARE)]),
    ("20000002", "aa11", "R", "MLO", "ML", "201002", "5", [("Cluster", SQUARE)]),
    ("20000003", "aa11", "R", "CC", "CC", "200801", "2", [("Mass", SQUARE)]),
    ("20000004", "bb22", "L", "CC", "CC", "201001", "1", []),
    ("20000005", "bb22", "L", "MLO", "ML", "201001", "1", []),
    ("20000006", "cc33", "L", "CC", "CC", "201001", "1", []),
    ("20000007", "cc33", "L", "MLO", "ML", "201001", "2", []),
    ("20000008", "cc33", "R", "FB", "FB", "201001", "2", [("Mass", SQUARE)]),
    ("20000009", "dd44", "L", "CC", "CC", "201001", "3", [("Distortion", SQUARE)]),
]


def name_of(number, patient, side, view):
    return f"{number}_{patient}_MG_{side}_{view}_ANON.dcm"


def write_regions(folder, number, regions):
    rois = [{"Name": name, "NumberOfPoints": len(points), "Point_px": [str(p) for p in points]}
            for name, points in regions]  # fmt: skip
    (folder / "AllXML").mkdir(exist_ok=True)
    file = folder / "AllXML" / f"{number}.xml"
    file.write_bytes(plistlib.dumps({"Images": [{"ImageIndex": 0, "ROIs": rois}]}))
    return file


def write(folder, images=IMAGES):
    rows = []
    (folder / "AllXML").mkdir(parents=True, exist_ok=True)
    for number, patient, side, view, view_in_name, date, birads, regions in images:
        rows.append(f"removed;removed;{side};{view};{date};{number};2;{birads}\n")
        write_breast(folder / "AllDICOMs" / name_of(number, patient, side, view_in_name), side)
        if regions:
            write_regions(folder, number, regions)
    (folder / "INbreast.csv").write_text(HEAD + "".join(rows))
    return folder


@pytest.fixture
def small(tmp_path):
    return write(tmp_path)


def one(folder, *regions, birads="5", **options):
    """The manifest of a set of two images: one with `regions`, and one with a mass of BI-RADS 2."""
    first = ("20000001", "aa11", "R", "CC", "CC", "201001", birads, list(regions))
    return inbreast.read(write(folder, [first, IMAGES[2]]), **options)


# ------------------------------------------------------------------ the list and the file names
def test_the_patient_is_in_the_file_name(small):
    """Trap: the list says `removed` for every patient; the hash is the second part of the name."""
    images = inbreast.read(small).images.set_index("image_id")
    assert images["patient_id"].tolist() == ["aa11"] * 3 + ["bb22"] * 2 + ["dd44"]
    assert images.index.tolist() == [f"2000000{k}" for k in (1, 2, 3, 4, 5, 9)]


def test_follow_ups_are_exams_of_one_patient(small):
    """Trap: up to nine images share a patient; exams differ by date, which is not kept."""
    images = inbreast.read(small).images.set_index("image_id")
    assert images.loc["20000003", "exam_id"] == "aa11_1"
    assert images.loc[["20000001", "20000002"], "exam_id"].tolist() == ["aa11_2", "aa11_2"]


def test_ml_in_a_file_name_is_mlo_and_fb_is_left_out(small):
    """Trap: file names write ML for MLO; one image has the view FB."""
    manifest = inbreast.read(small)
    assert manifest.images.set_index("image_id").loc["20000002", "view"] == "MLO"
    assert reasons(manifest)["20000008"] == "view FB: neither CC nor MLO"
    assert reasons(manifest)["20000008_1"] == "its image is left out"


def test_a_renamed_file_has_lost_its_patient(small):
    file = small / "AllDICOMs" / name_of("20000001", "aa11", "R", "CC")
    file.rename(small / "AllDICOMs" / "20000001.dcm")
    with pytest.raises(InputError, match="lacks the patient"):
        inbreast.read(small)


def test_commas_instead_of_semicolons(small):
    """Trap: the list is separated by semicolons, and spreadsheets write commas."""
    images, file = inbreast.read(small).images, small / "INbreast.csv"
    file.write_text(file.read_text().replace(";", ","))
    pd.testing.assert_frame_equal(inbreast.read(small).images, images)


# ------------------------------------------------------------------ outlines
def test_points_are_clipped_to_the_size_in_the_header(tmp_path):
    """Trap: sizes differ from image to image; a default of 4084 x 3328 would misplace outlines."""
    outside = [(-3.5, 10), (50, 10), (50, 20.25), (-3.5, 20.25)]
    manifest = one(tmp_path, ("Mass", outside))
    image, lesion = manifest.images.iloc[0], manifest.lesions.iloc[0]
    assert (image["rows"], image["cols"], image["bits"]) == (40, 30, 12)
    assert lesion["polygon"] == "0 10;30 10;30 20.25;0 20.25"


def test_marks_of_one_or_two_points_are_no_areas(tmp_path):
    """Trap: regions of one or two points are marks of a pixel, not outlines."""
    manifest = one(tmp_path, ("Point 1", SQUARE[:1]), ("Mass", SQUARE[:2]), ("Mass", SQUARE))
    assert manifest.lesions["lesion_id"].tolist() == ["20000001_3", "20000003_1"]
    assert reasons(manifest) == dict.fromkeys(
        ["20000001_1", "20000001_2"], "a mark of one or two points: no area"
    )


def test_outlines_that_cannot_be_used_are_reasons(tmp_path):
    speck = [(4, 4), (5, 4), (5, 5)]
    whole = [(0, 0), (30, 0), (30, 40), (0, 40)]
    found = reasons(one(tmp_path, ("Mass", speck), ("Mass", whole), ("Mass", SQUARE)))
    assert found["20000001_1"].startswith("outline of 0.5 px")
    assert found["20000001_2"].startswith("outline of 1200 px covers 100%")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Mass", "mass"),
        ("Spiculated Region", "mass"),
        ("Espiculated Region", "mass"),
        ("Cluster", "calc"),
        ("Calcifications", "calc"),
        ("Calcification", "calc"),
        ("Asymmetry", "asymmetry"),
        ("Assymetry", "asymmetry"),
        ("Distortion", "distortion"),
        ("Unnamed", "other"),
        ("Point 3", "other"),
    ],
)
def test_names_of_regions_vary(tmp_path, name, kind):
    """Trap: the same finding is spelt in several ways."""
    lesion = one(tmp_path, (name, SQUARE), single_calcifications=True).lesions.iloc[0]
    assert (lesion["kind"], lesion["subtype"], lesion["geom"]) == (kind, name, "polygon")


def test_single_grains_are_left_out_unless_asked_for(tmp_path):
    """Trap: every grain is outlined by itself; thousands of them would drown the findings."""
    regions = ("Calcification", SQUARE), ("Cluster", SQUARE)
    manifest = one(tmp_path, *regions)
    assert manifest.lesions["subtype"].tolist() == ["Cluster", "Mass"]
    assert reasons(manifest)["20000001_1"] == "a single calcification: no finding of its own"
    assert len(one(tmp_path, *regions, single_calcifications=True).lesions) == 3


def test_regions_left_out_on_an_image_that_stays(tmp_path):
    """Trap: a window off the mass could be on a grain, a mark or an outline that is left out."""
    whole = [(0, 0), (30, 0), (30, 40), (0, 40)]
    for name, points in (("Calcification", SQUARE), ("Point 1", SQUARE[:1]), ("Mass", whole)):
        manifest = one(tmp_path / name, (name, points), ("Mass", SQUARE))
        assert with_findings_left_out(manifest.exclusions) == {"20000001"}, name
        assert "20000001" in set(manifest.images["image_id"])
    assert not with_findings_left_out(one(tmp_path / "all", ("Mass", SQUARE)).exclusions)


def test_points_are_never_executed(small):
    """Trap: public loaders call eval() on the points; an outline file could run anything."""
    proof = small / "executed"
    write_regions(small, "20000001", [("Mass", [*SQUARE, f"open({str(proof)!r}, 'w')"])])
    assert reasons(inbreast.read(small))["20000001"] == "outlines not readable"
    assert not proof.exists()


def test_entities_are_not_expanded(small):
    """Trap: nested entities of XML turn a few hundred bytes into gigabytes."""
    levels = "".join(f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY e0 "lol">{levels}]>'
    text += "<plist><dict><key>Images</key><string>&e11;</string></dict></plist>"
    file = small / "AllXML" / "20000001.xml"
    file.write_text(text)
    assert reasons(inbreast.read(small))["20000001"] == "outlines not readable"
    with pytest.raises(InputError, match="not readable"):
        inbreast.read_regions(file)


@pytest.mark.parametrize("content", [b"", b"<plist>", b"bplist00", plistlib.dumps({"Images": []})])
def test_damaged_outline_files(small, content):
    file = small / "AllXML" / "20000001.xml"
    file.write_bytes(content)
    with pytest.raises(InputError, match="outlines not readable"):
        inbreast.read_regions(file)


# ------------------------------------------------------------------ truth
@pytest.mark.parametrize(
    ("birads", "pathology"),
    [("1", "benign"), ("2", "benign"), ("4a", "malignant"), ("4b", "malignant"),
     ("4c", "malignant"), ("5", "malignant"), ("6", "malignant"), ("3", None)],
)  # fmt: skip
def test_birads_as_a_stand_in(tmp_path, birads, pathology):
    """Trap: the proxy has to be asked for, says so in every row, and leaves BI-RADS 3 out."""
    manifest = one(tmp_path, ("Mass", SQUARE), birads=birads, truth="birads_proxy")
    assert set(manifest.lesions["truth"]) == {"birads_proxy"}
    found = manifest.lesions.set_index("image_id")["pathology"]
    assert found.get("20000001") == pathology
    if pathology is None:
        assert reasons(manifest)["20000001_1"].startswith("BI-RADS 3: neither")
        assert reasons(manifest)["20000001"].startswith("no usable truth")


def test_a_breast_is_negative_only_as_a_whole(small):
    """Trap: BI-RADS is given by image; a view of BI-RADS 1 next to one of 2 is not negative."""
    manifest = inbreast.read(small)
    negative = manifest.images.set_index("image_id")["negative"]
    assert negative[["20000004", "20000005"]].tolist() == [True, True]
    assert negative.drop(["20000004", "20000005"]).isna().all()
    assert {"20000006", "20000007"} <= set(reasons(manifest))  # neither outlined nor negative


def test_every_image_and_region_is_used_or_reasons(small):
    flow = inbreast.read(small, truth="birads_proxy").flow().set_index(["level", "stage"])["count"]
    assert flow["image"]["input"].sum() == 9 and flow["image"]["used"].sum() == 5
    assert flow["lesion"]["input"].sum() == 5 and flow["lesion"]["used"].sum() == 3


# ------------------------------------------------------------------ files
def test_files_that_cannot_be_used_are_reasons(small):
    """A damaged one, one of another side than the list says, and what a Mac leaves behind."""
    folder = small / "AllDICOMs"
    (folder / name_of("20000001", "aa11", "R", "CC")).write_bytes(b"\0" * 200)
    other = name_of("20000003", "aa11", "L", "CC")
    (folder / name_of("20000003", "aa11", "R", "CC")).rename(folder / other)
    (folder / "._20000001_aa11_MG_R_CC_ANON.dcm").write_bytes(b"mac")
    found = reasons(inbreast.read(small))
    assert found["20000001"].startswith("DICOM")
    assert found["20000003"].startswith("side or view differ")
    assert not any("._" in name for name in found)


def test_nothing_there_at_all(tmp_path):
    with pytest.raises(InputError, match="no INbreast.csv"):
        inbreast.read(tmp_path)
    (tmp_path / "INbreast.csv").write_text(HEAD)
    with pytest.raises(InputError, match="without rows"):
        inbreast.read(tmp_path)
    (tmp_path / "INbreast.csv").write_text(HEAD + "removed;;R;CC;201001;20000001;2;5\n")
    with pytest.raises(InputError, match="no folder AllXML"):
        inbreast.read(tmp_path)
    (tmp_path / "AllXML").mkdir()
    with pytest.raises(InputError, match="1 of 1 image files are missing"):
        inbreast.read(tmp_path, partial=True)
