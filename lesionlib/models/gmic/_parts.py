"""The two convolutional networks inside GMIC (Shen et al. 2021).

`GlobalNetwork` is a 22-layer pre-activation ResNet on the whole image at low capacity;
`LocalNetwork` a ResNet-18 on the crops, with torchvision's layer names so that its ImageNet
weights fit by name.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

STAGES = 5
SMALLEST_IMAGE = 5  # px along an axis: below, nothing is left after the unpadded pool


class MaxPool(nn.MaxPool2d):
    """3 x 3 cells, every second one: torch's numbers, on the CPU in half its time or less."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> (n, c, h', w'), as `torch.nn.MaxPool2d` has it."""
        if x.device.type != "cpu":
            return super().forward(x)
        if x.requires_grad:  # torch is slow on rows of pixels, not on rows of channels
            return super().forward(x.contiguous(memory_format=torch.channels_last)).contiguous()
        x = F.pad(x, [self.padding] * 4, value=-torch.inf) if self.padding else x
        for dim in (2, 3):
            first, second, third = x.unfold(dim, 3, 2).unbind(-1)
            x = torch.maximum(first, second)
            torch.maximum(x, third, out=x)
        return x


class GlobalBlock(nn.Module):
    """Two pre-activated 3x3 convolutions; the first block of a stage projects its shortcut.

    The projection takes the activated input, in every stage, also where no shape changes.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, project: bool):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if project else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = self.norm1(x).relu_()
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(self.norm2(self.conv1(active)).relu_()) + shortcut


class GlobalNetwork(nn.Module):
    """(n, 1, H, W) -> activated feature maps (n, 16 width, h, w); 2944 x 1920 -> 46 x 30."""

    def __init__(self, width: int):
        super().__init__()
        # neither norm nor ReLU follows the stem, and the pool has no padding
        self.stem = nn.Conv2d(1, width, 7, 2, padding=3, bias=False)
        self.pool = MaxPool(3, 2)
        stages, inputs = [], width
        for place in range(STAGES):
            outputs = width << place
            first = GlobalBlock(inputs, outputs, 1 if place == 0 else 2, project=True)
            stages.append(nn.Sequential(first, GlobalBlock(outputs, outputs, 1, project=False)))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(inputs)
        self.channels = inputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.stages(self.pool(self.stem(images)))).relu_()


class LocalBlock(nn.Module):
    """Basic block of a post-activation ResNet, in torchvision's names."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.bn1(self.conv1(x)).relu_()
        return (self.bn2(self.conv2(out)) + shortcut).relu_()


class LocalNetwork(nn.Module):
    """ResNet-18 without its last layer: crops (n, 1, P, P) -> features (n, 8 width).

    The grey crop is repeated to three channels; He weights (fan out), as published.
    """

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = MaxPool(3, 2, padding=1)
        self.layer1 = _local_layer(width, width, 1)
        self.layer2 = _local_layer(width, 2 * width, 2)
        self.layer3 = _local_layer(2 * width, 4 * width, 2)
        self.layer4 = _local_layer(4 * width, 8 * width, 2)
        self.channels = 8 * width
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.bn1(self.conv1(crops.expand(-1, 3, -1, -1))).relu_())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))


def _local_layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(LocalBlock(inputs, outputs, stride), LocalBlock(outputs, outputs, 1))


# a convolution and the batch norm of its output; "0" and "1" are the local network's shortcut
FUSED = (("conv1", "norm2"), ("conv1", "bn1"), ("conv2", "bn2"), ("0", "1"))


def for_inference(model: nn.Module) -> nn.Module:
    """A copy of a GMIC for evaluation without gradients, faster on the CPU.

    Convolutions take in the batch norms of their outputs, and on the CPU activations are laid out
    channels last. Outputs differ by rounding (about 1e-6), and weights have names of their own.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for part in tuple(model.modules()):
        for first, second in FUSED:
            conv, norm = getattr(part, first, None), getattr(part, second, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, first, fuse_conv_bn_eval(conv, norm))
                setattr(part, second, nn.Identity())
    weight = model.global_network.stem.weight
    if weight.device.type == "cpu":
        model.to(memory_format=torch.channels_last)
        # one input channel fits both orders: these strides alone ask for channels last
        strides = weight[0].numel(), 1, weight.shape[3], 1
        weight.data = weight.data.as_strided(weight.shape, strides)
    return model
