"""Figures: labelled with units, marked, the same bytes twice, readable in grey and colour-blind."""

import ast
import dataclasses
import io
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import MODELS, mammogram, predictions
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text
from PIL import Image

from lesionlib.errors import InputError
from lesionlib.windows import CLASSES, corners, window_table
from notebooks.drawings import exclusions, lesion_scores, lesion_sizes, search_trials
from study import paper, plots, tables
from study.plots import style

FEW = dict(resamples=100, seed=1)
NO_DATE = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
DRAWN_BY = [*Path(plots.__file__).parent.glob("*.py"),
            *Path(lesion_sizes.__file__).parent.glob("*.py")]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def the_style():
    style.use()


@pytest.fixture(scope="module")
def frames():
    scored = predictions(patients=60)
    return {
        "roc": tables.roc_curves(scored, MODELS),
        "figure_7": tables.figure_7(scored, **FEW),
        "table_3": tables.table_3(scored, **FEW),
        "scores": tables.scores(scored, "E+S"),
    }


def few_windows(n=6):
    rng = np.random.default_rng(0)
    return window_table(image=np.arange(n) % 2, row=rng.uniform(20, 70, n), col=rng.uniform(10, 40, n),
                        side=rng.uniform(12, 30, n), angle=rng.uniform(-30, 30, n),
                        label=np.arange(n) % 4)  # fmt: skip


def some_maps(n, h=6, w=4):
    return np.random.default_rng(n).random((n, h, w))


def arms(runs=3):
    rows = [(b, i, r, 0.75 + 0.01 * r) for b in ("resnetv2_50", "densenet121")
            for i in ("he", "imagenet") for r in range(runs)]  # fmt: skip
    return pd.DataFrame(rows, columns=["backbone", "initialisation", "run", "test_auc"])


def exclusion_flow(reasons=3):
    rows = [("image", "input", "", 100)]
    rows += [("image", "reading", f"reason {k}", -(k + 1)) for k in range(reasons)]
    rows += [("image", "used", "", 100 - sum(range(reasons + 1)))]
    rows += [("lesion", "input", "", 7), ("lesion", "used", "", 7)]
    return pd.DataFrame(rows, columns=["level", "stage", "reason", "count"])


def lesion_case(image, scores, truth="malignant", zoom=None):
    """As many windows as scores; the patch of window k is grey k, but for one darker pixel."""
    n = len(scores)
    patches = np.arange(n)[:, None, None] - np.eye(1, 16 * 16).reshape(16, 16)
    return plots.LesionCase(
        image, corners(few_windows(n)), patches, scores, scores.mean(), truth, zoom
    )


