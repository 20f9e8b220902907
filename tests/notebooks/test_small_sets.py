"""Cells of the notebooks on a test set of a few lesions."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from lesionlib.metrics import tnr_at
from study import plots

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def cell(name: str, start: str) -> str:
    """The source of the one cell that starts so."""
    cells = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    (found,) = (c.source for c in cells if c.source.startswith(start))
    return found


@pytest.mark.parametrize(("number", "said"), [
    (1, "is 1.000 with it. "),
    (2, "is 1.000 with it, 1.000 without it. "),
    (4, "is 1.000 with it, 1.000 without it, 1.000 without the lowest three. "),
])  # fmt: skip
def test_the_lowest_lesions_are_as_many_as_there_are(number, said):
    truth = np.arange(number + 2) < number
    score = truth + np.arange(number + 2) / 10
    s = SimpleNamespace(truth=truth, mean=score, lesion=np.array([f"L{n}" for n in truth]))
    found = {"np": np, "pd": pd, "s": s, "tnr_at": tnr_at, "benign": score[~truth], "Markdown": str}
    found |= {"lowest": np.sort(score[truth]), "lab": SimpleNamespace(is_phantom=False)}
    for start in ("order = np.argsort", 'text = (\n    f"Lesion {s.lesion[order[0]]}'):
        exec(cell("11_operating_points.ipynb", start), found)
    assert len(found["without"]) == number and found["text"].endswith(said)


def test_figure_1_without_a_second_test_patient_shows_the_first(tiny_store):
    lesion = tiny_store.lesions.query("split == 'test' and pathology == 'malignant'").iloc[0]
    images = SimpleNamespace(
        images=tiny_store.images, raw=tiny_store.raw, outline=tiny_store.outline,
        breast=tiny_store.breast,
        lesions=tiny_store.lesions.query("patient_id == @lesion.patient_id"),
    )  # fmt: skip
    drawn = []
    lab = SimpleNamespace(figure=lambda name, figure, **_: drawn.append(name))
    found = {"images": images, "lesion": lesion, "plots": plots, "lab": lab}
    exec(cell("01_data.ipynb", "others = images.lesions.query"), found)
    assert drawn == ["figure_1"] and len(found["four"]) == 2
