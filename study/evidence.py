"""The evidence of several phantoms: the outcomes of the protocol, by seed and pooled.

Reads the lesion scores and ``results.json`` of the experiments evidence_seed<n>, and of their
controls evidence_control<n>, from ``figures/evidence/<name>/``, and writes ``evidence.csv``,
``evidence.md`` and ``evidence.json`` beside them.  Nothing is trained.

The value of a seed is the mean over its runs of each run's own value.  Pooled is the mean over the
seeds, with two intervals: a two-level bootstrap, which draws seeds with replacement and within each
its patients with all their lesions, and the t interval over the seeds' values.  Outcomes that need
what was drawn of a lesion (shortfalls, leaks) have the t interval alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit
from scipy.stats import ttest_ind

from lesionlib import files
from lesionlib.errors import InputError
from lesionlib.metrics import resampling, roc
from study import tables
from study.ideal_observers import LEAK, LIMITS, MARGIN, MIXED, OBSERVERS, WITHIN_TRUTH
from study.intervals.thresholds import carried
from study.settings import experiment_names, figures_folder
from study.statistics.fusion import LATE, LATE_PLACED, with_fusions
from study.statistics.multiplicity import holm

RESAMPLES, SEED = 2000, 0
SETS = {"evidence": r"evidence_seed\d+", "control": r"evidence_control\d+"}
EXCHANGED = r"evidence_exchanged\d+"  # f_agg trained and tested with another patient's saliency
BOOTSTRAP, T = "95 %, seeds and their patients resampled", "95 %, t over seeds"
POOLED = "pooled"
RESULTS = "results.json"
HALF, ABOVE, REPORTED = "holds .5", "above ", "reported"


@dataclass(frozen=True)
class Outcome:
    """One outcome: a measure of one model, or the difference of two.

    supports : what the pooled interval has to be, for the outcome to support the method.
    """

    name: str
    measure: str
    models: tuple[str, ...]
    supports: str = REPORTED
    fnr: float = 0.0

    @property
    def key(self) -> str:
        """As the number has it in ``results.json``, where it is there."""
        names = {"spared on test": "tnr_gain", "pairs": "mixed_pairs"}
        kind = names.get(self.measure, self.measure)
        kind = "gain" if (kind, len(self.models)) == ("auc", 2) else kind
        return f"{kind}.{'-'.join(self.models)}" + (f"@{self.fnr:g}" if self.fnr else "")


def gain_of(a: str, b: str, supports: str = REPORTED) -> Outcome:
    """The AUC of one model less that of another."""
    return Outcome(f"{a} less {b}", "auc", (a, b), supports)


def auc_of(model: str, supports: str = REPORTED) -> Outcome:
    """The AUC of one model."""
    return Outcome(f"AUC of {model}", "auc", (model,), supports)


# the order of the protocol
PRIMARY = tuple(gain_of(*pair, ABOVE + "0") for pair in (("I+S", "S"), ("E+S", "E"), ("E+S", LATE)))
OUTCOMES = (
    auc_of("I", HALF),
    *PRIMARY,
    gain_of("E+S", LATE_PLACED),
    *(
        Outcome(
            f"{what} more at {fnr:.0%} missed, {how} threshold", measure, ("E+S", "E"), wanted, fnr
        )
        for fnr in (0.02, 0.05)
        for what, how, measure, wanted in (
            ("benign spared", "validation's", "spared", ABOVE + "0"),
            ("malignant missed", "validation's", "missed", REPORTED),
            ("benign spared", "the test's", "spared on test", ABOVE + "0"),
        )
    ),
    *(
        Outcome(f"mixed pairs in order by {m}", "pairs", (m,), wanted)
        for m, wanted in zip(MIXED, (HALF, ABOVE + ".5", *[REPORTED] * 3), strict=True)
    ),
    *(auc_of(m) for m in (*tables.MODELS, LATE, LATE_PLACED) if m != "I"),
)
# every other gain of notebook 12 and of the ledger of claims
OUTCOMES += tuple(
    gain_of(*pair)
    for pair in tables.GAINS
    if gain_of(*pair).key not in {outcome.key for outcome in OUTCOMES}
)


# ------------------------------------------------------------------ one seed
def of_seed(
    predictions: pd.DataFrame, outcome: Outcome, number: int | None = 0, resamples: int = RESAMPLES
) -> tuple[float, np.ndarray]:
    """The mean over runs of an outcome, and the same in resamples of the patients, (resamples,).

    predictions : with late fusions, see ``fusion.with_fusions``.  number : of the set of patients,
    whose resamples are its own; None for those of `study.tables`.
    """
    known = (
        tables.pair(predictions, *outcome.models)
        if len(outcome.models) == 2
        else [tables.scores(predictions, *outcome.models)]
    )
    seed, values, drawn = (SEED,) if number is None else (SEED, number), [], []
    for k in range(max(s.runs.shape[1] for s in known)):
        # a model of fewer runs lends them to the others'
        runs = [k % s.runs.shape[1] for s in known]
        if outcome.measure in ("spared", "missed"):
            found, of_resample = _carried(predictions, known, runs, outcome, resamples, seed)
        else:
            one, (score, *less) = known[0], [s.runs[:, r] for s, r in zip(known, runs, strict=True)]
            statistic = _statistic(one, outcome)
            found, of_resample = resampling.resampled(
                one.truth, score, one.patient, statistic, resamples, seed, *less
            )
        values.append(found)
        drawn.append(of_resample)
    return float(np.mean(values)), np.mean(drawn, axis=0)


def _carried(predictions, known, runs, outcome, resamples, seed) -> list[np.ndarray]:
    """Difference of the shares below the thresholds that a run's validation lesions give.

    Validation patients are resampled too, so that the interval holds the thresholds' uncertainty.
    """
    both, kind = [], int(outcome.measure == "missed")
    for s, run in zip(known, runs, strict=True):
        on = tables.scores(predictions, s.model, "validation")
        parts = [(x.truth, x.runs[:, run], x.patient) for x in (on, s)]
        _, value, drawn = carried(*parts, np.array([outcome.fnr]), resamples, seed)
        both.append((value[kind, 0], drawn[:, kind, 0]))
    return [first - second for first, second in zip(*both, strict=True)]


def _statistic(one: tables.Scores, outcome: Outcome) -> str | Callable:
    if outcome.measure == "auc":
        return "auc"
    if outcome.measure == "pairs":
        return _pairs_in_order(one)
    return lambda truth, score, times=None: roc.tnr_at(truth, score, outcome.fnr, times)[..., 0]


def _pairs_in_order(one: tables.Scores) -> Callable:
    """Share of the pairs, one of each truth on one image, that a score ranks rightly."""
    image = np.array([lesion.rpartition("@")[2] for lesion in one.lesion])  # finding@image
    malignant, benign = np.nonzero(one.truth[:, None] & ~one.truth & (image[:, None] == image))

    def share(truth, score, times=None):
        right = (np.sign(score[malignant] - score[benign]) + 1) / 2
        weight = np.ones(len(truth)) if times is None else times
        return right @ weight[malignant] / weight[malignant].sum(axis=0)

    return share


# ------------------------------------------------------------------ several
def pooled(values: Sequence[float], drawn: Sequence[np.ndarray] | None = None) -> dict:
    """Mean over seeds with both intervals (95 %, and 90 % for equivalence) and p of the t test.

    values : of each seed.  drawn : its value in resamples of its patients, (resamples,) each.
    """
    x, k = np.asarray(values, float), len(values)
    se = x.std(ddof=1) / np.sqrt(k) if k > 1 else np.nan
    mean, out = x.mean(), {}
    for level in (95, 90):
        width = stdtrit(k - 1, 0.5 + level / 200) * se if k > 1 else np.nan
        out |= {f"t_low_{level}": mean - width, f"t_high_{level}": mean + width}
        if drawn is not None:
            ends = np.quantile(_two_levels(np.array(drawn)), (0.5 - level / 200, 0.5 + level / 200))
            out |= dict(zip((f"low_{level}", f"high_{level}"), ends.tolist(), strict=True))
    p = 2 * stdtr(k - 1, -abs(mean) / se) if k > 1 and se > 0 else np.nan
    return {"value": mean, "seeds": k, "sd": x.std(ddof=1) if k > 1 else np.nan, "p": p} | out


def _two_levels(drawn: np.ndarray) -> np.ndarray:
    """Resampled means, (resamples,): seeds drawn with replacement, each with patients of its own."""
    k, n = drawn.shape
    rng = np.random.default_rng(SEED)
    return drawn[rng.integers(k, size=(n, k)), rng.integers(n, size=(n, k))].mean(axis=1)


def collected(
    scored: Mapping[str, pd.DataFrame], stored: Mapping[str, Mapping], resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Every outcome of one set of experiments: a row for each experiment, then the pooled one.

    scored : lesion scores by experiment.  stored : the content of its ``results.json``.
    """
    every, rows = {name: with_fusions(table) for name, table in scored.items()}, []
    for o in OUTCOMES:
        # resamples of a seed's own, whatever other seeds there are
        found = [of_seed(p, o, _number(name), resamples) for name, p in every.items()]
        values, drawn = zip(*found, strict=True)
        for name, value, of in zip(every, values, drawn, strict=True):
            low, high = np.quantile(of, (0.025, 0.975))
            ends = {"value": value, "low_95": low, "high_95": high}
            rows.append({"outcome": o.name, "experiment": name} | ends)
        both = pooled(values, drawn)
        head = {"outcome": o.name, "experiment": POOLED, "supports": o.supports}
        rows.append(head | both | {"holds": _holds(o.supports, both)})
    rows += _of_phantom(every, {name: stored[name]["phantom"] for name in every})
    table = pd.DataFrame(rows)
    first = table["outcome"].isin([o.name for o in PRIMARY]) & (table["experiment"] == POOLED)
    table.loc[first, "p_holm"] = holm(table.loc[first, "p"])
    table.loc[~first, "p"] = np.nan  # nothing is tested of the others
    return table