def draw(name, frames):
    """Each plot of the package, and four of the notebooks, from made-up arrays."""
    image, w, rng = mammogram(), few_windows(), np.random.default_rng(1)
    patches = rng.normal(size=(len(w), 1, 16, 16))
    h = np.maximum(rng.normal(size=32), 0)
    location = some_maps(1)[0] * (some_maps(1)[0] > 0.7)
    embedding = h[:, None, None] * (location > 0)
    each = rng.random(12)
    case = [lesion_case(image, each, t, z) for t, z in (("malignant", None), ("benign", 40))]
    epochs = pd.DataFrame({"epoch": [1, 2, 3], "loss": [1.2, 0.9, 0.8], "score": [0.6, 0.7, 0.69]})
    trials = pd.DataFrame(
        {"learning_rate": [1e-6, 1e-5, 1e-3], "validation_auc": [0.6, 0.7, np.nan]}
    )
    lesions = pd.DataFrame({"rows": [20, 40, 90], "cols": [30, 30, 60],
                            "pathology": ["benign", "malignant", "benign"]})  # fmt: skip
    s = frames["scores"]
    makers = {
        "mammogram": lambda: plots.mammogram(image),
        "figure_1": lambda: plots.figure_1([image, mammogram(1)]),
        "figure_2": lambda: plots.figure_2(image, some_maps(2)),
        "figure_3": lambda: plots.figure_3(
            {0: image, 1: mammogram(2, lesions=())}, w, corners(w), patches
        ),
        "figure_4": lambda: plots.figure_4(
            image, corners(w)[0], patches[0], location, some_maps(2), embedding, np.full(4, 0.25)
        ),
        "figure_5": lambda: plots.figure_5(case),
        "figure_6": lambda: plots.figure_6(
            tables.figure_6(arms()), each=arms(), printed=paper.figure_6()
        ),
        "figure_7": lambda: plots.figure_7(frames["figure_7"], printed=paper.table_2()),
        "roc": lambda: lesion_scores.roc(frames["roc"]),
        "history": lambda: plots.history(epochs, best=2),
        "scores": lambda: plots.scores(s.truth, s.mean, threshold=0.3),
        "flow": lambda: exclusions.flow(exclusion_flow()),
        "windows_on_image": lambda: plots.windows_on_image(image, corners(w), labels=w["label"]),
        "patches": lambda: plots.patches(patches, labels=w["label"], columns=4),
        "maps": lambda: plots.maps(some_maps(5), ["I", "S_m", "S_b", "E_1", "E_2"]),
        "search": lambda: search_trials.trials(trials, paper_range=(1e-6, 1e-4), used=1e-4),
        "sizes": lambda: lesion_sizes.sizes(lesions, ["pathology"], 24, 72),
        "forest": lambda: plots.forest(frames["table_3"], printed=paper.table_3()),
    }  # fmt: skip
    return makers[name]()


LINES = ("figure_6", "figure_7", "roc", "history", "scores", "search", "sizes", "forest")
PICTURES = ("mammogram", "figure_1", "figure_2", "figure_3", "figure_4", "figure_5",
            "windows_on_image", "patches", "maps", "flow")  # fmt: skip
SINGLE = (*LINES, "mammogram", "windows_on_image")


def written(drawn, kind="png", dpi=25):
    out = io.BytesIO()
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    figure.savefig(out, format=kind, dpi=dpi, metadata=NO_DATE[kind])
    return out.getvalue()


def all_text(drawn):
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


# ------------------------------------------------------------------ every figure
def test_what_is_drawn_here_is_public():
    assert {*LINES, *PICTURES} - {"roc", "search", "sizes", "flow"} <= set(plots.__all__)
    assert all(getattr(plots, name).__doc__ for name in plots.__all__)


@pytest.mark.parametrize("name", [*LINES, *PICTURES])
def test_same_bytes_twice_and_marked_only_when_phantom(name, frames):
    plain, again = draw(name, frames), draw(name, frames)
    assert isinstance(plain, Axes if name in SINGLE else Figure)
    assert "phantom" not in all_text(plain)
    assert written(plain) == written(again)
    style.mark(getattr(again, "figure", again))
    assert all_text(again).count("phantom") == 1


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_vector_files_are_the_same_bytes_twice(kind, frames):
    first, second = (written(draw("figure_7", frames), kind) for _ in range(2))
    assert first == second


def test_the_mark_covers_no_label(frames):
    figure = draw("roc", frames).figure
    style.mark(figure)
    figure.draw_without_rendering()
    (mark,) = figure.legends
    label = figure.axes[0].xaxis.label
    assert not mark.get_window_extent().overlaps(label.get_window_extent())


def _limits_hold(ax):
    """Every point drawn in data coordinates lies inside the axes."""
    for line in ax.lines:
        if line.get_transform().contains_branch_seperately(ax.transData) != (True, True):
            continue
        xy = np.asarray(line.get_xydata(), float)
        xy = xy[np.isfinite(xy).all(axis=1)]
        for values, (low, high) in zip(xy.T, (ax.get_xlim(), ax.get_ylim()), strict=True):
            low, high = sorted((low, high))
            assert (values >= low - 1e-9).all() and (values <= high + 1e-9).all()


