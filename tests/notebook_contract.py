"""The contract of a notebook as rules: each takes a notebook and yields what is wrong with it.

A rule knows the path (for its number and its links) and the content, and nothing else, so that it
can be shown to fail on a notebook made for it (see test_notebooks.py).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from nbformat import NotebookNode
from papermill.translators import PythonTranslator

from study.commands.readers import SHOW, answers, hint
from study.refresh import opens

MOST_LINES, MEDIAN_LINES, MOST_COLUMNS, FUNCTION_LINES = 15, 6, 88, 10
MOST_WORDS, MOST_CODE_CELLS = 120, 3
MOST_PARAMETERS = 6
HEADER_FIELDS = ("Question", "Paper", "Reads / writes", "Time")
FORBIDDEN = re.compile(
    r"^\s*[!%]|\bpip\b|\bsys\.path\b|\bsubprocess\b|\bos\.system\b", re.MULTILINE
)
TRAINING = {"backward", "zero_grad", "step"}
ABSOLUTE = re.compile(
    r"(?<![\w.:/-])(/(?:home|root|Users|tmp|work|usr|opt|mnt|var)/\S*|[A-Z]:\\\w+)"
)
LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
SKIP = re.compile(r"^\s*#\s*NBVAL_SKIP\b(.*)$", re.MULTILINE)
DATED_REASON = re.compile(r":\s*\S.*\(\d{4}-\d\d-\d\d\)")
CHECKED = "# NBVAL_CHECK_OUTPUT"

Complaints = Iterator[str]


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def text(notebook: NotebookNode) -> list[NotebookNode]:
    return [c for c in notebook.cells if c.cell_type == "markdown"]


def tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def start(cell: NotebookNode) -> str:
    """The first words of a cell, to find it by."""
    return repr(" ".join(cell.source.split())[:40])


def parsed(cell: NotebookNode) -> ast.Module:
    try:
        return ast.parse(cell.source)
    except SyntaxError:
        return ast.Module([], [])


def headings(notebook: NotebookNode) -> list[str]:
    found = [re.findall(r"^## +(.*)$", c.source, re.MULTILINE) for c in text(notebook)]
    return [heading.strip() for part in found for heading in part]


def section(notebook: NotebookNode, title: str) -> str:
    """The text under a heading of the second level, up to the next one."""
    whole = "\n\n".join(c.source for c in text(notebook))
    found = re.search(
        rf"^## +{re.escape(title)} *$(.*?)(?=^## |\Z)", whole, re.MULTILINE | re.DOTALL
    )
    return found.group(1) if found else ""


# ------------------------------------------------------------------ header, parameters, setup
def header(path: Path, notebook: NotebookNode) -> Complaints:
    """Title with the file's number, navigation, four fields, a measured time, two to four goals."""
    first = notebook.cells[0]
    if not re.match(rf"# {path.name[:2]} · \S", first.source):
        yield f"does not open with '# {path.name[:2]} · Title'"
    if "[contents](00_start_here.ipynb)" not in first.source:
        yield "has no link to the contents"
    for field in HEADER_FIELDS:
        if not re.search(rf"^\**{field}\**:?\**:? *\S", first.source, re.MULTILINE):
            yield f"header has no field {field}"
    if re.search(r"^\**Time.*\?", first.source, re.MULTILINE):
        yield "the time is not measured"
    goals = len(re.findall(r"^- ", first.source, re.MULTILINE))
    if not 2 <= goals <= 4:
        yield f"{goals} goals, two to four are wanted"


