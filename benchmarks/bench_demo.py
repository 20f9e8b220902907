"""Where the time of a finished run went, job by job -> figures/benchmarks/<experiment>_jobs.csv.

    python benchmarks/bench_demo.py [--experiment demo]

Nothing is run: each job has left what it took the last time that it was done, so a table of the
whole work is that of a run from nothing.  A line per job, the most expensive first:

* `seconds` by the clock, and `cpu_seconds` of the job's process and those that it started;
* `peak_mb`: the most memory that one of these processes had;
* `training`: seconds by the clock of the epochs, validation and checkpoints with them;
* `imports`, `cells` and `outside`, of a notebook: its set-up cell; all other cells; papermill and
  the start of the kernel.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from lesionlib.errors import InputError
from lesionlib.files import read_json, write_text
from study.marks import STAGE, read_mark
from study.settings import project_root, runs_folder

COLUMNS = ("job", "seconds", "cpu_seconds", "peak_mb", "training", "imports", "cells", "outside")


def jobs(runs: Path) -> pd.DataFrame:
    """One row per job of a run with `COLUMNS`; InputError where no job has left its times.

    runs : the folder of an experiment, ``runs/<experiment>``.
    """
    training: dict[str, float] = {}
    for file in runs.rglob("timing.csv"):
        maker = read_mark(file.parent / STAGE).get("job", "")
        training[maker] = training.get(maker, 0) + pd.read_csv(file)["seconds"].sum()
    rows = []
    for file in sorted((runs / "jobs").glob("*.json")):
        mark, name = read_mark(file), file.stem
        if "seconds" in mark:
            took = {key: mark.get(key) for key in ("seconds", "cpu_seconds", "peak_mb")}
            own = {"job": name, **took, "training": training.get(name, 0)}
            rows.append(own | _parts(runs, name, mark["seconds"]))
    if not rows:
        raise InputError("no job has left its times", runs, "Run the experiment")
    table = pd.DataFrame(rows, columns=COLUMNS).sort_values("cpu_seconds", ascending=False)
    return table.reset_index(drop=True)


def _parts(runs: Path, job: str, seconds: float) -> dict[str, float]:
    """How the time of a notebook parts; nothing for a job without one."""
    for file in (runs / "notebooks").glob(f"{job}_*.ipynb"):
        found = [cell["metadata"] for cell in read_json(file, {})["cells"]]
        took = [(m.get("tags", []), m.get("papermill", {}).get("duration") or 0) for m in found]
        first = sum(duration for tags, duration in took if "setup" in tags)
        cells = sum(duration for _, duration in took) - first
        return {"imports": first, "cells": cells, "outside": seconds - first - cells}
    return {}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="demo")
    experiment = parser.parse_args(argv).experiment
    table = jobs(runs_folder(experiment)).round(1)
    target = project_root() / "figures" / "benchmarks" / f"{experiment}_jobs.csv"
    write_text(target, table.to_csv(index=False))
    total = table.drop(columns=["job", "peak_mb"]).sum().round(1)
    total["peak_mb"] = table["peak_mb"].max()
    print(pd.concat([table, total.to_frame().T.assign(job="all")]).to_string(index=False))


if __name__ == "__main__":
    main()
