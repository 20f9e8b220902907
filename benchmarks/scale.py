"""The tables of docs/scale.md: what the experiment `nyu` costs at the paper's size.

    python benchmarks/scale.py

Counted from the settings of `experiments/nyu.yaml`, the paper's numbers of images and lesions, the
rates in ``figures/benchmarks/*.csv``, and the assumptions of this file: nothing is timed here.
Where `make bench-gpu` has left ``gpu.csv``, the rates of that GPU take the place of the assumed
share of a peak.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import timing

from lesionlib.maps import COMBINATIONS
from lesionlib.sampling import ROW
from study.settings import PAPER_BACKBONES, load_experiment

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
BLOCK = re.compile(r"(<!-- scale: (\w+) -->\n).*?(\n<!-- end -->)", re.DOTALL)
TB, GB, MB, HOUR = 1e12, 1e9, 1e6, 3600

# of the paper; an image with both kinds of lesion counts twice
IMAGES, NEGATIVE, ANNOTATED, VALIDATION = 1_001_093, 808_730, 5_188 + 1_648, 687 + 110
LESIONS = {"training": 7_392, "validation": 850, "test": 600}
FILM = 2000 * 3000 * 2  # bytes: "about 2000 x 3000 px"
ARMS = [name for name in PAPER_BACKBONES for _ in ("imagenet", "he")]  # figure 6

# assumed: change them here, and run this file
GPU, PEAK = "A100 of 80 GB", 312e12  # operations per second in bf16, its maker's figure
SHARES = (0.03, 0.1, 0.3)  # of the peak
STEP = 5e-3  # s: no training step is shorter, since its kernels are started one after the other
STOPPED = 0.5  # share of the most epochs at which a training stops by itself
GPU_PRICE, DISK_PRICE, MONTHS = 2.0, 25.0, 3  # dollars per GPU-hour, per TB and month
DISKS = {"hard disks over a network": 0.2, "one SATA flash disk": 0.5, "one NVMe disk": 3.0}
DISKS["parallel file system"] = 10.0  # GB per second, large reads
NETWORK_STAT = 0.5e-3  # s per file, where films are on a network file system

NYU = load_experiment("nyu")
MEASURED, DERIVED, ASSUMED = "measured", "derived", "assumed"


def rates(name: str) -> pd.DataFrame:
    """A table of figures/benchmarks, by its first column."""
    return pd.read_csv(timing.FOLDER / f"{name}.csv", index_col=0)


def one(name: str) -> float:
    return float(rates("one_image").at[name, "value"])


# ------------------------------------------------------------------ counts
CANVAS = NYU.canvas.rows * NYU.canvas.cols * 2  # bytes
BREAST = CANVAS // 2 // 16
CELLS = NYU.canvas.map_shape[0] * NYU.canvas.map_shape[1]
EPOCH = sum(NYU.floc.epoch)
SCORED = (LESIONS["validation"] + LESIONS["test"]) * NYU.evaluation.windows_per_lesion
POOL = LESIONS["training"] * NYU.fagg.pool_windows
POOL += NYU.fagg.pool_epochs * sum(NYU.fagg.epoch[2:])
STORE = IMAGES * (CANVAS + BREAST)
GMIC_EPOCH = NEGATIVE + ANNOTATED


def works() -> pd.DataFrame:
    """What is trained or scored: trainings, epochs at most, inputs of an epoch, FLOP in all."""
    flop = rates("operations") * 1e9
    judged = {
        n: LESIONS["validation"] * getattr(NYU, n).windows_validation for n in ("floc", "fagg")
    }
    rows = []

    def add(what, network, trainings, epochs, trained, forward, scored=0):
        training, once = (flop.at[network, name] for name in ("training", "forward"))
        epoch = trained * training + forward * once
        total = trainings * (epochs * epoch + scored * once)
        rows.append((what, network, trainings, epochs, trained, epoch, total))

    s, e = NYU, NYU.floc.backbone
    add("search of f_loc's rate", e, s.search.trials, s.search.epochs, EPOCH, judged["floc"])
    for arm in PAPER_BACKBONES:
        runs = s.architectures.runs * ARMS.count(arm)
        add(f"figure 6: {arm}", arm, runs, s.architectures.epochs, EPOCH, judged["floc"], SCORED)
    add("f_loc", e, s.floc.runs, s.floc.epochs, EPOCH, judged["floc"], SCORED)
    add("windows of the pool by f_loc", e, 1, 0, 0, 0, POOL)
    add("GMIC", "gmic", s.gmic.runs, s.gmic.epochs, GMIC_EPOCH, VALIDATION)
    rows.append(("saliency maps", "gmic", 1, 0, 0, 0, IMAGES * flop.at["gmic saliency", "forward"]))
    epoch, scored = sum(s.fagg.epoch), SCORED
    add("search of f_agg's rate", "fagg", s.search.trials, s.search.epochs, epoch, judged["fagg"])
    runs = len(COMBINATIONS) * s.fagg.runs
    add("f_agg", "fagg", runs, s.fagg.epochs, epoch, judged["fagg"], scored)
    names = ["what", "network", "trainings", "epochs", "inputs", "epoch", "most"]
    table = pd.DataFrame(rows, columns=names)
    batch = {"gmic": NYU.gmic.batch, "fagg": NYU.fagg.batch}
    batches = table["inputs"] // table["network"].map(lambda name: batch.get(name, NYU.floc.batch))
    steps, epochs = (
        batches * table["epochs"] * table["trainings"],
        table["trainings"] * table["epochs"],
    )
    # where trainings stop by themselves
    table["stopped"] = table["most"] - epochs * table["epoch"] * (1 - STOPPED)
    return table.assign(most_steps=steps, stopped_steps=steps * STOPPED)


def speeds(network: str) -> list[float]:
    """FLOP per second at each share of the peak; of a measured GPU, three times the same."""
    if not (timing.FOLDER / "gpu.csv").is_file():
        return [share * PEAK for share in SHARES]
    known = {"gmic": "gmic", "fagg": "f_agg"}
    return [rates("gpu").at[known.get(network, "f_loc cut"), "TFLOP/s"] * 1e12] * len(SHARES)


def gpu_hours(table: pd.DataFrame, column: str, k: int) -> pd.Series:
    """Hours of each row; column : most or stopped.  k : which share of the peak."""
    computing = table[column] / table["network"].map(lambda name: speeds(name)[k])
    return np.maximum(computing, table[f"{column}_steps"] * STEP) / HOUR


# ------------------------------------------------------------------ tables
def markdown(head: str, rows: list) -> str:
    names = head.split(" | ")
    lines = [f"| {head} |", "|---" * len(names) + "|"]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows])


def size(count: float) -> str:
    """A number of bytes with its unit."""
    unit = next((u for u in ("TB", "GB", "MB") if count >= {"TB": TB, "GB": GB, "MB": MB}[u]), "kB")
    return f"{count / {'TB': TB, 'GB': GB, 'MB': MB, 'kB': 1e3}[unit]:.3g} {unit}"


def hours(seconds: float) -> str:
    """A time with its unit."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    if seconds < 2 * HOUR:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 72 * HOUR else f"{seconds / HOUR / 24:.1f} days"


