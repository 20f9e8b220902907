"""Spoil files at random and read them: each case ends in a result or in an InputError.

    python tests/data_manifest/fuzz/fuzz_run.py               21,000 cases (make fuzz)
    python tests/data_manifest/fuzz/fuzz_run.py --case 4711   one, here, with its traceback

A case is decided by its number alone.  It fails if anything but an :class:`InputError` is raised, if
the error has several lines or repeats the patient, if the process dies, takes longer than the limit,
or needs, with its children, more than 1 GiB.  Cases run in processes of their own, so that neither a
crash nor a loop ends the run.  The report goes to ``runs/fuzz/report.json`` and ``report.md``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import fuzz_damage
import fuzz_targets

SEED = 2020
FIRST_LATER = 20_000
SECONDS = 30  # a case; many times what the slowest needs, for machines that do other work
GIB = 1024**3
MEMORY = GIB
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    ended : "result", "refused" (InputError), or a failure: "fault", "crash", "hang", "memory".
    words : of the error.  peak : bytes of memory that its process had held at most until then.
    """

    case: int
    target: str
    ended: str
    words: str
    peak: int

    @property
    def failed(self) -> bool:
        return self.ended not in ("result", "refused")


def make_case(case: int, folder: Path) -> fuzz_targets.Target:
    """Write the damaged folder of a case."""
    rng = np.random.default_rng([SEED, case])
    variants = fuzz_targets.targets(target_of(case))
    target = variants[int(rng.integers(len(variants)))]
    spoiled = target.damaged[int(rng.integers(len(target.damaged)))]
    for name, data in target.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(fuzz_damage.damage(data, name, rng) if name == spoiled else data)
    return target


def target_of(case: int) -> str:
    """Later targets have numbers of their own, so that those of the first ones keep their meaning."""
    names = fuzz_targets.NAMES if case < FIRST_LATER else fuzz_targets.LATER
    return names[case % len(names)]


def run_case(case: int, folder: Path, *, show: bool = False) -> Outcome:
    """One case in this process."""
    from lesionlib.errors import InputError

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ended, words = "result", ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target = make_case(case, folder)
        try:
            target.read(folder)
        except InputError as error:
            ended, words = "refused", str(error)
            if "\n" in words or fuzz_targets.SECRET in words:
                ended, words = "fault", f"the error has several lines or tells the patient: {words}"
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"[:300]
            ended = "fault"
            if show:
                traceback.print_exc()
    peak = peak_bytes()
    return Outcome(case, target_of(case), "memory" if peak > MEMORY else ended, words, peak)


def peak_bytes() -> int:
    """The most memory this process has held, and on Linux each of its children that still live.

    Trap: on Linux ru_maxrss passes from a large parent to a child that starts afresh.
    """
    if platform.system() != "Linux":
        unit = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    lists = Path("/proc/self/task").glob("*/children")
    children = {child for file in lists for child in file.read_text().split()}
    return sum(_held(Path("/proc", each, "status")) for each in ["self", *children])


def _held(status: Path) -> int:
    """Of a process, by its status; one that has just ended held nothing."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


# ------------------------------------------------------------------ processes
def _worker(cases: list[int], folder: str, out) -> None:
    """Tell each case before it begins and after it has ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C write what they think of a file
    resource.setrlimit(resource.RLIMIT_AS, (6 * GIB, 6 * GIB))  # so that the machine survives
    for case in cases:
        out.send(case)
        outcome = run_case(case, Path(folder))
        out.send(outcome)
        if outcome.ended == "memory":
            return  # the peak is the process's: go on in a fresh one
    out.send(None)


def _shepherd(cases: list[int]) -> list[Outcome]:
    """Run cases in one process, and in a new one after each that did not come back."""
    done: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        while len(done) < len(cases):
            done += _until_death(cases[len(done) :], folder)
    return done


def _until_death(cases: list[int], folder: str) -> list[Outcome]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_worker, args=(cases, folder, there))
    process.start()
    there.close()
    done: list[Outcome] = []
    current = None
    try:
        while here.poll(SECONDS if current is not None else 120):
            message = here.recv()
            if message is None:
                return done
            if isinstance(message, Outcome):
                done.append(message)
                current = None
            else:
                current = message
        ended = "hang"
    except EOFError:
        ended = "crash"
    finally:
        process.kill()
        process.join()
        here.close()
    if current is None and done:
        return done
    case = cases[0] if current is None else current
    words = f"no answer in {SECONDS} s" if ended == "hang" else f"exit code {process.exitcode}"
    return [*done, Outcome(case, target_of(case), ended, words, 0)]


def run(cases: list[int], workers: int = 1) -> list[Outcome]:
    """All cases, in their order."""
    shares = [cases[k::workers] for k in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        outcomes = [outcome for share in pool.map(_shepherd, shares) for outcome in share]
    return sorted(outcomes, key=lambda outcome: outcome.case)


# ------------------------------------------------------------------ the report
def report(outcomes: list[Outcome], seconds: float) -> dict:
    """Counts by target and end, the highest memory, and every failure."""
    names = (*fuzz_targets.NAMES, *fuzz_targets.LATER)
    table = {name: Counter() for name in dict.fromkeys(names)}
    for outcome in outcomes:
        table[outcome.target][outcome.ended] += 1
    return {
        "cases": len(outcomes),
        "seed": SEED,
        "seconds": round(seconds, 1),
        "peak_mib": round(max(outcome.peak for outcome in outcomes) / 2**20),
        "ended": dict(Counter(outcome.ended for outcome in outcomes)),
        "by_target": {name: dict(counts) for name, counts in table.items()},
        "failures": [asdict(outcome) for outcome in outcomes if outcome.failed],
    }


def write_report(content: dict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(content, indent=1) + "\n")
    ends = ["result", "refused", "fault", "crash", "hang", "memory"]
    lines = [f"{content['cases']} cases, seed {content['seed']}: {content['seconds']} s, at most "
             f"{content['peak_mib']} MiB a process, {len(content['failures'])} failures.", "",
             "| target | " + " | ".join(ends) + " |", "|---" * (len(ends) + 1) + "|"]  # fmt: skip
    for name, counts in content["by_target"].items():
        lines.append(f"| {name} | " + " | ".join(str(counts.get(e, 0)) for e in ends) + " |")
    lines += ["", *(f"- case {f['case']} ({f['target']}): {f['ended']}, {f['words']}"
                    for f in content["failures"])]  # fmt: skip
    (folder / "report.md").write_text("\n".join(lines).rstrip() + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=21_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--case", type=int, help="run this one only, in this process")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "fuzz")
    given = parser.parse_args()
    if given.case is not None:
        with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
            outcome = run_case(given.case, Path(folder) / "case", show=True)
        print(json.dumps(asdict(outcome), indent=1))
        return int(outcome.failed)
    start = time.monotonic()
    cases = range(given.first, given.first + given.cases)
    outcomes = run(list(cases), max(1, given.workers))
    content = report(outcomes, time.monotonic() - start)
    write_report(content, given.out)
    print((given.out / "report.md").read_text(), end="")
    return int(bool(content["failures"]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
