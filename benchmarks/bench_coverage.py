"""How often the 95 % intervals hold the true value, on made-up scores whose true value is known.

    python benchmarks/bench_coverage.py [--sets 1000] [--resamples 1000]

Women have two views of one finding; its two scores correlate (.5) and are normal, so that AUC and
TNR of all women are known.  A quarter of the women have a malignant finding.  The design of a row
is fixed, so that all its sets share their resamples; each set has scores of its own seed.

Leaves ``figures/benchmarks/coverage.csv`` and ``coverage.md``.  A coverage of .95 from 1,000 sets
has a standard error of .007.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import timing
from scipy.special import ndtr, ndtri

from lesionlib.metrics import auc, delong, resampling, roc
from lesionlib.seeds import rng
from study.intervals.bca import auc_without_each, bca_ends
from study.intervals.run_intervals import runs_interval, t_interval, two_level
from study.intervals.thresholds import carried_over

AUC, AUC_OTHER, ICC, SHARED, FNR = 0.8, 0.75, 0.5, 0.6, 0.02
RUNS, RUN_SD = 3, 0.15  # SD over runs of the distance between the kinds
LESIONS, WOMEN = (10, 30, 100), (36, 100, 260)
ENDS = (0.025, 0.975)
Rows = Iterator[tuple[str, float, float, float]]  # method, low, high, true value


def distance(value: float) -> float:
    """Between the means of the two kinds, in SD of a score, for an AUC."""
    return np.sqrt(2) * ndtri(value)


def design(malignant: int, benign: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and woman of the lesions, for these numbers of women."""
    woman = np.arange(malignant + benign).repeat(2)
    return woman < malignant, woman


def noise(draw: np.random.Generator, woman: np.ndarray) -> np.ndarray:
    """Of variance 1; a woman's lesions share the part ICC."""
    own, shared = draw.normal(size=woman.size), draw.normal(size=woman.max() + 1)
    return np.sqrt(1 - ICC) * own + np.sqrt(ICC) * shared[woman]


def two_models(draw, truth, woman) -> tuple[np.ndarray, np.ndarray]:
    """Scores of AUC and AUC_OTHER whose noise correlates (SHARED)."""
    common, *own = (noise(draw, woman) for _ in range(3))
    mixed = (np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * x for x in own)
    return tuple(truth * distance(v) + x for v, x in zip((AUC, AUC_OTHER), mixed, strict=True))


def without_each(woman: np.ndarray) -> np.ndarray:
    """`times` that leave one woman out after the other: (lesions, women)."""
    return (woman[:, None] != np.arange(woman.max() + 1)).astype(np.int32)


def tnr(truth, score, times=None):
    return roc.tnr_at(truth, score, FNR, times)[..., 0]


def auc_intervals(draw, truth, woman, resamples: int) -> Rows:
    """Of an AUC and of the gain of one model over another."""
    scores = two_models(draw, truth, woman)
    found = [resampling.resampled(truth, s, woman, "auc", resamples) for s in scores]
    values, drawn = zip(*found, strict=True)
    each = [auc_without_each(truth, s, woman) for s in scores]
    gain = values[0] - values[1], drawn[0] - drawn[1], each[0] - each[1]
    cases = (("AUC", AUC, scores[:1], (values[0], drawn[0], each[0])),
             ("gain", AUC - AUC_OTHER, scores, gain))  # fmt: skip
    for name, true, models, found in cases:
        yield f"{name}: percentile", *np.quantile(found[1], ENDS), true
        yield f"{name}: BCa", *bca_ends(*found), true
        for method, of in (("DeLong, lesions independent", None), ("clustered DeLong", woman)):
            normal = delong(truth, *models, patient=of)
            yield f"{name}: {method}", normal.low, normal.high, true


def tnr_intervals(draw, truth, woman, resamples: int) -> Rows:
    """Of the TNR at FNR, at thresholds of the same lesions and of other women."""
    a, other = (truth * distance(AUC) + noise(draw, woman) for _ in range(2))
    true = ndtr(distance(AUC) + ndtri(FNR))
    value, drawn = resampling.resampled(truth, a, woman, tnr, resamples)
    yield "TNR: percentile", *np.quantile(drawn, ENDS), true
    left_out = tnr(truth, a, without_each(woman))
    yield "TNR: BCa", *bca_ends(value, drawn, left_out), true
    row = carried_over((truth, other, woman), (truth, a, woman), FNR, resamples).iloc[0]
    yield "TNR: threshold carried over", row["tnr_low"], row["tnr_high"], true
    at = lambda t, s, times=None: below(t, s, row["threshold"], times)  # noqa: E731
    _, drawn = resampling.resampled(truth, a, woman, at, resamples)
    yield "TNR: threshold carried over, taken as known", *np.quantile(drawn, ENDS), true


