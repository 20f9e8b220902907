"""Pages that show every outline on its film, to be looked through before a set is used.

No count finds outlines that are mirrored, scaled or on the wrong film; the eye does at once.  The
pages hold small copies of the mammograms: they are as private as the set.
"""

from __future__ import annotations

from base64 import b64encode
from html import escape
from pathlib import Path

import cv2
import numpy as np

from data_manifest.images.prepare import Prepared
from lesionlib.files import write_text
from lesionlib.outlines import Outline

PER_PAGE = 300  # outlines, of about 15 kB each
HEIGHT = 200  # px of a picture
CLOSE = 3  # sides of an outline that its close-up shows
COLOUR = (0, 220, 255)  # blue, green, red: yellow
HEAD = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>body {{background: #222; color: #ddd; font: 12px sans-serif}} a {{color: #8cf}}
figure {{display: inline-block; margin: 4px}} img {{height: 200px; margin-right: 2px}}
figcaption {{max-width: 400px; overflow-wrap: anywhere}}</style>
<h1>{title}, page {number}</h1><p>Each outline on its film, mirrored where the breast faced left,
and close by. Small copies of the mammograms: as private as the set. {links}</p>
"""


class OutlinePages:
    """Writes outlines.html, outlines_2.html, ... into `folder`, each as soon as it is full.

    Attributes
    ----------
    first : the first page; there is one even for a set without outlines.
    """

    def __init__(self, folder: Path, title: str):
        self._folder, self._title, self._number, self._figures = folder, title, 1, []
        self.first = self._page(1)
        for old in folder.glob("outlines*.html"):
            old.unlink()

    def add(self, done: Prepared) -> None:
        """Append the outlines of an image."""
        for figure in figures_of(done):
            if len(self._figures) == PER_PAGE:
                self._write(more=True)
            self._figures.append(figure)

    def close(self) -> None:
        """Write the last page."""
        self._write(more=False)

    def _page(self, number: int) -> Path:
        return self._folder / f"outlines{f'_{number}' if number > 1 else ''}.html"

    def _write(self, *, more: bool) -> None:
        near = [("previous", self._number - 1)] if self._number > 1 else []
        near += [("next", self._number + 1)] if more else []
        links = " ".join(f'<a href="{self._page(n).name}">{word} page</a>' for word, n in near)
        head = HEAD.format(title=escape(self._title), number=self._number, links=links)
        write_text(self._page(self._number), "\n".join([head, *self._figures, ""]))
        self._number, self._figures = self._number + 1, []


def figures_of(done: Prepared) -> list[str]:
    """HTML of each outline of an image: the breast, a close-up, the ids."""
    if not done.lesions:
        return []
    grey = _grey(done.canvas)
    breast = [done.record[f"breast_{name}"] for name in ("row0", "col0", "row1", "col1")]
    return [_figure(grey, breast, done.image_id, row) for row in done.lesions]


def _figure(grey: np.ndarray, breast: list[int], image_id: str, row: dict) -> str:
    outline = _outline(row)
    r0, c0, r1, c1 = outline.box
    half = CLOSE * max(r1 - r0, c1 - c0, 10) // 2
    middle = (r0 + r1) // 2, (c0 + c1) // 2
    close = [middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half]
    low, high = np.minimum(breast, outline.box)[:2], np.maximum(breast, outline.box)[2:]
    pictures = "".join(_picture(grey, outline, box) for box in ([*low, *high], close))
    text = f"{image_id}<br>{escape(row['lesion_id'])}: {c1 - c0} x {r1 - r0} px"
    share = f", {row['on_breast']:.0%} on the breast" if row["on_breast"] < 1 else ""
    return f"<figure>{pictures}<figcaption>{text}{share}</figcaption></figure>"


def _grey(canvas: np.ndarray) -> np.ndarray:
    """Grey levels of the breast over 0 to 255, uint8."""
    low, high = np.percentile(canvas[canvas > 0], (0.5, 99.5))
    return (np.clip((canvas - low) / max(high - low, 1), 0, 1) * 255).astype(np.uint8)


def _outline(row: dict) -> Outline:
    rows, cols = row["rows"], row["cols"]
    packed = np.frombuffer(bytes.fromhex(row["bits"]), np.uint8)
    mask = np.unpackbits(packed, count=rows * cols).reshape(rows, cols).astype(bool)
    return Outline(row["row0"], row["col0"], mask)


def _picture(grey: np.ndarray, outline: Outline, box: list[int]) -> str:
    """The part of the canvas in `box` (row0, col0, row1, col1) with the outline, as an HTML image."""
    r0, c0, r1, c1 = np.clip(box, 0, np.tile(grey.shape, 2))
    scale = HEIGHT / (r1 - r0)
    size = max(1, round((c1 - c0) * scale)), HEIGHT
    small = cv2.resize(grey[r0:r1, c0:c1], size, interpolation=cv2.INTER_AREA)
    small = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR)
    mask = outline.mask.astype(np.uint8)
    edges, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corner = outline.col0 - c0 + 0.5, outline.row0 - r0 + 0.5
    lines = [np.rint((edge + corner) * scale - 0.5).astype(np.int32) for edge in edges]
    cv2.polylines(small, lines, True, COLOUR)
    data = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, 75))[1]
    return f'<img src="data:image/jpeg;base64,{b64encode(data).decode()}" alt="">'
