"""The input X of f_agg: location indicator, saliency and embedding maps, stacked by name.

Table 3 of Wu et al. 2020 compares seven combinations of three kinds of maps: I (1 map: where the
window is), S (2: the context network's saliency, malignant and benign) and E (32: the patch's
representation h, in the cells that the window reaches).  Their order in X is always I, S, E.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from lesionlib.errors import InputError

if TYPE_CHECKING:
    import torch

COMBINATIONS = ("I", "S", "E", "I+E", "I+S", "E+S", "I+S+E")
OF_THE_WINDOW = tuple(name for name in COMBINATIONS if name != "S")  # S alone reads the image only
MAPS = {"I": 1, "S": 2, "E": 32}  # number of maps of each kind, in the order of X


def channels(combination: str) -> int:
    """Number of maps in X.

    Parameters
    ----------
    combination : str, one of `COMBINATIONS`

    Returns
    -------
    int

    Raises
    ------
    InputError
        For an unknown combination.
    """
    return sum(MAPS[part] for part in _parts(combination))


def stack(
    combination: str,
    location: torch.Tensor,
    saliency: torch.Tensor | None = None,
    h: torch.Tensor | None = None,
) -> torch.Tensor:
    """Stack the maps of n windows into X.

    Parameters
    ----------
    combination : str, one of `COMBINATIONS`
    location : tensor of shape (n, H, W), values 0..1
        I of `windows.location_maps`.
    saliency : tensor of shape (n, 2, H, W), optional without S
        S_m and S_b of each window's image.
    h : tensor of shape (n, 32), optional without E

    Returns
    -------
    float32 tensor of shape (n, channels(combination), H, W)

    Raises
    ------
    InputError
        For an unknown combination, and for maps that are missing or of another shape.
    """
    import torch  # here, because tables and plots name the combinations without torch

    parts = _parts(combination)
    if location.ndim != 3:
        what = f"location maps of shape {tuple(location.shape)}"
        raise InputError(what, "I", "Give (windows, rows, cols)")
    n, rows, cols = location.shape
    given = {"I": location, "S": saliency, "E": h}
    wanted = {"I": (n, rows, cols), "S": (n, 2, rows, cols), "E": (n, MAPS["E"])}
    for part in parts:
        found = None if given[part] is None else tuple(given[part].shape)
        if found != wanted[part]:
            what = f"{part} of combination {combination} has shape {found}, not {wanted[part]}"
            raise InputError(what, "maps.stack", "Give one entry per window, on the cells of I")
    made = {"I": lambda: location[:, None], "S": lambda: saliency, "E": lambda: embed(location, h)}
    return torch.cat([made[part]().to(torch.float32) for part in parts], dim=1)


def embed(location: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Embedding maps E: h in the cells where location > 0, whatever its value, and 0 elsewhere.

    Parameters
    ----------
    location : tensor of shape (n, H, W)
    h : tensor of shape (n, k)

    Returns
    -------
    tensor of shape (n, k, H, W)
    """
    reached = (location > 0)[:, None]
    return h[:, :, None, None].where(reached, h.new_zeros(()))


def _parts(combination: str) -> list[str]:
    """The kinds of maps in a combination, in the order of X."""
    if combination not in COMBINATIONS:
        letters = sorted({letter for letter in combination.upper() if letter in MAPS})
        same = [name for name in COMBINATIONS if sorted(name.split("+")) == letters]
        likely = same or get_close_matches(combination, COMBINATIONS, n=1, cutoff=0)
        what = f"unknown combination of maps '{combination}'"
        raise InputError(what, f"known: {', '.join(COMBINATIONS)}", f"Did you mean '{likely[0]}'?")
    return [part for part in MAPS if part in combination.split("+")]
