"""Feature trunks of f_loc: the six backbones of Wu et al. 2020 and two small ones.

Every trunk takes (n, 3, P, P) float tensors and gives (n, channels, p, p) feature maps that have
passed their last batch norm and ReLU; pooling and head belong to `lesionlib.models.floc`.
DenseNets are torchvision's (Huang et al. 2017). torchvision holds no pre-activation ResNet, so
ResNetV2 is built here after He et al. 2016 ("Identity mappings"). The small ones are for 48-px
patches of small images and for tests; their weights and cost are alike. All start with He weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from lesionlib.models._torchvision import torchvision_models


@dataclass(frozen=True)
class Backbone:
    """How to build one trunk.

    Attributes
    ----------
    build : gives the module with fresh He weights.
    channels : width of its feature maps.
    imagenet : name of torchvision's published weights, "" where there are none.
    """

    build: Callable[[], nn.Module]
    channels: int
    imagenet: str = ""


def he_initialise(module: nn.Module) -> None:
    """He-normal convolutions (fan in; He et al. 2015), batch norms 1 and 0.

    Parameters
    ----------
    module : changed in place, with torch's global generator.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


class PreActivationUnit(nn.Module):
    """Bottleneck unit: (batch norm, ReLU, convolution) of 1x1, 3x3 and 1x1, and a shortcut.

    The stride is that of the 3x3 convolution.

    Parameters
    ----------
    inputs, width, outputs : channels before, within and after the unit.
    stride : 1, or 2 to halve the map.
    project : the shortcut is a bare 1x1 convolution of the activated input, not the input itself.
    """

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, project: bool):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if project else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        active = self.norm1(x).relu()
        shortcut = x if self.shortcut is None else self.shortcut(active)
        out = self.conv1(active)
        out = self.conv2(self.norm2(out).relu())
        return self.conv3(self.norm3(out).relu()) + shortcut


class ResNetV2(nn.Module):
    """Pre-activation bottleneck network (He et al. 2016).

    Every stage but the first halves the map.

    Parameters
    ----------
    units : units of each stage.
    widths : bottleneck width of each stage; its output is four times as wide.
    stem, kernel : channels and px per side of the first convolution, of stride 2.
    pool : a 3x3 max pool of stride 2 follows the first convolution.
    """

    def __init__(
        self,
        units: tuple[int, ...],
        widths: tuple[int, ...] = (64, 128, 256, 512),
        stem: int = 64,
        kernel: int = 7,
        pool: bool = True,
    ):
        super().__init__()
        self.stem = nn.Conv2d(3, stem, kernel, 2, padding=kernel // 2, bias=False)
        self.pool = nn.MaxPool2d(3, 2, padding=1) if pool else nn.Identity()
        stages, inputs = [], stem
        for place, (count, width) in enumerate(zip(units, widths, strict=True)):
            stages.append(_stage(inputs, width, count, stride=1 if place == 0 else 2))
            inputs = 4 * width
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(inputs)
        he_initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, P, P) -> activated features (n, 4 widths[-1], p, p)."""
        return self.norm(self.stages(self.pool(self.stem(x)))).relu()


def _stage(inputs: int, width: int, count: int, stride: int) -> nn.Sequential:
    outputs = 4 * width
    first = PreActivationUnit(inputs, width, outputs, stride, project=True)
    rest = [PreActivationUnit(outputs, width, outputs, 1, project=False) for _ in range(count - 1)]
    return nn.Sequential(first, *rest)


def _densenet_trunk(network: nn.Module) -> nn.Module:
    """Features of a torchvision DenseNet; its ReLU after the last norm is outside `features`."""
    trunk = nn.Sequential(OrderedDict(features=network.features, relu=nn.ReLU()))
    he_initialise(trunk)
    return trunk


def _densenet(depth: int) -> nn.Module:
    return _densenet_trunk(getattr(torchvision_models(), f"densenet{depth}")(weights=None))


def _densenet_mini() -> nn.Module:
    """Growth 12, blocks of 2, 3, 4, 3; 5x5 stem of stride 2 without a pool: 48 px -> 3 x 3."""
    network = torchvision_models().DenseNet(
        growth_rate=12, block_config=(2, 3, 4, 3), num_init_features=16, bn_size=4
    )
    network.features.conv0 = nn.Conv2d(3, 16, 5, 2, padding=2, bias=False)
    network.features.pool0 = nn.Identity()
    return _densenet_trunk(network)


def _resnetv2_mini() -> nn.Module:
    """Two units per stage; same stem as `densenet_mini`: 48 px -> 3 x 3."""
    return ResNetV2((2, 2, 2, 2), widths=(8, 16, 24, 32), stem=16, kernel=5, pool=False)


BACKBONES: dict[str, Backbone] = {
    "resnetv2_50": Backbone(lambda: ResNetV2((3, 4, 6, 3)), 2048),
    "resnetv2_101": Backbone(lambda: ResNetV2((3, 4, 23, 3)), 2048),
    "resnetv2_152": Backbone(lambda: ResNetV2((3, 8, 36, 3)), 2048),
    "densenet121": Backbone(lambda: _densenet(121), 1024, "DenseNet121_Weights"),
    "densenet161": Backbone(lambda: _densenet(161), 2208, "DenseNet161_Weights"),
    "densenet169": Backbone(lambda: _densenet(169), 1664, "DenseNet169_Weights"),
    "densenet_mini": Backbone(_densenet_mini, 74),
    "resnetv2_mini": Backbone(_resnetv2_mini, 128),
}
