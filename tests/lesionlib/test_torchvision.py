"""torchvision's networks work beside a CPU torch, and the hook keeps out of the way elsewhere."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import torchvision

from workflow import torchvision_shim as shim


@pytest.mark.parametrize("operator", shim.OPERATORS)
def test_operators_have_the_signature_that_torchvision_gives_them(operator):
    schema = str(getattr(torch.ops.torchvision, operator).default._schema)
    assert schema == f"torchvision::{operator}{shim.SIGNATURE}"


@pytest.mark.parametrize("name", ["densenet121", "resnet18"])
def test_networks_run_forward_and_backward(name):
    net = torchvision.models.get_model(name, weights=None, num_classes=2)
    net(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_importing_lesionlib_first_is_enough_and_imports_no_torch():
    code = (
        "import lesionlib, sys; assert 'torch' not in sys.modules; "
        "import torchvision; print(torchvision.models.resnet18 is not None)"
    )
    # -S leaves out site-packages' .pth files, and with them an installed hook
    paths = f"import sys; sys.path[:0] = {sys.path!r}; "
    done = subprocess.run(
        [sys.executable, "-S", "-c", paths + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("loaded, declared", [(True, 0), (False, 1)])
def test_nothing_is_declared_where_the_compiled_part_loads(monkeypatch, loaded, declared):
    calls = []
    extension = SimpleNamespace(_has_ops=lambda: loaded)
    monkeypatch.setitem(sys.modules, "torchvision.extension", extension)
    monkeypatch.setattr(shim, "declare_operators", lambda: calls.append(1))
    assert shim.OperatorDeclarer().find_spec(shim.NEEDS_OPERATORS) is None
    assert len(calls) == declared
    shim.OperatorDeclarer().find_spec("torchvision.models")
    assert len(calls) == declared


@pytest.mark.parametrize(
    "trial, said",
    [
        (SimpleNamespace(returncode=0, stderr=""), "nothing installed"),
        (
            SimpleNamespace(returncode=1, stderr="operator torchvision::nms does not"),
            "hook installed",
        ),
    ],
)
def test_the_environment_is_changed_only_where_it_needs_it(monkeypatch, tmp_path, trial, said):
    monkeypatch.setattr(shim.subprocess, "run", lambda *words, **named: trial)
    assert said in shim.install_into_environment(tmp_path)
    installed = sorted(file.name for file in tmp_path.iterdir())
    wanted = [f"{shim.INSTALLED_NAME}.pth", f"{shim.INSTALLED_NAME}.py"]
    assert installed == (wanted if trial.returncode else [])


def test_another_fault_of_torchvision_is_not_hidden(monkeypatch, tmp_path):
    broken = SimpleNamespace(returncode=1, stderr="No module named 'torchvision'")
    monkeypatch.setattr(shim.subprocess, "run", lambda *words, **named: broken)
    with pytest.raises(RuntimeError, match="No module"):
        shim.install_into_environment(tmp_path)
