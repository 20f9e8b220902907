"""The store: what goes in comes out, interruptions cost nothing, damage is listed."""

import hashlib
import pickle
import shutil
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from made_up import TINY_CANVAS, reasons
from PIL import Image
from tiny_table import half_ellipse

from data_manifest.images import build, building
from data_manifest.images import store as store_module
from data_manifest.images.breast import dilated
from data_manifest.images.prepare import moments
from data_manifest.images.read import read_image, read_mask
from data_manifest.images.store import ImageStore, build_store
from data_manifest.manifest import Manifest, exclusion
from data_manifest.table import reader as table
from lesionlib.errors import InputError
from lesionlib.files import read_json


def made(folder, target="store", canvas=TINY_CANVAS, **more):
    return build_store(table.read(folder), folder.parent / target, canvas, **more)


def canvas_with(**changes):
    return SimpleNamespace(**{**vars(TINY_CANVAS), **changes})


def digest_of(folder):
    """Of all files of a store but the lock and the records of speed and of the files' times."""
    others = (".lock", "build.json", "files.json")
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name not in others)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def edit(folder, name, row, **values):
    """row : its number, or the id of its image."""
    frame = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    row = frame["image_id"] == row if isinstance(row, str) else row
    for column, value in values.items():
        frame.loc[row, column] = value
    frame.to_csv(folder / name, index=False)


# ------------------------------------------------------------------ contents
def test_size_type_and_tables(tiny_store):
    assert tiny_store.pixels.shape == (24, 192, 128) and tiny_store.dtype == np.uint8
    assert len(tiny_store.images) == 24 and len(tiny_store.lesions) == 20
    assert tiny_store.images["negative"].dtype == bool
    assert tiny_store.exclusions.empty
    flow = tiny_store.flow()
    assert flow["count"].tolist() == [24, 24, 20, 20]


def test_every_canvas_is_its_source_at_the_stated_place(tiny_store):
    for i, row in tiny_store.images.iterrows():
        placed = tiny_store.placement(i)
        canvas = tiny_store.raw(i)
        rows, cols = np.nonzero(canvas)
        source = tiny_store.to_source(i, np.stack([rows, cols], axis=1) + 0.5)
        assert (source >= 0).all() and (source[:, 0] < 160).all() and (source[:, 1] < 128).all()
        assert placed.flipped == (row["laterality"] == "R")
        assert canvas[:, 0].any()  # the chest wall is at the left edge


def test_pixels_outlines_and_points_agree_with_the_files(tiny_table):
    store = made(tiny_table)
    manifest = table.read(tiny_table)
    for j in range(len(store.lesions)):
        i = int(store.lesions["image"][j])
        name = store.images["image_id"][i]
        file = manifest.images.set_index("image_id").loc[name, "file"]
        source = read_image(tiny_table / file).pixels
        mask_file = manifest.lesions.set_index("lesion_id").loc[
            store.lesions["lesion_id"][j], "mask_file"
        ]
        mask = read_mask(tiny_table / mask_file)
        outline = store.outline(j)
        assert outline.area_px == mask.sum() == store.lesions["area_px"][j]
        points = np.floor(store.to_source(i, outline.pixels + 0.5)).astype(int)
        assert mask[points[:, 0], points[:, 1]].all()
        on_canvas = store.raw(i)[outline.pixels[:, 0], outline.pixels[:, 1]]
        assert np.array_equal(on_canvas, source[points[:, 0], points[:, 1]])


def test_moments_and_standardisation(tiny_store):
    x = tiny_store.raw(5).astype(np.float64)
    assert tiny_store.images["mean"][5] == pytest.approx(x.mean(), rel=1e-12)
    assert tiny_store.images["std"][5] == pytest.approx(x.std(), rel=1e-12)
    z = tiny_store.standardised(5)
    assert z.dtype == np.float32 and z.shape == (192, 128)
    assert abs(float(z.mean())) < 1e-5 and float(z.std()) == pytest.approx(1, abs=1e-5)


