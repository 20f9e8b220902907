"""A report of scores made elsewhere, by a few lines without this project."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lesionlib.errors import InputError
from lesionlib.metrics import roc
from study.__main__ import main
from study.commands.report import report
from study.statistics import calibration
from study.statistics.multiplicity import holm


@pytest.fixture(scope="module")
def elsewhere():
    """Masses of the Wisconsin set, scored by two logistic regressions fitted to a third of them."""
    x, benign = load_breast_cancer(return_X_y=True)
    group, parts = np.arange(len(x)) % 3, []
    for name, columns in (("size alone", [0, 2, 3]), ("shape and size", [0, 2, 3, 4, 6, 7])):
        fit = make_pipeline(StandardScaler(), LogisticRegression())
        fit.fit(x[group == 0][:, columns], benign[group == 0] == 0)
        head = {"lesion_id": [f"W{i}" for i in range(len(x))], "model": name, "run": 0}
        head |= {"patient_id": [f"P{i // 2}" for i in range(len(x))]}
        head["y_true"] = np.where(benign == 0, "malignant", "benign")
        head["split"] = np.array(["training", "validation", "test"])[group]
        parts.append(pd.DataFrame(head | {"y_score": fit.predict_proba(x[:, columns])[:, 1]}))
    frame = pd.concat(parts, ignore_index=True)
    return frame[frame["split"] != "training"]


def test_scores_of_another_program_are_judged(elsewhere, tmp_path, capsys):
    elsewhere.to_csv(tmp_path / "mine.csv", index=False)
    words = ["report", str(tmp_path / "mine.csv"), "--prevalence", ".1"]
    assert main(words) == 0, capsys.readouterr().err
    read = lambda name: pd.read_csv(tmp_path / "report" / f"{name}.csv")  # noqa: E731
    assert set(read("predictive_values")["share"]) == {0.1}
    assert set(read("calibration")["model"]) == {
        *elsewhere["model"],
        *(f"{m}, Platt" for m in elsewhere["model"]),
    }
    assert {"biopsy all", "biopsy none"} < set(read("net_benefit")["model"])
    assert read("avoided")["threshold"].tolist() == [0.02, 0.05, 0.1, 0.2] * 2
    gains = read("gains")
    wide = elsewhere[elsewhere["split"] == "test"].pivot(
        index=["lesion_id", "patient_id", "y_true"], columns="model", values="y_score"
    )
    truth, patient = (wide.index.get_level_values(k) for k in ("y_true", "patient_id"))
    known = roc.delong(truth, wide["shape and size"], wide["size alone"], patient)
    assert gains["p (DeLong)"].tolist() == pytest.approx([known.p])
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    for heading in ("Table 2", "Table 3", "Figure 7", "Calibration", "Net benefit", "Predictive"):
        assert f"<h2>{heading}" in page
    assert "not recalibrated" not in page
    lines = (
        (tmp_path / "report" / "scores.imrmc")
        .read_text()
        .partition("BEGIN DATA:\n")[2]
        .splitlines()
    )
    assert len(lines) == 3 * len(wide), "the truths, and the scores of two models"


def test_a_name_that_imrmc_cannot_hold_is_told(elsewhere, tmp_path):
    elsewhere.assign(model=elsewhere["model"] + ", fitted").to_csv(tmp_path / "p.csv", index=False)
    page = report(tmp_path / "p.csv").read_text(encoding="utf-8")
    assert "Not written: " in page and "has a comma" in page
    assert not (tmp_path / "report" / "scores.imrmc").exists()


def test_several_tests_are_adjusted_together(elsewhere, tmp_path):
    worse = elsewhere[elsewhere["model"] == "size alone"].assign(
        model="third", y_score=lambda t: t["y_score"].round(1)
    )
    pd.concat([elsewhere, worse]).to_csv(tmp_path / "p.csv", index=False)
    report(tmp_path / "p.csv")
    gains = pd.read_csv(tmp_path / "report" / "gains.csv")
    assert len(gains) == 3
    assert gains["p (Holm)"].tolist() == pytest.approx(holm(gains["p (DeLong)"]), rel=1e-4)


def test_scores_that_are_no_probabilities_have_no_calibration(elsewhere, tmp_path):
    moved = elsewhere.assign(y_score=5 * elsewhere["y_score"])
    moved.to_csv(tmp_path / "p.csv", index=False)
    page = report(tmp_path / "p.csv").read_text(encoding="utf-8")
    assert "are not in 0..1" in page and "<h2>Net benefit" not in page
    assert not (tmp_path / "report" / "calibration.csv").exists()
    assert (tmp_path / "report" / "predictive_values.csv").exists()


def test_a_test_split_alone_is_taken_as_it_is(elsewhere, tmp_path):
    alone = elsewhere[elsewhere["split"] == "test"]
    alone.to_csv(tmp_path / "p.csv", index=False)
    page = report(tmp_path / "p.csv").read_text(encoding="utf-8")
    assert "size alone is not recalibrated: fewer than 10 lesions of a class" in page
    told = pd.read_csv(tmp_path / "report" / "calibration.csv")
    assert set(told["model"]) == set(alone["model"])
    slope = calibration.calibration(alone, "size alone")["slope"]["value"]
    row = told[(told["model"] == "size alone") & (told["measure"] == "slope")]
    assert row["value"].item() == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_a_report_goes_into_no_file(elsewhere, tmp_path, place, capsys):
    elsewhere.to_csv(tmp_path / "p.csv", index=False)
    (tmp_path / "taken").touch()
    assert main(["report", str(tmp_path / "p.csv"), "--output", str(tmp_path / place)]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and said.endswith("Make the name free, or give another")


def test_lesions_of_one_patient_have_no_interval(elsewhere, tmp_path):
    elsewhere.assign(patient_id="P1").to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match="all lesions are of patient P1.*an id of her own"):
        report(tmp_path / "p.csv", tmp_path / "out")


def test_test_patients_that_are_in_other_splits_are_told(elsewhere, tmp_path):
    elsewhere.to_csv(tmp_path / "p.csv", index=False)
    seen = set.intersection(*(set(part) for _, part in elsewhere.groupby("split")["patient_id"]))
    page = report(tmp_path / "p.csv").read_text(encoding="utf-8")
    assert f"Warning: {len(seen)} test patients are in other splits" in page
    elsewhere.assign(patient_id=elsewhere["split"] + elsewhere["patient_id"]).to_csv(
        tmp_path / "p.csv", index=False
    )
    assert "are in other splits" not in report(tmp_path / "p.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("share", ["0", "23"])
def test_a_prevalence_is_a_share(elsewhere, tmp_path, share, capsys):
    elsewhere.to_csv(tmp_path / "p.csv", index=False)
    assert main(["report", str(tmp_path / "p.csv"), "--prevalence", share]) == 2
    assert "prevalence" in capsys.readouterr().err
    with pytest.raises(InputError, match="above 0 and below 1"):
        report(tmp_path / "p.csv", share=float(share))
