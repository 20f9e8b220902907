"""EMBED: findings and files joined by breast, pathology only where it is beyond doubt."""

import numpy as np
import pandas as pd
import pytest
from made_up import TINY_CANVAS, reasons
from PIL import Image

from data_manifest.embed import reader as embed
from data_manifest.images.build import settings_of, tasks_of
from data_manifest.images.prepare import prepare
from data_manifest.manifest import with_findings_left_out
from lesionlib.errors import InputError

FINDING = dict(empi_anon="P1", acc_anon="A1", numfind="1", side="L", asses="S", bside="L",
               path_severity="0.0")  # fmt: skip
FILE = dict(empi_anon="P1", acc_anon="A1", FinalImageType="2D", ImageLateralityFinal="L",
            ViewPosition="CC", spot_mag="", ROI_coords="[[40, 30, 80, 60]]",
            match_level="[1]")  # fmt: skip


def finding(**changed) -> dict:
    return FINDING | changed


def file(name: str, **changed) -> dict:
    row = FILE | changed
    path = f"/mnt/nas/anon/cohort_1/{row['empi_anon']}/{row['acc_anon']}/{name}.dcm"
    return row | {"anon_dicom_path": path}


def write(folder, findings: list[dict], files: list[dict]):
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for name, rows in (("clinical", findings), ("metadata", files)):
        table = pd.DataFrame(rows).assign(not_needed="x")
        table.to_csv(folder / f"tables/EMBED_OpenData_{name}.csv", index=False)
    for row in files:
        place = folder / "images" / "/".join(row["anon_dicom_path"].split("/")[-4:])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"DICM")
    return folder


def read(folder, findings, files, **options):
    return embed.read(write(folder, findings, files), **options)


def test_one_finding_and_one_roi_on_each_view(tmp_path):
    files = [file("cc"), file("mlo", ViewPosition="MLO", ROI_coords="((10, 20, 30, 60),)")]
    manifest = read(tmp_path, [finding()], files)
    assert manifest.images["file"].iloc[0] == "images/cohort_1/P1/A1/cc.dcm"
    lesions = manifest.lesions
    assert lesions["finding_id"].tolist() == ["A1_L_1", "A1_L_1"]
    assert (lesions["pathology"] == "malignant").all() and (lesions["truth"] == "biopsy").all()
    assert lesions["birads"].tolist() == ["4", "4"]
    assert manifest.exclusions.empty


def test_roi_corners_come_y_first(tmp_path):
    """Trap: a box is [ymin, xmin, ymax, xmax]."""
    box = read(tmp_path, [finding()], [file("a")]).lesions.iloc[0]
    assert (box["x0"], box["y0"], box["x1"], box["y1"]) == (30, 40, 60, 80)


def test_findings_join_on_the_side_and_not_on_the_exam_alone(tmp_path):
    """Trap: joined on the exam, the left finding's pathology would land on the right breast."""
    rows = [finding(), finding(numfind="2", side="R", bside="R", path_severity="4")]
    files = [file("left"), file("right", ImageLateralityFinal="R")]
    lesions = read(tmp_path, rows, files).lesions.set_index("image_id")["pathology"]
    assert lesions.to_dict() == {"left": "malignant", "right": "benign"}


@pytest.mark.parametrize("side", ["B", ""])
def test_a_finding_of_both_sides_belongs_to_the_breast_of_its_biopsy(tmp_path, side):
    """Trap: side B or empty means both breasts, and the pathology holds for `bside` only."""
    files = [file("left"), file("right", ImageLateralityFinal="R")]
    manifest = read(tmp_path, [finding(side=side)], files)
    assert manifest.lesions["image_id"].tolist() == ["left"]
    assert reasons(manifest)["right_1"] == "no pathology of this breast"


def test_a_biopsy_of_the_other_side_gives_no_pathology(tmp_path):
    """Trap: bside differs from side."""
    manifest = read(tmp_path, [finding(bside="R"), finding(empi_anon="P2", acc_anon="A2")],
                    [file("a"), file("b", empi_anon="P2", acc_anon="A2")])  # fmt: skip
    assert manifest.lesions["image_id"].tolist() == ["b"]
    assert reasons(manifest)["a_1"] == "no pathology of this breast"


