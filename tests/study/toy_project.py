"""A project of its own in a scratch folder: experiments, notebooks and the real workflow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = {
    "toy": "extends: demo\ntitle: Toy\n",
    "two": "extends: toy\nfloc: {runs: 2}\n",
    "real": "data: {dataset: table}\n",
    "gpu": "extends: toy\ncompute: {device: 'cuda:99'}\n",
    "lost_maps": "extends: toy\nfagg: {saliency_file: ~/no such maps.npz}\n",
    "lost_weights": "extends: toy\ngmic: {initialisation: file, weights_file: none.pt}\n",
    "others_weights": "extends: toy\ngmic: {initialisation: file, weights_file: runs/toy/x.pt}\n",
    "lost_arm": "extends: toy\narchitectures:\n"
    "  arms: [{backbone: densenet121, initialisation: file, weights_file: none.pt}]\n",
    "unknown_set": "data: {dataset: tabel}\n",
    "unknown_option": "data: {dataset: cmmd, options: {acept: [view]}}\n",
    "misspelt": "floc: {patiense: 3}\n",
    "broken": "floc: [1,\n",
}
DEFAULTS = 'experiment: str = "toy"  # name of an experiment\nrun: int = 0  # which run'
# what a notebook's progress file holds, written without the lab, so that a toy starts quickly
SAY = (
    "from pathlib import Path\n"
    "log = Path('runs') / experiment / 'progress' / '{number}.log'\n"
    "log.parent.mkdir(parents=True, exist_ok=True)\n"
    "log.write_text('epoch 1\\nepoch 2\\n')"
)


def make_project(folder: Path) -> Path:
    """Experiments and workflow of a toy project; notebooks come by `write_notebook`."""
    (folder / "experiments").mkdir(parents=True)
    shutil.copy(ROOT / "experiments" / "demo.yaml", folder / "experiments")
    for name, text in EXPERIMENTS.items():
        (folder / "experiments" / f"{name}.yaml").write_text(text)
    (folder / "workflow").symlink_to(ROOT / "workflow")
    return folder


def write_notebook(
    folder: Path, number: str, *cells: str, name: str = "toy", parameters: str = DEFAULTS
) -> Path:
    """A notebook with a title, a cell of parameters and the given code cells."""
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"# {number} · Toy\n\nText."),
            new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *map(new_code_cell, cells),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}},
    )
    path = folder / "notebooks" / f"{number}_{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    return path


NUMBERS = [path.name[:2] for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]


def variables(folder: Path) -> dict[str, str]:
    """The variables of a terminal whose project is the toy one."""
    known = {k: v for k, v in os.environ.items() if not k.startswith("LESIONLIB_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return known | {"LESIONLIB_ROOT": str(folder), "PYTHONPATH": str(ROOT), "PATH": path}


def call(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Run a command of this Python in the project, as a user's terminal would."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=variables(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,  # of a hang, on a busy machine, too
    )
