"""The ASGI application: MONAI Label's, answering our surface; its settings are in the environment (see `serve`)."""

from __future__ import annotations

import contextlib
import io

from recursive_expand.server.deferred import deferred_torch

# It prints that it lets every origin in, which is no longer so.
with deferred_torch(), contextlib.redirect_stdout(io.StringIO()):
    import monailabel.app as monailabel_server

from recursive_expand.server.surface import install_surface

app = monailabel_server.app
install_surface(app)
