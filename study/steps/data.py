"""Files -> manifest -> store -> windows: what every network and every notebook reads.

Patients are split here, images placed on their canvases, and the windows drawn by which every
validation and test lesion is judged.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd

from lesionlib import files
from lesionlib.errors import InputError
from lesionlib.seeds import derive_seed, digest
from study.lab import Lab
from study.settings import project_root
from study.stages import key_of, stage

MANIFEST_CODE = ("datasets", "manifest", "manifest_checks", "splits", "outlines", "checksums")
MANIFEST_CODE += ("images/dicom_header", "images/gmic_preparation", "images/read")
STORE_CODE = ("images", "outlines", "manifest")
SCORED = ("validation", "test")
MOST_ENTRIES = 50_000  # files and folders that a fingerprint looks at; CBIS-DDSM has 30,000


def data_folder(lab: Lab) -> Path:
    """The user's data: LESIONLIB_DATA (DATA= of make), else the last so given, else `data.folder`.

    A `data.folder` that is not absolute lies in the project.  The phantom is drawn into ``runs/``.
    Raises InputError where a real set has no folder.
    """
    if lab.is_phantom:
        return lab.runs / "phantom"
    remembered, given = lab.runs / "data_folder.txt", os.environ.get("LESIONLIB_DATA")
    folder = given or (remembered.read_text().strip() if remembered.is_file() else None)
    if not folder and lab.settings.data.folder:
        folder = project_root() / lab.settings.data.folder
    remedy = f"Give it: make run EXPERIMENT={lab.name} DATA=<folder>"
    if not folder:
        raise InputError("no data folder was given", f"experiment {lab.name}", remedy)
    if not Path(folder).is_dir():
        raise InputError("the data folder does not exist", folder, remedy)
    if given:
        files.write_text(remembered, str(Path(given).resolve()) + "\n")
    return Path(folder)


def manifest(lab: Lab):
    """The validated :class:`~data_manifest.manifest.Manifest` with patient-disjoint splits."""
    from data_manifest.checks import check_manifest
    from data_manifest.checksums import write_checksums
    from data_manifest.manifest import Manifest
    from data_manifest.splits import split_by_settings

    folder, s = data_folder(lab), lab.settings
    inputs = {"data": s.data.model_dump(exclude={"folder", "damaged"}), "seed": s.seed}
    if lab.is_phantom:
        inputs["phantom"] = s.phantom.model_dump()
    else:  # the manifest names its folder, so a set that was moved is read anew
        inputs |= {"files": fingerprint(folder), "folder": str(folder.resolve())}

    def compute(place: Path) -> str:
        found = _read_data(lab, folder)
        found = check_manifest(split_by_settings(found, s.data, s.seed))
        found.write(place)
        if s.data.sha256:
            write_checksums(found, place / "files.sha256", s.compute.workers)
        return _digest_of_files(place)

    place = stage(lab, "manifest", inputs, MANIFEST_CODE, compute)
    return Manifest.read(place)


def _read_data(lab: Lab, folder: Path):
    from data_manifest import registry

    s = lab.settings
    if lab.is_phantom:
        from data_manifest.phantom import reader as phantom

        return phantom.read(
            folder, s.phantom, seed=s.seed, workers=s.compute.workers, progress=lab.progress
        )
    return registry.read(s.data.dataset, folder, **s.data.options)


def fingerprint(folder: Path) -> str:
    """Digest of names, sizes and times of the files in a data folder and in the folders below it.

    Level by level, and of the first `MOST_ENTRIES` entries: a tree of any size costs no more.
    Hidden files, which systems write as they like, are passed over, and so is what cannot be read.
    """
    places, rows, left = [str(folder)], [], MOST_ENTRIES
    for place in places:  # it grows on the way
        try:
            entries = [entry for entry in os.scandir(place) if not entry.name.startswith(".")]
            entries = sorted(entries, key=lambda entry: entry.name)[:left]
            places += [entry.path for entry in entries if entry.is_dir()]
            files = [(entry.path, entry.stat()) for entry in entries if entry.is_file()]
        except OSError:
            continue
        left -= len(entries)
        rows += [(path[len(places[0]) :], s.st_size, s.st_mtime_ns) for path, s in files]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def _digest_of_files(place: Path) -> str:
    total = hashlib.sha256()
    for file in sorted(p for p in place.iterdir() if p.suffix == ".csv"):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()[:16]


def store(lab: Lab):
    """The memory-mapped :class:`~data_manifest.images.store.ImageStore` of all canvases.

    Two stages, so that a corrected label reads no image again: `canvases` depends on what decides
    pixels and outlines alone, `store` on the labels, too.
    """
    from data_manifest.images.build import digest_of, file_states, settings_of
    from data_manifest.images.store import STAGE, ImageStore, build_store

    found, s = manifest(lab), lab.settings
    inputs = {"pixels": digest_of(found, settings_of(found, s.canvas))}
    if not lab.is_phantom:  # a file that was mended or exchanged is read anew
        inputs["files"] = digest(list(map(file_states(found), found.images["image_id"])))

    def compute(place: Path) -> None:
        build_store(found, place, s.canvas, workers=s.compute.workers, progress=lab.progress)

    place = stage(lab, "canvases", inputs, STORE_CODE, compute, resumes=True)
    labels = {"canvases": key_of(place), "manifest": key_of(lab.runs / "manifest")}
    stage(lab, "store", labels, STORE_CODE, lambda _: compute(place))
    images = ImageStore(place)
    if s.data.damaged == "error":
        _refuse_damaged(lab, images.exclusions[images.exclusions["stage"] == STAGE])
    return images


def _refuse_damaged(lab: Lab, found: pd.DataFrame) -> None:
    """Name the first image or outline that the store had to leave out, and how to go on."""
    if found.empty:
        return
    lesions = found["level"] == "lesion"
    first = found[~lesions].iloc[0] if not lesions.all() else found.iloc[0]
    raise InputError(
        f"{(~lesions).sum()} images and {lesions.sum()} lesions cannot be used, "
        f"{first['level']} {first['id']} first: {first['reason'].rstrip('.')}",
        f"all in runs/{lab.name}/canvases/exclusions.csv",
        "Or go on without them: data.damaged: exclude",
    )


def evaluation_windows(lab: Lab) -> pd.DataFrame:
    """The windows by which each validation and test lesion is judged, drawn once for all models."""
    from lesionlib.sampling import sample_lesion_windows
    from lesionlib.scoring import known_lesions

    images, s = store(lab), lab.settings
    inputs = {"windows": s.windows.model_dump(), "each": s.evaluation.windows_per_lesion}
    inputs |= {"seed": s.seed, "store": key_of(lab.runs / "store")}

    def compute(place: Path) -> None:
        drawn = sample_lesion_windows(
            images, known_lesions(images, *SCORED), s.evaluation.windows_per_lesion, s.windows,
            seed=derive_seed(s.seed, "evaluation windows"), training=False,
        )  # fmt: skip
        drawn.to_parquet(place / "windows.parquet")

    place = stage(lab, "windows", inputs, ("windows", "sampling"), compute)
    return pd.read_parquet(place / "windows.parquet")


def followed_lesion(lab: Lab, pathology: str = "malignant") -> int:
    """The row of the lesion that the notebooks follow from its outline to the ROC curve.

    A rule and not a choice: of the malignant test lesions that are alone on their image (of all
    where none is), the one whose outline has the median area.  pathology : "benign" gives its
    counterpart, by the same rule.
    """
    table = store(lab).lesions
    alone = table.groupby("image")["lesion_id"].transform("size") == 1
    found = table[(table["split"] == "test") & (table["pathology"] == pathology)]
    found = found[alone[found.index]] if alone[found.index].any() else found
    return int(found["area_px"].sort_values(kind="stable").index[len(found) // 2])
