"""The test on real lesions: the outcomes of ``experiments/PROTOCOL_cbis_ddsm.md``, and its verdict.

Reads the lesion scores of the experiment, of its controls and of the external test below
``figures/``, and ``figures/cbis_ddsm/lesions.csv``: finding, callback and facts of each lesion,
written once from the image store.  Writes, beside the latter, ``protocol``, ``controls``,
``external``, ``external_calibration``, ``film_facts`` and ``film_facts_use`` (.csv, .md, .json).
Nothing is trained, no image is read.

The score of a lesion is the mean over runs; its intervals resample women with all their lesions.
Mean and SD over the runs are of each run's own value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from lesionlib import files
from lesionlib.errors import InputError
from study import evidence, paper, steps, tables
from study.evidence import HALF, REPORTED, RESAMPLES, Outcome, auc_of, gain_of
from study.intervals.run_intervals import t_interval
from study.lab import open_bench
from study.readme import number, span
from study.settings import figures_folder
from study.statistics import calibration, common
from study.statistics.fusion import LATE, LATE_PLACED, fuse
from study.statistics.multiplicity import holm
from study.statistics.power import study_size, times_larger
from study.statistics.shortcuts import FACTS, auc_of_facts, lesion_facts, use_of_facts

EXPERIMENT, EXTERNAL = "cbis_ddsm", "mini_mias"
PRIMARY, SECONDARY = "primary", "secondary"
MARGIN = 0.02  # of equivalence
HUNT = 0.85  # an AUC above it starts a hunt for a leak
ALL, FINDINGS, CALLED = "all", "by finding", "without those never called back"
ADDS, EQUAL, OPEN, HARMS, UNLEARNED = "adds", "equivalent", "undecided", "harms", "not learned"
ANSWERS = {
    ADDS: "{what} adds to {to} here",
    EQUAL: "the two are equivalent here",
    OPEN: "undecided: a gain up to {high}, or a loss down to {low}, is compatible with the data",
    HARMS: "{what} harms here",
    UNLEARNED: "the networks did not learn the task at this size",
}


# in the order of the protocol; `supports` is the role
GAIN = gain_of("E+S", "E", PRIMARY)
VARIED = (  # outcomes 1 to 5, each also by finding and without those never called back
    GAIN,
    *map(auc_of, ("f_loc", "E", "S", "I+S", "E+S", "I")),
    gain_of("I+S", "S", SECONDARY),
    gain_of("E+S", LATE, SECONDARY),
)
SPARED = tuple(
    replace(o, supports=SECONDARY if o.measure == "spared" else REPORTED)
    for o in evidence.OUTCOMES
    if o.fnr
)
OUTCOMES = (*VARIED, *SPARED, *map(auc_of, ("I+E", "I+S+E", LATE_PLACED)), gain_of("f_loc", "E"))
PATCH = ("AUC of f_loc", "AUC of E")  # one has to be above .5, or nothing is said of what is added
WORDS = {  # what a difference asks: does the first add to the second?
    GAIN.name: ("the whole breast", "the patch"),
    "I+S less S": ("the place", "the context"),
    f"E+S less {LATE}": ("reading both at once", "the sum of two scores"),
} | {o.name: ("the whole breast", "the benign lesions spared") for o in SPARED}

NO_GAIN = "holds 0, or below it"
CONTROLS = (  # experiment, what is asked of it, what is expected
    *(("cbis_permuted", auc_of(model), HALF) for model in ("f_loc", "E", "S", "E+S")),
    ("cbis_exchanged", GAIN, NO_GAIN),
    ("cbis_exchanged", auc_of("S"), REPORTED),
    ("cbis_outside", GAIN, REPORTED),
    ("cbis_outside", auc_of("S"), REPORTED),
)
AGAIN = tuple(f"cbis_permuted{k}" for k in range(2, 6))  # for the AUC of E, see the protocol's log
BESIDE = "facts beside the lesion"
LEAKS = ("film", "grey levels of the film")  # whose interval has to hold .5
ABROAD = (*map(auc_of, ("f_loc", "E", "S", "E+S")), GAIN)


# ------------------------------------------------------------------ one outcome
def estimate(scored: pd.DataFrame, outcome: Outcome, resamples: int = RESAMPLES) -> dict:
    """An outcome of run-averaged scores with its intervals over women, and its spread over runs.

    scored : predictions, with late fusions where they are asked for.
    Keys: outcome, value, low, high (95 %), for a difference low_90, high_90, se, p (two-sided, from
    the resamples, of no difference), mean, sd, runs (of each run's own value), and the counts.
    """
    own = scored[scored["model"].isin(outcome.models)]
    keys = [name for name in own if name not in ("run", "y_score")]
    averaged = own.groupby(keys, as_index=False)["y_score"].mean().assign(run=0)
    value, drawn = evidence.of_seed(averaged, outcome, None, resamples)
    each = [evidence.of_seed(part, outcome, None, 1)[0] for _, part in own.groupby("run")]
    low, high, low_90, high_90 = np.quantile(drawn, (0.025, 0.975, 0.05, 0.95)).tolist()
    out = {"outcome": outcome.name, "value": value, "low": low, "high": high}
    if len(outcome.models) == 2:
        beyond = min((drawn <= 0).sum(), (drawn >= 0).sum())
        p = min(1.0, 2 * (1 + beyond) / (1 + resamples))
        out |= {"low_90": low_90, "high_90": high_90, "se": drawn.std(ddof=1), "p": p}
    sd = np.std(each, ddof=1) if len(each) > 1 else np.nan
    out |= {"mean": np.mean(each), "sd": sd, "runs": len(each)}
    return out | common.counts(tables.scores(averaged, outcome.models[0]))


def answer(row: Mapping) -> str:
    """What an interval says: of a difference by the protocol's rule, of an AUC against .5."""
    if pd.isna(row.get("low_90")):
        side = "above" if row["low"] > 0.5 else "below" if row["high"] < 0.5 else "holds"
        return f"{side} .5"
    if row["low"] > 0:
        return ADDS
    if row["high"] < 0:
        return HARMS
    return EQUAL if -MARGIN < row["low_90"] and row["high_90"] < MARGIN else OPEN


def variants(scored: pd.DataFrame, lesions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The scores of all lesions, by finding (the mean of its lesions), and of those called back.

    lesions : index lesion_id; columns finding_id, never_called_back.
    Raises InputError where a lesion that was scored is not among them.
    """
    if lost := sorted(set(scored["lesion_id"]) - set(lesions.index)):
        what = f"{len(lost)} lesions of the scores are missing, first {lost[0]}"
        raise InputError(what, "lesions.csv", "Delete it: it is written anew from the image store")
    finding = scored.assign(lesion_id=scored["lesion_id"].map(lesions["finding_id"]))
    keys = [name for name in finding if name != "y_score"]
    by_finding = finding.groupby(keys, as_index=False)["y_score"].mean()
    easy = lesions.index[lesions["never_called_back"]]
    return {ALL: scored, FINDINGS: by_finding, CALLED: scored[~scored["lesion_id"].isin(easy)]}


# ------------------------------------------------------------------ the four tables
def outcomes(
    scored: pd.DataFrame, lesions: pd.DataFrame, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Every outcome of the protocol in its order, a row for each set of lesions that it is asked of.

    scored : predictions of validation and test.  lesions : as of :func:`variants`.
    Columns: those of :func:`estimate`, lesions_of, role, p_holm (of the secondary outcomes
    together; outcome 6 has two, at both rates of misses), says, and otherwise: what the other sets
    of lesions say where that differs.
    """
    fused = pd.concat([scored, *(fuse(scored, name) for name in (LATE, LATE_PLACED))])
    sets, rows = variants(fused, lesions), []
    for o in OUTCOMES:
        for name in sets if o in VARIED else (ALL,):
            rows.append(
                {"role": o.supports, "lesions_of": name} | estimate(sets[name], o, resamples)
            )
    table = pd.DataFrame(rows)
    whole = table["lesions_of"] == ALL
    table.loc[~whole | (table["role"] == REPORTED), "p"] = np.nan  # nothing is tested of these
    second = whole & (table["role"] == SECONDARY)
    table.loc[second, "p_holm"] = holm(table.loc[second, "p"])
    table["says"] = [answer(row) for row in rows]
    for _, part in table.groupby("lesions_of"):
        on_patch = part["low_90"].notna() & part["outcome"].str.contains(r"\bE\b|more at")
        if not (part[part["outcome"].isin(PATCH)]["low"] > 0.5).any():
            table.loc[part.index[on_patch], "says"] = UNLEARNED
    main = table["outcome"].map(table[whole].set_index("outcome")["says"])
    differs = table[table["says"] != main].groupby("outcome")
    said = {k: "; ".join(part["lesions_of"] + ": " + part["says"]) for k, part in differs}
    return table.assign(otherwise=table["outcome"].map(said).where(whole).fillna(""))


def controls(
    scored: Mapping[str, pd.DataFrame], lesions: pd.DataFrame, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Each control with what is expected of it, and whether that holds (none where only reported).

    scored : predictions by experiment, of the controls that have been run.
    lesions : as ``lesions.csv`` has them, with the training's.
    """
    rows = [
        {"control": name, "expected": wanted} | estimate(scored[name], o, resamples)
        for name, o, wanted in CONTROLS
        if name in scored
    ]
    rows += _permuted_again(rows, scored, resamples)
    for row in auc_of_facts(lesions, resamples=resamples).to_dict("records"):
        wanted = HALF if row["facts"] in LEAKS else REPORTED
        head = {"control": BESIDE, "expected": wanted, "outcome": f"AUC of {row.pop('facts')}"}
        rows.append(head | row)
    table = pd.DataFrame(rows)
    kept = {HALF: (table["low"] <= 0.5) & (table["high"] >= 0.5), NO_GAIN: table["low"] <= 0}
    table.insert(2, "holds", None)
    for wanted, holds in kept.items():
        asked = table["expected"] == wanted
        table.loc[asked, "holds"] = holds[asked]
    return table


def _permuted_again(known: list[dict], scored: Mapping, resamples: int) -> list[dict]:
    """The AUC of E under each further permutation, then the mean of all with its t interval.

    known : rows of the other controls, the first permutation's among them.
    """
    outcome, head = auc_of("E"), {"control": "permuted again"}
    rows = [
        head
        | estimate(scored[name], outcome, resamples)
        | {"outcome": f"{outcome.name}, permutation {name[-1]}", "expected": REPORTED}
        for name in AGAIN
        if name in scored
    ]
    if not rows:
        return []
    first = [r for r in known if (r["control"], r["outcome"]) == ("cbis_permuted", outcome.name)]
    over = t_interval([row["value"] for row in first + rows])
    pooled = {"outcome": f"{outcome.name}, mean of {over.n} permutations", "expected": HALF}
    pooled |= {"value": over.mean, "low": over.low, "high": over.high}
    pooled |= {"mean": over.mean, "sd": over.sd}
    pooled |= {k: rows[0][k] for k in ("lesions", "malignant", "benign", "patients")}
    return [*rows, head | pooled]


def film_facts(
    scored: pd.DataFrame, lesions: pd.DataFrame, resamples: int = RESAMPLES
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Where a leak of the film lies, and whether the networks follow it.

    First each fact of the film by itself (as ``shortcuts.auc_of_facts``); then, of the strongest, how
    far the models' run-averaged scores follow it (as ``shortcuts.use_of_facts``, with the fact).
    """
    alone = auc_of_facts(lesions, {name: (name,) for name in FACTS["film"]}, resamples=resamples)
    worst = alone.loc[alone["value"].idxmax(), "facts"]
    test = scored[(scored["split"] == "test") & scored["model"].isin(["f_loc", "E", "S", "E+S"])]
    means = test.pivot_table(index="lesion_id", columns="model", values="y_score")
    return alone, use_of_facts(lesions, means, (worst,)).assign(fact=worst)


def external(abroad: pd.DataFrame, resamples: int = RESAMPLES) -> pd.DataFrame:
    """The networks as they are on lesions of another set: AUC, and E+S less E."""
    return pd.DataFrame([estimate(abroad, o, resamples) for o in ABROAD])


def external_calibration(
    scored: pd.DataFrame, abroad: pd.DataFrame, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Calibration of E and E+S on the other set: as scored, recalibrated, and moved to its share.

    Recalibrated is by the validation lesions of the experiment's own set: nothing of the other set
    is used.  Moved is that once more, told what share of the other set's lesions is malignant.
    Columns: scores, and those of ``calibration.calibration_table``.
    """
    both = pd.concat([scored[scored["split"] == "validation"], abroad], ignore_index=True)
    parts = []
    for model in ("E", "E+S"):
        share = tables.scores(abroad, model).truth.mean()
        ways = {"as scored": abroad}
        if not calibration.obstacle(both, model):
            ways["recalibrated on validation"] = calibration.platt(both, model).assign(model=model)
            ways["and moved to the share here"] = calibration.recalibrated(both, model, share)
        for way, table in ways.items():
            found = calibration.calibration_table(table, [model], resamples=resamples)
            parts.append(found.assign(scores=way))
    table = pd.concat(parts, ignore_index=True)
    return table[["scores", *table.columns.drop("scores")]]


# ------------------------------------------------------------------ what is said
def verdict(table: pd.DataFrame, size: Mapping) -> dict[str, str]:
    """The sentences of the protocol by outcome, and "paper", "spread" and "power" for the first.

    table : of :func:`outcomes`.  size : of ``power.study_size``.
    """
    judged = table[table["role"].isin([PRIMARY, SECONDARY]) & (table["lesions_of"] == ALL)]
    said = {row["outcome"]: _sentence(row) for row in judged.to_dict("records")}
    printed, first = paper.table_3().set_index("model"), judged.iloc[0]
    a, b = (" ± ".join(map(number, printed.loc[m, ["auc", "spread"]])) for m in ("E+S", "E"))
    gain, se = number(size["gain"]), size["se"]
    said["paper"] = f"E+S less E {gain} ({a} against {b}) on its private set"
    said["spread"] = (
        f"mean of {first['runs']} runs {number(first['mean'])}, SD {number(first['sd'])}"
    )
    said["power"] = "the paired standard error is 0: the two scores are equal"
    if se:
        found = size["gain"] * math.sqrt(times_larger(size["gain"], se))
        said["power"] = (
            f"the paired standard error is {number(se)}: a true gain of {number(found)} would be found "
            f"with a probability of .8, the paper's {gain} with one of {number(size['power'])}"
        )
    return said


def _sentence(row: Mapping) -> str:
    """An outcome with its interval and what it says: *E+S less E .010 [...]: undecided: ...*"""
    what, to = WORDS[row["outcome"]]
    low, high = (number(row[end]) for end in ("low", "high"))
    said = ANSWERS[row["says"]].format(what=what, to=to, low=low, high=high)
    other = f" (otherwise {row['otherwise']})" if row["otherwise"] else ""
    return f"{row['outcome']} {span(row)}: {said}{other}"


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The outcomes as a reader wants them; intervals as text."""

    def ends(low: str, high: str) -> list[str]:
        pairs = table[[low, high]].to_numpy(float)
        return ["" if np.isnan(x).any() else "{} to {}".format(*map(number, x)) for x in pairs]

    out = table[["outcome", "lesions_of", "role"]].assign(value=table["value"].map(number))
    out["95 %"], out["90 %"] = ends("low", "high"), ends("low_90", "high_90")
    out["mean of runs"], out["SD"] = table["mean"].map(number), table["sd"].map(number)
    out["p, Holm"] = [number(p) if p == p else "" for p in table["p_holm"].astype(float)]
    return out.join(table[["lesions", "malignant", "patients", "says", "otherwise"]])


def warnings(every: Mapping[str, pd.DataFrame], scored: Mapping[str, pd.DataFrame]) -> list[str]:
    """A line for each AUC above `HUNT`, and for each control of S whose E is another one.

    every : table by name.  scored : predictions by experiment.
    """
    lines = []
    for name, table in every.items():
        high = table[table["outcome"].str.startswith("AUC") & (table["value"] > HUNT)]
        for row in high.to_dict("records"):
            where = row.get("control") or row.get("lesions_of") or EXTERNAL
            lines.append(
                f"{row['outcome']} ({name}, {where}) is {row['value']:.3f}, above {HUNT:g}: hunt for "
                "a leak, and write down what the hunt finds"
            )
    own = _of_e(scored[EXPERIMENT])
    for name in ("cbis_exchanged", "cbis_outside"):
        if name in scored and not own.equals(_of_e(scored[name])):
            lines.append(f"the scores of E in {name} are not those of {EXPERIMENT}")
    return lines


def _of_e(scored: pd.DataFrame) -> pd.Series:
    rows = scored[(scored["model"] == "E") & (scored["split"] == "test")]
    return rows.set_index(["lesion_id", "run"])["y_score"].sort_index()


# ------------------------------------------------------------------ files
def stored() -> dict | None:
    """``protocol.json`` as it was written, with the three other tables' rows; None before that."""
    return files.read_json(figures_folder(EXPERIMENT) / "protocol.json", None)


def read_scores(place) -> pd.DataFrame | None:
    """The predictions in a folder, without lesions of unknown truth; None where there are none."""
    file = tables.stored_file(place / "predictions.csv")
    return None if file is None else tables.read_predictions(file).dropna(subset="y_true")


def read_lesions() -> pd.DataFrame:
    """``lesions.csv``, index lesion_id; where it is missing it is written from the image store."""
    file = figures_folder(EXPERIMENT) / "lesions.csv"
    if not file.is_file():
        images = steps.store(open_bench(EXPERIMENT, "protocol"))
        facts = lesion_facts(images.lesions, images.images)
        known = images.lesions.set_index("lesion_id").loc[facts.index]
        facts.insert(1, "finding_id", known["finding_id"])
        facts.insert(2, "never_called_back", known["truth"] == "followup")
        files.write_text(file, facts.to_csv(float_format="%.4g"))
    return pd.read_csv(file, index_col="lesion_id")


def write(resamples: int = RESAMPLES) -> dict:
    """Write the tables and ``protocol.json``; returns the content of the latter.

    Raises InputError where the experiment has no scores.  Controls and the external test that are
    not there are listed as missing.
    """
    lab = open_bench(EXPERIMENT, "protocol")
    names = [*dict.fromkeys(name for name, *_ in CONTROLS), *AGAIN]
    scored = {name: read_scores(figures_folder(name)) for name in (EXPERIMENT, *names)}
    abroad = read_scores(lab.figures / EXTERNAL)
    missing = [name for name in names if scored[name] is None] + [EXTERNAL] * (abroad is None)
    if (own := scored[EXPERIMENT]) is None:
        raise InputError("there are no scores", lab.figures, f"Run study run {EXPERIMENT}")
    scored = {name: table for name, table in scored.items() if table is not None}
    lesions = read_lesions()
    found = {"protocol": outcomes(own, lesions, resamples)}
    found["controls"] = controls(scored, lesions, resamples)
    if abroad is not None:
        found["external"] = external(abroad, resamples)
    size = study_size(own)
    said, hunt = verdict(found["protocol"], size), warnings(found, scored)
    found["film_facts"], found["film_facts_use"] = film_facts(own, lesions, resamples)
    if abroad is not None:
        found["external_calibration"] = external_calibration(own, abroad, resamples)
    for name, table in found.items():
        lab.table(name, table)
    lines = [*said.values(), *(f"Warning: {line}" for line in hunt)]
    text = "\n".join(f"- {line}." for line in lines) + "\n\n"
    text += tables.to_markdown(shown(found["protocol"])) + "\n"
    files.write_text(lab.figures / "protocol.md", text)
    rows = {
        k: json.loads(t.to_json(orient="records", double_precision=6)) for k, t in found.items()
    }
    content = {"said": said, "warnings": hunt, "missing": missing, "power": size}
    content |= {"tables": rows, "provenance": lab.origin()}
    files.write_json(lab.figures / "protocol.json", content)
    return content
