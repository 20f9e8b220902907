"""What a notebook works with: settings, folders, figures, tables and records.

``open_lab(experiment, "NN")`` anchors every path at the project (papermill starts in the caller's
folder, Jupyter in the notebook's), sets the plot style and refuses unknown settings and parameters.
A notebook writes results only through its lab, so each comes with its numbers and provenance.  They
have the names of the paper, under ``figures/<experiment>/``, only while the notebook is run as it is
written; what comes of other parameters or other cells goes to ``runs/<experiment>/explored/``.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
from html import escape
from itertools import product
from pathlib import Path

import pandas as pd

from lesionlib import files
from lesionlib.seeds import digest
from study import provenance
from study.parameters import Session, explored_folder
from study.settings import (
    Experiment,
    figures_folder,
    load_experiment,
    project_path,
    project_root,
    runs_folder,
)

SHOWN_WIDTH = 1000  # px of a picture in a notebook
MOST_BYTES, MOST_BYTES_OF_LINES = 150_000, 60_000  # of a figure; a larger one gets fewer px
SMALL = 25_000  # bytes of a PNG in a notebook, to which no JPEG is preferred
SAVED_DPI = 300
# shares of the px of a figure, tried in turn until it is small enough
SMALLER = (1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4)
NO_OUTLINES = (
    "Its lesions are marked by {0}, which are no outlines: windows, their classes and their purity "
    "follow the {0}."
)
MARKS = {"box": "boxes", "circle": "circles"}  # geometry of a manifest -> its name there
IN_JUPYTER = "JPY_SESSION_NAME"  # a variable of a Jupyter server's kernels, not of papermill's


class Bar:
    """A bar, the line of progress and the course of the loss, under the cell that is running."""

    def __init__(self):
        self.cell, self.name, self.losses = None, "", []

    def show(self, message: str) -> None:
        """Show a line such as ``floc: epoch 2/12  loss 0.31``; one without a share is shown alone."""
        from IPython import get_ipython
        from IPython.display import display

        name, cell = message.partition(":")[0], get_ipython().execution_count
        if (name, cell) != (self.name, self.cell):
            self.losses = []
        self.losses += [
            float(loss) for loss in re.findall(r"\bloss ([\d.]+(?:e[+-]\d+)?)", message)
        ]
        shown = {"text/plain": message, "text/html": self._html(message)}
        display(shown, raw=True, display_id=f"progress-{cell}", update=cell == self.cell)
        self.name, self.cell = name, cell

    def _html(self, message: str) -> str:
        share = re.search(r"(\d+)(?:/| of )(\d+)", message)
        bar = '<progress value="{}" max="{}"></progress>'.format(*share.groups()) if share else ""
        low, top = min(self.losses, default=0), max(self.losses, default=0)
        x, y = 120 / max(len(self.losses) - 1, 1), 18 / ((top - low) or 1)
        points = (f"{k * x:.0f},{(top - v) * y + 1:.1f}" for k, v in enumerate(self.losses))
        line = " ".join(points)
        course = f'<polyline points="{line}" fill="none" stroke="#14507E"/>' if line else ""
        return f'{bar} <svg width="120" height="20">{course}</svg> <code>{escape(message)}</code>'


class Lab:
    """Settings, folders and results of one notebook; see :func:`open_lab`."""

    def __init__(
        self,
        settings: Experiment,
        number: str,
        *,
        session: Session | None = None,
        echo: bool = False,
    ):
        self.settings, self.number, self.echo = settings, number, echo
        self.session = session or Session(None)
        self.runs = runs_folder(settings.name)
        self.figures = figures_folder(settings.name)
        self.kept: dict = {}  # what the steps gave, see study.stages.once
        self.file = ""  # whose scores are judged in place of the experiment's
        is_live = IN_JUPYTER in os.environ and "In" in vars(sys.modules["__main__"])
        self._bar = Bar() if is_live else None
        self._records: dict[Path, dict] = {}

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def is_phantom(self) -> bool:
        return self.settings.is_phantom and not self.file

    @property
    def marked_by(self) -> str:
        """What marks the lesions of the set where that is no outline: boxes, circles, or nothing."""
        file = self.runs / "manifest" / "lesions.csv"
        shapes = pd.read_csv(file, usecols=["geom"])["geom"].unique() if file.is_file() else []
        return MARKS.get(shapes[0], "") if len(shapes) == 1 else ""

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
        if self._bar:
            self._bar.show(message)

    def read_scores(self, file: str) -> pd.DataFrame:
        """Scores of a file, path from the project's folder, judged in place of the experiment's own.

        What is shown from then on names the file, not the experiment's data set.
        """
        from study.tables import read_predictions

        self.file = Path(file).name
        return read_predictions(project_path(file))

    # -------------------------------------------------------------- figures
    def show(
        self,
        figure,
        *,
        alt: str,
        caption: str = "",
        of: pd.DataFrame | tuple | str = "",
        picture: bool = False,
        name: str = "",
    ) -> None:
        """Show a figure in the notebook, with a text for those who cannot see it.

        caption : Markdown, shown under the figure; the data set, and `of`, are added to its end.
        of : what is counted there: the lesions shown, as :func:`study.tables.counted` takes them;
            (store, images) or (store, images, lesions), as :func:`study.tables.on_images` does; or
            a text, where no lesion is shown.
        picture : True for mammograms, shown as JPEG of at most 1,000 px; else PNG or JPEG.
        name : of a figure of the paper, such as figure_7, which its caption starts with.
        """
        from IPython.display import display
        from matplotlib import pyplot

        figure = getattr(figure, "figure", figure)
        self._mark(figure)
        kind, data = _shown(figure, picture)
        data = base64.b64encode(data).decode()
        display({kind: data}, metadata={kind: {"alt": alt}}, raw=True)
        if caption:
            text = self._caption(name, caption, of)
            display({"text/markdown": text, "text/plain": text}, raw=True)
        pyplot.close(figure)

    def figure(
        self,
        name: str,
        figure,
        *,
        data: pd.DataFrame,
        alt: str,
        caption: str = "",
        of: pd.DataFrame | tuple | str = "",
        picture: bool = False,
    ) -> None:
        """Write a figure of the paper as PNG (JPEG of mammograms) and PDF, its numbers as CSV; show it.

        Files: ``figures/<experiment>/<name>.png|pdf|csv|json``, or jpg in place of png; the JSON is
        the provenance.  caption, of : as in :meth:`show`.
        """
        figure = getattr(figure, "figure", figure)
        self._mark(figure)
        pdf = io.BytesIO()
        figure.savefig(pdf, format="pdf", dpi=150, metadata={"CreationDate": None})
        drawn = {"jpg": _jpeg(figure, SAVED_DPI)} if picture else {"png": _png(figure, SAVED_DPI)}
        parts = drawn | {"pdf": pdf.getvalue(), "csv": _csv(data)}
        self._keep(name, parts, {"alt": alt, "caption": self._caption(name, caption, of)})
        self.show(figure, alt=alt, caption=caption, of=of, picture=picture, name=name)

    def _caption(self, name: str, caption: str, of: pd.DataFrame | tuple | str = "") -> str:
        """A caption with the figure's number in the paper, where it has one, data set and counts."""
        from study import tables

        number = re.fullmatch(r"figure_(\d+)", name)
        title = f"**Figure {number[1]}.**" if number else "**Figure.**"
        kind = "phantom (made-up images)" if self.is_phantom else self.settings.data.dataset
        source = self.file or f"{kind}, experiment {self.name}"
        marked = "" if self.file or not self.marked_by else f" {NO_OUTLINES.format(self.marked_by)}"
        if not isinstance(of, str):
            of = tables.on_images(*of) if isinstance(of, tuple) else tables.of_split(of)
        return f"{title} {caption} *Data set: {source}{'; ' * bool(of)}{of}.{marked}*"

    def _mark(self, figure) -> None:
        """Every picture of a made-up image says so, whoever drew it; then its layout is settled."""
        from matplotlib.text import Text

        texts = [t.get_text() for t in figure.findobj(Text)]
        if self.is_phantom and not any("phantom" in t for t in texts):
            from study.plots import style

            style.mark(figure)
        figure.draw_without_rendering()  # a first layout may leave titles beyond the figure's edge

    # -------------------------------------------------------------- tables and records
    def table(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Write a table of the paper as CSV and Markdown with its provenance; returns it."""
        from study.tables import to_markdown

        self._keep(name, {"csv": _csv(frame), "md": f"{to_markdown(frame)}\n".encode()}, {})
        return frame

    def record(self, key: str, value, low=None, high=None, **counts) -> None:
        """Keep a number for ``results.json``: its value, 95 % interval and counts."""
        entry = {"value": value, "low": low, "high": high, **counts}
        plain = {k: v.item() if hasattr(v, "item") else v for k, v in entry.items()}
        place = self._explored()
        file = place / "records.json" if place else self.runs / "records" / f"{self.number}.json"
        # live cells run in any order, and not all of them
        before = files.read_json(file, {}) if self._bar else {}
        kept = self._records.setdefault(file, before)
        kept[key] = {k: v for k, v in plain.items() if v is not None}
        files.write_json(file, kept)

    def records(self) -> dict[str, dict]:
        """All that the notebooks of this experiment recorded, by key."""
        found = map(files.read_json, sorted(self.folder("records").glob("*.json")))
        return {key: entry for part in found for key, entry in part.items()}

    # -------------------------------------------------------------- where results go
    def _keep(self, name: str, parts: dict[str, bytes], more: dict) -> None:
        """Write the files of a result, by their suffix, and its provenance."""
        place = self._explored()
        for suffix, content in parts.items():
            files.write_bytes((place or self.figures) / f"{name}.{suffix}", content)
        files.write_json((place or self.figures) / f"{name}.json", self.origin() | more)
        if place:
            shown = os.path.relpath(place, project_root())
            print(f"{name} is not of the notebook as it is written: it goes to {shown}")
        else:
            # not its provenance: that of a later commit is no change of the result
            self.note(*(self.figures / f"{name}.{suffix}" for suffix in parts))

    def _explored(self) -> Path | None:
        """The folder for what comes of other parameters or cells; None where all are its own."""
        changed = self.session.changed
        is_own = not changed and self.session.has_own_code
        return None if is_own else explored_folder(self.runs, self.number, changed)

    def note(self, *written: Path) -> None:
        """Note results of the experiment as written, so that the next run sees what was changed."""
        kept = self.runs / "written" / f"{self.number}.json"
        before = files.read_json(kept, [])
        if new := {file.name for file in written}.difference(before):
            files.write_json(kept, sorted(new.union(before)))

    # -------------------------------------------------------------- provenance
    def origin(self) -> dict:
        """What made a result: notebook, settings, data, code, versions, device, processor, seed."""
        s, manifest = self.settings, files.read_json(self.runs / "manifest" / "stage.json", {})
        parameters, is_own = self.session.parameters, self.session.has_own_code
        made = {
            "experiment": self.name,
            "notebook": self.number,
            "data_set": s.data.dataset,
            "data_digest": manifest.get("content", "not read yet"),
            "settings_digest": digest(s),
            "code_digest": provenance.code_digest(self.number) + ("" if is_own else "+changes"),
            "commit": provenance.commit(),
            "seed": s.seed,
            "device": s.compute.device,
            "processor": provenance.processor(),
            "versions": provenance.versions(),
        }
        return made | ({"parameters": parameters} if parameters else {})

    def provenance(self) -> pd.DataFrame:
        """The provenance for a notebook's last cell; commit and processor are left to the files."""
        apart = ("versions", "commit", "processor")
        flat = {k: v for k, v in self.origin().items() if k not in apart}
        flat |= provenance.versions()
        return pd.DataFrame({"value": flat}).rename_axis("provenance").astype(str)


def open_lab(experiment: str, number: str) -> Lab:
    """The lab of notebook `number` for an experiment of ``experiments/``.

    Raises InputError for an unknown experiment, an unknown or ill-typed setting, and a parameter
    that the notebook does not have (papermill itself only warns of a misspelt one).
    """
    session = Session(next((project_root() / "notebooks").glob(f"{number}_*.ipynb"), None))
    session.check()
    settings = load_experiment(experiment)
    # sums depend on torch's threads, so they are fixed; matplotlib's backend is the reader's own
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.compute.threads))
    from study.plots import style

    style.use()
    lab = Lab(settings, number, session=session)
    (lab.folder("progress") / f"{number}.log").write_text("", encoding="utf-8")
    return lab


