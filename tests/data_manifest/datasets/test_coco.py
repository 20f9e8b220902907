"""Annotations in the COCO form become the two tables."""

import json

import numpy as np
import pytest
from PIL import Image

from data_manifest.shapes import rasterise, shape_facts
from data_manifest.table import coco
from data_manifest.table import reader as table
from lesionlib.errors import InputError

SQUARE, OTHER = [10, 10, 30, 10, 30, 30, 10, 30], [50, 40, 50, 60, 70, 60, 70, 40]


def content(**changes):
    sides = ({"laterality": "L", "view": "CC"}, {"attributes": {"laterality": "R", "view": "MLO"}})
    images = [
        {"id": k, "file_name": f"{k}.png", "height": 100, "width": 90, "patient_id": f"p{k}"} | side
        for k, side in enumerate(sides)
    ]
    names = ["Malignant mass", "benign calcification", "Mass"]
    annotations = [
        {"id": 0, "image_id": 0, "category_id": 0, "bbox": [10, 20, 30, 40.5], "segmentation": []},
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE], "finding_id": "f"},
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [SQUARE, OTHER], "bbox": []},
    ]
    categories = [{"id": k, "name": name} for k, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories} | changes


@pytest.fixture
def convert(tmp_path):
    """convert(content) -> what it returns; the tables are in tmp_path."""

    def write(what):
        for k in range(2):
            Image.fromarray(np.full((100, 90), 9, np.uint8)).save(tmp_path / f"{k}.png")
        file = tmp_path / "annotations.json"
        file.write_text(what if isinstance(what, str) else json.dumps(what))
        return coco.convert(file, tmp_path)

    return write


def test_the_tables_are_read(convert, tmp_path):
    assert convert(content()) == []
    found = table.read(tmp_path)
    columns = ["image_id", "patient_id", "laterality", "view", "file", "rows", "cols"]
    assert found.images[columns].to_numpy().tolist() == [
        ["0", "p0", "L", "CC", "0.png", 100, 90],
        ["1", "p1", "R", "MLO", "1.png", 100, 90],
    ]
    columns = ["lesion_id", "finding_id", "image_id", "pathology", "kind", "geom", "subtype"]
    assert found.lesions[columns].to_numpy().tolist() == [
        ["0", "0", "0", "malignant", "mass", "box", "Malignant mass"],
        ["1", "f", "1", "benign", "calc", "polygon", "benign calcification"],
        ["2", "2", "1", "unknown", "mass", "polygon", "Mass"],
    ]
    assert found.lesions.loc[0, ["x0", "y0", "x1", "y1"]].tolist() == [10, 20, 40, 60.5]
    with pytest.raises(InputError, match="there is a images.csv already"):
        convert(content())


def test_what_coco_does_not_know_is_to_be_filled_in(convert, tmp_path):
    images = [{"id": 0, "file_name": "0.png", "height": 100, "width": 90}]
    assert convert(content(images=images, annotations=[])) == ["patient_id", "laterality", "view"]
    with pytest.raises(InputError, match="patient_id is empty .images.csv, row 2"):
        table.read(tmp_path)


@pytest.mark.parametrize("rings", [[SQUARE, OTHER], [OTHER, SQUARE, [1, 80, 9, 80, 9, 95]]])
def test_polygons_of_one_lesion_are_all_of_it(rings):
    """Rings of either turn; the lines that join them hold no pixel."""
    whole = {"polygon": coco.joined(rings)}
    alone = [{"polygon": coco.joined([ring])} for ring in rings]
    outline = rasterise("polygon", whole, (100, 90))
    parts = [rasterise("polygon", shape, (100, 90)) for shape in alone]
    assert {*map(tuple, outline.pixels)} == {tuple(p) for part in parts for p in part.pixels}
    areas = [shape_facts("polygon", shape)[0] for shape in alone]
    assert shape_facts("polygon", whole)[0] == pytest.approx(sum(areas))


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("MALIGNANT", "malignant"),
        ("calc_benign", "benign"),
        ("non-malignant", "unknown"),
        ("benign or malignant", "unknown"),
        ("cancer", "unknown"),
    ],
)
def test_the_pathology_of_a_category(name, stated):
    assert coco.pathology(name) == stated


def test_tables_go_into_no_folder_that_is_not_there(tmp_path):
    (tmp_path / "file").touch()
    for name in ("misspelt", "file"):
        with pytest.raises(InputError, match=f"no such folder .*{name}"):
            coco.convert(tmp_path / "annotations.json", tmp_path / name)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("{", "not readable JSON"),
        ("[]", "no 'annotations'"),
        ("null", "no 'annotations'"),
        (content(images=[]), "no images"),
        (content(images=[{"id": 1}]), "not as COCO has it: KeyError 'file_name'"),
        (content(images=7), "not as COCO has it"),
        (content(categories=[]), "not as COCO has it: KeyError"),
        (content(annotations=[{"id": 1, "image_id": 0, "category_id": 0}]), "not as COCO has it"),
        (
            content(
                annotations=[
                    {"id": 1, "image_id": 0, "category_id": 0, "segmentation": {"counts": "x"}}
                ]
            ),
            "run lengths .RLE. .annotations.json, annotation 1.*Export polygons.*decode.*PNG",
        ),
    ],
)
def test_other_content_is_refused_in_one_line(convert, what, words):
    with pytest.raises(InputError, match=words) as caught:
        convert(what)
    assert "\n" not in str(caught.value)
