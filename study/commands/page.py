"""A page of HTML that holds its own pictures, with each table and figure as a file next to it."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

import pandas as pd

from lesionlib import files
from study.plots import style
from study.published import STYLE

DPI = 130


class Page:
    """Parts in their order; tables and figures are written to `folder` at once."""

    def __init__(self, folder: Path, title: str):
        style.use()
        self.folder, self.title, self.parts = Path(folder), title, [f"<h1>{escape(title)}</h1>"]

    def text(self, *lines: str, heading: str = "") -> None:
        """A heading, where one is given, and paragraphs."""
        self.parts += [f"<h2>{escape(heading)}</h2>"] * bool(heading)
        self.parts += [f"<p>{escape(line)}</p>" for line in lines]

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """A table, in full as ``<name>.csv``."""
        self._write_csv(name, frame)
        shown = frame.to_html(index=False, border=0, na_rep="–", float_format=lambda x: f"{x:.3f}")
        self.parts.append(shown)

    def figure(self, name: str, figure, alt: str, data: pd.DataFrame | None = None) -> None:
        """A figure, as ``<name>.png`` and with its numbers as ``<name>.csv`` too."""
        self.picture(figure, alt, self.folder / f"{name}.png")
        if data is not None:
            self._write_csv(name, data)

    def _write_csv(self, name: str, frame: pd.DataFrame) -> None:
        text = frame.to_csv(index=False, float_format="%.6g")
        files.write_text(self.folder / f"{name}.csv", text)

    def picture(self, figure, alt: str, file: Path | None = None, kind: str = "png") -> None:
        """A picture that is in the page; in a file of its own only where one is named.

        kind : jpeg for mammograms, png for all else.
        """
        raw = io.BytesIO()
        getattr(figure, "figure", figure).savefig(raw, format=kind, dpi=DPI)
        if file:
            files.write_bytes(file, raw.getvalue())
        data = base64.b64encode(raw.getvalue()).decode()
        self.parts.append(f'<p><img alt="{escape(alt)}" src="data:image/{kind};base64,{data}"></p>')

    def write(self, name: str) -> Path:
        """Write the page; returns its path."""
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{STYLE}</style>'
        head += f"<title>{escape(self.title)}</title>"
        files.write_text(self.folder / f"{name}.html", "\n".join([head, *self.parts, "</html>\n"]))
        return self.folder / f"{name}.html"
