"""The table format: what it accepts, and the one line for everything it refuses."""

import os
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from openpyxl import Workbook
from PIL import Image
from tiny_table import edit

from data_manifest import registry
from data_manifest.images.prepare import Task, prepare
from data_manifest.table import reader as table
from lesionlib.errors import InputError


def task_of(manifest):
    """The only image of a manifest on a canvas of its own size."""
    (image,) = manifest.images.to_dict("records")
    sizes = {"rows": image["rows"], "cols": image["cols"], "scale": 1.0, "buffer": 0}
    lesions = manifest.lesions.astype(object).where(manifest.lesions.notna(), None)
    lesions = lesions.to_dict("records")
    return Task(str(manifest.root), image, lesions, **sizes, background="zero", dtype="uint8")


def cell(folder, name, row, column, value):
    def change(frame):
        frame.loc[row, column] = value

    edit(folder, name, change)


def test_a_valid_folder(tiny_table):
    manifest = table.read(tiny_table, name="tiny")
    assert manifest.name == "tiny"
    assert (len(manifest.images), len(manifest.lesions)) == (24, 20)
    splits = manifest.images["split"].value_counts().to_dict()
    assert splits == {"training": 12, "validation": 6, "test": 6}
    assert manifest.exclusions.empty


def test_a_lesion_id_on_two_views_is_one_finding(tiny_table):
    lesions = table.read(tiny_table).lesions
    both = lesions[lesions["finding_id"] == "P01_1"]
    assert both["lesion_id"].tolist() == ["P01_1@P01_CC", "P01_1@P01_MLO"]
    edit(tiny_table, "lesions.csv", lambda f: f[f["image_id"] != "P01_MLO"])
    edit(tiny_table, "images.csv", lambda f: f[f["image_id"] != "P01_MLO"])
    alone = table.read(tiny_table).lesions
    assert alone.loc[alone["finding_id"] == "P01_1", "lesion_id"].tolist() == ["P01_1"]


def test_a_finding_id_column_is_taken_as_it_is(tiny_table):
    def rename(frame):
        own = frame["lesion_id"] + "_" + frame["image_id"].str[-3:]
        return frame.assign(finding_id="F" + frame["lesion_id"], lesion_id=own)

    edit(tiny_table, "lesions.csv", rename)
    cell(tiny_table, "lesions.csv", 19, "finding_id", "")  # seen on one view
    lesions = table.read(tiny_table).lesions
    assert lesions["lesion_id"].iloc[[0, -1]].tolist() == ["P01_1__CC", "P11_1_MLO"]
    assert lesions["finding_id"].iloc[[0, -1]].tolist() == ["FP01_1", "P11_1_MLO"]


def test_short_split_names_semicolons_and_a_byte_order_mark(tiny_table):
    short = {"training": "train", "validation": "val"}
    edit(tiny_table, "images.csv", lambda f: f.assign(split=f["split"].replace(short)))
    for row in (12, 13):  # a patient of the validation part
        cell(tiny_table, "images.csv", row, "split", "valid")
    for name in ("images.csv", "lesions.csv"):
        text = (tiny_table / name).read_text().replace(",", ";").replace("\n", "\r\n")
        (tiny_table / name).write_text(text, encoding="utf-8-sig", newline="")
    assert set(table.read(tiny_table).images["split"]) == {"training", "validation", "test"}


def test_only_the_required_columns_are_needed(tiny_table):
    edit(tiny_table, "images.csv", lambda f: f[list(table.REQUIRED["images.csv"])])
    manifest = table.read(tiny_table)
    assert (manifest.images["split"] == "").all() and manifest.images["negative"].isna().all()
    assert (manifest.images["rows"] == 0).all() and (manifest.images["bits"] == 16).all()


REQUIRED = [("images.csv", c) for c in "image_id patient_id laterality view file".split()]
REQUIRED += [("lesions.csv", c) for c in "image_id lesion_id pathology geom".split()]


@pytest.mark.parametrize(("name", "column"), REQUIRED)
def test_each_of_the_required_columns_is_needed(tiny_table, name, column):
    edit(tiny_table, name, lambda f: f.drop(columns=column))
    with pytest.raises(InputError, match=f"column '{column}' is missing .{name}"):
        table.read(tiny_table)


