"""The numbers of README.md, written from the stored results between marks.

A block stands between ``<!-- numbers: NAME -->`` and ``<!-- end -->``.  ``study refresh`` writes the
blocks; a test compares them with the results.
"""

from __future__ import annotations

import re

from lesionlib import files
from study import evidence, paper
from study.settings import figures_folder, project_root

BLOCK = re.compile(r"(<!-- numbers: (\w+) -->\n).*?(\n<!-- end -->)", re.DOTALL)
NOT_RUN = "The ten phantoms of the protocol have not been run to the end here (`make evidence`)."
ROWS = {  # model -> what it reads, the ideal observer that sees the same
    "I": ("where the window is", None),
    "S": ("saliency: the whole breast", "context_no_place"),
    "I+S": ("saliency and where to look in it", "context"),
    "E": ("embedding: the lesion", "local"),
    "E+S": ("lesion and breast", "both"),
}


def with_numbers(text: str) -> str:
    """README's text with every block written anew."""
    return BLOCK.sub(lambda found: found[1] + BLOCKS[found[2]]() + found[3], text)


def refresh() -> None:
    """Write the blocks of README.md."""
    page = project_root() / "README.md"
    files.write_text(page, with_numbers(page.read_text(encoding="utf-8")))


def stored(experiment: str) -> dict:
    return files.read_json(figures_folder(experiment) / "results.json")


def pooled() -> dict | None:
    """Pooled outcomes by key, None where one of the protocol's experiments is missing."""
    found = files.read_json(figures_folder("evidence") / "evidence.json", {"missing": ["all"]})
    return None if found["missing"] else found["pooled"]


def number(x: float, sign: str = "") -> str:
    """.773, as journals print what cannot exceed 1."""
    return f"{x:{sign}.3f}".replace("0.", ".", 1)


def span(entry: dict, sign: str = "", low: str = "low", high: str = "high") -> str:
    """A value with its interval: .773 [.746, .802]."""
    return (
        f"{number(entry['value'], sign)} [{number(entry[low], sign)}, {number(entry[high], sign)}]"
    )


# ------------------------------------------------------------------ the blocks
def spared() -> str:
    """The caption of the first figure: lesions spared in the demo, and over several phantoms."""
    g = stored("demo")["spared_more"]
    ends = f"{100 * g['low']:.1f} to {100 * g['high']:.1f}"
    text = (
        "*How many benign biopsies are spared at a given share of malignant lesions missed: an "
        f"illustration, on one phantom. At 2 % missed ({g['missed_a']} of {g['malignant']}), local "
        f"and global information (E+S) spares {g['spared_a']} of {g['benign']}, local information "
        f"alone (E) {g['spared_b']}: {g['per_100_benign']:.1f} more of every 100, 95 % interval over "
        f"{g['patients']} patients {ends}."
    )
    key = "evidence.tnr_gain.E+S-E@0.02"
    if (found := pooled()) is None:
        return f"{text} One phantom is one sample.*"
    e = {k: 100 * found[key][k] for k in ("value", "low", "high")}
    ends = "{value:.1f} more, {low:.1f} to {high:.1f}".format(**e)
    return f"{text} Over {found[key]['seeds']} other phantoms, tested once by a protocol: {ends}.*"


def outcomes() -> str:
    """The outcomes of the protocol, pooled over its phantoms and over its controls."""
    found = pooled()
    if found is None:
        return NOT_RUN
    lines = ["| outcome | pooled | 95 % | controls | 90 % |", "|---|---|---|---|---|"]
    primary = [o.key for o in evidence.PRIMARY]
    for o in evidence.OUTCOMES:
        here, control = found[f"evidence.{o.key}"], found.get(f"control.{o.key}")
        cells = [o.name, number(here["value"]), f"{number(here['low'])} to {number(here['high'])}"]
        cells += ["", ""]
        if control and o.key in primary:
            cells[3] = number(control["value"])
            cells[4] = f"{number(control['low_90'])} to {number(control['high_90'])}"
        lines.append(f"| {' | '.join(cells)} |")
    seeds = found["evidence.auc.I"]["seeds"]
    kind = "phantoms and, within each, its patients resampled"
    return "\n".join([*lines, "", f"{seeds} phantoms and as many controls; intervals: {kind}."])


def demo() -> str:
    """The AUCs of the demo beside the paper's and beside the best possible."""
    found, printed = stored("demo"), paper.table_3().set_index("model")
    head = "maps that f_agg reads", paper.LABEL, "demo's phantom, mean ± SD of runs"
    head += "95 % over patients", "best possible on these lesions"
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|---|"]
    for model, (what, ideal) in ROWS.items():
        m, best = found["models"][model], found["phantom"]["ideal"].get(ideal, {"value": 0.5})
        auc, spread = printed.loc[model, ["auc", "spread"]]
        cells = f"{model}, {what}", f"{number(auc)} ± {number(spread)}"
        cells += (
            f"{number(m['mean'])} ± {number(m['sd'])}",
            f"{number(m['low'])} to {number(m['high'])}",
        )
        lines.append(f"| {' | '.join((*cells, number(best['value'])))} |")
    e = found["models"]["E"]
    gains = {name: found["gains"][name] for name in ("I+S-S", "E+S-E", "E+S-late E & S")}
    told = "; ".join(f"{k.replace('-', ' less ', 1)} {span(g)}" for k, g in gains.items())
    return "\n".join([*lines, "", (
        f"{e['lesions']} test lesions ({e['malignant']} malignant) of {e['patients']} patients. The "
        f"intervals are of the run-averaged score and resample patients: {told}."
    )])  # fmt: skip


def mini_mias() -> str:
    """What comes of the one small public set."""
    found = stored("mini_mias")
    e = found["models"]["E"]
    told = ", ".join(f"{m} {span(found['models'][m])}" for m in ("f_loc", "E", "S", "I+S", "E+S"))
    gain = span(found["gains"]["E+S-E"])
    below = [m for m, entry in found["models"].items() if entry["high"] < 0.5]
    chance = "No model's interval lies wholly below .5, which is chance."
    if below:
        chance = (
            f"Wholly below .5 lies the interval of {', '.join(below)}: it orders these lesions "
        )
        chance += "worse than chance; no cause is known, and of so many intervals one may by luck."
    return (
        f"On real film, mini-MIAS ({e['lesions']} test lesions, {e['malignant']} of them malignant, "
        f"split by woman), nothing is learned that holds: {told}, E+S less E {gain} (95 % over the "
        f"{e['patients']} women with a test lesion). The set shows that the method runs from real "
        f"films to every table; it is too small for an answer. {chance}"
    )


BLOCKS = {f.__name__: f for f in (spared, outcomes, demo, mini_mias)}
