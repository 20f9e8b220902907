"""Late fusion, run by run."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from lesionlib.errors import InputError
from study import tables
from study.statistics import fusion


def test_the_mean_of_logits_is_taken_run_by_run(scored):
    e, s, placed = (tables.scores(scored, m).runs for m in ("E", "S", "I+S"))
    found = tables.scores(fusion.fuse(scored, fusion.LATE), fusion.LATE).runs
    np.testing.assert_allclose(found, expit((logit(e) + logit(s)) / 2))
    found = tables.scores(fusion.fuse(scored, fusion.LATE_PLACED), fusion.LATE_PLACED).runs
    np.testing.assert_allclose(found, expit((logit(e) + logit(placed)) / 2))


def test_a_model_with_one_run_lends_it_to_all(scored):
    f, s = (tables.scores(scored, m).runs for m in ("f_loc", "S"))
    assert f.shape[1] == 1 and s.shape[1] == 3
    found = tables.scores(fusion.fuse(scored, fusion.LATE_PATCH), fusion.LATE_PATCH).runs
    np.testing.assert_allclose(found, expit((logit(f) + logit(s)) / 2))


def test_weights_are_fitted_on_validation_lesions_of_the_same_run(scored):
    found = tables.scores(fusion.fuse(scored, fusion.FITTED), fusion.FITTED).runs
    known = [tables.scores(scored, m, "validation") for m in ("E", "S")]
    test = [tables.scores(scored, m) for m in ("E", "S")]
    for run in range(3):
        x = np.column_stack([logit(s.runs[:, run]) for s in known])
        truth = known[0].truth

        def loss(w, x=x, truth=truth):
            z = w[0] + x @ w[1:]
            return np.sum(np.logaddexp(0, z) - truth * z)

        w = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).x
        z = w[0] + np.column_stack([logit(s.runs[:, run]) for s in test]) @ w[1:]
        np.testing.assert_allclose(found[:, run], expit(z), atol=1e-5)


def test_fusions_are_further_models_of_the_frame(scored):
    frame = fusion.with_fusions(scored)
    assert set(fusion.FUSIONS) <= set(tables.models_of(frame))
    assert frame.iloc[: len(scored)].equals(scored.reset_index(drop=True))
    s, alone = tables.scores(frame, fusion.LATE), tables.scores(frame, "E")
    assert roc_auc_score(s.truth, s.mean) > roc_auc_score(alone.truth, alone.mean)
    assert tables.gain(frame, fusion.LATE, "E", resamples=20).n == len(s.truth)


def test_fusions_that_cannot_be_made_are_left_out(scored):
    placed = fusion.with_fusions(scored[scored["model"].isin(["E", "I+S"])])
    assert set(placed["model"]) == {"E", "I+S", fusion.LATE_PLACED}
    unfitted = fusion.with_fusions(scored[scored["split"] == "test"])
    assert set(fusion.FUSIONS) - set(unfitted["model"]) == {fusion.FITTED}
    graded = scored.assign(y_score=scored["y_score"] * np.where(scored["model"] == "S", 5, 1))
    assert set(fusion.with_fusions(graded)["model"]) - set(scored["model"]) == {fusion.LATE_PLACED}


def test_runs_that_do_not_match_are_refused(scored):
    two = scored[(scored["model"] != "S") | (scored["run"] < 2)]
    with pytest.raises(InputError, match="runs"):
        fusion.fuse(two, fusion.LATE)
