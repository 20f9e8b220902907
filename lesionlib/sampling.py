"""Draw windows: the four classes of Wu et al. 2020, an epoch of them, the windows of a lesion.

malignant, benign
    The window overlaps the outline of a lesion of that kind by at least `min_overlap` px (or by all
    of an outline that is smaller).  In training, `purity` keeps it off lesions of another truth:
    of the other kind and, our reading, of unknown truth, since either could be what the network
    sees.  At evaluation the paper names overlap alone.
    A pixel of the outline is drawn, then the place at which it lies in the window, both uniformly.
outside
    On an image of the split that has lesions, and touching none of them, of whatever truth.  Images
    with a finding that was left out, so that its place is not known here, are not used.
negative
    On an image whose `negative` is True.

Outside and negative windows have their centre on the breast and at least `breast_share` of their
area on it (what lies off the canvas is not breast).  Every window has its centre on the canvas, and
may cross the canvas' edge.  `rules` is the `windows` block of an experiment's settings.

Promises: lesions are drawn uniformly per class, images uniformly per class; a drawn table is data
and can be replayed; the same seed gives the same table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lesionlib.errors import InputError
from lesionlib.seeds import rng
from lesionlib.windows import CLASSES, outline_points, points_inside, reach, to_canvas, window_table

TRIES = 40  # candidates for one training window before its lesion or image is drawn anew
REDRAWS = 50  # new lesions or images for one training window before giving up
TRIES_PER_WINDOW = 20  # candidates for each wanted window of a lesion before giving up
LEAST_TRIES = 1000  # and at least so many per lesion
LATER_BATCH = 50  # candidates at a time for the few lesions that were refused some
BREAST_POINTS = 16  # share of breast: measured on 16 x 16 points of the window
POINTS_AT_ONCE = 2_000_000  # windows x outline pixels; bounds the memory of an overlap test
OUTSIDE, NEGATIVE = 2, 3
NO_TRUTH = -1  # the truth of outside and negative windows: no lesion shares it


# ------------------------------------------------------------------ public
def sample_epoch(
    store, composition: Sequence[int], rules, *, split: str = "training", seed: int
) -> pd.DataFrame:
    """A shuffled window table of one epoch.

    composition : windows of each class, in the order of `windows.CLASSES`.
    split : "training", "validation" or "test"; only its images are used.
    seed : seed of this epoch (derive one per epoch from the run's).

    In a split without negative images their windows are drawn as outside windows, and
    `.attrs["note"]` says so.  A lesion for which `TRIES` candidates in a row are refused (mostly by
    purity) is passed over: another lesion is drawn in its place, and `.attrs["passed_over"]` lists
    the lesion_ids; the same goes for images, without a list.

    Raises InputError for a malformed composition, windows larger than the canvas, a class without
    any lesion or image in the split, and a class for which no window passes the rules.
    """
    counts = _counts(composition)
    _check_rules(store, rules)
    counts, note = _without_negatives(store, counts, split)
    lesions, parts, passed_over = _Lesions(store), [], []
    for label, count in enumerate(counts):
        generator = rng(seed, "epoch", CLASSES[label])
        if count and label < OUTSIDE:
            part, passed = _lesion_windows(lesions, label, count, rules, split, generator)
            parts.append(part)
            passed_over += passed
        elif count:
            parts.append(_background_windows(lesions, label, count, rules, split, generator))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = rng(seed, "epoch", "order").permutation(len(columns["row"]))
    table = window_table(**{name: values[order] for name, values in columns.items()})
    table.attrs["passed_over"] = sorted(set(passed_over))
    if note:
        table.attrs["note"] = note
    return table


def sample_lesion_windows(
    store, lesions, each: int, rules, *, seed: int, training: bool
) -> pd.DataFrame:
    """`each` windows of every given lesion, lesion after lesion in the given order.

    lesions : rows of store.lesions, malignant or benign ones.
    training : True: angle uniform in -`rules.angle`..`rules.angle`, and pure windows alone where
        `rules.purity` asks for them; a lesion that runs out of candidates keeps those found, and
        `.attrs["impure"]` lists its lesion_id.  False: angle uniform in
        -`rules.angle_evaluation`..`rules.angle_evaluation`, and overlap alone decides, so that the
        truth of a neighbouring lesion moves no window by which a lesion is judged.

    A lesion's windows depend on (seed, lesion_id) alone, not on the other lesions asked for; its
    first k windows do not depend on `each`, unless it ran out.

    Raises InputError for lesions of unknown truth, windows larger than the canvas, and a lesion
    of which no window can hold `rules.min_overlap` px.
    """
    _check_rules(store, rules)
    index, chosen = _Lesions(store), np.asarray(lesions, dtype=int).reshape(-1)
    _check_scored(index, chosen)
    limit = rules.angle if training else rules.angle_evaluation
    purity = training and rules.purity
    generators = [rng(seed, "lesion windows", index.ids[lesion]) for lesion in chosen]
    done, impure, parts = np.zeros(len(chosen), dtype=int), [], []
    tried, batch, most = 0, each, max(LEAST_TRIES, TRIES_PER_WINDOW * each)
    while each and (todo := np.flatnonzero(done < each)).size:
        if tried >= most and not purity:
            raise _unholdable(index, chosen[todo[0]], rules, tried)
        if tried >= most:
            impure = index.ids[chosen[todo]].tolist()
            break
        draws = np.concatenate([generators[place].random((batch, 5)) for place in todo])
        place = np.repeat(todo, batch)
        part = _draw(index, chosen[place], draws, rules, limit)
        accepted = _accepted(index, part, rules, purity)
        rank = done[place] + np.cumsum(accepted.reshape(-1, batch), axis=1).ravel() - 1
        accepted &= rank < each
        np.add.at(done, place[accepted], 1)
        part["order"] = place * each + rank
        parts.append(_rows(part, accepted))
        tried, batch = tried + batch, max(each, LATER_BATCH)
    return _in_order(parts, impure)


# ------------------------------------------------------------------ what was asked for
def _counts(composition: Sequence[int]) -> list[int]:
    counts = [int(count) for count in composition]
    if len(counts) != len(CLASSES) or min(counts) < 0 or not sum(counts):
        raise InputError(
            f"an epoch of {tuple(composition)} windows",
            "setting epoch",
            f"Give {len(CLASSES)} counts, one or more above 0: {', '.join(CLASSES)}",
        )
    return counts


def _check_rules(store, rules) -> None:
    if rules.side_max > min(store.rows, store.cols):
        raise InputError(
            f"windows of {rules.side_max:g} px are larger than the canvas of "
            f"{store.rows} x {store.cols} px",
            "setting windows.side_max",
            f"Lower it to at most {min(store.rows, store.cols)} or enlarge the canvas",
        )


def _without_negatives(store, counts: list[int], split: str) -> tuple[list[int], str]:
    """Counts and a note: negative windows moved to outside where the split has no such image."""
    if not counts[NEGATIVE] or len(store.image_rows(split=split, negative=True)):
        return counts, ""
    moved = counts[NEGATIVE]
    note = f"no negative image in the {split} split: {moved} negative windows drawn as outside"
    return [*counts[:OUTSIDE], counts[OUTSIDE] + moved, 0], note


def _check_scored(index: _Lesions, chosen: np.ndarray) -> None:
    wrong = chosen[index.truth[chosen] >= OUTSIDE]
    if wrong.size:
        raise InputError(
            f"lesion {index.ids[wrong[0]]} is neither malignant nor benign",
            f"{wrong.size} of {chosen.size} lesions asked for",
            "Leave lesions of unknown truth out: they are not scored",
        )


def _unholdable(index: _Lesions, lesion: int, rules, tried: int) -> InputError:
    return InputError(
        f"no window of lesion {index.ids[lesion]} holds {rules.min_overlap} px of its outline "
        f"({tried} tried, sides {rules.side_min:g}..{rules.side_max:g} px)",
        "setting windows.min_overlap",
        "Lower windows.min_overlap or raise windows.side_max",
    )


def _exhausted(label: int, split: str, count: int) -> InputError:
    return InputError(
        f"no {CLASSES[label]} window passed the rules in {TRIES * REDRAWS} tries",
        f"{split} split, {count} wanted",
        "Lower windows.min_overlap or switch windows.purity off"
        if label < OUTSIDE
        else "Lower windows.breast_share or windows.side_max",
    )


def _in_order(parts: list[dict], impure: list[str]) -> pd.DataFrame:
    names = ("image", "row", "col", "side", "angle", "label", "lesion", "order")
    columns = {name: np.concatenate([part[name] for part in parts] or [[]]) for name in names}
    order = np.argsort(columns.pop("order"))
    table = window_table(**{name: values[order] for name, values in columns.items()})
    table.attrs["impure"] = impure
    return table


# ------------------------------------------------------------------ lesions of a store
class _Lesions:
    """The lesions of a store as arrays, and which of them lie on the same image."""

    def __init__(self, store):
        frame = store.lesions
        self.store = store
        self.ids = frame["lesion_id"].to_numpy()
        self.image = frame["image"].to_numpy(dtype=int)
        truth = {"malignant": 0, "benign": 1}
        self.truth = frame["pathology"].map(truth).fillna(OUTSIDE).to_numpy(dtype=int)
        first, extent = (
            frame[["row0", "col0"]].to_numpy(float),
            frame[["rows", "cols"]].to_numpy(float),
        )
        self.boxes = np.stack([first, first + extent], axis=1)
        self.by_image = np.argsort(self.image, kind="stable")
        self._sorted_image = self.image[self.by_image]

    def pairs(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All (place in `images`, lesion on that image), as two arrays."""
        first = np.searchsorted(self._sorted_image, images, "left")
        count = np.searchsorted(self._sorted_image, images, "right") - first
        place = np.repeat(np.arange(len(images)), count)
        within = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        return place, self.by_image[first[place] + within]

    def touched(self, windows: dict, truth: np.ndarray) -> np.ndarray:
        """Which windows touch an outline whose truth is not the given one: bool (n,)."""
        place, lesion = self.pairs(windows["image"])
        near = self.truth[lesion] != truth[place]
        centre = np.stack([windows["row"], windows["col"]], axis=1)
        extent = reach(windows)[place, None]
        near &= (centre[place] + extent > self.boxes[lesion, 0]).all(axis=1)
        near &= (centre[place] - extent < self.boxes[lesion, 1]).all(axis=1)
        place, lesion = place[near], lesion[near]
        touched = np.zeros(len(centre), dtype=bool)
        touched[place[self.overlap(windows, place, lesion) > 0]] = True
        return touched

    def overlap(self, windows: dict, place: np.ndarray, lesion: np.ndarray) -> np.ndarray:
        """Pixels of lesion[k]'s outline in window place[k]: int (k,)."""
        pixels = np.zeros(len(place), dtype=int)
        for one, members in _groups(lesion):
            points = outline_points(self.store.outline(one))
            step = max(1, POINTS_AT_ONCE // len(points))
            for start in range(0, len(members), step):
                some = members[start : start + step]
                pixels[some] = points_inside(_rows(windows, place[some]), points).sum(axis=1)
        return pixels


def _groups(keys: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each distinct key with the places at which it stands."""
    order = np.argsort(keys, kind="stable")
    names, start = np.unique(keys[order], return_index=True)
    yield from zip(names.tolist(), np.split(order, start[1:]), strict=False)


def _rows(windows: dict, rows: np.ndarray) -> dict:
    return {name: values[rows] for name, values in windows.items()}


# ------------------------------------------------------------------ windows of a lesion
def _draw(index: _Lesions, lesion: np.ndarray, draws: np.ndarray, rules, limit: float) -> dict:
    """One candidate a lesion, from five uniform numbers each: side, angle, pixel, down, right."""
    side, angle = _side_and_angle(draws, rules, limit)
    pixel = np.empty((len(lesion), 2))
    for one, members in _groups(lesion):
        outline = index.store.outline(one)
        flat = np.flatnonzero(outline.mask)
        chosen = flat[(draws[members, 2] * len(flat)).astype(int)]
        row, col = np.divmod(chosen, outline.mask.shape[1])
        pixel[members] = np.stack([row + outline.row0, col + outline.col0], axis=1) + 0.5
    here = {"row": np.zeros(len(side)), "col": np.zeros(len(side)), "angle": angle}
    offset = (draws[:, 3:] - 0.5) * side[:, None]
    centre = pixel - to_canvas(here, offset[:, None])[:, 0]
    return _candidates(index.image[lesion], centre, side, angle, index.truth[lesion], lesion)


def _side_and_angle(draws: np.ndarray, rules, limit: float) -> tuple[np.ndarray, np.ndarray]:
    side = rules.side_min + draws[:, 0] * (rules.side_max - rules.side_min)
    return side, (2 * draws[:, 1] - 1) * limit + 0.0  # + 0.0 turns -0.0 into 0.0


def _candidates(image, centre, side, angle, label, lesion) -> dict:
    row, col = centre.T
    return dict(image=image, row=row, col=col, side=side, angle=angle, label=label, lesion=lesion)


def _accepted(index: _Lesions, windows: dict, rules, purity: bool) -> np.ndarray:
    """Which candidates keep the rules of their lesion's class: bool (n,)."""
    row, col = windows["row"], windows["col"]
    accepted = (row >= 0) & (row < index.store.rows) & (col >= 0) & (col < index.store.cols)
    if rules.min_overlap > 1:  # one pixel lies in the window by construction
        area = index.store.lesions["area_px"].to_numpy()[windows["lesion"]]
        place = np.flatnonzero(accepted)
        pixels = index.overlap(windows, place, windows["lesion"][place])
        accepted[place] = pixels >= np.minimum(rules.min_overlap, area[place])
    if purity:
        accepted &= ~index.touched(windows, windows["label"])
    return accepted


def _lesion_windows(
    index: _Lesions, label: int, count: int, rules, split: str, generator: np.random.Generator
) -> tuple[dict, list[str]]:
    """`count` windows of a class of lesions, and the lesion_ids that were passed over."""
    known = index.store.lesion_rows(split=split, pathology=CLASSES[label])
    if not len(known):
        raise InputError(
            f"no {CLASSES[label]} lesion in the {split} split, {count} windows asked for",
            f"{len(index.ids)} lesions in the store",
            f"Set the epoch's count of {CLASSES[label]} windows to 0 or add such lesions",
        )

    def draw(source: np.ndarray) -> tuple[dict, np.ndarray]:
        draws = generator.random((len(source), 5))
        windows = _draw(index, source, draws, rules, rules.angle)
        return windows, _accepted(index, windows, rules, rules.purity)

    windows, passed = _fill(draw, known, count, generator)
    if windows is None:
        raise _exhausted(label, split, count)
    return windows, [str(index.ids[lesion]) for lesion in passed]


def _fill(draw, known: np.ndarray, count: int, generator) -> tuple[dict | None, list[int]]:
    """Draw until `count` windows are accepted, each from its own uniformly drawn source.

    A source (lesion or image) is kept over TRIES refusals, so that sources with few possible
    windows are drawn as often as the others, then drawn anew.
    """
    source = known[generator.integers(len(known), size=count)]
    pending, passed, result = np.arange(count), [], None
    for attempt in range(TRIES * REDRAWS):
        if attempt and attempt % TRIES == 0:
            passed += source[pending].tolist()
            source[pending] = known[generator.integers(len(known), size=len(pending))]
        windows, accepted = draw(source[pending])
        if result is None:
            result = windows
        for name, values in windows.items():
            result[name][pending] = values
        pending = pending[~accepted]
        if not pending.size:
            return result, passed
    return None, passed


# ------------------------------------------------------------------ outside and negative
def _background_windows(
    index: _Lesions, label: int, count: int, rules, split: str, generator: np.random.Generator
) -> dict:
    """`count` outside or negative windows."""
    outside = {"with_lesions": True, "clear": True}
    wanted = outside if label == OUTSIDE else {"negative": True}
    images = index.store.image_rows(split=split, **wanted)
    if not len(images):
        raise InputError(
            f"no image with lesions, none of them left out, for {count} outside windows in the "
            f"{split} split",
            f"{len(index.store.image_rows(split=split, negative=True))} negative images in it",
            "Add images, or set the epoch's counts of windows that the split cannot give to 0",
        )

    def draw(source: np.ndarray) -> tuple[dict, np.ndarray]:
        draws = generator.random((len(source), 5))
        windows, share = _on_breast(index.store, source, draws, rules, label)
        accepted = share >= rules.breast_share
        place = np.flatnonzero(accepted)
        nothing = np.full(len(place), NO_TRUTH)
        accepted[place] = ~index.touched(_rows(windows, place), nothing)
        return windows, accepted

    windows, _ = _fill(draw, images, count, generator)
    if windows is None:
        raise _exhausted(label, split, count)
    return windows


def _on_breast(store, image: np.ndarray, draws: np.ndarray, rules, label: int):
    """One candidate an image, centred on its breast, and the share (n,) of its area on the breast.

    The share of an image without any breast is 0.
    """
    side, angle = _side_and_angle(draws, rules, rules.angle)
    centre, share = np.zeros((len(image), 2)), np.zeros(len(image))
    steps, stride = (np.arange(BREAST_POINTS) + 0.5) / BREAST_POINTS - 0.5, store.breast_stride
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    for one, members in _groups(image):
        breast = store.breast(one)
        flat = np.flatnonzero(breast)
        if not flat.size:
            continue
        chosen = flat[(draws[members, 2] * len(flat)).astype(int)]
        pixel = np.stack(np.divmod(chosen, breast.shape[1]), axis=1)
        centre[members] = (pixel + draws[members, 3:]) * stride
        pose = dict(row=centre[members, 0], col=centre[members, 1], angle=angle[members])
        points = to_canvas(pose, side[members, None, None] * grid)
        share[members] = _share_of(breast, points, stride)
    nothing = np.full(len(image), -1)
    return _candidates(image, centre, side, angle, np.full(len(image), label), nothing), share


def _share_of(breast: np.ndarray, points: np.ndarray, stride: int) -> np.ndarray:
    """Share of the canvas points (n, m, 2) that lie on the breast: (n,)."""
    place = np.floor(points / stride).astype(int)
    known = ((place >= 0) & (place < breast.shape)).all(axis=-1)
    place = np.clip(place, 0, np.array(breast.shape) - 1)
    return (breast[place[..., 0], place[..., 1]] & known).mean(axis=1)
