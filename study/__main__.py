"""The command line, ``python -m study COMMAND``; Makefile and workflow go through it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from lesionlib.errors import InputError
from study.jobs import PIPE, STOPPED, JobError


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in the one line that all our errors have."""

    def error(self, message: str):
        raise InputError(message, "command line", f"See {self.prog} --help")


def parser() -> Parser:
    """The commands and their arguments; each command names the function that carries it out."""
    top = Parser(prog="python -m study", description="Run experiments, notebooks and stages.")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, function, text: str, **options) -> Parser:
        made = commands.add_parser(name, help=text, description=f"{text.capitalize()}.", **options)
        made.set_defaults(function=function)
        return made

    def pairs(made: Parser, metavar: tuple[str, str], text: str) -> None:
        made.add_argument("-p", nargs=2, action="append", default=[], metavar=metavar, help=text)

    run = command("run", _run, "run every notebook of an experiment that is not up to date")
    run.add_argument("experiment", help="name of a file in experiments/, as demo")
    run.add_argument("--data", help="folder of the data set; remembered for the next runs")
    run.add_argument("--cores", type=int, help="jobs side by side; default: all cores")

    notebook = command("notebook", _notebook, "run one notebook through papermill")
    notebook.add_argument("notebook", help="its number, as 04, or its path")
    notebook.add_argument("--experiment", help="default: what the notebook's parameters say")
    pairs(notebook, ("NAME", "VALUE"), "another parameter of the notebook; may be repeated")
    notebook.add_argument(
        "--output", type=Path, help="the executed copy; default: in runs/<experiment>/notebooks/"
    )

    usage = "%(prog)s STAGE --experiment EXPERIMENT [--ARGUMENT VALUE ...]"
    stage = command("stage", _stage, "run one step of the study without a notebook", usage=usage)
    stage.add_argument("stage", help="a name in study.steps.STEPS, as floc, gmic or fagg")
    stage.add_argument("--experiment", required=True, help="name of a file in experiments/")
    stage.epilog = "The step's own arguments follow by name: stage floc --experiment demo --run 1"

    check = command("check", _check, "check an experiment's settings and data folder")
    check.add_argument("experiment", help="name of a file in experiments/")
    check.add_argument("--data", help="folder of the data set; remembered for the next runs")
    check.add_argument("--complete", action="store_true", help="fail unless all is up to date")

    data = command("data-check", _data_check, "look through a data set before it is used")
    data.add_argument("dataset", help="name of its reader, as mini_mias or table")
    data.add_argument("--data", required=True, help="folder of the data set")
    data.add_argument("--pixels", action="store_true", help="open every image and outline, too")
    data.add_argument("--experiment", help="whose options, splits and canvas; default: the set's")
    pairs(data, ("OPTION", "VALUE"), "an option of the reader; may be repeated")
    data.add_argument("--cores", type=int, help="images read side by side; default: all cores")

    command("refresh", _refresh, "bring the outputs of the demo into notebooks/")
    return top


# ------------------------------------------------------------------ the commands
# each imports what it needs: a run starts quickly, and torch stays out of it
def _run(args) -> None:
    from study.workflow import run_experiment

    run_experiment(args.experiment, args.data, args.cores)


def _notebook(args) -> None:
    from study.runner import run_notebook

    run_notebook(args.notebook, args.experiment, dict(args.p), args.output)


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
    from study.workflow import check, is_complete

    check(args.experiment, args.data)
    if args.complete and not is_complete(args.experiment):
        remedy = f"Run make run EXPERIMENT={args.experiment}"
        raise InputError("jobs are still to be run", f"experiment {args.experiment}", remedy)
    state = "complete" if args.complete else "settings and data folder are fine"
    print(f"experiment {args.experiment}: {state}")


def _data_check(args) -> int:
    """1 where the set has a fault."""
    import yaml

    from data_manifest.data_check import data_check
    from study.settings import runs_folder, settings_for

    options = {name: yaml.safe_load(value) for name, value in args.p}
    settings, workers = settings_for(args.dataset, args.experiment), args.cores or os.cpu_count()
    more = {"workers": workers or 1, "pages": runs_folder("data-check") / args.dataset}
    faults = data_check(args.dataset, args.data, settings, options, pixels=args.pixels, **more)
    return 1 if faults else 0


def _refresh(args) -> None:
    from study.refresh import refresh

    refresh()


# ------------------------------------------------------------------ how it ends
def carry_out(words: list[str]) -> int:
    """Do what a command line says; its exit code.  InputError and JobError go to the caller."""
    args, args.rest = parser().parse_known_args(words)
    if args.rest and args.function is not _stage:
        raise InputError(f"cannot read '{args.rest[0]}'", "command line", "See --help")
    return args.function(args) or 0


def main(words: list[str] | None = None) -> int:
    """Carry out a command line; returns its exit code: 0, 2 for the user's input, 1 otherwise."""
    try:
        return carry_out(sys.argv[1:] if words is None else words)
    except (InputError, JobError) as error:
        _last_line(f"error: {error}")
        return 2 if isinstance(error, InputError) else 1


def _last_line(text: str) -> None:
    """Say how it ended; a job of a workflow leaves that to the workflow, which says it last."""
    if not os.environ.get(PIPE):
        print(text, file=sys.stderr, flush=True)


def _stop(number, frame):
    raise KeyboardInterrupt


def guarded_main() -> int:
    """As :func:`main`; a stop by hand or by the workflow is one line.

    Ctrl-C reaches a workflow and its jobs at once, and the workflow then ends its jobs by a second
    signal.  A process on its way out ignores it, or it would die with a traceback.
    """
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = main()
    except KeyboardInterrupt:
        code = STOPPED
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if code == STOPPED:
        _last_line("stopped. The same command goes on from here")
    return code


if __name__ == "__main__":
    sys.exit(guarded_main())