@pytest.mark.parametrize("name", LINES)
def test_line_plots_are_labelled_and_hold_their_data(name, frames):
    ax = draw(name, frames)
    ax.figure.draw_without_rendering()
    assert ax.get_xlabel() or name == "figure_6"  # its ticks are the names of backbones
    assert ax.get_ylabel() or name == "forest"  # its ticks are the names of models
    for one in ax.figure.axes:
        _limits_hold(one)
        assert np.isfinite([*one.get_xlim(), *one.get_ylim()]).all()


@pytest.mark.parametrize("name", ["figure_7", "roc", "forest"])
def test_the_fullest_line_plots_stay_small(name, frames):
    """At most 60 KB at a notebook's 100 dpi, in the full colours in which figures are shown."""
    image = Image.open(io.BytesIO(written(draw(name, frames), dpi=100))).convert("RGB")
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    assert len(out.getvalue()) < 60_000


@pytest.mark.parametrize(
    "name, words",
    [
        ("figure_6", ["AUC over lesions", "paper (private NYU set)", "ResNetV2-50", "chance"]),
        (
            "figure_7",
            [
                "malignant lesions missed",
                "benign lesions spared",
                "fewer than 5 misses",
                "E: 95 % over patients, pointwise",
            ],
        ),
        ("roc", ["false-positive rate", "benign lesions", "E+S 0."]),
        ("history", ["epoch", "training loss", "validation AUC", "kept: epoch 2"]),
        ("scores", ["lesion score", "lesions (count)", "malignant, n ="]),
        (
            "search",
            ["learning rate", "range of the paper", "diverged", "best trial", "used, 1.0e-04"],
        ),
        ("sizes", ["px of the canvas", "window sides, 24 to 72 px"]),
        ("forest", ["95 % over patients", "paper (private NYU set)", "I+S+E"]),
        ("figure_2", ["S_m: malignant present", "S_b: benign present", "saliency (colours: 0 to"]),
        (
            "figure_4",
            [
                "X (35, 6, 4)",
                "h (32,)",
                "I (1, 6, 4)",
                "S (2, 6, 4)",
                "f_agg",
                *(f"{name} 0.25" for name in CLASSES),
                "m / (m + b) = 0.50",
            ],
        ),
        (
            "figure_5",
            [
                "lesion score",
                "score m / (m + b)",
                "windows (count)",
                "10 of its patches",
                "; bars ",
            ],
        ),
        ("maps", ["5 maps of 6 x 4 cells"]),
        ("patches", ["16 x 16 px"]),
        ("flow", ["100 images\nread", "94 images\nused", "none excluded"]),
    ],
)
def test_figures_say_what_they_show(name, words, frames):
    text = "\n".join(all_text(draw(name, frames)))
    assert not [w for w in words if w not in text]


@pytest.mark.parametrize("name", ["mammogram", "windows_on_image"])
def test_mammograms_are_grey_upright_without_ticks_and_scaled(name, frames):
    ax = draw(name, frames)
    image = ax.images[0]
    assert image.get_cmap().name == "gray" and ax.get_aspect() == 1
    assert len(ax.get_xticks()) == len(ax.get_yticks()) == 0
    assert ax.get_ylim() == (96, 0) and ax.get_xlim() == (0, 64)
    assert any(t.endswith(" px") for t in all_text(ax))


# ------------------------------------------------------------------ figure 7
def test_figure_7_has_the_labels_the_right_way_round(frames):
    ax = draw("figure_7", frames)
    assert ax.get_xlabel().startswith("FNR") and ax.get_ylabel().startswith("TNR")
    curve = frames["figure_7"].query("model == 'E'")
    assert f"{curve['malignant'].iloc[0]} malignant" in ax.get_xlabel()
    line = next(line for line in ax.lines if line.get_label() == "E")
    assert line.get_drawstyle() == "steps-post"
    x, y = line.get_data()
    shown = curve[curve["fnr"] <= 0.05]  # of the main panel, as the paper's axis
    np.testing.assert_allclose(x[: len(shown)], shown["fnr"])
    np.testing.assert_allclose(y, [*shown["tnr"], *shown["tnr"].tail(len(x) - len(shown))])
    assert x[-1] == pytest.approx(0.05) and ax.get_xlim()[1] < 0.06
    (wide,) = set(ax.figure.axes) - {ax}
    assert wide.lines[0].get_xdata()[-1] == pytest.approx(0.2)


