"""One training by several processes, a device each (`compute.devices`)."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable

from lesionlib.errors import InputError

GRACE = 3  # seconds in which the first process may say that it was interrupted, too


def together(count: int, work: Callable, *given, say: Callable[[str], None], **named) -> None:
    """Call ``work(*given, progress=say, **named)`` in `count` new processes, and wait for them.

    They are spawned, not forked: a fork of a process that runs threads, as Jupyter's kernel does,
    or that has used a GPU, cannot be relied on. So `work` and what is given are pickled, once for
    each, and a script that comes here needs ``if __name__ == "__main__":``. Where one of them fails
    or is killed, or this process is interrupted, all of them are ended.

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
    # by pickle itself, which copies tensors: torch's would have the processes share their memory
    content, port = pickle.dumps((work, given, named)), find_free_network_port()
    running = mp.start_processes(_one, (content, port, said), count, join=False)

    def pass_on() -> None:
        while not said.empty():
            if isinstance(word := said.get(), InputError):
                raise word
            say(word)

    try:
        while not running.join(timeout=0.1):
            pass_on()
    finally:
        running.processes[0].join(GRACE)
        for process in running.processes:
            process.kill()
            process.join()
        pass_on()


def _one(rank: int, content: bytes, port: int, said) -> None:
    from lesionlib.models._torchvision import torchvision_models

    own = {"LOCAL_RANK": rank, "NODE_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    logging.disable(logging.INFO)  # Lightning's greeting
    os.environ.update({name: str(value) for name, value in own.items()})
    torchvision_models()  # f_loc's network is of torchvision, whose plain import may fail
    work, given, named = pickle.loads(content)  # noqa: S301
    try:
        work(*given, progress=said.put, **named)
    except InputError as error:
        said.put(error)
        raise
