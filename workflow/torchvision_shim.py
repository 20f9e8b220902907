"""Make ``import torchvision`` work beside a torch that was built without CUDA.

The wheels of torchvision on the Python package index are built against the CUDA edition of torch.
Put beside the CPU edition, their compiled part cannot be loaded, and the import stops with
``operator torchvision::nms does not exist``: the module ``torchvision._meta_registrations`` asks
for two detection operators without looking first whether the compiled part is there.  This
compendium uses torchvision's networks alone, which are plain Python and miss nothing.

The remedy is to *declare* the two operators (their signatures, no code) just before that module is
imported, and only after torchvision itself has found its compiled part missing.  Where it loads
(CUDA, conda, macOS) nothing is declared.  An operator so declared still refuses to run.

Two ways in:

* ``import lesionlib`` before torchvision, which calls :func:`install_hook`;
* ``python lesionlib/torchvision_shim.py --install``, once per environment, which makes the hook
  part of every start of Python there, since other packages import torchvision first.  It writes
  into the environment only where the import fails for this very reason.

Neither torch nor torchvision is imported by importing this module.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

NEEDS_OPERATORS = "torchvision._meta_registrations"
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
OPERATORS = ("nms", "qnms")
INSTALLED_NAME = "_lesionlib_torchvision"
TRY_IMPORT = [sys.executable, "-c", "import torchvision"]


class OperatorDeclarer:
    """A finder on ``sys.meta_path`` that finds no module, but sees the fateful import coming."""

    def find_spec(self, name, path=None, target=None):
        """Always None, so that the usual finders do the import."""
        if name == NEEDS_OPERATORS:
            extension = sys.modules.get("torchvision.extension")
            if extension is not None and not extension._has_ops():
                declare_operators()
        return None


def declare_operators() -> None:
    """Give the two operators their signatures, where nobody has yet."""
    import torch

    for operator in OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(f"torchvision::{operator}", SIGNATURE)


def install_hook() -> None:
    """Put the hook in front of the other finders; a second call does nothing."""
    present = any(type(finder).__name__ == OperatorDeclarer.__name__ for finder in sys.meta_path)
    if not present and NEEDS_OPERATORS not in sys.modules:
        sys.meta_path.insert(0, OperatorDeclarer())


def install_into_environment(folder: Path | None = None) -> str:
    """Make the hook part of this environment where torchvision needs it; says what was done.

    folder : where Python looks for ``.pth`` files; site-packages of this Python if not given.
    Raises RuntimeError where torchvision cannot be imported for another reason.
    """
    folder = folder or Path(sysconfig.get_path("purelib"))
    module, starter = folder / f"{INSTALLED_NAME}.py", folder / f"{INSTALLED_NAME}.pth"
    starter.unlink(missing_ok=True)  # the trial below must see the environment as it came
    trial = subprocess.run(TRY_IMPORT, capture_output=True, text=True, check=False)
    if trial.returncode == 0:
        module.unlink(missing_ok=True)
        return "torchvision imports as it is: nothing installed"
    if "operator torchvision::" not in trial.stderr:
        raise RuntimeError(trial.stderr.strip() or "torchvision cannot be imported")
    module.write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    starter.write_text(f"import {INSTALLED_NAME}; {INSTALLED_NAME}.install_hook()\n")
    subprocess.run(TRY_IMPORT, check=True)
    return "torchvision beside a CPU torch: hook installed into this environment"


if __name__ == "__main__":
    if sys.argv[1:] != ["--install"]:
        sys.exit(f"usage: {Path(sys.argv[0]).name} --install")
    print(install_into_environment())
