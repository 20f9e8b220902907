"""Stages: done once, redone when inputs change or files are damaged, resumed after a stop."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace

import pytest

from study import stages
from study.marks import damaged, withdraw, write_mark
from study.stages import key_of, once, stage


@pytest.fixture
def code(monkeypatch):
    """The digest of the code; entry 0 may be changed."""
    digests = ["as it was"]
    monkeypatch.setattr(stages, "code_digest", lambda *roots: digests[0])
    return digests


@pytest.fixture
def lab(tmp_path, code):
    said = []
    runs = tmp_path / "runs"
    return SimpleNamespace(runs=runs, kept={}, number="04", said=said, progress=said.append)


def run(lab, inputs, calls, *, fail=False, content=None, **how):
    def compute(folder):
        calls.append(sorted(p.name for p in folder.iterdir() if p.name != "stage.json"))
        (folder / "part").write_text("done")
        if fail:
            raise KeyboardInterrupt
        return content

    return stage(lab, "work", inputs, compute, **how)


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


def test_changed_code_redoes_a_stage_from_nothing(lab, code):
    calls = []
    for code[0] in ("as it was", "edited"):
        for how in ({"resumes": True}, {"keeps": True}):
            with pytest.raises(KeyboardInterrupt):
                run(lab, {}, calls, fail=True, **how)
        run(lab, {}, calls, resumes=True)
    assert calls == 2 * [[], ["part"], ["part"]]


def test_work_that_keeps_its_folder_meets_it_again_with_other_inputs(lab):
    calls = []
    for a in (1, 2):
        run(lab, {"a": a}, calls, keeps=True)
    assert calls == [[], ["part"]]


@pytest.fixture
def other(lab):
    """The lab of another experiment."""
    return SimpleNamespace(runs=lab.runs.with_name("other"), kept={}, progress=lambda line: None)


@pytest.mark.parametrize(
    "inputs, shared, taken",
    [({}, {"device": "cpu"}, True), ({}, {"device": "cuda"}, False), ({}, None, False),
     ({"a": 1}, {"device": "cpu"}, False)],
)  # fmt: skip
def test_what_another_experiment_completed_is_taken_over(lab, other, inputs, shared, taken):
    calls = []
    run(lab, {}, calls, shared={"device": "cpu"})
    folder = run(other, inputs, calls, shared=shared)
    assert len(calls) == 2 - taken and (folder / "part").read_text() == "done"
    assert run(other, inputs, calls, shared=shared) == folder and len(calls) == 2 - taken


def test_nothing_is_taken_over_that_is_not_complete(lab, other):
    calls = []
    with pytest.raises(KeyboardInterrupt):
        run(lab, {}, calls, shared={}, fail=True)
    run(other, {}, calls, shared={})
    assert calls == [[], []]


def test_work_in_a_folder_taken_over_leaves_the_other_experiments_as_it_is(lab, other):
    first = run(lab, {}, [], shared={}, keeps=True)

    def compute(folder):
        with open(folder / "part", "a") as file:
            file.write(" more")

    assert run(other, {}, [], shared={}, keeps=True).samefile(other.runs / "work")
    stage(other, "work", {"a": 2}, compute, shared={}, keeps=True)
    assert (first / "part").read_text() == "done"
    assert (other.runs / "work" / "part").read_text() == "done more"


def test_a_step_is_done_once_per_lab_and_arguments(lab):
    calls = []

    @once
    def step(lab, *args, **named):
        calls.append((args, named))
        return len(calls)

    other = SimpleNamespace(kept={})
    assert [step(lab, 1), step(lab, 2), step(lab, 1), step(lab, run=1)] == [1, 2, 1, 3]
    assert [step(other, 1), step(lab, run=1)] == [4, 3]


def test_what_a_stage_made_is_its_key_for_others(lab):
    assert key_of(run(lab, {"a": 1}, [], content="digest of the result")) == "digest of the result"
    assert len(key_of(run(lab, {"a": 2}, []))) == 16


# ------------------------------------------------------------------ damage
def emptied(file):
    file.write_bytes(b"")


def halved(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def flipped_unseen(file):
    """As a bad disk does it: no time changes."""
    state = file.stat()
    flipped(file)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def replaced(file):
    file.unlink()
    file.mkdir()


HARMS = [emptied, halved, flipped, replaced, lambda file: file.write_bytes(b"\xff\0 noise")]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", ["part", "stage.json"])
@pytest.mark.parametrize("how", [{}, {"resumes": True}, {"keeps": True}], ids=str)
def test_a_damaged_file_is_told_and_all_is_made_again(lab, name, harm, how):
    calls = []
    folder = run(lab, {}, calls, **how)
    harm(folder / name)
    assert run(lab, {}, calls, **how) == folder and calls == [[], []]
    assert (folder / "part").read_text() == "done" and damaged(folder / "stage.json") == []
    is_mark = harm is replaced and name == "stage.json"
    assert is_mark or lab.said[0].startswith(f"work is made again: {name}")


def test_a_copied_folder_is_whole_and_looked_through_once(lab, monkeypatch):
    folder = run(lab, {}, [])
    shutil.copytree(folder, folder.with_name("copy"), copy_function=shutil.copyfile)
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)
    calls = []
    run(lab, {}, calls)
    monkeypatch.setattr("study.marks._sha256", lambda *_: "")
    run(lab, {}, calls)
    assert calls == [] == lab.said


def test_what_is_drawn_elsewhere_is_vouched_for(lab):
    other, calls = lab.runs / "drawn", []
    other.mkdir(parents=True)
    (other / "picture").write_text("drawn")
    run(lab, {}, calls, draws=other)
    flipped(other / "picture")
    run(lab, {}, calls, draws=other)
    assert len(calls) == 2 and "../drawn/picture" in lab.said[0]


def done(lab) -> list[str]:
    return sorted(file.stem for file in (lab.runs / "done").iterdir())


@pytest.fixture
def jobs_done(lab):
    """A stage, and two jobs that are done; the first has made the stage."""
    run(lab, {}, [])
    for job in ("04", "05"):
        write_mark(lab.runs / "done" / f"{job}.json", {})
        left = lab.runs / "records" / f"{job}.json"
        write_mark(left, {"auc": 0.5})
        write_mark(lab.runs / "jobs" / f"{job}.json", {}, [lab.runs / "done" / left.name, left])


LOST = {"work/part": ["05"], "work/stage.json": [], "records/05.json": ["04"]}
LOST |= {"done/05.json": ["04"], "jobs/05.json": ["04"]}


@pytest.mark.parametrize("harm", [emptied, halved, flipped])
@pytest.mark.parametrize("name", LOST)
def test_before_a_run_the_jobs_of_damaged_files_count_as_not_done(lab, jobs_done, name, harm):
    assert [*withdraw(lab.runs)] == [] and done(lab) == ["04", "05"]
    harm(lab.runs / name)
    (said,) = withdraw(lab.runs)
    assert " is made again: " in said and done(lab) == LOST[name]
    assert [*withdraw(lab.runs)] == [], "it is said once"


def test_damage_that_no_time_shows_is_found_by_digests(lab, jobs_done):
    flipped_unseen(lab.runs / "work" / "part")
    assert [*withdraw(lab.runs)] == []
    assert len([*withdraw(lab.runs, verify=True)]) == 1
