"""Damaged files end in a result or in one line that says what to do; `make fuzz` tries many more."""

import json
import subprocess
import sys
from pathlib import Path

import fuzz_damage
import fuzz_run
import fuzz_targets
import numpy as np
import pytest

from lesionlib.errors import InputError

REFUSED_UNDAMAGED = {("dicom", 5): "deflated", ("png", 2): "mode P"}


def test_three_hundred_damaged_files():
    """Trap: a damaged file raises whatever its decoder raises, or takes the machine with it."""
    outcomes = fuzz_run.run(list(range(300)))
    assert [outcome for outcome in outcomes if outcome.failed] == []
    assert len(outcomes) == 300 and len({outcome.target for outcome in outcomes}) == 15
    ends = {outcome.ended for outcome in outcomes}
    assert ends == {"result", "refused"}  # neither all harmless nor all hopeless
    content = fuzz_run.report(outcomes, 1.0)
    assert content["peak_mib"] < 1024 and sum(content["ended"].values()) == 300


def test_cases_that_once_failed():
    """Traps: GDCM ends the process on damaged JPEG 2000 (16593), pandas takes surplus fields for
    names of rows (3551, 4505, 4507, 4829), a number or a file name without end (1878, 10291, 11111),
    an ROI without coordinates or level (4295, 19739), grey levels above a PGM's maximum (110)."""
    cases = [110, 1878, 3551, 4295, 4505, 4507, 4829, 10291, 11111, 16593, 19739]
    assert [outcome for outcome in fuzz_run.run(cases) if outcome.failed] == []


def test_damaged_jpeg_lossless():
    """Trap: GDCM, which alone decodes it, ends the process on some damaged streams (20559)."""
    first = fuzz_run.FIRST_LATER
    outcomes = fuzz_run.run([*range(first, first + 40), 20559])
    assert [outcome for outcome in outcomes if outcome.failed] == []
    assert {outcome.ended for outcome in outcomes} == {"result", "refused"}


@pytest.mark.parametrize("name", dict.fromkeys((*fuzz_targets.NAMES, *fuzz_targets.LATER)))
def test_undamaged_files_are_read(tmp_path, name):
    for k, target in enumerate(fuzz_targets.targets(name)):
        folder = tmp_path / str(k)
        for path, data in target.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        words = REFUSED_UNDAMAGED.get((name, k))
        if words is None:
            found = target.read(folder)
            assert name not in fuzz_targets.DATA_SETS or len(found.images)
        else:
            with pytest.raises(InputError, match=words):
                target.read(folder)


def test_a_case_is_told_by_its_number(tmp_path):
    def written(case: int) -> dict:
        folder = tmp_path / f"{case}_{len(list(tmp_path.iterdir()))}"
        fuzz_run.make_case(case, folder)
        return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}

    for case in (0, 5, 11, 14):
        assert written(case) == written(case)
    assert written(0) != written(len(fuzz_targets.NAMES))


def ends_of(monkeypatch, tmp_path, read, held=0):
    """How a reading ends in this process, which may hold more than a case is allowed."""
    target = fuzz_targets.Target({"f": b"12345678"}, ("f",), read)
    monkeypatch.setattr(fuzz_targets, "targets", lambda name: [target])
    monkeypatch.setattr(fuzz_run, "peak_bytes", lambda: held)
    return fuzz_run.run_case(0, tmp_path / "case")


def raising(error):
    def read(folder):
        raise error

    return read


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (InputError("wrong", "here", "Mend it"), "refused"),
        (InputError(f"patient {fuzz_targets.SECRET}"), "fault"),
        (ValueError("x"), "fault"),
        (MemoryError(), "fault"),
        (SystemExit(7), "fault"),
    ],
)
def test_only_an_input_error_without_the_patient_is_a_refusal(monkeypatch, tmp_path, error, ended):
    assert ends_of(monkeypatch, tmp_path, raising(error)).ended == ended


def test_much_memory_is_a_failure(monkeypatch, tmp_path):
    ends = ends_of(monkeypatch, tmp_path, lambda folder: None, held=fuzz_run.MEMORY + 1)
    assert ends.ended == "memory"


def test_the_memory_of_children_counts():
    """Trap: a decoder with a process of its own may fill the memory from there."""
    hold = "held = b'x' * 300_000_000; print(flush=True); input()"
    before = fuzz_run.peak_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        counted = fuzz_run.peak_bytes() - before
        child.communicate(b"\n")
    assert counted >= 300_000_000


def test_the_memory_of_the_parent_does_not_count():
    """Trap: on Linux a new program inherits ru_maxrss from the process that started it."""
    ask = "import fuzz_run; print(fuzz_run.peak_bytes())"
    large = (
        "import subprocess, sys; held = b'x' * 600_000_000;"
        f"sys.exit(subprocess.run([sys.executable, '-c', {ask!r}]).returncode)"
    )
    told = subprocess.run(
        [sys.executable, "-c", large],
        cwd=Path(fuzz_run.__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(told.stdout) < 500_000_000


def test_a_process_that_dies_or_loops_is_found_out_and_the_run_goes_on(monkeypatch):
    monkeypatch.setattr(fuzz_run, "SECONDS", 2)
    monkeypatch.setattr(fuzz_run, "_worker", odd_worker)
    ended = {outcome.case: outcome.ended for outcome in fuzz_run.run([0, 1, 2, 3])}
    assert ended == {0: "result", 1: "crash", 2: "hang", 3: "result"}


def odd_worker(cases, folder, out):
    """Stands in for the worker: case 1 kills its process, case 2 does not end."""
    import os
    import time

    for case in cases:
        out.send(case)
        if case == 1:
            os._exit(9)
        if case == 2:
            time.sleep(60)
        out.send(fuzz_run.Outcome(case, "png", "result", "", 0))
    out.send(None)


def test_the_report(tmp_path):
    outcomes = [fuzz_run.Outcome(7, "png", "hang", "no answer in 30 s", 2**21)]
    fuzz_run.write_report(fuzz_run.report(outcomes, 3.21), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["failures"][0]["case"] == 7
    assert "- case 7 (png): hang, no answer in 30 s" in (tmp_path / "report.md").read_text()


def test_every_way_to_damage_keeps_bytes_bytes():
    rng = np.random.default_rng(0)
    ways = {*fuzz_damage.ANYWHERE, *(w for ways in fuzz_damage.BY_FORMAT.values() for w in ways)}
    for way in ways:
        for data in (b"", b"x", b"a,b\n1,2\n", fuzz_targets.dicom()):
            assert isinstance(way(data, rng), bytes), way
