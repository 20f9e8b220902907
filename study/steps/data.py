"""Files -> manifest -> store: what every network and every notebook reads.

Patients are split here, and images placed on their canvases.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from data_manifest.folders import check_unicode
from lesionlib import files
from lesionlib.errors import InputError
from lesionlib.outlines import Outline
from lesionlib.seeds import digest
from study.freshness import code_digest
from study.lab import Lab
from study.settings import project_path
from study.stages import once, stage

TO_COMPLETE = "to_complete"  # of a set without lesions: tables with what is known
WRITTEN = ".written.json"  # digests of these tables as they were written last
STAND_IN_PX = 32  # side of the square that is followed where there is no lesion
MOST_ENTRIES = 50_000  # files and folders that a fingerprint looks at; CBIS-DDSM has 30,000


def data_folder(lab: Lab) -> Path:
    """The user's data: LESIONLIB_DATA (DATA= of make), else the last so given, else `data.folder`.

    A relative `data.folder` is in the project.  The phantom is drawn into ``runs/``.
    Raises InputError where a real set has no folder.
    """
    if lab.is_phantom:
        return lab.runs / "phantom"
    remembered, given = lab.runs / "data_folder.txt", os.environ.get("LESIONLIB_DATA")
    given = given and os.path.expanduser(given)
    last = remembered.read_text(errors="replace").strip() if remembered.is_file() else None
    folder = given or last
    if not folder and lab.settings.data.folder:
        folder = project_path(lab.settings.data.folder)
    remedy = f"Give it: make run EXPERIMENT={lab.name} DATA=<folder>"
    if not folder:
        raise InputError("no data folder was given", f"experiment {lab.name}", remedy)
    if not Path(folder).is_dir():
        raise InputError("the data folder does not exist", folder, remedy)
    check_unicode(folder)
    if given:
        files.write_text(remembered, str(Path(given).resolve()) + "\n")
    return Path(folder)


@once
def manifest(lab: Lab):
    """The validated :class:`~data_manifest.manifest.Manifest` with patient-disjoint splits."""
    from data_manifest.checks import check_manifest
    from data_manifest.checksums import write_checksums
    from data_manifest.manifest import Manifest
    from data_manifest.registry import OWN
    from data_manifest.splits import split_by_settings

    folder, s = data_folder(lab), lab.settings
    read = _draw_phantom if lab.is_phantom else _read_set
    # a setting that is not used leaves the keys as they were before there was one
    unused = {"folder", "damaged"} | (set() if s.data.permuted_labels else {"permuted_labels"})
    inputs = {"data": s.data.model_dump(exclude=unused), "seed": s.seed}
    if lab.is_phantom:
        inputs["phantom"] = s.phantom.model_dump()
    else:  # the manifest names its folder, so a set that was moved is read anew
        inputs |= {"files": fingerprint(folder), "folder": str(folder.resolve())}

    def compute(place: Path) -> str:
        found = read(lab, folder)
        if found.lesions.empty:  # images to look at, and a manifest to be completed
            _write_tables_to_complete(lab, found)
        else:
            found = split_by_settings(found, s.data, s.seed)
        check_manifest(found).write(place)
        if s.data.sha256:
            write_checksums(found, place / "files.sha256", s.compute.workers)
        # a phantom's pictures change with settings that its tables do not show
        drawn = folder.rglob("*") if lab.is_phantom else ()
        return _digest_of_files([*place.glob("*.csv"), *drawn])

    # a reader is found by its name; one of another package is not watched
    readers = [f"data_manifest.{name}.reader.read" for name in OWN if name == s.data.dataset]
    draws = folder if lab.is_phantom else None
    return Manifest.read(stage(lab, "manifest", inputs, compute, read, *readers, draws=draws))


def _write_tables_to_complete(lab: Lab, found) -> None:
    """`images.csv`, and `lesions.csv` with a row for each image and an empty pathology.

    One that the user has changed stays as it is.
    """
    lesions = pd.DataFrame(columns=list(found.lesions.columns))
    lesions["image_id"] = found.images["image_id"]
    lesions["lesion_id"] = lesions["image_id"] + "_1"
    lesions["file"] = found.images["file"]  # to find the image; no reader needs it
    place = lab.runs / TO_COMPLETE
    written = files.read_json(place / WRITTEN, {})
    for name, table in (("images.csv", found.images), ("lesions.csv", lesions)):
        file, content = place / name, table.to_csv(index=False).encode()
        if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() != written.get(name):
            known = f"runs/{lab.name}/{TO_COMPLETE}/{name}"
            lab.progress(f"{known} has your changes and stays; move it away to get the new one")
            continue
        files.write_bytes(file, content)
        written[name] = hashlib.sha256(content).hexdigest()
    files.write_json(place / WRITTEN, written)


def need_lesions(lab: Lab, error: type[InputError] = InputError) -> None:
    """Raise an `error` that says how to go on where the set has no lesion."""
    if manifest(lab).lesions.empty:
        place = f"runs/{lab.name}/{TO_COMPLETE}"
        remedy = "(delete the rows of images without one), put it next to the images, run again"
        raise error("no lesion", f"experiment {lab.name}", f"Complete {place}/lesions.csv {remedy}")


def _draw_phantom(lab: Lab, folder: Path):
    """The phantom, drawn anew: the stage knows when what was drawn is still good."""
    from data_manifest.phantom import reader

    s = lab.settings
    shutil.rmtree(folder, ignore_errors=True)
    return reader.read(
        folder, s.phantom, seed=s.seed, workers=s.compute.workers, progress=lab.progress
    )


def _read_set(lab: Lab, folder: Path):
    from data_manifest import registry
    from data_manifest.splits import split_by_settings, with_permuted_labels

    s = lab.settings
    found = registry.read(s.data.dataset, folder, **s.data.options)
    if s.data.permuted_labels:
        found = with_permuted_labels(split_by_settings(found, s.data, s.seed), s.seed)
    return found


def fingerprint(folder: Path) -> str:
    """Digest of names, sizes and times of the files in a data folder and in the folders below it.

    Level by level, and of the first `MOST_ENTRIES` entries: a tree of any size costs no more.
    Hidden files, which systems write as they like, and unreadable ones do not count.
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


