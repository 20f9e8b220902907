"""The desk: JupyterLab on copies of the notebooks, in the folder ``lab/``, which git leaves alone.

JupyterLab saves by itself what it shows, also pictures of one's own data.  The notebooks of the
project are therefore never opened; their copies are, and what is edited there stays.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lesionlib.files import read_json, write_bytes, write_json
from lesionlib.seeds import digest
from study.jobs import KEEPS_MEMORY, TUNABLES
from study.settings import project_root

DESK = "lab"
BASE = ".copied.json"  # digests of the cells that were copied


def kernel_variables() -> dict[str, str]:
    """Variables for a kernel of this Python, whatever others Jupyter would find first.

    The order of sets is fixed in it, and it keeps its memory.
    """
    places = [os.path.join(sys.prefix, "share", "jupyter"), os.environ.get("JUPYTER_PATH")]
    found = {"JUPYTER_PATH": os.pathsep.join(filter(None, places)), "PYTHONHASHSEED": "0"}
    return found | {TUNABLES: os.environ.get(TUNABLES, KEEPS_MEMORY)}


def lay_out() -> Path:
    """Bring the copies of the project's notebooks up to date; returns their folder."""
    paths = sorted((project_root() / "notebooks").glob("*.ipynb"))
    lay_down(project_root() / DESK, {path.name: path.read_bytes() for path in paths})
    return project_root() / DESK


def lay_down(desk: Path, notebooks: dict[str, bytes]) -> None:
    """Bring the copies of notebooks in a folder up to date where their cells were not edited.

    A copy stays as it is, with its outputs, until its notebook changes.
    """
    base = read_json(desk / BASE, {})
    for name, content in notebooks.items():
        copy, old, new = desk / name, base.get(name), _cells(content)
        mine = _cells(copy.read_bytes()) if copy.exists() else None
        if mine not in (None, old, new):
            if old != new:
                place = copy.relative_to(project_root()).as_posix()
                print(f"{place} has your changes and stays; rename it to get the new one")
            continue
        if mine != new:
            write_bytes(copy, content)
        base[name] = new
    write_json(desk / BASE, base)


def _cells(notebook: bytes) -> str:
    """Digest of the text and code of a notebook; outputs do not count.  Empty if it is none."""
    try:
        cells = json.loads(notebook)["cells"]
        return digest([[cell["cell_type"], "".join(cell["source"])] for cell in cells])
    except (ValueError, KeyError, TypeError):
        return ""


def open_lab_server(words: list[str], folder: Path | None = None) -> None:
    """Become a JupyterLab server on a folder of copies.

    words : further options of JupyterLab, as ``--no-browser``.  folder : the desk if None.
    """
    as_root = ["--allow-root"] if os.geteuid() == 0 else []  # as in a container
    place = str(folder or lay_out())
    command = [sys.executable, "-m", "jupyterlab", place, *as_root, *words]
    os.execve(sys.executable, command, os.environ | kernel_variables())
