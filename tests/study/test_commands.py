"""The commands of the command line, each as a user calls it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from made_up import MODELS, predictions
from tiny_table import edit, write_tiny_table
from toy_project import ROOT, make_project

import lesionlib
from lesionlib.errors import InputError
from lesionlib.scoring import PREDICTION_COLUMNS
from study import settings, workflow
from study.__main__ import COLUMNS, main, parser
from study.against_paper import setting_names
from study.commands import folds, listing, new, report
from study.settings import load_experiment
from study.steps import STEPS

COMMANDS = parser()._subparsers._group_actions[0].choices


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose experiments a test may add to."""
    folder = make_project(tmp_path / "project")
    shutil.copy(ROOT / "experiments" / "mini_mias.yaml", folder / "experiments")
    monkeypatch.setenv("LESIONLIB_ROOT", str(folder))
    monkeypatch.setenv("LESIONLIB_DATA", "")  # a check sets it
    settings.project_root.cache_clear()
    yield folder
    settings.project_root.cache_clear()


# ------------------------------------------------------------------ help
@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does_with_an_example_that_it_takes(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and COMMANDS[name].description in " ".join(said.split())
    words = COMMANDS[name].epilog.removeprefix("Example: study ").partition(" > ")[0]
    args, rest = parser().parse_known_args(shlex.split(words.partition(". ")[0]))
    assert args.function is COMMANDS[name].get_default("function")
    assert not rest or name in ("stage", "lab")


def test_version_and_completion(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"lesionlib {lesionlib.__version__}\n"
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_listing_and_report_need_no_torch(tmp_path):
    predictions(runs=1, patients=40).to_csv(tmp_path / "p.csv", index=False)
    calls = [["stages"], ["settings"], ["report", str(tmp_path / "p.csv")]]
    code = f"import sys; from study.__main__ import main; [main(c) for c in {calls}]"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_job_loads_only_what_it_uses():
    """Thirty processes of a run would each wait for what few of them need."""
    slow = ["scipy.stats", "pydicom", "matplotlib", "torch"]
    code = "import sys, study.steps, data_manifest.images.store; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0 and not {*slow} & {*said.stdout.split()}
    code = "import sys; from study.runner import _execute as e\n"
    code += "try: e(None, None, {}, 1, None)\nexcept Exception: print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "papermill" in said.stdout.split() and "lark" not in said.stdout.split()


# ------------------------------------------------------------------ settings, stages
def test_every_setting_is_listed_with_type_default_and_meaning():
    text = listing.settings_text()
    assert re.findall(r"^([\w.]+): \S", text, re.MULTILINE) == [*setting_names()]
    assert text.count("\n    default ") == len([*setting_names()])
    assert (
        "windows.patch: integer >= 1" in text.replace("16", "1") and "px of a patch's side" in text
    )
    assert (
        "breast | gmic" in text and "canvas" not in listing.settings_text("windows").split(":")[0]
    )
    assert listing.settings_text("floc.epochs").startswith("floc.epochs: integer")
    assert "floc.epoch:" not in listing.settings_text("floc.epochs")
    with pytest.raises(InputError, match="no setting 'flok'.*did you mean 'floc'"):
        listing.settings_text("flok")


def test_editors_have_the_schema_of_the_settings_as_they_are():
    known = json.loads(listing.settings_schema())
    assert (Path(__file__).parents[2] / "experiments" / "schema.json").read_text() == (
        listing.settings_schema() + "\n"
    ), "study settings --schema > experiments/schema.json"
    assert known["additionalProperties"] is False and "extends" in known["properties"]
    block = known["$defs"][known["properties"]["floc"]["$ref"].rpartition("/")[2]]
    assert all("description" in rule for rule in block["properties"].values())


def test_every_stage_is_listed_with_its_arguments_and_what_it_gives():
    text = listing.stages_text()
    assert re.findall(r"^(\w+)", text, re.MULTILINE) == list(STEPS)
    fagg = "\nfagg --combination str [--run int] [--cells str] [--activated bool]\n    The folder of one"
    assert fagg in text
    assert "`" not in text and text.count("\n    ") >= len(STEPS)


# ------------------------------------------------------------------ new
def sized(folder, spacing=0.1, source="ffdm"):
    """The tiny set with another spacing or source."""
    images = pd.read_csv(write_tiny_table(folder) / "images.csv")
    images.assign(spacing_mm=spacing, source=source).to_csv(folder / "images.csv", index=False)
    return folder


def test_a_new_experiment_is_checked_and_says_where_each_number_comes_from(
    project, tmp_path, capsys, monkeypatch
):
    data = str(write_tiny_table(tmp_path / "my films"))
    assert main(["new", "mine", "--data", data, "-p", "partial", "true"]) == 0
    monkeypatch.setenv("LESIONLIB_DATA", "")
    assert main(["check", "mine"]) == 0, "the folder is remembered"
    file = project / "experiments" / "mine.yaml"
    lines = file.read_text().partition("canvas:")[2].splitlines()
    assert all("  # " in line for line in lines if line.startswith("  "))
    assert main(["check", "mine", "--data", data]) == 0
    s = load_experiment("mine")
    assert s.data.dataset == "table" and s.data.options == {"partial": True}
    assert s.canvas.scale == 1 and s.canvas.rows == s.canvas.cols + 64 == 192
    assert s.windows.side_max == 128 and s.gmic.crop == s.windows.patch == 96
    before = file.read_bytes()
    assert main(["new", "mine", "--data", data]) == 2
    assert "already" in capsys.readouterr().err and file.read_bytes() == before


@pytest.mark.parametrize(
    "name", ["", "2024", "a b", "a/b", "../a", "a&b", "$(x)", "-x", "é", "a.b"]
)
def test_a_name_that_is_none_is_refused(project, tmp_path, name):
    with pytest.raises(InputError, match="cannot be named"):
        new.new_experiment(name, write_tiny_table(tmp_path / "tiny"))
    assert not list(project.rglob("*a.yaml"))


def test_what_is_suggested_follows_spacing_sizes_and_source(tmp_path):
    def of(**changed):
        return new.suggested(new.measured(new.registry.read("table", sized(tmp_path, **changed))))

    fine, coarse, unknown = of(spacing=0.05), of(spacing=0.2, source="film"), of(spacing=np.nan)
    assert [s["canvas.scale"][0] for s in (fine, coarse, unknown)] == [0.5, 1, 1]
    assert [s["canvas.buffer"][0] for s in (fine, coarse)] == [50, 25]
    assert [s["canvas.background"][0] for s in (fine, coarse)] == ["zero", "film"]
    assert fine["canvas.rows"][0] < coarse["canvas.rows"][0]
    assert "no spacing" in unknown["canvas.scale"][1] and "median" in unknown["windows.side_max"][1]
    lesions = np.full(20, 700.0)  # px, of 70 mm
    large = new.Sizes(9, 9, np.array([2500, 1500]), np.array([3000, 2400]), lesions, 0.1, False)
    assert new.suggested(large)["windows.side_max"][0] == 700
    none = new.suggested(new.replace(large, lesions=lesions[:0]))
    assert none["windows.side_max"] == (384, "the paper's; no lesion was measured")
    assert (none["canvas.rows"][0], none["canvas.cols"][0]) == (2880, 1792)


def test_annotations_in_the_coco_form_become_the_tables(tmp_path, capsys):
    image = {"id": 1, "file_name": "a.png", "width": 64, "height": 64, "laterality": "L"}
    outline = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
    kinds = [{"id": 1, "name": "malignant mass"}]
    content = {"images": [image], "annotations": [outline], "categories": kinds}
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert main(["import-coco", str(tmp_path / "c.json"), str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "fill in" in said and "patient_id" in said and "laterality" not in said
    assert list(pd.read_csv(tmp_path / "lesions.csv")["pathology"]) == ["malignant"]


# ------------------------------------------------------------------ report
def test_the_report_holds_the_papers_tables_and_figures(tmp_path, capsys):
    predictions(patients=60, runs=2).to_csv(tmp_path / "p.csv", index=False)
    assert main(["report", str(tmp_path / "p.csv")]) == 0
    place = tmp_path / "report"
    for name in ("table_2", "table_3", "figure_7", "gains", "standard_errors"):
        assert len(pd.read_csv(place / f"{name}.csv"))
    assert list(pd.read_csv(place / "table_3.csv")["model"]) == list(MODELS)
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "Not for clinical use" in page and page.count("data:image/png") >= 4
    assert str(tmp_path) not in page  # a path says who and where one is


def test_a_report_of_own_models_and_of_arms_of_figure_6(tmp_path):
    made = predictions(patients=60, runs=2)
    names = {"E": "densenet121-he", "S": "densenet121-imagenet", "E+S": "<b>mine"}
    made[made["model"].isin(names)].replace({"model": names}).to_csv(
        tmp_path / "p.csv", index=False
    )
    page = report.report(tmp_path / "p.csv", tmp_path / "out").read_text(encoding="utf-8")
    assert "<b>mine" not in page and "&lt;b&gt;mine less densenet121-he" in page
    arms = pd.read_csv(tmp_path / "out" / "figure_6.csv")
    assert list(arms["initialisation"]) == ["he", "imagenet"] and (arms["runs"] == 2).all()


def test_own_models_are_all_drawn_and_told_apart_as_far_as_a_legend_carries(tmp_path, monkeypatch):
    made, drawn = predictions(patients=60, runs=1), []
    kept = report.plots.figure_7
    monkeypatch.setattr(
        report.plots, "figure_7", lambda *a, **named: drawn.append(kept(*a, **named)) or drawn[-1]
    )
    ninth = made[made["model"] == "S"].assign(model="z")
    for names, left in (("klmnopqr", ""), ("Eklmnopq", "z")):
        table = made.replace({"model": dict(zip(MODELS, names, strict=True))})
        table = pd.concat([table, ninth]) if left else table
        table.to_csv(tmp_path / "p.csv", index=False)
        page = report.report(tmp_path / "p.csv").read_text(encoding="utf-8")
        looks = {(x.get_color(), str(x.get_linestyle())) for x in drawn[-1].lines}
        assert len(looks) == len({look[0] for look in looks}) == report.MOST_CURVES
        assert ("Not drawn in figure 7: z." in page) == bool(left)


def test_a_misspelt_model_of_a_report_is_named_with_what_it_lacks(tmp_path):
    made = predictions(patients=60, runs=1).replace({"model": {"E": "mine"}})
    row = made.index[made["model"] == "mine"][3]
    made.loc[row, "model"] = "mien"
    made.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match="^mien lacks [0-9]+ lesions .*: L0000, L0001, L0002 and "):
        report.report(tmp_path / "p.csv")


def test_columns_in_the_help_are_those_that_are_read():
    assert COLUMNS == ", ".join(PREDICTION_COLUMNS)


# ------------------------------------------------------------------ folds
def write_fold(project: Path, name: str, whole: pd.DataFrame) -> None:
    """The predictions of a fold: every fourth patient is tested."""
    own = whole["patient_id"].str[1:].astype(int) % 4 == load_experiment(name).data.fold
    (project / "figures" / name).mkdir(parents=True, exist_ok=True)
    table = whole.assign(split=np.where(own, "test", "validation"))
    table.to_csv(project / "figures" / name / "predictions.csv.xz", index=False)


def test_folds_are_experiments_whose_tests_are_judged_together(project, tmp_path, monkeypatch):
    data, whole = str(write_tiny_table(tmp_path / "tiny")), predictions(patients=60, runs=1)
    done = []

    def score(stage, names, cores):
        done.append((stage, cores, [load_experiment(name).data for name in names]))
        for name in names:
            write_fold(project, name, whole)
        return []

    monkeypatch.setattr(folds, "side_by_side", score)
    assert main(["folds", "real", "--folds", "4", "--data", data, "--cores", "2"]) == 0
    ((stage, cores, blocks),) = done
    assert (stage, cores) == ("predictions", 2)
    assert [(d.fold, d.folds, d.dataset) for d in blocks] == [(k, 4, "table") for k in range(4)]
    place = project / "figures" / "real_folds"
    pooled = pd.read_csv(place / "predictions.csv")
    assert (pooled["split"] == "test").all() and len(pooled) == len(whole)
    found = pd.read_csv(place / "auc_by_fold.csv")
    assert len(found) == (4 + 3) * len(MODELS) and list(found["model"].unique()) == list(MODELS)
    kept = json.loads((place / "results.json").read_text())
    assert kept["folds"] == 4 and set(kept["provenance"]) == {f"real_fold{k}" for k in range(4)}
    of_e, row = kept["models"]["E"], found.query(f"model == 'E' and fold == '{folds.WITHIN}'")
    assert row[["auc", "low", "high"]].values.tolist()[0] == pytest.approx(
        [of_e["value"], of_e["low"], of_e["high"]], rel=1e-5
    )
    assert of_e["lesions"] == whole["lesion_id"].nunique() == of_e["malignant"] + of_e["benign"]
    table = pd.read_csv(place / "table_3.csv").set_index("model")
    assert table.loc["E", "auc"] == pytest.approx(of_e["percentiles"], rel=1e-5)
    gains = pd.read_csv(place / "gains_by_fold.csv")
    assert kept["gains"]["E+S less E"]["value"] == pytest.approx(
        gains.query(f"gain == 'E+S less E' and fold == '{folds.WITHIN}'")["auc"].item(), rel=1e-5
    )
    page = (place / "report.html").read_text(encoding="utf-8")
    assert page.index("AUC by fold") < page.index("Table 3")
    assert "are not in 0..1: no calibration" in page  # percentiles are no probabilities
    file = project / "experiments" / "real_fold0.yaml"
    assert yaml.safe_load(file.read_text()) == {"extends": "real", "data": {"folds": 4, "fold": 0}}
    with pytest.raises(InputError, match="fold 0 of 4, not 0 of 5"):
        folds.run_folds("real", 5, data)
    for names, number, said in (("toy", 3, "a phantom is drawn"), ("real", 1, "1 folds")):
        with pytest.raises(InputError, match=said):
            folds.run_folds(names, number, data)


def test_a_fold_that_fails_is_named_and_nothing_is_pooled(project, tmp_path, monkeypatch, capsys):
    data = str(write_tiny_table(tmp_path / "tiny"))
    monkeypatch.setattr(folds, "side_by_side", lambda stage, names, cores: names[1:2])
    assert main(["folds", "real", "--folds", "4", "--data", data]) == 1
    assert "1 folds failed: real_fold1" in capsys.readouterr().err
    assert not (project / "figures" / "real_folds").exists()


def test_a_stage_of_several_experiments_goes_on_where_one_fails(project, capfd):
    """Each is a process of its own: one's data are nowhere, the other's phantom is drawn."""
    text = (
        "extends: toy\nphantom: {training: 8, negative: 4, aggregation: 8, aggregation_negative: 4,"
    )
    text += " validation: 8, test: 8}\n"
    (project / "experiments" / "few.yaml").write_text(text)
    assert workflow.side_by_side("manifest", ["real", "few"], 2) == ["real"]
    said = capfd.readouterr().out
    assert "real  error: " in said and re.search("^few  +manifest . done in", said, re.MULTILINE)


def test_a_warning_is_one_line_without_its_place_in_the_code():
    code = "import warnings; from study import __main__ as m\n"
    code += "m.main = lambda: warnings.warn('no variance')\nm.guarded_main()"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert said.stderr == "warning: no variance\n"


@pytest.mark.parametrize(("number", "said"), [
    (3, "split validation has 0 malignant .*fold 0 of 3.*number of folds"),
    (5, "split test .* 0 benign .*fold 3 of 5.*number of folds"),
    (13, "13 folds of 12 patients"),
])  # fmt: skip
def test_folds_that_lack_a_kind_are_refused_before_anything_is_written(
    project, tmp_path, capsys, number, said
):
    data = str(write_tiny_table(tmp_path / "tiny"))
    before = sorted((project / "experiments").iterdir())
    assert main(["folds", "real", "--folds", str(number), "--data", data]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line) and sorted((project / "experiments").iterdir()) == before


def test_folds_find_the_folder_that_the_experiment_was_given(project, tmp_path, monkeypatch):
    data, given = str(write_tiny_table(tmp_path / "tiny")), []
    assert main(["check", "real", "--data", data]) == 0
    monkeypatch.delenv("LESIONLIB_DATA")
    monkeypatch.setattr(folds, "run_experiment", lambda name, data, cores: given.append(data))
    monkeypatch.setattr(folds, "saved", lambda name: predictions(patients=20, runs=1))
    with pytest.raises(InputError, match="tested in two folds"):
        folds.run_folds("real", 4, notebooks=True)
    assert given == [data] * 4


def test_the_check_reads_the_splits(project, tmp_path, capsys):
    data = write_tiny_table(tmp_path / "tiny")
    moved = {"split": lambda f: f["split"].mask(f["patient_id"] == "P10", "training")}
    edit(data, "images.csv", lambda f: f.assign(**moved))
    assert main(["check", "real", "--data", str(data)]) == 2
    assert "split test has 0 malignant and 2 benign lesions" in capsys.readouterr().err
