"""What a notebook works with: settings, folders, figures, tables and records.

``open_lab(experiment, "NN")`` anchors every path at the project (papermill starts in the caller's
folder, Jupyter in the notebook's), sets the plot style and refuses unknown settings and parameters.
A notebook writes results only through its lab, so each comes with its numbers and provenance.
"""

from __future__ import annotations

import ast
import base64
import io
import os
import sys
from itertools import pairwise
from pathlib import Path

import pandas as pd
from matplotlib.text import Text

from lesionlib import files
from lesionlib.seeds import digest
from study import provenance
from study.parameters import refuse_unknown
from study.settings import Experiment, figures_folder, load_experiment, runs_folder

SHOWN_WIDTH = 1000  # px of a picture in a notebook
MOST_BYTES = 150_000  # of a picture in a notebook; a larger one is compressed more
SAVED_DPI = 300


class Lab:
    """Settings, folders and results of one notebook; see :func:`open_lab`."""

    def __init__(self, settings: Experiment, number: str, *, echo: bool = False):
        self.settings, self.number, self.echo = settings, number, echo
        self.runs = runs_folder(settings.name)
        self.figures = figures_folder(settings.name)
        self.kept: dict = {}  # what the steps gave, see study.stages.once
        self._records: dict[str, dict] = {}

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def is_phantom(self) -> bool:
        return self.settings.is_phantom

    def folder(self, *parts: str) -> Path:
        """A folder under ``runs/<experiment>/``, made where it is missing."""
        place = self.runs.joinpath(*parts)
        place.mkdir(parents=True, exist_ok=True)
        return place

    def progress(self, message: str) -> None:
        """One line of progress: to the terminal, or to the file that the runner follows."""
        if self.echo:
            print(message, file=sys.stderr, flush=True)
            return
        with open(self.folder("progress") / f"{self.number}.log", "a", encoding="utf-8") as log:
            log.write(message + "\n")

    # -------------------------------------------------------------- figures
    def show(self, figure, *, alt: str, picture: bool = False) -> None:
        """Show a figure in the notebook, with a text for those who cannot see it.

        picture : True for mammograms, shown as JPEG of at most 1,000 px; else PNG of few colours.
        """
        from IPython.display import display
        from matplotlib import pyplot

        figure = getattr(figure, "figure", figure)
        self._mark(figure)
        kind = "image/jpeg" if picture else "image/png"
        data = _shown_bytes(figure, picture)
        display({kind: data}, metadata={kind: {"alt": alt}}, raw=True)
        pyplot.close(figure)

    def figure(self, name: str, figure, *, data: pd.DataFrame, alt: str, picture: bool = False):
        """Write a figure of the paper as PNG and PDF, its numbers as CSV, and show it.

        Files: ``figures/<experiment>/<name>.png|pdf|csv|json``; the JSON is the provenance.
        """
        figure = getattr(figure, "figure", figure)
        self._mark(figure)
        self.figures.mkdir(parents=True, exist_ok=True)
        _save_png(figure, self.figures / f"{name}.png")
        figure.savefig(self.figures / f"{name}.pdf", dpi=150, metadata={"CreationDate": None})
        _write_csv(data, self.figures / f"{name}.csv")
        files.write_json(self.figures / f"{name}.json", self.origin() | {"alt": alt})
        self.show(figure, alt=alt, picture=picture)

    def _mark(self, figure) -> None:
        """Every picture of a made-up image says so, whoever drew it; then its layout is settled."""
        texts = [t.get_text() for t in figure.findobj(Text)]
        if self.is_phantom and not any("phantom" in t for t in texts):
            from study.plots import style

            style.mark(figure)
        figure.draw_without_rendering()  # a first layout may leave titles beyond the figure's edge

    # -------------------------------------------------------------- tables and records
    def table(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Write a table of the paper as CSV and Markdown with its provenance; returns it."""
        from study.tables import to_markdown

        _write_csv(frame, self.figures / f"{name}.csv")
        files.write_text(self.figures / f"{name}.md", to_markdown(frame) + "\n")
        files.write_json(self.figures / f"{name}.json", self.origin())
        return frame

    def record(self, key: str, value, low=None, high=None, **counts) -> None:
        """Keep a number for ``results.json``: its value, 95 % interval and counts."""
        entry = {"value": value, "low": low, "high": high, **counts}
        plain = {k: v.item() if hasattr(v, "item") else v for k, v in entry.items()}
        self._records[key] = {k: v for k, v in plain.items() if v is not None}
        files.write_json(self.folder("records") / f"{self.number}.json", self._records)

    def records(self) -> dict[str, dict]:
        """All that the notebooks of this experiment recorded, by key."""
        found = map(files.read_json, sorted(self.folder("records").glob("*.json")))
        return {key: entry for part in found for key, entry in part.items()}

    # -------------------------------------------------------------- provenance
    def origin(self) -> dict:
        """What made a result: notebook, settings, data, code, versions, device, seed."""
        s, manifest = self.settings, files.read_json(self.runs / "manifest" / "stage.json", {})
        return {
            "experiment": self.name,
            "notebook": self.number,
            "data_set": s.data.dataset,
            "data_digest": manifest.get("content", "not read yet"),
            "settings_digest": digest(s),
            "code_digest": provenance.code_digest(self.number),
            "commit": provenance.commit(),
            "seed": s.seed,
            "device": s.compute.device,
            "versions": provenance.versions(),
        }

    def provenance(self) -> pd.DataFrame:
        """The provenance as a frame for a notebook's last cell; commits are left to the files."""
        flat = {k: v for k, v in self.origin().items() if k not in ("versions", "commit")}
        flat |= provenance.versions()
        return pd.DataFrame({"value": flat}).rename_axis("provenance").astype(str)


def open_lab(experiment: str, number: str) -> Lab:
    """The lab of notebook `number` for an experiment of ``experiments/``.

    Raises InputError for an unknown experiment, an unknown or ill-typed setting, and a parameter
    that the notebook does not have (papermill itself only warns of a misspelt one).
    """
    _refuse_unknown_parameters(number)
    settings = load_experiment(experiment)
    # sums depend on torch's threads, so they are fixed; matplotlib's backend is the reader's own
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.compute.threads))
    from study.plots import style

    style.use()
    lab = Lab(settings, number)
    (lab.folder("progress") / f"{number}.log").write_text("", encoding="utf-8")
    return lab


