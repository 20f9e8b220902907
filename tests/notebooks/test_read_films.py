"""Films as they are read: which hang together, how they are turned, and what is said of a lesion."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lesionlib.errors import InputError
from lesionlib.windows import corners, window_table
from notebooks.drawings import read_films
from study import plots
from study.plots.map_panels import overlay_scale


def of_women(store, women):
    """The store with the first breasts given to other women, by (patient, patient)."""
    images = store.images.assign(patient_id=store.images["patient_id"].replace(dict(women)))
    parts = {name: getattr(store, name) for name in ("raw", "outline", "breast", "lesions")}
    return SimpleNamespace(images=images, **parts)


@pytest.fixture
def both(tiny_store):
    """A store in which a woman has the left breast of one and the right breast of another."""
    side = tiny_store.images.drop_duplicates("patient_id").set_index("patient_id")["laterality"]
    lesions = tiny_store.lesions["patient_id"]
    left = next(p for p in lesions if side[p] == "L")
    right = next(p for p in lesions if side[p] == "R")
    return of_women(tiny_store, [(right, left)]), left


def some(store, j):
    """S of every image, and three windows of lesion j, the second at its middle."""
    outline = store.outline(j)
    middle = np.add((outline.row0, outline.col0), np.array(outline.mask.shape) / 2)
    row, col = (middle[k] + np.array([-9, 0.4, 7]) for k in (0, 1))
    image = int(store.lesions.at[j, "image"])
    windows = window_table(image=image, row=row, col=col, side=24.0, lesion=j)
    return np.random.default_rng(j).random((len(store.images), 2, 3, 2)), windows


def mirrored(ax):
    left, right = ax.get_xlim()
    return left > right


def test_a_lesion_hangs_next_to_the_other_breast(both):
    store, woman = both
    images = store.images
    found = store.lesions.index[store.lesions["image"].map(images["patient_id"]) == woman]
    for j in found:
        saliency, windows = some(store, j)
        case = read_films.case(store, saliency, windows, j)
        row = images.loc[store.lesions.at[j, "image"]]
        assert [film.title[0] for film in case.films] == ["R", "L"]
        assert [film.mirrored for film in case.films] == [True, False]
        assert case.film.title == f"{row['laterality']} {row['view']}"
        np.testing.assert_array_equal(case.square, corners(windows.iloc[[1]])[0])
        np.testing.assert_array_equal(case.saliency, saliency[row.name, 0])
        figure = read_films.read_case(case)
        right, left, near, under, _ = figure.axes
        assert mirrored(right) and not mirrored(left)
        assert mirrored(near) == mirrored(under) == case.film.mirrored
        assert right.get_position().x1 == pytest.approx(left.get_position().x0)  # back to back
        assert [len(ax.patches) for ax in (right, left)] == [1 - case.own, case.own]
        # the bar has the colours of the overlay, not those of the bare map
        bar = figure.axes[-1].collections[-1].cmap
        np.testing.assert_allclose(bar(0.9), overlay_scale(1.0).cmap(0.9))


def test_without_the_other_breast_the_two_views_hang_apart(tiny_store):
    j = tiny_store.lesions.index[0]
    case = read_films.case(tiny_store, *some(tiny_store, j), j)
    side = tiny_store.images.at[tiny_store.lesions.at[j, "image"], "laterality"]
    assert [film.title for film in case.films] == [f"{side} CC", f"{side} MLO"]
    first, second = read_films.read_case(case).axes[:2]
    assert first.get_position().x1 < second.get_position().x0


def test_a_lone_film_hangs_alone(tiny_store):
    j = tiny_store.lesions.index[0]
    row = int(tiny_store.lesions.at[j, "image"])
    alone = of_women(tiny_store, [])
    alone.images = alone.images.assign(patient_id=alone.images["image_id"])
    case = read_films.case(alone, *some(tiny_store, j), j)
    assert len(case.films) == 1 and len(read_films.read_case(case).axes) == 4
    assert read_films.films_of(alone.images, alone.images.at[row, "image_id"])


def test_a_woman_hangs_view_by_view_with_a_place_for_what_is_missing(both):
    store, woman = both
    rows = read_films.films_of(store.images, woman)
    assert list(rows) == ["CC", "MLO"] and set(rows["CC"]) == {"L", "R"}
    del rows["MLO"]["R"]
    films = {v: {s: plots.from_store(store, i, hung=True) for s, i in of.items()}
             for v, of in rows.items()}  # fmt: skip
    figure = read_films.hang_woman(films)
    assert [ax.get_title() for ax in figure.axes] == ["R CC", "L CC", "", "L MLO"]
    assert [mirrored(ax) for ax in figure.axes] == [True, False, False, False]
    assert "no R film" in [text.get_text() for text in figure.axes[2].texts]
    one = {"CC": {"L": films["CC"]["L"]}}
    assert [ax.get_title() for ax in read_films.hang_woman(one).axes] == ["L CC"]
    with pytest.raises(InputError, match="no film"):
        read_films.hang_woman({})


def test_rows_of_lesions_show_each_with_its_own_outline(tiny_store):
    rows = [[(j, f"lesion {j}") for j in tiny_store.lesions.index[:3]], [], [(4, "last")]]
    figure = read_films.lesion_rows(tiny_store, rows)
    titles = [ax.get_title() for ax in figure.axes if ax.axison]
    assert titles == ["lesion 0", "lesion 1", "lesion 2", "last"]
    assert all(len(ax.collections) == 1 for ax in figure.axes if ax.axison)
    with pytest.raises(InputError, match="no lesion"):
        read_films.lesion_rows(tiny_store, [[], []])


def test_diameters_are_in_mm_where_the_spacing_is_known(tiny_store):
    lesions, images = tiny_store.lesions, tiny_store.images.assign(scale=0.5)
    across, unit = read_films.diameters(lesions, images)
    assert unit == "mm"  # 0.1 mm a px of the file, two of which are one of the canvas
    np.testing.assert_allclose(np.pi * across**2 / 4, lesions["area_px"] * 0.2**2)
    unknown = images.assign(spacing_mm=np.nan)
    across, unit = read_films.diameters(lesions, unknown)
    assert unit == "px"
    np.testing.assert_allclose(np.pi * across**2 / 4, lesions["area_px"])


def test_lesions_are_named_in_the_words_of_the_field():
    codes = {"subtype": ["SPIC", "CALC", "ARCH", ""], "kind": ["mass", "calc", "distortion", ""]}
    said = ["spiculated mass", "calcification", "architectural distortion", "lesion"]
    assert read_films.findings(pd.DataFrame(codes)).tolist() == said
    assert read_films.descriptions(pd.DataFrame(codes))["finding"].tolist() == said
    pair = pd.DataFrame({"subtype": ["OVAL, ILL_DEFINED", "IRREGULAR, SPICULATED"], "kind": "mass"})
    assert read_films.findings(pair).tolist()[1] == "irregular, spiculated mass"
    parts = read_films.descriptions(pair)
    assert parts["shape or type"].tolist() == ["oval", "irregular"]
    assert parts["margin or distribution"].tolist() == ["ill defined", "spiculated"]


def test_rare_descriptions_go_together():
    kinds = [f"k{n}" for n in range(9) for _ in range(9 - n)]
    parts = read_films.descriptions(pd.DataFrame({"subtype": "", "kind": kinds}))["finding"]
    assert parts.value_counts()["other"] == 3 + 2 + 1 and parts.nunique() == 7


def test_scores_by_size_show_every_lesion_and_the_threshold():
    read = pd.DataFrame({"diameter": [3.0, 8, 40, 12], "score": [0.2, 0.4, 0.9, 0.6]})
    ax = read_films.scores_by_size(read.assign(malignant=[True, False, True, False]), 0.35)
    drawn = np.concatenate([dots.get_offsets() for dots in ax.collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, read.to_numpy()))
    assert ax.lines[0].get_ydata()[0] == 0.35
    assert [t.get_text() for t in ax.get_xticklabels()] == ["3", "5", "7", "10", "15", "20", "30"]