def assumptions() -> str:
    shares = ", ".join(f"{share:.0%}" for share in SHARES)
    rows = [("GPU", f"{GPU}, {PEAK / 1e12:.0f} TFLOP/s in bf16 by its maker")]
    rows += [("share of that peak that a training reaches", shares)]
    rows += [("least time of a training step, for the start of its kernels", f"{STEP * 1e3:g} ms")]
    rows += [("epochs after which a training stops, of the most", f"{STOPPED:.0%}")]
    rows += [("price of a GPU-hour, of a TB for a month", f"${GPU_PRICE:g}, ${DISK_PRICE:g}")]
    rows += [("months that the store is kept", MONTHS)]
    rows += [(f"{name}, large reads", f"{rate:g} GB/s") for name, rate in DISKS.items()]
    rows += [("asking a network file system for one file's state", f"{NETWORK_STAT * 1e3:g} ms")]
    return markdown("assumed | value", rows)


def sizes() -> str:
    work, state = works(), rates("operations")
    kept = sum(
        4 * state.at[row.network, "state"] * row.trainings
        for row in work.itertuples()
        if row.epochs
    )
    big = state.loc[NYU.floc.backbone]
    rows = [
        ("films, unpacked, at 2000 x 3000 px of 16 bits", IMAGES * FILM, DERIVED),
        (f"`canvases.npy`: {IMAGES:,} canvases of {NYU.canvas.rows} x {NYU.canvas.cols} px, 16 bits",
         IMAGES * CANVAS, DERIVED),
        (f"of these, with training lesions, at most {ANNOTATED:,}", ANNOTATED * CANVAS, DERIVED),
        ("`breasts.npy`: masks, a quarter of the side, a byte each", IMAGES * BREAST, DERIVED),
        ("journal of the build", IMAGES * one("journal on disk"), "derived from a measured line"),
        ("saliency maps, two of each image, float32", IMAGES * 2 * CELLS * 4, DERIVED),
        (f"location maps of {POOL + SCORED:,} stored windows, float32", (POOL + SCORED) * CELLS * 4,
         DERIVED),
        ("tables of these windows, before compression", (POOL + SCORED) * ROW.itemsize, DERIVED),
        ("h and logits of these windows by one f_loc", (POOL + SCORED) * 36 * 4, DERIVED),
        ("weights of one f_loc (DenseNet-161)", 4 * big["state"], DERIVED),
        ("its state between epochs: weights, best weights, two moments of Adam",
         4 * (2 * big["state"] + 2 * big["parameters"]), DERIVED),
        ("weights of all trainings", kept, DERIVED),
    ]  # fmt: skip
    return markdown("what | size | how known", [(a, size(b), c) for a, b, c in rows])


