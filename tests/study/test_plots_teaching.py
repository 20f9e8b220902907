"""The pictures that only teach: the method, the contact sheet, the phantom's latents."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_up import mammogram
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from data_manifest.phantom.reader import PhantomSettings, draw_cases
from lesionlib.errors import InputError
from study import plots

SMALL = PhantomSettings(training=30, negative=4, validation=1, test=1)


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def test_the_method_shows_the_shapes_it_is_given():
    figure = plots.method((640, 448), 48, (10, 7), 16, backbone="densenet_mini")
    shown = " ".join(texts(figure))
    for words in ("640 x 448 px", "patch 48 x 48", "10 x 7", "16 windows", "densenet_mini"):
        assert words in shown.replace("\n", " "), words


def test_the_methods_words_lie_inside_their_boxes():
    figure = plots.method((2944, 1920), 256, (46, 30), 100, backbone="densenet161")
    figure.canvas.draw()
    ax = figure.axes[0]
    frames = [p.get_window_extent() for p in ax.patches]
    words = [t.get_window_extent() for t in ax.texts if t.get_style() == "normal" and t.get_text()]
    outside = [
        w for w in words if not any(f.contains(*w.min) and f.contains(*w.max) for f in frames)
    ]
    assert not outside


@pytest.mark.parametrize("stride", [1, 4])
def test_a_breasts_contour_lies_on_its_edge(stride):
    figure = plots.style.new_figure(2, 3)
    ax = figure.subplots()
    breast = np.zeros((96 // stride, 64 // stride), bool)
    breast[24 // stride : 72 // stride, : 40 // stride] = True
    plots.breast_contour(ax, breast, (96, 64))
    (line,) = (p.vertices for c in ax.collections for p in c.get_paths())
    col, row = line.T
    for found, edge in ((col.max(), 40), (row.min(), 24), (row.max(), 72)):
        assert abs(found - edge) <= stride / 2 + 1e-9, (found, edge)


def test_a_contact_sheet_holds_every_image_its_contour_and_its_title():
    images = [mammogram(k) for k in range(5)]
    breasts = [np.ones((24, 16), bool)] * 5
    flagged = [True] + 4 * [False]
    figure = plots.contact_sheet(images, breasts, columns=3, flagged=flagged, phantom=True)
    assert len(figure.axes) == sum(bool(ax.images) for ax in figure.axes) == 5
    assert all(len(ax.collections) == 1 for ax in figure.axes)  # the breast, and no lesion
    red = [to_rgb(ax.title.get_color())[0] > 0.5 for ax in figure.axes]
    assert red == flagged and [ax.get_title() for ax in figure.axes] == ["L CC"] * 5
    assert texts(figure).count("phantom") == 1


def test_no_gap_is_left_above_the_legend_of_figure_1():
    figure = plots.figure_1([mammogram(0), mammogram(1)], phantom=True)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent().y1
    lowest = min(ax.get_window_extent().y0 for ax in figure.axes)
    assert 0 <= lowest - legend < 0.15 * figure.dpi  # inches


def test_sizes_are_shown_for_columns_with_groups_and_counted_beside_the_windows():
    lesions = pd.DataFrame({"rows": [20, 40, 90], "cols": [30, 30, 60], "view": "CC",
                            "subtype": ["SPIC", "", "CIRC"], "kind": ["a", "b", "a"]})  # fmt: skip
    ax = plots.sizes(lesions, ["view", "kind", "subtype"], 35, 72)
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == ["kind: a", "kind: b", "subtype: SPIC", "subtype: CIRC"]
    assert "n = 2: 1 smaller, 1 larger" in texts(ax.figure)
    with pytest.raises(InputError, match="no group"):
        plots.sizes(lesions, ["view"], 35, 72)


def test_latents_are_counted_by_lesion_and_by_image():
    truth = draw_cases(SMALL, 3).query("n_lesions > 0")
    shown = " ".join(texts(plots.latents(truth, SMALL)))
    assert f"n = {len(truth)} lesions" in shown
    assert f"n = {truth['image_id'].nunique()} images" in shown
    assert f"means {SMALL.local_effect:g} SD apart" in shown
    assert "phantom" in shown
