"""Running notebooks, stages and whole experiments: what is run, in which order, and how it fails.

User errors go through the real command line; each must end in one line, without a traceback.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import termios
from pathlib import Path

import nbformat
import pytest
from toy_project import NUMBERS, ROOT, SAY, call, make_project, variables, write_notebook

from lesionlib.errors import InputError
from lesionlib.files import read_json, write_json
from study import __main__ as command_line
from study import runner, settings, workflow
from study.desk import kernel_variables
from study.jobs import JobError
from study.lab import open_bench
from study.marks import withdraw
from study.steps.data import data_folder


@pytest.fixture
def project(own_root, monkeypatch):
    """A toy project that this process and its children take for theirs."""
    monkeypatch.setenv("LESIONLIB_DATA", "")  # a check sets it
    monkeypatch.delenv("LESIONLIB_WORKFLOW", raising=False)
    monkeypatch.chdir(own_root)
    return make_project(own_root)


# ------------------------------------------------------------------ user errors
USER_ERRORS = {
    "run toyy": "there is no experiment 'toyy'.*did you mean 'toy'",
    "run misspelt": "unknown setting 'floc.patiense'.*did you mean 'patience'",
    "run broken": "not valid YAML",
    "run a&b": "an experiment cannot be named 'a&b'",
    "run real": "no data folder was given.*make run EXPERIMENT=real DATA=<folder>",
    "run real --data nowhere": "data folder does not exist.*nowhere",
    "check real --data experiments/real.yaml": "a file, no folder.*real.yaml.*Unpack an archive",
    "run toy --data .": "draws its own data.*Leave DATA= out",
    "run toy --cores many": "argument --cores: 'many' is no whole number from 1 on",
    "run toy --cores 0": "argument --cores: '0' is no whole number from 1 on",
    "folds real --folds 0": "argument --folds: '0' is no whole number from 1 on",
    "run": "arguments are required: experiment",
    "rnu toy": "unknown command 'rnu'.*did you mean 'run'",
    "notebook 44 --experiment toy": "0 notebooks are numbered 44",
    "notebook none.ipynb": "there is no such notebook",
    "notebook 00 -p rnu 3": "unknown parameter 'rnu'.*did you mean 'run'",
    "notebook 00 -p run many": "run is 'many'.*Give a valid integer",
    "stage flock --experiment toy": "unknown stage 'flock'.*did you mean 'floc'",
    "stage data_folder --experiment toy": "unknown stage 'data_folder'.*known: architectures",
    "stage load_fagg --experiment toy": "unknown stage 'load_fagg'.*did you mean 'fagg'",
    "stage search --experiment toy --network gmic": "no search for 'gmic'.*Name one of floc, fagg",
    "stage floc --experiment toy --rnu 1": "unknown parameter 'rnu'.*did you mean 'run'",
    "stage fagg --experiment toy": "no combination was given.*Give it: --combination VALUE",
    "stage floc --experiment toy run": "cannot read 'run'",
    "check toy extra": "cannot read 'extra'",
    "data-check table --data . -p partial maybe": "option 'partial' of 'table' is 'maybe'.*true or",
    "data-check table --data . -p spacing [": "not valid YAML.*option spacing, line 1",
}
# what an experiment needs and this machine lacks; check and run find it alike
LACKING = {
    "gpu": "device 'cuda:99' is not on this machine .compute.device.",
    "lost_maps": f"the file of fagg.saliency_file is missing .{Path.home()}/no such maps.npz",
    "lost_weights": "the file of gmic.weights_file is missing.*Correct its path",
    "others_weights": "the file of gmic.weights_file is missing.*makes it first: study run toy$",
    "lost_arm": "the file of architectures.arms.0.weights_file is missing",
    "unknown_set": "unknown data set 'tabel'.*did you mean 'table'",
    "unknown_option": "reader of 'cmmd' has no option 'acept'",
}
USER_ERRORS |= {f"{do} {name}": said for name, said in LACKING.items() for do in ("check", "run")}


@pytest.mark.parametrize("words", USER_ERRORS)
def test_a_user_error_is_one_line_with_its_remedy(project, capsys, words):
    write_notebook(project, "00")
    assert command_line.main(words.split()) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert re.match(f"error: .*{USER_ERRORS[words]}", said), said


def test_a_process_that_is_stopped_twice_says_one_line(project):
    """Traps: the second signal, which ends a workflow's jobs, reached them while they left; asyncio
    tells of a task that was cut off, as that of a notebook's cell."""
    lines = [
        "import asyncio, atexit, os, signal, sys",
        "from study import __main__ as command_line",
        # a process that was started in the background ignores the first signal
        "signal.signal(signal.SIGINT, signal.default_int_handler)",
        "strike = lambda number: os.kill(os.getpid(), number)",
        "atexit.register(strike, signal.SIGTERM)",
        "async def task():",
        "    1 / 0",
        "def carry_out(words):",
        "    loop = asyncio.new_event_loop()",
        "    cut_off = loop.create_task(task())",
        "    loop.run_until_complete(asyncio.sleep(0.1))",
        "    loop.close()",
        "    strike(signal.SIGINT)",
        "command_line.carry_out = carry_out",
        "sys.exit(command_line.guarded_main())",
    ]
    script = project / "stopped.py"
    script.write_text("\n".join(lines))
    done = call(project, "stopped")
    assert done.returncode == 130
    assert done.stderr == "stopped. The same command goes on from here\n"