def parameters(path: Path, notebook: NotebookNode) -> Complaints:
    """The first code cell: tagged, at most six lines `name: type = literal  # help`."""
    cell = code(notebook)[0]
    if not tagged(cell, "parameters"):
        yield "the first code cell is not tagged parameters"
    if sum(tagged(c, "parameters") for c in notebook.cells) > 1:
        yield "two cells are tagged parameters"
    lines = cell.source.strip().splitlines()
    if not 1 <= len(lines) <= MOST_PARAMETERS:
        yield f"{len(lines)} lines of parameters, at most {MOST_PARAMETERS}"
    read = PythonTranslator.inspect(cell)
    if len(read) != len(lines):
        yield "papermill does not read one parameter per line"
    for line, found in zip(lines, read, strict=False):
        try:
            (node,) = ast.parse(line).body
            same = ast.literal_eval(node.value) == ast.literal_eval(found.default)
        except (SyntaxError, ValueError, AttributeError):
            same = False
        if not same:
            yield f"not a parameter that papermill reads, name: type = literal: {line}"
        elif not isinstance(node, ast.AnnAssign) or not found.help:
            yield f"parameter {found.name} has no type or no help"


def setup(path: Path, notebook: NotebookNode) -> Complaints:
    """The second code cell: all imports, and the lab of this notebook's number."""
    second = code(notebook)[1]
    if f'open_lab(experiment, "{path.name[:2]}")' not in second.source:
        yield f'the second code cell does not call open_lab(experiment, "{path.name[:2]}")'
    for cell in code(notebook):
        imports = [n for n in ast.walk(parsed(cell)) if isinstance(n, ast.Import | ast.ImportFrom)]
        if imports and cell is not second:
            yield f"an import outside the setup cell, in {start(cell)}"


def kernel(path: Path, notebook: NotebookNode) -> Complaints:
    """The kernel is called python3, whatever the author's machine calls its own."""
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    if "papermill" in notebook.metadata:
        yield "metadata of a papermill run"


# ------------------------------------------------------------------ code
def parses(path: Path, notebook: NotebookNode) -> Complaints:
    """Every code cell is Python."""
    for cell in code(notebook):
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            yield f"a cell does not parse, line {error.lineno} of {start(cell)}"


def lengths(path: Path, notebook: NotebookNode) -> Complaints:
    """Cells are short: one idea each, and no sideways scrolling."""
    sizes = [len(c.source.strip().splitlines()) for c in code(notebook)]
    if median(sizes) > MEDIAN_LINES:
        yield f"cells have {median(sizes):g} lines in the median, at most {MEDIAN_LINES}"
    for cell, size in zip(code(notebook), sizes, strict=True):
        if size > MOST_LINES:
            yield f"{size} lines, at most {MOST_LINES}, in {start(cell)}"
        columns = max(map(len, cell.source.splitlines()))
        if columns > MOST_COLUMNS:
            yield f"{columns} columns, at most {MOST_COLUMNS}, in {start(cell)}"


def thin(path: Path, notebook: NotebookNode) -> Complaints:
    """No class, no long function, no training loop, nothing of the shell."""
    for cell in code(notebook):
        for node in ast.walk(parsed(cell)):
            if isinstance(node, ast.ClassDef):
                yield f"a class: {node.name}"
            if isinstance(node, ast.FunctionDef):
                size = node.end_lineno - node.lineno + 1
                if size > FUNCTION_LINES:
                    yield f"function {node.name} has {size} lines, at most {FUNCTION_LINES}"
            if isinstance(node, ast.For | ast.While):
                called = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
                if called & TRAINING:
                    yield f"a training loop in {start(cell)}"
        if FORBIDDEN.search(cell.source):
            yield f"shell, pip or sys.path in {start(cell)}"


def checks(path: Path, notebook: NotebookNode) -> Complaints:
    """Two to six cells that assert, each with a message."""
    found = [c for c in code(notebook) if tagged(c, "check")]
    if not 2 <= len(found) <= 6:
        yield f"{len(found)} check cells, two to six are wanted"
    for cell in found:
        asserts = [n for n in ast.walk(parsed(cell)) if isinstance(n, ast.Assert)]
        if not asserts:
            yield f"a check cell asserts nothing: {start(cell)}"
        if any(node.msg is None for node in asserts):
            yield f"an assert without a message in {start(cell)}"


def folding(path: Path, notebook: NotebookNode) -> Complaints:
    """The code of cells that are tagged so is folded, and no other."""
    for cell in notebook.cells:
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        if hidden != bool(opens(cell)):
            yield f"{'folded' if hidden else 'not folded'}: {start(cell)}; run study refresh"