def test_bands_of_figure_7_are_told_apart_without_colour(frames):
    bands = [c for c in draw("figure_7", frames).collections if "pointwise" in str(c.get_label())]
    edges = {str(c.get_linestyle()[0]) for c in bands}
    assert len(edges) == len(bands) == 2 and all(c.get_linewidth()[0] > 0 for c in bands)


@pytest.mark.parametrize("malignant, end", [(20, 0.05), (500, 0.01)])
def test_figure_7_marks_where_few_misses_carry_the_band(malignant, end):
    fnr = np.arange(malignant + 1) / malignant
    curve = {"model": "E", "fnr": fnr, "tnr": fnr, "malignant": malignant, "benign": 9}
    ax = plots.figure_7(pd.DataFrame(curve))
    (few,) = [p for p in ax.patches if p.get_hatch()]
    assert few.get_x() == 0 and few.get_width() == pytest.approx(end)


def test_the_papers_points_are_hollow_and_labelled(frames):
    for name in ("figure_6", "figure_7", "forest"):
        ax = draw(name, frames)
        hollow = [x for x in ax.lines if to_rgb(x.get_markerfacecolor()) == (1, 1, 1)]
        assert len(hollow) == 1, name
        assert any(paper.LABEL in t.get_text() for t in ax.get_legend().get_texts())


def test_no_paper_value_is_drawn_unasked(frames):
    ax = plots.figure_7(frames["figure_7"])
    assert not any("paper" in t for t in all_text(ax))


def test_figure_6_draws_only_the_arms_given_and_takes_single_runs():
    one = tables.figure_6(arms(runs=1).query("backbone == 'densenet121'"))
    ax = plots.figure_6(one, printed=paper.figure_6())
    assert [t.get_text() for t in ax.get_xticklabels()] == ["DenseNet-121"]
    hollow = [x for x in ax.lines if to_rgb(x.get_markerfacecolor()) == (1, 1, 1)]
    assert len(hollow[0].get_xdata()) == 1
    assert np.isfinite(ax.get_ylim()).all()


def test_figure_6_shows_every_run_and_chance_and_no_bar():
    each = arms(runs=2)
    ax = plots.figure_6(tables.figure_6(each), each=each)
    dots = np.concatenate([x.get_ydata() for x in ax.lines if x.get_marker() in "so"])
    assert sorted(dots) == sorted(each["test_auc"])
    assert [x.get_ydata()[0] for x in ax.lines if x.get_label() == "chance"] == [0.5]
    assert not ax.containers  # of error bars
    places = [tuple(x.get_xdata()) for x in ax.lines if x.get_marker() in "so"]
    assert len(set(np.concatenate(places))) == len(each)  # no run hides another


# ------------------------------------------------------------------ saliency over mammograms
def test_figure_2_has_benign_first_on_one_scale():
    figure = plots.figure_2(mammogram(), np.stack([np.full((6, 4), 0.3), np.full((6, 4), 0.7)]))
    first, s_b, s_m = figure.axes[:3]
    assert first.get_title().startswith("mammogram")
    for ax, name, value in ((s_b, "S_b", 0.7), (s_m, "S_m", 0.3)):
        assert ax.get_title().startswith(name)
        assert (ax.images[1].get_array() == value).all() and ax.images[1].get_clim() == (0, 0.7)


