"""f_loc: the patch network of Wu et al. 2020.

backbone -> global average pooling -> fully connected 32 -> fully connected 4. The 32 numbers are
h, the patch's representation that fills the embedding maps; the four are the classes of a patch
in the order of `lesionlib.windows.CLASSES`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lesionlib.errors import InputError, nearest
from lesionlib.models._state_files import State, load_strict, without_classes, without_wrapper
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

    @property
    def imagenet_part(self) -> tuple[str, nn.Module, str, str]:
        """torchvision's name of the weights, the module that takes them, its name, the setting."""
        name = f"backbone {self.backbone}"
        return BACKBONES[self.backbone].imagenet, self.trunk, name, "floc.weights_file"

    def load_part(self, state: State, path: Path, head: str) -> State | None:
        """Take a backbone, and its last layer where that is asked for.

        So the patch classifier of Wu et al. 2019 comes in, a torchvision DenseNet-121 with the
        outputs malignant, benign, outside, negative, which are ours. It was trained with
        TensorFlow's padding (first convolution 2 px before and 3 after, first pool 0 and 1;
        torchvision: 3 and 3, 1 and 1), so that its features look 3 px further up and left here, and
        its outputs are not quite its own.

        Parameters
        ----------
        state : the tensors of a file by name.
        path : of the file.
        head : "drop" or "map", see `lesionlib.models.weights.initialise`.

        Returns
        -------
        The tensors that were taken; None, and nothing loaded, for a whole f_loc.

        Raises
        ------
        InputError : where a tensor does not fit, and for a head "map" that the file lacks.
        """
        if any(key.startswith("trunk.") for key in state):
            if head == "map":
                raise InputError("the file is a whole f_loc", path, "Set floc.weights_head: drop")
            return None
        state = without_wrapper(state)
        last = [state.get(f"classifier.{name}") for name in ("weight", "bias")]
        wanted = [(CLASS_COUNT, self.hidden.in_features), (CLASS_COUNT,)]
        if head == "map" and [None if x is None else tuple(x.shape) for x in last] != wanted:
            what = f"there is no last layer classifier of {CLASS_COUNT} classes to map"
            raise InputError(what, path, "Set floc.weights_head: drop")
        trunk = load_strict(self.trunk, without_classes(state), path)
        if head == "drop":
            return trunk
        self.become_linear(*last)
        return trunk | {"classifier.weight": last[0], "classifier.bias": last[1]}


def initialise_linear(layer: nn.Linear, nonlinearity: str) -> None:
    """He-normal weights and bias 0.

    Parameters
    ----------
    layer : changed in place, with torch's global generator.
    nonlinearity : what follows the layer, "relu" or "linear".
    """
    nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
    nn.init.zeros_(layer.bias)
