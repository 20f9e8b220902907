"""``study evidence``: the experiments of experiments/PROTOCOL.md, and their outcomes."""

from __future__ import annotations

from study import evidence
from study.jobs import JobError
from study.settings import figures_folder, project_root
from study.workflow import check, side_by_side


def run_evidence(cores: int | None = None) -> None:
    """Run what is not up to date of the evidence, side by side, then write its tables.

    An interrupted start goes on where it stopped.  An experiment that fails leaves the others alone.
    Raises InputError for a wrong setting, JobError where an experiment failed.
    """
    names = [name for kind in evidence.SETS for name in evidence.names_of(kind)]
    for name in names:
        check(name)
    failed = side_by_side("results", names, cores)
    content = evidence.write()
    place = figures_folder("evidence").relative_to(project_root())
    print(f"{len(names) - len(content['missing'])} of {len(names)} experiments pooled in {place}/")
    if failed:
        raise JobError(f"{len(failed)} experiments failed: {', '.join(failed)}")
