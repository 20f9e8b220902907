"""The phantom: its optimum is what theory says, and truth shows nowhere but where it should."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from data_manifest.images.store import build_store
from data_manifest.phantom import reader as phantom
from data_manifest.phantom.files import cases, polygon_text, write_phantom
from data_manifest.phantom.reader import PhantomSettings, draw_cases, ideal_scores
from data_manifest.phantom.render import Case, render, strength
from data_manifest.shapes import rasterise
from lesionlib.errors import InputError

TINY = PhantomSettings(training=3, negative=2, validation=2, test=2, second_lesion=0.5)
OBSERVERS = ("local", "context", "both")


def case(u=(0.0,), c=0.0, *, view="CC", laterality="L", seed=5) -> Case:
    return Case("X_CC", view, laterality, tuple(u), c, seed, 6)


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
    """An AUC of 53,000 lesions of 24,000 patients has a standard error of about .002."""
    _, ideal, y = people
    auc = {name: roc_auc_score(y, ideal[name]) for name in OBSERVERS}
    assert auc["local"] == pytest.approx(norm.cdf(1.22 / np.sqrt(2)), abs=0.007)  # .806
    assert auc["context"] == pytest.approx(0.731, abs=0.007)
    assert auc["both"] == pytest.approx(0.857, abs=0.007)


def test_context_of_single_lesions_follows_theory(people):
    truth, ideal, y = people
    single = (truth["n_lesions"] == 1).to_numpy()
    expected = norm.cdf(0.95 / np.sqrt(2))  # .749
    assert roc_auc_score(y[single], ideal["context"][single]) == pytest.approx(expected, abs=0.008)


def test_ideal_scores_are_calibrated(people):
    _, ideal, y = people
    for name in OBSERVERS:
        bins = np.clip((ideal[name] * 10).astype(int), 0, 9)
        for b, size in zip(*np.unique(bins, return_counts=True), strict=True):
            inside = (bins == b).to_numpy()
            error = y[inside].mean() - ideal[name][inside].mean()
            assert abs(error) < 5 * 0.5 / np.sqrt(size / 2), (name, b, size, error)


def test_evidence_of_context_adds_to_the_logit(people):
    _, ideal, _ = people
    np.testing.assert_allclose(logit(ideal["both"]), logit(ideal["local"]) + ideal["evidence"])


def test_ideal_scores_by_hand():
    """Bayes over all truths, written out for one single lesion and one of two."""
    s = PhantomSettings(prevalence=0.3, second_differs=0.4, local_effect=1.0, context_effect=2.0)
    truth = pd.DataFrame(
        {
            "image_id": ["A", "B", "B"],
            "finding_id": ["A_a", "B_a", "B_b"],
            "n_lesions": [1, 2, 2],
            "u": [0.5, 1.0, -1.0],
            "c": [0.25, 0.5, 0.5],
        }
    )
    got = ideal_scores(truth, s)
    one, zero = (
        0.3 * norm.pdf(0.5, 0.5) * norm.pdf(0.25, 1),
        0.7 * norm.pdf(0.5, -0.5) * norm.pdf(0.25, -1),
    )
    assert got["both"][0] == pytest.approx(one / (one + zero))
    joint = {(1, 1): 0.1, (1, 0): 0.2, (0, 1): 0.2, (0, 0): 0.5}  # each malignant with .3
    weight = {t: p * norm.pdf(0.5, max(t) * 2 - 1) for t, p in joint.items()}
    assert got["context"][1] == pytest.approx((weight[1, 1] + weight[1, 0]) / sum(weight.values()))
    seen = {t: w * norm.pdf(-1.0, t[1] - 0.5) for t, w in weight.items()}
    assert got["both"][2] == pytest.approx((seen[1, 1] + seen[0, 1]) / sum(seen.values()))


def test_control_draws_the_same_but_context_tells_nothing(people):
    truth, ideal, y = people
    control, ideal_control, y_control = population(context_effect=0.0)
    assert roc_auc_score(y_control, ideal_control["context"]) == 0.5
    np.testing.assert_allclose(ideal_control["both"], ideal["local"])
    changed = [c for c in truth if not truth[c].equals(control[c])]
    assert changed == ["c"]
    shift = (truth["c"] - control["c"]).to_numpy()
    np.testing.assert_allclose(shift, (truth["image_malignant"] - 0.5) * 0.95)
    assert abs(roc_auc_score(y_control, control["c"]) - 0.5) < 0.01


def test_latents_have_unit_spread_and_the_views_correlate(people):
    truth, _, _ = people
    wide = truth.pivot(index="finding_id", columns="view", values=["u", "c", "image_malignant"])
    malignant = truth.drop_duplicates("finding_id").set_index("finding_id")["malignant"]
    for name, given in (("u", malignant), ("c", wide["image_malignant", "CC"])):
        for value in (0, 1):
            part = wide[name][given.loc[wide.index].astype(int) == value]
            assert part["CC"].std() == pytest.approx(1, abs=0.03)
            assert part["CC"].corr(part["MLO"]) == pytest.approx(0.3, abs=0.04)


def test_neither_number_nor_letter_of_a_lesion_tells_truth(people):
    truth, _, y = people
    two = (truth["n_lesions"] == 2).to_numpy()
    second = truth["finding_id"].str.endswith("_b").to_numpy()
    for group in (~two, two & ~second, two & second):
        assert y[group].mean() == pytest.approx(0.4, abs=0.035)
    pairs = truth[two].groupby("image_id")["malignant"].nunique()
    assert (pairs == 2).mean() == pytest.approx(0.5, abs=0.04)
    assert truth.loc[two, "patient_id"].nunique() / 24000 == pytest.approx(0.12, abs=0.01)


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
    assert negative["c"].notna().all()


# ------------------------------------------------------------------ picture
def test_context_shows_only_out_of_reach_of_every_window():
    s = PhantomSettings()
    for u in ((0.3,), (1.0, -1.0)):
        none, many = (render(case(u, c), s) for c in (-5.0, 5.0))
        np.testing.assert_array_equal(none.outlines, many.outlines)
        away = distance_px(none.outlines, none.pixels.shape)
        near = away <= np.hypot(72, 72) + 2  # a window of 72 px that touches the outline, its rim
        np.testing.assert_array_equal(none.pixels[near], many.pixels[near])
        assert (np.abs(none.pixels.astype(int) - many.pixels) > 60).sum() > 200  # specks elsewhere


def test_a_window_that_touches_a_lesion_sees_no_speck():
    """The worst window: the largest, turned, with the outline in its outermost corner."""
    s = PhantomSettings()
    none, many = (render(case((0.0,), c), s) for c in (-5.0, 5.0))
    differs = np.argwhere(none.pixels != many.pixels) + 0.5  # row, col
    seen = 0
    for corner in none.outlines[0][::4]:
        for angle in np.radians(np.arange(0, 360, 15)):
            axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            centre = corner - s.side_max / 2 * axes.sum(axis=0)  # x, y
            inside = np.abs((differs[:, ::-1] - centre) @ axes.T) <= s.side_max / 2 + 2
            seen += np.count_nonzero(inside.all(axis=1))
    assert len(differs) > 5000 and seen == 0


def test_local_sign_shows_only_at_its_lesion():
    low, high = (render(case((u, 0.0), 1.0), PhantomSettings()) for u in (-3.0, 3.0))
    np.testing.assert_array_equal(low.outlines, high.outlines)
    away = distance_px(low.outlines[:1], low.pixels.shape)
    difference = np.abs(low.pixels.astype(int) - high.pixels)
    assert difference[away < 30].max() > 20
    # beyond the lesion only the darkening that keeps the image's mean moves, by a grey level or two
    assert difference[away > 60].max() <= 2


def test_specks_do_not_move_the_standardised_surroundings():
    """Specks alone lower the standardised grey by .03 to .05; darkening takes that back."""
    s, shifts = PhantomSettings(), []
    for seed in range(4):
        values = []
        for c in (-5.0, 5.0):
            picture = render(case((0.0,), c, seed=seed), s)
            x = picture.pixels.astype(float)
            away = distance_px(picture.outlines, x.shape)
            ring = (away > 20) & (away < 50) & (x > 0)
            values.append((x[ring].mean() - x.mean()) / x.std())
        shifts.append(values[1] - values[0])
    assert abs(np.mean(shifts)) < 0.006
    assert np.max(np.abs(shifts)) < 0.02


def test_number_of_specks_rises_with_c():
    plain = render(case((), -5.0), PhantomSettings()).pixels.astype(int)
    counts = []
    for c in (-1.1, 0.0, 1.1, 2.2):
        brighter = render(case((), c), PhantomSettings()).pixels - plain > 30
        counts.append(cv2.connectedComponents(brighter.astype(np.uint8))[0] - 1)
    assert counts == sorted(counts) and counts[0] > 40
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


def test_two_lesions_keep_their_distance():
    for seed in range(10):
        centres = [
            o.mean(axis=0) for o in render(case((0, 0), seed=seed), PhantomSettings()).outlines
        ]
        assert np.hypot(*(centres[0] - centres[1])) > 90


def test_right_breast_is_the_mirrored_left():
    left, right = (render(case((1.0,), 1.0, laterality=side), PhantomSettings()) for side in "LR")
    np.testing.assert_array_equal(left.pixels, right.pixels[:, ::-1])
    mirrored = right.outlines[0] * (-1, 1) + (384, 0)
    np.testing.assert_allclose(mirrored, left.outlines[0], atol=1e-9)
    assert left.pixels[200:376, 0].min() > 0 and right.pixels[200:376, 0].max() == 0


def test_outline_encloses_the_bright_core():
    """Pixel centres at integers + 1/2: a picture and its outline share one origin."""
    s = PhantomSettings(noise=0)
    picture, shifts = render(case((-3.0,), -5.0), s), []
    x, y = picture.outlines[0].T
    grey = picture.pixels.astype(float)
    window = np.s_[int(y.min()) - 8 : int(y.max()) + 9, int(x.min()) - 8 : int(x.max()) + 9]
    gy, gx = np.mgrid[window] + 0.5
    core = np.clip(grey[window] - np.median(grey[window]), 0, None)
    shifts = [(gx * core).sum() / core.sum() - x.mean(), (gy * core).sum() / core.sum() - y.mean()]
    assert np.hypot(*shifts) < 2.5


def test_strength_saturates():
    assert [strength(v, 2.0) for v in (-9, -2, 0, 1, 2, 9)] == [0, 0, 0.5, 0.75, 1, 1]


def test_smaller_canvas():
    s = PhantomSettings(rows=320, cols=256, side_max=40)
    picture = render(case((0.0,), 2.0), s)
    assert picture.pixels.shape == (320, 256) and picture.pixels.max() > 150


# ------------------------------------------------------------------ settings
def test_settings_refuse_what_cannot_be_drawn():
    for wrong in (
        {"rows": 200},
        {"contxt_effect": 0},
        {"prevalence": 0.1},
        {"core_radius": (15, 9)},
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
