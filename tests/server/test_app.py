"""What the app offers, and what it does when the server comes up."""

import logging

import monailabel.app as monailabel_server
import pytest
from fastapi.testclient import TestClient
from filelock import FileLock, Timeout

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.server.app import QUIET_LOGGERS
from recursive_expand.server.conductor import Conductor


def test_clients_are_told_what_there_is(client):
    info = client.get("/info/").json()
    assert list(info["models"]) == list(info["trainers"]) == ["recursive_ich"]
    assert next(iter(info["strategies"])) == "recursive_expand"
    assert set(info["strategies"]) == {"recursive_expand", "first", "random"}
    assert info["labels"] == ["epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"]
    assert info["models"]["recursive_ich"]["labels"]["subdural"] == 5
    assert "config" not in info  # 3D Slicer's module refuses a server that has it
    stats = info["train_stats"]["recursive_ich"]
    assert all(isinstance(stats[name], int | float) for name in ("best_metric", "epoch", "total_epochs"))
    assert stats["best_metric"] > 0


def test_the_server_takes_its_workspace_and_starts_the_conductor(app, monkeypatch):
    begun = []
    monkeypatch.setattr(Conductor, "start", lambda self: begun.append(self))
    with TestClient(monailabel_server.app, base_url="http://127.0.0.1:8000") as client:
        assert client.get("/recursive/status").json()["state"] == "reviewing"
        assert begun == [app.conductor]
        with pytest.raises(Timeout):
            FileLock(app.recursion.workspace.server_lock).acquire(timeout=0)


def test_a_second_server_on_the_same_workspace_is_refused(app, monkeypatch):
    monkeypatch.setattr(Conductor, "start", lambda self: pytest.fail("started"))
    with (
        FileLock(app.recursion.workspace.server_lock),
        pytest.raises(RecursiveExpandError, match=r"another server uses the workspace .*; stop it, or give another"),
    ):
        app.on_init_complete()


def test_loggers_that_name_images_are_quiet(app):
    assert all(not logging.getLogger(f"{name}.x").isEnabledFor(logging.INFO) for name in QUIET_LOGGERS)


def test_no_log_line_names_what_a_client_sent(app, submit, proposed, caplog):
    with caplog.at_level(logging.INFO, logger="recursive_expand"):
        submit("u0", proposed("u0"), reviewer="Dr Secret", comment="patient Jane")
    assert "Secret" not in caplog.text
    assert "Jane" not in caplog.text
