"""Cells of the notebooks on a test set of a few lesions."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from lesionlib.metrics import tnr_at
from study import plots, tables

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


@pytest.mark.parametrize("kinds", [["malignant"], ["malignant", "benign"]])
def test_figure_1_without_an_image_of_both_kinds_shows_one_of_each_there_is(tiny_store, kinds):
    tested = tiny_store.lesions.query("split == 'test'")
    alone = tested[tested.groupby("image")["pathology"].transform("nunique") == 1]
    first = alone.drop_duplicates("pathology").set_index("pathology").loc[kinds, "lesion_id"]
    few = tiny_store.lesions[tiny_store.lesions["lesion_id"].isin(first)]
    images = SimpleNamespace(
        images=tiny_store.images, raw=tiny_store.raw, outline=tiny_store.outline,
        breast=tiny_store.breast, lesions=few,
    )  # fmt: skip
    drawn = []
    lab = SimpleNamespace(figure=lambda name, figure, **_: drawn.append(figure))
    followed = lambda lab, kind: few.index[few["pathology"] == kind][0]  # noqa: E731
    found = {"images": images, "plots": plots, "tables": tables, "lab": lab}
    found["steps"] = SimpleNamespace(followed_lesion=followed)
    exec(cell("01_data.ipynb", "tested = images.lesions.query(\"split == 'test' and"), found)
    titles = [ax.get_title() for ax in drawn[0].axes[len(found["rows"]) :]]
    assert titles == [f"{letter}: {kind}" for letter, kind in zip("AB", kinds, strict=False)]
