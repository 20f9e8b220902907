"""JupyterLab works on copies: the notebooks stay as they are, and so does what a user edited."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output
from toy_project import ROOT, make_project, write_notebook

from study import desk

GIT = shutil.which("git") and (ROOT / ".git").exists()


@pytest.fixture
def project(own_root):
    write_notebook(make_project(own_root), "04", "1 + 1")
    return own_root


def test_a_copy_is_refreshed_until_it_is_edited(project, capsys):
    """Outputs alone are no edit: they stay while the notebook does, and go when it changes."""
    copy = desk.lay_out() / "04_toy.ipynb"
    ran = nbformat.read(copy, as_version=4)
    ran.cells[-1].outputs = [new_output("stream", text="a private picture")]
    nbformat.write(ran, copy)
    desk.lay_out()
    assert "private" in copy.read_text()
    own = write_notebook(project, "04", "1 + 2")
    desk.lay_out()
    assert copy.read_bytes() == own.read_bytes()

    edited = nbformat.read(copy, as_version=4)
    edited.cells.append(new_code_cell("mine = 1"))
    nbformat.write(edited, copy)
    desk.lay_out()
    assert capsys.readouterr().out == ""
    write_notebook(project, "04", "1 + 3")
    for _ in range(2):
        desk.lay_out()
        assert "mine = 1" in copy.read_text()
        assert "lab/04_toy.ipynb has your changes and stays" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": [1]}'])
def test_what_is_no_notebook_is_not_overwritten(project, text):
    copy = desk.lay_out() / "04_toy.ipynb"
    copy.write_text(text)
    (copy.parent / desk.BASE).unlink()
    desk.lay_out()
    assert copy.read_text() == text


@pytest.mark.parametrize("user, options", [(0, ["--allow-root"]), (1000, [])])
def test_the_server_opens_the_copies_in_this_python(project, monkeypatch, user, options):
    started = []
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "execve", lambda *words: started.append(words))
    desk.open_lab_server(["--no-browser"])
    ((program, words, variables),) = started
    assert program == sys.executable
    assert words[1:] == ["-m", "jupyterlab", str(project / "lab"), *options, "--no-browser"]
    assert variables["JUPYTER_PATH"].startswith(sys.prefix)


@pytest.mark.skipif(not GIT, reason="no git, or no working tree")
def test_git_takes_no_private_picture_and_every_result():
    def ignored(*names: str) -> list[str]:
        words = ["git", "-C", str(ROOT), "check-ignore", "--no-index", *names]
        return subprocess.run(words, capture_output=True, text=True).stdout.split()

    private = ["figures/mine/figure_1.png", "figures/nyu/figure_1.png", "lab/04_floc.ipynb"]
    assert ignored(*private) == private
    kept = subprocess.run(["git", "-C", str(ROOT), "ls-files", "figures"], capture_output=True)
    assert ignored(*kept.stdout.decode().split()) == []