def test_moments_of_sixteen_bits_are_exact_and_a_flat_canvas_has_none():
    x = np.random.default_rng(0).integers(0, 65536, (300, 200)).astype(np.uint16)
    found = moments(x)
    assert found["mean"] == pytest.approx(x.astype(np.float64).mean(), rel=1e-14)
    assert found["std"] == pytest.approx(x.astype(np.float64).std(), rel=1e-12)
    assert moments(np.full((4, 4), 7, np.uint8)) == {"mean": 7.0, "std": 0.0}


def test_the_breast_mask_covers_the_tissue_at_stride_four(tiny_store):
    breast = tiny_store.breast(0)
    assert breast.shape == (48, 32) and breast.dtype == bool
    share = (tiny_store.raw(0) > 0).reshape(48, 4, 32, 4).mean(axis=(1, 3))
    assert (breast == (share >= 0.5)).mean() > 0.97
    row = tiny_store.images.iloc[0]
    rows, cols = np.nonzero(tiny_store.raw(0))
    box = [row["breast_row0"], row["breast_row1"], row["breast_col0"], row["breast_col1"]]
    assert np.abs(np.array(box) - [rows.min(), rows.max() + 1, 0, cols.max() + 1]).max() <= 2


def test_choosing_rows(tiny_store):
    assert len(tiny_store.lesion_rows()) == 20
    assert len(tiny_store.lesion_rows("training", "malignant")) == 4
    assert len(tiny_store.lesion_rows(pathology="unknown")) == 2
    assert tiny_store.lesion_rows("test").dtype == np.int64
    assert len(tiny_store.image_rows("training", negative=True)) == 4
    assert len(tiny_store.image_rows(with_lesions=True)) == 16
    assert len(tiny_store.image_rows("validation", with_lesions=False)) == 2
    again = ImageStore(tiny_store.folder)
    again.image_rows()
    again.images = None  # its texts are read once: a million images cost an epoch nothing
    assert len(again.image_rows("training", negative=True)) == 4
    image = int(tiny_store.lesions["image"][3])
    assert 3 in tiny_store.lesions_of(image)
    assert tiny_store.lesions_of(tiny_store.image_rows(negative=True)[0]).tolist() == []


def test_a_store_is_pickled_by_its_folder(tiny_store):
    tiny_store.raw(0)
    data = pickle.dumps(tiny_store)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data).raw(7), tiny_store.raw(7))
    with pytest.raises(ValueError):
        tiny_store.raw(0)[0, 0] = 1  # read-only


# ------------------------------------------------------------------ canvas settings
def test_half_scale_halves_everything(tiny_table):
    canvas = canvas_with(rows=128, cols=64, scale=0.5)
    half, whole = made(tiny_table, canvas=canvas), made(tiny_table, "whole")
    ratio = half.lesions["area_px"] / whole.lesions["area_px"]
    assert ratio.between(0.2, 0.3).all()
    for j in (0, 7, 15):
        i = int(half.lesions["image"][j])
        small = half.to_source(i, half.outline(j).pixels.mean(axis=0) + 0.5)
        large = whole.to_source(i, whole.outline(j).pixels.mean(axis=0) + 0.5)
        assert np.abs(small - large).max() < 1


def test_film_is_blanked_off_the_breast(tiny_table):
    edit(tiny_table, "images.csv", slice(None), source="film")
    file = tiny_table / "png" / "P01_CC.png"
    pixels = np.array(Image.open(file))
    pixels[pixels == 0] = 12  # the film's own grey
    pixels[:14, 96:] = 250  # a label
    Image.fromarray(pixels).save(file)
    canvas = canvas_with(background="film")
    film, zero = made(tiny_table, canvas=canvas), made(tiny_table, "zero")
    far = ~dilated(half_ellipse(160, 128), 8)
    points = np.floor(film.to_canvas(0, np.argwhere(far) + 0.5)).astype(int)
    points = points[(points >= 0).all(axis=1) & (points < (192, 128)).all(axis=1)]
    assert zero.raw(0)[points[:, 0], points[:, 1]].max() >= 12
    assert film.raw(0)[points[:, 0], points[:, 1]].max() == 0


