"""The phantom: its optimum is what theory says, and truth shows nowhere but where it should."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.special import logit
from scipy.stats import ks_2samp, norm
from sklearn.metrics import roc_auc_score

from data_manifest.images.store import build_store
from data_manifest.phantom import reader as phantom
from data_manifest.phantom.files import cases, polygon_text, write_phantom
from data_manifest.phantom.reader import PhantomSettings, draw_cases, ideal_scores
from data_manifest.phantom.render import Case, render, strength
from data_manifest.shapes import rasterise
from lesionlib.errors import InputError

TINY = PhantomSettings(training=3, negative=2, validation=2, test=2, second_lesion=0.5)
OBSERVERS = ("local", "context", "context_no_place", "both", "both_no_place")
NONE, UPPER, LOWER, ALL = (-9.0, -9.0), (9.0, -9.0), (-9.0, 9.0), (9.0, 9.0)  # c: where specks lie


def case(u=(0.0,), c=(0.0, 0.0), *, view="CC", laterality="L", halves=(0, 1), seed=5) -> Case:
    return Case("X_CC", view, laterality, tuple(u), c, halves, seed, 6)


def distance_px(outlines, shape) -> np.ndarray:
    """px from every pixel's centre to the nearest corner of an outline."""
    y, x = (np.arange(n, dtype=np.float32) + 0.5 for n in shape)
    square = np.full(shape, np.inf, np.float32)
    for a, b in np.concatenate(outlines).astype(np.float32):
        np.minimum(square, (x - a) ** 2 + (y[:, None] - b) ** 2, out=square)
    return np.sqrt(square)


def population(**changes) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Truth, ideal scores and labels of 24,000 patients, 48,000 images."""
    settings = PhantomSettings(training=1, negative=0, validation=1, test=24000, **changes)
    truth = draw_cases(settings, 1)
    return truth, ideal_scores(truth, settings), truth["malignant"].to_numpy(int)


@pytest.fixture(scope="module")
def people():
    return population()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("phantom") / "whole"
    write_phantom(place, TINY, seed=3, workers=1)
    return place


# ------------------------------------------------------------------ latents
def test_population_auc_of_the_ideal_observers(people):
    """An AUC of 62,000 lesions of 24,000 patients has a standard error of about .002.

    Truths of two lesions are independent here, so the other half tells nothing where the place is
    known, and every observer who knows it sees one normal number.
    """
    _, ideal, y = people
    apart = {"local": 1.22, "context": 1.5, "both": np.hypot(1.22, 1.5)}
    for name, d in apart.items():
        expected = norm.cdf(d / np.sqrt(2))  # .806, .856, .914
        assert roc_auc_score(y, ideal[name]) == pytest.approx(expected, abs=0.007), name


def test_population_auc_without_the_place(people):
    """Lesions alone in their breast, against a simulation that shares no line with the phantom."""
    truth, ideal, y = people
    single = (truth["n_lesions"] == 1).to_numpy()
    random = np.random.default_rng(8)
    t = random.random(200_000) < 0.4
    likelihood = np.exp(1.5 * random.normal([1.5 * t - 0.75, 0 * t - 0.75])).sum(axis=0)
    u = random.normal(1.22 * t - 0.61)
    known = {"context_no_place": likelihood, "both_no_place": likelihood * np.exp(1.22 * u)}
    for name, score in known.items():
        expected = roc_auc_score(t, score)
        assert roc_auc_score(y[single], ideal[name][single]) == pytest.approx(expected, abs=0.008)


def enumerated(truth: pd.DataFrame, s: PhantomSettings) -> pd.DataFrame:
    """Bayes' rule by brute force: every half of the lesion, every truth of it and of another."""
    p, mixed = s.prevalence, s.second_differs / 2
    pairs = {(1, 1): p - mixed, (1, 0): mixed, (0, 1): mixed, (0, 0): 1 - p - mixed}
    two, half = truth["n_lesions"] == 2, (truth["half"] == "lower").astype(int)
    own, other = truth["c"], truth["c_other"]
    c = np.where(half == 0, [own, other], [other, own])  # upper, lower
    names = [(name, t) for name in OBSERVERS for t in (0, 1)]
    total = {name: np.zeros(len(truth)) for name in names}
    for t, t_other, place in itertools.product((0, 1), (0, 1), (0, 1)):
        prior = np.where(two, pairs[t, t_other], (1 - t_other) * (p if t else 1 - p)) / 2
        u = norm.pdf(truth["u"], (t - 0.5) * s.local_effect)
        at = norm.pdf(c[place], (t - 0.5) * s.context_effect)
        at *= norm.pdf(c[1 - place], (t_other - 0.5) * s.context_effect)
        seen = {"local": u, "context_no_place": at, "both_no_place": u * at}
        seen |= {"context": at * (half == place), "both": u * at * (half == place)}
        for name, likelihood in seen.items():
            total[name, t] += prior * likelihood
    share = {k: total[k, 1] / (total[k, 0] + total[k, 1]) for k in OBSERVERS}
    return pd.DataFrame(share)


