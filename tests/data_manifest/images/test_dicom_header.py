"""The header of a DICOM mammogram: side, view, spacing, kind; and that it tells nothing more."""

import dataclasses
import logging
import warnings

import numpy as np
import pytest
from made_up_dicom import SECRETS, TRACES, VALUES, code, mammogram, write

from data_manifest.images.dicom_header import HEADER_TAGS, REMEDIES, hashed, read_header
from data_manifest.images.read import read_image
from lesionlib.errors import InputError


def header(path, **tags):
    return read_header(write(path / "a.dcm", **tags))


# ------------------------------------------------------------------ what is shown
def test_the_plain_case(tmp_path):
    found = header(tmp_path)
    assert (found.rows, found.cols, found.frames, found.bits) == (8, 10, 1, 12)
    assert (found.laterality, found.view, found.source) == ("L", "MLO", "ffdm")
    assert found.spacing_mm == 0.07 and not found.inverse
    assert found.refusal() is None and not found.for_processing


def test_pixels_are_not_read(tmp_path):
    """A file cut before its pixels still has its header."""
    file = write(tmp_path / "a.dcm")
    file.write_bytes(file.read_bytes()[: -VALUES.nbytes])
    assert read_header(file).rows == 8


@pytest.mark.parametrize("preamble", [True, False])
def test_with_and_without_preamble(tmp_path, preamble):
    assert read_header(write(tmp_path / "IM1", preamble=preamble)).view == "MLO"


def test_real_films(real_data):
    """Trap: the view stands where the orientation belongs, and there is no spacing."""
    found = read_header(real_data("cbis_dicom") / "Mass-Test_P_00820_RIGHT_CC.dcm", "salt")
    assert (found.rows, found.cols, found.bits) == (4688, 2592, 16)
    assert (found.laterality, found.view, found.chest_wall) == ("R", "", "")
    assert found.source == "film" and np.isnan(found.spacing_mm)
    assert found.refusal() == "secondary capture" and len(found.patient) == 16


# ------------------------------------------------------------------ side and edge
@pytest.mark.parametrize(
    ("name", "tags", "side"),
    [
        ("x.dcm", {"ImageLaterality": "R", "Laterality": "L"}, "R"),
        ("x.dcm", {"ImageLaterality": None, "Laterality": "R"}, "R"),
        ("x.dcm", {"ImageLaterality": "", "Laterality": "R"}, "R"),
        ("x.dcm", {"ImageLaterality": "B"}, ""),
        ("x.dcm", {"ImageLaterality": "RIGHT"}, "R"),
        ("x.dcm", {"ImageLaterality": None, "ViewPosition": "RMLO", "Laterality": "L"}, "R"),
        ("x_RIGHT_CC.dcm", {"ImageLaterality": None}, "R"),
        ("22670094_MG_L_CC_ANON.dcm", {"ImageLaterality": None}, "L"),
        ("case7-rmlo", {"ImageLaterality": None}, "R"),
        ("LEFT_and_RIGHT.dcm", {"ImageLaterality": None}, ""),
        ("Leroy_Lrun.dcm", {"ImageLaterality": None}, ""),
    ],
)
def test_the_side_from_0020_0062_then_0020_0060_then_the_file_name(tmp_path, name, tags, side):
    assert read_header(write(tmp_path / name, **tags)).laterality == side


def test_a_view_of_the_other_side_contradicts_the_laterality(tmp_path):
    found = header(tmp_path, ImageLaterality="L", ViewPosition="RMLO")
    assert found.refusal() == "ImageLaterality and ViewPosition name different sides"
    assert found.refusal(accept=("laterality",)) is None and found.laterality == "L"


@pytest.mark.parametrize(
    ("side", "view", "orientation", "turned"),
    [
        ("L", "CC", ["A", "R"], False),
        ("L", "CC", ["A", "L"], True),
        ("R", "CC", ["P", "L"], False),
        ("R", "CC", ["P", "R"], True),
        ("R", "MLO", ["P", "FL"], False),
        ("L", "MLO", ["A", "HL"], True),
        ("L", "CC", ["L", "A"], True),
        ("R", "MLO", ["FL", "P"], True),
        ("L", "CC", ["x", "y"], False),
    ],
)
def test_rows_upside_down(tmp_path, side, view, orientation, turned):
    """Trap: the rows of a CC view grow from the outer side of the breast to the inner one."""
    tags = {"ImageLaterality": side, "ViewPosition": view, "PatientOrientation": orientation}
    assert ("orientation" in header(tmp_path, **tags).refusals) == turned


