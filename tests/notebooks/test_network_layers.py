"""The table of a network's layers."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from lesionlib.models import FAgg, FLoc
from lesionlib.models.gmic import GMIC
from notebooks.drawings.network_layers import layers, operations, parameters


class Odd(nn.Module):
    """Calls its second part first and again, and its third never."""

    def __init__(self):
        super().__init__()
        self.never = nn.Linear(5, 5)
        self.second = nn.Linear(3, 2)
        self.first = nn.Linear(2, 2, bias=False)

    def forward(self, x):
        x = self.first(self.first(x))
        return x, self.second(torch.cat((x, x[:, :1]), dim=1))


def test_order_shapes_and_counts_of_what_is_called():
    table = layers(Odd(), torch.zeros(4, 2))
    assert list(table.columns) == ["layer", "kind", "output", "parameters"]
    assert table.to_numpy().tolist() == [
        ["first", "Linear", "4 x 2", 4],
        ["second", "Linear", "4 x 2", 8],
    ]


def test_depth_opens_what_has_parts():
    inner = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    net = nn.Sequential(OrderedDict(body=inner, flat=nn.Flatten()))
    image = torch.zeros(1, 1, 5, 4)
    assert layers(net, image)["layer"].tolist() == ["body", "flat"]
    assert layers(net, image, depth=9)["layer"].tolist() == ["body.0", "body.1", "flat"]
    assert layers(net, image)["output"].tolist() == ["1 x 2 x 3 x 2", "1 x 12"]


@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_model_as_it_was(training):
    net = FAgg(34).train(training)
    net.features[0].eval()  # a part may be in another mode than the whole
    before = {k: v.clone() for k, v in net.state_dict().items()}
    layers(net, torch.randn(2, 34, 9, 6), depth=2)
    assert net.training is training and not net.features[0].training
    assert not any(m._forward_hooks for m in net.modules())
    for key, value in net.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_frozen_numbers_do_not_count():
    net = nn.Linear(3, 2)
    net.bias.requires_grad_(False)
    assert parameters(net) == 6


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_three_networks_close(depth):
    gmic = GMIC(width=2, local_width=2, crops=2, crop=32, attention=4)
    for net, shape in (
        (FLoc("densenet_mini"), (1, 1, 48, 48)),
        (FAgg(34), (1, 34, 9, 6)),
        (gmic, (1, 1, 192, 128)),
    ):
        table = layers(net, torch.randn(shape), depth)
        assert table["parameters"].sum() == parameters(net)


def test_a_product_and_its_sum_are_two_operations():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(40, 3))
    wanted = 2 * (2 * 9 * 20 + 40 * 3)
    assert operations(net, torch.zeros(1, 1, 5, 4)) == wanted
    assert operations(net.to("meta"), torch.zeros(2, 1, 5, 4, device="meta")) == 2 * wanted