def trainings() -> str:
    rows = []
    for row in works().itertuples():
        epoch = (f"{row.epochs}", f"{row.inputs:,}") if row.epochs else ("", "")
        count = row.trainings if row.epochs else ""
        rows.append(
            (row.what, count, *epoch, f"{row.most / 1e18:.3g}", f"{row.stopped / 1e18:.3g}")
        )
    head = "what | trainings | epochs at most | inputs of an epoch | EFLOP at most"
    return markdown(f"{head} | EFLOP, stopped at {STOPPED:.0%}", rows)


def money() -> str:
    table = works()
    found = pd.DataFrame({str(k): gpu_hours(table, "stopped", k) for k in range(len(SHARES))})
    found["most"] = gpu_hours(table, "most", 1)
    total = found.groupby(table["what"].str.partition(":")[0], sort=False).sum()
    total.loc["**all**"] = total.sum()
    rows = [
        (
            what,
            *(f"{v:,.{max(0, 1 - int(np.log10(v)))}f}" for v in row),
            f"${GPU_PRICE * row['1']:,.0f}",
        )
        for what, row in total.iterrows()
    ]
    kept = STORE + IMAGES * FILM
    cost = kept / TB * DISK_PRICE * MONTHS
    rows.append(
        (f"films and store, {size(kept)} for {MONTHS} months", "", "", "", "", f"${cost:,.0f}")
    )
    shares = " | ".join(f"GPU-hours at {share:.0%}" for share in SHARES)
    return markdown(
        f"what | {shares} | no early stop, {SHARES[1]:.0%} | money at {SHARES[1]:.0%}", rows
    )


