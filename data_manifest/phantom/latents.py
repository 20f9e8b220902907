"""Who is in the phantom, and what the best possible observer makes of it.

Truth t of a lesion is malignant (1) or benign (0).  Two kinds of numbers carry it:

- u, one per lesion and view:  u = (t - 1/2) d_local + a z_lesion + b z_view
- c, one per half and view:    c = (M - 1/2) d_context + a z_half + b z_view

with M = 1 where that half of the breast, upper or lower, holds a malignant lesion, z standard
normal, a^2 = view_correlation and a^2 + b^2 = 1.  A half holds one lesion or none.  The half of the
first lesion is drawn anew for each view, by a fair coin; a second lesion is in the other half, and
z_half goes with the lesion.  The picture shows u in the lesion alone, and c in its half alone, away
from every lesion.  The model is so small that Bayes' rule gives the exact probability that a lesion
is malignant, which no network that sees the lesion and its context can beat on average, whatever
its size.  (The u of a second lesion and the other view would add a little; the networks here read
neither.)
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from data_manifest.manifest import AGGREGATION
from data_manifest.phantom.settings import PhantomSettings
from lesionlib.seeds import rng

VIEWS = ("CC", "MLO")
HALVES = ("upper", "lower")
GROUPS = {  # group of patients -> prefix of their ids, split, have lesions
    "training": ("TR", "training", True),
    "negative": ("NE", "training", False),
    "aggregation": ("AG", AGGREGATION, True),
    "aggregation_negative": ("AN", AGGREGATION, False),
    "validation": ("VA", "validation", True),
    "test": ("TE", "test", True),
}
COLUMNS = [
    "image_id", "patient_id", "finding_id", "split", "view", "laterality",
    "malignant", "image_malignant", "n_lesions", "u", "half", "c", "c_other",
]  # fmt: skip


def draw_cases(settings: PhantomSettings, seed: int) -> pd.DataFrame:
    """The truth table: one row for each lesion on each image, or one for an image without lesion.

    Columns: image_id, patient_id, finding_id (shared by the two views; empty without lesion),
    split, view, laterality, malignant (0, 1; empty without lesion), image_malignant (M), n_lesions,
    u (empty without lesion), half ("upper", "lower") and its c, c_other of the other half; an image
    without lesion has its upper half's first.  Ordered by group, patient, view, lesion.

    Every quantity has a random stream of its own, so a change of one setting, or of the number of
    patients of one group, leaves the draws of all others as they were.
    """
    parts = [_draw_group(settings, seed, group) for group in GROUPS]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _draw_group(s: PhantomSettings, seed: int, group: str) -> pd.DataFrame:
    """The rows of one group's patients."""
    prefix, split, with_lesions = GROUPS[group]
    n = getattr(s, group)
    draw = {
        name: rng(seed, "phantom", group, name)
        for name in ("truth", "laterality", "context", "local", "half")
    }
    count, truth = _draw_truth(s, draw["truth"].random((n, 2)), with_lesions)
    side = np.where(draw["laterality"].random(n) < s.right_breasts, "R", "L")
    present = truth.max(axis=1)
    # c (patient, half, view) and u (patient, lesion, view): in the order of the lesions, and drawn
    # for a second one in any case; where there is none its truth is 0, so its half is as benign
    c = _latent(s, truth, s.context_effect, draw["context"].standard_normal((n, 2, 3)))
    u = _latent(s, truth, s.local_effect, draw["local"].standard_normal((n, 2, 3)))
    p, v, k = _rows(count)
    has = count[p] > 0
    patient = np.array([f"{prefix}{i + 1:04d}" for i in range(n)], dtype=object)[p]
    view = np.array(VIEWS, dtype=object)[v]
    letter = np.array(["_a", "_b"], dtype=object)[k]
    first = (draw["half"].random((n, len(VIEWS))) < 0.5) & with_lesions  # in the lower half
    half = np.array(HALVES, dtype=object)[first[p, v].astype(int) ^ k]
    columns = {
        "image_id": patient + "_" + view,
        "patient_id": patient,
        "finding_id": np.where(has, patient + letter, ""),
        "split": split,
        "view": view,
        "laterality": side[p],
        "malignant": pd.Series(truth[p, k], dtype="Int64").where(has),
        "image_malignant": present[p],
        "n_lesions": count[p],
        "u": np.where(has, u[p, k, v], np.nan),
        "half": half,
        "c": c[p, k, v],
        "c_other": c[p, 1 - k, v],
    }
    return pd.DataFrame(columns)[COLUMNS]


