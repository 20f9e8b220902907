"""The numbers of README.md, written from the stored results between marks.

A block stands between ``<!-- numbers: NAME -->`` and ``<!-- end -->``.  ``study refresh`` writes the
blocks; a test compares them with the results.
"""

from __future__ import annotations

import re

from lesionlib import files
from study import evidence, paper
from study.ideal_observers import GAINS, in_words
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


def of_phantoms() -> dict | None:
    """``evidence.json``, None where one of the protocol's experiments is missing."""
    found = files.read_json(figures_folder("evidence") / "evidence.json", {"missing": ["all"]})
    return None if found["missing"] else found


def pooled() -> dict | None:
    """The pooled outcomes of :func:`of_phantoms` by key."""
    found = of_phantoms()
    return found and found["pooled"]


def exchanged() -> str:
    """What the saliency of another patient adds on the phantom."""
    return " ".join(
        f"With the saliency of another patient (phantom {name[-2:]} again, outside the protocol) E+S "
        f"less E is {span(found['E+S less E'])} and I+S less S {span(found['I+S less S'])}, over its "
        "patients."
        for name, found in of_phantoms()["exchanged"].items()
    )


def number(x: float) -> str:
    """.773, as journals print what cannot exceed 1."""
    return f"{x:.3f}".replace("0.", ".", 1)


def span(entry: dict, low: str = "low", high: str = "high") -> str:
    """A value with its interval: .773 [.746, .802]."""
    return f"{number(entry['value'])} [{number(entry[low])}, {number(entry[high])}]"


# ------------------------------------------------------------------ the blocks
def spared() -> str:
    """The caption of the first figure: lesions spared over the phantoms, and in the demo."""
    g, key = stored("demo")["spared_more"], "evidence.tnr_gain.E+S-E@0.02"
    ends = f"{100 * g['low']:.1f} to {100 * g['high']:.1f}"
    drawn = (
        "*The figure is of one phantom more, an illustration: how many benign biopsies are spared at "
        f"a given share of malignant lesions missed. At 2 % ({g['missed_a']} of {g['malignant']}) "
        f"local and global information (E+S) spares {g['spared_a']} of {g['benign']} there, local "
        f"information alone (E) {g['spared_b']}: {g['per_100_benign']:.1f} more of every 100 by "
        f"run-averaged scores, 95 % interval over {g['patients']} patients {ends}.*"
    )
    if (found := pooled()) is None:
        return f"*One phantom is one sample.* {drawn}"
    e = {k: 100 * found[key][k] for k in ("value", "low", "high")}
    ends = "{value:.1f} more benign lesions of every 100, 95 % interval {low:.1f} to {high:.1f}"
    ends += "" if e["low"] > 0 else ", which holds 0"
    return (
        f"*On {found[key]['seeds']} phantoms, made-up mammograms tested once by a protocol, with 2 % of "
        "the malignant lesions missed, local and global information (E+S) spares, beside local "
        f"information alone (E), {ends.format(**e)}.* {drawn}"
    )