def test_bits_decide_the_type_and_dark_breasts_are_inverted(tiny_table):
    file = tiny_table / "png" / "P01_CC.png"
    pixels = np.array(Image.open(file)).astype(np.uint16) * 16
    before = made(tiny_table, "before").raw(0)
    Image.fromarray(4095 - pixels).save(file)
    edit(tiny_table, "images.csv", 0, bits="12", polarity="MONOCHROME1")
    store = made(tiny_table)
    assert store.dtype == np.uint16
    assert np.array_equal(store.raw(0), before.astype(np.uint16) * 16)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize("bits", [8, 12])
def test_dark_breasts_are_inverted_by_the_bits_of_their_file(tiny_table, bits, suffix):
    """Trap: `bits` is 16 where the table does not state it, and air of 0 becomes 61440."""
    pixels = np.array(Image.open(tiny_table / "png" / "P01_CC.png")).astype(np.uint16)
    before, factor = made(tiny_table, "before").raw(0), 2 ** (bits - 8)
    file = f"png/dark.{suffix}"
    dark = (2**bits - 1 - pixels * factor).astype(np.uint8 if bits == 8 else np.uint16)
    Image.fromarray(dark).save(tiny_table / file)
    edit(tiny_table, "images.csv", 0, file=file, bits="", polarity="MONOCHROME1")
    assert np.array_equal(made(tiny_table).raw(0), before.astype(np.uint16) * factor)


@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
def test_a_background_that_is_not_0_becomes_0(tiny_table, polarity):
    """Trap: all of the image is breast, a right one is not mirrored, a lesion in the air is used."""
    file = tiny_table / "png" / "P02_CC.png"  # a right breast
    pixels = np.maximum(np.array(Image.open(file)), 3)
    Image.fromarray(pixels if polarity == "MONOCHROME2" else 255 - pixels).save(file)
    edit(tiny_table, "images.csv", "P02_CC", polarity=polarity, bits="")
    lesions = pd.read_csv(tiny_table / "lesions.csv")["image_id"].tolist()
    air = {"geom": "box", "mask_file": "", "x0": "2", "x1": "12", "y0": "2", "y1": "12"}
    edit(tiny_table, "lesions.csv", lesions.index("P02_CC"), **air)
    store = made(tiny_table)
    row = store.images.set_index("image_id").loc["P02_CC"]
    i = store.images["image_id"].tolist().index("P02_CC")
    assert row["flipped"] and 0.3 < store.breast(i).mean() < 0.6
    assert not store.raw(i)[:8, -8:].any() and (store.raw(i) == 0).mean() > 0.35
    assert "outline is off the breast" in reasons(store)["P02_1@P02_CC"]


def test_a_mirrored_image_is_refused_unless_it_is_a_film_or_its_edge_is_stated(tiny_table):
    """Trap: it is a digital image's only sign that a lesion was given to the other breast."""
    file = tiny_table / "png" / "P05_CC.png"  # a left breast without a lesion
    Image.fromarray(np.array(Image.open(file))[:, ::-1]).save(file)
    store = made(tiny_table)
    words = "the breast is at the right edge, its laterality means the left one"
    assert words in reasons(store)["P05_CC"] and "film, if it is a scan" in reasons(store)["P05_CC"]
    for k, stated in enumerate(({"source": "film"}, {"source": "ffdm", "chest_wall": "right"})):
        edit(tiny_table, "images.csv", "P05_CC", **stated)
        assert made(tiny_table, target=f"store{k}").exclusions.empty


