"""DICOM pixels: each rule of the standard that moves a grey level, on files made here."""

import os

import numpy as np
import pydicom
import pytest
from made_up_dicom import VALUES, WIDE, lut, mammogram, write, write_compressed, write_jpeg
from PIL import Image as Pillow
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_windowing, get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from data_manifest.images import dicom_pixels
from data_manifest.images.own_process import in_own_process
from data_manifest.images.read import read_image, read_mask
from lesionlib.errors import InputError

TOP = 4095  # of 12 bits
WINDOW = {"WindowCenter": "400", "WindowWidth": "200"}


def voi(path):
    return read_image(path, grey="voi")


def refused(path, words, **more):
    with pytest.raises(InputError) as caught:
        read_image(path, **more)
    assert words in str(caught.value) and "\n" not in str(caught.value) and caught.value.remedy


# ------------------------------------------------------------------ what is read
def test_plain_values_and_header(tmp_path):
    image = read_image(write(tmp_path / "a.dcm", **WINDOW))
    assert np.array_equal(image.pixels, VALUES) and image.pixels.dtype == np.uint16
    assert (image.bits, image.laterality, image.view, image.grey) == (12, "L", "MLO", "raw")
    assert image.spacing_mm == 0.07 and image.oriented


def test_a_file_without_preamble_or_suffix(tmp_path):
    assert np.array_equal(read_image(write(tmp_path / "IM0001", preamble=False)).pixels, VALUES)


def test_real_films(real_data):
    folder = real_data("cbis_dicom")
    file = folder / "Mass-Test_P_00820_LEFT_CC.dcm"
    refused(file, "secondary capture")
    left = read_image(file, accept=("secondary_capture",))
    assert left.pixels.shape == (4736, 2624) and left.pixels.dtype == np.uint16
    assert (left.laterality, left.bits) == ("L", 16)
    stored = pydicom.dcmread(file).pixel_array
    assert np.array_equal(left.pixels, stored)


# ------------------------------------------------------------------ which grey is bright
def test_monochrome1_and_inverse_shape_invert_once(tmp_path):
    """Trap: both elements say the same thing; obeying each of them inverts twice."""
    tags = [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ]
    for k, given in enumerate(tags):
        image = read_image(write(tmp_path / f"{k}.dcm", **given))
        assert np.array_equal(image.pixels, TOP - VALUES)


def test_inversion_comes_after_the_window(tmp_path):
    """Trap: a window stands in stored units; inverted before it, the breast would be cut away."""
    normal = voi(write(tmp_path / "a.dcm", **WINDOW)).pixels
    tags = {**WINDOW, "PhotometricInterpretation": "MONOCHROME1"}
    assert np.array_equal(voi(write(tmp_path / "b.dcm", **tags)).pixels, TOP - normal)
    assert normal.min() == 0 and normal.max() == TOP


# ------------------------------------------------------------------ modality: slope or LUT, first
def test_rescale_slope_scales_and_a_negative_one_turns(tmp_path):
    half = read_image(write(tmp_path / "a.dcm", RescaleSlope="0.5", RescaleIntercept="-7"))
    assert np.array_equal(half.pixels, np.rint(VALUES * 0.5)) and half.bits == 12
    turned = read_image(write(tmp_path / "b.dcm", RescaleSlope="-1", RescaleIntercept="4095"))
    assert np.array_equal(turned.pixels, TOP - VALUES)
    steep = read_image(write(tmp_path / "c.dcm", RescaleSlope="1000", RescaleIntercept="0"))
    assert np.array_equal(steep.pixels, VALUES)  # leaves 16 bits: only the unit


def test_the_window_stands_in_rescaled_units(tmp_path):
    """LINEAR_EXACT of centre 50 and width 100: rescaled 2 x - 100 runs from 0 to 100."""
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-100", "VOILUTFunction": "LINEAR_EXACT"}
    values = np.array([[0, 50, 75, 100, 4095]], np.uint16)
    tags |= {"WindowCenter": "50", "WindowWidth": "100"}
    image = voi(write(tmp_path / "a.dcm", values, **tags))
    assert image.pixels.tolist() == [[0, 0, 2048, TOP, TOP]]  # 4095 / 2 = 2047.5, to the even


