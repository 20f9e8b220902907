"""Notebook 14 on a file of scores made elsewhere: no network, no data set, nothing of the phantom."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from study import settings

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "study"))

from test_report import elsewhere  # noqa: E402, F401
from toy_project import call, make_project  # noqa: E402


@pytest.mark.parametrize("graded", [False, True], ids=["probabilities", "grades"])
def test_a_file_of_scores_is_judged_without_networks(elsewhere, tmp_path, monkeypatch, graded):  # noqa: F811
    project = make_project(tmp_path / "project")
    (project / "notebooks").mkdir()
    (source,) = (ROOT / "notebooks").glob("14_*.ipynb")
    notebook = nbformat.read(source, as_version=4)
    notebook.cells.append(new_code_cell("import sys\nprint('torch' in sys.modules)"))
    nbformat.write(notebook, project / "notebooks" / source.name)
    frame = elsewhere.assign(y_score=(5 * elsewhere["y_score"]).round()) if graded else elsewhere
    frame.to_csv(project / "mine.csv", index=False)
    settings.project_root.cache_clear()
    done = call(project, "study", "notebook", "14", "--experiment", "toy", "-p", "predictions",
                "mine.csv")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (executed,) = (project / "runs").rglob(source.name)
    outputs = [o for c in nbformat.read(executed, 4).cells for o in c.get("outputs", [])]
    texts = [o.get("text") or str(o.get("data", {}).get("text/markdown", "")) for o in outputs]
    assert texts[-1] == "False\n", "torch was loaded"
    said = "\n".join(texts)
    assert said.count("Skipped: a file of scores has no images") == 3
    assert "mine.csv" in said and "phantom" not in said
    assert ("scores outside 0..1" in said) == graded
    assert not (project / "figures" / "toy").exists()