WRITE = "import threading, time\nfrom study import __main__ as m\n"
WRITE += "m.carry_out = lambda words: {}\nm.sys.exit(m.guarded_main())"
IN_A_THREAD = "threading.Thread(target=print, args=['x'], kwargs=dict(flush=True)).start()"
HOW = {"print('x' * 99999)": 141, "print('x')": 141, f"[{IN_A_THREAD}, time.sleep(9)]": 130}
HOW |= {"m.parser().parse_args(['--help'])": 0, "m.carry_out_not_there": 1}


@pytest.mark.parametrize("work, code", HOW.items())
@pytest.mark.parametrize("also_errors", [False, True])
def test_a_closed_pipe_ends_a_command_without_a_traceback(project, work, code, also_errors):
    (project / "closed.py").write_text(WRITE.format(work))
    reads, writes = os.pipe()
    os.close(reads)
    errors = writes if also_errors else subprocess.PIPE
    words = [sys.executable, "closed.py"]
    done = subprocess.run(
        words, cwd=project, env=variables(project), stdout=writes, stderr=errors, timeout=60
    )
    os.close(writes)
    assert done.returncode == code
    if code != 1:  # what is no matter of the pipe is not hidden
        assert "Error" not in (done.stderr or b"").decode()


def test_a_closed_terminal_ends_a_command_without_a_traceback(project):
    (project / "closed.py").write_text(WRITE.format("[print(1, flush=True), time.sleep(50)]"))
    main, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "closed.py"], cwd=project, env=variables(project), stdin=terminal,
        stdout=terminal, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(terminal)
    os.read(main, 1)
    os.close(main)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, 141)
    assert said.decode() in ("", "stopped. The same command goes on from here\n")