@pytest.mark.parametrize(
    ("patients", "changes"),
    [
        (100_000, {}),
        (5_000, {"prevalence": 0.3, "second_differs": 0.5, "context_effect": 2.0}),
        (5_000, {"second_differs": 0.0, "second_lesion": 1.0, "local_effect": 0.5}),
        (5_000, {"prevalence": 0.5, "second_differs": 1.0}),
    ],
)
def test_ideal_scores_equal_an_enumeration(patients, changes):
    s = PhantomSettings(training=1, negative=3, validation=1, test=patients, **changes)
    truth = draw_cases(s, 4)
    got = ideal_scores(truth, s)
    expected = enumerated(truth[truth["n_lesions"] > 0].reset_index(drop=True), s)
    for name in OBSERVERS:
        np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=1e-10, err_msg=name)
    for name in ("", "_no_place"):
        added = logit(got["local"]) + got["evidence" + name]
        np.testing.assert_allclose(logit(got["both" + name]), added, atol=1e-9)


def test_ideal_scores_are_calibrated(people):
    _, ideal, y = people
    for name in OBSERVERS:
        bins = np.clip((ideal[name] * 10).astype(int), 0, 9)
        for b, size in zip(*np.unique(bins, return_counts=True), strict=True):
            inside = (bins == b).to_numpy()
            error = y[inside].mean() - ideal[name][inside].mean()
            assert abs(error) < 5 * 0.5 / np.sqrt(size / 2), (name, b, size, error)


def test_the_other_half_tells_nothing_where_truths_are_independent(people):
    truth, ideal, _ = people
    np.testing.assert_allclose(ideal["evidence"], 1.5 * truth["c"], atol=1e-9)
    pairs = truth[truth["n_lesions"] == 2].pivot_table(
        index="image_id", columns=truth["finding_id"].str[-1], values="malignant"
    )
    assert abs(pairs["a"].astype(float).corr(pairs["b"].astype(float))) < 0.04
    _, dependent, _ = population(second_differs=0.1)
    two = (truth["n_lesions"] == 2).to_numpy()
    assert (dependent["evidence"] - 1.5 * truth["c"])[two].abs().max() > 1


def test_control_draws_the_same_but_context_tells_nothing(people):
    truth, ideal, y = people
    control, ideal_control, y_control = population(context_effect=0.0)
    for name in ("evidence", "evidence_no_place"):
        np.testing.assert_allclose(ideal_control[name], 0, atol=1e-12)
    np.testing.assert_allclose(ideal_control["both"], ideal["local"])
    assert [c for c in truth if not truth[c].equals(control[c])] == ["c", "c_other"]
    second = truth.groupby("image_id")["malignant"].transform("sum") - truth["malignant"]
    for name, malignant in (("c", truth["malignant"]), ("c_other", second)):
        shift = (truth[name] - control[name]).to_numpy(float)
        np.testing.assert_allclose(shift, (malignant.to_numpy(float) - 0.5) * 1.5)
        assert abs(roc_auc_score(y_control, control[name]) - 0.5) < 0.01