def _number(experiment: str) -> int:
    return int(re.search(r"\d+$", experiment)[0])


def _holds(supports: str, found: Mapping) -> bool | None:
    if supports == REPORTED:
        return None
    if supports == HALF:
        return bool(found["low_95"] <= 0.5 <= found["high_95"])
    return bool(found["low_95"] > float(supports.removeprefix(ABOVE)))


def _of_phantom(every: Mapping[str, pd.DataFrame], drawn: Mapping[str, Mapping]) -> list[dict]:
    """Shortfalls from ideal observers, leaks, and the observers, which need what was drawn."""
    asked = {}
    for model, (ideal, limit) in LIMITS.items():
        best = {name: found["ideal"][ideal]["value"] for name, found in drawn.items()}
        runs = {name: tables.scores(p, model).over_runs(roc.auc) for name, p in every.items()}
        values = {name: {"value": best[name] - runs[name].mean} for name in every}
        asked[f"shortfall of {model} from ideal {ideal}"] = values, f"pooled within ±{limit:g}"
    for key, (said, latent, wanted) in WITHIN_TRUTH.items():
        values = {name: found["within_truth"][key] for name, found in drawn.items()}
        supports = f"each below {LEAK:g} in size" if wanted is False else REPORTED
        asked[f"correlation within truth of {said} and {latent}"] = values, supports
    for observer in OBSERVERS:
        values = {name: found["ideal"][observer] for name, found in drawn.items()}
        asked[f"AUC of ideal {observer}"] = values, REPORTED
    rows = []
    for outcome, (values, supports) in asked.items():
        for name, entry in values.items():
            ends = {"low_95": entry.get("low"), "high_95": entry.get("high")}
            rows.append({"outcome": outcome, "experiment": name, "value": entry["value"]} | ends)
        each = [entry["value"] for entry in values.values()]
        limit = re.search(r"[\d.]+", supports)
        judged = [np.mean(each)] if supports.startswith(POOLED) else each
        holds = bool(np.max(np.abs(judged)) < float(limit[0])) if limit else None
        head = {"outcome": outcome, "experiment": POOLED, "supports": supports}
        rows.append(head | pooled(each) | {"holds": holds})
    return rows