def outcomes() -> str:
    """What the protocol asks, pooled over its phantoms and over its controls, with each answer."""
    found = pooled()
    if found is None:
        return NOT_RUN
    head = "| outcome | asked | pooled | 95 % | holds | controls | 90 % | within the margin |"
    lines, failed, rough = [head, "|---|---|---|---|---|---|---|---|"], [], []
    names = {o.key: o.name for o in evidence.OUTCOMES}
    names |= {o.key: f"{GAINS[o.models]}: {o.name}" for o in evidence.PRIMARY}
    asked = {
        k.removeprefix("evidence."): e
        for k, e in found.items()
        if k.startswith("evidence.") and e["supports"] != evidence.REPORTED
    }
    in_order = [key for key in names if key in asked]
    for key in [*in_order, *(k for k in asked if k not in names)]:
        e = asked[key]
        name = in_words(names.get(key, key))
        ends = (e["low"], e["high"]) if "low" in e else (e["t_low"], e["t_high"])
        cells = [name, e["supports"], number(e["value"]), "{} to {}".format(*map(number, ends))]
        cells += ["yes" if e["holds"] else "**no**", "", "", ""]
        failed += [name] * (not e["holds"])
        least = float(e["supports"].split()[-1]) if e["supports"].startswith("above") else -1
        rough += [name] * bool(e["holds"] and e.get("t_low", least + 1) <= least)
        if (control := found.get(f"control.{key}", {})).get("supports"):
            ends = f"{number(control['low_90'])} to {number(control['high_90'])}"
            answer = "yes" if control["holds"] else "**no**"
            cells[-3:] = number(control["value"]), ends, answer
            failed += [f"{names[key]} within the margin in the controls"] * (not control["holds"])
        lines.append(f"| {' | '.join(cells)} |")
    seeds, margin = found["evidence.auc.I"]["seeds"], number(evidence.MARGIN)
    return "\n".join([*lines, "", (
        f"{seeds} phantoms and as many controls, whose margin is ±{margin}; each counts with the mean "
        "of its runs. Intervals resample phantoms and, within each, its patients; those of shortfalls "
        "and correlations are t intervals over phantoms."
        + f" By a t interval this would not hold either: {'; '.join(rough)}." * bool(rough)
        + f" {exchanged()} **Not met:** {'; '.join(failed) or 'none'}."
    )])  # fmt: skip


def demo() -> str:
    """The AUCs of the demo beside the paper's and beside the best possible."""
    found, printed = stored("demo"), paper.table_3().set_index("model")
    head = "maps that f_agg reads", paper.LABEL, "demo's phantom, mean of runs"
    head += "95 % over runs and patients", "SD of runs", "best possible on these lesions"
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|---|---|"]
    for model, (what, ideal) in ROWS.items():
        m, best = found["models"][model], found["phantom"]["ideal"].get(ideal, {"value": 0.5})
        auc, spread = printed.loc[model, ["auc", "spread"]]
        cells = f"{model}, {what}", f"{number(auc)} ± {number(spread)}", number(m["mean"])
        cells += f"{number(m['low_both'])} to {number(m['high_both'])}", number(m["sd"])
        lines.append(f"| {' | '.join((*cells, number(best['value'])))} |")
    e = found["models"]["E"]
    gains = {name: found["gains"][name] for name in ("I+S-S", "E+S-E", "E+S-late E & S")}
    told = "; ".join(f"{name.replace('-', ' less ', 1)} {_both(g)}" for name, g in gains.items())
    return "\n".join([*lines, "", (
        f"{e['lesions']} test lesions ({e['malignant']} malignant) of {e['patients']} patients. "
        f"Differences, mean of runs, 95 % over runs and patients: {told}."
    )])  # fmt: skip


def machines() -> str:
    """The demo's numbers as another machine computed them, and how far they lie apart."""
    here, there = stored("demo"), files.read_json(figures_folder("demo") / "other_machine.json")
    apart = {m: abs(e["mean"] - here["models"][m]["mean"]) for m, e in there["models"].items()}
    gains = ("I+S-S", "E+S-E", "E+S-late E & S")
    told = "; ".join(
        f"{name.replace('-', ' less ', 1)} here {_both(here['gains'][name])}, there "
        f"{_both(there['gains'][name])}"
        for name in gains
    )
    most = max(apart, key=apart.get)
    late = [
        r["models"]["E+S"]["mean"] - r["gains"]["E+S-late E & S"]["mean"] for r in (here, there)
    ]
    return (
        "What *another machine* means was measured: the demo was run on two processors, here "
        f"{here['provenance']['processor']}, there {there['processor']}. Of the seven combinations no "
        f"mean of runs moved by more than {number(apart[most])} ({most}); late E & S, two scores "
        f"joined with equal weights, moved by {number(abs(late[0] - late[1]))}. The differences, with their 95 % over runs and "
        f"patients: {told}. So an interval over the runs of one machine and over patients does not "
        "always hold what the next machine finds: f_loc and GMIC are trained once in the demo, and a network trained anew is another "
        "network."
    )


def _both(entry: dict) -> str:
    return span(entry | {"value": entry["mean"]}, "low_both", "high_both")