def test_rare_columns_are_kept_where_the_table_has_them(tiny_table):
    assert "accept" not in table.read(tiny_table).images
    edit(tiny_table, "images.csv", lambda f: f.assign(accept="burned_in", density="B"))
    edit(tiny_table, "lesions.csv", lambda f: f.assign(resized="yes"))
    manifest = table.read(tiny_table)
    assert (manifest.images[["accept", "density"]] == ("burned_in", "B")).all(axis=None)
    assert manifest.lesions["resized"].all()


CASES = [
    ("images.csv", "file", "png/none.png", "1 of 24 files are missing, first png/none.png"),
    ("images.csv", "file", "../x.png", "'../x.png' leaves the data folder"),
    ("images.csv", "file", "/etc/x.png", "leaves the data folder"),
    ("images.csv", "file", "C:/x.png", "leaves the data folder"),
    ("images.csv", "file", "png\\P01_CC.png", "leaves the data folder"),
    ("images.csv", "rows", "abc", "rows = 'abc' is not a whole number (images.csv, row 2)"),
    ("images.csv", "rows", "16.5", "rows = '16.5' is not a whole number"),
    (
        "images.csv",
        "negative",
        "maybe",
        "'maybe' is not one of true, 1, yes, false, 0, no, (empty)",
    ),
    ("images.csv", "split", "dev", "split = 'dev' is not one of"),
    ("lesions.csv", "image_id", "P99_CC", "names the unknown image 'P99_CC'"),
    ("lesions.csv", "mask_file", "png/no.png", "1 of 20 files are missing, first png/no.png"),
    ("lesions.csv", "mask_file", "../x.png", "'../x.png' leaves the data folder"),
    ("lesions.csv", "pathology", "benign", "finding P01_1 has 2 pathologies"),
    (
        "lesions.csv",
        "geom",
        "",
        "geom is empty (lesions.csv, row 2). Write one of mask, polygon, box, circle",
    ),
]


@pytest.mark.parametrize(("name", "column", "value", "words"), CASES)
def test_a_fault_is_refused_in_one_line_with_its_remedy(tiny_table, name, column, value, words):
    cell(tiny_table, name, 0, column, value)
    with pytest.raises(InputError) as caught:
        table.read(tiny_table)
    text = str(caught.value)
    assert words in text and "\n" not in text and caught.value.remedy


def test_an_empty_pathology_is_unknown(tiny_table):
    cell(tiny_table, "lesions.csv", 0, "pathology", "")
    assert table.read(tiny_table).lesions["pathology"].iloc[0] == "unknown"


def test_the_words_for_yes_and_no(tiny_table):
    words = {8: "true", 9: "1", 10: "Yes", 11: "TRUE", 16: "false", 17: "0", 22: "No", 23: ""}
    for row, word in words.items():  # of the images without a lesion
        cell(tiny_table, "images.csv", row, "negative", word)
    negative = table.read(tiny_table).images["negative"][list(words)]
    assert negative.tolist() == [True] * 4 + [False] * 3 + [pd.NA]


def test_an_empty_number_is_the_default(tiny_table):
    for column in ("rows", "cols", "bits", "spacing_mm"):
        cell(tiny_table, "images.csv", 0, column, "")
    first, second = table.read(tiny_table).images.iloc[:2].to_dict("records")
    assert (first["rows"], first["cols"], first["bits"]) == (0, 0, 16)
    assert (second["rows"], second["cols"], second["bits"]) == (160, 128, 8)
    assert pd.isna(first["spacing_mm"]) and second["spacing_mm"] == 0.1


def test_texts_that_look_like_numbers_or_nothing_stay_texts(tiny_table):
    """Traps: pandas makes the patient 007 the number 7, and the patient NA nobody."""
    for row, patient in enumerate(("007", "NA", " 1.0 ")):
        for view in (2 * row, 2 * row + 1):
            cell(tiny_table, "images.csv", view, "patient_id", patient)
    assert table.read(tiny_table).images["patient_id"].iloc[:6:2].tolist() == ["007", "NA", "1.0"]


def test_the_same_lesion_twice_on_one_image(tiny_table):
    edit(tiny_table, "lesions.csv", lambda f: pd.concat([f, f.iloc[:1]]))
    with pytest.raises(InputError, match="lesion_id 'P01_1' occurs twice on image P01_CC"):
        table.read(tiny_table)


