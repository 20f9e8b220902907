"""The command line, ``python -m study COMMAND``; Makefile and workflow go through it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from lesionlib.errors import InputError

STOPPED = 130  # exit code of a process that Ctrl-C has ended


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in the one line that all our errors have."""

    def error(self, message: str):
        raise InputError(message, "command line", f"See {self.prog} --help")


def parser() -> Parser:
    """The commands and their arguments."""
    top = Parser(prog="python -m study", description="Run experiments, notebooks and stages.")
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)

    run = commands.add_parser("run", help="run every notebook of an experiment, in order")
    run.add_argument("experiment", help="name of a file in experiments/")
    run.add_argument("--data", help="folder of the data set; remembered for the next runs")
    run.add_argument("--cores", type=int, help="jobs side by side; default: all cores")

    notebook = commands.add_parser("notebook", help="run one notebook through papermill")
    notebook.add_argument("notebook", help="its number (04) or path")
    notebook.add_argument("--experiment", help="default: what the notebook's parameters say")
    notebook.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    notebook.add_argument("--output", type=Path, help="default: runs/<experiment>/notebooks/")

    stage = commands.add_parser("stage", help="run one stage; its arguments as --name value")
    stage.add_argument("stage", help="a function of study.steps, as floc, gmic, fagg")
    stage.add_argument("--experiment", required=True)

    check = commands.add_parser("check", help="check an experiment's settings and data folder")
    check.add_argument("experiment")
    check.add_argument("--data", help="folder of the data set")
    check.add_argument("--complete", action="store_true", help="fail unless all is up to date")

    data = commands.add_parser("data-check", help="look through a data set before it is used")
    data.add_argument("dataset", help="name of its reader, as mini_mias or table")
    data.add_argument("--data", required=True, help="folder of the data set")
    data.add_argument("--pixels", action="store_true", help="open every image and outline, too")
    data.add_argument("--experiment", help="whose options, splits and canvas; default: the set's")
    data.add_argument("-p", nargs=2, action="append", default=[], metavar=("OPTION", "VALUE"))
    data.add_argument("--cores", type=int, help="images read side by side; default: all cores")

    commands.add_parser("refresh", help="bring the outputs of the demo into notebooks/")
    return top


def pairs(words: list[str]) -> dict[str, str]:
    """``--name value --other value`` as a dictionary; InputError for anything else."""
    odd = [w for w in words[::2] if not w.startswith("--")] or (
        words[-1:] if len(words) % 2 else []
    )
    if odd:
        raise InputError(f"cannot read '{odd[0]}'", "command line", "Write --name value")
    return {
        name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)
    }


def carry_out(words: list[str]) -> int:
    """Do what a command line says; its exit code.  InputError and JobError go to the caller."""
    args, rest = parser().parse_known_args(words)
    if rest and args.command != "stage":
        raise InputError(f"cannot read '{rest[0]}'", "command line", "See --help")
    if args.command == "run":
        from study.workflow import run_experiment

        run_experiment(args.experiment, args.data, args.cores)
    elif args.command == "notebook":
        from study.runner import run_notebook

        run_notebook(args.notebook, args.experiment, dict(args.p), args.output)
    elif args.command == "stage":
        from study.runner import run_stage

        run_stage(args.stage, args.experiment, pairs(rest))
    elif args.command == "check":
        _check(args)
    elif args.command == "data-check":
        return _data_check(args)
    else:
        from study.refresh import refresh

        refresh()
    return 0


def _check(args) -> None:
    from study.workflow import check, unfinished

    check(args.experiment, args.data)
    jobs = unfinished(args.experiment) if args.complete else 0
    if jobs:
        remedy = f"Run make run EXPERIMENT={args.experiment}"
        raise InputError(
            f"{jobs} jobs are still to be run", f"experiment {args.experiment}", remedy
        )
    state = "complete" if args.complete else "settings and data folder are fine"
    print(f"experiment {args.experiment}: {state}")


def _data_check(args) -> int:
    """1 where the set has a fault."""
    import yaml

    from data_manifest.data_check import data_check
    from study.settings import settings_for

    options = {name: yaml.safe_load(value) for name, value in args.p}
    faults = data_check(
        args.dataset,
        args.data,
        settings_for(args.dataset, args.experiment),
        options,
        pixels=args.pixels,
        workers=args.cores or os.cpu_count() or 1,
    )
    return 1 if faults else 0


def main(words: list[str] | None = None) -> int:
    """Carry out a command line; returns its exit code: 0, 2 for the user's input, 1 otherwise."""
    from study.jobs import JobError

    try:
        return carry_out(sys.argv[1:] if words is None else words)
    except (InputError, JobError) as error:
        _last_line(f"error: {error}")
        return 2 if isinstance(error, InputError) else 1


def _last_line(text: str) -> None:
    """Say how it ended; a job of a workflow leaves that to the workflow, which says it last."""
    if not os.environ.get("LESIONLIB_WORKFLOW"):
        print(text, file=sys.stderr, flush=True)


def _stop(number, frame):
    raise KeyboardInterrupt


def guarded_main() -> int:
    """As :func:`main`; a stop by hand or by the workflow is told in one line.

    Ctrl-C reaches a workflow and its jobs at once, and the workflow then ends its jobs by a second
    signal.  A process that is on its way out is deaf to it, or it would die with a traceback.
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
