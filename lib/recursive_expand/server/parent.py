"""How a background process behaves towards its server: it ends with it, however that ended, and gives way to it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

import psutil

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends this process when its parent ends."""
SECONDS_BETWEEN_LOOKS = 1.0
SERVER_PID = "RECURSIVE_EXPAND_SERVER_PID"
"""Environment variable in which a server's background processes find its process id."""
NICENESS = 10
"""How far a background process steps back for the server's answers, on POSIX's scale from 0 to 19."""


def give_way() -> None:
    """From now on this process gets the processor when the server does not need it."""
    lower = psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else NICENESS
    psutil.Process().nice(lower)


def give_way_in_thread() -> None:
    """From now on this thread, and those that it starts, get the processor when the server's others do not need it.

    Linux alone has priorities of threads; elsewhere nothing changes.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def announce_server() -> None:
    """Tell the processes that this one starts from now on whose they are."""
    os.environ[SERVER_PID] = str(os.getpid())


def end_with_server() -> None:
    """As `end_with_parent`, for a process that a server started: if that has ended already, this one ends now."""
    end_with_parent()
    server = os.environ.get(SERVER_PID)
    # It may have ended while this process was still importing; whoever is the parent now will not end.
    if server is not None and os.getppid() != int(server):
        os._exit(1)


def end_with_parent() -> None:
    """From now on this process ends when its parent does, also when that was killed.

    On Linux the kernel sees to it; everywhere a thread looks every second.
    """
    parent = psutil.Process(os.getppid())
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while parent.is_running():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
