"""Run all tests: `python scripts/test.py [PYTEST ARGUMENTS]`, for example `-k refine` or `tests/segment`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from _venv import DEVELOPMENT, activated, become, ensure_environment, environment_folder, require_python


def pytest_command(python: Path, arguments: Sequence[str]) -> list[str]:
    """Command line of pytest: skipped tests with their reasons, the slowest tests, then what the caller added.

    Args:
        python: the environment's interpreter.
        arguments: more of pytest's arguments; paths are relative to the repository.
    """
    return [str(python), "-m", "pytest", "-rs", "--durations=15", "--durations-min=1", *arguments]


def main(arguments: Sequence[str]) -> None:
    """Prepare everything and become pytest."""
    require_python()
    python = ensure_environment(DEVELOPMENT)
    become(pytest_command(python, arguments), activated(environment_folder()))


if __name__ == "__main__":
    main(sys.argv[1:])
