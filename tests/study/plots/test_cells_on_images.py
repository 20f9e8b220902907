"""Saliency maps over images on one scale, and the grid of cells."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlib.errors import InputError
from study import plots
from study.plots import style


def images(n):
    return [plots.Mammogram(np.random.default_rng(k).random((128, 64))) for k in range(n)]


def test_all_overlays_share_the_largest_value():
    saliency = np.stack([np.full((2, 1), 0.2), np.full((2, 1), 0.7)])
    figure = plots.saliency_overlays(images(2), saliency, ["a\nb", "c"], name="S_b", phantom=True)
    panels = [ax for ax in figure.axes if len(ax.images) == 2]
    assert [ax.images[1].get_clim() for ax in panels] == [(0, 0.7)] * 2
    assert [ax.get_title() for ax in panels] == ["a\nb", "c"]
    assert "phantom" in [text.get_text() for text in figure.texts]


def test_each_image_needs_its_map():
    with pytest.raises(InputError, match="maps of shape"):
        plots.saliency_overlays(images(2), np.zeros((1, 2, 1)), ["a", "b"])


def test_the_grid_has_every_edge_and_moves_as_a_whole():
    ax = plots.cell_grid(style.axes(None), (3, 2), 64, shift=(-29.5, 10))
    rows, cols = (lines.get_segments() for lines in ax.collections)
    assert [segment[0][1] for segment in rows] == [-29.5, 34.5, 98.5, 162.5]
    assert [segment[0][0] for segment in cols] == [10, 74, 138]
    assert rows[0][:, 0].tolist() == [10, 138]