def test_latents_have_unit_spread_and_the_views_correlate(people):
    truth, _, _ = people
    rest = truth[["finding_id", "view"]].assign(
        u=truth["u"] - 1.22 * (truth["malignant"].astype(float) - 0.5),
        c=truth["c"] - 1.5 * (truth["malignant"].astype(float) - 0.5),
        c_other=truth["c_other"].where(truth["n_lesions"] == 1) + 0.75,
    )
    names = ["u", "c", "c_other"]
    for name in names:
        wide = rest.pivot(index="finding_id", columns="view", values=name)
        assert wide["CC"].mean() == pytest.approx(0, abs=0.03)
        assert wide["CC"].std() == pytest.approx(1, abs=0.03)
        assert wide["CC"].corr(wide["MLO"]) == pytest.approx(0.3, abs=0.04)
    between = rest[names].corr().to_numpy()[np.triu_indices(3, 1)]
    assert np.abs(between).max() < 0.03  # given the truth nothing ties them


def test_neither_number_nor_letter_nor_half_of_a_lesion_tells_truth(people):
    truth, _, y = people
    two = (truth["n_lesions"] == 2).to_numpy()
    second = truth["finding_id"].str.endswith("_b").to_numpy()
    upper = (truth["half"] == "upper").to_numpy()
    for group in (~two, two & ~second, two & second, upper, ~upper):
        assert y[group].mean() == pytest.approx(0.4, abs=0.03)
    pairs = truth[two].groupby("image_id")["malignant"].nunique()
    assert (pairs == 2).mean() == pytest.approx(0.48, abs=0.03)
    assert truth.loc[two, "patient_id"].nunique() / 24000 == pytest.approx(0.3, abs=0.012)


def test_halves_are_fair_coins_of_each_view_and_a_second_lesion_takes_the_other(people):
    truth, _, _ = people
    first = truth[truth["finding_id"].str.endswith("_a")]
    views = first.pivot(index="patient_id", columns="view", values="half") == "upper"
    for coin in (views["CC"], views["MLO"], views["CC"] == views["MLO"]):
        assert coin.mean() == pytest.approx(0.5, abs=0.015)
    pairs = truth[truth["n_lesions"] == 2]
    assert pairs.groupby("image_id")["half"].nunique().eq(2).all()
    a, b = (pairs[pairs["finding_id"].str.endswith(k)].set_index("image_id") for k in ("_a", "_b"))
    assert a["c"].equals(b["c_other"]) and b["c"].equals(a["c_other"])


@pytest.mark.parametrize(
    ("change", "columns"),
    [
        ({"local_effect": 0.5}, ["u"]),
        ({"context_effect": 0.5}, ["c", "c_other"]),
        ({"right_breasts": 0.0}, ["laterality"]),
    ],
)
def test_a_setting_moves_no_other_draw(change, columns):
    before, after = (
        draw_cases(s, 1) for s in (PhantomSettings(), PhantomSettings().model_copy(update=change))
    )
    assert [c for c in before if not before[c].equals(after[c])] == columns


def test_a_second_lesion_leaves_the_first_as_it_was():
    kept = ["image_id", "malignant", "u", "half", "c", "laterality"]
    one, two = (draw_cases(PhantomSettings(second_lesion=share), 1) for share in (0.0, 1.0))
    firsts = [x[~x["finding_id"].str.endswith("_b")][kept] for x in (one, two)]
    pd.testing.assert_frame_equal(*(x.reset_index(drop=True) for x in firsts))


def test_more_patients_leave_the_others_as_they_were():
    some = draw_cases(TINY, 1)
    more = draw_cases(TINY.model_copy(update={"training": 5, "aggregation": 4, "test": 7}), 1)
    pd.testing.assert_frame_equal(
        some, more[more["patient_id"].isin(some["patient_id"])].reset_index(drop=True)
    )
    other = draw_cases(TINY, 2).drop_duplicates("image_id")["c"].to_numpy()
    assert not np.isin(some["c"], other).any()


