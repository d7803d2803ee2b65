"""Measure speed and memory on this machine: `python scripts/bench.py [SECTION ...] [--quick]`.

`python scripts/bench.py --against CHECKOUT` compares with an older checkout of this repository.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from _venv import DEVELOPMENT, REPOSITORY, activated, become, ensure_environment, environment_folder, require_python


def bench_command(python: Path, arguments: Sequence[str]) -> list[str]:
    """Command line of the benchmark itself, in the environment."""
    return [str(python), "-m", "_bench", *arguments]


def bench_variables(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables of the benchmark and of the servers that it starts."""
    variables = activated(folder, environ)
    paths = [str(REPOSITORY / "lib"), str(REPOSITORY / "scripts"), variables.get("PYTHONPATH")]
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    variables["MONAI_LABEL_AUTO_UPDATE_SCORING"] = "false"
    return variables


def main(arguments: Sequence[str]) -> None:
    """Prepare everything and become the benchmark."""
    require_python()
    python = ensure_environment(DEVELOPMENT)
    become(bench_command(python, arguments), bench_variables(environment_folder()))


if __name__ == "__main__":
    main(sys.argv[1:])