def test_no_colour_lies_on_air_and_a_cell_looks_as_on_its_bar():
    breast = np.zeros((24, 16), bool)
    breast[:, :10] = True
    image = dataclasses.replace(mammogram(), breast=breast)
    figure = plots.figure_2(image, some_maps(2))
    over = figure.axes[1].images[1]
    assert (np.asarray(over.get_alpha()) > 0).tolist() == breast.tolist()
    cells = over.get_array().reshape(6, 4, 4, 4)
    assert (cells == cells[:, :1, :, :1]).all()  # a cell has one number
    bar = figure.axes[-1].collections[-1].get_cmap()
    alpha = over.get_alpha().max()
    tissue = np.subtract(bar(0.5), np.multiply(over.get_cmap()(0.5), alpha))[:3] / (1 - alpha)
    np.testing.assert_allclose(tissue, tissue[0], atol=1e-6)  # what shines through is a grey


def test_a_row_of_maps_has_a_bar_for_each_kind():
    figure = plots.maps(some_maps(4), ["I", "S_m", "E_1", "E_2"])
    bars = {ax.get_title(): ax.get_ylim()[1] for ax in figure.axes[4:] if ax.get_title()}
    tops = some_maps(4).max(axis=(1, 2))
    assert bars == pytest.approx({"I": tops[0], "S": tops[1], "E": tops[2:].max()})


# ------------------------------------------------------------------ figures 4 and 5
def test_figure_4_stacks_what_the_combination_reads():
    one = some_maps(1)[0]
    made = [plots.figure_4(mammogram(), corners(few_windows(1))[0], np.eye(16), one, some_maps(2),
                           some_maps(32), np.full(4, 0.25), combination=c) for c in ("E+S", "I")]  # fmt: skip
    both, place = ("\n".join(all_text(figure)) for figure in made)
    assert "X (34, 6, 4)\nE+S" in both and "X (1, 6, 4)\nI" in place
    arrows = [len([a for a in f.artists if isinstance(a, FancyArrowPatch)]) for f in made]
    assert arrows[0] - arrows[1] == 1


@pytest.mark.parametrize("n", [4, 16, 100])
def test_figure_5_shows_ten_patches_from_the_lowest_score_to_the_highest(n):
    score = np.random.default_rng(n).random(n)
    case = lesion_case(mammogram(), score)
    figure = plots.figure_5([case])
    drawn = [ax for ax in figure.axes if ax.images and ax.images[0].get_array().shape == (16, 16)]
    windows = [int(ax.images[0].get_array().max()) for ax in drawn]
    assert len(set(windows)) == min(n, 10) and windows == sorted(windows, key=score.__getitem__)
    assert {score.argmin(), score.argmax()} <= set(windows)
    assert [ax.get_title() for ax in drawn] == [f"{score[k]:.2f}" for k in windows]


