"""Intervals over patients: resamples drawn once for all metrics and models against drawn for each.

    python benchmarks/bench_statistics.py [RESAMPLES]

A made-up test set of 600 lesions of 260 patients, eight models, 2,000 resamples: the AUC of each
model and the 28 paired differences; TNR at the FNRs of table 2 and along figure 7.  Each metric is
computed with resamples kept and all at once, and with resamples drawn and gone through for this
number alone; the numbers are the same to the last bit.  The last line is what one would write with
scikit-learn, one AUC per resample, for a single model.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import combinations

import numpy as np
from sklearn.metrics import roc_auc_score
from timing import interleaved, report

from lesionlib.metrics import interval, paired_difference, roc, tnr_at
from lesionlib.metrics.resampling import _Resamples, band

LESIONS, PATIENTS, MODELS, RESAMPLES = 600, 260, 8, 2000


def made_up():
    """Truth (lesions,), scores (models, lesions) and patient (lesions,)."""
    rng = np.random.default_rng(1)
    more = rng.integers(PATIENTS, size=LESIONS - PATIENTS)
    truth = rng.random(LESIONS) < 0.23
    scores = truth * rng.uniform(0.3, 1.2, (MODELS, 1)) + rng.normal(size=(MODELS, LESIONS))
    return truth, scores, np.concatenate([np.arange(PATIENTS), more])


def aucs(data, n: int, *, drawn_for_each: bool) -> list:
    """Eight intervals and 28 of differences."""
    truth, scores, patient = data
    calls = [partial(interval, truth, score, patient) for score in scores]
    calls += [partial(paired_difference, truth, *two, patient) for two in combinations(scores, 2)]
    _Resamples.cache_clear()
    found = []
    for call in calls:
        found.append(call(n=n))
        if drawn_for_each:
            _Resamples.cache_clear()
    return found


def tnr(data, n: int, fnr, *, at_once: bool):
    """TNR with its intervals, from kept resamples or one resample after the other."""
    truth, scores, patient = data
    if at_once:
        return band(truth, scores[0], patient, partial(tnr_at, fnr=fnr), n)
    _Resamples.cache_clear()
    return band(truth, scores[0], patient, lambda t, s: tnr_at(t, s, fnr), n)


def with_scikit_learn(data, n: int) -> np.ndarray:
    """The interval of one AUC."""
    truth, scores, patient = data
    rows = [np.flatnonzero(patient == p) for p in range(PATIENTS)]
    rng, values = np.random.default_rng(0), []
    for _ in range(n):
        drawn = np.concatenate([rows[p] for p in rng.integers(PATIENTS, size=PATIENTS)])
        values.append(roc_auc_score(truth[drawn], scores[0][drawn]))
    return np.quantile(values, (0.025, 0.975))


def measure(n: int, turns: int = 5) -> list[dict]:
    """Rows of the table: how many times as long the other way takes, and the seconds of both."""
    data = made_up()
    curve = roc.tnr_curve(data[0], data[1][0])["fnr"].to_numpy()
    pairs = {"8 AUCs, 28 differences": [partial(aucs, data, n, drawn_for_each=e) for e in (0, 1)]}
    for name, fnr in ((f"TNR at {len(roc.FNR)} FNRs", roc.FNR), ("TNR along figure 7", curve)):
        pairs[name] = [partial(tnr, data, n, fnr, at_once=once) for once in (1, 0)]
    pairs["AUC, scikit-learn"] = [
        partial(interval, *(data[0], data[1][0], data[2]), n=n),
        partial(with_scikit_learn, data, n),
    ]
    cases = {f"{name}/{k}": way for name, ways in pairs.items() for k, way in enumerate(ways)}
    took, rows = interleaved(cases, turns), []
    for name in pairs:
        ours, other = took[f"{name}/0"], took[f"{name}/1"]
        seconds = {"ours (s)": ours.median(), "other (s)": other.median()}
        rows.append({"numbers": name, "times faster": (other / ours).median(), **seconds})
    return rows


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    n = int(argv[0]) if argv else RESAMPLES
    print(f"{n} resamples of {PATIENTS} patients, {LESIONS} lesions")
    report("statistics", measure(n))
    return 0


if __name__ == "__main__":
    sys.exit(main())
