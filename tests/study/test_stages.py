"""Stages: done once, redone when inputs change, resumed after an interruption."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from study.stages import key_of, stage


@pytest.fixture
def lab(tmp_path):
    return SimpleNamespace(runs=tmp_path / "runs")


def run(lab, inputs, calls, *, resumes=False, fail=False, content=None):
    def compute(folder):
        calls.append(sorted(p.name for p in folder.iterdir() if p.name != "stage.json"))
        (folder / "part").write_text("done")
        if fail:
            raise KeyboardInterrupt
        return content

    return stage(lab, "work", inputs, ("errors",), compute, resumes=resumes)


def test_a_complete_stage_is_reused_until_an_input_changes(lab):
    calls = []
    first = run(lab, {"a": 1}, calls)
    assert run(lab, {"a": 1}, calls) == first and len(calls) == 1
    run(lab, {"a": 2}, calls)
    assert calls == [[], []], "another input starts from an empty folder"


def test_an_interrupted_stage_begins_anew_or_goes_on(lab):
    for resumes, found in ((False, []), (True, ["part"])):
        calls = []
        with pytest.raises(KeyboardInterrupt):
            run(lab, {"a": resumes}, calls, resumes=resumes, fail=True)
        run(lab, {"a": resumes}, calls, resumes=resumes)
        assert calls == [[], found]


def test_an_interrupted_stage_of_other_inputs_is_not_resumed(lab):
    calls = []
    with pytest.raises(KeyboardInterrupt):
        run(lab, {"a": 1}, calls, resumes=True, fail=True)
    run(lab, {"a": 2}, calls, resumes=True)
    assert calls == [[], []]


def test_what_a_stage_made_is_its_key_for_others(lab):
    assert key_of(run(lab, {"a": 1}, [], content="digest of the result")) == "digest of the result"
    assert len(key_of(run(lab, {"a": 2}, []))) == 16
