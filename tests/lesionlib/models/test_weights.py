"""Initialisation and checkpoints: what comes back, what is refused."""

import hashlib
import json
import os
import urllib.error
import urllib.request

import pytest
import torch
from safetensors.torch import save_file

from lesionlib.errors import InputError
from lesionlib.models import GMIC, FAgg, FLoc, backbones, weights
from lesionlib.models._state_files import read_state
from lesionlib.models._torchvision import torchvision_models
from lesionlib.models.gmic._checkpoint import published_name
from lesionlib.models.weights import initialise, load_checkpoint, save_checkpoint


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def refused(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def small_gmic():
    return GMIC(width=2, local_width=2, attention=4)


# ------------------------------------------------------------------ checkpoints
@pytest.mark.parametrize("build", [lambda: FLoc("densenet_mini"), lambda: FAgg(34), small_gmic])
def test_round_trip(build, tmp_path):
    model, other = build(), build()
    for buffer in model.buffers():
        buffer.add_(1)
    assert not same(model, other)
    path, settings = tmp_path / "deep" / "best.safetensors", {"backbone": "x", "epochs": 3}
    save_checkpoint(path, model, settings)
    assert load_checkpoint(path, other) == settings
    assert same(model, other)
    assert json.loads(path.with_suffix(".json").read_text()) == settings
    assert sorted(p.name for p in path.parent.iterdir()) == ["best.json", "best.safetensors"]


def test_same_model_gives_same_bytes(tmp_path):
    model = FAgg(3)
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file in files:
        save_checkpoint(file, model, {"b": 1, "a": 2})
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path, old = tmp_path / "last.safetensors", FAgg(3)
    save_checkpoint(path, old, {})

    def full_disk(descriptor):
        os.truncate(descriptor, 100)
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, FAgg(3), {})
    fresh = FAgg(3)
    load_checkpoint(path, fresh)
    assert same(fresh, old)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.json", "last.safetensors"]


def test_torch_file_is_taken(tmp_path):
    model, other = FAgg(3), FAgg(3)
    for content in (model.state_dict(), {"state_dict": model.state_dict()}):
        torch.save(content, tmp_path / "weights.pt")
        assert load_checkpoint(tmp_path / "weights.pt", other) == {}
        assert same(model, other)


def test_misfits_are_named(tmp_path):
    path, model = tmp_path / "weights.safetensors", FAgg(3)
    state = model.state_dict()
    state["classifier.weight"] = torch.zeros(5, 32)
    state["surplus"] = state.pop("classifier.bias")
    save_file(state, path)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    message = refused(load_checkpoint, path, model)
    assert "1 missing: classifier.bias" in message
    assert "1 left over: surplus" in message
    assert "classifier.weight is (5, 32), not (4, 32)" in message
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_other_backbone_is_refused(tmp_path):
    save_checkpoint(tmp_path / "w.safetensors", FLoc("resnetv2_mini"), {})
    message = refused(load_checkpoint, tmp_path / "w.safetensors", FLoc("densenet_mini"))
    assert "missing" in message and "left over" in message and len(message) < 700


class Surprise:
    def __reduce__(self):
        return print, ("code from a weights file was run",)


@pytest.mark.parametrize("legacy", [True, False])
def test_pickles_with_more_than_tensors_are_refused(legacy, tmp_path, capsys):
    path = tmp_path / "weights.pt"
    content = FAgg(3).state_dict() | {"surprise": Surprise()}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert "more than tensors" in refused(load_checkpoint, path, FAgg(3))
    assert capsys.readouterr().out == ""


def test_table_with_a_number_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "weights.pt")
    assert "no table of tensors" in refused(read_state, tmp_path / "weights.pt")


def test_broken_files_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    assert "missing, or no regular file" in refused(read_state, path)
    save_checkpoint(path, FAgg(3), {})
    whole = path.read_bytes()
    torch.save(FAgg(3).state_dict(), tmp_path / "weights.pt")
    zipped = (tmp_path / "weights.pt").read_bytes()
    for content in (whole[:-10], whole[:20], zipped[:-500], b"", b"no weights at all"):
        path.write_bytes(content)
        assert str(path) in refused(read_state, path)


# ------------------------------------------------------------------ initialisation
def test_he_changes_nothing():
    model, other = FLoc("densenet_mini"), FLoc("densenet_mini")
    other.load_state_dict(model.state_dict())
    record = initialise(model, "he")
    assert same(model, other)
    assert record == {"initialisation": "he", "source": "random", "sha256": "", "tensors": 0}


