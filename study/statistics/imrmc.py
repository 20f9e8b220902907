"""Scores for iMRMC, the FDA's software for multi-reader multi-case studies (Gallas et al. 2009).

A case is a lesion, a modality a model, and a reader a run.  Two limits: iMRMC takes cases as
independent, so that where patients have several lesions its standard errors are too small (those of
`multiplicity` are clustered by patient); and what it calls variance between readers is here that of
repeated trainings, not of radiologists.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lesionlib.errors import InputError
from lesionlib.files import write_text
from study import tables

TRUTH = "-1"  # reader of the rows that hold the truth, in every version of iMRMC
LIMITS = (
    "Cases are lesions and taken as independent: standard errors are too small where patients have "
    "several lesions. Readers are repeated trainings, not radiologists."
)


def imrmc_rows(predictions: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Rows readerID, caseID, modalityID, score of the test split: the truths, then the scores.

    Raises InputError for a name with a comma, which the format cannot hold.
    """
    names, parts = ["readerID", "caseID", "modalityID", "score"], []
    for s in [tables.scores(predictions, model) for model in models]:
        head = {"readerID": TRUTH, "caseID": s.lesion, "modalityID": "0"}
        if not parts:
            parts.append(pd.DataFrame(head | {"score": s.truth.astype(int)}))
        for run, score in enumerate(s.runs.T):
            head |= {"readerID": f"run {run}", "modalityID": s.model}
            parts.append(pd.DataFrame(head | {"score": score}))
    rows = pd.concat([part.astype({"score": object}) for part in parts], ignore_index=True)[names]
    odd = rows[["caseID", "modalityID"]].astype(str).stack()
    odd = odd[odd.str.contains(",")]
    if len(odd):
        raise InputError(f"the name '{odd.iloc[0]}' has a comma", "iMRMC", "Rename it")
    return rows


def write_imrmc(predictions: pd.DataFrame, models: Sequence[str], file: Path | str) -> Path:
    """Write a file that iMRMC reads (``.imrmc``): description, sizes, BEGIN DATA:, the rows."""
    rows = imrmc_rows(predictions, models)
    truth = rows.loc[rows["readerID"] == TRUTH, "score"]
    runs = rows.loc[rows["readerID"] != TRUTH, "readerID"].nunique()
    sizes = {"N0": sum(truth == 0), "N1": sum(truth == 1), "NR": runs, "NM": len(models)}
    head = "\n".join([LIMITS, *(f"{name}: {n}" for name, n in sizes.items()), "BEGIN DATA:\n"])
    write_text(Path(file), head + rows.to_csv(index=False, header=False, lineterminator="\n"))
    return Path(file)