@pytest.mark.parametrize("source", ["ffdm", "film"])
@pytest.mark.parametrize("size", [(1, 1), (6, 5), (16, 10), (200, 11)])
def test_a_breast_of_a_few_px_is_told(tiny_table, size, source):
    """Trap: a folder of thumbnails passes, and the training fails on it much later."""
    Image.fromarray(half_ellipse(*size).astype(np.uint8) * 200).save(
        tiny_table / "png" / "P05_CC.png"
    )
    edit(tiny_table, "images.csv", "P05_CC", rows="", cols="", source=source, accept="filled")
    said = reasons(made(tiny_table))["P05_CC"]
    assert "cols, least 12 each" in said or "no breast found" in said


def test_a_breast_that_the_scale_makes_vanish_is_told(tiny_table):
    with pytest.raises(InputError, match="no breast on the canvas.*canvas.scale"):
        made(tiny_table, canvas=canvas_with(scale=0.015, buffer=1))


@pytest.mark.parametrize("source", ["ffdm", "film"])
def test_an_image_full_of_breast_is_refused_unless_accepted(tiny_table, source):
    """Trap: inverted images and frames pass as one large breast."""
    file = tiny_table / "png" / "P05_CC.png"
    pixels = 60 + 25 * (np.mgrid[0:160, 0:128].sum(axis=0) % 7)  # 60 to 210, nowhere 0
    Image.fromarray(pixels.astype(np.uint8)).save(file)
    edit(tiny_table, "images.csv", 8, source=source)
    reason = reasons(made(tiny_table))["P05_CC"]
    assert "of the whole image" in reason and "'filled' into its column accept" in reason
    edit(tiny_table, "images.csv", 8, accept="filled")
    assert len(made(tiny_table)) == 24


# ------------------------------------------------------------------ building again
def test_a_build_tells_its_speed(tiny_table):
    messages = []
    store = made(tiny_table, progress=messages.append)
    record = read_json(store.folder / "build.json")
    assert record["images"] == 24 and record["workers"] == 1
    assert record["images_per_second"] > 0
    assert messages[-1].endswith(f"({record['images_per_second']:g} images per second)")


def test_a_second_build_does_nothing(tiny_table, monkeypatch):
    first = made(tiny_table)
    before = digest_of(first.folder) | {"speed": (first.folder / "build.json").read_bytes()}
    monkeypatch.setattr(build, "prepare", None)  # any work would fail
    messages = []
    again = made(tiny_table, progress=messages.append)
    after = digest_of(again.folder) | {"speed": (again.folder / "build.json").read_bytes()}
    assert after == before and messages == []


def test_corrected_labels_in_a_moved_folder_read_no_image(tiny_table, monkeypatch):
    """Trap: one corrected pathology, or another place of the data, decodes every image anew."""
    first = made(tiny_table)
    edit(tiny_table, "images.csv", slice(0, 1), split="test", exam_id="later")  # both views of P01
    labels = {"pathology": "benign", "truth": "followup", "kind": "calc", "birads": "2"}
    edit(tiny_table, "lesions.csv", slice(0, 1), **labels)
    moved = shutil.move(tiny_table, tiny_table.with_name("moved"))
    whole = digest_of(made(moved, "whole").folder)
    monkeypatch.setattr(build, "prepare", None)  # any work would fail
    again = made(moved)
    assert first.images["split"][0] == "training" and again.images["split"][0] == "test"
    assert (again.lesions.loc[again.lesions["patient_id"] == "P01", "split"] == "test").all()
    assert first.lesions["pathology"][0] == "malignant"
    assert again.lesions.loc[0, list(labels)].to_dict() == labels
    assert digest_of(again.folder) == whole