def test_whole_network_from_file(tmp_path):
    model, other = FLoc("densenet_mini"), FLoc("densenet_mini")
    save_checkpoint(tmp_path / "w.safetensors", model, {})
    record = initialise(other, "file", tmp_path / "w.safetensors")
    assert same(model, other)
    assert record["source"].endswith("w.safetensors")
    assert record["tensors"] == len(model.state_dict())
    assert record["sha256"] == hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()


def test_trunk_alone_from_file(tmp_path):
    model, other = FLoc("resnetv2_mini"), FLoc("resnetv2_mini")
    head = other.hidden.weight.clone()
    save_file(model.trunk.state_dict(), tmp_path / "trunk.safetensors")
    initialise(other, "file", tmp_path / "trunk.safetensors")
    assert same(model.trunk, other.trunk)
    assert torch.equal(other.hidden.weight, head)


def test_gmic_from_own_and_published_names(tmp_path):
    model, path = small_gmic(), tmp_path / "weights.pt"
    for rename in (str, published_name):
        torch.save({rename(key): value for key, value in model.state_dict().items()}, path)
        other = small_gmic()
        initialise(other, "file", path)
        assert same(model, other)


def test_refusals(tmp_path):
    assert "no file is named" in refused(initialise, FAgg(1), "file")
    assert "imagenet, he or file" in refused(initialise, FAgg(1), "zeros")
    assert "missing, or no regular file" in refused(
        initialise, FAgg(1), "file", tmp_path / "nothing.pt"
    )


@pytest.mark.parametrize(
    ("build", "remedy"),
    [
        (lambda: FLoc("resnetv2_mini"), "floc.weights_file"),
        (small_gmic, "gmic.weights_file"),
        (lambda: FAgg(3), "he"),
    ],
)
def test_no_imagenet_weights_exist(build, remedy):
    message = refused(initialise, build(), "imagenet")
    assert "no published ImageNet weights" in message and remedy in message


def no_network(*_args, **_kwargs):
    raise urllib.error.URLError("no network")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub cache, no network, and ImageNet weights that suit the small DenseNet."""
    entry = backbones.BACKBONES["densenet_mini"]
    named = backbones.Backbone(entry.build, entry.channels, "Mini_Weights")
    monkeypatch.setitem(backbones.BACKBONES, "densenet_mini", named)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def put(hub, monkeypatch, state):
    """Writes a file under the name that its content asks for; returns its path."""
    torch.save(state, hub / "new.pth")
    digest = hashlib.sha256((hub / "new.pth").read_bytes()).hexdigest()
    path = (hub / "new.pth").rename(hub / f"mini-{digest[:8]}.pth")
    monkeypatch.setattr(weights, "_imagenet_url", lambda name: f"https://example.org/{path.name}")
    return path


def old_names(model):
    """As torchvision's published DenseNets: names of 2017, no counters, a thousand classes."""
    state = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for key, value in model.trunk.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    return state | {
        "classifier.weight": torch.zeros(1000, 74),
        "classifier.bias": torch.zeros(1000),
    }


def test_imagenet_from_the_cache(hub, monkeypatch):
    model, other = FLoc("densenet_mini"), FLoc("densenet_mini")
    path = put(hub, monkeypatch, old_names(model))
    head = other.hidden.weight.clone()
    record = initialise(other, "imagenet")
    assert same(model.trunk, other.trunk)
    assert torch.equal(other.hidden.weight, head)  # all but the last two layers
    assert record["source"] == path.name and record["initialisation"] == "imagenet"


def test_imagenet_offline_names_the_option(hub, monkeypatch):
    monkeypatch.setattr(weights, "_imagenet_url", lambda name: "https://example.org/a-12345678.pth")
    message = refused(initialise, FLoc("densenet_mini"), "imagenet")
    assert "floc.weights_file" in message and "a-12345678.pth" in message


def test_damaged_cache_is_noticed(hub, monkeypatch):
    path = put(hub, monkeypatch, old_names(FLoc("densenet_mini")))
    path.write_bytes(path.read_bytes()[:-1])
    assert "damaged" in refused(initialise, FLoc("densenet_mini"), "imagenet")


def test_urls_of_torchvision():
    for entry in backbones.BACKBONES.values():
        if entry.imagenet:
            name = weights._imagenet_url(entry.imagenet).rsplit("/", 1)[1]
            assert name.startswith(entry.imagenet.split("_")[0].lower())


