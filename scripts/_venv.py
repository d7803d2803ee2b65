"""The virtual environment of the scripts: made, filled and kept up to date.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent

PYTHON = (3, 11)
"""The only Python that MONAI Label's pinned dependencies and the Slicer wheel of the tests all support."""

FOLDER_VARIABLE = "RECURSIVE_VENV"
"""Environment variable that names another folder than `.venv`, for example a temporary one in CI."""

RUNTIME = ("requirements.txt",)
"""Requirement files of the server."""

DEVELOPMENT = ("requirements.txt", "requirements-dev.txt")
"""Requirement files of the tests and checks."""


def require_python(version: Sequence[int] = sys.version_info[:2]) -> None:
    """End the script with one line unless it runs under Python 3.11.

    Args:
        version: major, minor, ... of the interpreter.

    Raises:
        SystemExit: another Python; the message names it and the command to use instead.
    """
    if tuple(version[:2]) == PYTHON:
        return
    wanted = ".".join(map(str, PYTHON))
    found = shutil.which(f"python{wanted}")
    script = Path(sys.argv[0]).name or "serve.py"
    mend = f"run: {found} scripts/{script}" if found else f"install Python {wanted} and run the script with it"
    sys.exit(f"Python {wanted} is needed, this is {version[0]}.{version[1]}: {mend}")


def environment_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Folder of the virtual environment: `.venv` in the repository, or what `RECURSIVE_VENV` names."""
    return Path(environ.get(FOLDER_VARIABLE) or REPOSITORY / ".venv").absolute()


def programs_folder(folder: Path) -> Path:
    """Folder of the programs of the virtual environment `folder`."""
    return folder / ("Scripts" if os.name == "nt" else "bin")


def python_of(folder: Path) -> Path:
    """Interpreter of the virtual environment `folder`."""
    return programs_folder(folder) / ("python.exe" if os.name == "nt" else "python")


def activated(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables as after activating the virtual environment `folder`."""
    variables = dict(environ)
    variables.pop("PYTHONHOME", None)
    variables["VIRTUAL_ENV"] = str(folder)
    variables["PATH"] = os.pathsep.join(filter(None, [str(programs_folder(folder)), environ.get("PATH")]))
    return variables


def stamp(requirements: str, repository: Path = REPOSITORY) -> str:
    """SHA-256 of all that decides what installing one requirement file gives.

    Args:
        requirements: name of the requirement file.
        repository: the checkout; its path counts too, as the library is installed to be read from there.
    """
    digest = hashlib.sha256(str(repository).encode())
    for name in (requirements, "constraints.txt", "pyproject.toml"):
        content = (repository / name).read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def outdated(folder: Path, requirements: Iterable[str], repository: Path = REPOSITORY) -> list[str]:
    """Requirement files that were never installed to the end in `folder`, or have changed since."""
    return [
        name
        for name in requirements
        if not _stamp_file(folder, name).is_file()
        or _stamp_file(folder, name).read_text(encoding="ascii") != stamp(name, repository)
    ]


def remove_torn_installs(folder: Path) -> list[str]:
    """Make pip install again what a killed pip had only half unpacked.

    pip takes a package for installed as soon as its `METADATA` is there, but writes `INSTALLER` only after the last of
    its files: a `.dist-info` without that file belongs to a torn package.

    Args:
        folder: the virtual environment.

    Returns:
        Names of the `.dist-info` folders removed.
    """
    torn = [
        info
        for library in ("lib/python*", "Lib")
        for info in folder.glob(f"{library}/site-packages/*.dist-info")
        if not (info / "INSTALLER").is_file()
    ]
    for info in torn:
        shutil.rmtree(info)
    return [info.name for info in torn]


def ensure_environment(requirements: Sequence[str], folder: Path | None = None) -> Path:
    """Make the virtual environment if missing and install into it what is missing or has changed.

    Running it again after an interruption goes on where it was.

    Args:
        requirements: requirement files, `RUNTIME` or `DEVELOPMENT`.
        folder: the virtual environment, `environment_folder()` by default.

    Returns:
        The environment's interpreter.

    Raises:
        SystemExit: the environment cannot be made or filled; the message says what to do.
    """
    folder = folder or environment_folder()
    python = python_of(folder)
    try:
        if not _runs(python):
            _make(folder)
        if outdated(folder, requirements):
            _install(folder, requirements)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. The same command goes on from here: what was downloaded is kept.")
    return python


def become(command: Sequence[str | Path], environ: Mapping[str, str]) -> NoReturn:
    """Run `command` in the repository in place of this process.

    It is the same process afterwards: signals reach it as they are, its exit status is the script's, and no kill of
    the script leaves it behind. Windows has no such call; there this process waits and returns the status.
    """
    arguments = [str(part) for part in command]
    sys.stdout.flush()
    os.chdir(REPOSITORY)
    if os.name != "nt":
        os.execve(arguments[0], arguments, dict(environ))
    process = subprocess.Popen(arguments, env=dict(environ))
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:
            # The console has sent Ctrl-C to the child too: wait for its orderly end.
            continue


def _stamp_file(folder: Path, requirements: str) -> Path:
    return folder / f"{Path(requirements).stem}.installed"


def _runs(python: Path) -> bool:
    """Whether the interpreter is there, is the right Python and has pip."""
    check = f"import sys, pip; sys.exit(sys.version_info[:2] != {PYTHON})"
    try:
        return subprocess.run([python, "-c", check], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def _make(folder: Path) -> None:
    print(f"Making the virtual environment {folder}", flush=True)
    if subprocess.run([sys.executable, "-m", "venv", folder], check=False).returncode != 0:
        sys.exit(
            f"{folder} could not be made (Python says why above). "
            "On Debian and Ubuntu this brings what is missing: apt-get install python3.11-venv"
        )
    if not _runs(python_of(folder)):
        sys.exit(f"{folder} holds an environment of another Python: remove or rename it and run the command again")


def _install(folder: Path, requirements: Sequence[str]) -> None:
    files = " and ".join(requirements)
    print(f"Installing {files} into {folder}: some minutes and about 9 GB the first time", flush=True)
    for name in requirements:
        _stamp_file(folder, name).unlink(missing_ok=True)
    for name in remove_torn_installs(folder):
        print(f"  {name} was only half installed: again", flush=True)
    command: list[str | Path] = [python_of(folder), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--constraint", "constraints.txt"]
    for name in requirements:
        command += ["--requirement", name]
    # One call for all, so that pip settles the library's own dependencies and the tests' together.
    command += ["--editable", "."]
    if subprocess.run(command, cwd=REPOSITORY, env=activated(folder), check=False).returncode != 0:
        sys.exit("Installing failed (pip says why above). The same command goes on: what was downloaded is kept.")
    for name in requirements:
        _stamp_file(folder, name).write_text(stamp(name), encoding="ascii")
