"""Work in a second process: its answers, its errors, and its death."""

import os
import time

import pytest

from data_manifest.images.own_process import in_own_process


def test_answers_and_errors_come_back():
    assert in_own_process(sorted, [3, 1, 2]) == [1, 2, 3]
    assert in_own_process(os.getpid) == in_own_process(os.getpid) != os.getpid()
    with pytest.raises(ZeroDivisionError):
        in_own_process(divmod, 1, 0)


@pytest.mark.parametrize("call", [(os._exit, 9), (os.abort,), (time.sleep, 60)])
def test_a_process_that_dies_or_hangs_is_told_and_the_next_one_works(call):
    """Trap: a decoder in C that aborts takes the whole run with it."""
    before = in_own_process(os.getpid)
    with pytest.raises(ChildProcessError, match=f"process of {call[0].__name__}"):
        in_own_process(*call, seconds=2)
    assert in_own_process(os.getpid) not in (before, os.getpid())