def test_splits_are_disjoint_and_as_large_as_asked():
    truth = draw_cases(TINY, 1)
    assert truth.groupby("patient_id")["split"].nunique().eq(1).all()
    patients = truth.drop_duplicates("patient_id")
    assert patients["split"].value_counts().to_dict() == {"training": 5, "validation": 2, "test": 2}
    assert truth["image_id"].nunique() == 18
    negative = truth[truth["n_lesions"] == 0]
    assert len(negative) == 4 and negative["malignant"].isna().all() and negative["u"].isna().all()
    assert negative[["c", "c_other"]].notna().all(axis=None)


def test_the_halves_of_a_breast_without_lesions_are_as_benign():
    s = PhantomSettings(training=1, negative=5000, validation=1, test=1)
    negative = draw_cases(s, 1).query("n_lesions == 0")
    for name in ("c", "c_other"):
        assert negative[name].mean() == pytest.approx(-0.75, abs=0.04)


# ------------------------------------------------------------------ picture
def images(number: int, **changes):
    """So many cases of one lesion, half of them in the lower half, both views."""
    for seed in range(number):
        view, halves = ("CC", "MLO")[seed % 2], ((0, 1), (1, 0))[seed // 2 % 2]
        yield case(view=view, halves=halves, seed=seed, **changes)


def added(drawn: Case, c: tuple, s: PhantomSettings) -> np.ndarray:
    """px by which specks brighten the picture: bool, the core of each speck."""
    some, none = (render(replace(drawn, c=x), s).pixels.astype(int) for x in (c, NONE))
    return some - none > 30


def border(picture) -> float:
    rows = np.flatnonzero(picture.pixels.any(axis=1))
    return (rows[0] + rows[-1] + 1) / 2


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_context_shows_only_out_of_reach_of_every_window(view):
    s = PhantomSettings()
    for u in ((0.3,), (1.0, -1.0)):
        none = render(case(u, NONE, view=view), s)
        both = render(case((0.0, 0.0), NONE, view=view), s)  # its second is the empty half's place
        away = distance_px(both.outlines, none.pixels.shape)
        near = away <= np.hypot(48, 48) + 2  # a window of 48 px that touches the outline, its rim
        for c in (UPPER, LOWER, ALL):
            some = render(case(u, c, view=view), s)
            np.testing.assert_array_equal(none.outlines, some.outlines)
            np.testing.assert_array_equal(none.pixels[near], some.pixels[near])


def test_specks_lie_in_the_half_of_their_c():
    s = PhantomSettings()
    for drawn in images(6):
        middle = border(render(drawn, s))
        above = np.arange(s.rows)[:, None] < middle
        upper, lower = (added(drawn, c, s) for c in (UPPER, LOWER))
        for mask, own in ((upper, above), (lower, ~above)):
            assert (mask & own).sum() > 300
            edge = np.abs(np.nonzero(mask & ~own)[0] - middle)  # a speck's radius, no more
            assert edge.max(initial=0) <= 3
        each = added(drawn, ALL, s)
        assert (each != upper | lower).sum() < 0.01 * each.sum()  # some px lie at the limit of 30


def test_windows_that_touch_a_lesion_see_the_same_whatever_c():
    """The worst window: the largest, turned, with the outline in its outermost corner.

    No pixel of it moves.  Networks see it standardised by mean and SD of the whole picture, which
    specks do move: by what the limits below allow, in SD of the picture's grey.
    """
    s, seen, moved = PhantomSettings(), 0, []
    angles = np.radians(np.arange(0, 360, 15))
    axes = np.stack([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]])
    for drawn in images(8):
        none = render(replace(drawn, c=NONE), s)
        corners = none.outlines[0][::8, None]
        centres = corners - s.side_max / 2 * axes.sum(axis=0).T  # (corner, angle, xy)
        touched = none.pixels[distance_px(none.outlines, none.pixels.shape) < 40]
        for c in (UPPER, LOWER, ALL):
            some = render(replace(drawn, c=c), s)
            y, x = np.nonzero(none.pixels != some.pixels)
            assert len(y) > 2500
            for centre, axis in zip(
                np.moveaxis(centres, 1, 0), np.moveaxis(axes, 2, 0), strict=True
            ):
                place = (np.stack([x, y], -1) + 0.5 - centre[:, None]) @ axis.T
                seen += (np.abs(place) <= s.side_max / 2 + 2).all(axis=-1).sum()
            grey = [(touched - p.pixels.mean()) / p.pixels.std() for p in (none, some)]
            moved.append(grey[1] - grey[0])
    assert seen == 0
    mean = [abs(shift.mean()) for shift in moved]
    assert np.max(mean) < 0.02 and np.mean(mean) < 0.006
    assert max(abs(shift).max() for shift in moved) < 0.06  # of a single pixel