def reading() -> str:
    table = works().set_index("what")
    negative = NYU.floc.epoch[3]
    loads = {
        "GMIC, an epoch: whole canvases": (GMIC_EPOCH * CANVAS, table.loc["GMIC"]),
        "f_loc, an epoch: pages of its negative windows": (negative * one("pages"), None),
        "the same with the read-ahead of the disk measured": (negative * one("window read"), None),
        "f_loc, an epoch: masks of the breasts on which these are drawn": (negative * BREAST, None),
        "saliency maps, once: whole canvases": (IMAGES * CANVAS, table.loc["saliency maps"]),
        "digest of the finished store, once": (STORE, "digest"),
    }
    rows = []
    for what, (load, work) in loads.items():
        need = ""
        if isinstance(work, str):
            need = 1 / one("digest")
        else:
            work = table.loc["f_loc"] if work is None else work
            seconds = (work["epoch"] or work["most"]) / speeds(work["network"])[1]
            need = load / GB / seconds
        times = [hours(load / GB / rate) for rate in DISKS.values()]
        rows.append((what, size(load), f"{need:.2g} GB/s", *times))
    return markdown(f"what | from disk | to keep up | {' | '.join(DISKS)}", rows)


def processors() -> str:
    large, manifest = rates("large").loc[1e6], rates("manifest").iloc[0]
    patch, workers = rates("patches").at["ours", "ms"] / 1e3, NYU.compute.workers
    standard, start = one("standardise"), large["open (s)"] + large["digest (s)"]
    rows = [
        ("check and split the manifest", hours(manifest["validate (s)"] + manifest["split (s)"]),
         f"measured, {manifest['memory (GiB)']:.2g} GiB"),
        ("prepare all canvases, one core", hours(IMAGES * one("prepare")), "derived from 8 films"),
        (f"the same, {workers} cores", hours(IMAGES * one("prepare") / workers),
         "derived, if disks keep up"),
        ("SHA-256 of the finished store, one core", hours(STORE / GB * one("digest")),
         "derived from a measured rate"),
        ("a process opens the store and digests its tables", hours(start),
         f"measured, {large['GiB']:.2g} GiB"),
        ("and asks for the state of every film, local disk", hours(IMAGES * one("file states")),
         "derived from 20,000 files"),
        ("the same, network file system", hours(IMAGES * NETWORK_STAT), ASSUMED),
        ("draw an epoch of windows, masks in memory", hours(large["epoch (s)"]), MEASURED),
        ("cut its patches, one core", hours(EPOCH * patch), "derived from a measured rate"),
        ("standardise GMIC's images, an epoch, one core", hours(GMIC_EPOCH * standard),
         "derived from a measured rate"),
        (f"the same, {workers} threads", hours(GMIC_EPOCH * standard / workers),
         "derived, if threads scale"),
        ("the same of all images, for the saliency maps: one thread", hours(IMAGES * standard),
         "derived from a measured rate"),
        ("an interrupted build reads its journal, one core", hours(IMAGES * one("journal")),
         f"derived; {size(IMAGES * one('journal in memory'))} of memory"),
    ]  # fmt: skip
    return markdown("what | time | how known", rows)


