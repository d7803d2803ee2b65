"""How a background process behaves towards its server."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from recursive_expand.server.parent import NICENESS, SERVER_PID, announce_server

BACKGROUND = (
    "import time; from recursive_expand.server.parent import {0}; {0}(); print('on', flush=True); time.sleep(60)"
)


def start(function, **env):
    command = [sys.executable, "-c", BACKGROUND.format(function)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **env})


@pytest.mark.parametrize("function", ["end_with_parent", "end_with_server"])
def test_it_ends_with_its_server_however_that_ended(function, tmp_path):
    server = f"""
import subprocess, sys
from recursive_expand.server.parent import announce_server
announce_server()
child = subprocess.Popen([sys.executable, "-c", {BACKGROUND.format(function)!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE, text=True) as process:
        child = psutil.Process(int(process.stdout.readline()))
        process.kill()
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_one_whose_server_ended_before_it_looked_ends_at_once():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with start("end_with_server", **{SERVER_PID: str(gone.pid)}) as orphan:
        assert orphan.communicate(timeout=60) == ("", None)
        assert orphan.returncode == 1


def test_a_server_announces_itself_to_what_it_starts(monkeypatch):
    monkeypatch.setenv(SERVER_PID, "1")
    announce_server()
    with start("end_with_server") as child:
        assert child.stdout.readline() == "on\n"
        child.kill()


def test_it_gives_way():
    with start("give_way") as child:
        assert child.stdout.readline() == "on\n"
        assert psutil.Process(child.pid).nice() == psutil.Process().nice() + NICENESS
        child.kill()