def test_other_settings_or_data_build_anew(tiny_table):
    made(tiny_table)
    wide = made(tiny_table, canvas=canvas_with(cols=192))
    assert wide.pixels.shape == (24, 192, 192)
    other = np.where(half_ellipse(160, 128), 90, 0).astype(np.uint8)
    Image.fromarray(other).save(tiny_table / "png" / "P05_CC.png")
    assert made(tiny_table).raw(8).max() == 90, "another film under the same name"
    small = {"geom": "circle", "mask_file": "", "cx": "40", "cy": "60", "r": "3"}
    edit(tiny_table, "lesions.csv", 0, **small)
    assert made(tiny_table).lesions["area_px"][0] < 40


def test_files_of_others_in_the_folder_stay(tiny_table, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "stage.json").write_text("{}")
    made(tiny_table)
    made(tiny_table, canvas=canvas_with(cols=192))
    assert (tmp_path / "store" / "stage.json").exists()
    assert not (tmp_path / "store" / "building").exists()


@pytest.fixture
def calls(monkeypatch):
    """Ids of the images that builds prepare; a build is interrupted after `calls.most` of them."""

    class Calls(list):
        most = 99

    seen, prepare = Calls(), build.prepare

    def counted(task):
        seen.append(task.image["image_id"])
        if len(seen) > seen.most:
            raise KeyboardInterrupt
        return prepare(task)

    monkeypatch.setattr(build, "prepare", counted)
    return seen


def interrupted(folder, calls, after):
    calls.clear()
    calls.most = after
    with pytest.raises(KeyboardInterrupt):
        made(folder)
    calls.most = 99


@pytest.mark.parametrize("stop_at", [1, 10, 23])
def test_an_interrupted_build_goes_on_and_ends_in_the_same_bytes(tiny_table, calls, stop_at):
    whole = digest_of(made(tiny_table, "whole").folder)
    interrupted(tiny_table, calls, stop_at)
    with pytest.raises(InputError, match="no image store"):
        ImageStore(tiny_table.parent / "store")
    done = set(calls[:-1])
    calls.clear()
    messages = []
    store = made(tiny_table, progress=messages.append)
    assert not done & set(calls) and len(calls) == 24 - stop_at
    assert f"{stop_at} of them ready from before" in messages[0]
    assert digest_of(store.folder) == whole


@pytest.mark.parametrize("harm", ["data beyond the journal", "half a line", "data lost"])
def test_what_a_crash_leaves_behind_is_mended(tiny_table, calls, harm):
    whole = digest_of(made(tiny_table, "whole").folder)
    interrupted(tiny_table, calls, 8)
    folder = tiny_table.parent / "store" / "building"
    if harm == "data beyond the journal":
        np.load(folder / "canvases.npy", mmap_mode="r+")[8:] = 7
    elif harm == "half a line":
        text = (folder / "journal.jsonl").read_text()
        (folder / "journal.jsonl").write_text(text[:-30])
    else:
        with open(folder / "breasts.npy", "r+b") as file:
            file.truncate(1000)
    assert digest_of(made(tiny_table).folder) == whole


def test_a_build_stopped_while_moving_is_finished(tiny_table, monkeypatch):
    store = made(tiny_table)
    whole, folder = digest_of(store.folder), store.folder
    unfinished = folder / "building"
    unfinished.mkdir()
    for name in ("lesions.csv", "exclusions.csv", "store.json"):
        shutil.move(folder / name, unfinished / name)
    monkeypatch.setattr(build, "prepare", None)
    assert digest_of(made(tiny_table).folder) == whole


def test_several_processes_give_the_same_bytes(tiny_table, monkeypatch):
    one = digest_of(made(tiny_table, "one").folder)
    monkeypatch.setattr(build, "FEWEST", 1)
    monkeypatch.setattr(build, "BLOCK", 3)
    assert digest_of(made(tiny_table, "two", workers=2).folder) == one


