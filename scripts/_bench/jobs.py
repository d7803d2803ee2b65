"""Work in another process, with another checkout's library: one JSON line asks for it, one answers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Jobs = Mapping[str, Callable[..., Any]]


def serve_jobs(jobs: Jobs) -> None:
    """Do what comes in on standard input, until it ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(jobs[asked["job"]](**asked["arguments"])), file=answers, flush=True)


class Worker:
    """A process that serves jobs.

    Args:
        process: with pipes.
        log: where it says what went wrong.
    """

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    def ask(self, job: str, **arguments: Any) -> None:
        """Begin a job; `answer` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"job": job, "arguments": arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What the job that was asked for returned.

        Raises:
            RuntimeError: the process ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker of the benchmark ended; see {self._log}")
        return json.loads(line)

    def do(self, job: str, **arguments: Any) -> Any:
        """Ask and wait."""
        self.ask(job, **arguments)
        return self.answer()


@contextlib.contextmanager
def working(module: str, environment: Mapping[str, str], log: Path) -> Iterator[Worker]:
    """A worker that runs a module of jobs; it ends with the block."""
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield Worker(process, log)
        finally:
            process.kill()
            process.wait()