def test_missing_tables_and_columns(tiny_table):
    edit(tiny_table, "lesions.csv", lambda f: f.rename(columns={"pathology": "patology"}))
    with pytest.raises(InputError, match="'pathology' is missing .*Rename 'patology'"):
        table.read(tiny_table)
    (tiny_table / "lesions.csv").unlink()
    with pytest.raises(InputError, match="no lesions.csv"):
        table.read(tiny_table)


def test_a_misspelt_optional_column_is_not_passed_over(tiny_table):
    edit(tiny_table, "images.csv", lambda f: f.rename(columns={"split": "splitt"}))
    with pytest.raises(InputError, match="unknown column 'splitt' .*Did you mean 'split'"):
        table.read(tiny_table)


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        ("SPLIT", "split"),
        ("Exam ID", "exam_id"),
        ("chest-wall", "chest_wall"),
        ("Resized", "resized"),
    ],
)
def test_an_optional_column_in_other_letters_is_not_passed_over(tiny_table, column, meant):
    def change(frame):
        return frame.drop(columns=meant, errors="ignore").assign(**{column: ""})

    edit(tiny_table, "images.csv", change)
    with pytest.raises(InputError, match=f"unknown column '{column}' .*Did you mean '{meant}'"):
        table.read(tiny_table)


def test_foreign_columns_are_left_alone(tiny_table):
    edit(tiny_table, "images.csv", lambda f: f.assign(manufacturer="A", age="50"))
    assert len(table.read(tiny_table).images) == 24


def test_files_that_are_no_tables(tiny_table):
    (tiny_table / "images.csv").write_bytes(b"\xff\xfe\x00\x80 no text")
    with pytest.raises(InputError, match="not UTF-8"):
        table.read(tiny_table)
    (tiny_table / "images.csv").write_text("")
    with pytest.raises(InputError, match="not a readable table"):
        table.read(tiny_table)
    (tiny_table / "images.csv").write_text("image_id,patient_id,laterality,view,file\n")
    with pytest.raises(InputError, match="no images"):
        table.read(tiny_table)


def test_links_out_of_the_folder_are_refused(tiny_table, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tiny_table / "png" / "P01_CC.png").rename(outside / "P01_CC.png")
    os.symlink(outside / "P01_CC.png", tiny_table / "png" / "P01_CC.png")
    with pytest.raises(InputError, match="link out of the data folder"):
        table.read(tiny_table)
    os.symlink(outside, tiny_table / "more")
    cell(tiny_table, "images.csv", 0, "file", "more/P01_CC.png")
    with pytest.raises(InputError, match="link out of the data folder"):
        table.read(tiny_table)


def test_links_inside_the_folder_and_to_it_are_followed(tiny_table, tmp_path):
    os.symlink("P02_CC.png", tiny_table / "png" / "link.png")
    cell(tiny_table, "images.csv", 0, "file", "png/link.png")
    os.symlink(tiny_table, tmp_path / "elsewhere")
    assert len(table.read(tmp_path / "elsewhere").images) == 24


def test_missing_images_can_be_listed_instead(tiny_table):
    (tiny_table / "png" / "P01_CC.png").unlink()
    manifest = table.read(tiny_table, partial=True)
    assert manifest.exclusions[["level", "id", "reason"]].to_numpy().tolist() == [
        ["image", "P01_CC", "image file missing"],
        ["lesion", "P01_1@P01_CC", "image file missing"],
    ]
    flow = manifest.flow().set_index(["level", "reason"])["count"]
    assert flow["image"].tolist() == [24, -1, 23] and flow["lesion"].tolist() == [20, -1, 19]
    (tiny_table / "png" / "P02_CC_lesion1.png").unlink()  # of an image that is there
    with pytest.raises(InputError, match="1 of 20 files are missing,.*remove the rows"):
        table.read(tiny_table, partial=True)


