"""The pictures of one notebook each: what is drawn is what was given."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_up import mammogram
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, Rectangle
from matplotlib.text import Text

from data_manifest.phantom.reader import PhantomSettings, draw_cases
from lesionlib.errors import InputError
from lesionlib.outlines import Outline
from notebooks.drawings import (
    beyond,
    lesion_sizes,
    observers,
    overview,
    phantom_latents,
    saliency,
)
from notebooks.drawings.contact_sheet import breast_contour, contact_sheet
from notebooks.drawings.map_spread import map_spread
from notebooks.drawings.receptive_field import cell_grid, receptive_field
from study import plots
from study.plots import style

SMALL = PhantomSettings(training=30, negative=4, validation=1, test=1)


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def test_the_method_shows_the_shapes_it_is_given_and_says_that_its_image_is_made_up():
    figure = overview.method(overview.stages((640, 448), 48, (10, 7), 16, "densenet_mini"))
    shown = " ".join(texts(figure)).replace("\n", " ")
    for words in ("640 x 448 px", "48 x 48 px", "10 x 7", "16 windows", "densenet_mini", "phantom"):
        assert words in shown, words


def test_the_methods_words_lie_apart_and_inside_the_picture():
    stages = overview.stages((2944, 1920), 256, (46, 30), 100, "densenet161")
    figure = overview.method(stages)
    figure.canvas.draw()
    words = [t.get_window_extent() for t in figure.axes[0].texts if t.get_text()]
    assert len(words) == len(stages) + 3 + 2  # of stages, networks and the two paths
    assert all(figure.bbox.contains(*w.min) and figure.bbox.contains(*w.max) for w in words)
    assert not [(k, j) for k in range(len(words)) for j in range(k) if words[k].overlaps(words[j])]


@pytest.mark.parametrize("stride", [1, 4])
def test_a_breasts_contour_lies_on_its_edge(stride):
    figure = style.new_figure(2, 3)
    ax = figure.subplots()
    breast = np.zeros((96 // stride, 64 // stride), bool)
    breast[24 // stride : 72 // stride, : 40 // stride] = True
    breast_contour(ax, breast, (96, 64))
    (line,) = (p.vertices for c in ax.collections for p in c.get_paths())
    col, row = line.T
    for found, edge in ((col.max(), 40), (row.min(), 24), (row.max(), 72)):
        assert abs(found - edge) <= stride / 2 + 1e-9, (found, edge)


def test_a_contact_sheet_holds_every_image_its_contour_and_its_title():
    images = [mammogram(k) for k in range(5)]
    breasts = [np.ones((24, 16), bool)] * 5
    flagged = [True] + 4 * [False]
    figure = contact_sheet(images, breasts, columns=3, flagged=flagged)
    assert len(figure.axes) == sum(bool(ax.images) for ax in figure.axes) == 5
    assert all(len(ax.collections) == 1 for ax in figure.axes)  # the breast, and no lesion
    red = [to_rgb(ax.title.get_color())[0] > 0.5 for ax in figure.axes]
    assert red == flagged and [ax.get_title() for ax in figure.axes] == ["L CC"] * 5
    assert all(len(ax.lines) == 1 for ax in figure.axes)  # a scale bar, whose length is written
    wide = contact_sheet(images, breasts, widths=[10 * image.shape[1] for image in images])
    said = [figure.texts[0].get_text().split()[-2:] for figure in (figure, wide)]
    (small, unit), (large, of_large) = said
    assert int(large) == 10 * int(small) and unit == of_large == "px"


def test_figure_1_shows_both_kinds_of_one_image_at_one_magnification():
    image = mammogram(0)
    small = Outline(60, 20, np.ones((3, 3), bool))
    both = replace(
        image, outlines=[small, *image.outlines[:1]], pathologies=["benign", "malignant"]
    )
    whole, first, second = plots.figure_1([both]).axes
    assert [first.get_title(), second.get_title()] == ["A: malignant", "B: benign"]
    assert np.ptp(first.get_xlim()) == pytest.approx(np.ptp(second.get_xlim()))
    assert np.mean(second.get_xlim()) == 21.5 and np.mean(second.get_ylim()) == 61.5
    frames = [p for p in whole.patches if isinstance(p, Rectangle)]
    assert [f.get_width() for f in frames] == pytest.approx(2 * [np.ptp(first.get_xlim())])
    assert len(plots.figure_1([both, image], zoom=False).axes) == 2


def test_no_gap_is_left_above_the_legend_of_figure_1():
    figure = plots.figure_1([mammogram(0), mammogram(1)])
    style.mark(figure)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent().y1
    lowest = min(ax.get_window_extent().y0 for ax in figure.axes)
    assert 0 <= lowest - legend < 0.15 * figure.dpi  # inches


def test_sizes_are_shown_for_columns_with_groups_and_counted_beside_the_windows():
    lesions = pd.DataFrame({"rows": [20, 40, 90], "cols": [30, 30, 60], "view": "CC",
                            "subtype": ["SPIC", "", "CIRC"], "kind": ["a", "b", "a"]})  # fmt: skip
    ax = lesion_sizes.sizes(lesions, ["view", "kind", "subtype"], 35, 72)
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == ["kind: a", "kind: b", "subtype: SPIC", "subtype: CIRC"]
    assert "n = 2: 1 smaller, 1 larger" in texts(ax.figure)
    with pytest.raises(InputError, match="no group"):
        lesion_sizes.sizes(lesions, ["view"], 35, 72)


def test_latents_are_counted_by_lesion_and_by_half():
    truth = draw_cases(SMALL, 3).query("n_lesions > 0")
    figure = phantom_latents.latents(truth, SMALL)
    shown = " ".join(texts(figure))
    assert f"n = {len(truth)} lesions" in shown
    assert f"n = {2 * truth['image_id'].nunique()} halves" in shown
    assert f"means {SMALL.local_effect:g} SD apart" in shown
    benign, malignant = figure.axes[1].containers
    edges = np.linspace(-4, 4, 33)
    for bars, c in (
        (malignant, truth.loc[truth["malignant"] == 1, "c"]),
        (benign, [*truth.loc[truth["malignant"] == 0, "c"],
                  *truth.loc[truth["n_lesions"] == 1, "c_other"]]),
    ):  # fmt: skip
        expected = np.histogram(c, edges, density=True)[0]
        np.testing.assert_allclose([bar.get_height() for bar in bars], expected)


def test_two_halves_show_their_border_and_each_its_c():
    figure = phantom_latents.two_halves(mammogram(0), np.full((3, 2), 0.4), 50.0, (1.25, -0.5))
    pictures = [ax for ax in figure.axes if ax.images]
    assert [len(ax.images) for ax in pictures[:2]] == [1, 2]
    for ax in pictures[:2]:
        assert [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [50.0]
    place = {t.get_text(): t.get_position()[1] for t in pictures[0].texts}
    assert place["c +1.2"] < 50 < place["c -0.5"]


def test_every_pair_of_said_and_drawn_has_its_panel():
    random = np.random.default_rng(0)
    names = ("E", "s_m_half", "s_m_near", "u", "c")
    cases = pd.DataFrame({name: random.normal(size=20) for name in names}).assign(
        y_true=[0, 1] * 10
    )
    titles = {("E", "u"): "r 1", ("s_m_half", "c"): "r 2", ("s_m_near", "u"): "r 3"}
    figure = observers.said_and_drawn(cases, titles)
    drawn = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title() for ax in drawn] == ["r 1", "r 2", "r 3"]
    assert "lesion's half" in drawn[1].get_ylabel() and "context" in drawn[1].get_xlabel()


# ------------------------------------------------------------------ saliency of many images
def noise(n):
    return [plots.Mammogram(np.random.default_rng(k).random((128, 64))) for k in range(n)]


def test_all_overlays_share_the_largest_value():
    maps = np.stack([np.full((2, 1), 0.2), np.full((2, 1), 0.7)])
    figure = saliency.saliency_overlays(noise(2), maps, ["a\nb", "c"], name="S_b")
    panels = [ax for ax in figure.axes if len(ax.images) == 2]
    assert [ax.images[1].get_clim() for ax in panels] == [(0, 0.7)] * 2
    assert [ax.get_title() for ax in panels] == ["a\nb", "c"]


def test_each_image_needs_its_map():
    with pytest.raises(InputError, match="maps of shape"):
        saliency.saliency_overlays(noise(2), np.zeros((1, 2, 1)), ["a", "b"])


def test_the_highest_cells_are_dotted_where_they_are_even_over_air():
    maps = {"S_b": np.zeros((2, 1)), "S_m": np.array([[0.2], [0.9]])}
    image = replace(noise(1)[0], breast=np.zeros((2, 1), bool))
    figure = saliency.highest_cells(image, maps, 1)
    s_m, curve = (figure.axes[k] for k in (2, 3))
    _, dots = s_m.lines  # after the scale bar
    assert dots.get_xydata().tolist() == [[32, 96]]  # the middle of the second cell of 64 px
    assert np.asarray(s_m.images[1].get_alpha()).min() > 0
    lines = {line.get_label(): line.get_ydata().tolist() for line in curve.lines}
    assert lines == {"S_b": [0, 0], "S_m": [0.9, 0.2]}


def test_each_kind_is_drawn_as_shares_of_its_own():
    values = {"benign": np.arange(10.0), "malignant": np.arange(40) / 4, "negative": np.zeros(0)}
    ax = saliency.histograms(values, name="a number")
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["benign, n = 10", "malignant, n = 40"]  # what has no number is left out
    for patch in ax.patches:
        assert patch.get_xy()[:, 1].max() <= 0.11
    assert ax.get_xlabel() == "a number" and "images" in ax.get_ylabel()


def test_equal_numbers_can_be_drawn_and_none_cannot():
    assert saliency.histograms({"benign": [0.3, 0.3]}, name="x").patches
    with pytest.raises(InputError, match="no number"):
        saliency.histograms({"benign": []}, name="x")


# ------------------------------------------------------------------ cells
def test_the_grid_has_every_edge():
    ax = cell_grid(style.axes(None), (3, 2), 64)
    rows, cols = (lines.get_segments() for lines in ax.collections)
    assert [segment[0][1] for segment in rows] == [0, 64, 128, 192]
    assert [segment[0][0] for segment in cols] == [0, 64, 128]
    assert rows[0][:, 0].tolist() == [0, 128]


def test_places_are_row_first():
    pull = np.zeros((200, 300))
    pull[100:120, 40:60] = 1
    ax = receptive_field(pull, (110, 50), (96, 64), cell=32, radius=20)
    (square,) = [p for p in ax.patches if isinstance(p, Rectangle)]
    (circle,) = [p for p in ax.patches if isinstance(p, Circle)]
    assert square.get_xy() == (64, 96) and square.get_width() == 32
    assert circle.center == (50, 110) and circle.radius == 20
    assert ax.lines[0].get_xydata().tolist() == [[50, 110]]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # rows run downwards


def test_without_a_gradient_there_is_nothing_to_see():
    with pytest.raises(InputError, match="no gradient"):
        receptive_field(np.zeros((5, 5)), (2, 2), (0, 0))


def test_a_map_that_never_varies_has_no_point():
    names = ["S_m", "E_1", "E_2"]
    table = pd.DataFrame({"SD before": [0.1, 0.0, 2.0], "SD after": [1, 0.5, 0.9]}, index=names)
    ax = map_spread(table)
    before, after = (line.get_ydata() for line in ax.lines)
    np.testing.assert_array_equal(before, [0.1, np.nan, 2.0])
    np.testing.assert_array_equal(after, [1, np.nan, 0.9])
    assert [t.get_text() for t in ax.get_xticklabels()] == names


def test_panels_share_their_rows_and_hold_their_intervals():
    frame = pd.DataFrame({"group": ["small", "large"], "auc": [0.7, 0.8], "gain": [0.02, np.nan]})
    for name in ("auc", "gain"):
        frame[f"{name}_low"], frame[f"{name}_high"] = frame[name] - 0.1, frame[name] + 0.05
    figure = beyond.panels(frame, "group", [("auc", "AUC", 0.5), ("gain", "gain", 0.0)])
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["small", "large"]
    bars = left.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([x[:, 0] for x in bars], [[0.6, 0.75], [0.7, 0.85]])
    assert right.get_xlabel() == "gain" and left.get_ylim() == right.get_ylim() == (1.5, -0.5)


def test_power_curves_are_those_given():
    frame = pd.DataFrame(
        {"design": list("aab"), "patients": [100, 900, 200], "power": [0.1, 0.9, 0.5]}
    )
    ax = beyond.power_curves(frame, gain=0.02)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.lines[:2]}
    assert drawn == {"a": [[100, 0.1], [900, 0.9]], "b": [[200, 0.5]]}
    assert "0.020" in ax.get_ylabel()


def test_errors_show_each_lesion_and_its_image():
    made = mammogram()
    names = ["lesion_id", "image", "pathology"]
    lesions = pd.DataFrame([("a", 0, "malignant"), ("b", 0, "benign")], columns=names)
    images = pd.DataFrame({"image_id": ["x"], "laterality": ["R"], "view": ["CC"]})
    store = SimpleNamespace(
        lesions=lesions.assign(patient_id="P1"), images=images, raw=lambda i: made.pixels,
        outline=lambda j: made.outlines[j], breast=lambda i: np.ones(made.shape, bool),
    )  # fmt: skip
    maps = np.zeros((1, 2, 6, 4))
    maps[0, 0, 2, 1] = 0.4
    figure = beyond.errors(store, maps, [0, 1], ["first", "second"], 30, [0])
    shown = texts(figure)
    assert {"first", "second", "S_m, P1\nR CC, mirrored", "malignant", "benign"} <= set(shown)
    assert "S_m (colours: 0 to 0.40)" in shown
    upper = figure.axes[0]
    centre = made.outlines[0].centres.mean(axis=0)
    assert np.mean(upper.get_xlim()) == pytest.approx(centre[1])
    assert np.ptp(upper.get_xlim()) == pytest.approx(30)
