"""Where a result comes from: digests of settings, code and data, versions, device and seed.

No time, host or user is written, so that the same work leaves the same record.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("lesionlib", "torch", "torchvision", "numpy", "pandas", "scikit-learn", "pydicom")
PACKAGE_FOLDER = Path(__file__).resolve().parent


@cache
def code_digest(*modules: str) -> str:
    """Digest of the library's sources; of all of them where no module or package is named."""
    files: set[Path] = set()
    for name in modules or ("",):
        place = PACKAGE_FOLDER / name
        single = place.with_suffix(".py") if name else place
        files |= set(place.rglob("*.py")) if place.is_dir() else {single}
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(file.relative_to(PACKAGE_FOLDER).as_posix().encode())
        total.update(file.read_bytes())
    return total.hexdigest()[:16]


@cache
def commit() -> str:
    """The commit of the working tree, with `+changes` where it differs; empty outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE_FOLDER), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = head and git("status", "--porcelain", "--", "lesionlib", "experiments")
    except OSError:  # no git on this machine
        return ""
    return head + ("+changes" if changed else "")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can move a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: to a temporary name, then renamed."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """As :func:`write_text`, for bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def write_json(path: Path, content) -> None:
    """JSON with sorted keys, written whole or not at all."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, default=str) + "\n")


def read_json(path: Path, default=None):
    """The content of a JSON file, or `default` where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default
