"""Does this code still compute the same?  One digest, for cached stages and for Snakemake alike.

It covers the closure of a root: what the root reaches by name in the project's packages, through
imports and re-exports, at module level and inside functions.  All of it is read from source (`ast`,
`symtable`); nothing of it is imported.  The closure holds

* definitions (a function, a class with its methods, an assigned name) without comments, docstrings,
  layout, and annotations of arguments and returns;
* the other top-level statements of each module on the way and of the packages around it, since an
  import runs them; not blocks that only import, and nothing under ``if TYPE_CHECKING:``;
* data files that a string names, as "x.csv", "data/x.csv", or "x" in a module with
  ``f"{name}.csv"``: in the module's folder or below it, or else in the nearest folder above.

It does not see a module that is imported by text, nor the class of an object that is handed in as
an argument or free variable: the caller names them as further roots.  The values of free variables
belong to the settings, which a key holds separately.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, cached_property
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path
from symtable import symtable

from lesionlib.errors import InputError
from lesionlib.seeds import digest
from study.marks import read_mark, write_mark
from study.parameters import code_cells

PACKAGES = ("lesionlib", "data_manifest", "study", "notebooks")
HOME = Path(__file__).resolve().parents[1]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINED = (*FUNCTIONS, ast.ClassDef)
ASSIGNED = (ast.Assign, ast.AnnAssign, ast.AugAssign)
IMPORTING = (ast.Import, ast.ImportFrom, ast.If, ast.Try, ast.With, ast.Pass)
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")

Reference = tuple[str, tuple[str, ...]]  # a module, and the names that follow it: a.b.c


def code_digest(*roots, root: Path | str | None = None) -> str:
    """Digest of the closure of `roots`: 16 hexadecimal digits, the same for equal trees anywhere.

    Parameters and Raises are those of :func:`closure`.  Without `root` the digest is kept for the
    life of the process, which goes on with the code that it has imported, and in ``runs/code.json``
    for the next ones, until a file of the packages has another size or time.
    """
    names = tuple(map(_spelt, roots))
    return _kept(names) if root is None else _digest(closure(*names, root=root))


def closure(*roots, root: Path | str | None = None) -> dict[tuple[str, str], str]:
    """What counts for `roots`; two of these compared say why something is done again.

    Parameters
    ----------
    roots : functions, classes, their full names as text, names of whole modules ("study.paper"), or
        Paths of notebooks (code cells without injected parameters).  A function in a function
        counts alone, with what it uses of the imports and definitions around it.
    root : folder with the project's packages; by default the one that holds this package.

    Returns
    -------
    dict of (module, name) to source, name "" for the module's other top-level statements; and of
    (module that names it, path below `root`) to the SHA-256 of a data file.

    Raises
    ------
    InputError where a root cannot be found.
    """
    return _Tree(Path(root or HOME).resolve()).closure(*roots)


def _spelt(root) -> str | Path:
    is_name = isinstance(root, str | Path)
    return root if is_name else f"{root.__module__}.{root.__qualname__}"


@cache
def _kept(names: tuple[str | Path, ...]) -> str:
    file, state = HOME / "runs" / "code.json", _state(HOME)
    notebooks = [(str(name), _time_and_size(name)) for name in names if isinstance(name, Path)]
    call, mark = repr((names, notebooks)), read_mark(file)
    found = mark["digests"] if mark.get("state") == state else {}
    if call not in found:
        found[call] = _digest(_kept_tree(HOME).closure(*names))
        with suppress(OSError):  # a full or foreign disk costs a second, no more
            write_mark(file, {"state": state, "digests": found})
    return found[call]


@cache
def _state(home: Path) -> str:
    """Digest of names, times and sizes of the packages' files."""
    files = sorted(file for package in PACKAGES for file in (home / package).rglob("[!.]*.*"))
    states = [(str(file), _time_and_size(file)) for file in files if file.suffix != ".pyc"]
    return digest([sys.version, states])


