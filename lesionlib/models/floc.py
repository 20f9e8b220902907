"""f_loc: the patch network of Wu et al. 2020.

backbone -> global average pooling -> fully connected 32 -> fully connected 4. The 32 numbers are
h, the patch's representation that fills the embedding maps; the four are the classes of a patch
in the order of `lesionlib.windows.CLASSES`.
"""

from __future__ import annotations

import torch
from torch import nn

from lesionlib.errors import InputError, nearest
from lesionlib.models.backbones import BACKBONES

HIDDEN = 32
CLASS_COUNT = 4


class FLoc(nn.Module):
    """Patch network (Wu et al. 2020) with He weights; `weights.initialise` gives it others.

    Parameters
    ----------
    backbone : a name of `lesionlib.models.backbones.BACKBONES`.
    h_activation : "relu" (h after a ReLU) or "none" (the two last layers then act as one linear
        map); the paper does not say which.

    Raises
    ------
    InputError : for an unknown backbone or activation.
    """

    def __init__(self, backbone: str, *, h_activation: str = "relu"):
        super().__init__()
        if h_activation not in ("relu", "none"):
            what = f"unknown activation {h_activation!r}"
            raise InputError(what, "floc.h_activation", "Use relu or none")
        if backbone not in BACKBONES:
            near = nearest(backbone, BACKBONES)
            raise InputError(f"unknown backbone {backbone!r}", "floc.backbone", near)
        self.backbone, self.h_activation = backbone, h_activation
        self.trunk = BACKBONES[backbone].build()
        self.hidden = nn.Linear(BACKBONES[backbone].channels, HIDDEN)
        self.classifier = nn.Linear(HIDDEN, CLASS_COUNT)
        initialise_linear(self.hidden, "relu" if h_activation == "relu" else "linear")
        initialise_linear(self.classifier, "linear")

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 1, P, P) standardised grey patches -> logits (n, 4) and h (n, 32)."""
        features = self.trunk(patches.expand(-1, 3, -1, -1)).mean(dim=(2, 3))
        h = self.hidden(features)
        if self.h_activation == "relu":
            h = h.relu()
        return self.classifier(h), h

    @torch.no_grad()
    def become_linear(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Make both last layers give `weight @ features + bias`.

        With a ReLU on h a logit z takes two of the 32 numbers, max(z, 0) and max(-z, 0), else one;
        the others keep their weights and reach the logits only once training lets them.

        Parameters
        ----------
        weight, bias : (4, channels of the backbone) and (4,).
        """
        signs = (1, -1) if self.h_activation == "relu" else (1,)
        used = len(signs) * CLASS_COUNT
        self.hidden.weight[:used] = torch.cat([sign * weight for sign in signs])
        self.hidden.bias[:used] = torch.cat([sign * bias for sign in signs])
        self.classifier.weight.zero_()
        self.classifier.bias.zero_()
        one = torch.eye(CLASS_COUNT)
        self.classifier.weight[:, :used] = torch.cat([sign * one for sign in signs], dim=1)


def initialise_linear(layer: nn.Linear, nonlinearity: str) -> None:
    """He-normal weights and bias 0.

    Parameters
    ----------
    layer : changed in place, with torch's global generator.
    nonlinearity : what follows the layer, "relu" or "linear".
    """
    nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
    nn.init.zeros_(layer.bias)