def open_bench(experiment: str, number: str = "stage") -> Lab:
    """The lab of a stage that runs without a notebook; its progress goes to the terminal."""
    return Lab(load_experiment(experiment), number, echo=True)


def _drawn(figure, dpi: float):
    """The figure as an image in RGB."""
    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=dpi)
    return Image.open(raw).convert("RGB")


def _shown(figure, picture: bool) -> tuple[str, bytes]:
    """Kind and bytes of a figure in a notebook, in full colour and at full size.

    Lines stay sharp as PNG, which many points make large.
    """
    dpi = min(SHOWN_WIDTH / figure.get_figwidth(), 130 if picture else 100)
    if picture:
        return "image/jpeg", _jpeg(figure, dpi)
    png = io.BytesIO()
    _drawn(figure, dpi).save(png, "PNG", optimize=True)
    if png.tell() <= SMALL:
        return "image/png", png.getvalue()
    jpeg = _jpeg(figure, dpi, MOST_BYTES_OF_LINES)
    lines = ("image/png", png.getvalue()), ("image/jpeg", jpeg)
    return min(lines, key=lambda kind_and_bytes: len(kind_and_bytes[1]))


def _png(figure, dpi: float) -> bytes:
    """As PNG in RGB of the most px that stay below MOST_BYTES_OF_LINES."""
    for less in SMALLER:
        picture, out = _drawn(figure, less * dpi), io.BytesIO()
        picture.save(out, "PNG", optimize=True, dpi=(less * dpi, less * dpi))
        if out.tell() <= MOST_BYTES_OF_LINES:
            break
    return out.getvalue()


def _jpeg(figure, dpi: float, most: int = MOST_BYTES) -> bytes:
    """As JPEG of the most px, and then the best quality, that stay below so many bytes."""
    image = _drawn(figure, dpi)
    for less, quality in product((1, 0.8, 0.65, 0.5, 0.4), (75, 65)):
        out, size = io.BytesIO(), [round(less * n) for n in image.size]
        # with halved chroma the thin red and blue lines on grey would fade
        look = {
            "quality": quality,
            "subsampling": 0,
            "optimize": True,
            "dpi": (less * dpi, less * dpi),
        }
        image.resize(size, reducing_gap=3).save(out, "JPEG", **look)
        if out.tell() <= most:
            break
    return out.getvalue()


def _csv(frame: pd.DataFrame) -> bytes:
    indexed = frame.index.name is not None or isinstance(frame.index, pd.MultiIndex)
    return frame.to_csv(index=indexed, float_format="%.6g").encode()
