"""GMIC's published files (Shen et al. 2021) and the names that their weights have there.

The five files, their digests and their `top_t` are in `published.csv` next to this module.
"""

from __future__ import annotations

import csv
import hashlib
import re
import warnings
from pathlib import Path

from torch import nn

from lesionlib.models._state_files import State, check_fit

PUBLISHED = Path(__file__).with_name("published.csv")
UNUSED = "shared_rep_filter.weight"  # in every published file, read by no network

# our name of a module -> its name in the published files
_NAMES = (
    (r"^(global_network\.stages\..*)\.norm([12])\.", r"\1.bn\2."),
    (r"^(global_network\.stages\..*)\.shortcut\.", r"\1.downsample.0."),
    (r"^global_network\.stages\.", "ds_net.layer_list."),
    (r"^global_network\.stem\.", "ds_net.first_conv."),
    (r"^global_network\.norm\.", "ds_net.final_bn."),
    (r"^saliency_head\.", "left_postprocess_net.gn_conv_last."),
    (r"^local_network\.", "dn_resnet."),
    (r"^attention_content\.", "mil_attn_V."),
    (r"^attention_gate\.", "mil_attn_U."),
    (r"^attention_score\.", "mil_attn_w."),
    (r"^local_head\.", "classifier_linear."),
    (r"^fusion_head\.", "fusion_dnn."),
)


def published_top_t(path: Path | str) -> float | None:
    """The `top_t` of one of the five published files.

    Parameters
    ----------
    path : of the file, known by its sha256 whatever its name.

    Returns
    -------
    A share of the cells; None for any other file.
    """
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    with PUBLISHED.open(encoding="ascii", newline="") as rows:
        known = {row["sha256"]: float(row["top_t"]) for row in csv.DictReader(rows)}
    return known.get(digest)


def published_name(key: str) -> str:
    """The name that one of GMIC's tensors has in the published files."""
    for pattern, name in _NAMES:
        key = re.sub(pattern, name, key)
    return key


def is_published(state: State) -> bool:
    """Whether the names are those of the published files."""
    return any(key.startswith("ds_net.") for key in state)


def load_published(model: nn.Module, state: State, path: Path) -> State:
    """Load weights with published names, strictly; what was loaded, under those names."""
    state = {key: value for key, value in state.items() if key != UNUSED}
    own = model.state_dict()
    check_fit({published_name(key): value for key, value in own.items()}, state, path)
    model.load_state_dict({key: state[published_name(key)] for key in own})
    own_top_t = published_top_t(path)
    if own_top_t not in (None, model.top_t):
        warnings.warn(
            f"{path.name} was published with top_t {own_top_t:g} and is used with {model.top_t:g}: "
            "y_global differs, the maps and the other predictions do not",
            stacklevel=3,
        )
    return state
