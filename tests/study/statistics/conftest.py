"""Predictions with a validation split, and intervals over patients by going through the resamples."""

import numpy as np
import pandas as pd
import pytest
from made_up import predictions


@pytest.fixture(scope="session")
def scored():
    """Test split of 120 patients, validation of 80; three runs, of f_loc one."""
    other = predictions(seed=5, patients=80).assign(split="validation")
    other[["lesion_id", "patient_id"]] = "V" + other[["lesion_id", "patient_id"]]
    both = pd.concat([predictions(), other], ignore_index=True)
    return both[(both["model"] != "f_loc") | (both["run"] == 0)]


@pytest.fixture(scope="session")
def by_hand():
    """by_hand(truth, patient, statistic, n, seed, ends) -> quantiles of statistic(rows)."""

    def go(truth, patient, statistic, n, seed, ends=(0.025, 0.975)):
        codes, drawn = pd.factorize(patient)[0], []
        k = codes.max() + 1
        for i in range(n):
            rng, one_class = np.random.default_rng((seed, i)), True
            while one_class:
                whom = rng.integers(k, size=k)
                rows = np.concatenate([np.flatnonzero(codes == p) for p in whom])
                one_class = len(set(truth[rows])) == 1
            drawn.append(statistic(rows))
        return np.quantile(drawn, ends, axis=0)

    return go
