"""AUC, DeLong variance, interval and paired test against R's pROC (see golden/README.md)."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesionlib.metrics import roc

HERE = Path(__file__).parent / "golden"
INPUTS = pd.read_csv(HERE / "inputs.csv", float_precision="round_trip")
VALUES = pd.read_csv(HERE / "values.csv", float_precision="round_trip").set_index("case")
# no variance, and no two equal scores: pROC's interval and p say nothing
WARNED = {"perfect separation", "reversed", "all scores identical", "perfect against reversed"}


def equal(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def of(case):
    part = INPUTS[INPUTS["case"] == case]
    return part["truth"].to_numpy(), part["a"].to_numpy(), part["b"].to_numpy()


@pytest.mark.filterwarnings("ignore:no variance")
@pytest.mark.parametrize("case", VALUES.index)
def test_one_auc_is_that_of_proc(case):
    truth, a, b = of(case)
    expected, got = VALUES.loc[case], roc.delong(truth, a)
    equal([roc.auc(truth, a), got.value, got.se**2], expected[["auc_a", "auc_a", "var_a"]])
    equal([got.low, got.high], expected[["low_a", "high_a"]])
    if not np.isnan(b).any():
        other = roc.delong(truth, b)
        equal([other.value, other.se**2], expected[["auc_b", "var_b"]])


@pytest.mark.filterwarnings("ignore:no variance")
@pytest.mark.parametrize("case", VALUES.index[VALUES["z"].notna()])
def test_the_paired_test_is_that_of_proc(case):
    expected, got = VALUES.loc[case], roc.delong(*of(case))
    equal([got.value, got.z, got.p], [expected["auc_a"] - expected["auc_b"], *expected[["z", "p"]]])


def test_what_has_no_variance_warns():
    assert len(VALUES) == 18
    for case in VALUES.index:
        truth, a, b = of(case)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            roc.delong(truth, a, None if np.isnan(b).any() else b)
        assert bool(caught) == (case in WARNED), case
