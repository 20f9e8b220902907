"""Trunks: structure, counts, agreement with torchvision."""

import pytest
import torch

from lesionlib.errors import InputError
from lesionlib.models import BACKBONES, FLoc
from lesionlib.models._torchvision import torchvision_models
from lesionlib.models.backbones import PreActivationUnit

TRUNK = {
    "densenet121": 6_953_856,
    "densenet161": 26_472_000,
    "densenet169": 12_484_480,
    "resnetv2_50": 23_500_352,
    "resnetv2_101": 42_492_480,
    "resnetv2_152": 58_136_128,
    "densenet_mini": 94_040,
    "resnetv2_mini": 86_992,
}


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", BACKBONES)
def test_counts_and_output(name):
    trunk = BACKBONES[name].build().eval()
    assert count(trunk) == TRUNK[name]
    mini = name.endswith("mini")
    with torch.no_grad():
        features = trunk(torch.randn(1, 3, 48 if mini else 64, 48 if mini else 64))
    cells = 3 if mini else 2
    assert features.shape == (1, BACKBONES[name].channels, cells, cells)
    assert features.min() >= 0  # the last ReLU is part of the trunk


def test_every_backbone_is_listed_here():
    assert set(TRUNK) == set(BACKBONES)


def test_full_patch_gives_8_by_8():
    with torch.no_grad():
        assert BACKBONES["densenet121"].build().eval()(torch.zeros(1, 3, 256, 256)).shape[2:] == (
            8,
            8,
        )


@pytest.mark.parametrize("depth", [121, 161, 169])
def test_densenet_equals_torchvision(depth):
    theirs = getattr(torchvision_models(), f"densenet{depth}")(weights=None).eval()
    trunk = BACKBONES[f"densenet{depth}"].build().eval()
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("classifier.")}
    trunk.load_state_dict(state)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(x)
        found = theirs.classifier(trunk(x).mean(dim=(2, 3)))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def silent(unit):
    torch.nn.init.zeros_(unit.conv3.weight)
    return unit.eval()


def test_plain_unit_adds_its_input_untouched():
    unit = silent(PreActivationUnit(8, 2, 8, 1, project=False))
    x = torch.randn(1, 8, 5, 5)
    assert torch.equal(unit(x), x)


def test_projected_unit_takes_the_activated_input():
    unit = silent(PreActivationUnit(4, 2, 8, 2, project=True))
    x = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        expected = unit.shortcut(unit.norm1(x).relu())
        assert torch.equal(unit(x), expected)
    assert expected.shape == (1, 8, 3, 3)
    assert not torch.allclose(expected, unit.shortcut(x))


def test_he_spread():
    weight = BACKBONES["resnetv2_50"].build().stages[2][1].conv2.weight  # 256 x 256 x 3 x 3
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)


def test_unknown_name_names_the_nearest():
    with pytest.raises(InputError, match="densenet161"):
        FLoc("densnet161")
