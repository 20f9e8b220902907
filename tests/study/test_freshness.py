"""What counts as the code of a step: exactly what it reaches, and never prose."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lesionlib.errors import InputError
from study import freshness
from study.freshness import closure, code_digest


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def reached(folder: Path, *roots) -> set[str]:
    found = closure(*roots, root=folder)
    return {f"{module.removeprefix('lesionlib.')}:{name}" for module, name in found}


A, B, C, P = "lesionlib/a.py", "lesionlib/b.py", "lesionlib/p/c.py", "lesionlib/p/__init__.py"
TWO = {B: "from study.z import z\ndef g(): 1\ndef h(): 2", "study/z.py": "z = 1"}
PAIR = {P: "from .c import g\nfrom . import c\nK = 1", C: "def g(): 1\ndef h(): return 'x.csv'"}
PRINT = {"lesionlib/__init__.py": "print()"}
FILES = {"lesionlib/d/x.csv": "", "lesionlib/y.csv": "", "study/d/x.csv": ""}
# what is tried: text of module a, other files, and what a.f reaches besides itself
REACH = {
    "other definitions": ("def f(): return g()\ndef g(): 1\ndef h(): 2", {}, "a:g"),
    "constant": ("N = 1\nM = N\nM += 2\nK = 3\ndef f(x=M): x", {}, "a:N a:M"),
    "class": ("def f(): C\nclass C(B):\n  def m(o): g()\nclass B: 1\ng = 1", {}, "a:C a:B a:g"),
    "decorator": ("@g(h)\ndef f(): 1\ndef g(x): 1\ndef h(): 1", {}, "a:g a:h"),
    "cycle": ("def f(): g()\ndef g(): f()", {}, "a:g"),
    "local names": ("def f(g):\n  h = g\n  return [k(h) for k in g]\ng = h = k = 1", {}, ""),
    "annotations": ("def f(x: g) -> g: 1\ng = int", {}, ""),
    "other software": ("import other\ndef f(): other.g()", {"other.py": "def g(): 1"}, ""),
    "alias": ("from lesionlib.b import g as n\ndef f(): n()", TWO, "b:g"),
    "module": ("from lesionlib import b as n\ndef f(): n.g.x", TWO, "b:g"),
    "dotted": ("import lesionlib.b\ndef f(): lesionlib.b.g()", TWO, "b:g"),
    "relative": ("from .b import g\ndef f(): g()", TWO, "b:g"),
    "local import": ("def f():\n  from .b import g\n  return [g() for i in f]", TWO, "b:g"),
    "module as a value": ("import lesionlib.b as b\ndef f(): getattr(b, 'g')", TWO, "b:g b:h"),
    "star import": ("from lesionlib.b import *\ndef f(): g()", TWO, "b:g b:h"),
    "re-export": ("from lesionlib.p import g\ndef f(): g()", PAIR, "p.c:g"),
    "submodule": ("from lesionlib.p import c\ndef f(): c.g()", PAIR, "p.c:g"),
    "name not found": ("from lesionlib.p import d\ndef f(): d()", {P: "K = 1"}, "p:K"),
    "package as a value": ("from lesionlib import p\ndef f(): vars(p)", PAIR, "p:K p.c:g p.c:h"),
    "top-level statements": ("g(1)\ndef f(): 1\ndef g(x): 1\nh = 1", PRINT, "a: a:g lesionlib:"),
    "imports": ("try:\n  from .b import g\nexcept OSError:\n  pass\ndef f(): g()", TWO, "b:g"),
    "type checkers": ("if TYPE_CHECKING:\n  from .b import g\ndef f(): g()", TWO, ""),
    "file of the folder": ("def f(): open('d/x.csv', 'b.py')", FILES | TWO, "a:lesionlib/d/x.csv"),
    "file above": ("from lesionlib.p.c import h as f", FILES | PAIR, "p.c:h p.c:lesionlib/d/x.csv"),
    "name made": ("def f(): g('y')\ndef g(n): open(f'{n}.csv')", FILES, "a:g a:lesionlib/y.csv"),
}  # fmt: skip


@pytest.mark.parametrize("text, others, expected", REACH.values(), ids=REACH)
def test_a_root_reaches_what_it_names_and_no_more(tmp_path, text, others, expected):
    own = {"a:f"} if "def f" in text else set()
    folder = tree(tmp_path, {A: text} | others)
    assert reached(folder, "lesionlib.a.f") == own | set(expected.split())


def test_objects_are_roots_a_method_stands_for_its_class(tmp_path):
    text = "def f():\n  def g(): return h()\n  return g\ndef h(): 1\nclass C:\n  def m(self): 1"
    exec(compile(text, "a.py", "exec"), made := {"__name__": "lesionlib.a"})
    folder = tree(tmp_path, {A: text})
    assert reached(folder, made["f"]()) == {"a:f.<locals>.g", "a:h"}
    assert reached(folder, made["h"], made["C"].m) == {"a:h", "a:C"}
    assert reached(folder, "lesionlib.a") == {"a:f", "a:h", "a:C"}


S, D = "study/step.py", "lesionlib/d.py"
STEP = '''
"""A step."""
from lesionlib.b import fit, store
LEVEL = 1
def step(lab):
    """Do it."""
    from lesionlib.d import score
    images = store(lab)
    small = lambda x: x + LEVEL
    def inner(x): return small(x)
    def compute(place):
        fit(images, inner(place))
        return score
'''
DEEP = """
def deep(x: int):  # why
    'Prose.'
    if x: raise OSError('no')
    return open('t.csv')