@pytest.mark.parametrize(
    ("orientation", "edge"),
    [(["A", "F"], "left"), (["P", "F"], "right"), (["AL", "FL"], "left"), ("CC", ""), (None, "")],
)
def test_patient_orientation_gives_the_edge_of_the_chest_wall(tmp_path, orientation, edge):
    assert header(tmp_path, PatientOrientation=orientation).chest_wall == edge


# ------------------------------------------------------------------ view
@pytest.mark.parametrize(
    ("tags", "view", "reason"),
    [
        ({"ViewPosition": "CC"}, "CC", None),
        ({"ViewPosition": None, "ViewCodeSequence": [code("399162004")]}, "CC", None),
        ({"ViewPosition": None, "ViewCodeSequence": [code("R-10226")]}, "MLO", None),
        ({"ViewPosition": "MLO", "ViewCodeSequence": [code("R-10226")]}, "MLO", None),
        ({"ViewPosition": "MLO", "ViewCodeSequence": [code("399162004")]}, "MLO",
         "view MLO in ViewPosition and view CC in ViewCodeSequence"),
        ({"ViewPosition": "odd", "ViewCodeSequence": [code("399162004")]}, "CC", None),
        ({"ViewPosition": "LCC"}, "CC", None),
        ({"ViewPosition": "LEFT MLO"}, "MLO", None),
        ({"ViewPosition": "L_MLO"}, "MLO", None),
        ({"ViewPosition": "LLMO"}, "other", "view LMO, not CC or MLO"),
        ({"ViewPosition": "LMO"}, "other", "view LMO, not CC or MLO"),
        ({"ViewPosition": "ML"}, "other", "view ML, not CC or MLO"),
        ({"ViewPosition": "LM"}, "other", "view LM, not CC or MLO"),
        ({"ViewPosition": "XCCL"}, "other", "view XCCL, not CC or MLO"),
        ({"ViewPosition": None, "ViewCodeSequence": [code("399260004")]}, "other", "view ML"),
        ({"ViewPosition": "SECRET"}, "other", "view unknown, not CC or MLO"),
        ({"ViewPosition": None, "ViewCodeSequence": [code("SECRET")]}, "other", "view unknown"),
        ({"ViewPosition": None}, "", "view not stated, not CC or MLO"),
    ],
)  # fmt: skip
def test_the_view_from_0018_5101_then_0054_0220(tmp_path, tags, view, reason):
    found = header(tmp_path, **tags)
    assert found.view == view
    assert found.refusal() is None if reason is None else found.refusal().startswith(reason)
    assert found.refusal(accept=("view",)) is None


def modified(value):
    item = code("399368009")
    item.ViewModifierCodeSequence = [code(value)]
    return {"ViewCodeSequence": [item]}


@pytest.mark.parametrize(
    ("kind", "tags"),
    [
        ("spot", modified("399055006")),
        ("spot", {"ViewModifierCodeSequence": [code("R-102D7")]}),
        ("magnification", modified("R-102D6")),
        ("magnification", {"EstimatedRadiographicMagnificationFactor": "1.8"}),
        ("implant", modified("399209000")),
        ("implant", {"BreastImplantPresent": "YES"}),
        ("modifier", modified("399161006")),
        ("modality", {"Modality": "US"}),
        ("view", {"ViewPosition": "XCCM"}),
    ],
)
def test_views_that_are_left_out_unless_asked_for(tmp_path, kind, tags):
    found = header(tmp_path, **tags)
    assert list(found.refusals) == [kind] and found.refusal() == found.refusals[kind]
    assert found.refusal(accept=(kind,)) is None