@pytest.mark.parametrize(
    ("severity", "pathology"),
    [("0", "malignant"), ("1.0", "malignant"), ("2", "benign"), ("3", "benign"), ("4", "benign"),
     ("5", None), ("6", None), ("", None)],
)  # fmt: skip
def test_path_severity(tmp_path, severity, pathology):
    """Trap: 0 is the most severe; 5 (normal tissue) and 6 (another cancer) are no lesion's class."""
    files = [file("a"), file("b", empi_anon="P2", acc_anon="A2")]
    rows = [finding(path_severity=severity), finding(empi_anon="P2", acc_anon="A2")]
    found = read(tmp_path, rows, files).lesions.set_index("image_id")["pathology"]
    assert found.get("a") == pathology


def test_high_risk_and_borderline_lesions_can_be_left_out(tmp_path):
    rows = [finding(path_severity="3"), finding(empi_anon="P2", acc_anon="A2", path_severity="4")]
    files = [file("a"), file("b", empi_anon="P2", acc_anon="A2")]
    manifest = read(tmp_path, rows, files, borderline="exclude")
    assert manifest.lesions["image_id"].tolist() == ["b"]
    assert reasons(manifest)["a_1"] == "path_severity 3 is taken for no class"
    with pytest.raises(InputError, match="borderline = 'maybe'"):
        embed.read(tmp_path, borderline="maybe")


def test_a_finding_with_several_specimens_has_its_most_severe_one(tmp_path):
    rows = [finding(path_severity="4"), finding(path_severity="1")]
    lesions = read(tmp_path, rows, [file("a")]).lesions
    assert lesions["pathology"].tolist() == ["malignant"]


def test_which_finding_an_roi_marks_is_not_guessed(tmp_path):
    """Trap: with several findings of a breast, nothing links an ROI to one of them."""
    other = dict(empi_anon="P2", acc_anon="A2")
    rows = [finding(), finding(numfind="2", path_severity="4"), finding(**other)]
    manifest = read(tmp_path, rows, [file("a"), file("b", **other)])
    assert manifest.lesions["image_id"].tolist() == ["b"]
    assert reasons(manifest)["a_1"] == "its breast has findings of several classes"


def test_several_findings_of_one_class_leave_no_doubt_about_the_class(tmp_path):
    rows = [finding(), finding(numfind="2", path_severity="1")]
    lesions = read(tmp_path, rows, [file("a")]).lesions
    assert lesions["pathology"].tolist() == ["malignant"]
    assert lesions["finding_id"].tolist() == ["a_1"]  # but which one it is stays open


def test_more_rois_than_findings(tmp_path):
    """Trap: one biopsied finding and two ROIs, one of which was never biopsied."""
    two = "[[40, 30, 80, 60], [90, 30, 99, 60]]"
    other = dict(empi_anon="P2", acc_anon="A2")
    files = [file("a", ROI_coords=two, match_level="[1, 1]"), file("b", **other)]
    manifest = read(tmp_path, [finding(), finding(**other)], files)
    assert manifest.lesions["image_id"].tolist() == ["b"]
    assert "more ROIs than findings" in reasons(manifest)["a_2"]


def test_a_negative_row_beside_a_finding_is_no_finding(tmp_path):
    rows = [finding(), finding(numfind="2", side="", asses="N", bside="", path_severity="")]
    assert len(read(tmp_path, rows, [file("a")]).lesions) == 1


def test_rois_carried_over_from_another_image_are_dropped(tmp_path):
    """Trap: match_level 2."""
    rows = [finding(), finding(numfind="2")]
    two = "[[40, 30, 80, 60], [90, 30, 99, 60]]"
    manifest = read(tmp_path, rows, [file("a", ROI_coords=two, match_level="[1, 2]")])
    assert manifest.lesions["lesion_id"].tolist() == ["a_1"]
    assert "match_level is not 1" in reasons(manifest)["a_2"]
    assert with_findings_left_out(manifest.exclusions) == {"a"}