def open_bench(experiment: str, number: str = "stage") -> Lab:
    """The lab of a stage that runs without a notebook; its progress goes to the terminal."""
    return Lab(load_experiment(experiment), number, echo=True)


def _refuse_unknown_parameters(number: str) -> None:
    """papermill puts the given values into a cell of their own after that of the parameters."""
    cells = sys.modules["__main__"].__dict__.get("In", [])[:5]
    for declared, given in pairwise(cells):
        if given.lstrip().startswith("# Parameters"):
            refuse_unknown(_assigned(given), _assigned(declared), f"notebook {number}")


def _assigned(source: str) -> list[str]:
    names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    return [node.id for node in names if isinstance(node.ctx, ast.Store)]


def _shown_bytes(figure, picture: bool) -> str:
    from PIL import Image

    width = SHOWN_WIDTH / figure.get_figwidth()
    raw, out = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=min(width, 130 if picture else 120))
    image = Image.open(raw).convert("RGB")
    if picture:
        for quality in (80, 70, 60, 50):
            out = io.BytesIO()
            image.save(out, "JPEG", quality=quality)
            if out.tell() <= MOST_BYTES:
                break
    else:
        # median cut, Pillow's default, merges the few red dots of a plot into its many greys
        image.quantize(128, method=Image.Quantize.FASTOCTREE).save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


def _save_png(figure, path: Path) -> None:
    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=SAVED_DPI)
    # a palette of 255 colours keeps the whole set of figures within a repository's means
    image = Image.open(raw).convert("RGB").quantize(255)
    image.save(path, "PNG", optimize=True, dpi=(SAVED_DPI, SAVED_DPI))


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    indexed = frame.index.name is not None or isinstance(frame.index, pd.MultiIndex)
    files.write_text(path, frame.to_csv(index=indexed, float_format="%.6g"))