def equivalent(table: pd.DataFrame) -> pd.DataFrame:
    """The pooled primary outcomes of the controls: is the gain none, within the margin?

    Two one-sided tests at 5 %, that is, the 90 % interval inside the margin; p of the t test.
    """
    rows = table[table["outcome"].isin([o.name for o in PRIMARY]) & (table["experiment"] == POOLED)]
    # the adjusted p is of a gain
    rows = rows.assign(supports=f"90 % interval within ±{MARGIN:g}", p_holm=np.nan)
    se = rows["sd"] / np.sqrt(rows["seeds"])
    rows["p"] = stdtr(rows["seeds"] - 1, (rows["value"].abs() - MARGIN) / se)
    rows["holds"] = (rows["low_90"] > -MARGIN) & (rows["high_90"] < MARGIN)
    rows["holds_t"] = (rows["t_low_90"] > -MARGIN) & (rows["t_high_90"] < MARGIN)
    return rows


def exchanged(resamples: int = RESAMPLES) -> dict[str, dict]:
    """What the saliency of another patient adds: experiment -> primary gain, AUC -> value, ends.

    Outside the protocol.  Intervals are over the patients, of the mean of the runs.
    """
    outcomes, found = (*PRIMARY[:2], *map(auc_of, ("S", "E", "E+S"))), {}
    for name, scored in read(EXCHANGED)[0].items():
        for o in outcomes:
            value, drawn = of_seed(scored, o, _number(name), resamples)
            low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
            found.setdefault(name, {})[o.name] = {"value": value, "low": low, "high": high}
    return found


