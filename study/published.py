"""An executed notebook as a page to read: what it says and shows, without its code.

It opens in any browser, without Jupyter and without a network.  The run of a real set writes one of
each notebook, next to the set's figures.
"""

from __future__ import annotations

import base64
import io
import os
import re
from html import escape
from pathlib import Path

from lesionlib import files
from study.settings import Experiment, project_root

STYLE = (
    "body {font: 15px sans-serif; max-width: 1000px; margin: 2em auto} img {max-width: 100%}"
    " table {border-collapse: collapse; font-size: 13px} td, th {padding: 2px 8px; text-align: left}"
    " tr:nth-child(even) {background: #f2f2f2}"
)
# of cells that are for who runs the notebook
LEFT_OUT = {"parameters", "injected-parameters", "setup", "check", "solution", "grade"}
EXERCISES = re.compile(r"^(## Try it\b|\*\*Solution\b).*", re.MULTILINE | re.DOTALL)
HEADER = re.compile(r"^\*\*(Reads / writes|Time)\*\*.*$", re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:|#)([^)]+)\)")  # to a file
PICTURE = re.compile(r"data:image/(png|jpeg);base64,([^\"]+)")
NOTE = (
    "Made by `make run EXPERIMENT={name}`; the code is in [the notebook]({file}). The films "
    "belong to their set and stay under [its licence]({readme}). **Not for clinical use.**"
)


def write_page(executed: Path, page: Path, settings: Experiment) -> None:
    """Write an executed copy of one of the project's notebooks as a page of HTML.

    Pictures are in the page, with their alt texts; links to the project's files are kept, those to
    its notebooks lead to the pages of these.
    """
    # they take a while to import, and most runs write no page
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(executed, as_version=4)
    notebook.cells = [c for c in notebook.cells if not LEFT_OUT & set(c.metadata.get("tags", []))]
    folder = project_root() / "notebooks"
    for cell in (c for c in notebook.cells if c.cell_type == "markdown"):
        text = EXERCISES.sub("", HEADER.sub("", cell.source))
        cell.source = LINK.sub(lambda m: f"]({_linked(page, folder / m[1])})", text)
    readme = project_root() / "data_manifest" / settings.data.dataset / "README.md"
    places = {"file": _from(page, folder / executed.name), "readme": _from(page, readme)}
    note = NOTE.format(name=settings.name, **places)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(note, id="note"))
    exporter = HTMLExporter(template_name="basic", exclude_input=True)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    exporter.exclude_anchor_links = True
    body, _ = exporter.from_notebook_node(notebook)
    title = escape(f"{executed.stem.partition('_')[2].capitalize()}: {settings.title}")
    body = PICTURE.sub(_smaller, body)
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    files.write_text(page, f"{head}<style>{STYLE}</style>\n{body}\n</html>\n")


def _linked(page: Path, file: Path) -> str:
    """The way from a page to a file of the project, or to the page of one of its notebooks."""
    is_notebook = file.suffix == ".ipynb" and file.parent == project_root() / "notebooks"
    return f"{file.stem}.html" if is_notebook else _from(page, file)


def _smaller(found: re.Match) -> str:
    """A picture as WebP, which has half the bytes; lines stay as they are, pixel by pixel."""
    from PIL import Image

    out, kind = io.BytesIO(), found[1]
    picture = Image.open(io.BytesIO(base64.b64decode(found[2])))
    picture.save(out, "WEBP", lossless=kind == "png", quality=80, method=6)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


def _from(page: Path, file: Path) -> str:
    return Path(os.path.relpath(file, page.parent)).as_posix()
