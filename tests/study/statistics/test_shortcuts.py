"""What facts beside the lesion tell of its truth."""

import numpy as np
import pandas as pd
import pytest

from study.statistics.shortcuts import FACTS, auc_of_facts, lesion_facts, use_of_facts


def made_up(leak: bool):
    """Tables of 600 films with a lesion each; with `leak`, malignant ones are on longer films."""
    draw, n = np.random.default_rng(3), 600
    malignant = draw.random(n) < 0.4
    place = {"row0": draw.integers(50, 300, n), "col0": draw.integers(0, 200, n)}
    size = {"rows": draw.integers(10, 60, n) + 20 * malignant, "cols": draw.integers(10, 60, n)}
    lesions = pd.DataFrame(
        {"lesion_id": [f"L{k}" for k in range(n)], "image": range(n)} | place | size
    )
    lesions["area_px"] = lesions["rows"] * lesions["cols"]
    lesions["patient_id"] = [f"P{k // 2}" for k in range(n)]
    lesions["split"] = np.where(np.arange(n) < 400, "training", "test")
    lesions["pathology"] = np.where(malignant, "malignant", "benign")
    images = pd.DataFrame({"breast_row0": np.full(n, 20), "breast_row1": 420})
    images = images.assign(breast_col0=0, breast_col1=250, flipped=draw.random(n) < 0.3)
    images["source_rows"] = draw.integers(4000, 6000, n) + (3000 * malignant if leak else 0)
    images["source_cols"] = draw.integers(2000, 4000, n)
    images["laterality"], images["view"] = draw.choice(["L", "R"], n), draw.choice(["CC", "MLO"], n)
    images["mean"], images["std"] = draw.random(n), draw.random(n)
    return lesions, images


@pytest.mark.parametrize("leak", [False, True])
def test_a_leak_in_the_film_shows_and_no_other_fact_does(leak):
    found = auc_of_facts(lesion_facts(*made_up(leak)), resamples=200).set_index("facts")
    assert list(found.index) == list(FACTS)
    assert found.at["size of the outline", "low"] > 0.6
    assert found.at["film", "low"] > 0.8 if leak else found.at["film", "low"] < 0.5
    for name in ("place in the breast", "grey levels of the film"):
        assert found.at[name, "low"] < 0.5 < found.at[name, "high"]
    assert (found["lesions"] == 200).all() and (found["patients"] == 100).all()


def test_the_place_is_a_share_of_the_breast_and_unknown_truth_is_left_out():
    lesions, images = made_up(False)
    lesions.loc[0, ["row0", "rows", "col0", "cols"]] = 200, 40, 100, 50
    lesions.loc[1, "pathology"] = "unknown"
    facts = lesion_facts(lesions, images)
    assert facts.loc["L0", ["down", "across"]].tolist() == [0.5, 0.5]
    assert "L1" not in facts.index and len(facts) == len(lesions) - 1


def test_scores_that_follow_a_fact_lose_their_auc_among_lesions_alike_in_it():
    facts = lesion_facts(*made_up(False))
    draw = np.random.default_rng(5)
    # two scanners, one of which has most of the cancers
    facts["source_rows"] = np.where(
        draw.random(len(facts)) < 0.2 + 0.6 * facts["malignant"], 6e3, 4e3
    )
    test = facts[facts["split"] == "test"]
    noise = draw.normal(size=(2, len(test)))
    scores = pd.DataFrame(
        {
            "scanner": test["source_rows"] / 500 + noise[0],
            "lesion": 2 * test["malignant"] + noise[1],
        }
    )
    found = use_of_facts(facts, scores, ("source_rows",)).set_index("model")
    assert (found["auc"] > 0.7).all()
    assert abs(found.at["scanner", "auc_alike"] - 0.5) < 0.1 < found.at["lesion", "auc_alike"] - 0.5
    assert found.loc["scanner", ["r_benign", "r_malignant"]].min() > 0.8
    assert found.loc["lesion", ["r_benign", "r_malignant"]].abs().max() < 0.25