def test_a_contact_view_may_state_a_magnification_up_to_1_2(tmp_path):
    assert header(tmp_path, EstimatedRadiographicMagnificationFactor="1.2").refusal() is None


# ------------------------------------------------------------------ spacing
@pytest.mark.parametrize(
    ("tags", "mm"),
    [
        ({}, 0.07),
        ({"EstimatedRadiographicMagnificationFactor": "1.4"}, 0.05),
        ({"ImagerPixelSpacing": None, "PixelSpacing": [0.06, 0.06]}, np.nan),
        (
            {
                "ImagerPixelSpacing": None,
                "PixelSpacing": [0.06, 0.06],
                "PixelSpacingCalibrationType": "GEOMETRY",
                "EstimatedRadiographicMagnificationFactor": "1.1",
            },
            0.06,
        ),
        ({"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.05, 0.05]}, 0.05),
        ({"ImagerPixelSpacing": [0, 0]}, np.nan),
        ({"ImagerPixelSpacing": [7.0, 7.0]}, np.nan),
        ({"ImagerPixelSpacing": [0.07, 0.0701]}, 0.07),
        ({"ImagerPixelSpacing": [0.07, 0.14]}, np.nan),
        ({"ImagerPixelSpacing": None}, np.nan),
    ],
)
def test_the_spacing_in_its_three_places(tmp_path, tags, mm):
    """Trap: 0028,0030 is copied from the detector by many writers; only calibrated it counts."""
    assert header(tmp_path, **tags).spacing_mm == pytest.approx(mm, nan_ok=True)


# ------------------------------------------------------------------ kinds
@pytest.mark.parametrize(
    ("tags", "source"),
    [
        ({"ImageType": ["DERIVED", "PRIMARY"]}, "ffdm"),
        ({"ImageType": ["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D"]}, "synth2d"),
        ({"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]}, "synth2d"),
        ({"ConversionType": "DF"}, "film"),
        ({"NominalScannedPixelSpacing": [0.05, 0.05]}, "film"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "film"),
    ],
)
def test_the_source(tmp_path, tags, source):
    assert header(tmp_path, **tags).source == source


RAW = "1.2.840.10008.5.1.4.1.1.1.2.1"


@pytest.mark.filterwarnings("ignore")  # of the writer
@pytest.mark.parametrize(
    "tags",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"PresentationIntentType": "For_Processing"},
        {"PresentationIntentType": "FOR PROCESING"},
        {"PresentationIntentType": "PROCESSING"},
        {"PresentationIntentType": None, "SOPClassUID": RAW},
        {"PresentationIntentType": "FOR PRESENTATION", "SOPClassUID": RAW},
        {"PresentationIntentType": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"},
        {"PresentationIntentType": None, "ImageType": ["ORIGINAL", "PRIMARY", "RAW"]},
    ],
)
def test_raw_data_by_any_element_that_says_so(tmp_path, tags):
    """Trap: anonymisers drop the intent, and a raw image passes for a finished one."""
    found = header(tmp_path, **tags)
    assert found.for_processing and found.refusal() == "raw data, FOR PROCESSING"
    assert found.refusal(accept=("for_processing",)) is None


def test_raw_data_by_the_class_of_the_file_alone(tmp_path):
    made = mammogram(PresentationIntentType=None)
    made.file_meta.MediaStorageSOPClassUID = RAW
    del made.SOPClassUID
    made.save_as(tmp_path / "a.dcm", enforce_file_format=False)
    assert read_header(tmp_path / "a.dcm").for_processing


@pytest.mark.filterwarnings("ignore")  # of the writer
@pytest.mark.parametrize("intent", [None, "", "For_Presentation", "PRESENTATION", "unknown"])
def test_finished_images_stay_finished(tmp_path, intent):
    assert header(tmp_path, PresentationIntentType=intent).refusal() is None


def test_every_reason_that_stops_a_file_has_a_remedy(tmp_path):
    tags = {"NumberOfFrames": 2, "SamplesPerPixel": 3, "BurnedInAnnotation": "YES"}
    tags |= {"PresentationIntentType": "FOR PROCESSING", "PatientOrientation": ["A", "H"]}
    tags |= {"ViewPosition": "RMLO"}
    found = header(tmp_path, Rows=65535, Columns=65535, HighBit=15, **tags)
    assert set(found.refusals) == set(REMEDIES) - {"pixels", "secondary_capture"}
    assert found.refusal() == "2 frames (tomosynthesis?)" and found.for_processing


@pytest.mark.parametrize("content", [b"", b"\x08\0\x05\0nonsense", b"\0" * 128 + b"DICM\2\0\1\0"])
def test_damaged_files_are_refused_or_without_image(tmp_path, content):
    (tmp_path / "a.dcm").write_bytes(content)
    try:
        assert "pixels" in read_header(tmp_path / "a.dcm").refusals
    except InputError as error:
        assert "\n" not in str(error)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no a.dcm"):
        read_header(tmp_path / "a.dcm")


# ------------------------------------------------------------------ nothing about the patient
def test_the_allow_list_holds_no_element_that_names_anybody():
    assert not set(HEADER_TAGS) & set(SECRETS)


def test_ids_are_salted_hashes_and_absent_without_a_salt(tmp_path):
    """Trap: an unsalted hash of a hospital's number is found by trying all numbers."""
    path = write(tmp_path / "a.dcm")
    none, one, same, two = (read_header(path, salt) for salt in ("", "one", "one", "two"))
    assert (none.patient, none.exam, none.series, none.instance) == ("", "", "", "")
    assert one == same and one.patient == hashed("SECRET-17", "one") != two.patient
    assert hashed("SECRET-17", "") == hashed("", "one") == ""
    assert len({one.patient, one.exam, one.series, one.instance}) == 4


SPOILT = [
    {"PixelData": b"SECRET"}, {"BitsStored": 40}, {"NumberOfFrames": 9}, {"ViewPosition": "SECRET"},
    {"ImageLaterality": "SECRET"}, {"Modality": "SECRET"}, {"WindowWidth": "0"},
    {"PhotometricInterpretation": "SECRET"}, {"VOILUTFunction": "SECRET"},
    {"ImagerPixelSpacing": None, "SOPClassUID": "1.2.826.0.1.77.9"}, {"StudyDate": "SECRET"},
    {"PresentationIntentType": "FOR PROCESSING"},
]  # fmt: skip
# what pydicom's writer refuses is put in by hand: (element, written, found by the reader)
BY_HAND = [
    ("WindowWidth", b"123456", b"SECRET"), ("NumberOfFrames", b"123456", b"SECRET"),
    ("EstimatedRadiographicMagnificationFactor", b"123456", b"SECRET"),
    ("ImageLaterality", b"ABCD", b"Anna"), ("ViewPosition", b"ABCD", b"Anna"),
    ("SOPClassUID", b"1.2.345678", b"SECRETSECR"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of the writer
@pytest.mark.parametrize("tags", [*SPOILT, *BY_HAND], ids=str)
def test_no_error_log_warning_or_header_tells_of_the_patient(tmp_path, capfd, caplog, tags):
    """A file with a patient's data in every field that can hold them, spoilt in many ways.

    Trap: pydicom quotes what it cannot read, in its errors, warnings and log.
    """
    path, window = tmp_path / "a.dcm", {"WindowCenter": "400", "WindowWidth": "200"}
    if isinstance(tags, tuple):
        name, written, found = tags
        write(path, **{**window, name: written.decode()})
        path.write_bytes(path.read_bytes().replace(written, found))
    else:
        write(path, **{**window, **tags})
    assert b"SECRET" in path.read_bytes() and b"19480229" in path.read_bytes()
    caplog.set_level(logging.DEBUG)
    caplog.clear()  # of what the writer said
    told = []
    for work in (
        lambda: dataclasses.asdict(read_header(path, "salt")),
        lambda: dataclasses.asdict(read_image(path)),
        lambda: dataclasses.asdict(read_image(path, grey="voi")),
    ):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                told.append(repr(work()))
            except InputError as error:
                told.append(str(error).replace(str(path), ""))
        told += [str(w.message) for w in warned]
    told = " ".join([*told, caplog.text, *capfd.readouterr()])
    assert [trace for trace in TRACES if trace in told] == []
