"""The random search over the learning rate of f_loc and f_agg."""

from __future__ import annotations

import pandas as pd

from lesionlib.errors import InputError
from study.lab import Lab
from study.steps.aggregation_network import fagg_trial
from study.steps.patch_network import floc_trial
from study.steps.runs import random_search

TRIALS = {"floc": floc_trial, "fagg": fagg_trial}


def search(lab: Lab, network: str = "floc", trial: int | None = None) -> pd.DataFrame:
    """Random search over the learning rate of `floc` or `fagg`; one row per trial.

    trial : the only one to run, for work done side by side.
    Raises InputError for a network without a search.
    """
    if network not in TRIALS:
        remedy = f"Name one of {', '.join(TRIALS)}"
        raise InputError(f"there is no search for '{network}'", "search", remedy)
    return random_search(lab, network, TRIALS[network], None if trial is None else [trial])
