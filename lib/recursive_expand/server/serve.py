"""`recursive-expand serve`: the server, at an address that is said and nowhere else."""

from __future__ import annotations

import argparse
import json
import logging.config
import os
import sys
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.server.access import ALLOW_ORIGIN, HOST, LOOPBACK, Access
from recursive_expand.server.deferred import deferred_torch

CORS_ORIGINS = "MONAI_LABEL_CORS_ORIGINS"
"""MONAI Label's own environment variable for origins; they are allowed as by `--allow-origin`."""
LIBRARY = Path(__file__).resolve().parents[2]
"""The folder that `import recursive_expand` finds the library in; rounds run in a process of their own."""
SECONDS_TO_START = 120
"""How long `--open` waits for the server."""
APP = LIBRARY.parent / "apps" / "recursive_ich"
"""The app that is served unless another is named, where the library lies in its repository."""


def main(arguments: Sequence[str]) -> None:
    """Serve until the process is told to end.

    Args:
        arguments: of the command line, without the program's name.

    Raises:
        SystemExit: with one line, for options that cannot be used and for a server that cannot start.
    """
    options = parse_arguments(arguments)
    try:
        os.environ |= variables(options)
        log_config = logging_of(options.app)
        logging.config.dictConfig(log_config)
        _start(options, log_config)
    except (RecursiveExpandError, OSError) as error:
        sys.exit(str(error))


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    Returns:
        `studies` (an absolute folder, or an address), `app` (an absolute folder), `host`, `port`, `conf` (pairs),
        `allow_origin` (a list) and `open`.

    Raises:
        SystemExit: an unknown option, or a folder that does not exist.
    """
    parser = argparse.ArgumentParser(prog="recursive-expand serve", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--studies", type=_studies, required=True, metavar="DIR|URL", help="folder of scans, or a PACS's DICOMweb"
    )
    parser.add_argument("--app", type=_app, default=str(APP), metavar="DIR", help="folder of the app: its task.yaml")
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on; default: this machine only")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument(
        "--conf", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="option of the app; repeatable"
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="web site that may use the server, or the name it has behind a reverse proxy: https://viewer.example",
    )
    parser.add_argument("--open", action="store_true", help="open the review desk in this machine's browser")
    return parser.parse_args(arguments)


def variables(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """MONAI Label's settings, and ours, as this process and the rounds' processes read them.

    Raises:
        InputError: an origin that is none.
    """
    named = environ.get(ALLOW_ORIGIN, "").split(",") + _cors_origins(environ.get(CORS_ORIGINS, ""))
    origins = [*options.allow_origin, *filter(None, named)]
    Access.of(options.host, origins)
    library = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        "MONAI_LABEL_APP_DIR": str(options.app),
        "MONAI_LABEL_STUDIES": str(options.studies),
        "MONAI_LABEL_APP_CONF": json.dumps(dict(options.conf)),
        "MONAI_LABEL_SERVER_PORT": str(options.port),
        # Its sessions unpack uploads and remove folders that a request names.
        "MONAI_LABEL_SESSIONS": "false",
        # A scoring process of 8 seconds after each next sample, of which this app has no use.
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
        "PYTHONPATH": os.pathsep.join(library if str(LIBRARY) in library else [*library, str(LIBRARY)]),
        # MONAI Label's processes end with a traceback where it names any.
        CORS_ORIGINS: "[]",
        HOST: options.host,
        ALLOW_ORIGIN: ",".join(origins),
    }


def _cors_origins(text: str) -> list[str]:
    try:
        origins = json.loads(text or "[]")
    except ValueError:
        origins = None
    if not isinstance(origins, list) or not all(isinstance(origin, str) for origin in origins):
        raise InputError(f"{CORS_ORIGINS}={text[:80]}", 'is no JSON list; write it like ["https://viewer.example"]')
    return origins


def logging_of(app: Path) -> dict[str, Any]:
    """MONAI Label's logging, with the log file in the app's `logs` folder, which is made."""
    import monailabel

    config = json.loads((Path(monailabel.__file__).parent / "logging.json").read_text())
    folder = app / "logs"
    folder.mkdir(exist_ok=True)
    for handler in config["handlers"].values():
        if "filename" in handler:
            handler["filename"] = str(folder / "app.log")
    return config


def _start(options: argparse.Namespace, log_config: dict[str, Any]) -> None:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    try:
        from monailabel.config import settings
    except (SettingsError, ValidationError) as error:
        raise InputError(
            "environment", f"a MONAI_LABEL_ setting cannot be read: {str(error).splitlines()[0]}"
        ) from error
    # Where it was imported before the variables were set.
    settings.__init__()
    import uvicorn

    from recursive_expand.server.asgi import app

    with deferred_torch():
        from monailabel.interfaces.utils.app import app_instance

    # Here, what is wrong with the studies or the task is one line; in uvicorn it would be a traceback.
    app_instance()
    desk = desk_address(options.host, options.port)
    print(f"Review desk: {desk}", flush=True)
    if isinstance(options.studies, str):
        print(f"OHIF: {desk.replace('/review/', '/ohif/')}", flush=True)
    if options.open:
        threading.Thread(target=_open_when_up, args=(desk,), daemon=True).start()
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_config=log_config,
        access_log=False,
        server_header=False,
        # A progress page that is open somewhere holds a stream of events.
        timeout_graceful_shutdown=5,
    )


def desk_address(host: str, port: int) -> str:
    """Where the review desk is, as a browser on this machine reaches it."""
    from monailabel.config import settings

    shown = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}{settings.MONAI_LABEL_API_STR}/review/"


def _open_when_up(address: str) -> None:
    """Open the browser once the server answers."""
    for _ in range(SECONDS_TO_START):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(1)
        else:
            webbrowser.open(address)
            return


def _studies(text: str) -> Path | str:
    if text.startswith(("http://", "https://")):
        if "@" in text.split("://", 1)[1].split("/", 1)[0]:
            raise argparse.ArgumentTypeError("an address with a password shows in `ps`; see docs/pacs.md")
        return text
    return _folder(text)


def _folder(text: str) -> Path:
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder")
    return folder.resolve()


def _app(text: str) -> Path:
    folder = _folder(text)
    if not (folder / "main.py").is_file():
        raise argparse.ArgumentTypeError(f"{text}: holds no main.py, so it is no app")
    return folder


if __name__ == "__main__":
    main(sys.argv[1:])