def test_an_empty_half_looks_as_the_half_of_a_benign_lesion():
    """Specks lie where they would lie were there a lesion, so no gap among them is missing."""
    s, nearest, share = PhantomSettings(), {0: [], 1: []}, []
    for drawn in images(24):
        places = [o.mean(axis=0) for o in render(replace(drawn, u=(0.0, 0.0)), s).outlines]
        alone = added(drawn, ALL, s)
        beside = added(replace(drawn, u=(0.0, 0.0)), ALL, s)
        assert (alone != beside).sum() < 0.01 * alone.sum()  # some px lie at the limit of 30
        y, x = np.nonzero(alone)
        for k, (col, row) in enumerate(places):  # 1: where the lesion would be
            nearest[k].append(np.hypot(y + 0.5 - row, x + 0.5 - col).min())
        own = (y > border(render(drawn, s))) == drawn.halves[0]
        share.append(own.mean())
    least = s.reach + s.core_radius[0] * 0.8 - 3
    assert min(*nearest[0], *nearest[1]) > least
    assert ks_2samp(nearest[0], nearest[1]).pvalue > 0.01
    assert np.mean(share) == pytest.approx(0.5, abs=0.04)


def test_local_sign_shows_only_at_its_lesion():
    low, high = (render(case((u, 0.0), (1.0, 1.0)), PhantomSettings()) for u in (-3.0, 3.0))
    np.testing.assert_array_equal(low.outlines, high.outlines)
    away = distance_px(low.outlines[:1], low.pixels.shape)
    difference = np.abs(low.pixels.astype(int) - high.pixels)
    assert difference[away < 30].max() > 20
    # beyond the lesion only the darkening that keeps the image's mean moves, by a grey level or two
    assert difference[away > 60].max() <= 2


def test_number_of_specks_rises_with_c():
    s, counts = PhantomSettings(), []
    for c in (-1.1, 0.0, 1.1, 2.2):
        brighter = added(case(()), (c, -9.0), s)
        np.testing.assert_array_equal(brighter[:250], added(case(()), (c, 9.0), s)[:250])
        counts.append(cv2.connectedComponents(brighter.astype(np.uint8))[0] - 1)
    assert counts == sorted(counts) and counts[0] > 10
    assert counts[0] / counts[3] == pytest.approx(0.25, abs=0.06)  # a share of the squares


