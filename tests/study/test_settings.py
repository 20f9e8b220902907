"""Settings: what is refused and how, what extends what, seeds that depend on names alone."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from data_manifest import registry
from lesionlib.errors import InputError
from lesionlib.seeds import derive_seed, digest, rng
from study import settings
from study.settings import load_experiment


@pytest.fixture
def write(own_root):
    """Writes experiments/<name>.yaml of a project of its own."""
    (own_root / "experiments").mkdir()

    def write(name: str, text: str | bytes):
        content = text if isinstance(text, bytes) else text.encode()
        (own_root / "experiments" / f"{name}.yaml").write_bytes(content)

    return write


def refusal(name: str) -> str:
    with pytest.raises(InputError) as caught:
        load_experiment(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


def test_every_shipped_experiment_loads():
    names = settings.experiment_names()
    assert {"smoke", "demo", "mini_mias", "cbis_ddsm", "nyu"} <= set(names)
    for name in names:
        assert load_experiment(name).name == name


def test_every_shipped_experiment_opens_with_command_hardware_time_and_result():
    names = settings.experiment_names()
    for name in names:
        if name.startswith("evidence_") or re.search(r"_fold\d+$", name):
            continue  # see evidence; see what study folds was given
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
        ("gmic: {learning_rate: search}", "setting 'gmic.learning_rate'"),
        ("floc: {learning_rate: serach}", "'floc.learning_rate': should be a valid number"),
        ("floc: {backbone: densenet_161}", "did you mean 'densenet161'?"),
        ("floc: {backbone: resnetv2_50}", "no published ImageNet weights for resnetv2_50"),
        ("floc: {initialisation: file}", "initialisation file needs a weights_file"),
        ("floc: {weights_head: map}", "weights_head map needs initialisation file"),
        ("gmic: {initialisation: imagenet, local_width: 8}", "for local_width 64, found 8"),
        ("compute: {device: gpu}", "should be cpu, cuda, cuda:1 (the second GPU) or mps"),
        ("compute: {precision: fp16}", "known: 32-true, bf16-mixed"),
        ("compute: {channels_last: true}", "channels_last is for a GPU"),
        ("compute: {devices: 0}", "setting 'compute.devices'"),
        ("compute: {device: 'cuda:1', devices: 2}", "for device cpu or cuda, found cuda:1"),
        ("compute: {device: cuda, devices: 2, patches: device}", "patches device is for one device"),
        ("compute: {devices: 2}", "floc.batch 25 cannot be shared alike by 2 devices; set it to a mul"),
        ("architectures: {arms: []}", "setting 'architectures.arms'"),
        ("architectures: {arms: [&a {backbone: densenet121}, {backbone: densenet121}]}",
         "arm densenet121-he is there twice"),
        ("search: {floc: [1.0e-3, 1.0e-4]}", "'search.floc': should have its lower end first"),
        ("data: {folds: 3, fold: 9}", "there is no fold 9 of 3 folds, counted from 0"),
        ("data: {fold: 1}", "there is no fold 1 of no folds"),
        ("data: {permuted_labels: true, folds: 3}", "for a real set that is split, not folded"),
        ("data: {permuted_labels: true, dataset: phantom}", "for a real set that is split"),
        ("data: {test_share: 0.9}", "leave no training"),
        ("data: {test_share: 1.1}", "setting 'data.test_share': should be less than 1"),
        ("windows: {breast_share: 1.1}", "setting 'windows.breast_share': should be less than"),
        ("floc: {epochs: 0}", "'floc.epochs': should be greater than or equal to 1"),
        ("data: {dataset: my set}", "a data set cannot be named 'my set'"),
        ("data: {dataset: phantom, options: {a: 1}}", "the phantom takes no options"),
        ("evaluation: {fnr: []}", "setting 'evaluation.fnr'"),
        ("floc: {epoch: [0, 1, 1, 1]}", "should have malignant and benign windows"),
        ("floc: {epoch: [-1, 1, 1, 1]}", "setting 'floc.epoch.0'"),
        ("windows: {patch: 24}", "too small for densenet161, at least 31"),
        ("windows: {min_overlap: 200000}", "more than a window holds"),
        ("seed: -1", "setting 'seed'"),
        ("name: other", "the name of an experiment is that of its file, found name: other"),
        ("extends: e", "'e' extends itself in the end (e.yaml)"),
        ("extends: 2024", "an experiment cannot be named 2024 (e.yaml). A name begins with"),
        ("extends: [a, b]", "an experiment cannot be named ['a', 'b']"),
        ("canvas: {rows: 1000}", "not whole cells of 64 px"),
        ("canvas: {rows: 320, cols: 192}", "windows.side_max 384 px is larger than the canvas"),
        ("windows: {side_min: 400}", "exceeds windows.side_max"),
        ("a: [", "not valid YAML"),
        ("- 1", "not a table of settings"),
        ("seed: 1\nfloc: {runs: 1}\nseed: 2", "key 'seed' is given twice (e.yaml, line 3)"),
        ("floc: {runs: 1, runs: 1}", "key 'runs' is given twice"),
        ("1: 2", "key '1' is no text"),
        ("on: 2", "key 'on' is no text"),
        ("[a]: 2", "is no text"),
        ("2024-01-01: 2", "unknown setting '2024-01-01'"),
        ("seed: 2024-01-01", "found '2024-01-01'"),
        ("seed: !!python/name:os.system", "not valid YAML"),
        ("seed: " + "9" * 5000, "not valid YAML"),
        ("data: &a {options: {b: *a}}", "an alias (*) is not read here (e.yaml, line 1)"),
        ("a: &a [x, x]\nb: [*a, *a]", "an alias (*) is not read here (e.yaml, line 2)"),
        ("a: " + "[" * 5000, "not valid YAML"),
        ("title: Müller".encode("latin-1"), "not a text in UTF-8 (e.yaml). Save it as UTF-8"),
        ("title: a\0b", "not a text in UTF-8"),
        ("#" * 1_000_001, "too large for settings"),
        ("data: {dataset: phantom}\nwindows: {side_min: 24, side_max: 48}",
         "is not the phantom's 576 x 384 px"),
    ],
)  # fmt: skip
def test_bad_settings_are_one_line_with_the_remedy(write, text, said):
    write("e", text)
    assert said in refusal("e")


def test_windows_that_would_see_the_phantoms_context_are_refused(write):
    write("e", "data: {dataset: phantom}\ncanvas: {rows: 576, cols: 384}\n"
               "windows: {side_min: 24, side_max: 96}\n")  # fmt: skip
    assert "phantom.side_max 48 px" in refusal("e")


# values that a field of this kind refuses
REFUSED = {
    int: [0.5, -1, True, "many", math.inf, 10**30],
    float: [-1.0, True, "much", math.inf, -math.inf, math.nan],
    bool: [2, "perhaps"],
}


def fields(model=settings.Experiment, path=()):
    """Each field of the settings with its path; those of the arms of figure 6, too."""
    for name, field in model.model_fields.items():
        yield (*path, name), field
        inner = settings.Arm if name == "arms" else field.annotation
        if isinstance(inner, type) and issubclass(inner, settings.Section):
            yield from fields(inner, (*path, name))


def test_every_setting_is_described():
    assert [path for path, field in fields() if not field.description] == []


def test_every_setting_refuses_what_is_no_value_of_its_kind(write):
    counted = 0
    for path, field in fields():
        for value in REFUSED.get(type(field.default), []):
            content = {path[-1]: value}
            for name in reversed(path[:-1]):
                content = {name: content}
            write("e", yaml.safe_dump(content))
            assert f"setting '{'.'.join(path)}'" in refusal("e"), value
            counted += 1
    assert counted > 300


def test_an_exponent_without_a_point_is_a_number_although_yaml_takes_it_for_a_text(write):
    write("e", "floc: {learning_rate: 1e-3}\nsearch: {floc: [1e-5, 1e-3]}\ntitle: 2024-01-01")
    s = load_experiment("e")
    assert (s.floc.learning_rate, s.search.floc, s.title) == (1e-3, (1e-5, 1e-3), "2024-01-01")


@pytest.mark.parametrize(
    "name",
    ["2024", "007", "a&b", "toy (copy)", "my set", "../e", "a/b", "$(id)", "`id`", "a;b", "a'b", 'a"b',
     "-x", ".e", "é", "a\nb", "a" * 65, ""],
)  # fmt: skip
def test_a_name_that_no_path_or_shell_should_meet_is_refused_with_the_pattern(write, name):
    said = refusal(name)
    assert "cannot be named" in said and "digits, _ and - only" in said


def test_an_unknown_experiment_names_the_nearest_that_has_a_name(write):
    write("demo", "seed: 1")
    write("demos (1)", "seed: 1")
    assert settings.experiment_names() == ["demo"]
    assert "did you mean 'demo'?" in refusal("demos")


def test_the_choices_are_those_of_the_method():
    from lesionlib.models.backbones import BACKBONES
    from lesionlib.training import PRECISIONS

    assert list(get_args(get_args(settings.Backbone)[0])) == list(BACKBONES)
    assert [b for b, how in BACKBONES.items() if how.imagenet] == list(settings.PUBLISHED)
    known = settings.Compute.model_fields["precision"].annotation
    assert get_args(known) == PRECISIONS
    assert all(settings.NAME.fullmatch(arm.name) for arm in settings.PAPER_ARMS)
    assert all(map(settings.NAME.fullmatch, registry.OWN))


def test_a_path_of_a_setting_is_in_the_project_or_under_the_users_home(write, monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    assert settings.project_path("~/w.pt") == Path("/home/u/w.pt")
    assert settings.project_path("w.pt") == settings.project_root() / "w.pt"
    assert settings.project_path("/w.pt") == Path("/w.pt")


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


def test_a_start_outside_the_compendium_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("LESIONLIB_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "__file__", str(tmp_path / "site" / "study" / "settings.py"))
    with pytest.raises(InputError, match="no folder experiments/ found.*Start inside"):
        settings.project_root.__wrapped__()
