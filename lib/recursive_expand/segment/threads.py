"""How many threads a tensor operation may use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_users = 0
_before = 1


def one_thread_in_this_thread() -> None:
    """Let the calling thread's tensor operations run on itself alone, while others go on using all cores.

    For threads that prepare what another one computes with: two teams of threads would wait for the same cores.
    Threads that begin their first operation later take this for the process's setting: whoever starts such threads sets
    it again.
    """
    torch.get_num_threads()  # a thread's first operation would take up the process's setting
    torch.set_num_threads(1)


@contextmanager
def one_thread_per_operation() -> Iterator[None]:
    """Within, a tensor operation runs on the thread that calls it, for callers that are many themselves.

    torch's setting is the process's, so overlapping users are counted: the last one to leave restores it.
    """
    global _users, _before
    with _lock:
        if _users == 0:
            _before = torch.get_num_threads()
            torch.set_num_threads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                torch.set_num_threads(_before)