def mini_mias() -> str:
    """What comes of the one small public set: every lesion tested once by folds, and one split."""
    folds, split = stored("mini_mias_folds"), stored("mini_mias")
    own = ("f_loc", "E", "S", "I+S", "E+S")
    e, one = folds["models"]["E"], split["models"]["E"]
    told = ", ".join(f"{m} {span(folds['models'][m])}" for m in own)
    gain, single = span(folds["gains"]["E+S less E"]), span(split["gains"]["E+S-E"])
    before = ", ".join(f"{m} {number(split['models'][m]['value'])}" for m in own)
    sides = {"above": [], "below": []}
    for model, entry in folds["models"].items():
        sides["above"] += [model] * (entry["low"] > 0.5)
        sides["below"] += [model] * (entry["high"] < 0.5)
    chance = " ".join(
        f"Interval wholly {side} .5, which is chance: {', '.join(models)}."
        for side, models in sides.items()
        if models
    )
    return (
        f"On real film, mini-MIAS, every lesion is scored once, in {folds['folds']} folds of women, by "
        f"networks that never saw the woman ({e['lesions']} lesions, {e['malignant']} malignant, of "
        f"{e['patients']} women). AUC of pairs of lesions within a fold: {told}; E+S less E {gain} "
        "(run-averaged scores, 95 % over women within folds; other trainings are not in it). "
        f"{chance or 'Every interval holds .5, which is chance: that anything is learned is not shown.'}"
        f" One split alone ({one['lesions']} test lesions of {one['patients']} women) had: {before}, "
        f"E+S less E {single}. The set shows that the method runs from real films to every table; "
        "it is too small for an answer."
    )


def cbis_ddsm() -> str:
    """What the protocol of the test on CBIS-DDSM found, with its controls and the external test."""
    found = files.read_json(figures_folder("cbis_ddsm") / "protocol.json", None)
    if found is None:
        return (
            "CBIS-DDSM, masses, by [its protocol](experiments/PROTOCOL_cbis_ddsm.md): not run to the "
            "end here (`make run EXPERIMENT=cbis_ddsm DATA=…`, then `study protocol cbis_ddsm`)."
        )
    said, rows = found["said"], found["tables"]["protocol"]
    first, printed = rows[0], paper.table_3().set_index("model")
    head = f"model | {paper.LABEL}, other task size | CBIS-DDSM | mean of runs, SD | by finding"
    lines = [f"| {head} | without those never called back |", "|---" * 6 + "|"]
    for model in ("f_loc", "E", "S", "I+S", "E+S", "I"):
        every = [row for row in rows if row["outcome"] == f"AUC of {model}"]
        theirs = "not printed"
        if model in printed.index:
            theirs = " ± ".join(map(number, printed.loc[model, ["auc", "spread"]]))
        runs = "{}, {}".format(*(number(every[0][k]) for k in ("mean", "sd")))
        lines.append(
            f"| {' | '.join([model, theirs, span(every[0]), runs, *map(span, every[1:])])} |"
        )
    judged: dict[str, list[str]] = {}
    for row in rows:
        if row["p_holm"] is not None:
            judged.setdefault(row["says"], []).append(f"{row['outcome']} {span(row)}")
    hunt = [f"**Warning:** {line}." for line in found["warnings"]]
    return "\n".join([
        f"On CBIS-DDSM, masses ({first['lesions']} lesions of the official test part, "
        f"{first['malignant']} malignant, of {first['patients']} women): {primary(found)} The paper "
        f"found {said['paper']}. Power: {said['power']}.", "", *lines, "",
        "AUC of run-averaged scores, 95 % over women, but for the mean and SD of the runs' own AUCs.",
        "", *(f"Secondary, {says}: {'; '.join(each)}." for says, each in judged.items()), "",
        *_controls(found), *hunt,
    ])  # fmt: skip


def primary(found: dict) -> str:
    """What the protocol says of its primary outcome: of all lesions, then of the other sets of them."""
    first, *rows = found["tables"]["protocol"]
    main = found["said"][first["outcome"]].partition(" (otherwise")[0]
    other = [
        f"{row['lesions_of']} {span(row)}, *{row['says']}*"
        for row in rows
        if row["outcome"] == first["outcome"]
    ]
    more = f" Of other sets of these lesions: {'; '.join(other)}." if other else ""
    return f"**{main}** (run-averaged scores; {found['said']['spread']}).{more}"


