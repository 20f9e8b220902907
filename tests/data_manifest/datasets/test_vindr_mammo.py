"""VinDr-Mammo: boxes, categories, the official split and BI-RADS as a proxy, made up."""

import pytest
from made_up import reasons
from made_up_dicom import write_breast

from data_manifest.vindr_mammo import reader as vindr_mammo
from lesionlib.errors import InputError

HEAD = (
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,"
    "breast_density,finding_categories,finding_birads,xmin,ymin,xmax,ymax,split\n"
)
BOX = (10.5, 10.25, 20, 20)
# study, image, side, view, BI-RADS of the breast, categories, BI-RADS of the finding, box, split
ROWS = [
    ("s1", "a1", "L", "CC", 4, "['Mass']", 4, BOX, "training"),
    ("s1", "a1", "L", "CC", 4, "['Suspicious Calcification', 'Mass']", 3, BOX, "training"),
    ("s1", "a2", "L", "MLO", 4, "['No Finding']", None, None, "training"),
    ("s1", "a3", "R", "CC", 1, "['No Finding']", None, None, "training"),
    ("s1", "a4", "R", "MLO", 1, "['No Finding']", None, None, "training"),
    ("s2", "b1", "R", "CC", 5, "['Focal Asymmetry']", 5, BOX, "test"),
    ("s2", "b2", "R", "CC", 5, "['Skin Thickening']", None, BOX, "test"),  # the same view again
    ("s2", "b3", "L", "CC", 2, "['No Finding']", None, None, "test"),
]


def line(study, image, side, view, breast, categories, birads, box, split):
    birads = "" if birads is None else f"BI-RADS {birads}"
    corners = ",".join(map(str, box or ("", "", "", "")))
    head = f"{study},x,{image},{side},{view},40,30,BI-RADS {breast},DENSITY C"
    return f'{head},"{categories}",{birads},{corners},{split}\n'


def write(folder, rows=ROWS):
    folder.mkdir(exist_ok=True)
    (folder / "finding_annotations.csv").write_text(HEAD + "".join(line(*row) for row in rows))
    for study, image, side, *_ in rows:
        file = folder / "images" / study / f"{image}.dicom"
        if not file.exists():
            write_breast(file, side)
    return folder


@pytest.fixture
def small(tmp_path):
    return write(tmp_path / "vindr")


def changed(folder, old, new):
    file = folder / "finding_annotations.csv"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    return folder


# ------------------------------------------------------------------ boxes and categories
def test_boxes_become_lesions(small):
    """Trap: images without a finding have a row as well, "No Finding"."""
    lesions = vindr_mammo.read(small).lesions
    assert lesions["lesion_id"].tolist() == ["a1_1", "a1_2", "b1_1", "b2_1"]
    first = lesions.iloc[0]
    assert (first["geom"], first["x0"], first["y0"], first["x1"], first["y1"]) == ("box", *BOX)


def test_a_finding_may_have_several_categories(small):
    """Trap: categories are a Python list as text, and 174 boxes have more than one."""
    lesions = vindr_mammo.read(small).lesions
    assert lesions["kind"].tolist() == ["mass", "mass", "asymmetry", "other"]
    assert lesions["subtype"][1] == "Suspicious Calcification, Mass"


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        ("Mass", "mass"),
        ("Suspicious Calcification", "calc"),
        ("Architectural Distortion", "distortion"),
        ("Asymmetry", "asymmetry"),
        ("Global Asymmetry", "asymmetry"),
        ("Nipple Retraction", "other"),
        ("Suspicious Lymph Node", "other"),
    ],
)
def test_kinds(small, category, kind):
    changed(small, "['Mass']", f"['{category}']")
    assert vindr_mammo.read(small).lesions["kind"][0] == kind


@pytest.mark.parametrize(
    "text", ["Mass", "[", "['Mass', 3]", "['mass']", "[]", "'Mass'", "__import__('os')"]
)
def test_categories_are_read_as_literals_only(small, text):
    """Trap: text that looks like Python is not executed; what is no list of known ones is refused."""
    changed(small, "['Focal Asymmetry']", text)
    with pytest.raises(
        InputError, match=r"no list of known ones \(finding_annotations.csv, row 7\)"
    ):
        vindr_mammo.read(small)


