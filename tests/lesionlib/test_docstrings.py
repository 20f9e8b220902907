"""Every public name of lesionlib is documented in numpydoc's sections, and functions are short."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import lesionlib

ROOM = Path(lesionlib.__file__).parent
TREES = {f: ast.parse(f.read_text(encoding="utf-8")) for f in sorted(ROOM.rglob("*.py"))}
FUNCTIONS = {
    f: [n for n in ast.walk(t) if isinstance(n, ast.FunctionDef)] for f, t in TREES.items()
}
CLASSES = [n for tree in TREES.values() for n in tree.body if isinstance(n, ast.ClassDef)]
PROTOCOLS = [c for c in CLASSES if "Protocol" in map(ast.unparse, c.bases)]
# documented once, where the contract is written; forward is torch's
CONTRACT = {part.name for c in PROTOCOLS for part in c.body if hasattr(part, "name")} | {"forward"}
UNSOURCED = {
    "errors.py",
    "files.py",
    "loading.py",
}  # neither the paper nor a reference has a say in these


def public(node):
    for part in (n for n in node.body if isinstance(n, ast.FunctionDef | ast.ClassDef)):
        if part.name[0] != "_" and not (isinstance(node, ast.ClassDef) and part.name in CONTRACT):
            yield part
            yield from public(part) if isinstance(part, ast.ClassDef) else ()


def missing(node, texts: dict[str, str]) -> list[str]:
    doc = (ast.get_docstring(node) or "").replace("Yields\n------", "Returns\n-------")
    wanted, inits = [], [m for m in node.body if getattr(m, "name", "") == "__init__"]
    for function in inits if isinstance(node, ast.ClassDef) else [node]:
        names = set(re.findall(r"\w+", ast.unparse(function.args))) - {"self", "cls"}
        wanted += ["Parameters"] * bool(names)
    if isinstance(node, ast.FunctionDef) and "property" not in map(
        ast.unparse, node.decorator_list
    ):
        wanted += ["Returns"] * (ast.unparse(node.returns or ast.Constant(None)) != "None")
        helpers = [n for n in texts if n[0] == "_" and f" {n}(" in texts[node.name]]
        body = texts[node.name] + "".join(texts[n] for n in helpers)
        wanted += ["Raises"] * bool(re.search(r"raise (InputError|Diverged)\(", body))
    return [s for s in wanted if f"{s}\n{'-' * len(s)}" not in doc] + ["docstring"] * (not doc)


# a module with an underscore is its package's own
PUBLIC = [file for file in TREES if file.name == "__init__.py" or file.name[0] != "_"]


@pytest.mark.parametrize("file", PUBLIC, ids=lambda f: f.relative_to(ROOM).as_posix())
def test_public_names_are_documented(file):
    texts = {f.name: ast.unparse(f) for f in FUNCTIONS[file]}
    faults = [(node.name, missing(node, texts)) for node in public(TREES[file])]
    assert [(name, fault) for name, fault in faults if fault] == []
    source = re.search(r"\b(19|20)\d\d\b", ast.get_docstring(TREES[file]) or "")
    assert source or file.name in UNSOURCED, "the module names neither paper nor reference"


def test_functions_are_short():
    lengths = []
    for function in sum(FUNCTIONS.values(), []):
        first = function.body[bool(ast.get_docstring(function)) and len(function.body) > 1]
        lengths.append(function.end_lineno - first.lineno + 2)
    assert np.median(lengths) <= 10 and np.quantile(lengths, 0.9) <= 25 and max(lengths) <= 50
