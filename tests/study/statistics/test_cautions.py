"""Lines of caution appear where they should, and nowhere else."""

import pandas as pd

from study import tables
from study.statistics import cautions


def test_an_auc_below_one_half(scored):
    table = tables.table_3(scored, resamples=60)
    assert cautions.of_aucs(table) == []
    swapped = tables.table_3(scored.assign(y_score=1 - scored["y_score"]), resamples=60)
    lines = cautions.of_aucs(swapped)
    assert sum(line.startswith("E+S: AUC 0.") for line in lines) == 1
    assert not any(line.startswith("I: ") for line in lines)  # chance is not below one half


def test_too_few_lesions_of_a_class(scored):
    assert cautions.of_counts(scored) == []
    ill = scored.loc[(scored["split"] == "validation") & (scored["y_true"] == 1), "lesion_id"]
    few = scored[~scored["lesion_id"].isin(sorted(ill.unique())[9:])]
    (line,) = cautions.of_counts(few)
    assert "validation split has 9 malignant" in line
    assert cautions.of_counts(scored[~scored["lesion_id"].isin(sorted(ill.unique())[10:])]) == []
    (line,) = cautions.of_counts(pd.DataFrame(scored[scored["split"] == "test"]))
    assert "validation split has 0 malignant and 0 benign" in line
