"""A notebook as one page of HTML in which folded code opens with a click.

JupyterLab keeps in a cell's metadata that its code is folded; nbconvert alone shows such code in full.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import HTMLExporter

from study.parameters import known_parameters
from study.refresh import opens

TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{% block input_group %}
{%- if cell | opens -%}
<details class="folded"><summary style="font: 13px sans-serif; padding-left: 6em">Show {{ cell | opens }}</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{% endblock input_group %}
"""


def notebook_html(notebook: Path) -> str:
    """The page of a notebook: text, code, outputs.

    Parameters
    ----------
    notebook : its file.

    Raises
    ------
    InputError : where the file is missing or no notebook.
    """
    known_parameters(notebook)
    exporter = HTMLExporter(
        template_file="folded.html.j2",
        extra_loaders=[DictLoader({"folded.html.j2": TEMPLATE})],
        filters={"opens": opens},
    )
    content = nbformat.read(notebook, as_version=4)
    return exporter.from_notebook_node(content, {"metadata": {"name": Path(notebook).stem}})[0]
