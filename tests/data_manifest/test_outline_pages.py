"""The pages of all outlines: every one is there, where it is on its film, and no page is large."""

import re
from base64 import b64decode

import cv2
import numpy as np
import pytest

from data_manifest import outline_pages as module
from data_manifest.images.prepare import Prepared
from data_manifest.outline_pages import HEIGHT, OutlinePages, figures_of


def prepared(name="film", boxes=((60, 40, 20, 10),), dtype=np.uint16):
    """An image of 200 x 160 px with outlines that fill boxes (row0, col0, rows, cols)."""
    canvas = np.zeros((240, 160), dtype)
    canvas[20:220, :120] = np.random.default_rng(0).integers(80, 120, (200, 120))
    lesions = []
    for k, (row0, col0, rows, cols) in enumerate(boxes):
        bits = np.packbits(np.ones((rows, cols), bool)).tobytes().hex()
        place = {"row0": row0, "col0": col0, "rows": rows, "cols": cols, "bits": bits}
        lesions.append({"lesion_id": f"{name}<{k}>", "on_breast": 0.875, **place})
    box = dict(zip(("row0", "col0", "row1", "col1"), (20, 0, 220, 120), strict=True))
    record = {f"breast_{key}": value for key, value in box.items()}
    return Prepared(name, canvas, None, record, lesions)


def pictures(html):
    found = re.findall(r"base64,([^\"]+)", html)
    return [cv2.imdecode(np.frombuffer(b64decode(data), np.uint8), 1) for data in found]


def drawn(picture):
    """Box (row0, col0, row1, col1) of the yellow line."""
    rows, cols = np.nonzero(picture[..., 2].astype(int) - picture[..., 0] > 90)
    return np.array([rows.min(), cols.min(), rows.max() + 1, cols.max() + 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_outline_is_drawn_where_it_is(dtype):
    (figure,) = figures_of(prepared(dtype=dtype))
    film, close = pictures(figure)
    assert film.shape[:2] == (HEIGHT, 120) and close.shape[:2] == (HEIGHT, HEIGHT)
    assert np.abs(drawn(film) - [40, 40, 60, 50]).max() <= 2
    assert np.abs(drawn(close) - np.array([20, 25, 40, 35]) * HEIGHT / 60).max() <= 3
    assert "film<br>film&lt;0&gt;: 10 x 20 px, 88% on the breast" in figure


def test_outlines_at_the_edge_and_of_one_pixel():
    boxes = ((0, 0, 30, 12), (239, 159, 1, 1))
    for figure in figures_of(prepared(boxes=boxes)):
        assert [picture.shape[0] for picture in pictures(figure)] == [HEIGHT, HEIGHT]


def test_a_large_set_has_several_pages_and_no_old_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PER_PAGE", 3)
    (tmp_path / "outlines_9.html").write_text("of an earlier set")
    pages = OutlinePages(tmp_path, "Set & co")
    for number in range(4):
        pages.add(prepared(f"film{number}", boxes=((60, 40, 20, 10),) * (number % 3)))
    pages.add(prepared("last", boxes=((60, 40, 20, 10),) * 3))
    pages.close()
    texts = {file.name: file.read_text() for file in sorted(tmp_path.glob("*.html"))}
    assert {name: text.count("<figure>") for name, text in texts.items()} == {
        "outlines.html": 3,
        "outlines_2.html": 3,
    }
    assert "Set &amp; co, page 1" in texts["outlines.html"]
    assert 'href="outlines_2.html"' in texts["outlines.html"]
    assert 'href="outlines.html"' in texts["outlines_2.html"]
    assert 'src="http' not in texts["outlines.html"]
