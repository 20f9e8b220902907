"""Numbers that judge the scores (Wu et al. 2020, tables 2 and 3): `roc` and `resampling`."""

from lesionlib.metrics.resampling import interval, paired_difference
from lesionlib.metrics.roc import auc, delong, hanley_mcneil_se, operating_points, tnr_at

__all__ = [
    "auc",
    "delong",
    "hanley_mcneil_se",
    "interval",
    "operating_points",
    "paired_difference",
    "tnr_at",
]
