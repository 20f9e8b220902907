"""What the benchmarks share: interleaved runs, the most memory of a process, and tables as files.

Every file here has ``main(argv=None)``, prints a table and leaves it as
``figures/benchmarks/<name>.csv``.  The machine may be busy: what is compared runs in turns (a, b, a,
b, ...), and a ratio is the median over the turns of the two times of one turn.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / "figures" / "benchmarks"


def interleaved(cases: dict[str, Callable[[], object]], turns: int = 5) -> pd.DataFrame:
    """Seconds of each case (columns) in each turn (rows), after one turn to warm up."""
    took = np.empty((1 + turns, len(cases)))
    for turn in took:
        for k, case in enumerate(cases.values()):
            start = time.perf_counter()
            case()
            turn[k] = time.perf_counter() - start
    return pd.DataFrame(took[1:], columns=list(cases))


def most_memory() -> float:
    """Of this process so far (GiB)."""
    unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def report(name: str, rows: list[dict] | pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Print a table and write it to figures/benchmarks/<name>.csv."""
    table = pd.DataFrame(rows)
    FOLDER.mkdir(parents=True, exist_ok=True)
    table.to_csv(FOLDER / f"{name}.csv", index=False, float_format=f"%.{digits + 1}g")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.{digits}g}"))
    return table
