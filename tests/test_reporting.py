"""REPORTING.md and docs/teaching.md name notebooks and sections that are there."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    page: (ROOT / page).read_text(encoding="utf-8") for page in ("REPORTING.md", "docs/teaching.md")
}
DEFINED = re.compile(r"^\[(\d\d)\]: (\S+)$", re.MULTILINE)
# a notebook, and the titles of its sections that follow it
NAMED = re.compile(r"\[(\d\d)\](?!:)((?:,? “[^”]+”(?:,| and)?)*)")


def notebooks(page: str) -> dict[str, Path]:
    return {number: (ROOT / page).parent / path for number, path in DEFINED.findall(PAGES[page])}


@pytest.mark.parametrize("page", PAGES)
def test_every_notebook_that_is_named_is_there(page):
    known = notebooks(page)
    assert {number for number, _ in NAMED.findall(PAGES[page])} == set(known)
    assert [number for number, path in known.items() if not path.is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_section_that_is_named_is_in_its_notebook(page):
    named = [
        (n, title)
        for n, rest in NAMED.findall(PAGES[page])
        for title in re.findall("“(.+?)”", rest)
    ]
    assert len(named) > 5
    lost = [(n, title) for n, title in named if title not in sections(notebooks(page)[n])]
    assert lost == []


def sections(path: Path) -> set[str]:
    cells = nbformat.read(path, as_version=4).cells if path.is_file() else []
    texts = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return set(re.findall(r"^## (?:\d+ )?(.+?) *$", texts, re.MULTILINE))


def test_every_item_of_tripod_ai_has_a_row():
    items = re.findall(r"^\| (\d+)[a-g]? ", PAGES["REPORTING.md"], re.MULTILINE)
    assert sorted({int(item) for item in items}) == list(range(1, 28)) and len(items) == 52


def test_the_quiz_has_ten_questions_with_folded_answers():
    quiz = PAGES["docs/teaching.md"].partition("## Quiz")[2]
    assert len(re.findall(r"^\*\*\d+\.\*\* ", quiz, re.MULTILINE)) == 10
    assert quiz.count("<details><summary>Answer</summary>") == quiz.count("</details>") == 10
