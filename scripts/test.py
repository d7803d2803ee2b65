"""Run all tests: `python scripts/test.py [PYTEST ARGUMENTS]`, for example `-k refine` or `tests/segment`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from _venv import DEVELOPMENT, activated, become, ensure_environment, environment_folder, require_python

TWO_AT_A_TIME = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
"""For all tests: many wait for servers and browsers. In the order of their names: the longest files come early."""


def pytest_command(python: Path, arguments: Sequence[str]) -> list[str]:
    """Command line of pytest: skipped tests with their reasons, the slowest tests, then what the caller added.

    All tests run in two processes; with arguments, which mostly choose a few, in one.

    Args:
        python: the environment's interpreter.
        arguments: more of pytest's arguments; paths are relative to the repository.
    """
    shown = ("-rs", "--durations=15", "--durations-min=1")
    return [str(python), "-m", "pytest", *shown, *(arguments or TWO_AT_A_TIME)]


def main(arguments: Sequence[str]) -> None:
    """Prepare everything and become pytest."""
    require_python()
    python = ensure_environment(DEVELOPMENT)
    # Two teams of threads on the same cores that wait for each other by spinning take twenty times as long.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **activated(environment_folder())}
    become(pytest_command(python, arguments), environment)


if __name__ == "__main__":
    main(sys.argv[1:])