def test_a_modality_lut_goes_before_the_window_and_is_applied_to_raw_too(tmp_path):
    """Entries for stored 10, 11, 12; outside them the first and the last hold."""
    values = np.array([[0, 10, 11, 12, 500]], np.uint16)
    tags = {"ModalityLUTSequence": [lut([100, 700, 1000], 10, 10)]}
    image = read_image(write(tmp_path / "a.dcm", values, **tags))
    assert image.pixels.tolist() == [[100, 100, 700, 1000, 1000]] and image.bits == 10
    tags |= {"WindowCenter": "700", "WindowWidth": "1200", "VOILUTFunction": "LINEAR_EXACT"}
    image = voi(write(tmp_path / "b.dcm", values, **tags))
    assert image.pixels.tolist() == [[0, 0, 512, 767, 767]] and image.bits == 10


# ------------------------------------------------------------------ VOI
def test_raw_is_the_default_and_takes_no_notice_of_any_voi(tmp_path):
    tags = {**WINDOW, "VOILUTSequence": [lut(list(range(80, 0, -1)), 0, 8)]}
    assert np.array_equal(read_image(write(tmp_path / "a.dcm", **tags)).pixels, VALUES)


def test_without_any_voi_nothing_changes(tmp_path):
    image = voi(write(tmp_path / "a.dcm"))
    assert np.array_equal(image.pixels, VALUES) and image.grey == "voi none"


def test_a_voi_lut_wins_over_the_window_and_the_first_one_counts(tmp_path):
    values = np.array([[0, 4, 5, 6, 900]], np.uint16)
    luts = [lut([11, 22, 33], 4, 12), lut([1, 2, 3], 4, 12), lut([7, 8, 9], 4, 12)]
    image = voi(write(tmp_path / "a.dcm", values, VOILUTSequence=luts, **WINDOW))
    assert image.pixels.tolist() == [[11, 11, 22, 33, 33]]
    assert (image.grey, image.bits) == ("voi lut", 12)


