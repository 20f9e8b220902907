"""DICOM files on their way into the store: side, edge, accepted kinds, record of the grey."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_up import TINY_CANVAS
from made_up_dicom import breast, write

from data_manifest.images.store import build_store
from data_manifest.table import reader as table
from lesionlib.errors import InputError
from lesionlib.files import read_json

VOI = SimpleNamespace(**{**vars(TINY_CANVAS), "grey": "voi"})


def store_of(folder, values=None, canvas=TINY_CANVAS, row=None, **tags):
    """The store of one left MLO view; `row` replaces values of its row in images.csv."""
    write(folder / "data" / "a.dcm", breast() if values is None else values, **tags)
    line = {"image_id": "a", "patient_id": "P", "laterality": "L", "view": "MLO", "file": "a.dcm"}
    pd.DataFrame([{**line, **(row or {})}]).to_csv(folder / "data" / "images.csv", index=False)
    empty = pd.DataFrame(columns=["image_id", "lesion_id", "pathology", "geom"])
    empty.to_csv(folder / "data" / "lesions.csv", index=False)
    return build_store(table.read(folder / "data"), folder / "store", canvas)


def refused(folder, words, *args, **more):
    with pytest.raises(InputError) as caught:
        store_of(folder, *args, **more)
    assert words in str(caught.value)


# ------------------------------------------------------------------ side and edge
def test_the_side_of_the_header_against_the_tables(tmp_path):
    refused(tmp_path, "laterality R in the file, L in the table", ImageLaterality="R")
    assert len(store_of(tmp_path, ImageLaterality="R", row={"accept": "laterality"})) == 1


def test_a_side_that_is_stated_nowhere_is_the_tables(tmp_path):
    assert len(store_of(tmp_path, ImageLaterality=None)) == 1


def test_the_side_against_the_chest_wall_in_the_pixels(tmp_path):
    """Trap: a wrong side gives a breast the lesions of the other one; nothing else shows it."""
    right = breast("right")
    words = "the breast is at the right edge, its laterality means the left one"
    refused(tmp_path, words, right)
    refused(tmp_path, "write chest_wall right into the table", right)
    assert len(store_of(tmp_path, right, row={"chest_wall": "right"})) == 1
    assert len(store_of(tmp_path, right, row={"laterality": "R"}, ImageLaterality="R")) == 1


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_a_right_breast_on_a_grey_background_is_where_it_is(tmp_path, kind, photometric):
    """Trap: the background is breast, too, and the line that refuses the file tells a wrong remedy."""
    lowest, highest = (0, 4095) if kind is np.uint16 else (-2048, 2047)
    values = np.maximum(breast("right"), 48).astype(kind) + kind(lowest)
    values[5, 5] = lowest  # a dead pixel
    if photometric == "MONOCHROME1":
        values = lowest + highest - values
    row, tags = {"laterality": "R"}, {"ImageLaterality": "R"}
    tags["PhotometricInterpretation"] = photometric
    tags["PixelRepresentation"] = int(kind is np.int16)
    store = store_of(tmp_path, values, row=row, **tags)
    assert store.images["flipped"][0] and not store.raw(0)[:, -8:].any()
    accepted = {"accept": "filled", "chest_wall": "left"}
    full = np.full(values.shape, 700, np.uint16)
    refused(tmp_path, "of the whole image", full)
    assert len(store_of(tmp_path, full, row=accepted)) == 1


def test_the_published_placement_of_a_grey_background(tmp_path):
    """Trap: what is above 0 is the whole film."""
    canvas = SimpleNamespace(
        **{**vars(TINY_CANVAS), "rows": 1344, "cols": 1024, "placement": "gmic"}
    )
    values = breast(rows=1280, cols=1024)
    plain = store_of(tmp_path / "a", values, canvas).images.iloc[0]
    grey = store_of(tmp_path / "b", np.maximum(values, 48), canvas).images.iloc[0]
    for name in ("row0", "row1", "col1", "top"):
        assert abs(plain[name] - grey[name]) < 30


def test_the_stated_orientation_against_the_pixels(tmp_path):
    words = "its PatientOrientation means the right one"
    refused(tmp_path / "a", words, PatientOrientation=["P", "F"])
    assert len(store_of(tmp_path / "b", PatientOrientation=["A", "F"])) == 1


def test_films_lie_as_they_were_scanned(tmp_path):
    """Trap: about three digitised films in ten are mirror images."""
    film = np.maximum(breast("right"), 300)  # the film's own background is grey
    row = {"source": "film"}
    tags = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}
    assert len(store_of(tmp_path, film, row=row, **tags)) == 1


# ------------------------------------------------------------------ kinds
def test_kinds_are_accepted_row_by_row(tmp_path):
    raw = {"PresentationIntentType": "FOR PROCESSING", "BurnedInAnnotation": "YES"}
    refused(tmp_path, "FOR PROCESSING", **raw)
    refused(tmp_path, "burned-in annotation", row={"accept": "for_processing"}, **raw)
    assert len(store_of(tmp_path, row={"accept": "for_processing burned_in"}, **raw)) == 1
    refused(tmp_path, "did you mean 'burned_in'", row={"accept": "burnt_in"}, **raw)


def test_a_secondary_capture_is_taken_for_a_film_only(tmp_path):
    tags = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}
    refused(tmp_path, "secondary capture", **tags)
    assert len(store_of(tmp_path, row={"accept": "secondary_capture"}, **tags)) == 1


def test_views_are_left_to_the_author_of_the_table(tmp_path):
    assert len(store_of(tmp_path, ViewPosition="ML", BreastImplantPresent="YES")) == 1


# ------------------------------------------------------------------ grey
def test_raw_or_voi_is_recorded_in_the_stores_table(tmp_path):
    window = {"WindowCenter": "2000", "WindowWidth": "4000"}
    raw = store_of(tmp_path, **window)
    assert raw.images["grey"].tolist() == ["raw"]
    assert "grey" not in read_json(raw.folder / "store.json")
    first = np.array(raw.raw(0))
    voi = store_of(tmp_path, canvas=VOI, **window)
    assert voi.images["grey"].tolist() == ["voi linear"] and voi.facts["grey"] == "voi"
    second = np.array(voi.raw(0))
    expected = np.rint(np.clip((first - 1999.5) / 3999 + 0.5, 0, 1) * 4095)
    assert np.array_equal(second, expected) and (first != second).any()


def test_a_set_without_dicom_keeps_its_table(tiny_store):
    assert "grey" not in tiny_store.images and "grey" not in tiny_store.facts


def test_more_bits_from_a_lut_than_the_table_says_are_fine(tmp_path):
    tags = {"RescaleSlope": "4", "RescaleIntercept": "0"}
    stored = store_of(tmp_path, row={"bits": 12}, **tags)
    assert stored.raw(0).max() == 4 * breast().max()


def test_a_polarity_that_file_and_table_both_state_inverts_once(tmp_path):
    """Trap: the header has been obeyed when the file was read."""
    plain = store_of(tmp_path / "a", row={"bits": 12})
    tags = {"row": {"bits": 12, "polarity": "MONOCHROME1"}}
    tags["PhotometricInterpretation"] = "MONOCHROME1"
    turned = store_of(tmp_path / "b", 4095 - breast(), **tags)
    assert np.array_equal(turned.raw(0), plain.raw(0))


def test_padding_is_background_before_statistics(tmp_path):
    values = breast()
    padded = np.where(values == 0, 4095, values).astype(np.uint16)
    plain = store_of(tmp_path / "a", values).images.iloc[0]
    found = store_of(tmp_path / "b", padded, PixelPaddingValue=4095).images.iloc[0]
    assert (found["mean"], found["std"]) == (plain["mean"], plain["std"])