def _latent(s: PhantomSettings, truth: np.ndarray, effect: float, z: np.ndarray) -> np.ndarray:
    """Truth (...,), normal numbers (..., 3) -> the latent of both views (..., 2)."""
    shared, own = np.sqrt(s.view_correlation), np.sqrt(1 - s.view_correlation)
    return (truth[..., None] - 0.5) * effect + shared * z[..., :1] + own * z[..., 1:]


def _rows(count: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patient, view and lesion of each row; an image without lesion keeps one row, for its c."""
    p, v, k = (x.ravel() for x in np.indices((len(count), len(VIEWS), 2)))
    keep = k < np.maximum(count, 1)[p]
    return p[keep], v[keep], k[keep]


def _draw_truth(s: PhantomSettings, x: np.ndarray, with_lesions: bool) -> tuple:
    """Uniform numbers (n, 2) -> lesions of each breast (n,), their truths (n, 2)."""
    if not with_lesions:
        return np.zeros(len(x), int), np.zeros((len(x), 2), int)
    two = x[:, 0] < s.second_lesion
    # cumulated over (t_a, t_b) = 11, 10, 01, 00: each of two lesions is malignant as often as one
    # alone, so that neither the number of lesions nor the letter tells anything
    p, half = s.prevalence, s.second_differs / 2
    pair = x[:, 1:] < np.array([p - half, p, p + half])
    a = np.where(two, pair[:, 1], x[:, 1] < p)
    b = two & (pair[:, 0] | (pair[:, 2] & ~pair[:, 1]))
    return np.where(two, 2, 1), np.stack([a, b], axis=1).astype(int)


# ------------------------------------------------------------------ the ideal observers
def ideal_scores(truth: pd.DataFrame, settings: PhantomSettings) -> pd.DataFrame:
    """The exact probability that each lesion is malignant, from what an observer may see.

    Parameters
    ----------
    truth : rows of :func:`draw_cases`; those without lesion are left out.

    Returns
    -------
    One row per lesion and image: image_id, finding_id, lesion_id (if truth has it) and

    - local : from the lesion's own u
    - context : from the c of both halves and the half that the lesion is in
    - context_no_place : from the c of both halves alone
    - both : from u, the c of both halves and the lesion's half
    - both_no_place : the same without its half; what a late fusion of local and context can reach
    - evidence, evidence_no_place : logarithm of the likelihood ratio of the context, malignant to
      benign

    Each knows whether the breast holds one lesion or two.  Given the lesion's truth, u and the c
    are independent, so logit both = logit local + evidence.  Added to the logit of a network's
    score, evidence shows what a perfect reading of the context would bring to that network.
    """
    rows = truth[truth["n_lesions"] > 0]
    prior = logit(settings.prevalence)
    own = settings.local_effect * rows["u"].to_numpy(float)
    placed, unplaced = _evidence(
        *rows[["c", "c_other"]].to_numpy(float).T, rows["n_lesions"].to_numpy(), settings
    )
    ids = [name for name in ("image_id", "finding_id", "lesion_id") if name in rows]
    return (
        rows[ids]
        .reset_index(drop=True)
        .assign(
            local=expit(prior + own),
            context=expit(prior + placed),
            context_no_place=expit(prior + unplaced),
            both=expit(prior + own + placed),
            both_no_place=expit(prior + own + unplaced),
            evidence=placed,
            evidence_no_place=unplaced,
        )
    )


def _evidence(
    own: np.ndarray, other: np.ndarray, n_lesions: np.ndarray, s: PhantomSettings
) -> tuple[np.ndarray, np.ndarray]:
    """log p(context | malignant) / p(context | benign): where its half is known, and where not.

    own : c of the lesion's half.  other : c of the other half.
    """
    d, prior = s.context_effect, logit(s.prevalence)
    # one lesion: the other half is drawn as benign, whatever the lesion is
    one = np.logaddexp(d * own, d * other) - np.log(2)
    # two: the prior of the pair (truth in own half, in the other), times the likelihood of both c
    p, mixed = s.prevalence, s.second_differs / 2
    with np.errstate(divide="ignore"):  # a setting may exclude pairs of one truth, or mixed ones
        pair = np.log([[1 - p - mixed, mixed], [mixed, p - mixed]])[..., None]
    i, j = np.indices((2, 2))[..., None]
    weight = pair + i * d * own + j * d * other
    own_half = np.diff(np.logaddexp(weight[:, 0], weight[:, 1]), axis=0)[0]
    other_half = np.diff(np.logaddexp(weight[0], weight[1]), axis=0)[0]
    # the lesion is in either half with equal chance: the mean of the two posteriors
    unplaced = logit((expit(own_half) + expit(other_half)) / 2) - prior
    two = n_lesions == 2
    return np.where(two, own_half - prior, d * own), np.where(two, unplaced, one)
