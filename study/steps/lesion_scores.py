"""What comes out of an experiment: the scores of its lesions."""

from __future__ import annotations

import lzma
from pathlib import Path

import pandas as pd

from lesionlib import files
from lesionlib.maps import COMBINATIONS, OF_THE_WINDOW
from lesionlib.windows import CELL_SHIFTS
from study.lab import Lab
from study.steps.aggregation_network import fagg
from study.steps.patch_network import floc


def predictions(lab: Lab) -> pd.DataFrame:
    """Lesion scores of every model and run, validation and test; ``figures/../predictions.csv``."""
    s = lab.settings
    folders = [floc(lab, run) for run in range(s.floc.runs)]
    folders += [fagg(lab, c, run) for c in COMBINATIONS for run in range(s.fagg.runs)]
    return _gathered(lab, folders, "predictions.csv")


def predictions_other_cells(lab: Lab) -> pd.DataFrame:
    """As :func:`predictions`, of the combinations of the window, with I and E on the other cells.

    h, S, windows and seeds are those of :func:`predictions`; no row where `fagg.both_cells` is off.
    ``figures/../predictions_<cells>.csv``.
    """
    s = lab.settings
    if not s.fagg.both_cells:
        return predictions(lab).iloc[:0]
    (other,) = CELL_SHIFTS.keys() - {s.fagg.cells}
    folders = [fagg(lab, c, run, other) for c in OF_THE_WINDOW for run in range(s.fagg.runs)]
    return _gathered(lab, folders, f"predictions_{other}.csv")


def predictions_before_relu(lab: Lab, run: int = 0) -> pd.DataFrame:
    """As :func:`predictions`, of one run of E and E+S that read h before f_loc's ReLU; no file.

    f_loc, windows and seeds are those of :func:`predictions`; no row where f_loc has no such ReLU.
    """
    if lab.settings.floc.h_activation != "relu":
        return predictions(lab).iloc[:0]
    return _read([fagg(lab, c, run, activated=False) for c in ("E", "E+S")])


def _read(folders: list[Path]) -> pd.DataFrame:
    saved = [folder / "predictions.csv" for folder in folders]
    parts = [pd.read_csv(file, float_precision="round_trip") for file in saved]
    return pd.concat(parts, ignore_index=True)


def _gathered(lab: Lab, folders: list[Path], name: str) -> pd.DataFrame:
    """The predictions of these runs; their one file is not touched where it says the same.

    Nine digits keep the order of scores near 0 and 1 in the file; what is returned is not rounded.
    """
    table = _read(folders)
    content = table.to_csv(index=False, float_format="%.9g").encode()
    target = lab.figures / name
    if lab.settings.evaluation.compress:
        target, content = target.with_name(f"{name}.xz"), lzma.compress(content)
    if not target.is_file() or target.read_bytes() != content:
        files.write_bytes(target, content)
    lab.note(target)
    return table
