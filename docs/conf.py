"""The site (`make site`): README, notebooks, data sets, reference.  The project's root is its source.

Sphinx with MyST-NB, since it shows the notebooks as they are committed, without running them, takes
the reference from the same docstrings that `help` prints, and gives pages, and a search, that work
from a folder without a network.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from study.commands.listing import settings_rows  # noqa: E402

project = "Local and global information for lesions on mammograms"
author = "the compendium's authors"
root_doc = "docs/index"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
include_patterns = [
    "README.md", "REPORTING.md", "docs/*.md", "docs/reference/*", "notebooks/*.ipynb",
    "experiments/*.md", "data_manifest/**.md",
]  # fmt: skip
# ref.python: "lesions" in a docstring is a word
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type", "ref.python"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # outputs hold tables
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_use_rtype = False

html_theme = "furo"
html_title = "Local and global information"
html_extra_path = ["front"]
html_copy_source = False

PACKAGES = ("lesionlib", "data_manifest", "study")


def write_reference(_) -> None:
    """One page for each package, from its docstrings, and one table of every setting."""
    place = ROOT / "docs" / "reference"
    place.mkdir(exist_ok=True)
    for package in PACKAGES:
        parts = [f"{package}\n{'=' * len(package)}\n"]
        for file in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if "__main__" not in name and "._" not in name:
                line = "-" * len(name)
                parts.append(
                    f"{name}\n{line}\n\n.. automodule:: {name}\n   :members:\n   :ignore-module-all:\n"
                )
        (place / f"{package}.rst").write_text("\n".join(parts))
    text = "# Settings\n\nEvery setting of an experiment's YAML file (`experiments/`).\n\n"
    rows = [("setting", "type", "default", "meaning"), ("---",) * 4]
    rows += [(*(f"`{cell}`" for cell in row), meaning) for *row, meaning in settings_rows()]
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    text += "".join(f"| {' | '.join(row)} |\n" for row in cells)
    (place / "settings.md").write_text(text)


def fold_cells(_, page: str, source: list[str]) -> None:
    """Fold the code that JupyterLab folds: solutions, and what only a checker needs."""
    if page.startswith("notebooks/"):
        notebook = json.loads(source[0])
        for cell in notebook["cells"]:
            if cell["metadata"].get("jupyter", {}).get("source_hidden"):
                cell["metadata"].setdefault("tags", []).append("hide-input")
        source[0] = json.dumps(notebook)


def show_tables(app, what, name, obj, options, lines) -> None:
    """Show the tables of a docstring as they are in the source."""
    starts = [i for i, line in enumerate(lines) if line.startswith("|")]
    for i in reversed(starts):
        lines[i] = f"    {lines[i]}"
        if i - 1 not in starts:
            lines[i:i] = ["::", ""]


def setup(app) -> None:
    app.connect("builder-inited", write_reference)
    app.connect("source-read", fold_cells)
    app.connect("autodoc-process-docstring", show_tables)
