"""Settings: what is refused and how, what extends what, seeds that depend on names alone."""

from __future__ import annotations

import pytest
import yaml

from lesionlib.errors import InputError
from lesionlib.seeds import derive_seed, digest, rng
from study import settings
from study.settings import load_experiment


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes experiments/<name>.yaml of a project of its own."""
    (tmp_path / "experiments").mkdir()
    monkeypatch.setenv("LESIONLIB_ROOT", str(tmp_path))
    settings.project_root.cache_clear()
    yield lambda name, text: (tmp_path / "experiments" / f"{name}.yaml").write_text(text)
    settings.project_root.cache_clear()


def refusal(name: str) -> str:
    with pytest.raises(InputError) as caught:
        load_experiment(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_shipped_experiment_loads():
    names = settings.experiment_names()
    assert {"smoke", "demo", "mini_mias", "cbis_ddsm", "nyu"} <= set(names)
    for name in names:
        assert load_experiment(name).name == name


def test_every_shipped_experiment_opens_with_command_hardware_time_and_result():
    for name in settings.experiment_names():
        head = settings.experiment_files(name)[0].read_text().splitlines()[:4]
        words = [line.removeprefix("# ").split()[0] for line in head]
        assert words == ["Command", "Hardware", "Time", "Result"], name


def test_the_nyu_experiment_is_the_papers():
    s = load_experiment("nyu")
    assert (s.canvas.rows, s.canvas.cols, s.canvas.map_shape) == (2944, 1920, (46, 30))
    assert (s.floc.backbone, s.floc.initialisation) == ("densenet161", "imagenet")
    assert s.floc.epoch == s.fagg.epoch == (20, 35, 5000, 4945) and sum(s.floc.epoch) == 10_000
    assert (s.floc.batch, s.fagg.batch, s.fagg.filters) == (25, 100, 32)
    assert s.floc.patience == s.fagg.patience == 10
    assert (s.windows.side_min, s.windows.side_max, s.windows.angle) == (128, 384, 30)
    assert s.windows.patch == 256 and s.evaluation.windows_per_lesion == 100
    assert s.search.floc == (1e-6, 1e-4) and s.search.fagg == (1e-5, 1e-3)
    assert s.floc.runs == s.fagg.runs == 3


def test_an_experiment_extends_another_key_by_key(write):
    write("base", "seed: 4\nfloc: {epochs: 7, batch: 9}\n")
    write("child", "extends: base\nfloc: {epochs: 8}\n")
    s = load_experiment("child")
    assert (s.seed, s.floc.epochs, s.floc.batch, s.name) == (4, 8, 9, "child")


@pytest.mark.parametrize(
    "text, said",
    [
        (
            "floc: {patiense: 3}",
            "unknown setting 'floc.patiense' (e.yaml). did you mean 'patience'?",
        ),
        (
            "architectures: {arms: [{bakbone: densenet_mini}]}",
            "unknown setting 'architectures.arms.0.bakbone' (e.yaml). did you mean 'backbone'?",
        ),
        ("window: {}", "did you mean 'windows'?"),
        ("floc: {epochs: 0}", "setting 'floc.epochs'"),
        ("gmic: {learning_rate: search}", "setting 'gmic.learning_rate'"),
        ("extends: e", "'e' extends itself in the end (e.yaml)"),
        ("canvas: {rows: 1000}", "not whole cells of 64 px"),
        ("canvas: {rows: 320, cols: 192}", "windows.side_max 384 px is larger than the canvas"),
        ("windows: {side_min: 400}", "exceeds windows.side_max"),
        ("a: [", "not valid YAML"),
        ("- 1", "not a table of settings"),
        ("data: {dataset: phantom}", "is not the phantom's 576 x 384 px"),
    ],
)
def test_bad_settings_are_one_line_with_the_remedy(write, text, said):
    write("e", text)
    if "phantom" in text:
        write("e", text + "\nwindows: {side_min: 24, side_max: 72}")
    assert said in refusal("e")


def test_windows_that_would_see_the_phantoms_context_are_refused(write):
    write("e", "data: {dataset: phantom}\ncanvas: {rows: 576, cols: 384}\n"
               "windows: {side_min: 24, side_max: 96}\n")  # fmt: skip
    assert "phantom.side_max 72 px" in refusal("e")


def test_an_unknown_experiment_names_the_nearest(write):
    write("demo", "seed: 1")
    assert "did you mean 'demo'?" in refusal("demos")


def test_seeds_depend_on_names_alone():
    assert derive_seed(1, "floc", 0) == derive_seed(1, "floc", 0)
    assert len({derive_seed(s, n, r) for s in (1, 2) for n in "ab" for r in range(3)}) == 12
    assert rng(1, "a").random() == rng(1, "a").random() != rng(1, "b").random()


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_settings_survive_yaml():
    s = load_experiment("demo")
    again = yaml.safe_load(yaml.safe_dump(s.model_dump(mode="json")))
    assert digest(settings.Experiment(**again)) == digest(s)
