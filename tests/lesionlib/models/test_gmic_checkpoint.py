"""Published GMIC files: taken strictly, recognised by their digest, turned into our names."""

import csv
import hashlib
import re
import warnings
from pathlib import Path

import pytest
import torch

from lesionlib.errors import InputError
from lesionlib.models.gmic import GMIC, _checkpoint, load_gmic_checkpoint, published_top_t
from lesionlib.models.gmic._checkpoint import published_name
from lesionlib.models.weights import load_checkpoint, save_checkpoint
from study.settings import project_root

EXTRA = {"shared_rep_filter.weight": torch.zeros(1)}  # its shape plays no part


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(7)
    return {published_name(key): value for key, value in GMIC().state_dict().items()}


@pytest.fixture
def file(published, tmp_path):
    """As the published files: PyTorch's old format, with the key that no network uses."""
    path = tmp_path / "sample_model_3.p"
    torch.save(published | EXTRA, path, _use_new_zipfile_serialization=False)
    return path


def refused(path):
    with pytest.raises(InputError) as caught:
        load_gmic_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------ what comes in
def test_published_file(published, file):
    assert len(published) == 258 and len({*published, *EXTRA}) == 259
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an unknown file has no top_t of its own
        model = load_gmic_checkpoint(file, top_t=0.03)
    assert model.top_t == 0.03 and not model.training
    assert sum(p.numel() for p in model.parameters()) == 14_110_322
    weight = published["ds_net.layer_list.2.0.downsample.0.weight"]
    assert torch.equal(model.global_network.stages[2][0].shortcut.weight, weight)
    assert torch.equal(model.attention_content.weight, published["mil_attn_V.weight"])
    assert torch.equal(model.attention_gate.weight, published["mil_attn_U.weight"])


def test_saved_again_and_read_back_it_gives_the_same(file, tmp_path):
    first, again = load_gmic_checkpoint(file), GMIC().eval()
    save_checkpoint(tmp_path / "gmic.safetensors", first, {})
    load_checkpoint(tmp_path / "gmic.safetensors", again)
    images = torch.randn(2, 1, 400, 300)
    with torch.no_grad():
        one, two = first(images), again(images)
    for name in ("saliency", "y_global", "y_local", "y_fusion", "attention", "crop_positions"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name


def test_a_published_digest_brings_its_top_t(file, monkeypatch):
    assert published_top_t(file) is None
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    table = file.with_name("published.csv")
    table.write_text(f"sha256,top_t\n{digest},0.03\n")
    monkeypatch.setattr(_checkpoint, "PUBLISHED", table)
    assert published_top_t(file) == 0.03
    with pytest.warns(UserWarning, match="published with top_t 0.03 and is used with 0.02"):
        load_gmic_checkpoint(file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_gmic_checkpoint(file, top_t=0.03)


def test_the_five_files():
    table = Path(_checkpoint.__file__).with_name("published.csv")
    with table.open(newline="") as rows:
        files = list(csv.DictReader(rows))
    assert [float(row["top_t"]) for row in files] == [0.02, 0.03, 0.03, 0.05, 0.1]
    assert len({row["sha256"] for row in files}) == len({row["git_blob"] for row in files}) == 5
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) for row in files)
    page = (project_root() / "data_manifest" / "weights.md").read_text()
    for row in files:
        assert row["file"] in page and row["sha256"] in page


# ------------------------------------------------------------------ what is refused
def test_misfits_are_named(published, tmp_path):
    path = tmp_path / "sample_model_1.p"
    changed = {key: value for key, value in published.items() if key != "ds_net.final_bn.bias"}
    torch.save(
        changed | {"another.weight": torch.zeros(3), "fusion_dnn.bias": torch.zeros(3)}, path
    )
    message = refused(path)
    assert "1 missing: ds_net.final_bn.bias" in message
    assert "1 left over: another.weight" in message
    assert "fusion_dnn.bias is (3,), not (2,)" in message


def test_only_that_one_key_is_dropped(published, tmp_path):
    path = tmp_path / "sample_model_1.p"
    torch.save(published | {"shared_rep_filter.bias": torch.zeros(1)}, path)
    assert "1 left over: shared_rep_filter.bias" in refused(path)


class Surprise:
    def __reduce__(self):
        return print, ("code from a weights file was run",)


def test_a_pickle_with_more_is_refused(published, tmp_path, capsys):
    path = tmp_path / "sample_model_1.p"
    torch.save(published | {"x": Surprise()}, path, _use_new_zipfile_serialization=False)
    assert "more than tensors" in refused(path) and capsys.readouterr().out == ""


# ------------------------------------------------------------------ the order of the classes
def test_one_place_turns_the_order():
    """Trap: GMIC has benign first, the project malignant first; nothing else may turn it."""
    turns = [
        f"{path.name}: {line.strip()}"
        for path in (project_root() / "lesionlib").rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"\.flip\((dims=)?[\[(]?1\b|\[1, 0\]", line)
    ]
    assert turns == ["_maps.py: return maps.flip(1)"]
