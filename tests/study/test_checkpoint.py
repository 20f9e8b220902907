"""A checkpoint is restored as it was, counts as done, and shows no canvas that it does not hold."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from toy_project import make_project

from lesionlib.errors import InputError
from lesionlib.seeds import digest
from study import settings, steps, workflow
from study.__main__ import main
from study.commands import checkpoint
from study.lab import open_bench
from study.marks import STAGE, read_mark

TINY = """extends: demo
phantom: {training: 6, negative: 3, aggregation: 6, aggregation_negative: 2, validation: 6, test: 6}
evaluation: {windows_per_lesion: 2}
compute: {workers: 1}
"""
ROWS = [1, 4]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project in which the first steps are done, and its checkpoint."""
    folder = make_project(tmp_path_factory.mktemp("made"))
    (folder / "experiments" / "tiny.yaml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        lab = open_bench("tiny")
        steps.evaluation_windows(lab)
        origin = checkpoint._origin(lab.settings)
        checkpoint.pack(lab.runs, ROWS, folder / "c.tar.gz", origin)
    settings.project_root.cache_clear()
    return folder, lab


def enter(folder, patch):
    patch.setenv("LESIONLIB_ROOT", str(folder))
    settings.project_root.cache_clear()


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another project with the same experiment, and nothing done."""
    make_project(tmp_path)
    (tmp_path / "experiments" / "tiny.yaml").write_text(TINY)
    enter(tmp_path, monkeypatch)
    yield tmp_path
    settings.project_root.cache_clear()


def test_what_is_restored_counts_as_done(made, other):
    folder, lab = made
    assert main(["restore", str(folder / "c.tar.gz")]) == 0
    again = open_bench("tiny")
    times = {f: f.stat().st_mtime_ns for f in again.runs.rglob("*") if f.suffix in (".npy", ".csv")}
    assert steps.evaluation_windows(again).equals(steps.evaluation_windows(lab))
    images, source = steps.store(again), steps.store(lab)
    for row in ROWS:
        assert np.array_equal(images.raw(row), source.raw(row))
        assert np.array_equal(images.standardised(row), source.standardised(row))
    assert np.array_equal(images.outline(0).mask, source.outline(0).mask)
    assert times and {f: f.stat().st_mtime_ns for f in times} == times, "nothing was made again"
    assert not list(again.runs.rglob("*.png"))


def test_a_canvas_that_is_not_there_is_an_error_and_never_black(made, other):
    checkpoint.restore(made[0] / "c.tar.gz")
    images = steps.store(open_bench("tiny"))
    for read in (images.raw, images.standardised):
        with pytest.raises(InputError, match=f"image {images.images['image_id'][0]} is not in the"):
            read(0)


def test_a_run_makes_the_images_again_and_no_other_experiment_takes_them_over(made, other):
    runs = checkpoint.restore(made[0] / "c.tar.gz")
    assert read_mark(runs / "store" / STAGE)["shared"] != {}
    workflow._make_whole(runs)
    images = steps.store(open_bench("tiny"))
    assert np.array_equal(images.raw(0), steps.store(made[1]).raw(0))
    key = read_mark(made[1].runs / "windows" / "evaluation" / STAGE)["key"]
    assert read_mark(runs / "windows" / "evaluation" / STAGE)["key"] == key
    workflow._make_whole(runs)
    assert (runs / "store" / STAGE).is_file(), "a whole store stays"


def refused(file, project, what):
    with pytest.raises(InputError, match=what):
        checkpoint.restore(file)
    assert not list(project.rglob(STAGE)) and not (project.parent / "outside").exists()
    assert not [f for f in (project / "runs").glob("*") if f.name != "code.json"]


@pytest.mark.parametrize("name", ["code", "settings", "python"])
def test_a_checkpoint_of_something_else_is_refused(made, other, monkeypatch, name):
    origin = checkpoint._origin
    changed = lambda *given: origin(*given) | {name: "another"}  # noqa: E731
    monkeypatch.setattr(checkpoint, "_origin", changed)
    refused(made[0] / "c.tar.gz", other, f"made with other {name}")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9])
def test_a_file_cut_short_is_refused(made, other, share):
    content = (made[0] / "c.tar.gz").read_bytes()
    (other / "c.tar.gz").write_bytes(content[: int(share * len(content))])
    refused(other / "c.tar.gz", other, "no checkpoint, or damaged")


def archive(file, index: dict, members: dict[str, bytes]):
    with tarfile.open(file, "w:gz") as made:
        for name, content in {"checkpoint.json": json.dumps(index).encode(), **members}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))


BAD = {
    "../outside": ("../outside", "OutsideDestinationError"),
    "absolute": ("/etc/hostname", "TarError"),
    "changed": ("manifest/stage.json", "is damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_names_that_lead_out_and_changed_files_are_refused(other, name):
    member, said = BAD[name]
    index = checkpoint._origin(settings.load_experiment("tiny"))
    archive(other / "c.tar.gz", index | {"files": {member: digest("x")}}, {member: b"{}"})
    refused(other / "c.tar.gz", other, said)


def test_members_that_the_index_does_not_name_are_refused(other):
    index = checkpoint._origin(settings.load_experiment("tiny"))
    archive(other / "c.tar.gz", index | {"files": {}}, {"more": b""})
    refused(other / "c.tar.gz", other, "TarError")


def test_an_experiment_that_was_run_is_not_overwritten(made, other):
    checkpoint.restore(made[0] / "c.tar.gz")
    with pytest.raises(InputError, match="has been run here"):
        checkpoint.restore(made[0] / "c.tar.gz")


def test_patients_are_not_handed_on_and_a_run_comes_first(other, monkeypatch):
    with pytest.raises(InputError, match="images of patients"):
        checkpoint.checkpoint("real")
    monkeypatch.setattr(checkpoint, "is_complete", lambda experiment: False)
    with pytest.raises(InputError, match="jobs are still to be run"):
        checkpoint.checkpoint("tiny")


def test_what_the_notebooks_read_is_what_is_packed(made, monkeypatch):
    folder, lab = made
    enter(folder, monkeypatch)

    def read(number, experiment, output):
        assert not output.is_relative_to(folder)
        images = steps.store(open_bench(experiment))
        images.raw(int(number))
        images.standardised(2)

    monkeypatch.setattr(checkpoint, "is_complete", lambda experiment: True)
    monkeypatch.setattr(checkpoint, "run_notebook", read)
    made_file = checkpoint.checkpoint("tiny")
    with tarfile.open(made_file) as archive:
        rows = np.load(io.BytesIO(archive.extractfile("store/canvases/rows.npy").read()))
    assert rows.tolist() == [2, *map(int, checkpoint.NOTEBOOKS)]
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="at most 1000"):
        checkpoint.checkpoint("tiny")
    assert not made_file.exists()
