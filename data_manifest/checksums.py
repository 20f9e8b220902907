"""Checksums of the source files, for those who must show which bytes a result comes from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from joblib import Parallel, delayed
from tqdm import tqdm

from data_manifest.input_files import input_file
from data_manifest.manifest import Manifest
from lesionlib.errors import InputError
from lesionlib.files import write_text


def write_checksums(manifest: Manifest, file: Path, workers: int = 1) -> None:
    """One line `sha256  path` per source file, images and masks, in the order of their paths.

    The form is that of the command sha256sum: ``sha256sum --check`` in the data folder holds the
    files against it.  `workers` files are read at once.

    Raises
    ------
    InputError
        For a file that is missing or not readable.
    """
    names = {*manifest.images["file"], *manifest.lesions["mask_file"]} - {""}
    digest = delayed(_sha256)
    pool = Parallel(n_jobs=workers, prefer="threads", return_as="generator")
    found = pool(digest(manifest.root / name) for name in sorted(names))
    bar = tqdm(found, total=len(names), desc="sha256", unit="file", disable=None)
    pairs = zip(bar, sorted(names), strict=True)
    write_text(file, "".join(f"{value}  {name}\n" for value, name in pairs))


def _sha256(file: Path) -> str:
    try:
        with open(input_file(file), "rb") as data:
            return hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"not readable: {error.strerror}", file, "Complete the data") from None
