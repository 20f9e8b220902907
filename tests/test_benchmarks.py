"""The benchmarks do what they say, at a small size; no time is asserted."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data_manifest.checks import check_manifest, warnings_of
from data_manifest.splits import count_by_split, with_splits
from lesionlib.errors import InputError
from lesionlib.files import write_json, write_text
from study.marks import STAGE, write_mark
from study.settings import GMIC, Canvas, Compute, Experiment, FLoc, Windows

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import bench_coverage
import bench_curves
import bench_demo
import bench_fagg
import bench_gpu
import bench_large
import bench_manifest
import bench_patches
import bench_scale
import bench_statistics
import scale
import suite
import timing

SMALL = Experiment(
    canvas=Canvas(rows=320, cols=192),
    windows=Windows(side_min=32, side_max=64, patch=32),
    floc=FLoc(backbone="densenet_mini", initialisation="he", learning_rate="search"),
    gmic=GMIC(width=2, local_width=2, crops=2, crop=64, attention=4),
)


def test_the_made_up_manifest_has_the_proportions_of_the_nyu_set_and_splits_well():
    manifest = check_manifest(bench_manifest.made_up(10_000))
    assert (len(manifest.images), len(manifest.lesions)) == (10_000, 88)
    assert manifest.images["patient_id"].nunique() == 1412
    split = with_splits(manifest, 0.15, 0.25, seed=1)
    counts = count_by_split(split.images, split.lesions)
    assert counts.loc["test", "patients"] in range(350, 357)  # a quarter
    assert counts["lesions_malignant"].min() >= 1 and warnings_of(manifest).empty


def test_every_step_is_measured():
    took = bench_manifest.measure(10_000)
    assert {"validate (s)", "split (s)", "memory (GiB)"} <= set(took)
    assert all(value > 0 for value in took.values())


def test_both_ways_to_an_interval_are_measured_and_give_the_same_numbers():
    data = bench_statistics.made_up()
    once, each = (bench_statistics.aucs(data, 20, drawn_for_each=e) for e in (False, True))
    assert len(once) == 8 + 28 and once == each
    once, each = (bench_statistics.tnr(data, 20, (0, 0.1), at_once=a) for a in (True, False))
    assert once.equals(each)
    rows = bench_statistics.measure(5, turns=1)
    assert len(rows) == 4 and list(rows[0])[:2] == ["numbers", "times faster"]


def test_the_parts_of_an_epoch_add_up_to_it():
    *parts, whole = bench_fagg.measure("I", epochs=1, pool=(80, 120, 20, 20), lesions=9)
    assert {"network, forward", "Adam", "checkpoint"} <= {row["part"] for row in parts}
    assert sum(row["ms"] for row in parts) == pytest.approx(whole["ms"])
    assert sum(row["share"] for row in parts) == pytest.approx(1) and whole["ms"] > 0


def test_a_store_of_any_number_of_images_is_sampled(tmp_path):
    bench_large.make(300, tmp_path)
    found = dict(zip(bench_large.COLUMNS, bench_large.measure(tmp_path), strict=True))
    assert (found["images"], found["lesions"]) == (300, 40)
    assert all(value > 0 for value in found.values())


@pytest.fixture
def figures(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "FOLDER", tmp_path / "figures" / "benchmarks")
    return timing.FOLDER


def test_the_cost_of_a_window_is_measured(figures, monkeypatch):
    monkeypatch.setattr(bench_curves, "CANVASES", ((400, 400), (480, 400)))
    assert bench_curves.main(["--windows", "200", "--turns", "1"]) == 0
    found = pd.read_csv(figures / "curves.csv")
    assert found.groupby("against").size().to_dict() == {"canvas": 4, "windows": 6, "workers": 3}
    assert (found["us per window"] > 0).all()


def test_a_figure_and_a_table_come_from_the_files_that_are_there(figures, capsys):
    assert suite.main(["--only-draw"]) == 0  # of none
    figures.mkdir(exist_ok=True)
    cases = {"name": ["ours", "MONAI"], "ms": [2.0, 60.0], "of_ours": [1.0, 30.0]}
    pd.DataFrame(cases).to_csv(figures / "patches.csv", index=False)
    pd.DataFrame({"images": [100, 10**6], "epoch (s)": [1.0, 1.25]}).to_csv(figures / "large.csv")
    before = (suite.HERE.parent / "README.md").read_bytes()
    assert suite.main(["--only-draw"]) == 0
    table = (figures / "benchmarks.md").read_text()
    assert "| cut a patch of 256 px | MONAI | 30 |" in table and "1,000,000 images" in table
    assert (figures / "benchmarks.png").stat().st_size > 10_000
    assert (suite.HERE.parent / "README.md").read_bytes() == before, "of other figures"


def test_coverage_is_measured_of_every_interval(figures, capsys):
    table = bench_coverage.measure(12, 60, lesions=(10,), women=(16,))
    assert table["interval"].nunique() == len(table) == 8 + 4 + 4
    sides = table[["coverage", "above", "below"]].sum(axis=1)
    assert sides.tolist() == pytest.approx([1] * 16) and (table["width"] > 0).all()
    text = bench_coverage.markdown(table)
    assert text.count("16 women") == 8 and "12 made-up sets" in text
    again = bench_coverage.measure(12, 60, lesions=(10,), women=())
    pd.testing.assert_frame_equal(again, table[:8])


def test_an_unknown_benchmark_is_refused_in_a_line(capsys):
    with pytest.raises(SystemExit):
        suite.main(["gpus"])
    assert "no benchmark gpus: name some of" in capsys.readouterr().err


def test_cases_run_in_turns_and_are_compared_turn_by_turn():
    seen = []
    cases = {"ours": lambda: seen.append("a"), "other": lambda: seen.append("b")}
    assert timing.interleaved(cases, turns=2).shape == (2, 2) and "".join(seen) == "ababab"


@pytest.mark.parametrize("work", bench_gpu.OTHERS)
def test_what_has_no_gradients_is_measured(work):
    found = bench_gpu.measure(work, SMALL, batch=1, steps=1)
    assert set(found) == {"s/step", "items/s", "GiB"} and min(found.values()) > 0


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("network", bench_gpu.NETWORKS)
def test_a_step_of_each_network_is_measured(network, precision):
    """A learning rate still to be searched for does no harm."""
    settings = SMALL.model_copy(update={"compute": Compute(precision=precision)})
    found = bench_gpu.measure(network, settings, batch=3, steps=2)
    assert tuple(found) == bench_gpu.COLUMNS[2:-1]
    assert all(value > 0 for value in found.values())
    assert found["items/s"] * found["s/step"] == pytest.approx(3)
    done = found["TFLOP/s"] * 1e12 * found["s/step"]
    assert found["GFLOP/item"] * 1e9 == pytest.approx(done / 3)


def test_operations_of_f_agg_by_hand():
    """34 -> 32 -> 32 maps of 5 x 3 cells by 3 x 3 weights, 32 -> 4: forward and twice backward."""
    found = bench_gpu.measure("f_agg", SMALL, batch=4, steps=1)
    multiplied = 9 * (34 * 32 + 32 * 32) * 15 + 32 * 4
    assert found["GFLOP/item"] * 1e9 == pytest.approx(3 * 2 * multiplied)


def test_steps_to_warm_up_are_not_timed():
    """Moments are ends of steps from the first on; two steps warm up, and 1, 3 and 2 s follow."""
    task = bench_gpu.FAggSteps(SMALL, 1, 3)
    task.moments = [0, 10, 11, 14, 16]
    assert task.steps == 5 and task.seconds() == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_told_in_one_line(capsys):
    code = bench_gpu.main(["--work", "f_agg", "--device", "cuda", "--batch", "2"])
    said = capsys.readouterr()
    assert code == 2 and said.out == "" and len(said.err.splitlines()) == 1
    assert said.err.startswith("error: device 'cuda' cannot be used")


def test_a_runs_time_is_told_by_job(tmp_path):
    with pytest.raises(InputError, match="no job has left its times"):
        bench_demo.jobs(tmp_path)
    took = {"04": (60.0, 50.0), "fagg.E+S": (8.0, 70.0)}
    for name, (seconds, cpu) in took.items():
        mark = {"seconds": seconds, "cpu_seconds": cpu} | ({"peak_mb": 700} if name == "04" else {})
        write_mark(tmp_path / "jobs" / f"{name}.json", mark)
    for job, name, run in [
        ("04", "floc", 0),
        ("fagg.E+S", "fagg/E+S", 0),
        ("fagg.E+S", "fagg/E+S", 1),
    ]:
        place = tmp_path / name / f"run{run}"
        write_text(place / "timing.csv", "epoch,seconds\n1,1.5\n2,2\n")
        write_mark(place / STAGE, {"job": job})
    metadata = [
        {},
        {"tags": ["setup"], "papermill": {"duration": 4}},
        {"papermill": {"duration": 50}},
    ]
    cells = [{"metadata": each} for each in metadata]
    write_json(tmp_path / "notebooks" / "04_toy.ipynb", {"cells": cells})
    second, first = bench_demo.jobs(tmp_path).to_dict("records")[::-1]
    assert (first["job"], first["training"]) == ("fagg.E+S", 7.0)
    assert [*second.values()] == ["04", 60.0, 50.0, 700, 3.5, 4.0, 50.0, 6.0]
    assert pd.isna(first["peak_mb"])  # of a mark from before it was kept


def test_patches_of_all_cases_are_measured_beside_ours(monkeypatch):
    monkeypatch.setattr(bench_patches, "PEERS", {})
    measured = bench_patches.rounds(bench_patches.cases(), bench_patches.windows(2), 2)
    assert len(measured) == 2 * 3 and (measured["ms"] > 0).all()
    table = bench_patches.summary(measured).set_index("name")
    assert list(table.index) == [bench_patches.OURS, bench_patches.FORMER, bench_patches.PLAIN]
    assert table.at[bench_patches.OURS, "of_ours"] == 1
    assert min(bench_patches.pipeline(bench_patches.windows(3), each=2)) > 0


def test_all_ways_to_cut_show_the_same_window_and_ours_is_nearer_to_the_mean_than_a_bare_warp():
    table = bench_patches.windows(2, 0.7, 32)
    ours = bench_patches.ours(table, 32)
    for case in (bench_patches.former, bench_patches.plain):
        np.testing.assert_allclose(case(table, 32), ours, atol=1e-3)
    error = bench_patches.errors(1, 24).pivot(index="scale", columns="name", values="rms")
    assert (error[bench_patches.OURS] < error[bench_patches.PLAIN]).all()


# ------------------------------------------------------------------ the paper's size
def test_the_page_of_scale_has_the_tables_that_the_stored_rates_give():
    page = scale.PAGE.read_text(encoding="utf-8")
    assert sorted(name for _, name, _ in scale.BLOCK.findall(page)) == sorted(scale.BLOCKS)
    assert scale.with_tables(page) == page, "run: python benchmarks/scale.py"


def test_trainings_of_the_papers_size_are_counted():
    table = scale.works().set_index("what")
    arms = table[table.index.str.startswith("figure 6")]
    assert arms["trainings"].sum() == 36 and (arms["inputs"] == 10_000).all()
    assert scale.STORE / scale.TB == pytest.approx(11.67, abs=0.01)
    gmic = 50 * (815_566 * 177e9 + 797 * 60.5e9)
    assert table.at["GMIC", "most"] == pytest.approx(gmic, rel=0.005)
    assert (table["stopped"] <= table["most"]).all()


def test_a_measured_gpu_takes_the_place_of_the_assumed_share(figures, monkeypatch):
    for file in (suite.HERE.parent / "figures" / "benchmarks").glob("*.csv"):
        write_text(figures / file.name, file.read_text())
    (figures / "gpu.csv").unlink(missing_ok=True)
    assert "No rate" in scale.gpu()
    assert scale.speeds("gmic") == [share * scale.PEAK for share in scale.SHARES]
    write_text(figures / "gpu.csv", "work,TFLOP/s\nf_loc cut,20\ngmic,10\nf_agg,1\n")
    assert scale.speeds("densenet121")[0] == 20e12 and "measured by" in scale.gpu()
    table, fagg = scale.works(), 0.1 * 21 * 100 * 100  # steps, and seconds of each of them
    monkeypatch.setattr(scale, "STEP", 0.1)
    hours = scale.gpu_hours(table, "most", 1).set_axis(table["what"])
    assert hours["GMIC"] == pytest.approx(table.set_index("what").at["GMIC", "most"] / 10e12 / 3600)
    assert hours["f_agg"] == pytest.approx(fagg / 3600)


def test_what_an_image_and_a_network_cost_is_measured(tmp_path, monkeypatch):
    found = bench_scale.operations(SMALL).set_index("network")
    by_hand = 2 * (9 * (34 * 32 + 32 * 32) * 15 + 32 * 4)
    assert found.at["fagg", "forward"] * 1e9 == pytest.approx(by_hand)
    assert (found["state"] >= found["parameters"]).all()
    assert found.at["gmic saliency", "forward"] < found.at["gmic", "forward"]
    monkeypatch.setattr(bench_scale, "FILMS", 2)
    monkeypatch.setattr(bench_scale, "FILES", 20)
    rates = bench_scale._store(tmp_path, SMALL) | bench_scale._files(tmp_path)
    assert len(rates) == 6 and all(value > 0 for value, _ in rates.values())