def test_a_voi_lut_of_8_bits_for_4096_stored_values(tmp_path):
    """Trap: indices kept in the 8-bit type of the entries wrap around at 256."""
    item = lut([k // 16 for k in range(4096)], 0, 8)
    image = voi(
        write(tmp_path / "a.dcm", np.array([[300, 4095]], np.uint16), VOILUTSequence=[item])
    )
    assert image.pixels.tolist() == [[18, 255]] and image.pixels.dtype == np.uint8


def big_endian(made):
    """A data set without pydicom's memory of an earlier encoding."""
    fresh = pydicom.Dataset({element.tag: element for element in made})
    fresh.file_meta, fresh.preamble = made.file_meta, made.preamble
    return fresh


@pytest.mark.parametrize("form", ["US", "OW", "bytes"])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_the_forms_of_lut_data(tmp_path, syntax, form):
    """Numbers, words in the order of the file, and two entries of 8 bits a word."""
    big = syntax == ExplicitVRBigEndian
    entries = np.arange(4096) ** 2 // 4096 >> (4 if form == "bytes" else 0)
    item = lut(entries.tolist(), 0, 8 if form == "bytes" else 12)
    if form != "US":
        words = entries.astype(np.uint8).view("<u2") if form == "bytes" else entries
        del item[0x00283006]
        item.add_new(0x00283006, "OW", words.astype(">u2" if big else "<u2").tobytes())
    pixels = WIDE.astype(">u2" if big else "<u2").tobytes()
    made = mammogram(WIDE, VOILUTSequence=[item], PixelData=pixels)
    made.file_meta.TransferSyntaxUID = syntax
    encoding = {"little_endian": not big, "implicit_vr": syntax == ImplicitVRLittleEndian}
    pydicom.dcmwrite(tmp_path / "a", big_endian(made), enforce_file_format=True, **encoding)
    assert voi(tmp_path / "a").pixels.ravel().tolist() == entries.tolist()


@pytest.mark.parametrize(
    ("values", "first", "expected"),
    [
        (np.array([[-1, 0, 1]], np.int16), 2**16 - 1, [[500, 600, 700]]),  # -1 without its sign
        (np.array([[39999, 40001, 60000]], np.uint16), 40000, [[500, 600, 700]]),
    ],
)
def test_the_first_value_of_a_lut_above_32767(tmp_path, values, first, expected):
    tags = {"BitsStored": 16, "VOILUTSequence": [lut([500, 600, 700], first, 10)]}
    assert voi(write(tmp_path / "a.dcm", values, **tags)).pixels.tolist() == expected


def test_a_lut_of_65536_entries_states_0(tmp_path):
    item = lut([0], 0, 12)
    item[0x00283002].value = [0, 0, 12]
    del item[0x00283006]
    item.add_new(0x00283006, "OW", (np.arange(2**16) // 16).astype("<u2").tobytes())
    values = np.array([[0, 16, 65535]], np.uint16)
    image = voi(write(tmp_path / "a.dcm", values, BitsStored=16, VOILUTSequence=[item]))
    assert image.pixels.tolist() == [[0, 1, 4095]]


def test_a_lut_with_entries_above_its_bits_is_refused_and_raw_still_reads(tmp_path):
    path = write(tmp_path / "a.dcm", VOILUTSequence=[lut([0, 1024], 0, 10)])
    refused(path, "LUT of 10 bits with entries up to 1024", grey="voi")
    assert np.array_equal(read_image(path).pixels, VALUES)


def test_of_several_windows_the_first_counts(tmp_path):
    several = {"WindowCenter": ["400", "10"], "WindowWidth": ["200", "20"]}
    one, more = write(tmp_path / "a.dcm", **WINDOW), write(tmp_path / "b.dcm", **several)
    assert np.array_equal(voi(one).pixels, voi(more).pixels)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_three_window_functions(tmp_path, function):
    """By hand at the centre, and against pydicom's floats at every value."""
    tags = {**WINDOW, "VOILUTFunction": function}
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    image = voi(write(tmp_path / "a.dcm", values, **tags))
    at_centre = {"LINEAR": 2047.5 + 0.5 * TOP / 199, "LINEAR_EXACT": 2047.5, "SIGMOID": 2047.5}
    assert abs(int(image.pixels.ravel()[400]) - at_centre[function]) <= 0.5
    expected = apply_windowing(values, mammogram(values, **tags))
    assert np.abs(image.pixels - expected).max() <= 0.5
    assert (image.grey, image.bits) == (f"voi {function.lower()}", 12)


def test_the_usual_linear_is_meant_where_no_function_is_named(tmp_path):
    assert voi(write(tmp_path / "a.dcm", **WINDOW)).grey == "voi linear"


def test_a_linear_window_of_width_1_is_a_threshold(tmp_path):
    tags = {"WindowCenter": "24.5", "WindowWidth": "1"}
    assert voi(write(tmp_path / "a.dcm", **tags)).pixels[0].tolist()[:4] == [0, 0, 0, TOP]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"WindowWidth": "0"}, "VOI window of width 0"),
        ({"WindowWidth": "0.5"}, "VOI window of width 0.5"),
        ({"WindowWidth": "0", "VOILUTFunction": "LINEAR_EXACT"}, "VOI window of width 0"),
        ({"WindowWidth": "-5", "VOILUTFunction": "SIGMOID"}, "VOI window of width -5"),
        ({"WindowWidth": None}, "without centre or width"),
        ({"WindowCenter": "nan"}, "without centre or width"),
        ({"WindowCenter": None}, "without centre or width"),
        ({"VOILUTFunction": "CUBIC"}, "VOI function"),
    ],
)
def test_windows_without_sense_are_refused_and_raw_still_reads(tmp_path, tags, words):
    path = write(tmp_path / "a.dcm", **{**WINDOW, **tags})
    refused(path, words, grey="voi")
    assert np.array_equal(read_image(path).pixels, VALUES)