def test_the_private_archive_of_the_page_is_read(tmp_path):
    """The example of data_manifest/table, as a user would copy it; its polygon is on no small image."""
    page = Path(__file__).parents[3] / "data_manifest" / "table" / "README.md"
    blocks = page.read_text(encoding="utf-8").split("```\n")
    starts = {"images.csv": "image_id,patient_id", "lesions.csv": "image_id,lesion_id"}
    for name, start in starts.items():
        (text,) = (block for block in blocks if block.startswith(start))
        (tmp_path / name).write_text(text)
    for file in ("2019/a1_cc.dcm", "2019/a1_mlo.dcm", "2020/b7_cc.dcm", "masks/a1_cc.png"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    manifest = table.read(tmp_path)
    assert manifest.images["patient_id"].tolist() == ["a1", "a1", "b7"]
    assert manifest.lesions["finding_id"].tolist() == ["a1_1", "a1_1"]
    assert manifest.lesions["lesion_id"].tolist() == ["a1_1@a1_cc", "a1_1@a1_mlo"]
    assert manifest.images["negative"].tolist()[2] is True


# ------------------------------------------------------------------ from spreadsheets
IMAGES = "image_id,patient_id,laterality,view,file\n1-2,p1,L,CC,a.png\n3-4,p2,R,MLO,a.png\n"
LESIONS = (
    "image_id,lesion_id,pathology,geom,x0,y0,x1,y1\n"
    "1-2,l1,benign,box,10.5,10,20.5,20\n3-4,l2,malignant,box,10,10,20,20\n"
)


def semicolons(text):
    return text.replace(",", ";")


@pytest.fixture
def sheets(tmp_path):
    """write(images, lesions) -> folder with an image and the two tables, text or bytes."""

    def write(images=IMAGES, lesions=LESIONS):
        Image.fromarray(np.full((200, 150), 9, np.uint8)).save(tmp_path / "a.png")
        for name, text in (("images.csv", images), ("lesions.csv", lesions)):
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("images", "lesions"),
    [
        ("sep=;\n" + semicolons(IMAGES), LESIONS),
        ('"sep=,"\r\n' + IMAGES, "sep=\t\n" + LESIONS.replace(",", "\t")),
        (IMAGES.replace(",", "\t"), LESIONS.replace(",", "|")),
        (
            semicolons(IMAGES).replace("file\n", "file;a, b\n").replace("a.png", "a.png;x"),
            semicolons(LESIONS).replace("y1\n", "y1;one, two, three\n").replace("20\n", "20;x\n"),
        ),
        (IMAGES.encode("utf-16"), LESIONS.encode("utf-16-be").join([b"\xfe\xff", b""])),
        (IMAGES.replace("\n", "\r"), "sep=,\r" + LESIONS.replace("\n", "\r")),
        ("\n,,,,\n" + IMAGES, "\t\t\n" + LESIONS.replace(",", "\t")),
        (IMAGES + ",,,,\n ,,,,\n", LESIONS + ",,,,,,,\n\n"),
        ("\ufeff" + IMAGES.replace("image_id", '"image_id"'), LESIONS.replace(",", ", ")),
    ],
)
def test_tables_as_spreadsheets_write_them_are_read(sheets, images, lesions):
    found = table.read(sheets(images, lesions))
    assert found.images["image_id"].tolist() == ["1-2", "3-4"]
    assert found.lesions[["x0", "y0", "x1", "y1"]].sum().tolist() == [20.5, 20, 40.5, 40]


def of_points(start, length):
    """A polygon on the image, cut to `length` characters."""
    t = start + np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    return ";".join(f"{75 + 40 * np.cos(a):.2f} {75 + 40 * np.sin(a):.2f}" for a in t)[:length]


POLYGON = "image_id,lesion_id,pathology,geom,polygon\n1-2,l1,benign,polygon,{}\n"
AS_TEXT = "column formatted as text"


