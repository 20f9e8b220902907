"""The image store: every canvas in one file of raw pixels, with tables that say what is where.

`pixels.bin` holds the canvases in C order, one after the other, uint8 or uint16, and is mapped into
memory, so that any window can be read without the rest.  `images.csv` and `lesions.csv` have one row
a canvas and one an outline; `breast.bin` and `outlines.bin` hold packed bits.

Promises: a store appears under its name only when it is whole; an interrupted build goes on where it
stopped and ends in the same bytes; a damaged file is listed with its reason and the rest is built;
once such a file has changed, the store is built again.
How fast the last build was stands in `build.json`, apart from the store itself.
"""

from __future__ import annotations

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
from data_manifest.images.journal import DATA_FILES, Journal
from data_manifest.images.placement import Placement
from data_manifest.images.prepare import BREAST_STRIDE
from data_manifest.manifest import (
    EXCLUSION_COLUMNS,
    Manifest,
    exclusion,
    flow_table,
    conformed,
    with_findings_left_out,
)
from lesionlib.errors import InputError
from lesionlib.files import read_json, write_json, write_text
from lesionlib.outlines import Outline

FORMAT = 1
STAGE = "image store"
EPSILON = 1e-5  # least standard deviation, as GMIC
_TEXT = ("image_id", "patient_id", "exam_id", "laterality", "view", "split", "source", "sha256")
_TEXT += ("lesion_id", "finding_id", "pathology", "truth", "kind", "subtype", "birads", "grey")
_FROM_IMAGES = ["image_id", "patient_id", "exam_id", "laterality", "view", "split", "negative"]
_FROM_IMAGES += ["source", "spacing_mm", "bits"]
_FROM_LESIONS = ["lesion_id", "finding_id", "image_id", "pathology", "truth", "kind", "subtype"]
_FROM_LESIONS += ["birads"]


