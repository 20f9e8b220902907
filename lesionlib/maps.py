"""The input X of f_agg: location indicator, saliency and embedding maps, stacked by name.

Table 3 of Wu et al. 2020 compares seven combinations of three kinds of maps: I (1 map: where the
window lies), S (2: the context network's saliency, malignant and benign) and E (32: the patch's
representation h, laid over the cells that the window reaches).

Promises: the maps in X always stand in the order I, S_m, S_b, E_1..E_32, whatever the combination.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from lesionlib.errors import InputError

if TYPE_CHECKING:
    import torch

COMBINATIONS = ("I", "S", "E", "I+E", "I+S", "E+S", "I+S+E")
OF_THE_WINDOW = tuple(name for name in COMBINATIONS if name != "S")  # S alone reads the image only
MAPS = {"I": 1, "S": 2, "E": 32}  # in the order in which they stand in X


def channels(combination: str) -> int:
    """Number of maps in X: 1, 2, 32, 33, 3, 34, 35.  Raises InputError for an unknown name."""
    return sum(MAPS[part] for part in _parts(combination))


def stack(
    combination: str,
    location: torch.Tensor,
    saliency: torch.Tensor | None = None,
    h: torch.Tensor | None = None,
) -> torch.Tensor:
    """X of n windows, float32 (n, channels(combination), H, W).

    location : I, (n, H, W), shares of the cells' area in 0..1 (`windows.location_maps`).
    saliency : S_m and S_b of each window's image, (n, 2, H, W); may be None without S.
    h : the patches' representations, (n, 32); may be None without E.

    E_k is h_k in the cells where I > 0 and 0 elsewhere: the values of I do not scale it.
    Raises InputError for an unknown combination and for maps that are missing or misshapen.
    """
    # here, because tables and plots name the combinations and must not load torch
    import torch

    parts = _parts(combination)
    n, rows, cols = _shape(location)
    given = {"I": location, "S": saliency, "E": h}
    wanted = {"I": (n, rows, cols), "S": (n, 2, rows, cols), "E": (n, MAPS["E"])}
    for part in parts:
        _check_shape(part, given[part], wanted[part], combination)
    made = {"I": lambda: location[:, None], "S": lambda: saliency, "E": lambda: embed(location, h)}
    return torch.cat([made[part]().to(torch.float32) for part in parts], dim=1)


def embed(location: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Embedding maps E (n, k, H, W) of location (n, H, W) and h (n, k): h where location > 0."""
    reached = (location > 0)[:, None]
    return h[:, :, None, None].where(reached, h.new_zeros(()))


def _parts(combination: str) -> list[str]:
    """The kinds of maps in a combination, in the order of X."""
    if combination not in COMBINATIONS:
        raise InputError(
            f"unknown combination of maps '{combination}'",
            "known: " + ", ".join(COMBINATIONS),
            f"Did you mean '{_nearest(str(combination))}'?",
        )
    return [part for part in MAPS if part in combination.split("+")]


def _nearest(name: str) -> str:
    """The combination of the same letters, else the one of the most similar spelling."""
    letters = {letter for letter in name.upper() if letter in MAPS}
    for known in COMBINATIONS:
        if letters == set(known.split("+")):
            return known
    return get_close_matches(name, COMBINATIONS, n=1, cutoff=0)[0]


def _shape(location) -> tuple[int, int, int]:
    if location.ndim != 3:
        raise InputError(
            f"location maps of shape {tuple(location.shape)}", "I", "Give (windows, rows, cols)"
        )
    return tuple(location.shape)


def _check_shape(part: str, given, wanted: tuple[int, ...], combination: str) -> None:
    found = None if given is None else tuple(given.shape)
    if found != wanted:
        raise InputError(
            f"{part} of combination {combination} has shape {found}, not {wanted}",
            "lesionlib.maps.stack",
            "Give one entry per window, on the same cells as I",
        )
