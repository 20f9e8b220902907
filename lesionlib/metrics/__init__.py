"""Numbers that judge the scores: `roc` (AUC, operating points) and `resampling` (intervals).

NumPy, SciPy and pandas only.  Tables are made of these in `study.tables`.
"""

from lesionlib.metrics.resampling import (
    Interval,
    Pooled,
    Runs,
    band,
    interval,
    paired_difference,
    pooled_difference,
    runs_interval,
)
from lesionlib.metrics.roc import (
    FNR,
    Auc,
    DeLong,
    auc,
    delong,
    hanley_mcneil_se,
    operating_points,
    roc_curve,
    tnr_at,
    tnr_curve,
)

__all__ = [
    "FNR",
    "Auc",
    "DeLong",
    "Interval",
    "Pooled",
    "Runs",
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
