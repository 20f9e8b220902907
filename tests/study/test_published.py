"""The page of an executed notebook: what is read stays, what is run goes."""

import base64
import io
import re

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes
from PIL import Image
from toy_project import make_project, write_notebook

from lesionlib.files import read_json
from study import runner, settings
from study.marks import withdraw
from study.published import write_page

HEADER = """# 15 · Toy

[previous](13_results.ipynb) · [contents](00_start_here.ipynb)

**Question**: Who?

**Time**: long."""
CLOSING = "## What to take away\n\n- See [12](12_which_information.ipynb).\n\n## Try it\n\n1. This."


DRAWN = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def picture() -> str:
    out = io.BytesIO()
    Image.fromarray(DRAWN).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def code(source, *tags, **data):
    outputs = [new_output("display_data", {kind.replace("_", "/"): x}, metadata={"image/png": {"alt": "a dot"}})
               for kind, x in data.items()]  # fmt: skip
    return new_code_cell(source, outputs=outputs, metadata={"tags": list(tags)})


@pytest.fixture
def page(tmp_path):
    cells = [
        new_markdown_cell(HEADER), code("experiment = 'x'", "injected-parameters"),
        code("secret = 1", image_png=picture(), text_markdown="said **here**"),
        code("assert secret", "check", text_plain="checked"), new_markdown_cell(CLOSING),
        new_markdown_cell("**Solution 1.** Show the code."),
        code("answer_1 = 3", "solution", text_plain="three"), new_markdown_cell("## Provenance"),
    ]  # fmt: skip
    file = tmp_path / "15_toy.ipynb"
    file.write_text(writes(new_notebook(cells=cells)))
    chosen = settings.load_experiment("mini_mias")
    place = tmp_path / "figures" / "mini_mias" / "15_toy.html"
    write_page(file, place, chosen)
    first = place.read_bytes()
    write_page(file, place, chosen)
    assert place.read_bytes() == first
    return first.decode()


def test_a_page_has_text_and_pictures_and_no_code(page):
    assert "said <strong>here</strong>" in page and "Who?" in page and "Provenance" in page
    shown = re.search('src="data:image/webp;base64,([^"]+)"', page)[1]
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(shown)))) == DRAWN).all()
    assert 'alt="a dot"' in page
    for gone in (
        "secret",
        "checked",
        "answer_1",
        "three",
        "Solution",
        "Try it",
        "long.",
    ):
        assert gone not in page, gone


def test_a_page_needs_no_network_and_its_links_lead_to_files(page, tmp_path):
    assert not re.search(r"<(script|link)\b|(src|href)=\"(https?:)?//", page)
    links = re.findall(r'href="([^"]+)"', page)
    pages = [link for link in links if link.endswith(".html")]
    assert pages == ["13_results.html", "00_start_here.html", "12_which_information.html"]
    assert len(links) == 5
    for link in set(links).difference(pages):
        target = (tmp_path / "figures" / "mini_mias" / link).resolve()
        known = target.is_relative_to(settings.project_root())
        assert known and (target.is_file() or target.name == "15_toy.ipynb"), link


@pytest.fixture
def project(own_root, monkeypatch):
    monkeypatch.delenv("LESIONLIB_DATA", raising=False)
    monkeypatch.chdir(own_root)
    return make_project(own_root)


def test_the_run_of_a_real_set_writes_its_page_and_vouches_for_it(project):
    for number in ("14", "15"):
        write_notebook(project, number, "print('found')")
        for experiment in ("toy", "real"):
            runner.run_notebook(number, experiment)
    pages = [path.relative_to(project).as_posix() for path in project.rglob("*.html")]
    assert sorted(pages) == ["figures/real/14_toy.html", "figures/real/15_toy.html"]
    page = project / "figures/real/15_toy.html"
    assert "found" in page.read_text()
    assert read_json(project / "runs" / "real" / "written" / "15.json") == [page.name]
    page.write_text("")
    assert [
        line for line in withdraw(project / "runs" / "real") if line.startswith("job 15 is made")
    ]


def test_other_parameters_write_no_page(project):
    write_notebook(project, "15", "1")
    runner.run_notebook("15", "real", {"run": "1"})
    assert not list(project.rglob("*.html"))
