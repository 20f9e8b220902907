"""What facts beside the lesion tell of its truth: the size of its outline, its place, the film.

Each group of facts is learned by boosted trees from the training lesions and judged on the test
lesions, as a network is.  An AUC above .5 of a fact that no patch should need, as the film's size,
is a leak that a network may use as well; that of the outline's size is none, for malignant masses
are larger, but says how far a network comes with it alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lesionlib.metrics import resampling, roc
from study.statistics import common

FACTS = {
    "size of the outline": ("rows", "cols", "area_px"),
    "place in the breast": ("down", "across"),
    "film": ("source_rows", "source_cols", "flipped", "laterality", "view"),
    "grey levels of the film": ("mean", "std"),
}


def lesion_facts(lesions: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The columns of `FACTS` for each lesion of known truth, from the tables of an `ImageStore`.

    Index lesion_id; also patient_id, split and malignant (bool).  down, across : the middle of the
    outline's box as a share of the breast's box.  laterality, view : codes.
    """
    known = lesions[lesions["pathology"].isin(["malignant", "benign"])]
    image = images.iloc[known["image"]].set_axis(known["lesion_id"])
    table = known.set_index("lesion_id")
    out = table[["patient_id", "split", "rows", "cols", "area_px"]].copy()
    out["malignant"] = table["pathology"] == "malignant"
    for name, corner, length, axis in (
        ("down", "row0", "rows", "row"),
        ("across", "col0", "cols", "col"),
    ):
        low, high = image[f"breast_{axis}0"], image[f"breast_{axis}1"]
        out[name] = (table[corner] + table[length] / 2 - low) / (high - low)
    for name in (*FACTS["film"], *FACTS["grey levels of the film"]):
        is_text = name in ("laterality", "view")
        out[name] = (
            pd.factorize(image[name], sort=True)[0] if is_text else image[name].astype(float)
        )
    return out


def auc_of_facts(
    facts: pd.DataFrame, groups: dict = FACTS, *, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Test AUC of each group of facts, learned from the training lesions.

    facts : as :func:`lesion_facts` gives them.
    Columns: facts, value, low, high (95 % over patients), lesions, malignant, benign, patients.
    """
    test = facts[facts["split"] == "test"]
    truth, patient = test["malignant"].to_numpy(), test["patient_id"].to_numpy()
    rows = []
    for name, columns in groups.items():
        score = _told_by(facts, columns)
        found = common.entry(resampling.interval(truth, score, patient, "auc", resamples, seed))
        rows.append({"facts": name} | found)
    return pd.DataFrame(rows).drop(columns="kind")


def use_of_facts(
    facts: pd.DataFrame, scores: pd.DataFrame, columns: tuple[str, ...]
) -> pd.DataFrame:
    """How far scores follow what some facts tell of the truth.

    scores : a column for each model, index lesion_id of test lesions.
    Columns: model; auc; auc_alike, over pairs of lesions in the same quarter of what the facts tell;
    r_benign, r_malignant, the correlation with what they tell among lesions of one truth.
    """
    test = facts[facts["split"] == "test"]
    told = pd.Series(_told_by(facts, columns), test.index)[scores.index].to_numpy()
    truth = test.loc[scores.index, "malignant"].to_numpy()
    quarter = (
        4 * np.searchsorted(np.sort(told), told) // len(told)
    )  # what is told alike stays together
    pairs = {k: truth[quarter == k].sum() * (~truth[quarter == k]).sum() for k in set(quarter)}
    rows = []
    for model, score in scores.items():
        score = score.to_numpy()
        alike = sum(
            n * roc.auc(truth[quarter == k], score[quarter == k]) for k, n in pairs.items() if n
        )
        row = {
            "model": model,
            "auc": roc.auc(truth, score),
            "auc_alike": alike / sum(pairs.values()),
        }
        for kind, is_kind in (("benign", ~truth), ("malignant", truth)):
            row[f"r_{kind}"] = np.corrcoef(score[is_kind], told[is_kind])[0, 1]
        rows.append(row)
    return pd.DataFrame(rows)


def _told_by(facts: pd.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    """Scores of the test lesions by trees that have learned some facts of the training lesions."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # slow to import

    train, test = (facts[facts["split"] == split] for split in ("training", "test"))
    # shallow and few: with a thousand lesions, deeper trees learn the noise
    trees = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.05, max_leaf_nodes=8, random_state=0
    ).fit(train[[*columns]], train["malignant"])
    return trees.predict_proba(test[[*columns]])[:, 1]