# ------------------------------------------------------------------ networks of others
@pytest.fixture(scope="module")
def patch_classifier():
    """As the patch classifier of Wu et al. 2019: torchvision's DenseNet-121 with four outputs."""
    network = torchvision_models().densenet121(weights=None, num_classes=4).eval()
    generator = torch.Generator().manual_seed(3)
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.copy_(buffer + 0.3 * torch.rand(buffer.shape, generator=generator))
    return network


@pytest.mark.parametrize("activation", ["relu", "none"])
def test_patch_classifier_with_its_head(activation, patch_classifier, tmp_path):
    """727 tensors; the four classes are ours, so f_loc gives the very logits of its file."""
    path, state = tmp_path / "sample_patch_model.p", patch_classifier.state_dict()
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert len(state) == 727 and sum(p.numel() for p in patch_classifier.parameters()) == 6_957_956
    model = FLoc("densenet121", h_activation=activation).eval()
    record = initialise(model, "file", path, head="map")
    assert record["tensors"] == 727
    patches = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = patch_classifier(patches.expand(-1, 3, -1, -1))
        torch.testing.assert_close(model(patches)[0], expected, atol=2e-5, rtol=1e-5)


def test_patch_classifier_without_its_head(patch_classifier, tmp_path):
    """Names may carry those of a module around it; the last two layers stay as they were."""
    path = tmp_path / "patch.pt"
    state = {f"module.{key}": value for key, value in patch_classifier.state_dict().items()}
    torch.save(state, path)
    model = FLoc("densenet121")
    hidden = model.hidden.weight.clone()
    assert initialise(model, "file", path)["tensors"] == 725
    norm = patch_classifier.features.norm5
    assert torch.equal(model.trunk.features.norm5.running_var, norm.running_var)
    assert torch.equal(model.hidden.weight, hidden)


def test_patch_classifier_is_read_strictly(patch_classifier, tmp_path):
    path, state = tmp_path / "patch.pt", patch_classifier.state_dict()
    torch.save(state | {"features.extra.weight": torch.zeros(2)}, path)
    message = refused(lambda: initialise(FLoc("densenet121"), "file", path))
    assert "1 left over: features.extra.weight" in message
    assert "missing" in refused(lambda: initialise(FLoc("densenet161"), "file", path))
    torch.save({k: v for k, v in state.items() if not k.startswith("classifier")}, path)
    message = refused(lambda: initialise(FLoc("densenet121"), "file", path, head="map"))
    assert "no last layer" in message and "floc.weights_head" in message
    torch.save(state | {"surprise": Surprise()}, path)
    assert "more than tensors" in refused(lambda: initialise(FLoc("densenet121"), "file", path))


@pytest.mark.parametrize("how", ["he", "imagenet"])
def test_a_head_is_mapped_from_a_file_alone(how):
    message = refused(lambda: initialise(FLoc("densenet_mini"), how, head="map"))
    assert "floc.weights_head" in message


def test_mapped_numbers_of_h_and_the_rest():
    """z = 2 f - 1 for the first class: h holds max(z, 0) and max(-z, 0); 24 numbers stay."""
    model = FLoc("densenet_mini")
    rest = model.hidden.weight[8:].clone()
    weight, bias = torch.zeros(4, 74), torch.tensor([-1.0, 0.5, 0.0, 2.0])
    weight[0, 0] = 2.0
    model.become_linear(weight, bias)
    features = torch.zeros(1, 74)
    features[0, 0] = 0.2
    h = model.hidden(features).relu()
    torch.testing.assert_close(h[0, :8], torch.tensor([0.0, 0.5, 0, 2, 0.6, 0, 0, 0]))
    torch.testing.assert_close(model.classifier(h)[0], torch.tensor([-0.6, 0.5, 0, 2]))
    assert torch.equal(model.hidden.weight[8:], rest)


def test_local_network_of_gmic_from_torchvision(tmp_path):
    theirs, model = torchvision_models().resnet18(weights=None), GMIC()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    fresh = model.global_network.stem.weight.clone()
    assert initialise(model, "file", tmp_path / "resnet18.pth")["tensors"] == 120
    found = model.local_network.layer4[1].conv2.weight
    assert torch.equal(found, theirs.layer4[1].conv2.weight)
    assert torch.equal(model.global_network.stem.weight, fresh)


def test_gmic_from_imagenet_offline_names_the_option(hub):
    message = refused(initialise, GMIC(), "imagenet")
    assert "resnet18-" in message and "gmic.weights_file" in message
