"""Lines of caution to print with a table, where its numbers invite a false reading."""

from __future__ import annotations

import pandas as pd

from study.statistics import common


def of_aucs(table: pd.DataFrame) -> list[str]:
    """Models of `study.tables.table_3` whose interval over patients is wholly below .5."""
    below = table[table["high_patients"] < 0.5]
    return [
        f"{row['model']}: AUC {row['auc']:.3f} [{row['low_patients']:.3f}, "
        f"{row['high_patients']:.3f}] is wholly below .5: it ranks these lesions the wrong way "
        "round. Look for swapped labels, or for a validation split too small to choose by."
        for row in below.to_dict("records")
    ]


def of_counts(predictions: pd.DataFrame) -> list[str]:
    """Splits, of validation and test, with fewer than ten lesions of a class."""
    out = []
    for split in ("validation", "test"):
        malignant, benign = common.class_counts(predictions, split)
        if min(malignant, benign) < common.MINIMUM:
            use = "chosen" if split == "validation" else "concluded"
            out.append(
                f"The {split} split has {malignant} malignant and {benign} benign lesions: with "
                f"fewer than {common.MINIMUM} of a kind hardly anything can be {use} from it."
            )
    return out
