"""Every sentence that claims something stands in claiming_sentences.csv, next to what it rests on.

``rests_on`` is an expression over the stored results, and has to be true, or says in words why there
is nothing to compute: it opens with one of WORDS.  A sentence is found by a fragment of it, as it
stands in the text or, whatever its numbers, in a stored output.

What is noticed when it is new: a point to take away, and a decimal fraction written by hand into the
text.  Sentences of outputs that choose their words by a number are not listed: they cannot contradict
it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import nbformat
import notebook_contract as contract
import pandas as pd
import pytest

from study import paper
from study.settings import load_experiment

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "figures"
ROWS = pd.read_csv(Path(__file__).with_suffix("").parent / "claiming_sentences.csv", dtype=str)
WORDS = ("by construction", "by definition", "mathematics", "paper", "GMIC", "advice", "history")
WORDS += ("expectation",)
NUMBER = r"([-+]?\d[\d,]*\.?\d*)"
DECIMAL = re.compile(r"(?<![\d.\w:/])[-+±]?0?\.\d{2,}\b")


def plain(text: str) -> str:
    return " ".join(text.split())


def without_numbers(text: str) -> str:
    """An output's numbers are of one run; its words stay."""
    return re.sub(r"[-+]?\d[\d,.]*\d|[-+]?\d", "#", text)


@cache
def read(notebook: str) -> tuple[str, str]:
    """Text and outputs of a notebook, by its number; of the README the text."""
    if notebook == "README":
        return plain((ROOT / "README.md").read_text(encoding="utf-8")), ""
    (path,) = (ROOT / "notebooks").glob(f"{notebook}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    outputs = [contract.output_text(o) for c in cells for o in c.get("outputs", [])]
    texts = [c.source for c in cells if c.cell_type == "markdown"]
    return plain("\n".join(texts)), plain("\n".join(outputs))


# ------------------------------------------------------------------ what an expression may name
@cache
def stored(file: str) -> dict:
    return json.loads((FIGURES / file).read_text(encoding="utf-8"))


@cache
def settings():
    return load_experiment("demo")


@cache
def frame(file: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / file)


def names(notebook: str) -> dict:
    """The names of an expression; numbers that no file holds are read from outputs by `said`."""
    demo, pooled = stored("demo/results.json"), stored("evidence/evidence.json")["pooled"]

    def said(template: str, where: str = notebook) -> list[float]:
        """Numbers of an output, at the {} of the text that stands around them."""
        pattern = re.escape(template).replace(r"\{\}", NUMBER)
        found = re.search(pattern, read(where)[1])
        assert found, f"no output of {where} says: {template}"
        return [float(x.replace(",", "")) for x in found.groups()]

    return {
        "demo": demo,  # figures/demo/results.json
        "mias": stored("mini_mias/results.json"),
        "record": demo["records"].__getitem__,
        "model": demo["models"].__getitem__,
        "gain": demo["gains"].__getitem__,
        "five": lambda key: pooled[f"evidence.{key}"],  # pooled over the protocol's phantoms
        "control": lambda key: pooled[f"control.{key}"],  # over its controls
        "printed": paper.printed(),  # the paper's numbers
        "settings": settings(),
        "table": lambda name: frame(f"figures/demo/{name}.csv"),
        "csv": frame,
        "said": said,
    }


# ------------------------------------------------------------------ the list
IDS = [f"{r.notebook}: {r.sentence[:50]}" for r in ROWS.itertuples()]


@pytest.mark.parametrize("row", ROWS.to_dict("records"), ids=IDS)
def test_a_sentence_stands_and_its_number_bears_it_out(row):
    text, outputs = read(row["notebook"])
    fragment = plain(row["sentence"])
    alike = without_numbers(fragment) in without_numbers(outputs)
    assert fragment in text or fragment in outputs or alike, (
        "the sentence is gone: mend or drop the row"
    )
    if not row["rests_on"].startswith(WORDS):
        borne_out = bool(eval(row["rests_on"], names(row["notebook"])))
        assert borne_out, row["rests_on"]


def test_no_sentence_is_listed_twice():
    assert not ROWS.duplicated(["notebook", "sentence"]).any()


@pytest.mark.parametrize("notebook", [f"{n:02d}" for n in range(16)])
def test_a_new_claim_is_noticed(notebook):
    (path,) = (ROOT / "notebooks").glob(f"{notebook}_*.ipynb")
    listed = [plain(x) for x in ROWS.loc[ROWS["notebook"] == notebook, "sentence"]]
    new = [x for x in claims(nbformat.read(path, as_version=4)) if not held(x, listed)]
    assert not new, f"to be listed in claiming_sentences.csv: {new}"


def claims(notebook) -> list[str]:
    """Points to take away, and sentences before them with a decimal fraction."""
    points = re.findall(r"^- (.*)$", contract.section(notebook, "What to take away"), re.MULTILINE)
    prose = "\n".join(cell.source for cell in contract.text(notebook)[1:])
    prose = re.sub(r"```.*?```", "", prose.partition("## What to take away")[0], flags=re.DOTALL)
    lines = [x for x in prose.splitlines() if not x.startswith(("|", "#"))]
    sentences = [s for line in lines for s in re.split(r"(?<=[.!?]) +(?=[A-Z*\"(])", line)]
    return [plain(x) for x in [*points, *(s for s in sentences if DECIMAL.search(s))]]


def held(sentence: str, listed: list[str]) -> bool:
    return any(x in sentence or sentence in x for x in listed)


def test_the_guard_can_fail():
    cells = ["# 00", "By hand. E+S has .785 here.", "## What to take away\n\n- Context helps."]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(c) for c in cells])
    assert claims(notebook) == ["Context helps.", "E+S has .785 here."]
    assert not held("Context helps.", ["E+S has .785"]) and held("E+S has .785 here.", ["has .785"])
