"""A file for iMRMC, read back by the rules of its manual."""

import pytest
from sklearn.metrics import roc_auc_score

from lesionlib.errors import InputError
from study import tables
from study.statistics import imrmc


def read_back(file):
    """Sizes, truth of each case, and scores by (reader, modality)."""
    head, data = file.read_text(encoding="utf-8").split("BEGIN DATA:\n")
    sizes = dict(line.split(": ") for line in head.splitlines() if line.startswith("N"))
    truth, scores = {}, {}
    for line in data.splitlines():
        reader, case, modality, score = line.split(",")
        if reader == "-1":
            assert case not in truth, "multiply defined"
            truth[case] = int(score)
        else:
            scores.setdefault((reader, modality), {})[case] = float(score)
    return {name: int(n) for name, n in sizes.items()}, truth, scores


def test_what_was_written_is_read_back(scored, tmp_path):
    file = imrmc.write_imrmc(scored, ["E+S", "E"], tmp_path / "scores.imrmc")
    sizes, truth, scores = read_back(file)
    s = tables.scores(scored, "E+S")
    assert truth == dict(zip(s.lesion, s.truth, strict=True))
    assert sizes == {"N0": int((~s.truth).sum()), "N1": int(s.truth.sum()), "NR": 3, "NM": 2}
    assert len(scores) == 6 and all(set(x) == set(truth) for x in scores.values())
    for (reader, model), found in scores.items():
        run = tables.scores(scored, model).runs[:, int(reader.removeprefix("run "))]
        assert [found[case] for case in s.lesion] == list(run)
        score = [found[case] for case in truth]
        assert roc_auc_score(list(truth.values()), score) == roc_auc_score(s.truth, run)


def test_the_limits_are_named_in_the_file(scored, tmp_path):
    text = imrmc.write_imrmc(scored, ["E"], tmp_path / "scores.imrmc").read_text(encoding="utf-8")
    assert "standard errors are too small" in text.split("BEGIN DATA:")[0]


def test_models_of_which_none_has_all_runs(scored):
    rows = imrmc.imrmc_rows(scored, ["f_loc", "E"])
    assert rows[rows["modalityID"] == "f_loc"]["readerID"].unique().tolist() == ["run 0"]


def test_a_comma_in_a_name_is_refused(scored):
    odd = scored.assign(model=scored["model"].replace("E", "E, Platt"))
    with pytest.raises(InputError, match="comma"):
        imrmc.imrmc_rows(odd, ["E, Platt"])