def test_a_finding_without_an_roi_may_lie_anywhere_on_the_image(tmp_path):
    """Trap: two biopsied findings and one ROI: a window off the ROI could hold the other one."""
    other = dict(empi_anon="P2", acc_anon="A2")
    rows = [finding(), finding(numfind="2", path_severity="1"), finding(**other)]
    manifest = read(tmp_path, rows, [file("a"), file("b", **other)])
    assert reasons(manifest) == {"a_unmarked": "findings of its breast without an ROI"}
    assert with_findings_left_out(manifest.exclusions) == {"a"}


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("[[1, 2, 3, 4], [5, 6, 7, 8]]", [(1, 2, 3, 4), (5, 6, 7, 8)]),
        ("[(1.5, 2, 3, 4)]", [(1.5, 2, 3, 4)]),
        ("[]", []),
        ("[[1, 2, 3]]", []),
        ("__import__('os').system('x') or [[1, 2, 3, 4]]", []),
        ("[[1, 2, 3, 1e9]]", []),
    ],
)
def test_boxes_are_read_and_never_evaluated(text, boxes):
    """Trap: a list as text tempts to eval()."""
    assert embed.parse_boxes(text) == boxes


def test_an_roi_that_is_no_box_is_listed(tmp_path):
    other = dict(empi_anon="P2", acc_anon="A2")
    files = [file("a", ROI_coords="[[40, 30, 40, 60]]"), file("b", **other)]
    files.append(file("c", ROI_coords="roi 7", match_level="", ViewPosition="MLO"))
    manifest = read(tmp_path, [finding(), finding(**other)], files)
    assert reasons(manifest)["a_1"] == reasons(manifest)["c_1"] == "ROI_coords are no box"


def test_images_that_are_not_taken_are_listed_with_their_rois(tmp_path):
    files = [
        file("used"), file("c", FinalImageType="C-view"), file("s", spot_mag="1.0"),
        file("v", ViewPosition="XCCL"), file("n", ImageLateralityFinal=""),
    ]  # fmt: skip
    manifest = read(tmp_path, [finding()], files)
    assert manifest.images["image_id"].tolist() == ["used"]
    found = reasons(manifest)
    assert found["c"] == "image type not taken" and found["s"] == "spot or magnification view"
    assert found["v"] == "view is neither CC nor MLO" and found["n"] == "side is neither L nor R"
    assert found["v_1"] == "its image: view is neither CC nor MLO"
    flow = manifest.flow().set_index(["level", "stage"])["count"]
    assert flow["image"].loc["input"].sum() == 5 and flow["lesion"].loc["input"].sum() == 5
    both = read(tmp_path, [finding()], files, c_view=True)
    assert both.images.set_index("image_id")["source"].to_dict() == {"used": "ffdm", "c": "synth2d"}


def test_negative_breasts(tmp_path):
    """Trap: a breast without an ROI is not negative if it was biopsied, now or in another exam."""
    none = dict(ROI_coords="[]", match_level="[]")
    clear = dict(asses="N", bside="", path_severity="", side="")
    rows = [
        finding(),  # P1's left breast
        finding(acc_anon="A0", **clear),  # an earlier exam of P1, both breasts clear
        finding(empi_anon="P3", acc_anon="A3", asses="A", bside="", path_severity=""),
    ]
    files = [
        file("lesion"), file("mlo", ViewPosition="MLO", **none),
        file("before_left", acc_anon="A0", **none),
        file("before_right", acc_anon="A0", ImageLateralityFinal="R", **none),
        file("recalled", empi_anon="P3", acc_anon="A3", **none),
    ]  # fmt: skip
    manifest = read(tmp_path, rows, files)
    negative = manifest.images.set_index("image_id")["negative"]
    assert negative.to_dict() == {"lesion": False, "before_right": True}
    assert set(reasons(manifest)) == {"mlo", "before_left", "recalled"}


def test_a_breast_with_an_roi_or_one_suspicious_finding_is_not_negative(tmp_path):
    """Trap: one clear finding, or one clear view, does not make a breast negative."""
    clear = dict(asses="B", bside="", path_severity="")
    marked, doubted = (dict(empi_anon=f"P{k}", acc_anon=f"A{k}") for k in (2, 3))
    none = dict(ROI_coords="[]", match_level="[]")
    rows = [finding(), finding(**marked, **clear), finding(**doubted, **clear)]
    rows.append(finding(**doubted, **clear | {"numfind": "2", "asses": "S"}))
    files = [file("used"), file("roi", **marked), file("doubted", **doubted, **none)]
    files.append(file("other_view", **marked, ViewPosition="MLO", **none))
    manifest = read(tmp_path, rows, files)
    assert manifest.images["image_id"].tolist() == ["used"]
    assert {"roi", "other_view", "doubted"} <= set(reasons(manifest))


