"""Where a result comes from: digests of settings, code and data, versions, device and seed.

No time, host or user is written, so that the same work leaves the same record.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("lesionlib", "torch", "torchvision", "numpy", "pandas", "scikit-learn", "pydicom")
PROJECT = Path(__file__).resolve().parents[1]
ROOMS = ("lesionlib", "data_manifest", "study", "notebooks", "workflow", "experiments")


@cache
def code_digest(*modules: str) -> str:
    """Digest of the project's sources."""
    files = {p for room in ROOMS[:3] for p in (PROJECT / room).rglob("*.py")}
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(file.relative_to(PROJECT).as_posix().encode())
        total.update(file.read_bytes())
    return total.hexdigest()[:16]


@cache
def commit() -> str:
    """The commit of the working tree, with `+changes` where it differs; empty outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = head and git("status", "--porcelain", "--", *ROOMS)
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
