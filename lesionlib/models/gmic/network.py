"""The whole of GMIC: maps, crops, attention and fusion (Shen et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lesionlib.errors import InputError
from lesionlib.models._state_files import State, load_strict, read_state, without_classes
from lesionlib.models.gmic import _crops as retrieval
from lesionlib.models.gmic._checkpoint import is_published, load_published
from lesionlib.models.gmic._maps import mean_of_top
from lesionlib.models.gmic._parts import SMALLEST_IMAGE, GlobalNetwork, LocalNetwork


@dataclass(frozen=True)
class GMICOutput:
    """What one forward pass gives, for n images and k crops; classes benign, malignant."""

    saliency: torch.Tensor  # (n, 2, h, w) in 0..1
    y_global: torch.Tensor  # (n, 2) probability, mean of the top cells of the maps
    y_local: torch.Tensor  # (n, 2) probability, from the crops
    y_fusion: torch.Tensor  # (n, 2) probability, from both: GMIC's prediction
    local_logits: torch.Tensor  # (n, 2), y_local before its sigmoid
    fusion_logits: torch.Tensor  # (n, 2), y_fusion before its sigmoid
    attention: torch.Tensor  # (n, k), sums to 1
    cam_positions: torch.Tensor  # (n, k, 2) int64, upper-left (row, column) in cells
    crop_positions: torch.Tensor  # (n, k, 2) float64, upper-left (row, column) in px
    crops: torch.Tensor  # (n, k, crop, crop)
    global_vector: torch.Tensor  # (n, 16 width), maximum over the global features
    crop_features: torch.Tensor  # (n, k, 8 local_width)
    z: torch.Tensor  # (n, 8 local_width), crop features weighted by attention


class GMIC(nn.Module):
    """The context network (Shen et al. 2021); defaults give the published 14,110,322 weights.

    Parameters
    ----------
    width, local_width : channels after the first convolution of the global and local network.
    crops : how many crops.
    crop : px per side of a crop.
    top_t : share of the cells that make y_global.
    attention : width of the attention layer.
    saliency_bias : None for no bias (published); a number is the first value of a bias of the
        maps' convolution, so that maps begin near sigmoid(number), not at .5.
    """

    def __init__(
        self,
        *,
        width: int = 16,
        local_width: int = 64,
        crops: int = 6,
        crop: int = 256,
        top_t: float = 0.02,
        attention: int = 128,
        saliency_bias: float | None = None,
    ):
        super().__init__()
        self.crops, self.crop, self.top_t = crops, crop, top_t
        self.global_network = GlobalNetwork(width)
        channels = self.global_network.channels
        self.saliency_head = nn.Conv2d(channels, 2, 1, bias=saliency_bias is not None)
        if saliency_bias is not None:
            nn.init.constant_(self.saliency_head.bias, saliency_bias)
        self.local_network = LocalNetwork(local_width)
        features = self.local_network.channels
        self.attention_content = nn.Linear(features, attention, bias=False)
        self.attention_gate = nn.Linear(features, attention, bias=False)
        self.attention_score = nn.Linear(attention, 1, bias=False)
        self.local_head = nn.Linear(features, 2, bias=False)
        self.fusion_head = nn.Linear(channels + features, 2)

    def forward(self, images: torch.Tensor) -> GMICOutput:
        """(n, 1, H, W) standardised float32 images -> GMICOutput; InputError for other shapes.

        Gradients reach the maps and the crops' features, not the positions of the crops.
        """
        features, saliency = self._global(images)
        map_size, image_size = tuple(saliency.shape[2:]), tuple(images.shape[2:])
        box = retrieval.box_size(map_size, image_size, self.crop)
        cells = retrieval.greedy_boxes(saliency.detach(), box, self.crops)
        pixels = retrieval.to_pixels(cells, map_size, image_size)
        crops = retrieval.take_crops(images, pixels, self.crop)
        crop_features = self.local_network(crops.flatten(0, 1).unsqueeze(1))
        crop_features = crop_features.unflatten(0, crops.shape[:2])
        attention, z = self._attend(crop_features)
        global_vector = features.amax(dim=(2, 3))
        local_logits = self.local_head(z)
        fusion_logits = self.fusion_head(torch.cat((global_vector, z), dim=1))
        return GMICOutput(
            saliency=saliency,
            y_global=mean_of_top(saliency, self.top_t),
            y_local=local_logits.float().sigmoid(),
            y_fusion=fusion_logits.float().sigmoid(),
            local_logits=local_logits,
            fusion_logits=fusion_logits,
            attention=attention,
            cam_positions=cells,
            crop_positions=pixels,
            crops=crops,
            global_vector=global_vector,
            crop_features=crop_features,
            z=z,
        )

    def saliency(self, images: torch.Tensor) -> torch.Tensor:
        """Saliency maps, by the global network alone.

        Parameters
        ----------
        images : (n, 1, H, W), standardised, float32.

        Returns
        -------
        float32 (n, 2, h, w) in 0..1, benign first.
        """
        return self._global(images)[1]

    @property
    def imagenet_part(self) -> tuple[str, nn.Module, str, str]:
        """torchvision's name of the weights, the module that takes them, its name, the setting."""
        width = self.local_network.conv1.out_channels
        weights = "ResNet18_Weights" if width == 64 else ""
        return weights, self.local_network, f"a local network {width} wide", "gmic.weights_file"

    def load_part(self, state: State, path: Path, head: str) -> State | None:
        """Take a published file (Shen et al. 2021) or the local network alone.

        Parameters
        ----------
        state : the tensors of a file by name.
        path : of the file.
        head : not used, since GMIC has no other last layer to choose.

        Returns
        -------
        The tensors that were taken; None, and nothing loaded, for any other file.

        Raises
        ------
        InputError : where a tensor does not fit.
        """
        if is_published(state):
            return load_published(self, state, path)
        if "layer1.0.conv1.weight" in state:
            return load_strict(self.local_network, without_classes(state), path)
        return None

    def _global(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if images.ndim != 4 or images.shape[1] != 1 or min(images.shape[2:]) < SMALLEST_IMAGE:
            what = f"GMIC got a batch of shape {tuple(images.shape)}"
            remedy = f"Give (n, 1, rows, columns) with at least {SMALLEST_IMAGE} px along each side"
            raise InputError(what, "images", remedy)
        features = self.global_network(images)
        # the maps stay in single precision whatever the network ran in
        return features, self.saliency_head(features).float().sigmoid()

    def _attend(self, crop_features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gated attention (tanh of the content times sigmoid of the gate) -> (n, k), (n, f)."""
        content = self.attention_content(crop_features).tanh()
        gate = self.attention_gate(crop_features).sigmoid()
        attention = self.attention_score(content * gate).squeeze(2).softmax(dim=1)
        return attention, (attention.unsqueeze(2) * crop_features).sum(dim=1)


def gmic_from_settings(settings) -> GMIC:
    """A fresh GMIC.

    Parameters
    ----------
    settings : has the parameters of :class:`GMIC` as attributes.

    Returns
    -------
    The network.
    """
    names = ("width", "local_width", "crops", "crop", "top_t", "attention", "saliency_bias")
    return GMIC(**{name: getattr(settings, name) for name in names})


def load_gmic_checkpoint(path: Path | str, top_t: float = 0.02) -> GMIC:
    """GMIC with published weights (Shen et al. 2021), in evaluation mode.

    The file's unused `shared_rep_filter.weight` is dropped, and nothing else.

    Parameters
    ----------
    path : sample_model_1.p ... sample_model_5.p.
    top_t : share of the cells that make y_global; nothing else depends on it. A warning is given
        where it is not the file's own (see `published_top_t`).

    Returns
    -------
    The network, of the published size.

    Raises
    ------
    InputError : for a file that is no table of tensors, and for a key that is missing, left over
        or of another shape, in the file's own names.
    """
    path = Path(path)
    model = GMIC(top_t=top_t)
    load_published(model, read_state(path), path)
    return model.eval()
