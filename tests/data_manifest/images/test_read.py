"""Reading: every format gives the same pixels, and every broken file one clear line."""

import io
import struct
import warnings
import zlib

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
        "cut_text_pgm": (pgm(GREY8, 255, magic=b"P2")[:-5], "truncated: 47 of 48 px"),
        "no_text_pgm": (b"P2 4 4 255 ", "truncated: 0 of 16 px"),
        "odd_text_pgm": (b"P2 2 1 255 3 -4", "more than numbers 0 to 255"),
        "long_text_pgm": (b"P2 2 1 255 3 4294967297", "more than numbers 0 to 255"),
        "high_text_pgm": (b"P2 2 1 255 3 256", "levels up to 256"),
        "bad_pgm": (b"P5\nten 10\n255\n", "PGM header not readable"),
        "deep_pgm": (b"P5\n2 2\n70000\n" + bytes(16), "PGM maximum 70000"),
        "huge_pgm": (b"P5\n99999 99999\n255\n", "allowed 1 to 45,000,000 px"),
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
    with pytest.raises(InputError, match="no none.png"):
        read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="not readable"):
        read_image(tmp_path)


def test_size_is_checked_before_decoding(tmp_path, monkeypatch):
    saved(tmp_path / "a.png", GREY8)
    monkeypatch.setattr(image_module, "MAX_PIXELS", 40)
    with pytest.raises(InputError, match="size 6 rows x 8 cols"):
        read_image(tmp_path / "a.png")


# ------------------------------------------------------------------ as stored
@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {"quality": 100}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})],
)
def test_no_orientation_tag_turns_an_image_or_a_mask(tmp_path, kind, options, turned):
    """Trap: positions are pixels of the file as stored, and Pillow turns TIFF alone."""
    exif = Pillow.Exif()
    exif[274] = turned
    wide = np.zeros((16, 24), np.uint8)
    wide[:8, :8] = 255
    saved(tmp_path / "a", wide, format=kind, exif=exif, **options)
    assert np.array_equal(read_image(tmp_path / "a").pixels > 127, wide > 0)
    assert np.array_equal(read_mask(tmp_path / "a"), wide > 0)
    palette = Pillow.fromarray(wide // 255)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    if kind != "JPEG":
        palette.save(tmp_path / "p", kind, exif=exif, **options)
        assert np.array_equal(read_mask(tmp_path / "p"), wide > 0)


def tiff(bits, levels, *, white_is_zero):
    """A TIFF of one row with `bits` per level, whatever Pillow can write."""
    text = "".join(format(level, f"0{bits}b") for level in levels)
    packed = bytes(int(text[k : k + 8], 2) for k in range(0, len(text), 8))
    packed = np.array(levels, "<u2").tobytes() if bits == 16 else packed
    entries = {256: len(levels), 257: 1, 258: bits, 259: 1, 262: 0 if white_is_zero else 1}
    entries |= {273: 8 + 2 + 12 * 9 + 4, 277: 1, 278: 1, 279: len(packed)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + packed


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_tiff_of_every_depth_with_white_as_zero_or_not(tmp_path, bits, white_is_zero):
    top = 2**bits - 1
    levels = [k % 2**bits for k in range(8)]
    shown = [top - level if white_is_zero else level for level in levels]
    (tmp_path / "a").write_bytes(tiff(bits, levels, white_is_zero=white_is_zero))
    stretch = 255 // top if bits < 8 else 1
    assert read_image(tmp_path / "a").pixels[0].tolist() == [k * stretch for k in shown]
    assert read_mask(tmp_path / "a")[0].tolist() == [k > 0 for k in shown]
    assert read_mask(tmp_path / "a", 1)[0].tolist() == [k == 1 for k in shown]


# ------------------------------------------------------------------ masks
def test_masks_by_value_and_above_zero(tmp_path):
    levels = np.array([[0, 1, 2], [2, 0, 255]], np.uint8)
    saved(tmp_path / "m.png", levels)
    assert np.array_equal(read_mask(tmp_path / "m.png"), levels > 0)
    assert np.array_equal(read_mask(tmp_path / "m.png", 2), levels == 2)


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_masks_from_jpeg(tmp_path, quality):
    """Trap: compression leaves no lesion of exactly one level, and faint echoes of its border."""
    levels = np.zeros((64, 64), np.uint8)
    levels[8:24, 8:24], levels[40:56, 32:48] = 255, 128
    saved(tmp_path / "m.jpg", levels, quality=quality)
    assert np.array_equal(read_mask(tmp_path / "m.jpg", 255), levels == 255)
    assert np.array_equal(read_mask(tmp_path / "m.jpg", 128), levels == 128)
    saved(tmp_path / "m.jpg", levels // 255 * 255, quality=quality)
    assert np.array_equal(read_mask(tmp_path / "m.jpg"), levels == 255)


@pytest.mark.parametrize(("other", "value"), [(0, 1), (220, 255), (0, 255)])
def test_a_value_that_jpeg_cannot_keep_apart_is_refused(tmp_path, other, value):
    levels = np.full((64, 64), other, np.uint8)
    levels[8:24, 8:24] = 1 if value == 1 else 230
    saved(tmp_path / "m.jpg", levels, quality=75)
    with pytest.raises(InputError, match=f"mask_value {value} .* JPEG. Save the mask as PNG"):
        read_mask(tmp_path / "m.jpg", value)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_masks_of_few_bits_have_their_stored_levels(tmp_path, bits):
    """Trap: Pillow stretches grey levels to 8 bits, and no px has the value of the table."""
    levels = np.tile(np.arange(8, dtype=np.uint8) % 2**bits, (3, 1))
    coloured = Pillow.fromarray(levels)
    coloured.putpalette([k // 3 * 5 for k in range(3 * 2**bits)])
    coloured.save(tmp_path / "colours.png", bits=bits)
    grey = io.BytesIO()
    rows = b"".join(b"\0" + np.packbits(_bits(row, bits)).tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", 8, 3, bits, 0, 0, 0, 0)
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        grey.write(struct.pack(">I", len(body)) + name + body)
        grey.write(struct.pack(">I", zlib.crc32(name + body)))
    (tmp_path / "grey.png").write_bytes(b"\x89PNG\r\n\x1a\n" + grey.getvalue())
    for name in ("grey.png", "colours.png"):
        assert np.array_equal(read_mask(tmp_path / name), levels > 0)
        assert np.array_equal(read_mask(tmp_path / name, 1), levels == 1)


def _bits(row, bits):
    return (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1


def test_a_palette_marks_what_is_not_black(tmp_path):
    """Trap: the first colour of a palette need not be the background's."""
    mask = np.zeros((5, 9), bool)
    mask[1:3, 2:7] = True
    palette = Pillow.fromarray((~mask).astype(np.uint8))
    for colours in ([255, 0, 0, 0, 0, 0], [255] * 6):
        palette.putpalette(colours + [0] * 9)
        palette.save(tmp_path / "p.png")
        assert np.array_equal(read_mask(tmp_path / "p.png"), mask if colours[3] == 0 else ~mask)
        assert np.array_equal(read_mask(tmp_path / "p.png", 0), mask)
    with pytest.raises(InputError, match="mode P"):
        read_image(tmp_path / "p.png")