def test_boxes_that_leave_their_image_are_clipped_and_counted(small):
    """Trap: 42 boxes of the set reach over the edge of their image."""
    changed(small, "10.5,10.25,20,20", "-3.5,10.25,20,41.5")
    with pytest.warns(UserWarning, match="1 of 4 boxes leave their image and are clipped"):
        manifest = vindr_mammo.read(small)
    assert manifest.lesions.loc[0, ["x0", "y0", "x1", "y1"]].tolist() == [0, 10.25, 20, 40]
    assert manifest.counted["boxes_partly_outside_image"] == 1


def test_boxes_that_cannot_be_used_are_reasons(small):
    changed(small, "BI-RADS 5,10.5,10.25,20,20", "BI-RADS 5,0,0,30,40")  # a global asymmetry, say
    changed(small, "20,20,test", "20,,test")  # a corner is not given: not the image's edge
    found = reasons(vindr_mammo.read(small))
    assert found["b1_1"].startswith("outline of 1200 px covers 100%")
    assert found["b2_1"].startswith("empty box")
    assert found["b1"] == found["b2"]


# ------------------------------------------------------------------ images
def test_the_study_is_the_patient(small):
    images = vindr_mammo.read(small).images
    assert images["patient_id"].tolist() == images["exam_id"].tolist()
    own = images.groupby("patient_id")["image_id"].apply(list).to_dict()
    assert own == {"s1": ["a1", "a3", "a4"], "s2": ["b1", "b2"]}
    assert set(images["rows"]) == {40} and set(images["cols"]) == {30}
    assert set(images["spacing_mm"]) == {0.07}


def test_a_view_may_be_doubled(small):
    """Trap: one breast has the same view twice; images go by their own id, not by side and view."""
    images = vindr_mammo.read(small).images.set_index("image_id")
    assert images.loc[["b1", "b2"], ["laterality", "view"]].to_numpy().tolist() == [["R", "CC"]] * 2


def test_only_a_whole_breast_of_birads_1_is_negative(small):
    """Trap: findings of BI-RADS 2 are not marked, so a breast without a box may hold one."""
    manifest = vindr_mammo.read(small)
    negative = manifest.images.set_index("image_id")["negative"]
    assert negative[["a3", "a4"]].tolist() == [True, True] and negative[["a1", "b1"]].isna().all()
    out = reasons(manifest)
    assert set(out) == {"a2", "b3"} and "no usable truth" in out["b3"]


def test_a_box_on_the_other_view_makes_a_breast_not_negative(small):
    """Trap: a finding seen on one view only; its other view has the row "No Finding"."""
    for image in ("a3", "a4"):
        changed(small, f"{image},R", f"{image},L")
    manifest = vindr_mammo.read(small)
    assert not manifest.images["negative"].fillna(False).any()
    assert {"a2", "a3", "a4"} <= set(reasons(manifest))


def test_the_official_test_set_stays_and_validation_can_be_drawn(small):
    """Trap: were training studies given their split, none would be left for validation."""
    splits = vindr_mammo.read(small).images.groupby("patient_id")["split"].unique()
    assert splits.map(list).to_dict() == {"s1": [""], "s2": ["test"]}


# ------------------------------------------------------------------ truth
def test_birads_as_a_stand_in(small):
    """Trap: the proxy has to be asked for; 125 boxes have no BI-RADS value and stay unknown."""
    lesions = vindr_mammo.read(small, truth="birads_proxy").lesions
    assert lesions["pathology"].tolist() == ["malignant", "benign", "malignant", "unknown"]
    assert set(lesions["truth"]) == {"birads_proxy"}


# ------------------------------------------------------------------ files
def test_nothing_there_at_all(small, tmp_path):
    with pytest.raises(InputError, match="no finding_annotations.csv"):
        vindr_mammo.read(tmp_path)
    (tmp_path / "finding_annotations.csv").write_text(HEAD + line(*ROWS[0]))
    with pytest.raises(InputError, match="1 of 1 image files are missing"):
        vindr_mammo.read(tmp_path, partial=True)
