"""A function in a process of its own: for decoders that may end the process they run in."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import cache

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

SECONDS = 120  # many times what the largest mammogram needs
IDLE_SECONDS = 30  # then the process ends by itself


def in_own_process(function: Callable, *arguments, seconds: float = SECONDS):
    """``function(*arguments)``, computed in a second process that is kept for the next call.

    Raises
    ------
    ChildProcessError
        If that process ends without an answer, or has none within `seconds`; also whatever the
        function raises.
    """
    child = _child(os.getpid())
    try:
        return child.submit(function, *arguments).result(seconds)
    except (BrokenProcessPool, TimeoutError):
        child.shutdown(wait=False, kill_workers=True)
        _child.cache_clear()
        raise ChildProcessError(f"no answer from the process of {function.__name__}") from None


@cache
def _child(parent: int) -> ProcessPoolExecutor:
    """The second process of a `parent`; a process that was forked from it gets its own."""
    return ProcessPoolExecutor(
        max_workers=1, timeout=IDLE_SECONDS, initializer=end_with, initargs=(parent,)
    )


def end_with(parent: int) -> None:
    """In a worker: end within a second of its parent process, even of one that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