def _digest_of_files(found: list[Path]) -> str:
    total = hashlib.sha256()
    for file in sorted(path for path in found if path.is_file()):
        with open(file, "rb") as content:
            total.update(file.name.encode() + hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()[:16]


@once
def store(lab: Lab):
    """The memory-mapped :class:`~data_manifest.images.store.ImageStore` of all canvases."""
    from data_manifest.images.build import file_states
    from data_manifest.images.store import STAGE, ImageStore, build_store
    from study.excerpt import opened

    found, s = manifest(lab), lab.settings
    inputs = {"canvas": s.canvas.model_dump()}
    if not lab.is_phantom:  # a file that was repaired or exchanged is read anew
        inputs["files"] = digest(list(map(file_states(found), found.images["image_id"])))

    def compute(place: Path) -> str:
        build_store(
            found, place / "canvases", s.canvas, workers=s.compute.workers, progress=lab.progress
        )
        held = [file for end in ("npy", "csv") for file in place.glob(f"canvases/*.{end}")]
        return digest([_digest_of_files(held), reading])

    # what it holds and the code that reads it go into the networks' keys, not when its files were
    # written: a set that was copied trains nothing anew
    reading = code_digest(ImageStore)
    how = {"reads": ["manifest"], "keeps": True, "shared": {}}
    place = stage(lab, "store", inputs, compute, ImageStore, **how)
    images = opened(place / "canvases")
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
        f"all in runs/{lab.name}/store/canvases/exclusions.csv",
        "Or go on without them: data.damaged: exclude",
    )


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


def followed_place(lab: Lab) -> tuple[int, Outline]:
    """The row of the followed lesion's image, and the lesion's outline on its canvas.

    Without lesions: the first image, and a square in the middle of its breast.
    """
    images = store(lab)
    if len(images.lesions):
        j = followed_lesion(lab)
        return int(images.lesions.at[j, "image"]), images.outline(j)
    lab.progress("no lesion: a square in the middle of the first breast stands in for it")
    names = ["breast_row0", "breast_row1", "breast_col0", "breast_col1"]
    top, bottom, left, right = (int(images.images.at[0, name]) for name in names)
    corner = [(a + b - STAND_IN_PX) // 2 for a, b in ((top, bottom), (left, right))]
    return 0, Outline(*corner, np.ones((STAND_IN_PX, STAND_IN_PX), bool))