def below(truth, score, threshold, times=None):
    """Share of benign lesions below a threshold."""
    often = np.ones(truth.size, int) if times is None else times
    spared = (score < threshold)[~truth]
    return spared @ often[~truth] / often[~truth].sum(axis=0)


def run_intervals(draw, truth, woman, resamples: int) -> Rows:
    """Of the mean AUC over runs: a run adds to the distance, and has noise of its own."""
    common = noise(draw, woman)
    far = distance(AUC) + RUN_SD * draw.normal(size=RUNS + 1)
    own = draw.normal(size=(truth.size, RUNS + 1))
    every = truth[:, None] * far + (np.sqrt(SHARED) * common)[:, None] + np.sqrt(1 - SHARED) * own
    runs, next_run = every[:, :RUNS], auc(truth, every[:, RUNS])
    each = [auc(truth, s) for s in runs.T]
    true = ndtr(distance(AUC) / np.sqrt(2 + RUN_SD**2))
    over = two_level(truth, runs, woman, n=resamples)
    yield f"mean of {RUNS} runs: runs and patients", over.low, over.high, true
    drawn = np.mean([resampling.resampled(truth, s, woman, n=resamples)[1] for s in runs.T], axis=0)
    yield f"mean of {RUNS} runs: patients only", *np.quantile(drawn, ENDS), true
    t, described = t_interval(each), runs_interval(each)
    yield f"mean of {RUNS} runs: t over runs only", t.low, t.high, true
    name = f"next run, same lesions: mean ± 1.96 SD of {RUNS}"
    yield name, described.low, described.high, next_run


def simulate(kind: Callable, women: tuple[int, int], sets: int, resamples: int) -> pd.DataFrame:
    """Coverage of each method over sets of one design, mean width, and misses on either side."""
    truth, woman = design(*women)
    rows = []
    for k in range(sets):
        draw = rng(1, kind.__name__, *women, k)
        rows += kind(draw, truth, woman, resamples)
    table = pd.DataFrame(rows, columns=["interval", "low", "high", "true"])
    table["above"], table["below"] = table["true"] > table["high"], table["true"] < table["low"]
    table["coverage"] = ~(table["above"] | table["below"])
    table["width"] = table["high"] - table["low"]
    columns = ["coverage", "above", "below", "width"]
    return table.groupby("interval", sort=False)[columns].mean().reset_index()


def measure(sets: int, resamples: int, lesions=LESIONS, women=WOMEN) -> pd.DataFrame:
    """One row per design and interval: its coverage, and the share of true values on either side."""
    designs = [(auc_intervals, f"{m} malignant, {3 * m} benign lesions", (m // 2, 3 * m // 2))
               for m in lesions]  # fmt: skip
    by_women = [(f"{n} women, {n // 4 * 2} malignant lesions", (n // 4, n - n // 4)) for n in women]
    designs += [(tnr_intervals, *each) for each in by_women]
    designs += [(run_intervals, *each) for each in by_women]
    parts = []
    for kind, name, counts in designs:
        part = simulate(kind, counts, sets, resamples)
        part.insert(0, "set", name)
        parts.append(part.assign(sets=sets))
        print(part.to_string(index=False), flush=True)
    return pd.concat(parts, ignore_index=True)


def markdown(table: pd.DataFrame) -> str:
    """Coverage: a row per interval, a column per size."""
    lines, turn = [], table.assign(size=table.groupby("interval").cumcount())
    for interval, rows in turn.groupby("interval", sort=False):
        cells = [f"{x.coverage:.3f} ({x.set.split(',')[0]})" for x in rows.itertuples()]
        lines.append(f"| {interval} | " + " | ".join(cells) + " |")
    head = "| interval | small | middle | large |\n|---|---|---|---|"
    sets = table["sets"].iloc[0]
    text = f"Coverage of 95 % intervals over {sets:,} made-up sets a row (`bench_coverage.py`).\n\n"
    return "\n".join([text + head, *lines]) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=1000, help="made-up sets a row (1000)")
    parser.add_argument("--resamples", type=int, default=1000, help="of each interval (1000)")
    args = parser.parse_args(argv)
    warnings.filterwarnings("ignore", "no variance")  # small sets separate perfectly now and then
    table = timing.report("coverage", measure(args.sets, args.resamples))
    (timing.FOLDER / "coverage.md").write_text(markdown(table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
