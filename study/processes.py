"""One training by several processes, a device each (`compute.devices`)."""

from __future__ import annotations

import logging
import os
import pickle
import signal
from collections.abc import Callable
from multiprocessing import parent_process
from tempfile import NamedTemporaryFile

from lesionlib.errors import InputError

GRACE = 3  # seconds in which the first process may say that it was interrupted, too


def together(count: int, work: Callable, *given, say: Callable[[str], None], **named) -> None:
    """Call ``work(*given, progress=say, **named)`` in `count` new processes, and wait for them.

    They are spawned, not forked: a fork of a process that runs threads, as Jupyter's kernel does,
    or that has used a GPU, cannot be relied on. So `work` and what is given are pickled, and a
    script that comes here needs ``if __name__ == "__main__":``. Where one of them fails or is
    killed, or this process is interrupted or killed, all of them are ended.

    Parameters
    ----------
    count : of processes; they find each other by the variables that torchrun sets, too.
    say : called here with what they say.

    Raises
    ------
    InputError : as one of them has raised it; their other errors come as torch.multiprocessing's.
    """
    import torch.multiprocessing as mp
    from lightning_fabric.plugins.environments.lightning import find_free_network_port

    said = mp.get_context("spawn").SimpleQueue()

    def pass_on() -> None:
        while not said.empty():
            if isinstance(word := said.get(), InputError):
                raise word
            say(word)

    with NamedTemporaryFile() as file:
        # by pickle itself, which copies tensors: torch's would have the processes share their memory
        pickle.dump((work, given, named), file)
        file.flush()
        what = file.name, find_free_network_port(), said
        running = mp.start_processes(_one, what, count, join=False, daemon=True)
        try:
            while not running.join(timeout=0.1):
                pass_on()
        finally:
            running.processes[0].join(GRACE)
            for process in running.processes:
                process.kill()
                process.join()
            pass_on()


def _one(rank: int, file: str, port: int, said) -> None:
    from lesionlib.models._torchvision import torchvision_models

    own = {"LOCAL_RANK": rank, "NODE_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    # torch has it sent when the process that waits is killed; a shell's & has it ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not parent_process().is_alive():  # killed before torch could have it sent
        return
    logging.disable(logging.INFO)  # Lightning's greeting
    os.environ.update({name: str(value) for name, value in own.items()})
    torchvision_models()  # f_loc's network is of torchvision, whose plain import may fail
    with open(file, "rb") as content:
        work, given, named = pickle.load(content)  # noqa: S301
    try:
        work(*given, progress=said.put, **named)
    except InputError as error:
        said.put(error)
        raise