def test_make_ends_with_the_line_and_a_failing_exit_code():
    if not (ROOT / ".venv" / ".ready").is_file():
        pytest.skip("the environment was not made by `make setup`")
    # -o: this is no test of the set-up
    words = ["make", "--no-print-directory", "-o", ".venv/.ready", "run", "EXPERIMENT=tyo"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "error: there is no experiment 'tyo'" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


# ------------------------------------------------------------------ one notebook
def test_a_notebook_is_run_echoed_and_marked(project, capsys):
    write_notebook(project, "04", SAY.format(number="04"), "run + 1")
    target = runner.run_notebook("4", "toy")
    said = capsys.readouterr().out
    assert "04 | epoch 1" in said and "04 | epoch 2" in said and "04 | done in" in said
    assert target == project / "runs" / "toy" / "notebooks" / "04_toy.ipynb"
    assert nbformat.read(target, as_version=4).cells[-1].outputs[0].data["text/plain"] == "1"
    mark = read_json(project / "runs" / "toy" / "done" / "04.json")
    assert (mark["experiment"], mark["job"]) == ("toy", "04")
    took = read_json(project / "runs" / "toy" / "jobs" / "04.json")
    assert took["seconds"] > 0 and took["cpu_seconds"] > 0 and 20 < took["peak_mb"] < 100_000


def test_a_notebook_takes_the_data_folder_and_remembers_it(project, tiny_table, capsys):
    cell = (
        "from study import steps\nfrom study.lab import open_lab\n"
        "print(steps.data_folder(open_lab(experiment, '04')))"
    )
    write_notebook(project, "04", cell)
    assert (
        command_line.main(["notebook", "04", "--experiment", "real", "--data", str(tiny_table)])
        == 0
    )
    ran = nbformat.read(project / "runs/real/notebooks/04_toy.ipynb", as_version=4)
    assert ran.cells[-1].outputs[0].text == f"{tiny_table}\n"
    assert (project / "runs/real/data_folder.txt").read_text() == f"{tiny_table}\n"
    assert (
        command_line.main(["notebook", "04", "--experiment", "toy", "--data", str(tiny_table)]) == 2
    )
    assert "draws its own data" in capsys.readouterr().err


@pytest.mark.parametrize("output", [None, "out.ipynb"])
def test_what_is_tried_out_leaves_the_run_and_its_marks_alone(project, output):
    path = write_notebook(project, "04", "run")
    own = runner.run_notebook("04", "toy", {"run": "0"})  # its default
    mark = project / "runs" / "toy" / "done" / "04.json"
    before = own.read_bytes(), mark.stat().st_mtime_ns
    assert own.parent.name == "notebooks"
    target = runner.run_notebook("04", "toy", {"run": "3"}, output and project / output)
    assert nbformat.read(target, as_version=4).cells[-1].outputs[0].data["text/plain"] == "3"
    explored = project / "runs" / "toy" / "explored"
    assert target == (project / output if output else explored / "04-run-3" / "04_toy.ipynb")
    copy = path.rename(project / "04_toy.ipynb")
    assert runner.run_notebook(str(copy), "toy") == explored / "04" / "04_toy.ipynb"
    assert (own.read_bytes(), mark.stat().st_mtime_ns) == before


@pytest.mark.parametrize("found_by", ["JUPYTER_PATH", "HOME"])
def test_the_kernel_is_of_this_python_whatever_is_found_first(project, monkeypatch, found_by):
    other = project / "other"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    place = project / "home" / ".local" / "share" / "jupyter"
    words = [str(other), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": words, "display_name": "Python 3", "language": "python"}
    write_json(place / "kernels" / "python3" / "kernel.json", kernel)
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    monkeypatch.setenv(found_by, str(place if found_by == "JUPYTER_PATH" else project / "home"))
    write_notebook(project, "04", "import sys; sys.executable")
    ran = nbformat.read(runner.run_notebook("04", "toy"), as_version=4)
    assert ran.cells[-1].outputs[0].data["text/plain"] == repr(sys.executable)


def test_jobs_and_kernels_keep_their_memory_unless_the_user_has_set_it(monkeypatch):
    def given() -> set[str]:
        return {found["GLIBC_TUNABLES"] for found in (workflow._environment(), kernel_variables())}

    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    (own,) = given()
    assert "glibc.malloc.trim_threshold=" in own and "glibc.malloc.mmap_threshold=" in own
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    assert given() == {"glibc.malloc.check=1"}


def test_project_home_and_output_may_have_any_letters_in_their_paths(tmp_path, monkeypatch):
    odd = "Klinik (1) user's [a] {b} Müller & $HOME"
    project, home = make_project(tmp_path / odd), tmp_path / odd / "home {c}"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    write_notebook(project, "04", "run + 1")
    done = call(project, "study", "notebook", "04", "--experiment", "toy", "--output=~/{run}.ipynb")
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(home / "{run}.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].data["text/plain"] == "1"


INPUT_ERROR = (
    "from lesionlib.errors import InputError\n"
    "raise InputError('lesion 17 has no pixel', 'lesions.csv, row 18', 'Check its scale')"
)
FAILURES = [
    (INPUT_ERROR, InputError, r"^lesion 17 has no pixel \(lesions.csv, row 18\). Check its scale$"),
    (
        "assert 1 == 2, 'the sum is 3'",
        JobError,
        r"^a check failed \(notebook 04_toy, cell 3\)\. What it says.* is in runs/toy/failed/04.log$",
    ),
    (
        "1 / 0",
        JobError,
        r"^ZeroDivisionError was raised \(notebook 04_toy, cell 3\)\. What it says",
    ),
    ("import os; os._exit(1)", JobError, "its kernel died"),
]


@pytest.mark.parametrize("cell, error, said", FAILURES)
def test_a_failed_cell_gives_one_line_and_keeps_the_notebook(project, cell, error, said):
    write_notebook(project, "04", cell)
    with pytest.raises(error, match=said):
        runner.run_notebook("04", "toy")
    assert (project / "runs" / "toy" / "notebooks" / "04_toy.ipynb").is_file()
    assert not (project / "runs" / "toy" / "done").exists()
    kind = "input" if error is InputError else "job"
    kept = (project / "runs" / "toy" / "failed" / "04.txt").read_text()
    assert kept.startswith(f"{kind}: ")


def test_a_notebook_may_end_early_with_nothing_wrong(project, capsys):
    write_notebook(project, "04", "from study.jobs import EndsHere\nraise EndsHere('no x')", "1/0")
    runner.run_notebook("04", "toy")
    assert "04 | ends early: no x" in capsys.readouterr().out
    assert (project / "runs" / "toy" / "done" / "04.json").is_file()


def test_papermill_by_hand_refuses_a_misspelt_parameter_too(project):
    opens = 'from study.lab import open_lab\nlab = open_lab(experiment, "04")'
    path = write_notebook(project, "04", opens)
    words = ["papermill", str(path), "out.ipynb", "--no-progress-bar", "-k", "python3"]
    done = call(project, *words, "-p", "experimnt", "toy")
    assert done.returncode != 0
    assert "unknown parameter 'experimnt'" in done.stderr + done.stdout


# ------------------------------------------------------------------ stages
def test_a_stage_runs_all_runs_of_its_block_unless_one_is_named(project, monkeypatch, capsys):
    from study.steps import STEPS

    seen = []

    def floc(lab, run: int = 0):
        seen.append(run)
        lab.progress("epoch 1")

    monkeypatch.setitem(STEPS, "floc", floc)
    runner.run_stage("floc", "two", {})
    runner.run_stage("floc", "two", {"run": "1"})
    assert seen == [0, 1, 1]
    assert "floc.1 | epoch 1" in capsys.readouterr().out
    done = project / "runs" / "two" / "done"
    assert sorted(p.name for p in done.iterdir()) == ["floc.1.json", "floc.json"]


def test_a_fault_in_a_stage_is_one_line_and_a_kept_traceback(project, monkeypatch):
    from study.steps import STEPS

    def floc(lab):
        raise ValueError("no such\nthing")

    monkeypatch.setitem(STEPS, "floc", floc)
    said = "ValueError was raised .stage floc, study.runner:.*name a patient"
    with pytest.raises(JobError, match=said) as found:
        runner.run_stage("floc", "toy", {})
    place = project / re.search(r"runs/\S+", str(found.value)).group(0)
    assert "Traceback" in place.read_text()
    monkeypatch.setitem(STEPS, "floc", lambda lab: None)
    runner.run_stage("floc", "toy", {})
    assert not place.exists()


# ------------------------------------------------------------------ the whole
@pytest.fixture
def stubs(project):
    """All notebooks by number, each of one cell."""
    for number in NUMBERS:
        write_notebook(project, number, "1")
    return project


def snakemake(folder, name: str, *words: str) -> str:
    """What Snakemake and its jobs say."""
    snakefile = ["--snakefile", "workflow/Snakefile", "--profile", "workflow/profiles/local"]
    config = ["--cores", "1", "--config", f"experiment={name}"]
    done = call(folder, "snakemake", *words, *snakefile, *config)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rule_graph(folder, name: str) -> set[tuple[str, str]]:
    """Pairs (rule, rule that waits for it) of an experiment."""
    said = snakemake(folder, name, "--rulegraph", "dot")
    names = dict(re.findall(r"(\d+)\[ *label *= *\"(\w+)", said))
    return {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", said)}


def test_jobs_wait_for_what_they_read_and_for_nothing_else(stubs):
    graph = rule_graph(stubs, "two")
    for before, after in [
        ("data", "store"), ("store", "windows"), ("store", "floc_run"), ("floc_run", "floc"),
        ("store", "gmic"), ("gmic", "saliency"), ("saliency", "maps"), ("floc", "maps"),
        ("maps", "fagg_combination"), ("fagg_combination", "lesion_scores"),
        ("lesion_scores", "operating_points"), ("lesion_scores", "information"),
        ("operating_points", "results"), ("information", "results"), ("floc", "architectures"),
        ("architecture", "architectures"), ("search", "architectures"), ("maps", "search"),
        ("architectures", "results"), ("maps", "fagg_other_cells"),
        ("fagg_other_cells", "information"), ("fagg_combination", "sensitivity"),
        ("sensitivity", "beyond"),
    ]:  # fmt: skip
        assert (before, after) in graph, f"{after} does not wait for {before}"
    for before, after in [("floc", "gmic"), ("gmic", "floc"), ("search", "fagg_combination")]:
        assert (before, after) not in graph, f"{after} waits for {before}"
    assert {after for before, after in graph if before == "start_here"} == {"all"}
    # it shows what came out
    assert {before for before, after in graph if after == "start_here"} == {"results"}


def test_a_job_on_a_cluster_reads_the_workflow_and_withdraws_nothing(stubs):
    """Trap: it reads the Snakefile while another job has written its mark, but not yet what vouches."""
    mark = stubs / "runs" / "toy" / "done" / "02.json"
    mark.parent.mkdir(parents=True)
    for mode in ("remote", "default"):
        mark.write_text("{}")
        snakemake(stubs, "toy", "--mode", mode, "--dry-run")
        assert mark.is_file() == (mode == "remote")


def test_another_profile_is_known_and_its_device_is_elsewhere(project):
    workflow.check("gpu", profile="slurm")
    with pytest.raises(InputError, match=r"unknown profile 'slrum' .*slurm"):
        workflow.check("toy", profile="slrum")


# is at work until another notebook has failed
SLOW = (
    "import time\nfrom pathlib import Path\nend = time.monotonic() + 60\n"
    "while not Path('runs/toy/failed/03.txt').is_file() and time.monotonic() < end:\n"
    "    time.sleep(0.1)\ntime.sleep(2)"
)


def test_the_line_of_a_failed_notebook_comes_last_and_the_rest_is_not_lost(stubs):
    write_notebook(stubs, "03", INPUT_ERROR)
    write_notebook(stubs, "06", SLOW)
    done = call(stubs, "study", "run", "toy", "--cores", "2")
    assert done.returncode == 2
    said = (done.stdout + done.stderr).strip().splitlines()
    assert said[-1].startswith("error: lesion 17 has no pixel (lesions.csv, row 18)")
    assert not [line for line in said if "Traceback" in line or "rule " in line]
    done_here = {file.stem for file in (stubs / "runs" / "toy" / "done").glob("*.json")}
    assert done_here == {"01", "02", "06"}
    assert not workflow.is_complete("toy")


# its message, and that of its cause, name a patient, which it does not itself
FAULT = (
    "from study import steps\nfrom study.lab import open_lab\n"
    "images = steps.manifest(open_lab(experiment, '01')).images\n"
    "patient = images['patient_id'].iloc[0]\n"
    "try:\n    {}[patient]\nexcept KeyError:\n    images['patient_id'].astype(int)"
)
SHOWN = re.compile(r"Mustermann|\bP\d\d(?!\d)")


def test_a_fault_on_own_data_shows_no_patient_and_no_folder(stubs, tiny_table):
    """Not on the terminal, in Snakemake's log, in tracebacks and outputs, nor in a file's name; what
    it says is in one file."""
    write_notebook(stubs, "01", FAULT)
    folder = tiny_table.rename(stubs.with_name(f"{stubs.name}-Mustermann"))
    done = call(stubs, "study", "run", "real", "--data", str(folder), "--cores", "1")
    assert done.returncode == 1
    assert "error: ValueError was raised (notebook 01_toy, cell 3)" in done.stderr
    runs = stubs / "runs" / "real"
    assert "P01" in (runs / "failed" / "01.log").read_text()
    # what a later start reads, and what the line names
    kept = {runs / "data_folder.txt", runs / "failed" / "01.log", *(runs / "manifest").iterdir()}
    files = [f for f in stubs.rglob("*") if f.is_file() and f not in kept and f.suffix != ".yaml"]
    texts = {str(f.relative_to(stubs)): f.read_bytes().decode(errors="replace") for f in files}
    assert {"runs/real/workflow.log", "runs/real/failed/01.txt"} < texts.keys()
    assert "ValueError was raised" in texts["runs/real/notebooks/01_toy.ipynb"]
    texts["terminal"] = done.stdout + done.stderr
    shown = {name: SHOWN.search(name + text) for name, text in texts.items()}
    assert {name: found.group() for name, found in shown.items() if found} == {}


def test_a_fault_of_a_command_shows_its_place_and_not_what_it_says(project):
    """Trap: the traceback of an exception ends with its message, as does that of its cause; a thread
    writes one by itself."""
    lines = [
        "import sys, threading, types",
        "from study import __main__ as command_line",
        "from study.stages import once",
        "def carry_out(words):",
        "    thread = threading.Thread(target=lambda: {}['P01'])",
        "    thread.start()",
        "    thread.join()",
        "    once(lambda lab: {}['P02'])(types.SimpleNamespace(kept={}))",
        "command_line.carry_out = carry_out",
        "sys.exit(command_line.guarded_main())",
    ]
    (project / "fault.py").write_text("\n".join(lines))
    done = call(project, "fault", "check")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("error: KeyError was raised (command check, ")
    assert re.search(r"was raised \(command check, study\.stages:\d+\)\. What .*check.log$", second)
    assert not SHOWN.search(done.stderr)
    assert "P02" in (project / "runs" / "failed" / "check.log").read_text()


def test_a_notebook_is_redone_when_its_code_changes_and_not_its_text(stubs):
    def jobs_done() -> list[str]:
        return re.findall(r"(\d\d) \| done", snakemake(stubs, "toy", "runs/toy/done/02.json"))

    assert jobs_done() == ["01", "02"]
    for number, code in (("01", "1 + 1"), ("02", "1")):
        path = write_notebook(stubs, number, code)
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[0].source += " More."
        notebook.cells[-1].execution_count = 7
        nbformat.write(notebook, path)
    assert jobs_done() == ["01", "02"]  # 02 reads what 01 leaves
    assert jobs_done() == []


@pytest.mark.parametrize("way", ["command", "variable", "setting"])
def test_a_data_folder_may_be_under_the_users_home(project, monkeypatch, tiny_table, way):
    folder = tiny_table.rename(project / "my films {a}")
    monkeypatch.setenv("HOME", str(project))
    short = "~/my films {a}"
    if way == "variable":
        monkeypatch.setenv("LESIONLIB_DATA", short)
    if way == "setting":
        text = f"data: {{dataset: table, folder: '{short}'}}"
        (project / "experiments" / "real.yaml").write_text(text)
    workflow.check("real", short if way == "command" else None)
    assert data_folder(open_bench("real")) == folder


def test_a_result_changed_by_hand_is_noticed_and_made_again(stubs):
    cell = (
        "from pathlib import Path\n"
        "from study.lab import open_lab\n"
        "lab = open_lab(experiment, '12')\n"
        "lab.record('auc.E', .7)\n"
        "file = lab.figures / 'table.csv'\n"
        "_ = file.parent.mkdir(parents=True, exist_ok=True), file.write_text('1')\n"
        "lab.note(file)"
    )
    write_notebook(stubs, "12", cell)
    runs, table = stubs / "runs" / "toy", stubs / "figures" / "toy" / "table.csv"
    runner.run_notebook("12", "toy")
    runner.run_notebook("11", "toy")
    assert not list(withdraw(runs))
    cut = lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])  # noqa: E731
    for file in (table, runs / "records" / "12.json", runs / "written" / "12.json"):
        for change in (lambda file: file.write_text("{}"), cut, Path.unlink):
            change(file)
            assert [line for line in withdraw(runs) if line.startswith("job 12 is made again: ")]
            assert [path.stem for path in sorted((runs / "done").glob("*.json"))] == ["11"]
            runner.run_notebook("12", "toy")


def test_another_folder_or_another_table_redoes_the_data(project, monkeypatch, tiny_table):
    def state(folder):
        monkeypatch.setenv("LESIONLIB_DATA", str(folder))
        return workflow.data_state(settings.load_experiment("real"))

    first = state(tiny_table)
    assert state(tiny_table) == first
    with open(tiny_table / "lesions.csv", "a") as file:
        file.write("\n")
    second = state(tiny_table)
    moved = tiny_table.rename(tiny_table.parent / "moved")
    assert len({first, second, state(moved)}) == 3
    monkeypatch.delenv("LESIONLIB_DATA")
    real = settings.load_experiment("real")
    assert workflow.data_state(real) == state(moved)  # the folder is remembered


def test_other_first_weights_or_maps_redo_the_jobs(project):
    text = "extends: toy\ngmic: {weights_file: gmic.pt}\nfagg: {saliency_file: maps.npz}\n"
    (project / "experiments" / "given.yaml").write_text(text)
    found = []
    for name in ("gmic.pt", "maps.npz", "gmic.pt"):
        with open(project / name, "a") as file:
            file.write("more")
        found.append(workflow.data_state(settings.load_experiment("given")))
    assert len(set(found)) == 3


def test_the_end_without_a_word_is_told_from_the_log(project):
    log = project / "runs" / "toy" / "workflow.log"
    log.parent.mkdir(parents=True)
    log.write_text("Error in rule gmic:\n  jobid: 3\nExiting\n")
    assert "job gmic ended without a word" in str(workflow._failure("toy", 1))
    log.write_text("error: argument --executor/-e: invalid choice: 'slurm' (choose from 'local')\n")
    assert "snakemake-executor-plugin-slurm is not installed" in str(workflow._failure("toy", 2))
    log.write_text("Building DAG\n")
    assert "ended by signal 9" in str(workflow._failure("toy", -9))
