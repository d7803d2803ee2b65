"""A real MONAI Label server in its own process, started, killed and watched by the end-to-end tests."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from recursive_expand.experiment.server import ServerProcess, Status, descendants, is_zombie

__all__ = ["APP", "REPOSITORY", "TRAINING_MODULE", "Server", "Status"]

REPOSITORY = Path(__file__).resolve().parents[2]
APP = REPOSITORY / "apps" / "recursive_ich"

TRAINING_MODULE = "monailabel.interfaces.utils.app"
"""What MONAI Label runs a round's subprocess as: `python -m monailabel.interfaces.utils.app -m train`."""


class Server(ServerProcess):
    """A server that can be killed in more ways, and whose failures end the test.

    Args:
        studies: the studies folder, or a DICOMweb URL.
        log: file that the server's output is appended to.
        conf: `--conf KEY VALUE` pairs.
        app: the app folder.
        env: environment variables on top of the tests' own.
        serve: start it as `recursive-expand serve` instead of `python -m monailabel.main start_server`.
    """

    def __init__(
        self,
        studies: Path | str,
        *,
        log: Path,
        conf: Mapping[str, object] | None = None,
        app: Path = APP,
        env: Mapping[str, str] | None = None,
        serve: bool = False,
    ) -> None:
        super().__init__(studies, log=log, app=app, conf=conf, env=env)
        self._serve = serve

    def kill(self) -> None:
        """SIGKILL the server alone; its subprocess must end with it."""
        self.end(signal.SIGKILL)

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

    def restart(self) -> None:
        """Start again on the same port and studies, after ending the server where it still runs."""
        if self._process is not None:
            if self.alive():
                self.stop()
            self._process = None
        self.start()

    def training_pid(self) -> int | None:
        """Process id of the round's subprocess, None while there is none."""
        for process in descendants(self.process):
            try:
                if TRAINING_MODULE in process.cmdline() and not is_zombie(process):
                    return process.pid
            except psutil.Error:
                continue
        return None

    def _entry(self) -> list[str]:
        """As `ServerProcess._entry`, or the console script's own call."""
        return ["-c", "from recursive_expand.cli import app; app()", "serve"] if self._serve else super()._entry()

    def fail(self, reason: str) -> NoReturn:
        """End the test with a reason and the end of the server's log."""
        pytest.fail(f"{reason}\n--- the end of {self.log} ---\n{self.log_tail()}", pytrace=False)
