"""The command line, ``study COMMAND``; Makefile and workflow go through ``python -m study``."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import select
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

# Ctrl-C while the packages are still read ends without a traceback; `guarded_main` takes over
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# ruff: noqa: E402
import lesionlib
from lesionlib.errors import InputError, nearest
from study.jobs import PIPE, STOPPED, UNWRITABLE, JobError, end_soon, provide_home, unforeseen

UNREAD = 141  # exit code where what we write is not read any more, as a shell gives it

COLUMNS = "lesion_id, patient_id, split, y_true, model, run, y_score"


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in the one line that all our errors have."""

    def error(self, message: str):
        raise InputError(message, "command line", f"See {self.prog} --help")


def expanded(path: str) -> Path:
    """A path in which ~ is the user's own folder, also where a shell leaves it, as in --output=~/x."""
    return Path(os.path.expanduser(path))


def positive(word: str) -> float:
    """A number above 0 from the command line."""
    if not 0 < (number := float(word)) < math.inf:
        raise ValueError(word)
    return number


def count(word: str) -> int:
    """A whole number from 1 on."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"'{word}' is no whole number from 1 on")
    return int(word)


# ------------------------------------------------------------------ the commands
# each imports what it needs: a run starts quickly, and torch stays out of it
def _run(args) -> None:
    from study.workflow import run_experiment

    run_experiment(args.experiment, args.data, args.cores, args.profile)


def _notebook(args) -> None:
    from study.runner import run_notebook

    run_notebook(args.notebook, args.experiment, dict(args.p), args.output, args.data)


def _stage(args) -> None:
    from study.runner import run_stage

    run_stage(args.stage, args.experiment, _named(args.rest))


def _named(words: list[str]) -> dict[str, str]:
    """``--name value --other value`` as a dictionary; InputError for anything else."""
    names, values = words[::2], words[1::2]
    odd = [name for name in names if not name.startswith("--")] or names[len(values) :]
    if odd:
        raise InputError(f"cannot read '{odd[0]}'", "command line", "Write --name value")
    return {name.removeprefix("--"): value for name, value in zip(names, values, strict=True)}


def _check(args) -> None:
    from study.workflow import check, check_splits, is_complete

    settings = check(args.experiment, args.data)
    if args.complete and not is_complete(args.experiment):
        remedy = f"Run make run EXPERIMENT={args.experiment}"
        raise InputError("jobs are still to be run", f"experiment {args.experiment}", remedy)
    if not args.complete:
        check_splits(settings)
    state = "complete" if args.complete else "settings, data folder and splits are fine"
    print(f"experiment {args.experiment}: {state}")


def _data_check(args) -> int:
    """1 where the set has a fault."""
    from data_manifest.data_check import data_check
    from lesionlib.seeds import digest
    from study.settings import runs_folder, settings_for

    options = _options(args.p)
    settings, workers = settings_for(args.dataset, args.experiment), args.cores or os.cpu_count()
    place = expanded(args.data).resolve()  # two sets of one reader have pages of their own
    pages = runs_folder("data-check") / args.dataset / f"{place.name}-{digest(str(place))[:8]}"
    more = {"workers": workers or 1, "pages": pages}
    faults = data_check(args.dataset, args.data, settings, options, pixels=args.pixels, **more)
    return 1 if faults else 0


def _evidence(args) -> None:
    from study.commands.evidence import run_evidence

    run_evidence(args.cores)


def _protocol(args) -> None:
    from study import real_test

    content = real_test.write()
    for line in (*content["said"].values(), *(f"warning: {x}" for x in content["warnings"])):
        print(line)
    print(f"not there: {', '.join(content['missing']) or 'none'}")


def _lab(args) -> None:
    from study.desk import open_lab_server

    if args.readers:
        from study.commands.readers import readers_edition
    open_lab_server(args.rest, readers_edition() if args.readers else None)


def _readers_edition(args) -> None:
    from study.commands.readers import SOLUTIONS, readers_edition

    folder = readers_edition().name
    print(f"the readers' edition is in {folder}/, its solutions in {folder}/{SOLUTIONS}/")
    print("open it: .venv/bin/study lab --readers")


def _checkpoint(args) -> None:
    from study.commands.checkpoint import checkpoint

    file = checkpoint(args.experiment, args.output)
    print(f"{file} is written, {file.stat().st_size / 1e6:.0f} MB: study restore {file.name}")


def _restore(args) -> None:
    from study.commands.checkpoint import restore

    folder = restore(args.file)
    print(f"{folder.name} is restored: notebooks 08 to 13 can be run. The others need all images")
    print(f"and make them: study run {folder.name}")


def _options(pairs: list[list[str]]) -> dict:
    """Options of a reader: words as YAML has them, so that 1 is a number and true is true."""
    from study.settings import read_yaml

    return {name: read_yaml(value, f"option {name}") for name, value in pairs}


def _settings(args) -> None:
    from study.commands.listing import settings_schema, settings_text

    print(settings_schema() if args.schema else settings_text(args.block))


def _stages(args) -> None:
    from study.commands.listing import stages_text

    print(stages_text())


def _report(args) -> None:
    from study.commands.report import report

    share = {} if args.prevalence is None else {"share": args.prevalence}
    print(f"the report is in {report(args.predictions, args.output, **share)}")


def _predict(args) -> None:
    from study.commands.predict import predict

    page = predict(
        args.experiment, args.data, args.dataset, _options(args.p), args.output, args.scale
    )
    print(f"the scores and their page are in {page.parent}")


def _folds(args) -> None:
    from study.commands.folds import run_folds

    page = run_folds(args.experiment, args.folds, args.data, args.cores, args.notebooks)
    print(f"the report is in {page}")


def _new(args) -> None:
    from study.commands.new import new_experiment
    from study.workflow import check

    file = new_experiment(args.name, args.data, args.dataset, _options(args.p))
    check(args.name, args.data)  # the folder is remembered
    run = shlex.join(["study", "run", args.name, "--data", args.data])
    print(f"{file} is written: look it through, then\n  {run}")


def _import_coco(args) -> None:
    from data_manifest.table.coco import convert

    missing = convert(args.annotations, args.folder)
    rest = f"; fill in {', '.join(missing)} of images.csv" if missing else ""
    print(f"images.csv and lesions.csv are in {args.folder}{rest}")


def _completion(args) -> None:
    import shtab

    print(shtab.complete(parser(), args.shell))


def _refresh(args) -> None:
    from study import readme, refresh

    refresh.refresh()
    readme.refresh()


# ------------------------------------------------------------------ their arguments
ARGUMENTS = {
    "experiment": {"help": "name of a file in experiments/, as mini_mias"},
    "notebook": {"help": "its number, as 04, or its path"},
    "stage": {"help": "a name that study stages lists, as floc, gmic or fagg"},
    "dataset": {"help": "name of its reader, as mini_mias or table"},
    "block": {"nargs": "?", "default": "", "help": "as floc or floc.epochs; default: all"},
    "predictions": {"type": expanded, "help": f"a CSV file with {COLUMNS}"},
    "name": {"help": "of the experiment: letters, digits, _ and -"},
    "annotations": {"type": expanded, "help": "the JSON file"},
    "folder": {"type": expanded, "help": "of the images, where the tables go"},
    "file": {"type": expanded, "help": "the checkpoint"},
    "shell": {"choices": ["bash", "zsh", "tcsh"]},
    "--experiment": {"required": True, "help": "name of a file in experiments/"},
    "--dataset": {"default": "table", "help": "name of the reader; default: table"},
    "--data": {"help": "folder of the data set; remembered for the next runs"},
    "-p": {"nargs": 2, "action": "append", "default": [], "metavar": ("OPTION", "VALUE"),
           "help": "an option of the reader; may be repeated"},
    "--folds": {"type": count, "help": "number of folds; default: data.folds, or 5"},
    "--notebooks": {"action": "store_true",
                    "help": "run every notebook of each fold, not its predictions alone"},
    "--pixels": {"action": "store_true", "help": "open every image and outline, too"},
    "--schema": {"action": "store_true", "help": "as a JSON schema, for editors"},
    "--complete": {"action": "store_true", "help": "fail unless all is up to date"},
    "--cores": {"type": count, "help": "jobs side by side; default: all cores"},
    "--profile": {"default": "local", "help": "a folder of workflow/profiles, as slurm: where and "
                  "how jobs run; default: local"},
    "--scale": {"type": positive,
                "help": "canvas px per px of the new images; default: the experiment's"},
    "--output": {"type": expanded},
    "--readers": {"action": "store_true", "help": "the readers' edition, without solutions"},
    "--prevalence": {"type": float, "help": "share of malignant lesions in use; default: .232, "
                     "the paper's"},
}  # fmt: skip
SET = {"--data": {"required": True, "help": "folder of the data set"}}
# each command with an example, its meaning, its arguments, and what differs of them
COMMANDS = {
    _run: ("demo", "run every notebook of an experiment not up to date",
           "experiment --data --cores --profile", {
        "--cores": {"help": "jobs side by side; default: all cores, or what the profile says"}}),
    _notebook: ("04 --experiment demo", "run one notebook",
                "notebook --experiment --data -p --output", {
        "--experiment": {"required": False, "help": "default: what the notebook's parameters say"},
        "-p": {"metavar": ("NAME", "VALUE"),
               "help": "another parameter of the notebook; may be repeated"},
        "--output": {"help": "the executed copy; default: in runs/<experiment>/notebooks/"}}),
    _stage: ("floc --experiment demo --run 1. The step's own arguments follow by name",
             "run one step without a notebook", "stage --experiment",
             {"usage": "%(prog)s STAGE --experiment EXPERIMENT [--ARGUMENT VALUE ...]"}),
    _folds: ("mini_mias --folds 5", "test every patient once, fold by fold, and judge the folds together",
             "experiment --folds --data --cores --notebooks", {}),
    _evidence: ("", "run the experiments of experiments/PROTOCOL.md, and pool their outcomes",
                "--cores", {"--cores": {"help": "experiments side by side; default: all cores"}}),
    _protocol: ("cbis_ddsm", "answer PROTOCOL_cbis_ddsm.md from the scores, of controls too",
                "experiment", {"experiment": {"choices": ["cbis_ddsm"], "help": "whose protocol"}}),
    _lab: ("--no-browser. Options of JupyterLab may follow",
           "open copies of the notebooks in JupyterLab", "--readers", {}),
    _readers_edition: ("", "write readers/: the notebooks without their solutions, and these apart",
                       "", {}),
    _checkpoint: ("--experiment demo", "write what a class needs to start at notebook 08, as one file",
                  "--experiment --output",
                  {"--output": {"help": "the file; default: checkpoint_<experiment>.tar.gz"}}),
    _restore: ("checkpoint_demo.tar.gz", "put such a file in place, under runs/", "file", {}),
    _check: ("demo", "check an experiment's settings, data folder and splits",
             "experiment --data --complete", {}),
    _data_check: ("table --data FOLDER --pixels", "look through a set before it is used",
                  "dataset --pixels --experiment --data -p --cores", SET | {
        "--experiment": {"required": False,
                         "help": "whose options, splits and canvas; default: the set's"},
        "--cores": {"help": "images read side by side; default: all cores"}}),
    _settings: ("floc", "list settings: type, default and meaning", "block --schema",
                {}),
    _stages: ("", "list the stages, their arguments and what they give", "", {}),
    _report: ("predictions.csv",
              "write the paper's tables and figures of lesion scores, made here or elsewhere",
              "predictions --output --prevalence",
              {"--output": {"help": "folder; default: report, next to the file"}}),
    _predict: ("--experiment demo --data FOLDER",
               "score the lesions of new images with the networks of a finished experiment",
               "--experiment --dataset --data -p --scale --output",
               SET | {"--output": {"help": "folder; default: runs/<experiment>/predict/<folder>"}}),
    _new: ("mine --data FOLDER",
           "write an experiment's file with canvas and windows suggested from a set",
           "name --dataset --data -p", SET),
    _import_coco: ("annotations.json FOLDER",
                   "write images.csv and lesions.csv from annotations in the COCO form",
                   "annotations folder", {}),
    _refresh: ("", "bring the demo's outputs into notebooks/, its numbers into README.md", "", {}),
    _completion: ("bash > ~/.local/share/bash-completion/completions/study",
                  "print the completion of this command for a shell", "shell", {}),
}  # fmt: skip


def _name(function: Callable) -> str:
    """The command of a function."""
    return function.__name__.strip("_").replace("_", "-")


def parser() -> Parser:
    """The commands, named as their functions are less the underscores, and their arguments."""
    top = Parser(prog="study", description="Run experiments, notebooks and stages.")
    top.epilog = "study COMMAND --help says more. python -m study is the same command."
    top.add_argument("--version", action="version", version=f"lesionlib {lesionlib.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for function, (example, text, arguments, own) in COMMANDS.items():
        name = _name(function)
        made = commands.add_parser(name, help=text, usage=own.get("usage"))
        made.description = f"{text[0].upper()}{text[1:]}."
        made.epilog = f"Example: study {name} {example}"
        made.set_defaults(function=function)
        for argument in arguments.split():
            made.add_argument(argument, **ARGUMENTS[argument] | own.get(argument, {}))
    return top


# ------------------------------------------------------------------ how it ends
def carry_out(words: list[str]) -> int:
    """Do what a command line says; its exit code.  InputError and JobError go to the caller."""
    first, names = " ".join(words[:1]), list(map(_name, COMMANDS))
    if first and not first.startswith("-") and first not in names:
        raise InputError(f"unknown command '{first}'", "command line", nearest(first, names))
    args, args.rest = parser().parse_known_args(words)
    if args.rest and args.function not in (_stage, _lab):
        raise InputError(f"cannot read '{args.rest[0]}'", "command line", "See --help")
    return args.function(args) or 0


def main(words: list[str] | None = None) -> int:
    """Carry out a command line; returns its exit code: 0, 2 for the user's input, 1 otherwise."""
    try:
        try:
            return carry_out(sys.argv[1:] if words is None else words)
        finally:
            print(end="", flush=True)
    except (InputError, JobError) as error:
        _last_line(f"error: {error}")
        return 2 if isinstance(error, InputError) else 1
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        where = error.filename or "a file of the project"
        _last_line(f"error: {error.strerror} ({where}). {UNWRITABLE[error.errno]}")
        return 1


