"""torchvision's networks work next to a CPU torch, and are imported only where they are needed."""

from __future__ import annotations

import builtins
import subprocess
import sys

import pytest
import torch

from lesionlib.models._torchvision import SIGNATURE, torchvision_models


@pytest.mark.parametrize("operator", ["nms", "qnms"])
def test_operators_have_the_signature_that_torchvision_gives_them(operator):
    torchvision_models()
    schema = str(getattr(torch.ops.torchvision, operator).default._schema)
    assert schema == f"torchvision::{operator}{SIGNATURE}"


@pytest.mark.parametrize("name", ["densenet121", "resnet18"])
def test_networks_run_forward_and_backward(name):
    net = torchvision_models().get_model(name, weights=None, num_classes=2)
    net(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())


def in_a_new_process(code: str) -> str:
    # -S leaves out site-packages' .pth files, and with them whatever else mends the import
    paths = f"import sys; sys.path[:0] = {sys.path!r}; before = list(sys.meta_path)\n"
    done = subprocess.run(
        [sys.executable, "-S", "-c", paths + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_lesionlib_is_imported_without_torch():
    assert in_a_new_process("import lesionlib; print('torch' in sys.modules)") == "False"


def test_torchvision_is_imported_when_first_asked_for():
    code = (
        "import lesionlib.models.weights, lesionlib.tasks, lesionlib.training, lightning_fabric\n"
        "from lesionlib.models._torchvision import torchvision_models\n"
        "assert 'torchvision' not in sys.modules and sys.meta_path == before\n"
        "models = torchvision_models()\n"
        "print(models is torchvision_models(), models.densenet121 is not None)"
    )
    assert in_a_new_process(code) == "True True"


def test_nothing_is_declared_where_torchvision_imports(monkeypatch):
    models = torchvision_models()
    monkeypatch.setattr(torch.library, "define", lambda *_: pytest.fail("declared"))
    assert torchvision_models() is models


def test_another_fault_of_torchvision_is_not_hidden(monkeypatch):
    plain = builtins.__import__

    def broken(name, *given, **named):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::roi_align is broken")
        return plain(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(RuntimeError, match="roi_align is broken"):
        torchvision_models()
