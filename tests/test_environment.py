"""The descriptions of the environment agree with each other, with the code and with the machine."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import lesionlib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]
OPTIONAL.pop("bench")  # peers to compare with: of no use to the project, and not installed
OPTIONAL.pop("site")  # installed by `make site` alone
DECLARED = [Requirement(text) for text in [*PROJECT["dependencies"], *sum(OPTIONAL.values(), [])]]
DECLARED = [r for r in DECLARED if r.name != PROJECT["name"]]
PIN_LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = {
    canonicalize_name(pin.name): pin
    for pin in (Requirement(line) for line in PIN_LINES if line.strip() and line[0] != "#")
}


def exact(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "==", f"{pin} is no exact version"
    return specifier.version


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda r: r.name)
def test_each_declared_package_is_pinned_to_a_version_that_fits(requirement):
    assert requirement.specifier.contains(exact(PINS[canonicalize_name(requirement.name)]))


def test_the_installed_versions_are_the_pinned_ones():
    for distribution in importlib.metadata.distributions():
        pin = PINS.get(canonicalize_name(distribution.metadata["Name"]))
        if pin is not None:
            assert pin.specifier.contains(Version(distribution.version)), (
                pin,
                distribution.version,
            )


def test_the_pins_are_for_every_python_that_is_asked_for():
    """Debian 12 has 3.11.2; what pip says of a pin that asks for more is of no help."""
    least = PROJECT["requires-python"].removeprefix(">=") + ".0"
    for distribution in importlib.metadata.distributions():
        asked = distribution.metadata["Requires-Python"]
        if asked and canonicalize_name(distribution.metadata["Name"]) in PINS:
            name = distribution.metadata["Name"]
            assert SpecifierSet(asked).contains(least), f"{name} needs Python {asked}"


def requires(name: str) -> list[str]:
    """What a package needs; nothing of one that is for a cluster alone, and not installed."""
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        assert name in {canonicalize_name(Requirement(text).name) for text in OPTIONAL["slurm"]}
        return []


def test_nothing_is_pinned_that_no_declared_package_needs():
    # a package with an extra is another thing than the package without it
    needed, waiting = set(), [(canonicalize_name(r.name), "") for r in DECLARED]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in needed:
            continue
        needed.add((name, extra))
        for requirement in map(Requirement, requires(name)):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                other = canonicalize_name(requirement.name)
                waiting += [(other, wanted) for wanted in {"", *requirement.extras}]
    assert sorted(set(PINS) - {name for name, _ in needed}) == []


def test_conda_takes_the_same_versions_and_pins_nothing_twice():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert pip == ["-c constraints.txt", "-e .[all]"]
    plain = [d.partition("=") for d in environment["dependencies"] if isinstance(d, str)]
    versions = {name: version for name, _, version in plain}
    assert versions["python"] == "3.11" and sys.version_info >= (3, 11)
    assert PROJECT["requires-python"] == ">=3.11"
    assert not {canonicalize_name(name) for name in versions} & set(PINS)


def test_what_the_library_imports_is_declared():
    modules = importlib.metadata.packages_distributions()
    declared = {canonicalize_name(r.name) for r in DECLARED}
    ours = {"lesionlib", "data_manifest", "study", "notebooks"}
    for file in sorted(file for room in ours for file in (ROOT / room).rglob("*.py")):
        for name in imported(file) - set(sys.stdlib_module_names) - ours:
            packages = {canonicalize_name(p) for p in modules.get(name, [])}
            assert packages & declared, f"{file.name} imports {name}: not in pyproject.toml"


def imported(file: Path) -> set[str]:
    """Names of the top-level packages that a source imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("room", ["lesionlib/metrics", "study/plots", "study/tables.py"])
def test_figures_tables_and_metrics_never_import_torch(room):
    place = ROOT / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    assert files
    for file in files:
        assert "torch" not in imported(file), file


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == lesionlib.__version__
    assert importlib.metadata.version("lesionlib") == lesionlib.__version__


def test_the_citation_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    titles = [reference["title"] for reference in citation["references"]]
    assert any(title.startswith("Reducing false-positive biopsies") for title in titles)
    assert set(citation["license"]) == {"MIT", "CC-BY-4.0"}


def test_make_help_tells_of_every_command():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = (
        re.search(r"^\.PHONY: (.*)$", text.replace("\\\n", ""), re.MULTILINE).group(1).split()
    )
    described = re.findall(r"^([\w-]+):.*## \S", text, re.MULTILINE)
    assert sorted(described) == sorted(commands)


def test_what_git_ignores_does_not_enter_an_image():
    """Data, runs and results of one's own above all."""
    git, image = (
        {
            line.strip("/").removeprefix("**/").replace("!/", "!").rstrip("/")
            for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
            if line and line[0] != "#"
        }
        for name in (".gitignore", ".dockerignore")
    )
    assert git and git <= image, git - image
    assert {x for x in image if x[0] == "!"} == {x for x in git if x[0] == "!"}


def test_an_image_is_built_from_the_pins():
    recipe = (ROOT / "workflow" / "container" / "Dockerfile").read_text(encoding="utf-8")
    (base,) = re.findall(r"^ARG BASE=python:([\d.]+)-slim", recipe, re.MULTILINE)
    assert f"(CPython {base})" in PIN_LINES[0]
    assert "make setup" in recipe and "pip install" not in recipe