@pytest.mark.parametrize(
    ("images", "lesions", "words"),
    [
        (IMAGES + "2 images,,,,\n", LESIONS, "patient_id is empty (images.csv, row 4). Fill "),
        (IMAGES + "\n,,,,\nTotal,,,,2\n", LESIONS, "patient_id is empty (images.csv, row 6)"),
        (IMAGES, LESIONS + "2,,,,,,,\n", "lesion_id is empty (lesions.csv, row 4)"),
        (IMAGES + "5,p3,L,CC,a.png,x\n", LESIONS, "more fields than the header ... row 4"),
        (IMAGES.replace(".png", ".png,x"), LESIONS, "more fields than the header (images.csv)"),
        (IMAGES.replace("file", "file, view"), LESIONS, "column 'view' occurs twice"),
        (IMAGES.replace("3-4", "#NAME?"), LESIONS, "image_id = '#NAME?' is a spreadsheet's error"),
        (IMAGES, LESIONS.replace("1-2", "01. Feb"), f"'01. Feb' is a date ... {AS_TEXT}"),
        (IMAGES.replace("1-2", "01-2"), LESIONS, "the unknown image '1-2' ... Write '01-2'"),
        (IMAGES, semicolons(LESIONS).replace("10.5", "10,5"), "'10,5' is not a ... decimal point"),
        (IMAGES, POLYGON.format(of_points(0, 32_767)), "where a spreadsheet cuts a cell"),
        (IMAGES, POLYGON.format(of_points(0, 32_766) + " "), "where a spreadsheet cuts a cell"),
        (IMAGES.replace("file", "view"), LESIONS, "column 'view' occurs twice"),
        (IMAGES, LESIONS.replace("y1\n", "y1,X0\n"), "column 'x0' occurs twice"),
        ("Two patients,,,,\n" + IMAGES, LESIONS, "'image_id' is missing ... first row names them"),
        (IMAGES.replace("image_id", "IMAGE_ID"), LESIONS, "is missing ... Rename 'IMAGE_ID'"),
        (IMAGES.replace("p2", "p\0002"), LESIONS, "it holds NUL (images.csv, row 3)"),
        (IMAGES + "\0" * 512, LESIONS, "it holds NUL (images.csv, row 4)"),
        (
            IMAGES.replace("file", "file,note").replace("a.png", 'a.png,"large'),
            LESIONS,
            "a stray quote (images.csv, row 3). Close the quote",
        ),
        (IMAGES.replace("a.png", '"a.png', 1), LESIONS, "a stray quote (images.csv, row 3)"),
    ],
)
def test_what_spreadsheets_spoilt_is_refused_with_its_remedy(sheets, images, lesions, words):
    with pytest.raises(InputError) as caught:
        table.read(sheets(images, lesions))
    assert all(part in str(caught.value) for part in words.split(" ... "))


@pytest.mark.parametrize("quoted", ['"a.png" ', '"a.png"  ,note'])
def test_a_blank_after_a_closing_quote_is_no_part_of_the_value(sheets, quoted):
    header = IMAGES.replace("file", "file,note") if quoted.endswith("note") else IMAGES
    found = table.read(sheets(header.replace("a.png", quoted, 1), LESIONS))
    assert found.images["file"].tolist() == table.read(sheets()).images["file"].tolist()


def test_a_polygon_of_another_length_is_read(sheets):
    found = table.read(sheets(IMAGES, POLYGON.format(of_points(0, -1))))
    assert found.lesions["polygon"].str.len().item() > 40_000


def test_workbooks_are_read_in_place_of_the_tables(sheets):
    folder = sheets()
    as_csv = table.read(folder)
    for name in ("images", "lesions"):
        frame = pd.read_csv(folder / f"{name}.csv").assign(remark=1.5)
        frame.loc[len(frame)] = None
        frame.to_excel(folder / f"{name}.xlsx", index=False)
        with pytest.raises(InputError, match=f"{name}.csv and {name}.xlsx .*Keep the one"):
            table.read(folder)
        (folder / f"{name}.csv").unlink()
    as_xlsx = table.read(folder)
    pd.testing.assert_frame_equal(as_xlsx.images, as_csv.images)
    pd.testing.assert_frame_equal(as_xlsx.lesions, as_csv.lesions)
    (folder / "images.xlsx").rename(folder / "images.xls")
    with pytest.raises(InputError, match="old form .*images.xls.*Save it as .xlsx"):
        table.read(folder)


def test_merged_cells_of_a_workbook_are_refused(sheets):
    """Trap: all but the first of them are empty, and an empty split is drawn."""
    folder, book = sheets(), Workbook()
    for line in IMAGES.replace("file\n", "file,split\n").splitlines():
        book.active.append(line.split(","))
    book.active["F2"] = "test"
    (folder / "images.csv").unlink()
    book.save(folder / "images.xlsx")
    assert table.read(folder).images["split"].tolist() == ["test", ""]
    book.active.merge_cells("F2:F3")
    book.save(folder / "images.xlsx")
    with pytest.raises(InputError, match="merged cells .images.xlsx, cells F2:F3.. Unmerge"):
        table.read(folder)