def _time_and_size(file: Path) -> tuple[int, int] | None:
    return (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else None


def _digest(found: dict) -> str:
    return hashlib.sha256(json.dumps([*found.items()]).encode()).hexdigest()[:16]


class _Tree:
    """The packages below one folder, and what was found in them so far."""

    def __init__(self, root: Path):
        self.root, self.found, self.modules, self.steps = root, {}, {}, {}

    def closure(self, *roots) -> dict[tuple[str, str], str]:
        """As the function of that name; what one root has reached is not sought again for another."""
        todo, seen, found = [self.start(_spelt(each)) for each in roots], set(), {}
        while todo:
            reference = todo.pop()
            if reference not in seen:
                seen.add(reference)
                if reference not in self.steps:
                    self.found = {}
                    self.steps[reference] = [*self.follow(*reference)], self.found
                todo += self.steps[reference][0]
                found |= self.steps[reference][1]
        return dict(sorted(found.items()))

    def start(self, root: str | Path) -> Reference:
        """The reference that a root is; a method or lambda stands for the definition around it."""
        is_text = isinstance(root, str)
        parts = root.split(".") if is_text else [os.path.relpath(self.root / root, self.root)]
        for cut in range(len(parts), 0, -1):
            module, rest = self.module(".".join(parts[:cut])), parts[cut:]
            if module and not rest:
                return module.name, ()
            for name in (".".join(rest) if "<locals>" in rest[-2:-1] else "", *rest[:1]):
                if module and name and (module.nodes(name) or name in module.imports):
                    return module.name, (name,)
        raise InputError(f"no code '{root}'", self.root, "Name a module, definition or notebook")

    def module(self, name: str) -> _Module | None:
        """The module of that name, or the notebook at that path, if there is one."""
        if name not in self.modules:
            place = self.root / name.replace(".", "/")
            files = (place / "__init__.py", place.with_name(f"{place.name}.py"), self.root / name)
            file = next((file for file in files if file.is_file()), None)
            state = file and file.stat()
            self.modules[name] = file and _module(name, file, state.st_mtime_ns, state.st_size)
        return self.modules[name]

    def follow(self, name: str, names: tuple[str, ...]) -> Iterator[Reference]:
        """Where ``module.name.name`` leads; a definition at its head is entered as found."""
        parts = [name] if "/" in name else name.split(".")  # a notebook is in no package
        module, around = self.module(name), accumulate(parts, "{}.{}".format)
        yield from ((each, ("",)) for each in around if self.module(each))
        if module and names:
            yield from self._follow_in(module, *names)
        elif module:
            handed_on = module.imports if module.is_package else ()
            yield from ((name, (each,)) for each in (*module.definitions, *handed_on))
        elif names:  # a folder without code of its own
            yield f"{name}.{names[0]}", names[1:]

    def _follow_in(self, module: _Module, first: str, *rest: str) -> Iterator[Reference]:
        imported = module.imports.get(first, set()) - {(module.name, (first,))}
        yield from ((name, (*names, *rest)) for name, names in imported)
        if module.nodes(first):
            self.found[module.name, first], strings, references = _content(module, first)
            self.found |= self._data_files(module, strings)
            yield from references
        elif first and not imported:  # a submodule; of what cannot be resolved, the whole module
            inner = f"{module.name}.{first}"
            known = self.module(inner) or (self.root / inner.replace(".", "/")).is_dir()
            yield (inner, rest) if known else (module.name, ())

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """Data files of the packages, by each end of their paths."""
        found = defaultdict(list)
        for file in (file for package in PACKAGES for file in (self.root / package).rglob("*.*")):
            if file.suffix not in (".py", ".pyc", ".ipynb") and file.is_file():
                parts = file.relative_to(self.root).parts
                for start in range(len(parts)):
                    found["/".join(parts[start:])].append(file)
        return found

    def _data_files(self, module: _Module, strings: set[str]) -> dict[tuple[str, str], str]:
        found = {}
        for files in (self.files[text] for text in strings & self.files.keys()):
            near = {file: len(os.path.commonpath([module.file, file])) for file in files}
            for file in (file for file in near if near[file] == max(near.values())):
                name = file.relative_to(self.root).as_posix()
                found[module.name, name] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found


class _Module:
    """The definitions and imports of one file; "" names its other statements and star imports."""

    def __init__(self, name: str, file: Path):
        self.name, self.file, self.is_package = name, file, file.name == "__init__.py"
        self.definitions, self.imports = defaultdict(list), defaultdict(set)
        source = _source(file)
        self.endings = set(re.findall(r"\}(\.\w+)[\"']", source))
        for statement in _without_prose(ast.parse(source, str(file))).body:
            self._add(statement)

    def _add(self, statement: ast.stmt) -> None:
        if isinstance(statement, DEFINED):
            self.definitions[statement.name].append(statement)
            return
        for name, targets in self.imported(statement).items():
            self.imports[name] |= targets
        parts = [node for node in _walk(statement) if isinstance(node, ast.stmt)]
        if not all(isinstance(node, IMPORTING) for node in parts):
            names = _bound(statement)
            for name in names if names and isinstance(statement, ASSIGNED) else {*names, ""}:
                self.definitions[name].append(statement)

    def nodes(self, name: str) -> list[ast.AST]:
        """What defines `name`; "f.<locals>.g" is a function in a function."""
        first, *inner = name.replace(".<locals>", "").split(".")
        found = self.definitions.get(first, [])
        for part in inner:
            found = [n for node in found for n in _walk(node)[1:] if part in _defined(n)]
        return found

    def imported(self, node: ast.AST) -> dict[str, set[Reference]]:
        """Names that the imports in `node` give, to what they stand for in the packages."""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        found = defaultdict(set)
        for name, module, names in _imports(node, package):
            if module.partition(".")[0] in PACKAGES:
                found[name].add((module, names))
        return found

    def references(self, name: str) -> Iterator[Reference]:
        """What the definition of `name` refers to."""
        for node in self.nodes(name):
            own, free = self.imported(node), _free_names(node)
            for head, *rest in _chains(node):
                around = self._around(name, head) if head in free else set()
                for module, names in own.get(head, set()) | around:
                    yield module, (*names, *rest)

    def _around(self, name: str, used: str) -> set[Reference]:
        """What a name that `name` uses stands for in the functions around it, or in the module."""
        while "<locals>" in name:
            name = name.rpartition(".<locals>.")[0]
            found = {r for node in self.nodes(name) for r in self.imported(node).get(used, ())}
            if self.nodes(f"{name}.<locals>.{used}"):
                found.add((self.name, (f"{name}.<locals>.{used}",)))
            if found:
                return found
        is_known = used in self.definitions or used in self.imports
        return {(self.name, (used,))} if is_known else set()


_kept_tree = cache(_Tree)  # as the digests that are kept
# a file is parsed again where it changed; the nodes of a parsed file never change
_module = cache(lambda name, file, changed, size: _Module(name, file))
_walk = cache(lambda node: list(ast.walk(node)))
_unparse = cache(ast.unparse)


@cache
def _content(module: _Module, name: str) -> tuple[str, set[str], set[Reference]]:
    """Source of a definition, its strings as names of files, and what it refers to."""
    nodes = module.nodes(name)
    values = {getattr(part, "value", None) for node in nodes for part in _walk(node)}
    strings = {value for value in values if isinstance(value, str)}
    strings |= {text + ending for text in strings for ending in module.endings}
    return "\n".join(map(_unparse, nodes)), strings, {*module.references(name)}


def _source(file: Path) -> str:
    """The text of a module; of a notebook the code cells, without injected parameters."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".ipynb":
        return text
    cells = [source for source, tags in code_cells(text) if "injected-parameters" not in tags]
    lines = "\n".join(cells).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("%", "!")))  # IPython's own


def _without_prose(node: ast.AST) -> ast.AST:
    """The node without docstrings, `pass`, code for type checkers and a function's annotations."""
    for field in BLOCKS:
        if isinstance(block := getattr(node, field, None), list) and block:
            counted = [each for statement in block for each in _counted(statement)]
            setattr(node, field, list(map(_without_prose, counted)) or [ast.Pass()])
    if isinstance(node, FUNCTIONS):
        node.returns = None
        for argument in ast.walk(node.args):
            argument.annotation = None
    return node


def _counted(statement: ast.AST) -> list[ast.AST]:
    test = ast.unparse(statement.test) if isinstance(statement, ast.If) else ""
    if test in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return statement.orelse
    value = statement.value if isinstance(statement, ast.Expr) else None
    is_prose = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return [] if is_prose or isinstance(statement, ast.Pass) else [statement]


def _imports(node: ast.AST, package: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Each import's name here ("" of a star import), its module, and its name there."""
    for each in _walk(node):
        if isinstance(each, ast.Import):
            for alias in each.names:
                module = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or module, module, ()
        elif isinstance(each, ast.ImportFrom):
            module = resolve_name("." * each.level + (each.module or ""), package)
            for alias in each.names:
                is_star = alias.name == "*"
                name = "" if is_star else alias.asname or alias.name
                yield name, module, () if is_star else (alias.name,)


def _bound(statement: ast.AST) -> set[str]:
    """Names that a top-level statement assigns or defines."""
    names = [node for node in _walk(statement) if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return stored | {node.name for node in _walk(statement) if isinstance(node, DEFINED)}


def _defined(node: ast.AST) -> set[str]:
    """The name of a function, class or assigned lambda; nothing for other nodes."""
    is_lambda = isinstance(getattr(node, "value", None), ast.Lambda)
    return {node.name} if isinstance(node, DEFINED) else _bound(node) if is_lambda else set()


def _free_names(node: ast.AST) -> set[str]:
    """Names that a definition takes from around it: those global to it taken alone."""
    top = symtable(_unparse(node).replace("nonlocal ", "global "), "", "exec")
    tables, names = [top], set(top.get_identifiers())
    for table in tables:  # grows on the way
        tables += table.get_children()
        names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return names


def _chains(node: ast.AST) -> set[tuple[str, ...]]:
    """("a", "b", "c") of each a.b.c in the code of a definition."""
    parts = {id(each.value) for each in _walk(node) if isinstance(each, ast.Attribute)}
    return {_chain(each) for each in _walk(node) if id(each) not in parts} - {()}


def _chain(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Attribute):
        base = _chain(node.value)
        return base and (*base, node.attr)
    return (node.id,) if isinstance(node, ast.Name) else ()