def _say_unforeseen(error: BaseException) -> None:
    """One line in place of a traceback; the workflow knows nothing of it, so a job says it, too."""
    from study.settings import runs_folder

    command = next(iter(sys.argv[1:]), "study")
    log = runs_folder("failed") / f"{command}.log"
    _last_line(f"error: {unforeseen(error, f'command {command}', log)}", always=True)


def _last_line(text: str, *, always: bool = False) -> None:
    """Say how it ended; a job of a workflow leaves that to the workflow, which says it last."""
    if always or not os.environ.get(PIPE):
        with contextlib.suppress(OSError):  # nobody reads it
            print(text, file=sys.stderr, flush=True)


def _stop(number, frame):
    raise KeyboardInterrupt


def guarded_main() -> int:
    """As :func:`main`; a stop by hand, by the workflow or by a closed terminal is one line.

    Ctrl-C reaches a workflow and its jobs at once, and the workflow then ends its jobs by a second
    signal.  A process on its way out ignores it, or it would die with a traceback.  Where nobody
    reads on, as in ``data-check ... | head``, it ends without a word.
    """
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, _stop)
    threading.excepthook = _in_thread
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # no line of code
    try:
        provide_home()
        code = main()
    except KeyboardInterrupt:
        code = STOPPED
        logging.disable()  # what was cut off in the middle complains
        end_soon()
    except Exception as error:
        code = UNREAD if isinstance(error, OSError) and _is_unread() else 1
        if code == 1:
            _say_unforeseen(error)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if code == STOPPED:
        _last_line("stopped. The same command goes on from here")
    _let_go()
    return code


def _is_unread() -> bool:
    """Whether standard output or error is a pipe or a terminal that was closed at its other end."""
    look = select.poll()
    for stream in (1, 2):
        look.register(stream, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in look.poll(0))


def _let_go() -> None:
    """Drop what cannot be written any more: Python would complain of it at its end."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _in_thread(args) -> None:
    """A thread that cannot write any more stops the process in order."""
    if isinstance(args.exc_value, OSError) and _is_unread():
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        _say_unforeseen(args.exc_value)


if __name__ == "__main__":
    sys.exit(guarded_main())