def test_lesions_with_one_outline_are_refused(sheets):
    """Trap: two rows that name a mask of two lesions would both be all of it."""
    one = "image_id,lesion_id,pathology,geom,mask_file,mask_value\n1-2,l1,benign,mask,a.png,1\n"
    assert len(table.read(sheets(IMAGES, one + "1-2,l2,malignant,mask,a.png,2\n")).lesions) == 2
    for other in ("1-2,l2,malignant,mask,a.png,1\n", "1-2,l2,benign,mask,a.png,1\n"):
        with pytest.raises(InputError, match="lesion l2 has the outline of another .*mask_value"):
            table.read(sheets(IMAGES, one + other))


@pytest.mark.parametrize("value", [123456789012345678, datetime(2012, 2, 1), 1e16])
def test_ids_that_a_workbook_has_lost_are_refused(sheets, value):
    """Trap: a number keeps 15 digits in a cell, and two long ids become one."""
    folder = sheets()
    pd.read_csv(folder / "images.csv").assign(patient_id=value).to_excel(folder / "images.xlsx")
    (folder / "images.csv").unlink()
    with pytest.raises(InputError, match=AS_TEXT):
        table.read(folder)


# ------------------------------------------------------------------ files of another size
@pytest.mark.parametrize("geom", ["box", "circle", "polygon", "mask"])
def test_shapes_of_a_resized_image_are_where_its_file_has_them(tmp_path, geom):
    """Positions are px of the file, 100 x 200 px here; the image is used at 400 x 300."""
    y, x = np.mgrid[0:100, 0:200] + 0.5
    mass = (x - 60) ** 2 + (y - 40) ** 2 <= 20**2
    Image.fromarray(np.where(mass, 250, 90).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(mass.astype(np.uint8) * 255).save(tmp_path / "m.png")
    images = "image_id,patient_id,laterality,view,file,rows,cols,resized\n"
    (tmp_path / "images.csv").write_text(images + "a,p,L,CC,a.png,400,300,1\n")
    t = np.linspace(0, 2 * np.pi, 90)
    polygon = ";".join(f"{60 + 20 * np.cos(a):.2f} {40 + 20 * np.sin(a):.2f}" for a in t)
    (tmp_path / "lesions.csv").write_text(
        "image_id,lesion_id,pathology,geom,x0,y0,x1,y1,cx,cy,r,polygon,mask_file\n"
        f"a,l,benign,{geom},40,20,80,60,60,40,20,{polygon},m.png\n"
    )
    prepared = prepare(task_of(table.read(tmp_path)))
    (row,) = prepared.lesions
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(row["bits"]), np.uint8))
    shape = bits[: row["rows"] * row["cols"]].reshape(row["rows"], row["cols"]).astype(bool)
    outline = np.zeros_like(prepared.canvas, bool)
    outline[row["row0"] :, row["col0"] :][: row["rows"], : row["cols"]] = shape
    mass = prepared.canvas > 200
    assert (outline & mass).sum() > 0.98 * mass.sum()
    assert (outline & ~mass).sum() < (0.3 if geom == "box" else 0.03) * mass.sum()


def test_a_resized_image_needs_a_size(tiny_table):
    edit(tiny_table, "images.csv", lambda f: f.assign(resized="true", rows=""))
    with pytest.raises(InputError, match="resized, but rows or cols is empty .*P01_CC"):
        table.read(tiny_table)


# ------------------------------------------------------------------ the registry
def test_folders_and_options(tiny_table, tmp_path):
    with pytest.raises(InputError, match="no such data folder"):
        registry.read("table", tmp_path / "none")
    with pytest.raises(InputError, match="no folder given"):
        registry.read("table", None)
    with pytest.raises(InputError, match="no option 'partal' .*did you mean 'partial'"):
        registry.read("table", tiny_table, partal=True)


def test_readers_of_other_packages_are_found_but_take_over_no_name(monkeypatch, tiny_table):
    def entry(name):
        return SimpleNamespace(name=name, load=lambda: lambda folder: f"read {folder.name}")

    groups = {"data_manifest.readers": [entry("ours"), entry("table")]}
    monkeypatch.setattr(registry, "entry_points", lambda group: groups[group])
    assert "ours" in registry.names()
    assert registry.read("ours", tiny_table) == "read tiny"
    assert len(registry.read("table", tiny_table).images) == 24