# ------------------------------------------------------------------ padding, sign, bits
def test_padding_becomes_background_after_inversion_and_window(tmp_path):
    tags = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0}
    image = read_image(write(tmp_path / "a.dcm", **tags))
    assert image.pixels[0].tolist()[:2] == [0, TOP - 12]
    image = voi(write(tmp_path / "b.dcm", **tags, **WINDOW))
    assert image.pixels[0].tolist()[:2] == [0, TOP]
    tags = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 24}
    image = read_image(write(tmp_path / "c.dcm", **tags))
    assert image.pixels[0].tolist()[:4] == [0, 0, 0, 36]
    signed = VALUES.astype(np.int16) - 500
    image = read_image(write(tmp_path / "d.dcm", signed, PixelPaddingValue=-500))
    assert image.pixels[0].tolist()[:3] == [0, 0, 12]  # the least value besides padding is 0


def test_signed_values_lose_their_minimum_also_when_inverted(tmp_path):
    """Trap: the lowest possible value is rarely the background, which has to be 0."""
    signed = VALUES.astype(np.int16) - 500
    assert np.array_equal(read_image(write(tmp_path / "a.dcm", signed)).pixels, VALUES)
    tags = {"PhotometricInterpretation": "MONOCHROME1"}
    turned = read_image(write(tmp_path / "b.dcm", signed, **tags))
    assert np.array_equal(turned.pixels, VALUES.max() - VALUES)
    large = np.pad(np.maximum(VALUES, 40), 40, constant_values=40).astype(np.int16) - 500
    large[0, 0] = -600  # a dead pixel is not the background either
    assert np.array_equal(
        read_image(write(tmp_path / "c.dcm", large)).pixels, np.maximum(large, -460) + 460
    )


CODECS = {"native": None, "rle": RLELossless, "jls": JPEGLSLossless, "j2k": JPEG2000Lossless}


def with_high_bits(path, values, bits, codec, **tags):
    """A file whose header states fewer bits than its words hold."""
    made = mammogram(values, **tags, BitsStored=16)  # the encoders want to be told of all
    if codec != "native":
        made.compress(CODECS[codec], values, generate_instance_uid=False)
    made.BitsStored, made.HighBit = bits, bits - 1
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("signed", [False, True])
def test_the_scale_is_that_of_bits_stored_and_junk_above_is_masked(tmp_path, bits, codec, signed):
    """Trap: overlays and vendors leave bits above BitsStored; a maximum would be no scale."""
    values = WIDE.astype(int) * (2**bits - 1) // 4095
    shift = 2 ** (bits - 1) if signed else 0
    words = (values - shift) % 2**bits + (0 if bits == 16 else 2**bits * (values % 3 == 0))
    words = words.astype(np.uint16).view(np.int16 if signed else np.uint16)
    tags = {"PhotometricInterpretation": "MONOCHROME1"}
    image = read_image(with_high_bits(tmp_path / "a.dcm", words, bits, codec, **tags))
    assert np.array_equal(image.pixels, 2**bits - 1 - values) and image.bits == bits


@pytest.mark.parametrize("codec", CODECS)
def test_signed_values_below_the_range_take_its_lowest(tmp_path, codec):
    """Trap: without their high bits, or as negative positions in a table, they become bright."""
    values = np.tile(np.array([-3000, -2049, -2048, -2047, 0, 2047], np.int16), (64, 11))
    path = with_high_bits(tmp_path / "a.dcm", values, 12, codec)
    assert read_image(path).pixels[9, :6].tolist() == [0, 0, 0, 1, 2048, 4095]
    path = with_high_bits(tmp_path / "b.dcm", values, 12, codec, PixelPaddingValue=-3000)
    assert read_image(path).pixels[9, :6].tolist() == [0, 0, 0, 0, 2047, 4094]


def test_bits_that_do_not_begin_at_the_lowest_are_refused(tmp_path):
    refused(write(tmp_path / "a.dcm", HighBit=15), "BitsStored")


# ------------------------------------------------------------------ codecs
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_lossless_codecs_of_pydicom(tmp_path, syntax):
    assert np.array_equal(read_image(write_compressed(tmp_path / "a", syntax, WIDE)).pixels, WIDE)


