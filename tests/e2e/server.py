"""A real MONAI Label server in its own process, started, killed and watched by the end-to-end tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

REPOSITORY = Path(__file__).resolve().parents[2]
APP = REPOSITORY / "apps" / "recursive_ich"

START_SECONDS = 120.0
"""Longest start-up: 6-8 s on an idle machine, but the tests' machine may be shared."""
END_SECONDS = 20.0
"""How long the server's subprocess may outlive the server."""
POLL_SECONDS = 0.1
TRAINING_MODULE = "monailabel.interfaces.utils.app"
"""What MONAI Label runs a round's subprocess as: `python -m monailabel.interfaces.utils.app -m train`."""

Status = dict[str, Any]


class Server:
    """`monailabel start_server` on loopback and a free port, which it keeps over restarts.

    Args:
        studies: the studies folder, or a DICOMweb URL.
        log: file that the server's output is appended to.
        conf: `--conf KEY VALUE` pairs.
        app: the app folder.
        env: environment variables on top of the tests' own.
    """

    def __init__(
        self,
        studies: Path | str,
        *,
        log: Path,
        conf: Mapping[str, object] | None = None,
        app: Path = APP,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.studies = studies
        self.log = log
        self.conf = dict(conf or {})
        self.app = app
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = dict(env or {})
        self._process: psutil.Popen | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill_all()

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self._running().pid

    def start(self) -> None:
        """Start the server and wait until it answers `GET /info/`."""
        command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(self.app)]
        command += ["--studies", str(self.studies), "--host", "127.0.0.1", "--port", str(self.port)]
        for key, value in self.conf.items():
            command += ["--conf", key, str(value)]
        library = os.pathsep.join(filter(None, [str(REPOSITORY / "lib"), os.environ.get("PYTHONPATH", "")]))
        env = {
            **os.environ,
            "PYTHONPATH": library,
            "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
            **self._env,
        }
        with self.log.open("ab") as out:
            # A session of its own: a Ctrl-C at the tests does not reach the server before the tests' own clean-up.
            self._process = psutil.Popen(
                command, cwd=self.log.parent, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self._alive():
                self.fail("the server ended before it answered")
            if time.monotonic() > deadline:
                self.fail(f"the server did not answer within {START_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the server as an operator does (SIGTERM); its subprocess must end with it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL the server alone; its subprocess must end with it."""
        self._end(signal.SIGKILL)

    def kill_training(self) -> bool:
        """SIGKILL the round's subprocess alone.

        Returns:
            Whether there was one.
        """
        pid = self.training_pid()
        if pid is None:
            return False
        try:
            psutil.Process(pid).kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def kill_all(self) -> None:
        """SIGKILL the server and every process it started, at once."""
        server = self._running()
        family = [*_descendants(server), server]
        for process in family:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(family, timeout=END_SECONDS)
        self._process = None

    def restart(self) -> None:
        """Start again on the same port and studies, after ending the server where it still runs."""
        if self._process is not None:
            if self._alive():
                self.stop()
            self._process = None
        self.start()

    def training_pid(self) -> int | None:
        """Process id of the round's subprocess, None while there is none."""
        for process in _descendants(self._running()):
            try:
                if TRAINING_MODULE in process.cmdline() and not _is_zombie(process):
                    return process.pid
            except psutil.Error:
                continue
        return None

    def get(self, path: str, **query: str) -> Any:
        """JSON answer of `GET path`; raises `requests.HTTPError` for anything but success."""
        answer = requests.get(self.url + path, params=query, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        """Answer of `POST path` with a JSON body, whatever its status."""
        return requests.post(self.url + path, json=dict(body or {}), timeout=60)

    def delete(self, path: str, **query: str) -> requests.Response:
        """Answer of `DELETE path`, whatever its status."""
        return requests.delete(self.url + path, params=query, timeout=60)

    def status(self) -> Status:
        """`GET /recursive/status`."""
        return self.get("/recursive/status")

    def wait(self, condition: Callable[[Status], bool], timeout: float, *, failing: bool = False) -> Status:
        """Wait until the server's status meets a condition.

        Args:
            condition: asked of every status.
            timeout: seconds.
            failing: whether the state `failed` may come on the way; otherwise it ends the test at once.

        Returns:
            The status that met the condition.
        """
        deadline = time.monotonic() + timeout
        status: Status | None = None
        while time.monotonic() < deadline:
            if not self._alive():
                self.fail("the server ended")
            try:
                status = self.status()
            except (requests.ConnectionError, requests.Timeout):
                status = None
            if status is not None:
                if condition(status):
                    return status
                if status.get("state") == "failed" and not failing:
                    self.fail(f"the round failed: {status.get('last_error')}")
            time.sleep(POLL_SECONDS)
        self.fail(f"not within {timeout:.0f} s; the last status was {status}")
        raise AssertionError  # never: fail() raises

    def fail(self, reason: str) -> None:
        """End the test with a reason and the end of the server's log."""
        pytest.fail(f"{reason}\n--- the end of {self.log} ---\n{self.log_tail()}", pytrace=False)

    def log_tail(self, lines: int = 60) -> str:
        """The last lines of the server's log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _running(self) -> psutil.Popen:
        if self._process is None:
            raise RuntimeError("the server is not running: start() it")
        return self._process

    def _alive(self) -> bool:
        return self._running().poll() is None

    def _answers(self) -> bool:
        try:
            return requests.get(self.url + "/info/", timeout=30).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def _end(self, signum: signal.Signals) -> None:
        server = self._running()
        children = _descendants(server)
        _signal(server, signum)
        _, alive = psutil.wait_procs([server, *children], timeout=END_SECONDS)
        alive = [process for process in alive if not _is_zombie(process)]
        self._process = None
        for process in alive:
            _signal(process, signal.SIGKILL)
        if alive:
            names = ", ".join(str(process.pid) for process in alive)
            self.fail(f"process {names} outlived a server ended by {signum.name}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_zombie(process: psutil.Process) -> bool:
    """Whether a process has ended and only waits for its parent, which may be a container's idle first process."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _signal(process: psutil.Process, signum: signal.Signals) -> None:
    try:
        process.send_signal(signum)
    except psutil.NoSuchProcess:
        return
