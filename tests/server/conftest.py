"""The app over a tiny study whose first review is open, answered in this process; no conductor, no subprocess."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import monailabel.app as monailabel_server
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from monailabel.config import settings
from monailabel.endpoints.user import auth
from monailabel.interfaces.utils.app import app_instance, clear_cache
from monailabel.utils.async_tasks import utils as async_tasks
from monailabel.utils.async_tasks.task import AsyncTask
from numpy.typing import NDArray
from starlette.types import ASGIApp

from recursive_expand.archives.dicomweb import DicomwebArchive
from recursive_expand.archives.images import write_label
from recursive_expand.cases import LabelMap
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import RoundRecord
from recursive_expand.server.access import Access
from recursive_expand.server.surface import install_surface

APP = Path(__file__).parents[2] / "apps" / "recursive_ich"
LIBRARY = Path(__file__).parents[2] / "lib"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def routes() -> None:
    """Our routes in MONAI Label's server, as `on_init_complete` puts them there."""
    install_surface(monailabel_server.app, access=Access.of())


@pytest.fixture
def make_app(
    routes: None, reviewing: Recursion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Build the app over the studies of `reviewing`, or another's, with these `--conf` values."""
    (tmp_path / "app").mkdir()
    for name in ("main.py", "task.yaml"):
        shutil.copy(APP / name, tmp_path / "app" / name)

    def _make(over: Recursion = reviewing, **conf: str) -> Any:
        clear_cache()
        studies = over.archive.pacs.url if isinstance(over.archive, DicomwebArchive) else str(over.archive.studies)
        values = {"MONAI_LABEL_APP_DIR": str(tmp_path / "app"), "MONAI_LABEL_STUDIES": studies}
        values |= {
            "MONAI_LABEL_APP_CONF": {"threads": "1", "mode": "off", "pretrain": "none", **conf},
            "MONAI_LABEL_SESSIONS": False,
        }
        for name, value in values.items():
            monkeypatch.setattr(settings, name, value)
            # For the processes that it starts.
            monkeypatch.setenv(name, value if isinstance(value, str) else json.dumps(value))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(LIBRARY), os.environ.get("PYTHONPATH")])))
        app = app_instance()
        app.server_mode(True)
        return app

    yield _make
    clear_cache()
    async_tasks.background_tasks.clear()


@pytest.fixture
def app(make_app: Callable[..., Any]) -> Any:
    return make_app()


@pytest.fixture
def client(app: Any) -> TestClient:
    return TestClient(monailabel_server.app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.fixture
def no_task() -> Iterator[None]:
    """Forget other tests' tasks, and end this one's whatever happens."""
    async_tasks.background_tasks.clear()
    yield
    if async_tasks.processes("train"):
        AsyncTask.stop("train")


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Switch MONAI Label's authentication on; every token is this user's."""

    def _sign_in(username: str = "dr.ann", *roles: str) -> None:
        monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)
        user = auth.User(username=username, roles=list(roles or [settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR]))
        monkeypatch.setattr(auth, "from_token", lambda _token: user)

    return _sign_in


@pytest.fixture
def proposed(reviewing: Recursion) -> Callable[..., NDArray[np.uint8]]:
    """A case's frozen mask of round 0, native axes; slices are the last axis."""

    def _proposed(case_id: str, round_index: int = 0) -> NDArray[np.uint8]:
        proposal = reviewing.ledger.proposals.of_round(case_id, round_index)
        assert proposal is not None
        return frozen_label(reviewing.workspace, proposal, reviewing.settings.task.classes).native.copy()

    return _proposed


@pytest.fixture
def next_round(reviewing: Recursion) -> Callable[[], RoundRecord]:
    """Begin the next round in the ledger alone: nothing is trained."""

    def _next() -> RoundRecord:
        rounds = reviewing.ledger.rounds
        current = rounds.current()
        assert current is not None
        return rounds.start(
            current.round + 1,
            base_model=current.model,
            config=current.config,
            config_sha256=current.config_sha256,
            training_set={"pixel": []},
            training_set_sha256="t" * 64,
            known=reviewing.ledger.judgements.watermark(),
            report={},
        )

    return _next


@pytest.fixture
def submit(client: TestClient, reviewing: Recursion, tmp_path: Path) -> Callable[..., Any]:
    """Submit a mask (native axes) or a file as a client does; returns the answer."""

    def _submit(case_id: str, mask: NDArray[np.uint8] | Path, *, tag: str | None = None, **params: object) -> Any:
        path = mask if isinstance(mask, Path) else tmp_path / "submitted.nii.gz"
        if not isinstance(mask, Path):
            write_label(path, LabelMap(mask, reviewing.volume(case_id).geometry), fsync=False)
        query = {"image": case_id} | ({"tag": tag} if tag else {})
        data = {"params": json.dumps({"client_id": "slicer", **params})}
        return client.put("/datastore/label", params=query, data=data, files={"label": (path.name, path.read_bytes())})

    return _submit


class AppServer:
    """The application on a port of loopback, in a thread; it can be stopped and started again."""

    def __init__(self, app: ASGIApp = monailabel_server.app) -> None:
        self._app = app
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        config = uvicorn.Config(
            self._app, port=self.port, lifespan="off", log_level="warning", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            try:
                httpx.get(f"{self.url}/review/", timeout=5)
                return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise TimeoutError("the server did not start")

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(20)


@pytest.fixture(scope="session")
def serve_app() -> Callable[..., AppServer]:
    """Start a server of the application; the caller stops it."""
    return AppServer


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium without a screen."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -r requirements-dev.txt")
    if CHROMIUM is None:
        pytest.skip("chromium is missing: apt-get install -y chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
