"""Seconds and memory of GMIC at full size (2944 x 1920 px, 14,110,322 weights) on the CPU.

    python benchmarks/bench_gmic.py

One image and four in evaluation, and a training step of one image, each in a process of its own
with 1 and with 2 threads: the median of five calls after the first, and the process's most memory.
Limits on two cores: 1 s and 1 GiB for one image in evaluation.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time

CASES = (("evaluation", 1), ("evaluation", 4), ("training", 1))
CALLS = 5


def measure(mode: str, batch: int, threads: int) -> str:
    """One line of the table, measured in this process."""
    import torch

    from lesionlib.models.gmic import GMIC, gmic_loss_terms

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model, images = GMIC(), torch.randn(batch, 1, 2944, 1920)
    optimiser = torch.optim.Adam(model.parameters(), 1e-5)
    labels = torch.zeros(batch, 2)

    def evaluation() -> None:
        with torch.no_grad():
            model.eval()(images)

    def training() -> None:
        optimiser.zero_grad()
        terms = gmic_loss_terms(model.train()(images), labels, beta=1e-4, sparsity=1.0)
        sum(terms.values()).backward()
        optimiser.step()

    step, took = {"evaluation": evaluation, "training": training}[mode], []
    for _ in range(1 + CALLS):
        start = time.perf_counter()
        step()
        took.append(time.perf_counter() - start)
    unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux KiB
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    median = statistics.median(took[1:])
    return f"{mode:12}{batch:6}{threads:9}{took[0]:11.2f}{median:11.2f}{memory:15.2f}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
        sys.exit()
    print(f"GMIC, 2944 x 1920 px; load of this machine {os.getloadavg()[0]:.1f}")
    print("            images  threads  first (s)  usual (s)   memory (GiB)")
    for mode, batch in CASES:
        for threads in ("1", "2"):
            line = [sys.executable, __file__, mode, str(batch), threads]
            subprocess.run(line, env=os.environ | {"OMP_NUM_THREADS": threads}, check=True)