CONTROLS = {  # in words
    "cbis_permuted": "trained on exchanged truths",
    "permuted again": "the same with other exchanges",
    "cbis_exchanged": "the saliency of another woman",
    "cbis_outside": "no saliency at the lesions",
}


FILM = {  # facts of a film, in words
    "source_rows": "the height of the scanned film",
    "source_cols": "its width",
    "flipped": "whether it was mirrored",
    "laterality": "the side",
    "view": "the view",
}


def _controls(found: dict) -> list[str]:
    """Controls and external test in a line each."""
    rows, told = found["tables"]["controls"], {}
    for row in rows:
        name = row["outcome"].removeprefix("AUC of ")
        told.setdefault(row["control"], []).append(f"{name} {span(row)}")
    asked = [row for row in rows if row["holds"] is not None]
    words = {name: f"{CONTROLS[name]} (`{name}`)" for name in told if name in CONTROLS}
    words["permuted again"] = f"{CONTROLS['permuted again']} (`cbis_permuted2` to `5`)"
    failed = [
        f"{r['outcome']}, {CONTROLS.get(r['control'], r['control'])}"
        for r in asked
        if not r["holds"]
    ]
    text = f"Controls: {len(asked) - len(failed)} of {len(asked)} are as expected"
    text += f", **not {'; '.join(failed)}**." if failed else "."
    lines = [text, ""]
    lines += [f"- {words.get(name, name)}: {', '.join(values)}." for name, values in told.items()]
    lines += ["", _hunt(found)]
    if abroad := found["tables"].get("external"):
        each = ", ".join(f"{r['outcome'].removeprefix('AUC of ')} {span(r)}" for r in abroad)
        counts = "{lesions} lesions, {malignant} malignant".format(**abroad[0])
        text = f"External test, the same networks on mini-MIAS ({counts}): {each}."
        aucs = [r for r in abroad if r["outcome"].startswith("AUC of ")]
        if all(r["low"] <= 0.5 <= r["high"] for r in aucs):
            text += " Every AUC's interval holds .5: that anything carries over is not shown."
        lines += ["", text]
    if found["missing"]:
        lines += ["", f"Not run: {', '.join(found['missing'])}."]
    return lines


def permuted(found: dict) -> str:
    """Whether the networks of permuted labels, taken together, tell the truth; "" for one of them."""
    rows = {row["outcome"]: row for row in reversed(found["tables"]["controls"])}
    mean = next((row for name, row in rows.items() if "mean of" in name), None)
    if mean is None:
        return ""
    first = rows["AUC of E"]
    text = (
        f"Over the exchanges the AUC of E has a mean of {span(mean)} and an SD of "
        f"**{number(mean['sd'])}**, where the interval over women of one of them allows for "
        f"{number((first['high'] - first['low']) / 3.92)}. "
    )
    if mean["holds"]:
        return text + (
            "So the first run is taken for chance, as the log had fixed; a mean as far off .5 as the "
            "ends of this interval is not excluded. A single permuted run that is judged over women "
            "alone is too strict a control: which way such a network leans is drawn anew with every "
            "exchange."
        )
    return text + "The mean lies off .5: a leak is to be hunted."


def _hunt(found: dict) -> str:
    """What the film's facts tell of the truth, and how far the networks follow them."""
    alone, used = (found["tables"][name] for name in ("film_facts", "film_facts_use"))
    worst = next(row for row in alone if row["facts"] == used[0]["fact"])
    each = ", ".join(
        f"{row['model']} {number(row['auc_alike'])} in place of {number(row['auc'])}"
        for row in used
    )
    most = max((row[k] for row in used for k in ("r_benign", "r_malignant")), key=abs)
    return (
        f"The film's facts, looked at one by one: `{worst['facts']}` ({FILM[worst['facts']]}) alone has "
        f"{span(worst)}. Among films that are alike in it the networks have {each}, and within one "
        f"truth their scores correlate with what it tells by {number(most)} at most."
    )


BLOCKS = {f.__name__: f for f in (spared, outcomes, demo, machines, cbis_ddsm, mini_mias)}