def solutions(path: Path, notebook: NotebookNode) -> Complaints:
    """Each opens under a line, with a hint; a cell after it grades the answers that it names."""
    cells = [None, *notebook.cells, None]
    for over, cell, after in zip(cells, cells[1:-1], cells[2:], strict=False):
        if tagged(cell, "grade") and not (over and tagged(over, "solution")):
            yield f"it grades no solution: {start(cell)}"
        if not tagged(cell, "solution"):
            continue
        named = set(answers(cell.source))
        if not SHOW.search(over.source if over and over.cell_type == "markdown" else ""):
            yield f"no line '**Solution 1.** Show ...' over {start(cell)}"
        if not hint(cell.source):
            yield f"a solution without a hint: {start(cell)}"
        if not named:
            yield f"a solution without answer_1 = ...: {start(cell)}"
        if after is None or not tagged(after, "grade"):
            yield f"no cell tagged grade after {start(cell)}"
            continue
        yield from _grading(after, named, _names(cell, ast.Store) - named)


def _grading(cell: NotebookNode, named: set[str], hidden: set[str]) -> Complaints:
    asserts = [node for node in ast.walk(parsed(cell)) if isinstance(node, ast.Assert)]
    if not asserts or any(node.msg is None for node in asserts):
        yield f"no assert, or one without a message, in {start(cell)}"
    if lacking := named - _names(cell, ast.Load):
        yield f"{', '.join(sorted(lacking))} is not graded in {start(cell)}"
    if lent := (_names(cell, ast.Load) - _names(cell, ast.Store)) & hidden:
        yield f"{', '.join(sorted(lent))} is of the solution alone, in {start(cell)}"


def _names(cell: NotebookNode, context: type) -> set[str]:
    nodes = ast.walk(parsed(cell))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, context)}


# ------------------------------------------------------------------ text
def pace(path: Path, notebook: NotebookNode) -> Complaints:
    """After three cells of code at most comes a sentence."""
    row = []
    for cell in [*notebook.cells, NotebookNode(cell_type="markdown", source="end")]:
        if cell.cell_type == "code":
            row.append(cell)
            continue
        if len(row) > MOST_CODE_CELLS:
            yield f"{len(row)} cells of code in a row, at most {MOST_CODE_CELLS}: {start(row[0])}"
        row = []


def closing(path: Path, notebook: NotebookNode) -> Complaints:
    """Take away, try it, provenance, in this order, each with what it needs."""
    last = ["What to take away", "Try it", "Provenance"]
    if headings(notebook)[-3:] != last:
        yield f"does not end with the sections {', '.join(last)}"
    points = len(re.findall(r"^- ", section(notebook, last[0]), re.MULTILINE))
    if not 3 <= points <= 5:
        yield f"{points} points to take away, three to five are wanted"
    tasks = len(re.findall(r"^\d\. ", section(notebook, last[1]), re.MULTILINE))
    if not 2 <= tasks <= 3:
        yield f"{tasks} exercises, two or three are wanted"
    if not any(tagged(c, "solution") for c in code(notebook)):
        yield "no cell is tagged solution"
    if notebook.cells[-1].source.strip() != "lab.provenance()":
        yield "the last cell is not lab.provenance()"


def brevity(path: Path, notebook: NotebookNode) -> Complaints:
    """A text cell says why in at most 120 words; tables, lists and code are not counted."""
    for cell in text(notebook)[1:]:
        prose = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
        lines = [x for x in prose.splitlines() if not re.match(r"\s*(\||#|[-*] |\d+\. )", x)]
        words = sum(len(line.split()) for line in lines)
        if words > MOST_WORDS:
            yield f"{words} words, at most {MOST_WORDS}, in {start(cell)}"


def links(path: Path, notebook: NotebookNode) -> Complaints:
    """Links lead somewhere; those to the network are at least encrypted."""
    for cell in text(notebook):
        for words, target in LINK.findall(cell.source):
            if target.startswith("http://"):
                yield f"an unencrypted link: {target}"
            local = target.partition("#")[0]
            if "://" not in target and local and not (path.parent / local).exists():
                yield f"a dead link: [{words}]({target})"


