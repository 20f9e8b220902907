"""Kill a smoke run at seeded moments, or damage what it left; it must end as an undisturbed one.

    python tests/study/torture.py kills [--number 50]      about 30 minutes on one core
    python tests/study/torture.py damage [--number 20]     about 25 minutes on two cores

Both run the experiment `smoke` in a scratch copy of the project, once undisturbed as the reference
(kept in `--folder` for the next time).  After a kill, every process must be gone within 15 s.  Damage
is done to five files at once; each must be told in a line, and the end must be the same to the byte.
What holds times is not compared.  `make torture` does both.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from toy_project import ROOT, variables

ROOMS = ("lesionlib", "data_manifest", "study", "experiments", "notebooks", "workflow")
GONE = 15.0  # s after a kill
AT_ONCE = 5  # files damaged before a run
# from a start to its kill: lines of progress, which a busy machine takes longer for, and then s
LINES, WAIT = 12, 5.0
HANG = 3600.0  # s of an undisturbed run, many times what it takes
# which hold times or process numbers
PASSING = r"/\.|\.(log|lock|ipynb)$|timing\.csv$|(build|code|files|manifest|stage|run)\.json$|/jobs/|/failed/"
KERNEL, JOB, SNAKEMAKE = "ipykernel_launcher", r"-m study (notebook|stage)", "-m snakemake"


def project_in(folder: Path) -> Path:
    """A scratch copy of the project, with its code; a folder that is there stays as it is."""
    for name in ROOMS:
        if not (folder / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
    return folder


def started(project: Path, cores: int) -> subprocess.Popen:
    words = [sys.executable, "-m", "study", "run", "smoke", "--cores", str(cores)]
    with open(project / "said.txt", "w") as said:
        return subprocess.Popen(
            words, cwd=project, env=variables(project) | {"PYTHONPATH": str(project)},
            stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip


def finished(project: Path, cores: int) -> str:
    """Run to the end; what was said."""
    code, said = started(project, cores).wait(HANG), (project / "said.txt").read_text()
    assert code == 0 and "Traceback" not in said, f"exit code {code}:\n{said}"
    return said


def content(project: Path) -> dict[str, str]:
    """SHA-256 of what the run left, by path."""
    files = [f for top in ("runs", "figures") for f in sorted((project / top).rglob("*"))]
    named = {f.relative_to(project).as_posix(): f for f in files if f.is_file()}
    kept = {name: file for name, file in named.items() if not re.search(PASSING, f"/{name}")}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in kept.items()}


def compare(project: Path, expected: dict[str, str]) -> None:
    found = content(project)
    differ = [n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n)]
    assert not differ, f"{len(differ)} files are not those of the undisturbed run: {sorted(differ)}"


# ------------------------------------------------------------------ kills
def processes(project: Path) -> list[psutil.Process]:
    """Everything alive that was started for this project."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LESIONLIB_ROOT") == str(project):
                found += [process] * (process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            continue
    return found


def victim(project: Path, pattern: str) -> psutil.Process | None:
    for process in processes(project):
        try:
            if re.search(pattern, " ".join(process.cmdline())):
                return process
        except psutil.Error:
            continue
    return None


def strike(project: Path, run: subprocess.Popen, how: str) -> None:
    if how == "SIGINT":
        os.killpg(run.pid, signal.SIGINT)
    elif how == "SIGTERM":
        run.terminate()
    else:
        pattern = {"kernel": KERNEL, "job": JOB, "snakemake": SNAKEMAKE}.get(how, "-m study run")
        (victim(project, pattern) or psutil.Process(run.pid)).kill()


def reached(project: Path, run: subprocess.Popen, lines: int, wait: float) -> bool:
    """Whether a run goes on after it has said so many lines, and some time more."""
    end = time.monotonic() + HANG
    while run.poll() is None and len((project / "said.txt").read_text().splitlines()) < lines:
        assert time.monotonic() < end, f"not {lines} lines in {HANG:g} s"
        time.sleep(0.05)
    time.sleep(wait)
    return run.poll() is None


def kills(folder: Path, expected: dict[str, str], number: int, seed: int) -> None:
    """Strike a run again and again; the end must be that of the undisturbed run."""
    draw, project = random.Random(seed), project_in(folder / "kills")
    for k in range(number):
        how = draw.choice(["kernel", "job", "snakemake", "top", "SIGINT", "SIGTERM"])
        run, lines, wait = started(project, 1), draw.randint(0, LINES), draw.uniform(0, WAIT)
        moment = f"{lines} lines and {wait:.1f} s"
        if reached(project, run, lines, wait):
            strike(project, run, how)
            end = time.monotonic() + GONE
            while (left := processes(project)) and time.monotonic() < end:
                run.poll()
                time.sleep(0.2)
            names = [" ".join(process.cmdline()) for process in left]
            assert not left, f"{how} after {moment}: still there after {GONE:g} s: {names}"
            took, said = GONE - end + time.monotonic(), (project / "said.txt").read_text()
            assert "Traceback" not in said, said
            last = (said.strip().splitlines() or ["nothing"])[-1].strip()
            print(f"{k + 1:3d}  {how:9} after {moment}, gone in {took:.1f} s: {last}", flush=True)
            continue
        assert run.returncode == 0, (project / "said.txt").read_text()
        compare(project, expected)
        print(f"{k + 1:3d}  complete and the same; begun anew", flush=True)
        shutil.rmtree(project / "runs")
    finished(project, 1)
    compare(project, expected)


# ------------------------------------------------------------------ damage
def harm(file: Path, draw: random.Random) -> str:
    """Spoil a file in one of five ways; the name of the way."""
    how, found = draw.choice(["empty", "half", "noise", "flip", "gone"]), bytearray(b"-")
    found = bytearray(file.read_bytes()) or found
    if how == "gone":
        file.unlink()
        return how
    place = draw.randrange(len(found))
    if how == "noise":
        found[place : place + 1000] = draw.randbytes(min(1000, len(found) - place))
    elif how == "flip":
        found[place] ^= 1 << draw.randrange(8)
    file.write_bytes({"empty": b"", "half": found[: len(found) // 2]}.get(how, found))
    return how


def owner(name: str) -> str:
    """The stage or job that is told where this file is damaged; empty for files of no account."""
    room, _, rest = name.partition("/")
    if room in ("done", "records", "jobs", "notebooks", "written"):
        title = rest.rpartition(".")[0]
        return "job " + (title[:2] if room == "notebooks" else title)
    if room == "store":
        return "store"
    return "manifest" if room == "phantom" else name.rpartition("/")[0]


def damage(folder: Path, expected: dict[str, str], number: int, seed: int) -> None:
    """Spoil files of a complete run; each is told and mended."""
    draw, project = random.Random(seed), folder / "damage"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(folder / "reference", project)
    runs = project / "runs" / "smoke"
    assert "nothing to redo" in finished(project, 2), "a copied folder is whole"
    for start in range(0, number, AT_ONCE):
        files = [f for f in sorted(runs.rglob("[!.]*")) if f.is_file() and f.suffix != ".lock"]
        files = [f for f in files if f.suffix != ".log" and f.name != "run.json"]
        by_room = draw.sample(sorted({f.relative_to(runs).parts[0] for f in files}), AT_ONCE)
        hit = {}
        for room in by_room[: number - start]:
            file = draw.choice([f for f in files if f.relative_to(runs).parts[0] == room])
            hit[file.relative_to(runs).as_posix()] = harm(file, draw)
        print(f"{start + len(hit):3d}  {hit}", flush=True)
        said = finished(project, 2)
        untold = [name for name in hit if f"| {owner(name)} is made again" not in said]
        # where its mark is gone, a stage is as if it had never been made
        assert not [n for n in untold if hit[n] != "gone" or not n.endswith(".json")], said
        compare(project, expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["kills", "damage"])
    parser.add_argument("--number", type=int, help="default: 50 kills, 20 damaged files")
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--folder", type=Path, help="of the scratch copies; default: temporary")
    args = parser.parse_args()
    # a script that was put into the background ignores it, and so would what it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = (args.folder or Path(tempfile.mkdtemp(prefix="torture-"))).resolve()
    reference = project_in(folder / "reference")
    finished(reference, 2)
    expected = content(reference)
    print(f"the undisturbed run left {len(expected)} files to compare, in {folder}", flush=True)
    work, usual = (kills, 50) if args.what == "kills" else (damage, 20)
    try:
        work(folder, expected, args.number or usual, args.seed)
    finally:
        for process in processes(folder / args.what):
            process.kill()
    print(f"{args.what}: the end is the same")


if __name__ == "__main__":
    main()