# ------------------------------------------------------------------ files
def names_of(kind: str) -> list[str]:
    """The experiments of a kind of :data:`SETS`, or of a pattern, those without results too."""
    return [name for name in experiment_names() if re.fullmatch(SETS.get(kind, kind), name)]


def read(kind: str) -> tuple[dict[str, pd.DataFrame], dict[str, Mapping]]:
    """Lesion scores and ``results.json`` of the experiments of a kind that have both, by name."""
    scored, stored = {}, {}
    for name in names_of(kind):
        place = figures_folder(name)
        if (file := tables.stored_file(place / "predictions.csv")) and (place / RESULTS).is_file():
            scored[name] = tables.read_predictions(file)
            stored[name] = files.read_json(place / RESULTS)
    return scored, stored


def write(resamples: int = RESAMPLES) -> dict:
    """Write ``evidence.csv``, ``evidence.md`` and ``evidence.json``; returns the last one's content.

    Raises InputError where no experiment of the evidence has results.
    """
    parts, used = [], {}
    for kind in SETS:
        scored, stored = read(kind)
        used[kind] = {name: found["provenance"] for name, found in stored.items()}
        if scored:
            table = collected(scored, stored, resamples)
            if kind == "control":
                table = pd.concat([table.drop(columns=["supports", "holds"]), equivalent(table)])
                table = table.drop_duplicates(["outcome", "experiment"], keep="last")
            parts.append(table.assign(set=kind))
    if not parts:
        raise InputError(
            "no experiment has results", figures_folder("evidence"), "Run study evidence"
        )
    table = pd.concat(parts, ignore_index=True)
    first = ["set", "outcome", "experiment", "value", "low_95", "high_95"]
    table = table[[*first, *table.columns.difference(first, sort=False)]]
    place = figures_folder("evidence")
    files.write_text(place / "evidence.csv", table.to_csv(index=False, float_format="%.6g"))
    files.write_text(place / "evidence.md", tables.to_markdown(shown(table)) + "\n")
    missing = [name for kind in SETS for name in names_of(kind) if name not in used[kind]]
    content = {"missing": missing, "pooled": flat(table), "exchanged": exchanged(resamples)}
    content |= {"provenance": used}
    files.write_json(place / "evidence.json", content)
    return content


