"""A subprocess that ends with its parent, however that ended."""

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
