"""Breast contours that were looked at one by one, and what was seen.

``data_manifest/<data set>/breast_contours.csv`` holds image_id, verdict, share (of the file inside
the contour, so that a changed finder is noticed) and a note.  The verdicts:

* good: the breast alone, with its muscle and the fold below; of its rim at most 1 cm is outside;
* marker kept: a label, or a part of one, is inside;
* border kept: a strip of the film's border or background, 1 % of a side or more, is inside;
* tissue cut: more than 1 cm of the breast is outside;
* missed: the contour is not the breast's.
"""

from __future__ import annotations

import pandas as pd

from data_manifest.expected_counts import DATA_MANIFEST
from lesionlib.errors import InputError, nearest

VERDICTS = ("good", "marker kept", "border kept", "tissue cut", "missed")


def looked_at(dataset: str) -> pd.DataFrame:
    """image_id, verdict, share, note of the contours looked at; empty where a set has none.

    Raises InputError for a verdict that is none of :data:`VERDICTS` and for an image named twice.
    """
    file = DATA_MANIFEST / dataset / "breast_contours.csv"
    if not file.is_file():
        return pd.DataFrame(columns=["image_id", "verdict", "share", "note"])
    table = pd.read_csv(file, keep_default_na=False)
    for verdict in set(table["verdict"]) - set(VERDICTS):
        raise InputError(f"unknown verdict '{verdict}'", file.name, nearest(verdict, VERDICTS))
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise InputError(f"image {twice.iloc[0]} stands twice", file.name, "Keep one row")
    return table