class ImageStore:
    """A store opened for reading.  Cheap to pickle: a worker process opens the files anew.

    rows, cols : of every canvas, px.  dtype : uint8 or uint16.
    images : row i is canvas i: image_id, patient_id, exam_id, laterality, view, split, negative
        (bool), source, spacing_mm (of the source), bits, mean, std (over the whole canvas),
        breast_row0, breast_col0, breast_row1, breast_col1 (box, half-open), the columns of
        :class:`~data_manifest.images.placement.Placement`, sha256 (of the source's pixels), unplaced
        (number of its lesions that have no usable outline); of DICOM files also grey (what has been
        done to their grey levels: raw, voi lut, voi linear, ...).
    lesions : row j is outline j: lesion_id, finding_id, image (row of `images`), image_id,
        patient_id, split, pathology, truth, kind, subtype, birads, row0, col0, rows, cols (box on
        the canvas), area_px, on_canvas, on_breast (shares of the outline), offset (in outlines.bin).
    exclusions : level, id, stage, reason, and image_id where the manifest has it; the manifest's
        and the store's own.
    pixels : memory map (n, rows, cols).
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        facts = read_json(self.folder / "store.json")
        if facts is None or facts.get("format") != FORMAT:
            raise InputError(
                "no image store", self.folder, "Build it first: build_store or notebook 02"
            )
        self.facts = facts
        self.rows, self.cols = int(facts["rows"]), int(facts["cols"])
        self.dtype = np.dtype(facts["dtype"])
        self.images = _read_table(self.folder / "images.csv")
        self.lesions = _read_table(self.folder / "lesions.csv")
        self.exclusions = conformed(_read_table(self.folder / "exclusions.csv"), EXCLUSION_COLUMNS)
        self._check_files()

    @staticmethod
    def open(folder: Path | str) -> ImageStore:
        """The store in `folder`; InputError if there is none or a file of it is cut short."""
        return ImageStore(folder)

    def __reduce__(self):
        return ImageStore, (self.folder,)

    def __len__(self) -> int:
        return len(self.images)

    def _check_files(self) -> None:
        need = {"pixels.bin": len(self) * self.rows * self.cols * self.dtype.itemsize}
        need["breast.bin"] = len(self) * self._breast_bytes
        for name, length in need.items():
            file = self.folder / name
            size = file.stat().st_size if file.is_file() else 0
            if size != length:
                raise InputError(f"{size} bytes, expected {length}", file, "Delete and build again")

    # -------------------------------------------------------------- pixels
    @cached_property
    def pixels(self) -> np.ndarray:
        """All canvases, (n, rows, cols), read-only and not yet in memory."""
        shape = (len(self), self.rows, self.cols)
        return np.memmap(self.folder / "pixels.bin", self.dtype, mode="r", shape=shape)

    def raw(self, i: int) -> np.ndarray:
        """Canvas i as stored, (rows, cols), a read-only view."""
        return self.pixels[i]

    @cached_property
    def _moments(self) -> np.ndarray:
        spread = np.maximum(self.images["std"].to_numpy(np.float64), EPSILON)
        return np.stack([self.images["mean"].to_numpy(np.float64), spread], axis=1)

    def standardised(self, i: int) -> np.ndarray:
        """Canvas i as float32 (rows, cols): (x - mean) / max(std, 1e-5), as GMIC.

        Where the canvases are GMIC's windows, equal to the published arrays in the last bit, too.
        """
        if self.facts.get("placement") == "gmic":
            return gmic_preparation.standardise(self.raw(i))
        mean, spread = self._moments[i].astype(np.float32)
        return (self.raw(i).astype(np.float32) - mean) / spread

    # -------------------------------------------------------------- masks
    breast_stride = BREAST_STRIDE  # px of the canvas for each px of `breast`

    @property
    def _breast_shape(self) -> tuple[int, int]:
        return self.rows // BREAST_STRIDE, self.cols // BREAST_STRIDE

    @property
    def _breast_bytes(self) -> int:
        return -(-self._breast_shape[0] * self._breast_shape[1] // 8)

    @cached_property
    def _breasts(self) -> np.ndarray:
        shape = (len(self), self._breast_bytes)
        return np.memmap(self.folder / "breast.bin", np.uint8, mode="r", shape=shape)

    def breast(self, i: int) -> np.ndarray:
        """The breast on canvas i at stride 4, bool (rows // 4, cols // 4)."""
        shape = self._breast_shape
        return (
            np.unpackbits(self._breasts[i], count=shape[0] * shape[1]).reshape(shape).astype(bool)
        )

    @cached_property
    def _outline_bytes(self) -> np.ndarray:
        return np.memmap(self.folder / "outlines.bin", np.uint8, mode="r")

    @cached_property
    def _outline_boxes(self) -> np.ndarray:
        return self.lesions[["row0", "col0", "rows", "cols", "offset"]].to_numpy(np.int64)

    def outline(self, j: int) -> Outline:
        """Outline j on its canvas."""
        row0, col0, rows, cols, offset = (int(v) for v in self._outline_boxes[j])
        packed = self._outline_bytes[offset : offset + -(-rows * cols // 8)]
        mask = np.unpackbits(packed, count=rows * cols).reshape(rows, cols).astype(bool)
        return Outline(row0, col0, mask)

    # -------------------------------------------------------------- choosing
    def lesion_rows(self, split: str | None = None, pathology: str | None = None) -> np.ndarray:
        """Rows of `lesions` (int64, ascending) of a split and a pathology; None: of any."""
        chosen = np.ones(len(self.lesions), bool)
        if split is not None:
            chosen &= (self.lesions["split"] == split).to_numpy()
        if pathology is not None:
            chosen &= (self.lesions["pathology"] == pathology).to_numpy()
        return np.flatnonzero(chosen)

    def image_rows(
        self,
        split: str | None = None,
        negative: bool | None = None,
        with_lesions: bool | None = None,
        clear: bool | None = None,
    ) -> np.ndarray:
        """Rows of `images` (int64, ascending).

        negative : True: breasts known without a lesion; False: all others.
        with_lesions : True: images with an outline and without a lesion of unusable outline; False:
            images without an outline.
        clear : True: images without a finding that the manifest or the store left out, so that a
            window off the outlines is off every finding; False: all others.
        """
        chosen = np.ones(len(self), bool)
        if split is not None:
            chosen &= (self.images["split"] == split).to_numpy()
        if negative is not None:
            chosen &= self.images["negative"].to_numpy() == negative
        if with_lesions is not None:
            number = np.bincount(self.lesions["image"].to_numpy(np.int64), minlength=len(self))
            placed = (self.images["unplaced"] == 0).to_numpy()
            chosen &= (number > 0) & placed if with_lesions else number == 0
        if clear is not None:
            left_out = self.images["image_id"].isin(with_findings_left_out(self.exclusions))
            chosen &= ((self.images["unplaced"] == 0) & ~left_out).to_numpy() == clear
        return np.flatnonzero(chosen)

    def lesions_of(self, i: int) -> np.ndarray:
        """Rows of `lesions` (int64, ascending) that lie on canvas i."""
        return self._of_image.get(int(i), np.zeros(0, np.int64))

    @cached_property
    def _of_image(self) -> dict[int, np.ndarray]:
        groups = self.lesions.groupby("image").indices
        return {int(image): rows.astype(np.int64) for image, rows in groups.items()}

    # -------------------------------------------------------------- geometry
    def placement(self, i: int) -> Placement:
        """How source image i lies on its canvas."""
        row = self.images.iloc[i]
        names = ("source_rows", "source_cols", "row0", "col0", "row1", "col1", "top")
        sizes = {name: int(row[name]) for name in names}
        return Placement(
            flipped=bool(row["flipped"]),
            scale=float(row["scale"]),
            rows=self.rows,
            cols=self.cols,
            **sizes,
        )

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

    def summary(self) -> pd.Series:
        """What the store holds, in numbers."""
        lost = self.exclusions["level"].value_counts()
        return pd.Series(
            {
                "canvases": len(self),
                "canvas": f"{self.rows} x {self.cols} px, {self.dtype.name}",
                "size (MB)": round(self.pixels.nbytes / 1e6, 1),
                "patients": self.images["patient_id"].nunique(),
                "negative images": int(self.images["negative"].sum()),
                "images with lesions": self.lesions["image"].nunique(),
                "malignant lesions": len(self.lesion_rows(pathology="malignant")),
                "benign lesions": len(self.lesion_rows(pathology="benign")),
                "lesions of unknown truth": len(self.lesion_rows(pathology="unknown")),
                "outlines cut by the canvas": int((self.lesions["on_canvas"] < 0.98).sum()),
                "outlines over 20 % off the breast": int((self.lesions["on_breast"] < 0.8).sum()),
                "images excluded": int(lost.get("image", 0)),
                "lesions excluded": int(lost.get("lesion", 0)),
                "images with the same pixels as another": len(self.duplicates()),
            },
            name="store",
        )


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

    canvas : settings with rows, cols, scale, background, buffer and, if they are not the usual ones,
        placement and grey (``experiment.canvas``).
    workers : processes; 1 works in this one.
    progress : takes one-line messages.

    A store of the same images, outlines and canvas is used again (splits are taken from the manifest
    anew); any other in `folder` is replaced.  The build happens in ``<folder>/building`` and goes on
    there after an interruption.  Damaged images and lesions off the canvas are excluded with their
    reason.  Raises InputError if no image is left.
    """
    say = progress or (lambda message: None)
    folder, building = Path(folder), Path(folder) / "building"
    settings = settings_of(manifest, canvas)
    digest = digest_of(manifest, settings)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # a second process waits, and finds the store ready
        if _digest(building) == digest:  # whole, but stopped while it was moved
            _install(building, folder)
        if _digest(folder) == digest and not _mended(folder, manifest):
            _refresh(ImageStore(folder), manifest)
            return ImageStore(folder)
        if (folder / "store.json").exists():
            say("image store: the one here is of other settings, data or files, it is built again")
        start = time.monotonic()
        lines, kept = _build(building, digest, manifest, settings, workers, say)
        speed = _speed(len(lines) - kept, time.monotonic() - start, workers)
        _write_tables(building, manifest, lines)
        facts = {"format": FORMAT, "digest": digest, "name": manifest.name, **settings}
        left_out = {line["image_id"]: line["files"] for line in lines if line["exclusions"]}
        facts |= {"left_out": left_out} if left_out else {}
        write_json(building / "store.json", facts)
        _install(building, folder)
        write_json(folder / "build.json", speed)
    store = ImageStore(folder)
    say(f"{_told(store)} ({speed['images_per_second']:g} images a second)")
    return store


def _speed(images: int, seconds: float, workers: int) -> dict:
    """The record of a build: images read in this start, s, images a second, processes."""
    speed = images / max(seconds, 1e-3)
    return {
        "images": images,
        "seconds": round(seconds, 1),
        "images_per_second": round(speed, 1),
        "workers": workers,
    }


def _told(store: ImageStore) -> str:
    own = store.exclusions[store.exclusions["stage"] == STAGE]
    lost = own["level"].value_counts()
    text = f"image store: {len(store)} images and {len(store.lesions)} lesions stored"
    if own.empty:
        return text
    text += f"; {lost.get('image', 0)} images and {lost.get('lesion', 0)} lesions left out"
    return f"{text}, first {own['level'].iloc[0]} {own['id'].iloc[0]}: {own['reason'].iloc[0]}"


def _build(
    building: Path, digest: str, manifest: Manifest, settings: dict, workers: int, say: Callable
) -> tuple[list[dict], int]:
    """The journal's lines of all images, and how many of them an interrupted build had left."""
    with Journal(building, digest, file_states(manifest)) as journal:
        kept = len(journal.lines)
        say(f"image store: {len(manifest.images)} images, {kept} of them ready from before")
        for done in ordered_results(manifest, settings, workers, first=kept):
            journal.add(done)
        journal.flush()
        return journal.lines, kept


def _digest(folder: Path) -> str:
    facts = read_json(folder / "store.json", {})
    return facts.get("digest", "") if facts.get("format") == FORMAT else ""


def _mended(folder: Path, manifest: Manifest) -> bool:
    """Whether a file has changed of which the store in `folder` had to leave something out."""
    state_of = file_states(manifest)
    left_out = read_json(folder / "store.json", {}).get("left_out", {})
    return any(state_of(image_id) != state for image_id, state in left_out.items())


def _install(building: Path, folder: Path) -> None:
    """Move a whole store to its place; its store.json goes last, since it vouches for the rest."""
    (folder / "store.json").unlink(missing_ok=True)
    for name in (*DATA_FILES, "images.csv", "lesions.csv", "exclusions.csv", "store.json"):
        if (building / name).exists():
            (building / name).replace(folder / name)
    shutil.rmtree(building)


def _write_tables(folder: Path, manifest: Manifest, lines: list[dict]) -> None:
    records, outlines, lost = [], [], []
    for line in lines:
        lost += [
            exclusion(level, name, STAGE, reason) for level, name, reason in line["exclusions"]
        ]
        if line["record"]:
            outlines += [{"image": len(records), **row} for row in line["lesions"]]
            records.append({"image_id": line["image_id"], **line["record"]})
    if not records:
        first = lost[0]["reason"] if lost else "no images"
        raise InputError(
            f"none of {len(lines)} images could be used", manifest.name, f"First: {first}"
        )
    images = manifest.images[_FROM_IMAGES].merge(pd.DataFrame(records), on="image_id")
    images["negative"] = images["negative"].fillna(False).astype(bool)
    owner = images[["image_id", "patient_id", "split"]]
    found = pd.DataFrame(outlines, columns=["image", "lesion_id", *_OUTLINE_COLUMNS])
    lesions = found.merge(manifest.lesions[_FROM_LESIONS], on="lesion_id").merge(
        owner, on="image_id"
    )
    order = ["lesion_id", "finding_id", "image", "image_id", "patient_id", "split", "pathology"]
    order += ["truth", "kind", "subtype", "birads", *_OUTLINE_COLUMNS]
    _write_table(folder / "images.csv", images)
    _write_table(folder / "lesions.csv", lesions[order])
    own = conformed(pd.DataFrame(lost), EXCLUSION_COLUMNS)
    _write_table(folder / "exclusions.csv", pd.concat([manifest.exclusions, own]))


_OUTLINE_COLUMNS = ["row0", "col0", "rows", "cols", "area_px", "on_canvas", "on_breast", "offset"]


def _refresh(store: ImageStore, manifest: Manifest) -> None:
    """Take splits, negatives and the manifest's exclusions anew; they touch no pixel."""
    table = manifest.images.set_index("image_id")
    split = store.images["image_id"].map(table["split"])
    negative = store.images["image_id"].map(table["negative"].fillna(False).astype(bool))
    own = store.exclusions[store.exclusions["stage"] == STAGE]
    exclusions = conformed(pd.concat([manifest.exclusions, own]), EXCLUSION_COLUMNS)
    if not (split.equals(store.images["split"]) and negative.equals(store.images["negative"])):
        lesion_split = store.lesions["image_id"].map(table["split"])
        images = store.images.assign(split=split, negative=negative)
        _write_table(store.folder / "images.csv", images)
        _write_table(store.folder / "lesions.csv", store.lesions.assign(split=lesion_split))
    if not exclusions.equals(store.exclusions):
        _write_table(store.folder / "exclusions.csv", exclusions)


def _write_table(file: Path, frame: pd.DataFrame) -> None:
    write_text(file, frame.to_csv(index=False))


def _read_table(file: Path) -> pd.DataFrame:
    """A table of the store; empty fields stay empty texts, 'NA' stays a text."""
    header = pd.read_csv(file, nrows=0).columns
    texts = {name: str for name in header if name in _TEXT or name in EXCLUSION_COLUMNS}
    numbers = {name: [""] for name in header if name not in texts}
    return pd.read_csv(
        file, dtype=texts, keep_default_na=False, na_values=numbers, float_precision="round_trip"
    )
