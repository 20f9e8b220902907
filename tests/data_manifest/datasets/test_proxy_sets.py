"""What the pages of INbreast, VinDr-Mammo and CMMD promise holds: counts and settings."""

import json
import re
import shutil

import pytest

from data_manifest.expected_counts import DATA_MANIFEST
from data_manifest.registry import read
from lesionlib.errors import InputError
from study import settings as settings_module


@pytest.mark.parametrize("name", ["inbreast", "vindr_mammo"])
def test_the_settings_on_the_page_can_be_loaded(name, tmp_path, monkeypatch):
    page = (DATA_MANIFEST / name / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shutil.copytree(DATA_MANIFEST.parent / "experiments", tmp_path / "experiments")
    (tmp_path / "experiments" / f"{name}.yaml").write_text(block)
    monkeypatch.setattr(settings_module, "project_root", lambda: tmp_path)
    settings = settings_module.load_experiment(name)
    assert settings.data.dataset == name
    assert settings.data.options == {"truth": "birads_proxy"}


@pytest.mark.parametrize("name", ["inbreast", "vindr_mammo"])
def test_another_word_for_the_truth_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="truth = 'biopsy'.*birads_proxy"):
        read(name, tmp_path, truth="biopsy")


@pytest.mark.parametrize(
    ("name", "whole", "parts"),
    [
        ("inbreast", "rows", ["by_birads", "by_view", "by_side"]),
        ("vindr_mammo", "box_rows", ["box_rows_by_split", "finding_birads_of_boxes"]),
        ("vindr_mammo", "studies", ["studies_by_split"]),
        ("cmmd", "rows_breasts", ["by_class", "by_abnormality"]),
    ],
)
def test_expected_counts_add_up(name, whole, parts):
    counts = json.loads((DATA_MANIFEST / name / "expected_counts.json").read_text())
    assert {part: sum(counts[part].values()) for part in parts} == dict.fromkeys(
        parts, counts[whole]
    )
