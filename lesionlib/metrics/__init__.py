"""Numbers that judge the scores (Wu et al. 2020, tables 2 and 3): `roc` and `resampling`."""

from lesionlib.metrics.resampling import (
    band,
    interval,
    paired_difference,
    pooled_difference,
    runs_interval,
)
from lesionlib.metrics.roc import (
    auc,
    delong,
    hanley_mcneil_se,
    operating_points,
    roc_curve,
    tnr_at,
    tnr_curve,
)

__all__ = [
    "auc",
    "band",
    "delong",
    "hanley_mcneil_se",
    "interval",
    "operating_points",
    "paired_difference",
    "pooled_difference",
    "roc_curve",
    "runs_interval",
    "tnr_at",
    "tnr_curve",
]