def test_outline_is_free_of_u_and_lies_on_the_breast():
    """Size and place are drawn without truth: the same for any u, so no correlation can arise."""
    s, areas = PhantomSettings(), []
    latents = np.random.default_rng(0).normal(size=25)
    for seed, u in enumerate(latents):
        view = ("CC", "MLO")[seed % 2]
        low, high = (render(case((v,), view=view, seed=seed), s) for v in (u - 2, u + 2))
        np.testing.assert_array_equal(low.outlines, high.outlines)
        x, y = low.outlines[0].T
        areas.append(0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
        assert 0 < x.min() and x.max() < s.cols and 0 < y.min() and y.max() < s.rows
        assert low.pixels[y.astype(int), x.astype(int)].min() > 0
    assert abs(np.corrcoef(areas, latents)[0, 1]) < 0.5  # 25 lesions: standard error .2
    assert np.pi * 6**2 < min(areas) and max(areas) < np.pi * 21**2


def test_each_lesion_lies_in_its_half_and_two_keep_their_distance():
    for drawn in images(10, u=(0.0, 0.0)):
        picture = render(drawn, PhantomSettings())
        x, y = np.mean(picture.outlines, axis=1).T
        below = y - border(picture)
        assert tuple((below > 0).astype(int)) == drawn.halves
        assert np.abs(below).min() >= 46 and np.hypot(np.diff(x), np.diff(y)) > 90


def test_right_breast_is_the_mirrored_left():
    left, right = (
        render(case((1.0,), (1.0, 0.0), laterality=side), PhantomSettings()) for side in "LR"
    )
    np.testing.assert_array_equal(left.pixels, right.pixels[:, ::-1])
    mirrored = right.outlines[0] * (-1, 1) + (384, 0)
    np.testing.assert_allclose(mirrored, left.outlines[0], atol=1e-9)
    assert left.pixels[200:376, 0].min() > 0 and right.pixels[200:376, 0].max() == 0


def test_outline_encloses_the_bright_core():
    """Pixel centres at integers + 1/2: a picture and its outline share one origin."""
    s = PhantomSettings(noise=0)
    picture, plain = (render(case(u, NONE), s) for u in ((-3.0,), ()))
    core = picture.pixels.astype(float) - plain.pixels
    y, x = np.indices(core.shape) + 0.5
    middle = np.array([(x * core).sum(), (y * core).sum()]) / core.sum()
    assert np.hypot(*(middle - picture.outlines[0].mean(axis=0))) < 1
    assert (core > 5)[distance_px(picture.outlines, core.shape) > 25].sum() == 0


def test_strength_saturates():
    assert [strength(v, 2.0) for v in (-9, -2, 0, 1, 2, 9)] == [0, 0, 0.5, 0.75, 1, 1]


@pytest.mark.parametrize(("rows", "cols", "side_max"), [(320, 256, 40), (192, 192, 48)])
def test_smaller_canvas(rows, cols, side_max):
    s = PhantomSettings(rows=rows, cols=cols, side_max=side_max)
    for drawn in images(12, u=(3.0, 3.0)):
        picture = render(drawn, s)
        assert picture.pixels.shape == (rows, cols) and len(picture.outlines) == 2
        x, y = np.concatenate(picture.outlines).T
        assert 0 <= x.min() and x.max() <= cols and 0 <= y.min() and y.max() <= rows


# ------------------------------------------------------------------ settings
def test_settings_refuse_what_cannot_be_drawn():
    for wrong in (
        {"rows": 180},
        {"contxt_effect": 0},
        {"prevalence": 0.1},
        {"core_radius": (15, 9)},
        {"half_margin": 150},
    ):
        with pytest.raises(ValidationError):
            PhantomSettings(**wrong)


# ------------------------------------------------------------------ files
def bytes_of(folder) -> dict:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_two_workers_write_the_same_bytes(folder, tmp_path):
    write_phantom(tmp_path / "two", TINY, seed=3, workers=2)
    one, two = bytes_of(folder), bytes_of(tmp_path / "two")
    assert one == two and len(one) == 18 + 4
    assert [p.name for p in tmp_path.iterdir()] == ["two"]  # nothing unfinished is left


def test_files_hold_what_was_drawn(folder):
    truth = phantom.truth_table(folder)
    pd.testing.assert_frame_equal(truth, draw_cases(TINY, 3), check_dtype=False)
    images = pd.read_csv(folder / "images.csv")
    lesions = pd.read_csv(folder / "lesions.csv")
    assert len(images) == 18 and set(lesions["image_id"]) <= set(images["image_id"])
    assert lesions.groupby("lesion_id")["image_id"].nunique().eq(2).all()
    drawn = {c.image_id: render(c, TINY) for c in list(cases(truth, 3))[:3]}
    for image_id, picture in drawn.items():
        stored = cv2.imread(str(folder / "images" / f"{image_id}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(stored, picture.pixels)
        texts = lesions.loc[lesions["image_id"] == image_id, "polygon"]
        for text, outline in zip(texts, picture.outlines, strict=True):
            np.testing.assert_allclose(
                [[float(v) for v in point.split()] for point in text.split(";")], outline, atol=1e-9
            )


def test_cases_give_each_half_its_c(folder):
    truth = phantom.truth_table(folder).set_index("image_id")
    assert set(truth["half"]) == {"upper", "lower"}
    for drawn in cases(phantom.truth_table(folder), 3):
        rows = truth.loc[[drawn.image_id]]
        assert list(rows["half"]) == [("upper", "lower")[h] for h in drawn.halves[: len(rows)]]
        assert list(rows["c"]) == [drawn.c[h] for h in drawn.halves[: len(rows)]]
        assert rows["c_other"].iloc[0] == drawn.c[drawn.halves[1]]


def test_read_gives_a_manifest_whose_lesions_meet_their_truth(folder):
    manifest = phantom.read(folder, TINY, seed=3)
    assert manifest.name == "phantom" and len(manifest.images) == 18
    truth = phantom.truth_table(folder, manifest.lesions)
    known = truth[truth["n_lesions"] > 0].set_index("lesion_id")
    assert sorted(known.index) == sorted(manifest.lesions["lesion_id"])
    pathology = known["malignant"].map({0: "benign", 1: "malignant"})
    found = manifest.lesions.set_index("lesion_id")["pathology"]
    assert (found == pathology.loc[found.index]).all()
    assert list(ideal_scores(truth, TINY)["lesion_id"]) == list(known.index)


def test_the_store_turns_right_breasts_back(folder, tmp_path):
    """Canvas and outlines are those of the drawing, whatever side the file shows."""
    canvas = SimpleNamespace(rows=576, cols=384, cell=64, scale=1.0, background="zero", buffer=10)
    store = build_store(phantom.read(folder, TINY, seed=3), tmp_path / "store", canvas)
    truth = phantom.truth_table(folder)
    assert len(store.images) == 18 and set(truth["laterality"]) == {"L", "R"}
    for drawn in cases(truth, 3):
        picture = render(replace(drawn, laterality="L"), TINY)
        i = store.images.index[store.images["image_id"] == drawn.image_id][0]
        np.testing.assert_array_equal(store.raw(i), picture.pixels)
        assert store.images["flipped"][i] == (drawn.laterality == "R")
        shapes = [{"polygon": polygon_text(points)} for points in picture.outlines]
        expected = [rasterise("polygon", shape, (576, 384)).on((576, 384)) for shape in shapes]
        found = [store.outline(j).on((576, 384)) for j in store.lesions_of(i)]
        np.testing.assert_array_equal(np.array(found), np.array(expected))


def test_the_same_phantom_is_not_drawn_again(folder):
    before = (folder / "images.csv").stat().st_mtime_ns
    lines = []
    write_phantom(folder, TINY, seed=3, progress=lines.append)
    assert (folder / "images.csv").stat().st_mtime_ns == before and not lines


def test_another_seed_replaces_it(tmp_path):
    s = PhantomSettings(training=1, negative=0, validation=1, test=1)
    lines = []
    for seed in (1, 2):
        write_phantom(tmp_path / "p", s, seed=seed, progress=lines.append)
    assert json.loads((tmp_path / "p" / "settings.json").read_text())["seed"] == 2
    pd.testing.assert_frame_equal(
        phantom.truth_table(tmp_path / "p"), draw_cases(s, 2), check_dtype=False
    )
    assert len(lines) == 2 and "6 images" in lines[0]
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="other than a phantom"):
        write_phantom(tmp_path, TINY, seed=1)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    from data_manifest.phantom import files

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_write_tables", broken)
    with pytest.raises(KeyboardInterrupt):
        write_phantom(
            tmp_path / "p", PhantomSettings(training=1, negative=0, validation=1, test=1), 1
        )
    assert list(tmp_path.iterdir()) == []