def test_a_path_in_the_table_does_not_leave_the_folder(tmp_path):
    """Trap: the path is another's, and could lead anywhere."""
    (tmp_path / "images/x").mkdir(parents=True)
    (tmp_path / "images/x/a.dcm").touch()
    write(tmp_path, [finding()], [file("a")])
    metadata = tmp_path / "tables/EMBED_OpenData_metadata.csv"
    pd.DataFrame([FILE | {"anon_dicom_path": "/x/../../../a.dcm"}]).to_csv(metadata, index=False)
    assert embed.read(tmp_path).images["file"].tolist() == ["images/x/a.dcm"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("bside", "B"), ("bside", "left"), ("side", "X"), ("asses", "4"), ("path_severity", "7"),
     ("path_severity", "benign"), ("spot_mag", "yes")],
)  # fmt: skip
def test_an_unknown_code_is_refused_with_its_row(tmp_path, column, value):
    """Trap: a biopsy of the side "B" was of no breast, and both breasts could be called negative."""
    change = {column: value}
    rows = [finding(), finding(**change if column in FINDING else {})]
    files = [file("a"), file("b", **change if column in FILE else {})]
    with pytest.raises(InputError, match=rf"{column} is not .*row 3\)\. Take the list as distr"):
        read(tmp_path, rows, files)


@pytest.mark.parametrize("column", ["empi_anon", "acc_anon"])
@pytest.mark.parametrize("value", ["8.09913E+15", "8,09913E+15", "8.09913e+15", "1E+15"])
def test_ids_that_a_spreadsheet_has_rounded_are_refused(tmp_path, column, value):
    """Trap: two exams of one woman share a rounded id, and the biopsy of one goes to the other."""
    with pytest.raises(InputError, match=rf"{column} is not whole: a spreadsheet .*row 2\)"):
        read(tmp_path, [finding(**{column: value})], [file("a")])
    with pytest.raises(InputError, match=rf"{column} is not whole"):
        read(tmp_path, [finding()], [file("a", **{column: value})])


def test_a_file_that_is_listed_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="image_id 'a' occurs more than once"):
        read(tmp_path, [finding()], [file("a"), file("a")])


def test_absent_columns_and_tables(tmp_path):
    with pytest.raises(InputError, match="no EMBED_OpenData_clinical.csv"):
        embed.read(tmp_path)
    write(tmp_path, [finding()], [file("a")])
    clinical = tmp_path / "tables/EMBED_OpenData_clinical.csv"
    pd.read_csv(clinical).drop(columns="bside").to_csv(clinical, index=False)
    with pytest.raises(InputError, match="column 'bside' is missing") as caught:
        embed.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_reduced_tables_do(tmp_path):
    write(tmp_path, [finding()], [file("a")])
    for name in ("clinical", "metadata"):
        whole = tmp_path / f"tables/EMBED_OpenData_{name}.csv"
        whole.rename(whole.with_stem(f"{whole.stem}_reduced"))
    assert len(embed.read(tmp_path).lesions) == 1


def test_an_roi_on_the_wrong_side_is_reported_when_the_image_is_read(tmp_path):
    """Trap: some ROIs are at the mirrored place, off the breast (issue 9 of the set)."""
    files = [file("a"), file("b", ViewPosition="MLO", ROI_coords="[[40, 115, 80, 127]]")]
    manifest = read(tmp_path, [finding()], files)
    pixels = np.zeros((160, 128), np.uint8)
    pixels[10:150, :90] = 100  # a left breast
    for row in manifest.images["file"]:
        Image.fromarray(pixels).save(tmp_path / row, format="png")
    settings = settings_of(manifest, TINY_CANVAS)
    right, wrong = (prepare(task) for task in tasks_of(manifest, settings))
    assert not right.exclusions and np.asarray(right.canvas).any()
    assert ("lesion", "b_1") in [row[:2] for row in wrong.exclusions]
    assert "outline is off the breast" in wrong.exclusions[0][2]