@pytest.mark.parametrize(
    ("process", "uid"), [("JPEGLosslessProcess14", ".57"), ("JPEGLosslessProcess14_1", ".70")]
)
def test_jpeg_lossless(tmp_path, process, uid):
    """Trap: Pillow reads neither of them; most mammograms in archives are stored so."""
    path = write_jpeg(tmp_path / "a.dcm", process)
    meta = pydicom.filereader.read_file_meta_info(path)
    assert meta.TransferSyntaxUID.endswith("1.2.4" + uid)
    assert np.array_equal(read_image(path).pixels, VALUES)


def test_jpeg_2000_is_left_to_pillow_last(tmp_path, monkeypatch):
    """Trap: at the largest size it needs a seventh more time and a fifth more memory."""
    path, tried = write_compressed(tmp_path / "a", JPEG2000Lossless, WIDE), []

    def decoded(stated, plugin):
        tried.append(plugin)
        raise ValueError

    monkeypatch.setattr(dicom_pixels, "_decoded", decoded)
    refused(path, "DICOM not readable: ValueError")
    assert tried == ["pylibjpeg", "pillow"]


def test_a_decoder_that_ends_its_process_is_an_error_of_one_line(tmp_path, monkeypatch):
    """Trap: GDCM aborts on some damaged JPEG Lossless, and the run of ten thousand files with it."""
    path = write_jpeg(tmp_path / "a.dcm", "JPEGLosslessProcess14_1")
    assert get_decoder(JPEGLosslessSV1).available_plugins == ("gdcm",)
    monkeypatch.setattr(dicom_pixels, "in_own_process", lambda f, *rest: in_own_process(os.abort))
    refused(path, "the compressed data end their decoder")


def jpeg_file(path, tmp_path, syntax, *, rows=64, extended=False, bits=8):
    grey = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    Pillow.fromarray(grey).save(tmp_path / "a.jpg", quality=95)
    stream = (tmp_path / "a.jpg").read_bytes()
    stream = stream.replace(b"\xff\xc0\x00\x0b", b"\xff\xc1\x00\x0b") if extended else stream
    made = mammogram(grey, BitsStored=bits, Rows=rows, PixelData=encapsulate([stream]))
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = UID(syntax)
    made.save_as(path, enforce_file_format=True)
    return path, grey


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
def test_lossy_jpeg_of_8_bits(tmp_path, syntax):
    extended = syntax == JPEGExtended12Bit
    path, grey = jpeg_file(tmp_path / "a.dcm", tmp_path, syntax, extended=extended)
    image = read_image(path)
    assert image.pixels.dtype == np.uint8 and np.abs(image.pixels - grey.astype(int)).max() <= 4


def test_lossy_jpeg_of_12_bits_needs_a_codec_that_is_not_here(tmp_path):
    file = get_testdata_file("JPGExtended.dcm", download=False)
    refused(file, "install the codec", accept=("secondary_capture",))


def test_big_endian_and_a_tiff_header_in_the_preamble():
    files = (get_testdata_file(f"MR_small{k}.dcm", download=False) for k in ("", "_bigendian"))
    little, big = (read_image(file).pixels for file in files)
    assert np.array_equal(little, big) and little.max() > 255


# ------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PixelData": None}, "DICOM without pixels"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour, 3 samples"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"NumberOfFrames": 5}, "5 frames"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"}, "tomosynthesis"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.4"}, "tomosynthesis"),  # one projection
        ({"PatientOrientation": ["R", "A"]}, "turned by 90 degrees"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.3"}, "secondary capture"),
        ({"BurnedInAnnotation": "YES"}, "burned-in annotation"),
        ({"PatientOrientation": ["P", "H"]}, "upside down"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33", "Rows": None}, "DICOM without pixels"),
        ({"Rows": 65535, "Columns": 65535}, "size 65535 rows x 65535 cols"),
        ({"Rows": 80}, "160 bytes of pixels, the header says 1600"),
        ({"BitsStored": None}, "BitsStored"),
        ({"BitsAllocated": 32}, "160 bytes of pixels, the header says 320"),
    ],
)
def test_refusals_in_one_line(tmp_path, tags, words):
    refused(write(tmp_path / "a.dcm", **tags), words)