def breaks() -> str:
    """Where this size first hurts, in the order in which a run meets it."""
    slow, fast = (DISKS[name] for name in ("hard disks over a network", "one NVMe disk"))
    epoch, epochs = GMIC_EPOCH * CANVAS / GB, NYU.gmic.epochs
    jobs = len(PAPER_BACKBONES) * 2 + 2 * NYU.search.trials + NYU.floc.runs + len(COMBINATIONS) + 16
    ask = IMAGES * NETWORK_STAT
    pixels = 64 * 64
    rows = [
        ("`canvases.npy` is one file",
         f"{size(IMAGES * CANVAS)}: it cannot be spread over disks, and ext4 with its usual blocks ends "
         "at 16 TiB",
         "XFS or a parallel file system; a volume over several disks. A store of several files is "
         "not built"),
        ("the build's journal is read into memory",
         f"{size(IMAGES * one('journal in memory'))} at the end, in the process that writes",
         "memory of a large machine does; nothing to change"),
        ("the finished store is digested by one core",
         f"{hours(STORE / GB * one('digest'))}, and again after a copy that does not keep times",
         "copy with `cp -a` or `rsync -a`; without `VERIFY=1` only sizes and times are compared"),
        ("`data-check` with `PIXELS=1` compares every image with every other",
         f"{2 * IMAGES**2 * pixels / 1e15:.2g} PFLOP and {size(IMAGES * pixels * 4)} of thumbnails",
         "without `PIXELS`, or of a sample; a run does not do it"),
        ("each process asks for the state of every film",
         f"{hours(IMAGES * one('file states'))} on a local disk; over a network, at the assumed "
         f"{NETWORK_STAT * 1e3:g} ms a film, {hours(ask)}, so {hours(ask * jobs)} in about {jobs} jobs, "
         "with a GPU waiting in most of them",
         "films on a local file system, or fewer jobs; an index of states is not built"),
        ("the look for new files in the data folder ends at 50,000 entries",
         f"{50_000 / IMAGES:.0%} of the films; a changed film is still noticed by its state, a table in "
         "the folder itself too, where films are in folders below it",
         "name a new film in `images.csv`, and the set is read anew"),
        ("**GMIC reads every training image in every epoch**",
         f"{size(epoch * GB)} an epoch, more than any memory keeps: {hours(epoch / slow)} on hard disks "
         f"over a network, {hours(epoch / slow * epochs)} for {epochs} epochs; on one NVMe disk "
         f"{hours(epoch / fast)} and {hours(epoch / fast * epochs)}",
         "flash in the machine itself, as here no other disk keeps a GPU busy; fewer negative images "
         "in `images.csv` (another experiment than the paper's, to be said); or GMIC's published "
         "weights, `gmic: {initialisation: file}`, and few epochs"),
        ("an epoch of GMIC is the unit of what a kill loses",
         f"at most {hours(epoch / slow)} on hard disks, since a run goes on from its last whole epoch",
         "jobs longer than an epoch; no checkpoint within one is written"),
        ("GMIC's batch of 16 whole images", "memory of the GPU not measured", "lower `gmic.batch`"),
        ("one training uses one GPU, unless `compute.devices` says more",
         "GMIC's is the longest; several GPUs were not tried, two processes on a CPU were",
         "the trials, arms and runs of f_loc go side by side on other GPUs, meanwhile"),
        ("saliency maps are made of all images, by one thread that does not read ahead",
         f"{hours(IMAGES * one('standardise'))} to standardise them, reading not counted, and "
         f"{size(IMAGES * 2 * CELLS * 4)} of memory",
         "once in an experiment; given maps (`fagg.saliency_file`) are refused above 268 MB"),
        ("the kernel reads ahead of a window",
         f"{size(one('window read'))} read for a window whose box has {size(one('window'))}, on the "
         f"disk measured with its read-ahead of {size(one('read-ahead'))}; its pages alone are "
         f"{size(one('pages'))}",
         "set the read-ahead of the store's disk to 128 kB (`blockdev --setra 256`)"),
        ("masks of breasts are read whole, by the one thread that draws",
         f"{BREAST / 1e3:.0f} kB each, {size(NYU.floc.epoch[3] * BREAST)} in an epoch of f_loc, before its "
         "first batch",
         f"keep `breasts.npy` ({size(IMAGES * BREAST)}) on flash, or in memory where there is so much"),
    ]  # fmt: skip
    return markdown("what | at this size | what then", rows)


def gpu() -> str:
    if (timing.FOLDER / "gpu.csv").is_file():
        return "Rates of a GPU: measured by `make bench-gpu` (`figures/benchmarks/gpu.csv`)."
    return (
        "**No rate of a GPU has been measured here.** Every GPU-hour and every dollar below is an "
        "estimate: counted operations, divided by an assumed share of a peak."
    )


BLOCKS = {
    f.__name__: f for f in (gpu, assumptions, sizes, trainings, money, reading, processors, breaks)
}


def with_tables(text: str) -> str:
    """The page's text with every table written anew."""
    return BLOCK.sub(lambda found: found[1] + BLOCKS[found[2]]() + found[3], text)


def main() -> int:
    PAGE.write_text(text := with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
