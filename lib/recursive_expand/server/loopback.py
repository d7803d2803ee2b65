"""Listen on this machine only, unless the command line says otherwise."""

from __future__ import annotations

import gc
import logging
import sys

import uvicorn

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"


def bind_to_loopback_unless_told() -> str | None:
    """Turn MONAI Label's default address, all of the machine's, into loopback; `--host` on the command line stands.

    Called while the app starts up: uvicorn opens its socket after that.

    Returns:
        The address the server will listen on with its port, if a uvicorn server is starting in this process.
    """
    told = any(argument.startswith(("-i", "--ho")) for argument in sys.argv[1:])
    # MONAI Label keeps no reference to the server that it starts.
    for server in [thing for thing in gc.get_objects() if isinstance(thing, uvicorn.Server)]:
        if server.config.host == "0.0.0.0" and not told:
            logger.info("Listening on %s only; give --host to listen on another address", LOOPBACK)
            server.config.host = LOOPBACK
        scheme = "https" if server.config.is_ssl else "http"
        return f"{scheme}://{server.config.host}:{server.config.port}"
    return None
