"""f_loc and f_agg: shapes, counts, order of the layers."""

import pytest
import torch

from lesionlib.errors import InputError
from lesionlib.models import BACKBONES, FAgg, FLoc


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("backbone", "weights"),
    [
        ("densenet121", 6_986_788),
        ("densenet161", 26_542_820),
        ("densenet169", 12_537_892),
        ("resnetv2_50", 23_566_052),
        ("resnetv2_101", 42_558_180),
        ("resnetv2_152", 58_201_828),
        ("densenet_mini", 96_572),
        ("resnetv2_mini", 91_252),
    ],
)
def test_floc(backbone, weights):
    model = FLoc(backbone).eval()
    assert count(model) == weights
    with torch.no_grad():
        logits, h = model(torch.randn(2, 1, 64, 64))
    assert logits.shape == (2, 4) and h.shape == (2, 32)
    assert h.min() >= 0
    torch.testing.assert_close(logits, model.classifier(h))


def test_h_without_activation_has_both_signs():
    torch.manual_seed(0)
    model = FLoc("densenet_mini", h_activation="none").eval()
    with torch.no_grad():
        logits, h = model(torch.randn(4, 1, 48, 48))
    assert h.min() < 0 < h.max()
    torch.testing.assert_close(logits, model.classifier(h))


def test_unknown_activation():
    with pytest.raises(InputError, match="relu or none"):
        FLoc("densenet_mini", h_activation="tanh")


@pytest.mark.parametrize("backbone", ["densenet_mini", "resnetv2_mini"])
def test_evaluation_does_not_depend_on_the_batch(backbone):
    model, patches = FLoc(backbone).eval(), torch.randn(3, 1, 48, 48)
    with torch.no_grad():
        together = model(patches)[0]
        alone = torch.cat([model(patch[None])[0] for patch in patches])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backbone", ["densenet_mini", "resnetv2_mini"])
def test_every_weight_of_floc_learns(backbone):
    model = FLoc(backbone, h_activation="none")
    model(torch.randn(4, 1, 48, 48))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.abs().max() > 0 for p in model.hidden.parameters())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_learns_four_patches_by_heart(backbone):
    """Two batches of two: the loss of both falls below .05, so gradients reach what matters."""
    torch.manual_seed(0)
    model = FLoc(backbone).train()
    rate = 0.1 if backbone.endswith("mini") else 0.03
    descent = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.5)
    patches, labels = torch.randn(2, 2, 1, 64, 64), torch.tensor([[0, 1], [2, 3]])
    for _ in range(40):
        losses = []
        for x, y in zip(patches, labels, strict=True):
            loss = torch.nn.functional.cross_entropy(model(x)[0], y)
            descent.zero_grad()
            loss.backward()
            descent.step()
            losses.append(loss.item())
        if max(losses) < 0.05:
            return
    pytest.fail(f"losses are still {losses}")


@pytest.mark.parametrize(
    ("channels", "weights"),
    [(1, 9766), (2, 10_056), (32, 18_756), (33, 19_046), (34, 19_336), (35, 19_626)],
)
def test_fagg(channels, weights):
    model = FAgg(channels).eval()
    assert count(model) == weights
    with torch.no_grad():
        assert model(torch.rand(2, channels, 46, 30)).shape == (2, 4)


def test_fagg_in_evaluation_does_not_depend_on_the_batch():
    model, maps = FAgg(34), torch.rand(3, 34, 9, 6)
    model(maps)  # in training: the norms learn their statistics
    with torch.no_grad():
        together = model.eval()(maps)
        alone = torch.cat([model(one[None]) for one in maps])
        assert not torch.allclose(model.train()(maps[:2]), together[:2], atol=1e-3)
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


def test_fagg_by_hand():
    """One map, one filter: every step can be followed on paper."""
    model = FAgg(1, filters=1).eval()
    first, second = model.features[2], model.features[5]
    for convolution in (first, second):
        torch.nn.init.zeros_(convolution.weight)
        convolution.weight.data[0, 0, 1, 1] = 1.0  # passes the map through
    model.features[0].running_mean.fill_(1.0)  # the first norm acts on X itself
    first.bias.data.fill_(0.5)
    model.classifier.weight.data[:] = torch.tensor([[1.0], [2.0], [-1.0], [0.0]])
    maps = torch.tensor([[[[0.0, 1.0], [3.0, 5.0]]]])
    # minus 1 and ReLU: 0 0 2 4; plus .5: .5 .5 2.5 4.5, mean 2
    with torch.no_grad():
        logits = model(maps)
    torch.testing.assert_close(logits, torch.tensor([[2.0, 4.0, -2.0, 0.0]]), atol=1e-4, rtol=0)
