"""Where a result comes from: digest of its code, commit, versions of the packages, processor.

No time, host or user is written, so that the same work leaves the same record.
"""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from study import freshness
from study.parameters import code_cells

PACKAGES = ("lesionlib", "torch", "torchvision", "numpy", "pandas", "scikit-learn", "pydicom")
PROJECT = Path(__file__).resolve().parents[1]
ROOMS = ("lesionlib", "data_manifest", "study", "notebooks", "workflow", "experiments")


def code_digest(number: str = "") -> str:
    """Digest of the code that a notebook uses; of all steps where there is no such notebook."""
    notebooks = sorted((PROJECT / "notebooks").glob(f"{number}_*.ipynb"))
    return freshness.code_digest(*(notebooks or ["study.steps"]))


@cache
def commit(folder: Path = PROJECT) -> str:
    """The commit of a working tree, with `+changes` where code or settings differ from it.

    Outputs of notebooks do not count.  Empty outside git.
    """
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        edited = _git(folder, "diff", "--name-only", "--relative", "HEAD", "--", *ROOMS)
        added = _git(folder, "ls-files", "--others", "--exclude-standard", "--", *ROOMS)
    except (OSError, subprocess.CalledProcessError):  # no git on this machine, or no commit
        return ""
    changed = added or any(_code_differs(folder, file) for file in edited.splitlines())
    return head + ("+changes" if changed else "")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _code_differs(folder: Path, file: str) -> bool:
    if not file.endswith(".ipynb") or not (folder / file).is_file():
        return True
    here = (folder / file).read_text(encoding="utf-8")
    return code_cells(_git(folder, "show", f"HEAD:./{file}")) != code_cells(here)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can move a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def processor() -> str:
    """Name, model and stepping of the processor: another one rounds sums otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    model = " ".join(said[key] for key in ("cpu family", "model", "stepping") if key in said)
    return f"{said.get('model name', platform.machine())} ({model})"
