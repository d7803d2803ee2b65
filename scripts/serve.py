"""Start the server: `python scripts/serve.py [--studies FOLDER]` is all that a fresh machine needs."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from _pacs_demo import start_pacs_demo
from _venv import REPOSITORY, RUNTIME, activated, become, ensure_environment, environment_folder, require_python

APP = REPOSITORY / "apps" / "recursive_ich"
DEMO = REPOSITORY / "demo"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    Returns:
        `studies` (None for the demo), `pacs_demo`, `host`, `port`, `conf`, a list of [key, value], `allow_origin` and
        `open`.

    Raises:
        SystemExit: an unknown option or an unusable value.
    """
    parser = argparse.ArgumentParser(prog="serve.py", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--studies",
        metavar="FOLDER|URL",
        help="folder of scans, or the DICOMweb address of a PACS; without it demo studies are made and served",
    )
    parser.add_argument(
        "--pacs-demo",
        action="store_true",
        help="start an Orthanc on this machine with demo studies in it, and serve from that",
    )
    parser.add_argument("--port", type=_port, default=8000, help="default: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, default: this machine only")
    parser.add_argument(
        "--conf",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="option of the app, may be given several times: --conf epochs 10 --conf preset paper",
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="web site that may use the server, or its name behind a reverse proxy: https://viewer.example",
    )
    parser.add_argument("--open", action="store_true", help="open the review desk in this machine's browser")
    options = parser.parse_args(arguments)
    if options.pacs_demo and options.studies:
        parser.error("--pacs-demo brings its own studies; leave --studies out")
    return options


def resolve_studies(studies: str) -> str:
    """The folder's absolute path; an address as it is.

    Raises:
        SystemExit: no such folder, or an address with a password in it.
    """
    if studies.startswith(("http://", "https://")):
        if "@" in studies.split("://", 1)[1].split("/", 1)[0]:
            sys.exit(
                "--studies: an address with a password shows in `ps`; give it by RECURSIVE_PACS_USER and _PASSWORD"
            )
        return studies
    folder = Path(studies).expanduser()
    if not folder.is_dir():
        sys.exit(f"--studies {studies}: no such folder; give a folder of scans")
    return str(folder.resolve())


def check_port(host: str, port: int) -> None:
    """End the script with one line unless the server will be able to listen on `host` and `port`.

    Raises:
        SystemExit: the port is in use or not allowed, or the host is none of this machine's addresses.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                # As the server does: a port whose last connections are still closing is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Linux lets two sockets with SO_REUSEADDR bind as long as neither listens.
            probe.listen()
    except OSError as error:
        sys.exit(f"Port {port} on {host} cannot be used ({error.strerror or error}): choose another one with --port")


def server_command(python: Path, studies: str, arguments: argparse.Namespace) -> list[str]:
    """Command line of the server for the app.

    Args:
        python: the environment's interpreter.
        studies: absolute folder, or an address.
        arguments: as `parse_arguments` gives them.
    """
    command = [str(python), "-m", "recursive_expand.server.serve", "--app", str(APP), "--studies", studies]
    command += ["--host", arguments.host, "--port", str(arguments.port)]
    for key, value in arguments.conf:
        command += ["--conf", key, value]
    for origin in arguments.allow_origin:
        command += ["--allow-origin", origin]
    if arguments.open:
        command.append("--open")
    return command


def server_variables(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables of the server in the virtual environment `folder`."""
    variables = activated(folder, environ)
    variables["PYTHONPATH"] = variables.get("PYTHONPATH") or str(REPOSITORY / "lib")
    return variables


def make_demo(python: Path, demo: Path = DEMO) -> str:
    """Make the demo studies, once.

    Args:
        python: the environment's interpreter.
        demo: folder whose `studies` is made.

    Returns:
        The studies' folder.

    Raises:
        SystemExit: they could not be made.
    """
    studies = demo / "studies"
    if studies.is_dir():
        print(f"No --studies given: serving the demo studies in {studies}", flush=True)
        return str(studies)
    print(f"No --studies given: making demo studies (synthetic head CT, no patient) in {studies}", flush=True)
    # Made beside and moved when whole: an interrupted start leaves nothing that looks like studies.
    partial = demo / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    program = (
        "import pathlib, sys; from recursive_expand.phantom import write_demo; write_demo(pathlib.Path(sys.argv[1]))"
    )
    if subprocess.run([python, "-c", program, partial / "studies"], check=False).returncode != 0:
        sys.exit("The demo studies could not be made (the reason is above): give scans of your own with --studies")
    (partial / "studies").rename(studies)
    shutil.rmtree(partial)
    return str(studies)


def demo_conf(conf: list[list[str]]) -> list[list[str]]:
    """`--conf` pairs for the demo: f starts fresh, `pretrain: synthetic` would have learned from such heads."""
    return [["pretrain", "none"], *conf]


def greeting(studies: str, host: str, port: int) -> str:
    """What the terminal shows before the server's own lines: where it will be and what to do next."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    lines = [
        "",
        f"Recursive ICH serves {studies}",
        f"  read at   {url}/review/ (ready in about 10 seconds; Ctrl-C ends it and loses nothing)",
        f"  progress  {url}/review/progress",
        f"  3D Slicer module MONAI Label, server {url}, then Next Sample",
    ]
    if host not in LOOPBACK:
        lines.append(
            f"  Careful:  whoever reaches {host} can read these scans; MONAI Label asks for no password by default"
        )
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str]) -> None:
    """Prepare everything and become the server."""
    require_python()
    options = parse_arguments(arguments)
    studies = resolve_studies(options.studies) if options.studies else None
    check_port(options.host, options.port)
    python = ensure_environment(RUNTIME)
    if options.pacs_demo:
        demo = start_pacs_demo(python, DEMO / "pacs", server_variables(environment_folder()))
        studies, options.conf = demo.url, [["workspace", str(demo.workspace)], *options.conf]
    elif studies is None:
        studies = make_demo(python)
        options.conf = demo_conf(options.conf)
    print(greeting(studies, options.host, options.port), flush=True)
    become(server_command(python, studies, options), server_variables(environment_folder()))


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    main(sys.argv[1:])