# ------------------------------------------------------------------ damage
def test_damaged_images_are_listed_and_the_rest_is_built(tiny_table):
    png = tiny_table / "png"
    (png / "P01_CC.png").write_bytes((png / "P01_CC.png").read_bytes()[:900])
    (png / "P05_CC.png").write_bytes(b"")
    Image.fromarray(np.zeros((160, 128), np.uint8)).save(png / "P06_CC.png")
    edit(tiny_table, "images.csv", 5, rows="161")  # P03_MLO
    messages = []
    store = made(tiny_table, progress=messages.append)
    lost = reasons(store)
    assert len(store) == 20 and len(store.lesions) == 18
    assert "truncated PNG" in lost["P01_CC"] and "its image: " in lost["P01_1@P01_CC"]
    assert "empty file, 0 bytes" in lost["P05_CC"]
    assert "no breast found" in lost["P06_CC"]
    assert "size 160 rows x 128 cols, the table says 161 x 128" in lost["P03_MLO"]
    assert not any("\n" in reason or str(tiny_table) in reason for reason in lost.values())
    assert "P01_CC" not in set(store.images["image_id"])
    assert "4 images and 2 lesions left out, first lesion P01_1@P01_CC" in messages[-1]
    flow = store.flow()
    for _, part in flow.groupby("level"):
        assert part["count"].iloc[:-1].sum() == part["count"].iloc[-1]


def test_a_mended_file_is_no_longer_listed(tiny_table):
    """Trap: the exclusions of the last build stay, though their cause is gone."""
    whole = digest_of(made(tiny_table, "whole").folder)
    film, mask = (tiny_table / "png" / f"{name}.png" for name in ("P05_CC", "P02_CC_lesion2"))
    good = film.read_bytes(), mask.read_bytes()
    film.write_bytes(good[0][:900])
    mask.write_bytes(good[1][:60])
    assert len(made(tiny_table)) == 23
    film.write_bytes(good[0])
    lost = made(tiny_table).exclusions
    assert "P05_CC" not in set(lost["id"]) and len(lost) == 1, "that of the mask is still good"
    mask.write_bytes(good[1])
    assert digest_of(made(tiny_table).folder) == whole


def test_a_failed_build_leaves_no_stale_exclusion_and_loses_no_good_one(tiny_table, calls):
    """Trap: the journal of the failed build says of a film that is whole by now that it is not."""
    bad, later = (tiny_table / "png" / f"{name}.png" for name in ("P05_CC", "P09_CC"))
    good = later.read_bytes()
    bad.write_bytes(b"")
    whole = digest_of(made(tiny_table, "whole").folder)
    later.write_bytes(good[:900])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(TypeError):
        patch.setattr(store_module, "_write_tables", None)  # the build fails at its very end
        made(tiny_table)
    calls.clear()
    later.write_bytes(good)
    store = made(tiny_table)
    assert "P05_CC" in set(store.exclusions["id"]) and "P09_CC" not in set(store.exclusions["id"])
    assert calls[0] == "P09_CC", "what comes before it is kept"
    assert digest_of(store.folder) == whole


def mask_of(value, rows=160, cols=128):
    return lambda file: Image.fromarray(np.full((rows, cols), value, np.uint8)).save(file)


CIRCLE = {"geom": "circle", "mask_file": "", "cx": "120", "cy": "10", "r": "5"}
THIN = {"geom": "box", "mask_file": "", "x0": "30.6", "x1": "31.4", "y0": "50", "y1": "60"}


