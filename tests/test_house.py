"""The house: imports point down only, make no circle, and the method works without the rest."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("lesionlib", "data_manifest", "study", "notebooks")
# where a function may import from the project, and why
LATE = {
    "study/steps/": "a process that only asks what is done stays free of torch",
    "study/__main__.py": "the command line answers --help and its own mistakes at once",
    "study/lab.py": "pyplot is loaded when the first figure or table is shown",
    "study/processes.py": "a stage that trains nothing starts without torch",
    "study/runner.py": "torch reads the number of threads once, after it is set",
    "study/workflow.py": "a phantom is drawn without torch",
}


def test_imports_point_down_and_make_no_circle(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports("pyproject.toml", no_cache=True, no_logo=True) == 0, "printed above"


def test_functions_import_from_the_project_only_where_they_must():
    late = set()
    for file in sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inside = (x for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for x in ast.walk(f))
        names = {x.module for x in inside if isinstance(x, ast.ImportFrom)}
        if any(str(name).partition(".")[0] in ROOMS for name in names):
            late.add(file.relative_to(ROOT).as_posix())
    assert [file for file in sorted(late) if not file.startswith(tuple(LATE))] == []
    assert [place for place in LATE if not any(file.startswith(place) for file in late)] == []


ALONE = """
import sys
from importlib.util import find_spec
from types import SimpleNamespace

sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder)]
assert find_spec("study") is None and find_spec("data_manifest") is None

import numpy as np
import pandas as pd

from lesionlib import scoring, training, windows
from lesionlib.metrics import auc
from lesionlib.outlines import outline_of
from lesionlib.patches import extract_patches
from lesionlib.sampling import sample_lesion_windows
from lesionlib.store import ArrayStore
from lesionlib.tasks import FAggTask, FLocTask, GMICTask


class Settings(SimpleNamespace):
    def model_dump(self, mode="json"):
        return vars(self)


kinds = ["malignant", "benign"]
pixels = np.random.default_rng(0).integers(1, 255, (8, 128, 128), dtype=np.uint8)
images = pd.DataFrame({"split": ["training"] * 4 + ["validation"] * 4})
images["negative"] = images.index.isin([2, 3])
lesions = pd.DataFrame({"image": [0, 1, 4, 5, 6, 7], "pathology": kinds * 3})
mask = np.hypot(*np.mgrid[-9:10, -9:10]) < 9
store = ArrayStore(pixels, images, lesions, [outline_of(mask, 50, 50)] * 6)

rules = Settings(side_min=16, side_max=40, patch=32, angle=30, angle_evaluation=0)
rules.min_overlap, rules.purity, rules.breast_share = 1, True, 0.5
common = dict(batch=4, epochs=1, patience=1, learning_rate=1e-3, schedule="constant", flips=True)
common |= dict(initialisation="he", weights_file=None, loss_divisor="weights")
compute = SimpleNamespace(device="cpu", precision="32-true", threads=1, channels_last=False, devices=1)
floc = Settings(backbone="densenet_mini", h_activation="relu", epoch=(2, 2, 2, 2), **common)
floc.windows_validation, floc.weights_head = 2, "drop"
gmic = Settings(width=2, local_width=2, crops=2, crop=32, top_t=0.3, attention=4, **common)
gmic.saliency_bias, gmic.beta, gmic.sparsity, gmic.sparsity_mean, gmic.batch = None, 1e-4, 1, True, 2
fagg = Settings(epoch=(2, 2, 2, 2), filters=8, windows_validation=2, **common)

local = FLocTask(store, floc, rules, seed=1)
context = GMICTask(store, gmic, seed=1)
features = {}
for split in ("training", "validation"):
    drawn = sample_lesion_windows(
        store, scoring.known_lesions(store, split), 3, rules, seed=1, training=False
    )
    # windows without a lesion, so that the pool has every class
    rest = drawn.iloc[:4].assign(label=[2, 3, 2, 3], lesion=-1)
    drawn = pd.concat([drawn, rest], ignore_index=True)
    patches = extract_patches(store, drawn, rules.patch)
    assert patches.shape == (len(drawn), 1, 32, 32)
    location = windows.location_maps(drawn, (2, 2))
    features[split] = dict(windows=drawn, location=location, h=np.ones((len(drawn), 32)))
aggregation = FAggTask(features, np.ones((8, 2, 2, 2)), "I+S+E", fagg, seed=1)
for task, settings in ((local, floc), (context, gmic), (aggregation, fagg)):
    assert task.steps >= 2
    result = training.fit(task, f"runs/{task.name}", settings, seed=1, compute=compute)
    assert 0 <= result.best_score <= 1

shown = features["validation"]["windows"]
shown, logits = shown[shown["lesion"] >= 0], aggregation.logits("validation")[: 3 * 4]
table = scoring.lesion_predictions(
    store, shown, scoring.window_scores(logits), model="I+S+E", run=0
)
print(len(table), auc(table["y_true"], table["y_score"]))
"""


def test_lesionlib_works_alone(tmp_path):
    """In an empty folder with lesionlib only: sample, cut, train the three networks, score."""
    shutil.copytree(
        ROOT / "lesionlib", tmp_path / "lesionlib", ignore=shutil.ignore_patterns("__pycache__")
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("4 ")