def test_windows_of_figure_5_are_thin_and_leave_the_outline_on_top():
    widths = []
    for n in (10, 100):
        ax = plots.figure_5([lesion_case(mammogram(), np.linspace(0, 1, n))]).axes[0]
        (squares,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
        assert len(squares.get_paths()) == n
        assert all(squares.zorder < c.zorder for c in ax.collections if c is not squares)
        widths += list(squares.get_linewidths())
    assert widths[0] > widths[1] and max(widths) < 1


# ------------------------------------------------------------------ geometry of pictures
def test_an_outline_lies_where_its_pixels_are():
    image = mammogram(lesions=(("malignant", 30),))
    ax = plots.mammogram(image)
    paths = [p for c in ax.collections for p in c.get_paths() if len(p.vertices)]
    x, y = np.concatenate([p.vertices for p in paths]).T
    inside = image.outlines[0].pixels + 0.5
    assert y.min() <= inside[:, 0].min() and y.max() >= inside[:, 0].max()
    assert x.min() <= inside[:, 1].min() and x.max() >= inside[:, 1].max()
    assert y.max() - y.min() < np.ptp(inside[:, 0]) + 2


def test_windows_are_drawn_at_their_corners():
    w = few_windows(1)
    ax = plots.windows_on_image(mammogram(), corners(w))
    (square,) = [p for p in ax.patches]
    np.testing.assert_allclose(square.get_xy()[:4], corners(w)[0][:, ::-1])


def test_numbers_of_windows_do_not_lie_on_each_other():
    w = window_table(image=0, row=[40, 41, 42.0], col=30.0, side=24.0, angle=0)
    ax = plots.windows_on_image(mammogram(), corners(w), numbers=[1, 2, 3])
    places = {text.get_text(): text.get_position() for text in ax.texts}
    room = 0.03 * np.ptp(ax.get_xlim())
    pairs = itertools.combinations([places[name] for name in "123"], 2)
    assert all(np.abs(np.subtract(a, b)).max() > room for a, b in pairs)


def test_a_class_without_a_window_says_so():
    w = few_windows(6).assign(label=[0, 1, 2, 0, 1, 2])
    patches = np.random.default_rng(1).random((6, 16, 16))
    figure = plots.figure_3({0: mammogram(), 1: mammogram()}, w, corners(w), patches)
    heads = {text.get_text() for text in figure.findobj(Text)}
    assert "negative: none in this set" in heads and {"malignant", "outside"} < heads


def test_large_images_are_thinned_without_moving():
    pixels = np.zeros((2944, 1920), np.uint16)
    pixels[1500:1503, 900:903] = 4000
    ax = plots.mammogram(plots.Mammogram(pixels))
    image = ax.images[0]
    data, (left, right, bottom, top) = image.get_array(), image.get_extent()
    assert data.shape[0] <= 1000
    row, col = np.unravel_index(np.argmax(data), data.shape)
    y = top + (row + 0.5) * (bottom - top) / data.shape[0]
    x = left + (col + 0.5) * (right - left) / data.shape[1]
    assert abs(y - 1501.5) < 2 and abs(x - 901.5) < 2


def test_a_part_is_shown_at_full_resolution():
    pixels = np.arange(2944 * 1920, dtype=np.float32).reshape(2944, 1920)
    ax = plots.mammogram(plots.Mammogram(pixels), part=(100, -20, 200, 80))
    np.testing.assert_array_equal(ax.images[0].get_array(), pixels[100:200, :80])
    assert tuple(ax.images[0].get_extent()) == (0, 80, 200, 100)
    assert ax.get_xlim() == (-20, 80) and ax.get_ylim() == (200, 100)


def test_the_scale_bar_has_its_length():
    ax = plots.mammogram(plots.Mammogram(np.ones((100, 80)), px_mm=0.5))
    bar = ax.lines[0].get_xdata()
    assert "10 mm" in all_text(ax) and np.ptp(bar) == pytest.approx(20)


def test_bars_on_pictures_of_different_scale_have_one_length():
    axes = style.new_figure().subplots(1, 2)
    for ax in axes:
        ax.imshow(np.zeros((10, 10)))
    assert plots.mammograms.scale_bars(axes, [40, 80], [0.5, 0.5]) == "5 mm"
    shares = [np.ptp(ax.lines[0].get_xdata()) / 10 for ax in axes]
    assert shares == pytest.approx([5 / 20, 5 / 40])
    assert plots.mammograms.scale_bars(axes, [40, 80], [0.5, None]) == "10 px"


def test_mammograms_come_from_a_store(tiny_store):
    i = int(tiny_store.lesions["image"].iloc[0])
    image = plots.from_store(tiny_store, i)
    assert image.shape == (tiny_store.rows, tiny_store.cols)
    assert len(image.outlines) == (tiny_store.lesions["image"] == i).sum()
    assert image.px_mm == pytest.approx(0.1) and image.title[0] in "LR"


def is_mirrored(ax) -> bool:
    left, right = ax.get_xlim()
    return left > right


def test_a_right_breast_is_hung_with_its_chest_wall_at_the_right(tiny_store):
    sides = tiny_store.images["laterality"]
    for i in (sides.eq("L").idxmax(), sides.eq("R").idxmax()):
        side, view = tiny_store.images.loc[i, ["laterality", "view"]]
        canvas, hung = (plots.from_store(tiny_store, i, hung=hung) for hung in (False, True))
        assert canvas.title == f"{side} {view}" + ", mirrored" * (side == "R")
        assert hung.title == f"{side} {view}" and not canvas.mirrored
        np.testing.assert_array_equal(hung.pixels, canvas.pixels)
        assert is_mirrored(plots.mammogram(hung)) == (side == "R")


def test_all_that_belongs_to_a_mirrored_mammogram_is_mirrored():
    image, w = replace(mammogram(), mirrored=True), few_windows(8)
    patches = np.random.default_rng(1).random((8, 16, 16))
    three = plots.figure_3({0: image, 1: mammogram()}, w, corners(w), patches)
    drawn = [ax for ax in three.axes if ax.images]
    assert sum(map(is_mirrored, drawn)) == 1 + 4  # the image, and the patches of its windows
    four = plots.figure_4(
        image, corners(w)[0], patches[0], some_maps(1)[0], some_maps(2), some_maps(5), [0.25] * 4
    )
    assert [ax for ax in four.axes if ax.images] == [ax for ax in four.axes if is_mirrored(ax)]
    two = plots.figure_2(image, some_maps(2))
    assert [is_mirrored(ax) for ax in two.axes[:3]] == [True] * 3


def test_the_bar_of_a_mirrored_mammogram_is_at_the_right_too():
    image = plots.Mammogram(np.ones((100, 80)), px_mm=0.5, mirrored=True)
    ax = plots.mammogram(image)
    bar = ax.lines[0].get_xdata()
    assert np.ptp(bar) == pytest.approx(20) and 0 < bar.min() < bar.max() < 40


def test_maps_of_one_kind_share_a_range():
    x = np.stack([np.full((2, 2), v) for v in (0.2, 0.5, 0.9, 3.0, 6.0)])
    figure = plots.maps(x, ["I", "S_m", "S_b", "E_1", "E_2"])
    tops = [ax.images[0].get_clim()[1] for ax in figure.axes[:5]]
    assert tops == [0.2, 0.9, 0.9, 6.0, 6.0]


def test_many_reasons_are_gathered_and_still_close():
    text = "\n".join(all_text(exclusions.flow(exclusion_flow(12))))
    numbers = [int(t.split(":")[0]) for t in text.splitlines() if t.split(":")[0].isdigit()]
    assert len(numbers) == 8 and sum(numbers) == sum(range(13))
    assert "5 rarer reasons" in text


# ------------------------------------------------------------------ colours
def grey(colour):
    return float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))


