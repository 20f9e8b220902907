"""f_agg: the aggregation network of Wu et al. 2020.

[batch norm -> ReLU -> convolution 3x3, 32 filters] x 2 -> global average pooling -> fully
connected 4. The norms come before the convolutions, so the first one scales the maps X
themselves: location indicators, saliency and embeddings enter on one footing.
"""

from __future__ import annotations

import torch
from torch import nn

from lesionlib.models.backbones import he_initialise
from lesionlib.models.floc import CLASS_COUNT, initialise_linear


class FAgg(nn.Module):
    """Aggregation network (Wu et al. 2020): 19,336 weights for 34 maps.

    Padding 1 keeps the maps' size. The paper leaves padding and biases open; convolutions have
    biases here.

    Parameters
    ----------
    channels : maps of X, see `lesionlib.maps.channels`.
    filters : of each convolution.
    """

    def __init__(self, channels: int, filters: int = 32):
        super().__init__()
        self.channels = channels
        self.features = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, filters, 3, padding=1),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1),
        )
        self.classifier = nn.Linear(filters, CLASS_COUNT)
        he_initialise(self.features)
        initialise_linear(self.classifier, "linear")

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """X (n, channels, h, w) -> logits (n, 4), in the order of `lesionlib.windows.CLASSES`."""
        return self.classifier(self.features(maps).mean(dim=(2, 3)))