@pytest.mark.parametrize(
    ("spoil", "values", "words"),
    [
        (mask_of(0), {}, "empty mask, no px above 0 (png/P01_CC_lesion1.png)"),
        (None, {"mask_value": "7"}, "empty mask, no px equal to 7"),
        (mask_of(255, 80, 64), {}, "mask 80 rows x 64 cols, its image 160 x 128"),
        (lambda file: file.write_bytes(file.read_bytes()[:60]), {}, "PNG"),
        (mask_of(255), {}, "covers 100% of the image"),
        (None, THIN, "outline without a pixel on its image"),
        (None, CIRCLE, "outline is off the breast"),
    ],
    ids=["empty", "no such value", "other size", "truncated", "most of the image", "thin", "off"],
)
def test_a_lesion_that_cannot_be_placed_is_listed_and_its_image_if_it_has_no_other(
    tiny_table, spoil, values, words
):
    if spoil:
        spoil(tiny_table / "png/P01_CC_lesion1.png")
    edit(tiny_table, "lesions.csv", 0, **values)
    store = made(tiny_table)
    lost = reasons(store)
    assert words in lost["P01_1@P01_CC"]
    assert not spoil or "png/P01_CC_lesion1.png" in lost["P01_1@P01_CC"] or "covers" in words
    assert "no usable truth: " in lost["P01_CC"] and len(store) == 23


def test_an_outline_off_the_canvas(tiny_table):
    canvas = canvas_with(rows=64, cols=32)
    store = made(tiny_table, canvas=canvas)
    reasons = store.exclusions["reason"]
    assert reasons.str.contains("no pixel on the canvas").any()
    assert (store.lesions["on_canvas"] <= 1).all() and (store.lesions["on_canvas"] < 0.99).any()


def test_an_image_with_a_lesion_of_unknown_place_is_no_source_of_outside_windows(tiny_table):
    Image.fromarray(np.zeros((160, 128), np.uint8)).save(tiny_table / "png/P02_CC_lesion2.png")
    store = made(tiny_table)
    row = int(np.flatnonzero(store.images["image_id"] == "P02_CC")[0])
    assert store.images["unplaced"][row] == 1 and len(store.lesions_of(row)) == 1
    assert row not in store.image_rows(with_lesions=True)
    assert row not in store.image_rows(with_lesions=False)
    assert store.image_rows(clear=False).tolist() == [row]


def test_an_image_with_a_finding_the_reader_left_out_is_no_such_source(tiny_table, tmp_path):
    """Trap: the film stays and the finding's outline is not in the store."""
    whole = table.read(tiny_table)
    name = whole.lesions.loc[whole.lesions["image_id"] == "P02_CC", "lesion_id"].iloc[-1]
    fewer = replace(whole, lesions=whole.lesions[whole.lesions["lesion_id"] != name])
    gone = exclusion("lesion", name, "protocol", "left out", "P02_CC")
    left_out = replace(fewer, exclusions=pd.DataFrame([gone]))
    left_out.write(tmp_path / "manifest")
    left_out = Manifest.read(tmp_path / "manifest")
    row = whole.images["image_id"].tolist().index("P02_CC")
    # of the same pixels: the store is used again, with the exclusions of the moment
    for place, manifest in (("a", fewer), ("a", left_out), ("a", fewer), ("b", left_out)):
        store = build_store(manifest, tmp_path / place, TINY_CANVAS)
        assert row in store.image_rows(with_lesions=True)
        assert (row in store.image_rows(clear=True)) == (manifest is fewer)


def test_what_the_table_says_is_held_against_the_file(tiny_table):
    edit(tiny_table, "images.csv", 0, chest_wall="right")
    pixels = np.array(Image.open(tiny_table / "png/P01_MLO.png")).astype(np.uint16)
    Image.fromarray(pixels * 100).save(tiny_table / "png/P01_MLO.png")
    edit(tiny_table, "images.csv", 1, bits="10")
    lost = reasons(made(tiny_table))
    assert "is at the left edge, the table says right" in lost["P01_CC"]
    assert "but 10 bits allow 1023" in lost["P01_MLO"]


def test_no_image_left_is_an_error_of_one_line(tiny_table):
    for file in (tiny_table / "png").glob("P??_*.png"):
        if "lesion" not in file.name:
            file.write_bytes(b"no image")
    with pytest.raises(InputError, match="none of 24 images could be used") as caught:
        made(tiny_table)
    assert "\n" not in str(caught.value)


