"""GMIC at full size (2944 x 1920 px, 14,110,322 weights) on the CPU, against the published way.

    python benchmarks/bench_gmic.py [--rows 2944] [--cols 1920] [--turns 5]

One image in evaluation: the whole network, and the saliency maps alone.  The published way is the
same operations unfused, as published: convolution, batch norm, ReLU and torch's pool one after the
other on rows of pixels, without gradients.  (The published code itself is not at hand; this is our
network with torch's pools, and `tests/lesionlib/models/golden` holds that its numbers are the
published ones.)  Against it: the network as it is now, with the same bits, and its copy
`for_inference`, with the same maps and predictions within 2e-5, which is "ours".

With 1 and 2 threads the cases run in turns.  Times are seconds of CPU, ratios the median over the
turns; memory is the most of a process that does one case alone, once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import pandas as pd
import torch
from timing import most_memory, report
from torch import nn

from lesionlib.models.gmic import GMIC, for_inference

CASES = ("ours", "same bits, unfused", "as published, unfused")
PARTS = ("whole", "maps")
THREADS = (1, 2)


def network(case: str) -> GMIC:
    """With the same random weights in every case."""
    torch.manual_seed(1)
    model = GMIC().eval()
    if case == "as published, unfused":
        model.global_network.pool = nn.MaxPool2d(3, 2)
        model.local_network.maxpool = nn.MaxPool2d(3, 2, padding=1)
    return for_inference(model) if case == "ours" else model


@torch.no_grad()
def measure(rows: int, cols: int, turns: int) -> dict[str, list[float]]:
    """CPU seconds by "case/part", one number per turn; all agree with the first within 2e-5."""
    images = torch.randn(1, 1, rows, cols, generator=torch.Generator().manual_seed(2))
    models = {case: network(case) for case in CASES}
    maps = [model.saliency(images) for model in models.values()]
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0], atol=2e-5, rtol=0)
    took = {f"{case}/{part}": [] for case in CASES for part in PARTS}
    for _ in range(1 + turns):
        for case, model in models.items():
            for part, work in zip(PARTS, (model, model.saliency), strict=True):
                start = time.process_time()
                work(images)
                took[f"{case}/{part}"].append(time.process_time() - start)
    return {name: seconds[1:] for name, seconds in took.items()}


@torch.no_grad()
def memory(rows: int, cols: int, case: str) -> float:
    """The most memory of this process (GiB) after one image."""
    network(case)(torch.randn(1, 1, rows, cols))
    return most_memory()


def in_process(threads: int, *given: object):
    """What a process of its own answers, with so many threads."""
    line = [sys.executable, __file__, "--process", *map(str, given)]
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    return json.loads(subprocess.run(line, env=env, check=True, capture_output=True).stdout)


def table(rows: int, cols: int, turns: int) -> pd.DataFrame:
    """A row per number of threads and case; times of the others as multiples of ours."""
    used = {case: in_process(1, "memory", rows, cols, case) for case in CASES}
    lines = []
    for threads in THREADS:
        took = pd.DataFrame(in_process(threads, "measure", rows, cols, turns))
        for case in CASES:
            whole, maps = (took[f"{case}/{part}"] / took[f"ours/{part}"] for part in PARTS)
            name = case if case == "ours" else f"{case}, {threads} thread{'s' * (threads > 1)}"
            line = {"case": name, "of_ours": whole.median(), "maps, of ours": maps.median()}
            line |= {"memory, of ours": used[case] / used["ours"], "threads": threads}
            line |= {f"{part} (CPU s)": took[f"{case}/{part}"].median() for part in PARTS}
            lines.append(line | {"memory (GiB)": used[case]})
    return pd.DataFrame(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2944, help="px (2944)")
    parser.add_argument("--cols", type=int, default=1920, help="px (1920)")
    parser.add_argument("--turns", type=int, default=5, help="timed runs of each case (5)")
    args = parser.parse_args(argv)
    print(f"GMIC, {args.rows} x {args.cols} px; load of this machine {os.getloadavg()[0]:.1f}")
    report("gmic", table(args.rows, args.cols, args.turns))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--process"]:
        work, rows, cols, last = sys.argv[2:]
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        answer = {"measure": lambda: measure(int(rows), int(cols), int(last))}
        answer |= {"memory": lambda: memory(int(rows), int(cols), last)}
        print(json.dumps(answer[work]()))
        sys.exit()
    sys.exit(main())