def seen_without(cone):
    """Linear RGB as seen without one kind of cone (Machado et al. 2009, severity 1)."""
    return {
        "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                  [-0.011820, 0.042940, 0.968881]],
        "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                [-0.003882, -0.048116, 1.051998]],
    }[cone]  # fmt: skip


@pytest.mark.parametrize("palette", ["classes", "models"])
def test_colours_stay_apart_in_grey(palette):
    colours = {
        "classes": [style.CLASS_COLOURS[c] for c in CLASSES],
        "models": [style.line(m).colour for m in MODELS],
    }[palette]
    step = 0.09 if palette == "classes" else 0.06
    for a, b in itertools.combinations(map(grey, colours), 2):
        assert abs(a - b) > step


@pytest.mark.parametrize("cone", ["green", "red"])
def test_classes_stay_apart_for_colour_blind_readers(cone):
    linear = [np.array(to_rgb(style.CLASS_COLOURS[c])) ** 2.2 for c in CLASSES]
    seen = [np.clip(np.dot(seen_without(cone), x), 0, 1) ** (1 / 2.2) for x in linear]
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(a - b) > 0.2


@pytest.mark.parametrize("names", [MODELS, "klmnopqr"])
def test_models_differ_by_dash_and_marker_too(names):
    lines = style.lines(names).values()
    assert len({str(x.dash) for x in lines}) == len({x.marker for x in lines}) == len(names)


