"""A MONAI Label server as a subprocess of the block of code that uses it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import psutil
import requests

from recursive_expand.errors import RecursiveExpandError

LIBRARY = Path(__file__).resolve().parents[2]
"""The folder from which `recursive_expand` is imported."""
START_SECONDS = 300.0
"""Longest start-up: 6-8 s on an idle machine, much longer on one that is training."""
END_SECONDS = 20.0
"""How long the server's own subprocess may outlive it."""
POLL_SECONDS = 0.1
_ENDING_WITH_CALLER = (
    "from recursive_expand.server.parent import end_with_parent; end_with_parent(); "
    "from monailabel.main import Main; Main().run()"
)

Status = dict[str, Any]


class ServerProcess:
    """`monailabel start_server` on loopback and a free port; restarts keep the port.

    Args:
        studies: the studies folder, or a DICOMweb URL.
        log: file to which the server's output is appended.
        conf: `--conf KEY VALUE` pairs.
        app: the app folder.
        env: environment variables in addition to the caller's.
        ends_with_caller: the server ends when the thread that started it ends, even if that is killed.
    """

    def __init__(
        self,
        studies: Path | str,
        *,
        log: Path,
        app: Path,
        conf: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        ends_with_caller: bool = False,
    ) -> None:
        self.studies = studies
        self.log = log
        self.conf = dict(conf or {})
        self.app = app
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = dict(env or {})
        self._ends_with_caller = ends_with_caller
        self._process: psutil.Popen | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill_all()

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self.process.pid

    @property
    def process(self) -> psutil.Popen:
        """The running server.

        Raises:
            RuntimeError: it was not started, or has ended.
        """
        if self._process is None:
            raise RuntimeError("the server is not running: start() it")
        return self._process

    def start(self) -> None:
        """Start the server and wait until it answers `GET /info/`."""
        command = [sys.executable, *self._entry(), "--app", str(self.app), "--studies", str(self.studies)]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        for key, value in self.conf.items():
            command += ["--conf", key, str(value)]
        library = os.pathsep.join(filter(None, [str(LIBRARY), os.environ.get("PYTHONPATH", "")]))
        env = {**os.environ, "PYTHONPATH": library, "MONAI_LABEL_AUTO_UPDATE_SCORING": "false", **self._env}
        with self.log.open("ab") as out:
            # A session of its own: a Ctrl-C at the caller does not reach the server before the caller's own clean-up.
            self._process = psutil.Popen(
                command, cwd=self.log.parent, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self.alive():
                self.fail("the server ended before it answered")
            if time.monotonic() > deadline:
                self.fail(f"the server did not answer within {START_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the server as an operator does (SIGTERM); its subprocess must end with it."""
        self.end(signal.SIGTERM)

    def kill_all(self) -> None:
        """SIGKILL the server and every process it started."""
        family = [*descendants(self.process), self.process]
        for process in family:
            send(process, signal.SIGKILL)
        psutil.wait_procs(family, timeout=END_SECONDS)
        self._process = None

    def end(self, signum: signal.Signals) -> None:
        """Send the server a signal; `fail` is called unless it and its subprocess end."""
        server = self.process
        children = descendants(server)
        send(server, signum)
        _, alive = psutil.wait_procs([server, *children], timeout=END_SECONDS)
        alive = [process for process in alive if not is_zombie(process)]
        self._process = None
        for process in alive:
            send(process, signal.SIGKILL)
        if alive:
            names = ", ".join(str(process.pid) for process in alive)
            self.fail(f"process {names} outlived a server ended by {signum.name}")

    def alive(self) -> bool:
        """Whether the server's process is running."""
        return self.process.poll() is None

    def get(self, path: str, **query: str) -> Any:
        """JSON response to `GET path`; raises `requests.HTTPError` unless it succeeds."""
        answer = requests.get(self.url + path, params=query, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        """Response to `POST path` with a JSON body, whatever its status."""
        return requests.post(self.url + path, json=dict(body or {}), timeout=60)

    def delete(self, path: str, **query: str) -> requests.Response:
        """Response to `DELETE path`, whatever its status."""
        return requests.delete(self.url + path, params=query, timeout=60)

    def status(self) -> Status:
        """`GET /recursive/status`."""
        return self.get("/recursive/status")

    def wait(self, condition: Callable[[Status], bool], timeout: float, *, failing: bool = False) -> Status:
        """Wait until the server's status meets a condition.

        Args:
            condition: called with every status.
            timeout: seconds.
            failing: whether the state `failed` is tolerated meanwhile; otherwise it calls `fail`.

        Returns:
            The status that met the condition.
        """
        deadline = time.monotonic() + timeout
        status: Status | None = None
        while time.monotonic() < deadline:
            if not self.alive():
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

    def fail(self, reason: str) -> NoReturn:
        """Report that the server did not do what was expected of it.

        Raises:
            RecursiveExpandError: always.
        """
        raise RecursiveExpandError(f"{reason}; its log is {self.log}")

    def log_tail(self, lines: int = 60) -> str:
        """The last lines of the server's log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _entry(self) -> list[str]:
        """What Python runs, up to the server's own options."""
        entry = ["-c", _ENDING_WITH_CALLER] if self._ends_with_caller else ["-m", "monailabel.main"]
        return [*entry, "start_server"]

    def _answers(self) -> bool:
        try:
            return requests.get(self.url + "/info/", timeout=30).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """All processes that a process started, directly or indirectly."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_zombie(process: psutil.Process) -> bool:
    """Whether a process has ended but was not reaped by its parent, which may be a container's idle first process."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def send(process: psutil.Process, signum: signal.Signals) -> None:
    """Send a signal to a process, which may have ended meanwhile."""
    try:
        process.send_signal(signum)
    except psutil.NoSuchProcess:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