@pytest.mark.parametrize(
    ("kind", "tags"),
    [
        ("for_processing", {"PresentationIntentType": "FOR PROCESSING"}),
        ("secondary_capture", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}),
        ("burned_in", {"BurnedInAnnotation": "YES"}),
        ("orientation", {"PatientOrientation": ["P", "H"]}),
    ],
)
def test_what_is_refused_can_be_asked_for(tmp_path, kind, tags):
    path = write(tmp_path / "a.dcm", **tags)
    assert np.array_equal(read_image(path, accept=(kind,)).pixels, VALUES)


def test_a_mask_may_be_a_secondary_capture(tmp_path):
    mask = np.zeros((8, 10), np.uint8)
    mask[2:4, 3:5] = 255
    path = write(tmp_path / "a.dcm", mask, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    assert np.array_equal(read_mask(path), mask > 0)


def test_unknown_words_name_the_nearest(tmp_path):
    path = write(tmp_path / "a.dcm")
    refused(path, "did you mean 'for_processing'?", accept=("for_procesing",))
    refused(path, "grey = 'window'", grey="window")


# ------------------------------------------------------------------ attacks on memory
def nothing_is_decoded(monkeypatch):
    def decoded(self):
        raise AssertionError("decoding began")

    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(decoded))


def test_a_small_rle_file_that_claims_4_gigapixels(tmp_path, monkeypatch):
    """Trap: 64 x 64 px stated as 65535 x 65535 take 8 GB before the decoder fails."""
    nothing_is_decoded(monkeypatch)
    values = np.zeros((64, 64), np.uint16)
    made = mammogram(values)
    made.compress(RLELossless, values, generate_instance_uid=False)
    made.Rows = made.Columns = 65535
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    refused(tmp_path / "a.dcm", "size 65535 rows x 65535 cols")


def test_frames_count_for_the_size(tmp_path):
    path = write(tmp_path / "a.dcm", Rows=4000, Columns=4000, NumberOfFrames=4)
    header = dicom_pixels.header_of(pydicom.dcmread(path, stop_before_pixels=True), path)
    assert {"frames", "size"} <= set(header.refusals)


def test_padding_after_the_pixels_is_left_out(tmp_path):
    path = write(tmp_path / "a.dcm", PixelData=VALUES.tobytes() + bytes(4))
    assert np.array_equal(read_image(path).pixels, VALUES)


@pytest.mark.parametrize("rows", [4, 7])
def test_native_data_that_are_too_long(tmp_path, monkeypatch, rows):
    """Trap: twice the data give a second frame, and only a warning."""
    nothing_is_decoded(monkeypatch)
    refused(write(tmp_path / "a.dcm", Rows=rows), "160 bytes of pixels")


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_a_stream_whose_own_size_differs(tmp_path, monkeypatch, syntax):
    """Trap: the decoder believes the stream and not the header that was checked."""
    nothing_is_decoded(monkeypatch)
    made = mammogram(WIDE)
    made.compress(syntax, WIDE, generate_instance_uid=False)
    made.Rows = 4
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    refused(tmp_path / "a.dcm", "64 rows x 64 cols in the compressed data")


def test_a_jpeg_whose_own_size_differs(tmp_path, monkeypatch):
    nothing_is_decoded(monkeypatch)
    path, _ = jpeg_file(tmp_path / "a.dcm", tmp_path, JPEGBaseline8Bit, rows=32)
    refused(path, "64 rows x 64 cols in the compressed data")


def test_deflated_files_are_not_inflated(tmp_path):
    """Trap: the whole file is inflated before any size in it is known."""
    refused(get_testdata_file("image_dfl.dcm", download=False), "deflated")


def test_a_cut_file(tmp_path):
    data = write(tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(data[: len(data) - 40])
    refused(tmp_path / "a.dcm", "a.dcm")