def no_machine(path: Path, notebook: NotebookNode) -> Complaints:
    """Nothing tells of the machine on which it was written or run."""
    for cell in notebook.cells:
        for part in [cell.source, *map(output_text, cell.get("outputs", []))]:
            for found in ABSOLUTE.findall(part):
                yield f"an absolute path: {found[:40]} in {start(cell)}"


# ------------------------------------------------------------------ outputs
def output_text(output: NotebookNode) -> str:
    """What an output shows as text."""
    data = output.get("data", {})
    shown = [value for kind, value in data.items() if kind.startswith("text/")]
    return "\n".join(map(str, [output.get("text", ""), *shown]))


def executed(path: Path, notebook: NotebookNode) -> Complaints:
    """Run once from the top, without an error and without a warning."""
    counts = [c.execution_count for c in code(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"not one run from the top: counts {counts[:6]}"
    for cell in code(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"an error in {start(cell)}"
            if output.get("name") == "stderr":
                yield f"something on stderr in {start(cell)}"


def alt_text(path: Path, notebook: NotebookNode) -> Complaints:
    """Every picture has words for those who cannot see it."""
    for cell in text(notebook):
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", cell.source):
            if not words.strip():
                yield f"a picture without alt text: {target}"
    for cell in code(notebook):
        for output in cell.outputs:
            pictures = [k for k in output.get("data", {}) if k.startswith("image/")]
            shown = output.get("metadata", {})
            if pictures and not any(shown.get(k, {}).get("alt", "").strip() for k in pictures):
                yield f"a figure without alt text in {start(cell)}"
            for tag in re.findall(r"<img\b[^>]*>", output_text(output)):
                if not re.search(r"alt=[\"'][^\"']+", tag):
                    yield f"an <img> without alt text in {start(cell)}"


def captions(path: Path, notebook: NotebookNode) -> Complaints:
    """Under every figure stands what it shows, of how many lesions and patients, or of none."""
    for cell in code(notebook):
        for call in (n for n in ast.walk(parsed(cell)) if isinstance(n, ast.Call)):
            shows = ast.unparse(call.func) in ("lab.show", "lab.figure")
            given = {k.arg for k in call.keywords}
            if shows and None not in given and not {"caption", "of"} <= given:
                yield f"a figure without a caption, or of what, in {start(cell)}"
        for said in (str(o.get("data", {}).get("text/markdown", "")) for o in cell.outputs):
            for what in ("lesion", "patient") if said.startswith("**Figure") else ():
                if not re.search(rf"\b(\d[\d,]*|no) {what}", said.partition("*Data set:")[2]):
                    yield f"a caption without the number of {what}s: {said[:60]}"


def regression(path: Path, notebook: NotebookNode) -> Complaints:
    """Three to eight cells whose output nbval compares, none passed over without a dated reason."""
    compared = [c for c in code(notebook) if c.source.lstrip().startswith(CHECKED)]
    if not 3 <= len(compared) <= 8:
        yield f"{len(compared)} cells with {CHECKED}, three to eight are wanted"
    for cell in compared:
        if cell.source.rstrip().endswith(";"):
            yield f"a compared cell hides its value: {start(cell)}"
        if any(k.startswith("image/") for o in cell.outputs for k in o.get("data", {})):
            yield f"a compared cell shows a picture: {start(cell)}"
    for cell in code(notebook):
        for reason in SKIP.findall(cell.source):
            if not DATED_REASON.match(reason):
                yield f"NBVAL_SKIP without ': reason (YYYY-MM-DD)' in {start(cell)}"
        if tagged(cell, "nbval-skip"):
            yield f"tag nbval-skip in place of a dated reason in {start(cell)}"


RULES = (
    header, parameters, setup, kernel, parses, lengths, thin, checks, folding, solutions, pace,
    closing, brevity, links, no_machine, executed, alt_text, captions, regression,
)  # fmt: skip
