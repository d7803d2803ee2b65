"""Listen on this machine only, unless the command line says otherwise."""

from __future__ import annotations

import gc
import logging
import os
import sys

import uvicorn

from recursive_expand.server.access import HOST, LOOPBACK

logger = logging.getLogger(__name__)


def listening_host() -> str:
    """The address that this process listens on, or will: `recursive-expand serve` says it, else uvicorn is asked."""
    if HOST in os.environ:
        return os.environ[HOST]
    server = _started_by_monai_label()
    return LOOPBACK if server is None or _is_default(server) else server.config.host


def bind_to_loopback_unless_told() -> str | None:
    """Turn MONAI Label's default address, all of the machine's, into loopback; `--host` on the command line stands.

    For plain `monailabel start_server` only: `recursive-expand serve` gives uvicorn its address. Called while the app
    starts up: uvicorn opens its socket after that.

    Returns:
        The address the server will listen on with its port, if a uvicorn server is starting in this process.
    """
    server = _started_by_monai_label()
    if server is None:
        return None
    if HOST not in os.environ and _is_default(server):
        logger.info("Listening on %s only; give --host to listen on another address", LOOPBACK)
        server.config.host = LOOPBACK
    scheme = "https" if server.config.is_ssl else "http"
    return f"{scheme}://{server.config.host}:{server.config.port}"


def _started_by_monai_label() -> uvicorn.Server | None:
    """The server that is starting in this process; MONAI Label keeps no reference to it."""
    return next((thing for thing in gc.get_objects() if isinstance(thing, uvicorn.Server)), None)


def _is_default(server: uvicorn.Server) -> bool:
    told = any(argument.startswith(("-i", "--ho")) for argument in sys.argv[1:])
    return server.config.host == "0.0.0.0" and not told
