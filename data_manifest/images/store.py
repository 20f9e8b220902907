"""The image store: every canvas in one array on the disk, with tables that say what is where.

`canvases.npy` holds the canvases, uint8 or uint16 (n, rows, cols), and is mapped into memory, so
that any window can be read without the rest; `breasts.npy` the masks of the breasts, `outlines.npy`
the packed bits of the outlines.  `images.csv` has one row per canvas, `lesions.csv` one per outline;
rows of the arrays beyond those of `images.csv` are empty.

Promises: a store appears under its name only when it is whole; an interrupted build goes on where it
stopped and ends in the same bytes; a damaged file is listed with its reason and the rest is built;
once a file has changed, the store is built again.  Labels (pathology, truth, splits, ...) are taken
from the manifest anew each time, and read no image.
How fast the last build was is kept in `build.json`, the state of the files then in `files.json`.
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from data_manifest.images import gmic_preparation
from data_manifest.images.build import digest_of, file_states, ordered_results, settings_of
from data_manifest.images.building import Building
from data_manifest.images.placement import Placement
from data_manifest.images.prepare import BREAST_STRIDE
from data_manifest.manifest import (
    EXCLUSION_COLUMNS,
    TABLES,
    Manifest,
    conformed,
    exclusion,
    flow_table,
    read_csv,
    with_findings_left_out,
)
from lesionlib.errors import InputError
from lesionlib.files import read_json, write_bytes, write_json, write_text
from lesionlib.outlines import Outline
from lesionlib.store import Store

FORMAT = 2
ARRAYS = ("canvases", "breasts", "outlines")
STAGE = "image store"
EPSILON = 1e-5  # least standard deviation, as GMIC
# of the manifest, which decide no pixel
IMAGE_LABELS = ["image_id", "patient_id", "exam_id", "laterality", "view", "split", "negative"]
IMAGE_LABELS += ["source", "spacing_mm", "bits"]
LESION_LABELS = ["lesion_id", "finding_id", "image_id", "pathology", "truth", "kind", "subtype"]
LESION_LABELS += ["birads"]
OUTLINE_COLUMNS = ["row0", "col0", "rows", "cols", "area_px", "on_canvas", "on_breast", "offset"]
LESION_ORDER = ["lesion_id", "finding_id", "image", "image_id", "patient_id", "split", "pathology"]
LESION_ORDER += ["truth", "kind", "subtype", "birads", *OUTLINE_COLUMNS]
TEXTS = {*IMAGE_LABELS, *LESION_LABELS, *EXCLUSION_COLUMNS, "sha256", "grey"}
KINDS = dict.fromkeys(TEXTS - {"negative", "spacing_mm", "bits"}, str)


class ImageStore(Store):
    """A store opened for reading.  Cheap to pickle: a worker process opens the files anew.

    Attributes
    ----------
    rows, cols : of every canvas, px.  dtype : uint8 or uint16.
    pixels : memory map (n, rows, cols) of all canvases, read-only.
    images : row i is canvas i: image_id, patient_id, exam_id, laterality, view, split, negative
        (bool), source, spacing_mm (of the source), bits, mean, std (over the whole canvas),
        breast_row0, breast_col0, breast_row1, breast_col1 (box, half-open), the columns of
        :class:`~data_manifest.images.placement.Placement`, sha256 (of the source's pixels), unplaced
        (number of its lesions that have no usable outline); of DICOM files also grey (what has been
        done to their grey levels: raw, voi lut, voi linear, ...).
    lesions : row j is outline j: lesion_id, finding_id, image (row of `images`), image_id,
        patient_id, split, pathology, truth, kind, subtype, birads, row0, col0, rows, cols (box on
        the canvas), area_px, on_canvas, on_breast (shares of the outline), offset (in outlines.npy).
    exclusions : level, id, stage, reason, and image_id where the manifest has it; the manifest's
        and the store's own.

    Raises
    ------
    InputError
        If the folder holds no store, or a file of it is cut short or missing.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.facts = read_json(self.folder / "store.json", {})
        if self.facts.get("format") != FORMAT:
            remedy = "Build it first: build_store or notebook 02"
            raise InputError("no image store", self.folder, remedy)
        tables = [self._read(f"{name}.csv", read_csv, KINDS) for name in TABLES]
        arrays = [self._read(f"{name}.npy", np.load, "r") for name in ARRAYS]
        self.images, self.lesions, excluded = tables
        self.exclusions = conformed(excluded, EXCLUSION_COLUMNS)
        # views without the cost of a memmap at each access
        canvases, self._breasts, self._outlines = map(np.asarray, arrays)
        self.pixels = canvases[: len(self.images)]
        self.rows, self.cols = self.pixels.shape[1:]
        self.dtype = self.pixels.dtype

    def __reduce__(self):
        return ImageStore, (self.folder,)

    def __len__(self) -> int:
        return len(self.images)

    def _read(self, name: str, read: Callable, how):
        try:
            return read(self.folder / name, how)
        except (OSError, ValueError, EOFError) as error:
            what = " ".join(str(error).split())
            raise InputError(what, self.folder / name, "Delete and build again") from None

    # -------------------------------------------------------------- pixels
    def raw(self, i: int) -> np.ndarray:
        """Canvas i as stored, (rows, cols), a read-only view."""
        return self.pixels[i]

    def standardised(self, i: int) -> np.ndarray:
        """Canvas i as float32 (rows, cols): (x - mean) / max(std, 1e-5), as GMIC.

        Where the canvases are GMIC's windows, equal to the published arrays in the last bit, too.
        """
        if self.facts.get("placement") == "gmic":
            return gmic_preparation.standardise(self.raw(i))
        row = self.images.iloc[i]
        mean, spread = np.float32(row["mean"]), np.float32(max(row["std"], EPSILON))
        return (self.raw(i).astype(np.float32) - mean) / spread

    # -------------------------------------------------------------- masks
    breast_stride = BREAST_STRIDE  # px of the canvas for each px of `breast`

    def breast(self, i: int) -> np.ndarray:
        """The breast on canvas i at stride 4, bool (rows // 4, cols // 4), a read-only view."""
        return self._breasts[i]

    @cached_property
    def _outline_boxes(self) -> np.ndarray:
        return self.lesions[["row0", "col0", "rows", "cols", "offset"]].to_numpy(np.int64)

    def outline(self, j: int) -> Outline:
        """Outline j on its canvas."""
        row0, col0, rows, cols, offset = (int(v) for v in self._outline_boxes[j])
        packed = self._outlines[offset : offset + -(-rows * cols // 8)]
        mask = np.unpackbits(packed, count=rows * cols).reshape(rows, cols).astype(bool)
        return Outline(row0, col0, mask)

    # -------------------------------------------------------------- choosing
    @cached_property
    def _choices(self) -> pd.DataFrame:
        """What `image_rows` chooses by, a byte each, so that it costs a million images no time.

        Images with a lesion of unusable outline are neither with nor without lesions (-1), and not
        clear; nor are those with a finding that the manifest or the store left out.
        """
        placed = (self.images["unplaced"] == 0).to_numpy()
        held = np.bincount(self.lesions["image"].to_numpy(np.int64), minlength=len(self)) > 0
        left_out = self.images["image_id"].isin(with_findings_left_out(self.exclusions))
        facts = {"split": self.images["split"].astype("category"), "clear": placed & ~left_out}
        facts |= {"negative": self.images["negative"]}
        return pd.DataFrame(facts | {"with_lesions": np.where(placed | ~held, held, np.int8(-1))})

    def lesions_of(self, i: int) -> np.ndarray:
        """Rows of `lesions` (int64, ascending) that are on canvas i."""
        return self._of_image.get(int(i), np.zeros(0, np.int64))

    @cached_property
    def _of_image(self) -> dict[int, np.ndarray]:
        groups = self.lesions.groupby("image").indices
        return {int(image): rows.astype(np.int64) for image, rows in groups.items()}

    # -------------------------------------------------------------- geometry
    def placement(self, i: int) -> Placement:
        """Where source image i is on its canvas."""
        row = self.images.iloc[i]
        size, (flipped, scale) = (self.rows, self.cols), row[["flipped", "scale"]]
        box = row[["row0", "col0", "row1", "col1", "top"]].astype(int)
        source = row[["source_rows", "source_cols"]].astype(int)
        return Placement(*source.tolist(), bool(flipped), *box.tolist(), float(scale), *size)

    def to_source(self, i: int, points: np.ndarray) -> np.ndarray:
        """Points (n, 2) of canvas i, (row, col), on its source image."""
        return self.placement(i).to_source(points)

    def to_canvas(self, i: int, points: np.ndarray) -> np.ndarray:
        """Points (n, 2) of source image i, (row, col), on its canvas."""
        return self.placement(i).to_canvas(points)

    # -------------------------------------------------------------- accounts
    def flow(self) -> pd.DataFrame:
        """Input, exclusions by stage and reason, and what is used; see ``flow_table``."""
        return flow_table({"image": len(self), "lesion": len(self.lesions)}, self.exclusions)

    def duplicates(self) -> pd.DataFrame:
        """Images whose source pixels are equal to another's: image_id, patient_id, split, sha256."""
        twice = self.images[self.images["sha256"].duplicated(keep=False)]
        return twice[["image_id", "patient_id", "split", "sha256"]].sort_values("sha256")


# ------------------------------------------------------------------ building
def build_store(
    manifest: Manifest,
    folder: Path | str,
    canvas,
    *,
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> ImageStore:
    """Read every image of the manifest and write the store; a whole one is opened as it is.

    A store of the same files, outlines and canvas is used again, wherever the files are now: its
    labels are taken from the manifest anew.  Any other in `folder` is replaced.  The build happens
    in ``<folder>/building`` and goes on there after an interruption.  Damaged images and lesions
    off the canvas are excluded with their reason.

    Parameters
    ----------
    canvas : settings with rows, cols, scale, background, buffer and, if they are not the usual
        ones, placement and grey (``experiment.canvas``).
    workers : processes; 1 works in this one.
    progress : takes one-line messages.

    Raises
    ------
    InputError
        If no image is left.
    """
    say = progress or (lambda message: None)
    folder, building = Path(folder), Path(folder) / "building"
    settings = settings_of(manifest, canvas)
    digest = digest_of(manifest, settings)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # a second process waits, and finds the store ready
        if _digest(building) == digest:  # whole, but stopped while it was moved
            _install(building, folder)
        if _digest(folder) == digest and _opens(folder) and not _changed(folder, manifest):
            _take_labels(folder, manifest)
            return ImageStore(folder)
        if (folder / "store.json").exists():
            reason = "of other settings, data or files, or damaged"
            say(f"image store: the one here is {reason}, it is built again")
        speed = _build(building, digest, manifest, settings, workers, say)
        _install(building, folder)
        write_json(folder / "build.json", speed)
    store = ImageStore(folder)
    say(f"{_summary(store)} ({speed['images_per_second']:g} images per second)")
    return store


def _build(
    folder: Path, digest: str, manifest: Manifest, settings: dict, workers: int, say: Callable
) -> dict:
    """Make the store's files; gives the record of this start: images, seconds, images per second."""
    start = time.monotonic()
    images = len(manifest.images)
    with Building(folder, digest, images, settings, file_states(manifest)) as store:
        kept = len(store.lines)
        say(f"image store: {images} images, {kept} of them ready from before")
        for done in ordered_results(manifest, settings, workers, first=kept):
            store.add(done)
    number, seconds = len(store.lines) - kept, time.monotonic() - start
    _finish(folder, manifest, store.lines)
    facts = {"format": FORMAT, "digest": digest, "name": manifest.name, **settings}
    write_json(folder / "files.json", {line["image_id"]: line["files"] for line in store.lines})
    write_json(folder / "store.json", facts)
    speed = round(number / max(seconds, 1e-3), 1)
    record = {"images": number, "seconds": round(seconds, 1), "workers": workers}
    return record | {"images_per_second": speed}


def _finish(folder: Path, manifest: Manifest, lines: list[dict]) -> None:
    """The outlines and the tables of a build, from the journal's lines."""
    used = [line for line in lines if line["record"]]
    lost = [exclusion(*what[:2], STAGE, what[2]) for line in lines for what in line["exclusions"]]
    if not used:
        what = f"none of {len(lines)} images could be used"
        first = lost[0]["reason"] if lost else "no images"
        raise InputError(what, manifest.name, f"First: {first}")
    images = pd.DataFrame([{"image_id": line["image_id"], **line["record"]} for line in used])
    found = [{"image": i, **row} for i, line in enumerate(used) for row in line["lesions"]]
    packed = [bytes.fromhex(row["bits"]) for row in found]
    lesions = pd.DataFrame(found, columns=["image", "lesion_id", *OUTLINE_COLUMNS])
    lesions["offset"] = np.cumsum([0, *map(len, packed)], dtype=np.int64)[:-1]
    outlines = io.BytesIO()
    np.save(outlines, np.frombuffer(b"".join(packed), np.uint8))
    write_bytes(folder / "outlines.npy", outlines.getvalue())
    _write_tables(folder, manifest, images, lesions, pd.DataFrame(lost))


def _write_tables(folder: Path, manifest: Manifest, images, lesions, lost: pd.DataFrame) -> None:
    """What was measured on images and outlines, joined with the labels of the manifest."""
    images = manifest.images[IMAGE_LABELS].merge(images, on="image_id")
    images["negative"] = images["negative"].fillna(False).astype(bool)
    owner = images[["image_id", "patient_id", "split"]]
    lesions = lesions.merge(manifest.lesions[LESION_LABELS], on="lesion_id")
    lesions = lesions.merge(owner, on="image_id")[LESION_ORDER]
    lost = pd.concat([manifest.exclusions, conformed(lost, EXCLUSION_COLUMNS)])
    for name, table in zip(TABLES, (images, lesions, lost), strict=True):
        file, text = folder / f"{name}.csv", table.to_csv(index=False)
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            write_text(file, text)


def _take_labels(folder: Path, manifest: Manifest) -> None:
    """Labels, splits and exclusions of the manifest into a whole store; no image is read."""
    images, lesions, lost = (read_csv(folder / f"{name}.csv", KINDS) for name in TABLES)
    images = images.drop(columns=IMAGE_LABELS[1:])
    lesions = lesions[["image", "lesion_id", *OUTLINE_COLUMNS]]
    own = lost.loc[lost["stage"] == STAGE, list(EXCLUSION_COLUMNS)]
    _write_tables(folder, manifest, images, lesions, own)


def _summary(store: ImageStore) -> str:
    own = store.exclusions[store.exclusions["stage"] == STAGE]
    lost = own["level"].value_counts()
    text = f"image store: {len(store)} images and {len(store.lesions)} lesions stored"
    if own.empty:
        return text
    text += f"; {lost.get('image', 0)} images and {lost.get('lesion', 0)} lesions left out"
    return f"{text}, first {own['level'].iloc[0]} {own['id'].iloc[0]}: {own['reason'].iloc[0]}"


def _digest(folder: Path) -> str:
    facts = read_json(folder / "store.json", {})
    return facts.get("digest", "") if facts.get("format") == FORMAT else ""


def _opens(folder: Path) -> bool:
    """Whether the files of a store are whole; a crash of the machine may leave empty ones."""
    try:
        ImageStore(folder)
    except InputError:
        return False
    return True


def _changed(folder: Path, manifest: Manifest) -> bool:
    """Whether a file of the manifest is another one than when the store in `folder` was built."""
    state_of, known = file_states(manifest), read_json(folder / "files.json", {})
    return any(known.get(name) != state_of(name) for name in manifest.images["image_id"])


def _install(building: Path, folder: Path) -> None:
    """Move a whole store to its place; its store.json goes last, since it vouches for the rest."""
    (folder / "store.json").unlink(missing_ok=True)
    names = [f"{name}.npy" for name in ARRAYS] + [f"{name}.csv" for name in TABLES]
    for name in (*names, "files.json", "store.json"):
        if (building / name).exists():
            (building / name).replace(folder / name)
    shutil.rmtree(building)