CUTS = [(name, size) for name in ("canvases", "breasts", "outlines") for size in (0, 100)]
CUTS = [(f"{name}.npy", size) for name, size in CUTS] + [("images.csv", 0), ("store.json", 50)]


@pytest.mark.parametrize("name, size", CUTS)
def test_a_cut_store_is_refused_and_built_again(tiny_table, name, size):
    store = made(tiny_table)
    whole = digest_of(store.folder)
    with open(store.folder / name, "r+b") as file:
        file.truncate(size)
    with pytest.raises(InputError, match=name if name != "store.json" else "no image store"):
        ImageStore(store.folder)
    assert digest_of(made(tiny_table).folder) == whole


def test_a_film_of_two_patients_is_found(tiny_table):
    shutil.copy(tiny_table / "png/P05_CC.png", tiny_table / "png/P09_CC.png")
    twice = made(tiny_table).duplicates()
    assert sorted(twice["image_id"]) == ["P05_CC", "P09_CC"]


def test_images_are_prepared_while_the_first_are_written(tmp_path, monkeypatch):
    written = tmp_path / "written"

    def late(number: int) -> tuple[int, bool]:
        for _ in range(300 if number == 31 else 0):  # the last of a block waits for the first
            if not written.exists():
                time.sleep(0.1)
        return number, written.exists()

    monkeypatch.setattr(build, "prepare", late)
    found = []
    for done in build._parallel(iter(range(32)), 2):
        written.touch()
        found.append(done)
    assert found[-1] == (31, True) and [number for number, _ in found] == [*range(32)]


def test_a_dead_worker_is_told_in_one_line(tiny_table, monkeypatch):
    pool = MagicMock()
    pool.return_value.__enter__.return_value.side_effect = BrokenProcessPool("killed")
    pool.return_value.__exit__.return_value = False
    monkeypatch.setattr(build, "FEWEST", 1)
    monkeypatch.setattr(build, "Parallel", pool)
    with pytest.raises(InputError, match="a worker process died.*finished images are kept"):
        made(tiny_table, workers=2)


def test_manifests_without_lesions_can_be_stored(tiny_table, tmp_path):
    manifest = table.read(tiny_table)
    bare = replace(manifest, lesions=manifest.lesions.iloc[:0])
    store = build_store(bare, tmp_path / "bare", TINY_CANVAS)
    assert (
        len(store) == 24 and store.lesions.empty and len(store.image_rows(with_lesions=True)) == 0
    )


def test_real_films(real_data, tmp_path):
    from data_manifest.mini_mias import reader as mini_mias

    whole = mini_mias.read(real_data("mini_mias"))
    some = {f"mdb{n:03d}" for n in (1, 2, 5, 132, 144, 212, 274, 322)}
    images = whole.images[whole.images["image_id"].isin(some)]
    lesions = whole.lesions[whole.lesions["image_id"].isin(some)]
    manifest = replace(whole, images=images, lesions=lesions, exclusions=pd.DataFrame())
    canvas = SimpleNamespace(rows=1024, cols=640, cell=64, scale=1.0, background="film", buffer=25)
    store = build_store(manifest, tmp_path / "films", canvas)
    assert store.exclusions["id"].tolist() == ["mdb212_1", "mdb212"]  # a circle off the breast
    corners = np.array([store.raw(i)[[0, -1]][:, [-1]].max() for i in range(len(store))])
    assert (corners == 0).all()  # labels, tape and rims are gone
    assert (store.lesions["on_breast"] > 0.9).all()


def test_a_disk_without_room_is_told_before_the_work(tiny_table, monkeypatch):
    usage = SimpleNamespace(free=24 * 192 * 128 - 1)
    monkeypatch.setattr(building.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match="the canvases need 0.0 GB"):
        made(tiny_table)
    usage.free += 1
    assert len(made(tiny_table)) == 24