def score(): 3
def unrelated(): 4
"""
FIT = "import lesionlib.d\ndef fit(x, y): return lesionlib.d.deep(x)\ndef store(lab): 1"
LIBRARY = {S: STEP, B: FIT, D: DEEP, "lesionlib/t.csv": "1"}
INNER = "study.step.step.<locals>.compute"


def test_a_function_in_a_function_counts_with_what_it_uses_around_it(tmp_path):
    folder = tree(tmp_path, LIBRARY)
    used = {"b:fit", "d:deep", "d:score", "d:lesionlib/t.csv", "study.step:LEVEL"}
    inside = {f"study.step:step.<locals>.{name}" for name in ("compute", "inner", "small")}
    assert reached(folder, INNER) == used | inside
    assert "b:store" in reached(folder, "study.step.step")


PROSE = [(S, "A step.", "Another."), (S, "Do it.", "Do."), (D, "  # why\n    'Prose.'", "")]
PROSE += [(D, "(x: int)", "(x: float) -> str"), (D, "OSError('no')", "OSError(\n'no'\n)")]
PROSE += [(D, "unrelated(): 4", "unrelated(): 5"), (S, "store(lab)", "store(None)")]  # not reached
CODE = [(D, "'no'", "'No'"), (D, "if x", "if not x"), (D, "score(): 3", "score(): 5")]
CODE += [(S, "LEVEL = 1", "LEVEL = 2"), (S, "x + LEVEL", "x - LEVEL")]
CODE += [("lesionlib/t.csv", "1", "2")]
EDITS = [(*edit, False) for edit in PROSE] + [(*edit, True) for edit in CODE]


@pytest.mark.parametrize("file, old, new, again", EDITS)
def test_an_edit_of_code_or_data_counts_and_of_prose_does_not(tmp_path, file, old, new, again):
    before = code_digest(INNER, root=tree(tmp_path / "one", LIBRARY))
    assert LIBRARY[file].count(old) == 1 and len(before) == 16
    edited = tree(tmp_path / "two", LIBRARY | {file: LIBRARY[file].replace(old, new)})
    assert (code_digest(INNER, root=edited) != before) == again


def test_a_notebook_counts_by_its_code_cells(tmp_path):
    def found(code="y = g()", note="text", injected="x = 1"):
        parts = [("markdown", note, []), ("code", injected, ["injected-parameters"])]
        parts += [("code", f"%matplotlib inline\nfrom notebooks.drawings.d import g\n{code}", [])]
        cells = [{"cell_type": k, "source": [s], "metadata": {"tags": t}} for k, s, t in parts]
        files = {"notebooks/n.ipynb": json.dumps({"cells": cells})}
        folder = tree(tmp_path, files | {"notebooks/drawings/d.py": "def g(): 1\ndef h(): 1"})
        return closure(folder / "notebooks/n.ipynb", root=folder)

    drawings = {name for module, name in found() if module == "notebooks.drawings.d"}
    assert drawings == {"g"} and found(note="another text", injected="x = 22") == found()
    assert found(code="y = g() + 1") != found()


def test_a_root_that_cannot_be_found_is_bad_input(tmp_path):
    folder = tree(tmp_path, LIBRARY)
    for root in ("lesionlib.b.gone", "json.dumps", Path("notebooks/gone.ipynb"), ast.parse):
        with pytest.raises(InputError, match="no code"):
            closure(root, root=folder)


def test_a_file_is_parsed_once_until_it_changes(tmp_path, monkeypatch):
    folder, real, parsed = tree(tmp_path, LIBRARY), ast.parse, []
    monkeypatch.setattr(ast, "parse", lambda text, name: parsed.append(name) or real(text))
    first = [code_digest(INNER, root=folder) for _ in range(3)]
    assert sorted(parsed) == sorted(map(str, [folder / B, folder / D, folder / S]))
    monkeypatch.setattr("study.freshness.HOME", folder)
    assert code_digest(INNER) == first[0]
    tree(folder, {D: DEEP + "score = 33"})
    assert code_digest(INNER, root=folder) not in first and len(parsed) == 4
    assert code_digest(INNER) == first[0], "of the code that the process has imported"


def test_f_loc_reaches_its_sampler_not_gmic_and_no_torch_is_loaded():
    found = closure("lesionlib.tasks.FLocTask")
    assert ("lesionlib.sampling", "sample_epoch") in found
    assert "lesionlib.tasks.gmic" not in {module for module, _ in found}
    code = "import sys, study.freshness as f\nf.closure('lesionlib.tasks')\nprint(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "study.freshness" in loaded and not {"torch", "lesionlib.tasks"} & {*loaded}


def test_the_next_process_reads_the_digest_until_a_file_changes(tmp_path, monkeypatch):
    folder, real, sought = tree(tmp_path, LIBRARY), freshness._Tree.closure, []
    monkeypatch.setattr(freshness, "HOME", folder)
    monkeypatch.setattr(
        freshness._Tree, "closure", lambda self, *names: sought.append(names) or real(self, *names)
    )

    def next_process(name: str = INNER) -> str:
        for kept in (freshness._kept, freshness._state, freshness._kept_tree):
            kept.cache_clear()
        return code_digest(name)

    first = next_process()
    assert next_process() == first == code_digest(INNER, root=folder)
    sought.clear()
    assert next_process() == first and not sought
    assert next_process("study.step.step") != first and next_process() == first and len(sought) == 1
    for file, text in ((D, DEEP + "score = 33"), ("lesionlib/t.csv", "2"), (D, DEEP)):
        tree(folder, {file: text})
        sought.clear()
        assert next_process() == code_digest(INNER, root=folder) != first and len(sought) == 2
    (folder / "runs" / "code.json").write_bytes(b"")
    assert next_process() != first, "a damaged file is written anew"
    tree(folder, {"lesionlib/t.csv": "1"})
    assert next_process() == first