def stored() -> pd.DataFrame | None:
    """``evidence.csv`` as it was written, or None where one of the protocol's experiments is missing."""
    place = figures_folder("evidence")
    missing = files.read_json(place / "evidence.json", {"missing": ["all"]})["missing"]
    return None if missing else pd.read_csv(place / "evidence.csv")


def judged(kind: str) -> str:
    """The test lesions of all experiments of a kind, for a caption; see :func:`read`."""
    found = [files.read_json(figures_folder(n) / RESULTS)["models"]["E"] for n in names_of(kind)]
    n, bad, people = (sum(x[k] for x in found) for k in ("lesions", "malignant", "patients"))
    return f"{len(found)} test splits: {n:,} lesions ({bad:,} malignant), {people:,} patients"


def less_controls(table: pd.DataFrame, outcome: str) -> tuple[float, float, float]:
    """Mean of the phantoms less that of the controls, with Welch's 95 % t interval.

    table : :func:`stored`.  Outside the protocol.
    """
    rows = table[(table["outcome"] == outcome) & (table["experiment"] != POOLED)]
    here, there = (rows.loc[rows["set"] == kind, "value"] for kind in SETS)
    ends = ttest_ind(here, there, equal_var=False).confidence_interval()
    return here.mean() - there.mean(), *map(float, ends)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The pooled rows as a reader wants them: value, both intervals, what was asked, its answer."""
    rows = table[table["experiment"] == POOLED]
    ends = ["low_95", "high_95", "low_90", "high_90", "t_low_95", "t_high_95"]
    wide = rows[["set", "outcome", "value", *ends]].assign(
        seeds=rows["seeds"].astype(int), p_holm=rows["p_holm"]
    )
    answers = rows["holds"].map({True: "yes", False: "no"}).fillna("")
    return wide.assign(supports=rows["supports"].fillna(REPORTED), holds=answers)


def flat(table: pd.DataFrame) -> dict[str, dict]:
    """Pooled values by "<set>.<key>": value, low and high (95 %, see kind), t_low, seeds, p ..."""
    names = {"low_95": "low", "high_95": "high", "t_low_95": "t_low", "t_high_95": "t_high"}
    keep = ["value", *names, "low_90", "high_90", "sd", "p", "p_holm", "supports", "holds"]
    rows = table[table["experiment"] == POOLED]
    keys = {o.name: o.key for o in OUTCOMES}
    return {
        f"{row['set']}.{keys.get(row['outcome'], row['outcome'])}": {
            names.get(k, k): row[k] for k in keep if pd.notna(row[k])
        }
        | {"seeds": int(row["seeds"]), "kind": BOOTSTRAP if pd.notna(row["low_95"]) else T}
        for row in rows.to_dict("records")
    }


def told(pooled: Mapping[str, Mapping], key: str, name: str) -> str:
    """A line on one outcome of ``evidence.json``: pooled, and in the controls where they were run."""
    here, control = pooled[f"evidence.{key}"], pooled.get(f"control.{key}")
    ends = "[{low:+.3f}, {high:+.3f}]".format(**here)
    line = f"- {name}: **{here['value']:+.3f}** {ends} over {here['seeds']} phantoms"
    if control:
        ends = "[{low_90:+.3f}, {high_90:+.3f}]".format(**control)
        line += f"; in {control['seeds']} controls {control['value']:+.3f}, 90 % {ends}, "
        line += f"{'' if control['holds'] else 'not '}within the margin of {MARGIN:g}"
        line += ", though not 0" if control["low_90"] > 0 else ""
    return line + "."
