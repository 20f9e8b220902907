"""Draw windows: the four classes of Wu et al. 2020, an epoch of them, the windows of a lesion.

malignant, benign
    The window overlaps the outline of a lesion of that kind by at least `min_overlap` px (or by all
    of an outline that is smaller).  A pixel of the outline and the place of this pixel in the
    window are drawn uniformly.  In training, `purity` keeps the window off lesions of another truth:
    of the other kind and, our reading, of unknown truth, since either could be what the network
    sees.  At evaluation the paper names overlap alone.
outside
    On an image of the split that has lesions, and touching none of them, whatever their truth.
    Images with a finding whose place is not known are not used.
negative
    On an image whose `negative` is True.

Outside and negative windows have their centre on the breast and at least `breast_share` of their
area on it (what is off the canvas is not breast).  Every window has its centre on the canvas and
may cross the canvas' edge.

Lesions and images are drawn uniformly per class; the same seed gives the same table.  `rules` is
any object with side_min, side_max (px of the canvas), angle, angle_evaluation (degrees, uniform in
-angle..angle), min_overlap (px of the outline), purity (bool) and breast_share (0..1).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.scoring import truth_of
from lesionlib.seeds import rng
from lesionlib.store import Store
from lesionlib.windows import CLASSES, COLUMNS, points_inside, to_canvas

TRIES = 40  # candidates for one training window before its lesion or image is drawn anew
REDRAWS = 50  # new lesions or images for one training window before giving up
TRIES_PER_WINDOW = 20  # candidates for each wanted window of a lesion before giving up
LEAST_TRIES = 1000  # and at least so many per lesion
LATER_BATCH = 50  # candidates at a time for the few lesions that were refused some
BREAST_POINTS = 16  # share of breast: measured on 16 x 16 points of the window
WINDOWS_AT_ONCE = 4096  # whose share of breast is measured; bounds the memory
POINTS_AT_ONCE = 2_000_000  # windows x outline pixels; bounds the memory of an overlap test
OUTSIDE, NEGATIVE = 2, 3
ROW = np.dtype(list(COLUMNS.items()))  # a window table while it is drawn: an array of such rows


def sample_epoch(
    store: Store, composition: Sequence[int], rules, *, split: str = "training", seed: int
) -> pd.DataFrame:
    """Draw the windows of one epoch.

    Parameters
    ----------
    store : Store
    composition : sequence of 4 int, windows of each class in the order of `windows.CLASSES`
    rules : see the module
    split : str; only its images are used
    seed : int, of this epoch (derive one per epoch from the run's)

    Returns
    -------
    DataFrame
        A shuffled window table.  In a split without negative images their windows are drawn as
        outside windows, and `.attrs["note"]` says so.  Where `TRIES` candidates of a lesion were
        refused, another was drawn instead; `.attrs["passed_over"]` lists its lesion_id.

    Raises
    ------
    InputError
        For a malformed composition, windows larger than the canvas, a class without any lesion or
        image in the split, and a class for which no window keeps the rules.
    """
    counts = _counts(composition)
    _check_size(store, rules)
    counts, note = _without_negatives(store, counts, split)
    index, parts, passed = _Lesions(store), [], []
    for label, count in enumerate(counts):
        if count:
            generator = rng(seed, "epoch", CLASSES[label])
            part, sources = _fill(index, label, count, rules, split, generator)
            parts.append(part)
            passed += index.ids[sources].tolist() if label < OUTSIDE else []
    order = rng(seed, "epoch", "order").permutation(sum(counts))
    table = pd.DataFrame(np.concatenate(parts)[order])
    table.attrs["passed_over"] = sorted(set(map(str, passed)))
    if note:
        table.attrs["note"] = note
    return table


def sample_lesion_windows(
    store: Store, lesions, each: int, rules, *, seed: int, training: bool
) -> pd.DataFrame:
    """Draw `each` windows of every given lesion, lesion after lesion.

    A lesion's windows depend on (seed, lesion_id) alone, not on the other lesions.  Its first k
    windows do not depend on `each`, unless its candidates ran out.

    Parameters
    ----------
    store : Store
    lesions : int array of shape (m,), rows of `store.lesions` of known truth
    each : int, windows per lesion
    rules : see the module
    seed : int
    training : bool
        True: angles up to `rules.angle`, and `rules.purity` holds.  False: angles up to
        `rules.angle_evaluation`, and overlap alone decides, so that the truth of a neighbouring
        lesion moves no window by which a lesion is judged.

    Returns
    -------
    DataFrame
        A window table in the order of `lesions`.  A lesion that runs out of pure candidates has
        fewer windows, and `.attrs["impure"]` lists its lesion_id.

    Raises
    ------
    InputError
        For lesions of unknown truth, windows larger than the canvas, and a lesion of which no
        window can hold `rules.min_overlap` px.
    """
    _check_size(store, rules)
    index, chosen = _Lesions(store), np.asarray(lesions, dtype=int).reshape(-1)
    unknown = chosen[index.truth[chosen] < 0]
    if unknown.size:
        what = f"lesion {index.ids[unknown[0]]} is neither malignant nor benign"
        where = f"{unknown.size} of {chosen.size} lesions asked for"
        raise InputError(what, where, "Leave lesions of unknown truth out: they are not scored")
    limit = rules.angle if training else rules.angle_evaluation
    purity = training and rules.purity
    generators = [rng(seed, "lesion windows", index.ids[lesion]) for lesion in chosen]
    drawn = np.zeros((len(chosen), each), ROW)
    done, impure = np.zeros(len(chosen), dtype=int), []
    tried, batch, most = 0, each, max(LEAST_TRIES, TRIES_PER_WINDOW * each)
    while each and (todo := np.flatnonzero(done < each)).size:
        if tried >= most:
            impure = index.ids[chosen[todo]].tolist()
            if purity:
                break
            sides = f"{rules.side_min:g}..{rules.side_max:g}"
            what = f"no window of lesion {impure[0]} holds {rules.min_overlap} px of its outline"
            where = f"setting windows.min_overlap, {tried} tried, sides {sides} px"
            raise InputError(what, where, "Lower windows.min_overlap or raise windows.side_max")
        draws = np.concatenate([generators[place].random((batch, 5)) for place in todo])
        place = np.repeat(todo, batch)
        part = _around_lesions(index, chosen[place], draws, rules, limit)
        accepted = _accepted(index, part, rules, purity)
        rank = done[place] + np.cumsum(accepted.reshape(-1, batch), axis=1).ravel() - 1
        accepted &= rank < each
        drawn[place[accepted], rank[accepted]] = part[accepted]
        np.add.at(done, place[accepted], 1)
        tried, batch = tried + batch, max(each, LATER_BATCH)
    table = pd.DataFrame(drawn[np.arange(each) < done[:, None]])
    table.attrs["impure"] = impure
    return table


def _counts(composition: Sequence[int]) -> list[int]:
    counts = [int(count) for count in composition]
    if len(counts) != len(CLASSES) or min(counts) < 0 or not sum(counts):
        remedy = f"Give {len(CLASSES)} counts, one or more above 0: {', '.join(CLASSES)}"
        raise InputError(f"an epoch of {tuple(composition)} windows", "setting epoch", remedy)
    return counts


def _check_size(store, rules) -> None:
    least = min(store.rows, store.cols)
    if rules.side_max > least:
        size = f"the canvas of {store.rows} x {store.cols} px"
        what = f"windows of {rules.side_max:g} px are larger than {size}"
        raise InputError(what, "setting windows.side_max", f"Lower it to at most {least}")


def _without_negatives(store, counts: list[int], split: str) -> tuple[list[int], str]:
    """Counts and a note: negative windows moved to outside where the split has no such image."""
    if not counts[NEGATIVE] or len(store.image_rows(split=split, negative=True)):
        return counts, ""
    moved = counts[NEGATIVE]
    note = f"no negative image in the {split} split: {moved} negative windows drawn as outside"
    return [*counts[:OUTSIDE], counts[OUTSIDE] + moved, 0], note


def _sources(store, label: int, split: str, count: int) -> np.ndarray:
    """The lesions, or the images, on which windows of a class are drawn."""
    name, negative = CLASSES[label], store.image_rows(split=split, negative=True)
    if label < OUTSIDE:
        found = store.lesion_rows(split=split, pathology=name)
        what = f"no {name} lesion in the {split} split, {count} windows asked for"
        where = f"{len(store.lesions)} lesions in the store"
    else:
        found = store.image_rows(split=split, with_lesions=True, clear=True)
        found = negative if label == NEGATIVE else found
        kind = "with lesions, none of them left out,"
        what = f"no image {kind} for {count} outside windows in the {split} split"
        where = f"{len(negative)} negative images in it"
    if len(found):
        return found
    raise InputError(what, where, f"Add images, or set the epoch's count of {name} windows to 0")


class _Lesions:
    """The lesions of a store as arrays, and which of them are on the same image."""

    def __init__(self, store):
        frame = store.lesions
        self.store, self.truth = store, truth_of(frame)
        self.ids, self.area = frame["lesion_id"].to_numpy(), frame["area_px"].to_numpy()
        self.image = frame["image"].to_numpy(dtype=int)
        first = frame[["row0", "col0"]].to_numpy(float)
        self.boxes = np.stack([first, first + frame[["rows", "cols"]].to_numpy(float)], axis=1)
        self.by_image = np.argsort(self.image, kind="stable")

    def pairs(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All (place in `images`, lesion on that image), as two arrays."""
        known = self.image[self.by_image]
        first = np.searchsorted(known, images, "left")
        count = np.searchsorted(known, images, "right") - first
        place = np.repeat(np.arange(len(images)), count)
        within = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        return place, self.by_image[first[place] + within]

    def touched(self, windows: np.ndarray) -> np.ndarray:
        """Which windows touch an outline of another truth than their own lesion's: bool (n,)."""
        place, lesion = self.pairs(windows["image"])
        own = windows["lesion"][place]
        near = (own < 0) | (self.truth[lesion] != self.truth[own])
        centre = np.stack([windows["row"], windows["col"]], axis=1)[place]
        turn = np.deg2rad(windows["angle"])
        reach = windows["side"] / 2 * (np.abs(np.cos(turn)) + np.abs(np.sin(turn)))
        near &= (centre + reach[place, None] > self.boxes[lesion, 0]).all(axis=1)
        near &= (centre - reach[place, None] < self.boxes[lesion, 1]).all(axis=1)
        place, lesion = place[near], lesion[near]
        touched = np.zeros(len(windows), dtype=bool)
        touched[place[self.overlap(windows[place], lesion) > 0]] = True
        return touched

    def overlap(self, windows: np.ndarray, lesion: np.ndarray) -> np.ndarray:
        """Pixels of lesion[k]'s outline in windows[k]: int (k,)."""
        pixels = np.zeros(len(windows), dtype=int)
        for one, members in pd.Series(lesion).groupby(lesion).indices.items():
            points = self.store.outline(one).centres
            step = max(1, POINTS_AT_ONCE // len(points))
            for start in range(0, len(members), step):
                some = members[start : start + step]
                pixels[some] = points_inside(windows[some], points).sum(axis=1)
        return pixels


def _fill(index: _Lesions, label: int, count: int, rules, split: str, generator):
    """`count` windows of a class (n,), each from its own uniformly drawn source; sources left.

    A source (lesion or image) is kept over TRIES refusals, so that sources with few possible
    windows are drawn as often as the others, then drawn anew.
    """
    known = _sources(index.store, label, split, count)
    source = known[generator.integers(len(known), size=count)]
    windows, pending, left = np.empty(count, ROW), np.arange(count), []
    for attempt in range(TRIES * REDRAWS):
        if attempt and attempt % TRIES == 0:
            left += source[pending].tolist()
            source[pending] = known[generator.integers(len(known), size=len(pending))]
        draws = generator.random((len(pending), 5))
        windows[pending], accepted = _candidates(index, label, source[pending], draws, rules)
        pending = pending[~accepted]
        if not pending.size:
            return windows, left
    lower = "min_overlap or switch windows.purity off"
    lower = lower if label < OUTSIDE else "breast_share or windows.side_max"
    what = f"no {CLASSES[label]} window passed the rules in {TRIES * REDRAWS} tries"
    raise InputError(what, f"{split} split, {count} wanted", f"Lower windows.{lower}")


def _candidates(index: _Lesions, label: int, source: np.ndarray, draws: np.ndarray, rules):
    """One training window per source, and which of them keep the rules of their class."""
    if label < OUTSIDE:
        windows = _around_lesions(index, source, draws, rules, rules.angle)
        return windows, _accepted(index, windows, rules, rules.purity)
    windows = _unplaced(source, draws, rules, rules.angle)
    windows["row"], windows["col"] = _breast_points(index.store, source, draws[:, 2:]).T
    windows["label"] = label
    accepted = _breast_share(index.store, windows) >= rules.breast_share
    accepted[accepted] = ~index.touched(windows[accepted])
    return windows, accepted


def _unplaced(image: np.ndarray, draws: np.ndarray, rules, limit: float) -> np.ndarray:
    """Windows with image, side and angle, of no lesion and with their centre still at 0."""
    windows = np.zeros(len(image), ROW)
    windows["image"], windows["lesion"] = image, -1
    windows["side"] = rules.side_min + draws[:, 0] * (rules.side_max - rules.side_min)
    windows["angle"] = (2 * draws[:, 1] - 1) * limit + 0.0  # + 0.0 turns -0.0 into 0.0
    return windows


def _around_lesions(index: _Lesions, lesion: np.ndarray, draws: np.ndarray, rules, limit: float):
    """One window per lesion, from five uniform numbers each: side, angle, pixel, down, right."""
    windows = _unplaced(index.image[lesion], draws, rules, limit)
    windows["lesion"], windows["label"] = lesion, 1 - index.truth[lesion]  # malignant is class 0
    pixel = np.empty((len(lesion), 2))
    for one, members in pd.Series(lesion).groupby(lesion).indices.items():
        points = index.store.outline(one).centres
        pixel[members] = points[(draws[members, 2] * len(points)).astype(int)]
    offset = (draws[:, 3:] - 0.5) * windows["side"][:, None]
    centre = pixel - to_canvas(windows, offset[:, None])[:, 0]
    windows["row"], windows["col"] = centre.T
    return windows


def _accepted(index: _Lesions, windows: np.ndarray, rules, purity: bool) -> np.ndarray:
    """Which windows of lesions keep the rules: bool (n,)."""
    row, col = windows["row"], windows["col"]
    accepted = (row >= 0) & (row < index.store.rows) & (col >= 0) & (col < index.store.cols)
    if rules.min_overlap > 1:  # one pixel is in the window by construction
        lesion = windows["lesion"][accepted]
        pixels = index.overlap(windows[accepted], lesion)
        accepted[accepted] = pixels >= np.minimum(rules.min_overlap, index.area[lesion])
    if purity:
        accepted &= ~index.touched(windows)
    return accepted


def _breast_points(store, image: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A point (n, 2) on the breast of each image, from three uniform numbers: pixel, down, right.

    It is (0, 0) on an image without any breast.
    """
    points = np.zeros((len(image), 2))
    for one, members in pd.Series(image).groupby(image).indices.items():
        breast = store.breast(one)  # its pixels are numbered row by row; OpenCV counts fastest
        counts = cv2.reduce(breast.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]
        ends = np.cumsum(counts)
        if ends[-1]:
            number = (draws[members, 0] * ends[-1]).astype(int)
            row = np.searchsorted(ends, number, "right")
            number -= (ends - counts)[row]
            points[members, 0] = row + draws[members, 1]
            col = [np.flatnonzero(breast[r])[k] for r, k in zip(row, number, strict=True)]
            points[members, 1] = col + draws[members, 2]
    return points * store.breast_stride


def _breast_share(store, windows: np.ndarray) -> np.ndarray:
    """Share (n,) of each window's area that is on the breast, by BREAST_POINTS^2 points."""
    grid = (np.indices((BREAST_POINTS, BREAST_POINTS)) + 0.5).reshape(2, -1).T / BREAST_POINTS - 0.5
    rows, cols = store.rows // store.breast_stride, store.cols // store.breast_stride
    share = np.empty(len(windows))
    for part in np.array_split(np.arange(len(windows)), len(windows) // WINDOWS_AT_ONCE + 1):
        some, image = windows[part], windows["image"][part]
        place = to_canvas(some, some["side"][:, None, None] * grid) / store.breast_stride
        row, col = np.moveaxis(np.floor(place).astype(int), -1, 0)
        on = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
        pixel = (row * cols + col) * on
        for one, members in pd.Series(image).groupby(image).indices.items():
            on[members] &= store.breast(one).ravel()[pixel[members]]
        share[part] = on.mean(axis=1)
    return share
