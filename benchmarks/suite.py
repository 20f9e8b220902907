"""Run every benchmark of this folder, then make one figure and one table of what they measured.

    python benchmarks/suite.py [NAME ...] [--only-draw]

Each ``bench_<name>.py`` has a process of its own (`bench_gpu`, `bench_coverage` and `bench_scale`
only where they are named) and leaves ``figures/benchmarks/*.csv``.  Of these files, whichever are
there, come benchmarks.png and benchmarks.md, which README shows.  A plain runner: pytest-benchmark
times one case after the other and asv one commit after the other, but on a machine with other work
only cases that run in turns can be compared.

A file with a column ``of_ours`` or ``times faster`` holds ratios: its rows are cases, named in the
first column, and the number is the time of each as a multiple of ours.  Files with a column
``against`` hold costs of a window.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import timing

from study.plots import style

HERE = Path(__file__).resolve().parent
NAMED = ("gpu", "coverage", "scale")  # run only where named: of another machine; not of speed alone
# titles of what is compared, by file; a file without one is named as it is
TITLES = {"patches": "cut a patch of 256 px", "statistics": "600 lesions, 2,000 resamples"}
TITLES |= {"fagg": "an epoch of f_agg", "gmic": "GMIC at 2944 x 1920 px", "demo": "make demo"}
RATIO = ["of_ours", "times faster"]
START, END = "<!-- benchmarks -->\n", "<!-- end of benchmarks -->\n"


def run(names: list[str]) -> list[str]:
    """Run the benchmarks of these names; those that failed."""
    failed = []
    for name in names:
        print(f"\n{name}", flush=True)
        one = {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"} | dict(os.environ)
        if subprocess.call([sys.executable, HERE / f"bench_{name}.py"], env=one):
            failed.append(name)
    return failed


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ratios (what, case, times) and costs (step, against, at, us per window) of all files."""
    ratios, costs = [], []
    for file in sorted(folder.glob("*.csv")):
        table = pd.read_csv(file)
        for column in table.columns.intersection(RATIO):
            of = {"what": TITLES.get(file.stem, file.stem), "case": table.iloc[:, 0]}
            ratios.append(pd.DataFrame(of | {"times": table[column]}))
        if "against" in table:
            costs.append(table)
        if file.stem == "large":
            facts = {"step": "draw", "against": "images", "at": table["images"]}
            costs.append(pd.DataFrame(facts | {"us per window": table["epoch (s)"] * 100}))
    empty = (pd.DataFrame(columns=["what", "case", "times"]), pd.DataFrame(columns=["against"]))
    return tuple(
        pd.concat(x) if x else none for x, none in zip((ratios, costs), empty, strict=True)
    )


def markdown(ratios: pd.DataFrame, costs: pd.DataFrame) -> str:
    """The table that README shows: times of ours, and what a window costs at most."""
    lines = ["| what | compared with | time, as a multiple of ours |", "|---|---|---|"]
    for row in ratios[~ratios["case"].eq("ours")].itertuples():
        lines.append(f"| {row.what} | {row.case} | {row.times:.3g} |")
    images = costs[costs["against"].eq("images")]
    if len(images):
        first, last = images.iloc[images["at"].argmin()], images.iloc[images["at"].argmax()]
        times = last["us per window"] / first["us per window"]
        seconds = last["us per window"] / 100
        what = f"draw 10,000 windows of {last['at']:,.0f} images ({seconds:.2g} s)"
        lines.append(f"| {what} | of {first['at']:,.0f} images | {1 / times:.2g} |")
    return "\n".join(lines) + "\n"


def draw(ratios: pd.DataFrame, costs: pd.DataFrame):
    """Ratios as bars on the left, costs as lines on the right."""
    style.use()
    kinds = sorted(set(costs["against"]), key=list(LABELS).index)
    figure = style.new_figure(style.PAGE, max(3.2, 1.2 + 0.2 * len(ratios)))
    left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
    if len(ratios):
        _bars(left.subplots(), ratios)
    places = right.subplots(2, 2).flat
    for ax, against in zip(places, kinds, strict=False):
        _lines(ax, costs[costs["against"].eq(against)], against)
    for ax in right.axes[len(kinds) :]:
        ax.remove()
    right.suptitle("Cost of one window: drawn (circles), its patch cut (squares)", fontsize=8)
    return figure


def _bars(ax, ratios: pd.DataFrame) -> None:
    names, notes, times = [], [], []
    for what, rows in ratios[~ratios["case"].eq("ours")].groupby("what", sort=False):
        names += [what, *(f"{case}   " for case in rows["case"])]
        notes += ["", *(f"{value:.3g} x" for value in rows["times"])]
        times += [1, *rows["times"]]
    colours = [style.BLUE if value > 1 else "0.6" for value in times]
    ax.barh(range(len(times)), [value - 1 for value in times], left=1, color=colours, height=0.6)
    ax.axvline(1, color="0.2", linewidth=0.8)
    style.rows(ax, names, notes)
    for label, note in zip(ax.get_yticklabels(), notes, strict=True):
        label.set_fontweight("normal" if note else "bold")
    ax.tick_params("y", length=0)
    ax.set(xscale="log", xlabel="time as a multiple of ours (log scale)")
    ax.set_title("What others take, ours = 1 (blue: ours is faster)", loc="right")


LABELS = {"images": "images in the store", "windows": "windows at a time"}
LABELS |= {"canvas": "rows of the canvas (px)", "workers": "threads"}


def _lines(ax, costs: pd.DataFrame, against: str) -> None:
    for step, rows in costs.groupby("step"):
        look = {"draw": "o-", "cut": "s--"}[step]
        ax.plot(rows["at"], rows["us per window"] / 1e3, look, color=style.BLUE)
    ax.set(xscale="log", xlabel=LABELS[against], ylabel="ms")
    ax.set_ylim(0, 1.15e-3 * costs["us per window"].max())
    if len(at := sorted(set(costs["at"]))) < 4:
        ax.set_xticks(at, [f"{value:,.0f}" for value in at])
        ax.minorticks_off()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = sorted(file.stem[6:] for file in HERE.glob("bench_*.py"))
    usual = [name for name in known if name not in NAMED]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--only-draw", action="store_true", help="from the files that are there")
    args = parser.parse_args(argv)
    if unknown := set(args.names) - set(known):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: name some of {', '.join(known)}")
    failed = [] if args.only_draw else run(args.names or usual)
    found = read(timing.FOLDER)
    timing.FOLDER.mkdir(parents=True, exist_ok=True)
    (timing.FOLDER / "benchmarks.md").write_text(text := markdown(*found), encoding="utf-8")
    draw(*found).savefig(timing.FOLDER / "benchmarks.png")
    readme = HERE.parent / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    if timing.FOLDER.parents[1] == HERE.parent and END in rest:
        readme.write_text(before + START + text + END + rest.partition(END)[2], encoding="utf-8")
    print(f"\n{text}" + (f"\nfailed: {', '.join(failed)}" if failed else ""))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
