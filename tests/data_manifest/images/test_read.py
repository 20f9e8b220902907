"""Reading: every format gives the same pixels, and every broken file one clear line."""

import warnings

import numpy as np
import pytest
from PIL import Image as Pillow

from data_manifest.images import image as image_module
from data_manifest.images.read import read_image, read_mask
from lesionlib.errors import InputError

GREY8 = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
GREY16 = GREY8.astype(np.uint16) * 257 + 3


def pgm(pixels, top, magic=b"P5", comment=b""):
    head = magic + b"\n" + comment + b"%d %d\n%d\n" % (pixels.shape[1], pixels.shape[0], top)
    if magic == b"P2":
        return head + " ".join(map(str, pixels.ravel())).encode()
    return head + pixels.astype(">u2" if top > 255 else "u1").tobytes()


def saved(path, pixels, **options):
    Pillow.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize("pixels", [GREY8, GREY16], ids=["8 bit", "16 bit"])
def test_lossless_formats_give_the_pixels_back(tmp_path, suffix, pixels):
    path = tmp_path / f"a.{suffix}"
    if suffix == "pgm":
        path.write_bytes(pgm(pixels, 255 if pixels.dtype == np.uint8 else 65535))
    else:
        saved(path, pixels)
    image = read_image(path)
    assert image.pixels.dtype == pixels.dtype and np.array_equal(image.pixels, pixels)
    assert image.bits == pixels.dtype.itemsize * 8
    assert np.isnan(image.spacing_mm) and not image.laterality and not image.oriented


def test_pgm_of_twelve_bits_is_not_stretched(tmp_path):
    (tmp_path / "a.pgm").write_bytes(pgm(GREY8.astype(np.uint16) * 16, 4095, comment=b"# made\n"))
    image = read_image(tmp_path / "a.pgm")
    assert image.bits == 12 and np.array_equal(image.pixels, GREY8.astype(np.uint16) * 16)


def test_pgm_with_levels_above_its_maximum_is_refused(tmp_path):
    """Trap: a maximum of 1 to 254 in the header, and bytes up to 255 behind it."""
    file = tmp_path / "a.pgm"
    file.write_bytes(b"P5\n2 1\n100\n" + bytes([100, 101]))
    with pytest.raises(InputError, match="levels up to 101, PGM maximum 100"):
        read_image(file)


def test_pgm_as_text(tmp_path):
    (tmp_path / "a.pgm").write_bytes(pgm(GREY8, 255, magic=b"P2"))
    assert np.array_equal(read_image(tmp_path / "a.pgm").pixels, GREY8)


def test_the_format_is_told_by_content(tmp_path):
    saved(tmp_path / "a.png", GREY8)
    (tmp_path / "a.png").rename(tmp_path / "a.dat")
    assert np.array_equal(read_image(tmp_path / "a.dat").pixels, GREY8)


def test_jpeg_and_grey_stored_as_colour(tmp_path):
    saved(tmp_path / "a.jpg", np.full((16, 16), 90, np.uint8))
    assert abs(int(read_image(tmp_path / "a.jpg").pixels[5, 5]) - 90) <= 1
    saved(tmp_path / "b.png", np.repeat(GREY8[..., None], 3, axis=2))
    assert np.array_equal(read_image(tmp_path / "b.png").pixels, GREY8)


def test_the_digest_follows_the_pixels_not_the_container(tmp_path):
    saved(tmp_path / "a.png", GREY8)
    (tmp_path / "a.pgm").write_bytes(pgm(GREY8, 255))
    saved(tmp_path / "b.png", GREY8.T.copy())
    digests = [read_image(tmp_path / name).sha256 for name in ("a.png", "a.pgm", "b.png")]
    assert digests[0] == digests[1] != digests[2]


def broken_files(folder):
    saved(folder / "whole.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    png = (folder / "whole.png").read_bytes()
    saved(folder / "whole.jpg", GREY8)
    saved(folder / "whole.tif", GREY8)
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[..., 0] = 9
    saved(folder / "colour", colour, format="PNG")
    saved(folder / "alpha", np.zeros((4, 4, 4), np.uint8), format="PNG")
    pages = [Pillow.fromarray(GREY8)] * 2
    pages[0].save(folder / "pages", format="TIFF", save_all=True, append_images=pages[1:])
    return {
        "empty": (b"", "empty file, 0 bytes"),
        "text": (b"hello, this is no image", "neither PGM, PNG, TIFF, JPEG nor DICOM"),
        "cut_png": (png[: len(png) // 2], "damaged or truncated PNG"),
        "cut_header": (png[:20], "PNG"),
        "bit_png": (bytes(flipped), "damaged or truncated PNG"),
        "cut_jpg": ((folder / "whole.jpg").read_bytes()[:200], "JPEG"),
        "cut_tif": ((folder / "whole.tif").read_bytes()[:40], "TIFF"),
        "cut_pgm": (pgm(GREY8, 255)[:-5], "truncated: 43 of 48 px"),
        "bad_pgm": (b"P5\nten 10\n255\n", "PGM header not readable"),
        "deep_pgm": (b"P5\n2 2\n70000\n" + bytes(16), "PGM maximum 70000"),
        "huge_pgm": (b"P5\n99999 99999\n255\n", "allowed 1 to 60,000,000 px"),
        "colour": (None, "not a grey image of 8 or 16 bits (mode RGB)"),
        "alpha": (None, "mode RGBA"),
        "pages": (None, "2 pages"),
    }


def test_broken_files_are_refused_in_one_line(tmp_path):
    for name, (content, words) in broken_files(tmp_path).items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as caught, warnings.catch_warnings():
            warnings.simplefilter("error")
            read_image(tmp_path / name)
        text = str(caught.value)
        assert words in text, (name, text)
        assert "\n" not in text and name in text and caught.value.remedy


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="not readable"):
        read_image(tmp_path)


def test_size_is_checked_before_decoding(tmp_path, monkeypatch):
    saved(tmp_path / "a.png", GREY8)
    monkeypatch.setattr(image_module, "MAX_PIXELS", 40)
    with pytest.raises(InputError, match="size 6 rows x 8 cols"):
        read_image(tmp_path / "a.png")


# ------------------------------------------------------------------ masks
def test_masks_by_value_above_zero_and_from_jpeg(tmp_path):
    levels = np.array([[0, 1, 2], [2, 0, 255]], np.uint8)
    saved(tmp_path / "m.png", levels)
    assert np.array_equal(read_mask(tmp_path / "m.png"), levels > 0)
    assert np.array_equal(read_mask(tmp_path / "m.png", 2), levels == 2)
    block = np.zeros((32, 32), np.uint8)
    block[8:24, 8:24] = 255
    saved(tmp_path / "m.jpg", block, quality=60)
    assert np.array_equal(read_mask(tmp_path / "m.jpg"), block > 0)


def test_masks_of_one_bit_and_with_a_palette(tmp_path):
    mask = np.zeros((5, 9), bool)
    mask[1:3, 2:7] = True
    Pillow.fromarray(mask).save(tmp_path / "one.png")
    assert np.array_equal(read_mask(tmp_path / "one.png"), mask)
    palette = Pillow.fromarray(mask.astype(np.uint8))
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "p.png")
    assert np.array_equal(read_mask(tmp_path / "p.png", 1), mask)
    with pytest.raises(InputError, match="mode P"):
        read_image(tmp_path / "p.png")
