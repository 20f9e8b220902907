"""The random search over the learning rate, and the rate that a network is trained with."""

from __future__ import annotations

import pandas as pd

from lesionlib.errors import InputError
from study.lab import Lab
from study.steps.aggregation_network import fagg_rate, search_fagg
from study.steps.patch_network import floc_rate, search_floc

RATES = {"floc": floc_rate, "fagg": fagg_rate}
SEARCHES = {"floc": search_floc, "fagg": search_fagg}


def learning_rate(lab: Lab, network: str) -> float:
    """The learning rate of `floc` or `fagg` as set; with "search", that of the best trial."""
    return RATES[network](lab)


def search(lab: Lab, network: str = "floc", trial: int | None = None) -> pd.DataFrame:
    """Random search over the learning rate of `floc` or `fagg`; one row per trial.

    trial : the only one to run, for work done side by side.
    Raises InputError for a network without a search.
    """
    if network not in SEARCHES:
        remedy = f"Name one of {', '.join(SEARCHES)}"
        raise InputError(f"there is no search for '{network}'", "search", remedy)
    return SEARCHES[network](lab, trial)
