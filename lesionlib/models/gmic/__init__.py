"""GMIC, the context network (Shen et al. 2021), written anew from its published description.

A global network turns the whole image into two saliency maps; the six most salient crops go
through a local network at full resolution; attention weighs them; a last layer joins both.
Wu et al. 2020 use only the maps: `GMIC.saliency`.

Class order in every output here: 0 benign, 1 malignant, as published (two sigmoids, no softmax).
The project's own order is the other way round; `malignant_first` is the one place that turns it.

Departures from the published code, all where it would give NaN or fail: a constant saliency map
counts as zeros in the choice of crops, y_global averages at least one cell, and on an image
smaller than a crop the box on the map is the map. An image without a breast (constant) needs no
case of its own: its maps differ at most at the edges, its crops are filled with its one value.
"""

from lesionlib.models.gmic._checkpoint import published_top_t
from lesionlib.models.gmic._loss import gmic_loss_terms
from lesionlib.models.gmic._maps import malignant_first, mean_of_top, top_t_count
from lesionlib.models.gmic._parts import for_inference
from lesionlib.models.gmic.network import GMIC, GMICOutput, gmic_from_settings, load_gmic_checkpoint

__all__ = [
    "GMIC", "GMICOutput", "for_inference", "gmic_from_settings", "gmic_loss_terms",
    "load_gmic_checkpoint", "malignant_first", "mean_of_top", "published_top_t", "top_t_count",
]  # fmt: skip