@pytest.mark.parametrize("cone", ["green", "red"])
def test_own_models_stay_apart_for_colour_blind_readers(cone):
    linear = [np.array(to_rgb(look.colour)) ** 2.2 for look in style.OWN_LINES]
    seen = [np.clip(np.dot(seen_without(cone), x), 0, 1) ** (1 / 2.2) for x in linear]
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(a - b) > 0.1


# ------------------------------------------------------------------ refusals and borders
def test_bad_input_is_refused(frames):
    image = mammogram()
    with pytest.raises(InputError, match="one pathology per outline"):
        plots.Mammogram(image.pixels, image.outlines, ["malignant"])
    with pytest.raises(InputError, match="not the 99 used"):
        exclusions.flow(exclusion_flow().replace({"count": {94: 99}}))
    with pytest.raises(InputError, match="no column auc"):
        lesion_scores.roc(frames["roc"].drop(columns="auc"))
    with pytest.raises(InputError, match="no mammogram"):
        plots.figure_1([])
    with pytest.raises(InputError, match="2 finite maps"):
        plots.figure_2(image, some_maps(3))
    with pytest.raises(InputError, match="mammogram of every window"):
        w = few_windows()
        plots.figure_3({0: image}, w, corners(w), np.zeros((len(w), 4, 4)))
    with pytest.raises(InputError, match="no trial has a score"):
        none = pd.DataFrame({"learning_rate": [1e-3], "validation_auc": [np.nan]})
        search_trials.trials(none, paper_range=(1e-6, 1e-4))


def test_drawing_leaves_no_figure_open_and_takes_given_axes(frames):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    figure = style.new_figure()
    left, right = figure.subplots(1, 2)
    s = frames["scores"]
    assert plots.scores(s.truth, s.mean, ax=left) is left and len(figure.axes) == 2
    assert plots.figure_7(frames["figure_7"], ax=right) is right
    assert pyplot.get_fignums() == before


def test_plots_compute_no_metric():
    """Of the metrics only the check of arrays is used here."""
    for file in (f for f in DRAWN_BY if f.name != "leak.py"):  # which is a demonstration
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                ("lesionlib", "study")
            ):
                names = {a.name for a in node.names}
                if "metrics" in node.module:
                    assert names == {"checked"}, file.name
                assert "tables" not in node.module and "metrics" not in names
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("savefig", "show"), file.name


def test_metrics_tables_claims_and_plots_need_no_torch():
    code = "import sys; from lesionlib import metrics; from study import claims, paper, plots, tables; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------ two numbers by truth
@pytest.fixture
def pairs():
    return pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [5.0, 6.0, 9.0]}, index=[7, 3, 1])


def test_the_truths_keep_their_points_and_colours(pairs):
    ax = plots.by_truth(pairs, "a", "b", malignant=[True, False, True])
    (points,) = ax.collections
    assert points.get_offsets().tolist() == [[0, 5], [1, 6], [2, 9]]
    red, blue = (to_rgb(style.CLASS_COLOURS[kind]) for kind in ("malignant", "benign"))
    np.testing.assert_allclose(points.get_facecolors()[:, :3], [red, blue, red])
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["benign, n = 1", "malignant, n = 2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")


def test_the_diagonal_comes_with_one_scale(pairs):
    ax = plots.by_truth(pairs, "a", "b", malignant=pairs["a"] > 0, names=("x", "y"), diagonal=True)
    assert ax.get_xlim() == ax.get_ylim()
    low, high = ax.get_xlim()
    assert low < 0 and high > 9
    assert ax.get_aspect() == 1


def test_a_patch_has_a_bar_in_the_scale_of_its_window():
    for px_mm, said, share in ((0.1, "1 mm", 1 / 4), (None, "10 px", 10 / 40)):
        figure = plots.patches(np.eye(16)[None], sides=[40], px_mm=px_mm)
        (ax,) = [ax for ax in figure.axes if ax.lines]
        assert [text.get_text() for text in ax.texts] == [said]
        assert abs(np.subtract(*ax.lines[0].get_xdata())) == pytest.approx(16 * share)
