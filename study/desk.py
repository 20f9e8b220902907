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
    """Bring the copies up to date where their cells were not edited; returns their folder.

    A copy stays as it is, with its outputs, until the project's notebook changes.
    """
    desk = project_root() / DESK
    base = read_json(desk / BASE, {})
    for path in sorted((project_root() / "notebooks").glob("*.ipynb")):
        copy, old, new = desk / path.name, base.get(path.name), _cells(path)
        mine = _cells(copy) if copy.exists() else None
        if mine not in (None, old, new):
            if old != new:
                print(
                    f"{DESK}/{path.name} has your changes and stays; rename it to get the new one"
                )
            continue
        if mine != new:
            write_bytes(copy, path.read_bytes())
        base[path.name] = new
    write_json(desk / BASE, base)
    return desk


def _cells(notebook: Path) -> str:
    """Digest of the text and code of a notebook; outputs do not count.  Empty if it is none."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return digest([[cell["cell_type"], "".join(cell["source"])] for cell in cells])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def open_lab_server(words: list[str]) -> None:
    """Become a JupyterLab server on the desk.

    words : further options of JupyterLab, as ``--no-browser``.
    """
    as_root = ["--allow-root"] if os.geteuid() == 0 else []  # as in a container
    command = [sys.executable, "-m", "jupyterlab", str(lay_out()), *as_root, *words]
    os.execve(sys.executable, command, os.environ | kernel_variables())
