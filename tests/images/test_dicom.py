"""DICOM: grey scale, padding and the refusals, on files made here and on real ones."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from lesionlib.errors import InputError
from lesionlib.images.read import read_image

VALUES = np.arange(80, dtype=np.uint16).reshape(8, 10) * 12


def write(path, values=VALUES, *, preamble=True, compress=False, **tags):
    """A small mammogram; `tags` replace or, if None, remove elements."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    header = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    fields = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": "1.2.3",
        "PatientName": "Secret^Name",
        "PatientID": "secret-id",
        "Modality": "MG",
        "Rows": values.shape[-2],
        "Columns": values.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "ImageLaterality": "L",
        "ViewPosition": "MLO",
        "ImagerPixelSpacing": [0.07, 0.07],
        "PixelData": values.tobytes(),
    }
    for name, value in {**fields, **tags}.items():
        if value is not None:
            setattr(header, name, value)
    if compress:
        header.compress(RLELossless, values)
    if preamble:
        header.save_as(path, enforce_file_format=True)
    else:
        bare = pydicom.Dataset({element.tag: element for element in header})
        pydicom.dcmwrite(path, bare, implicit_vr=False, little_endian=True)
    return path


def test_plain_values_and_header(tmp_path):
    image = read_image(write(tmp_path / "a.dcm"))
    assert np.array_equal(image.pixels, VALUES) and image.pixels.dtype == np.uint16
    assert (image.bits, image.laterality, image.view) == (12, "L", "MLO")
    assert image.spacing_mm == 0.07 and image.oriented


def test_compressed(tmp_path):
    assert np.array_equal(read_image(write(tmp_path / "a.dcm", compress=True)).pixels, VALUES)


def test_monochrome1_and_inverse_shape_invert_once(tmp_path):
    tags = [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ]
    for k, given in enumerate(tags):
        image = read_image(write(tmp_path / f"{k}.dcm", **given))
        assert np.array_equal(image.pixels, 4095 - VALUES)


def test_padding_becomes_background_also_when_inverted(tmp_path):
    tags = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0}
    image = read_image(write(tmp_path / "a.dcm", **tags))
    assert image.pixels[0, 0] == 0 and image.pixels[0, 1] == 4095 - 12
    tags = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 24}
    image = read_image(write(tmp_path / "b.dcm", **tags))
    assert image.pixels[0].tolist()[:4] == [0, 0, 0, 36]


def test_signed_values_are_shifted_to_zero(tmp_path):
    signed = VALUES.astype(np.int16) - 500
    image = read_image(write(tmp_path / "a.dcm", signed, PixelRepresentation=1))
    assert np.array_equal(image.pixels, VALUES - 500 + 2048)


def test_rescale_slope_scales_and_a_negative_one_turns(tmp_path):
    half = read_image(write(tmp_path / "a.dcm", RescaleSlope="0.5", RescaleIntercept="-7"))
    assert np.array_equal(half.pixels, np.rint(VALUES * 0.5)) and half.bits == 12
    turned = read_image(write(tmp_path / "b.dcm", RescaleSlope="-1", RescaleIntercept="4095"))
    assert np.array_equal(turned.pixels, 4095 - VALUES)


def test_spacing_is_divided_by_the_magnification(tmp_path):
    tags = {"EstimatedRadiographicMagnificationFactor": "1.4"}
    assert read_image(write(tmp_path / "a.dcm", **tags)).spacing_mm == pytest.approx(0.05)


def test_a_file_without_preamble(tmp_path):
    image = read_image(write(tmp_path / "a.dcm", preamble=False))
    assert np.array_equal(image.pixels, VALUES)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PixelData": None}, "DICOM without pixels"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour, 3 samples"),
        ({"NumberOfFrames": 5}, "5 frames"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"Rows": 65535, "Columns": 65535}, "size 65535 rows x 65535 cols"),
        ({"Rows": 80}, "DICOM not readable: ValueError"),
        ({"BitsStored": None}, "BitsStored"),
    ],
)
def test_refusals_in_one_line_without_a_word_of_the_patient(tmp_path, tags, words):
    write(tmp_path / "a.dcm", **tags)
    with pytest.raises(InputError) as caught:
        read_image(tmp_path / "a.dcm")
    text = str(caught.value)
    assert words in text and "\n" not in text and caught.value.remedy
    assert "ecret" not in text


def test_a_cut_file(tmp_path):
    write(tmp_path / "a.dcm")
    data = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(data[: len(data) - 40])
    with pytest.raises(InputError, match="a.dcm"):
        read_image(tmp_path / "a.dcm")


def test_real_films(real_data):
    folder = real_data("cbis_dicom")
    left = read_image(folder / "Mass-Test_P_00820_LEFT_CC.dcm")
    assert left.pixels.shape == (4736, 2624) and left.pixels.dtype == np.uint16
    assert (left.laterality, left.bits) == ("L", 16)
    assert read_image(folder / "Mass-Test_P_00820_RIGHT_CC.dcm").laterality == "R"
