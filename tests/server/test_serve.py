"""serve.py and loopback.py: where the server listens, and what its processes are told."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import uvicorn
from typer.testing import CliRunner

from recursive_expand.cli import app as cli
from recursive_expand.errors import InputError
from recursive_expand.server import loopback, serve
from recursive_expand.server.access import ALLOW_ORIGIN, HOST


@pytest.fixture
def folders(tmp_path):
    for name in ("studies", "app"):
        (tmp_path / name).mkdir()
    (tmp_path / "app" / "main.py").touch()
    return ["--studies", str(tmp_path / "studies"), "--app", str(tmp_path / "app")]


@pytest.fixture
def bare(monkeypatch):
    """No variable of ours is set, and none stays."""
    monkeypatch.setattr(os, "environ", {name: text for name, text in os.environ.items() if "RECURSIVE" not in name})


def test_the_settings_are_the_command_line_s(folders, tmp_path):
    options = serve.parse_arguments(
        [*folders, "--port", "8123", "--conf", "epochs", "10", "--conf", "workspace", "/a b"]
    )
    told = serve.variables(options, {"PYTHONPATH": "/mine"})
    assert told["MONAI_LABEL_STUDIES"] == str(tmp_path / "studies")
    assert json.loads(told["MONAI_LABEL_APP_CONF"]) == {"epochs": "10", "workspace": "/a b"}
    assert (told["MONAI_LABEL_SESSIONS"], told["MONAI_LABEL_AUTO_UPDATE_SCORING"]) == ("false", "false")
    assert told["PYTHONPATH"].split(os.pathsep) == ["/mine", str(serve.LIBRARY)]
    assert (told[HOST], told[ALLOW_ORIGIN]) == ("127.0.0.1", "")


def test_origins_come_from_the_command_line_and_both_variables(folders):
    options = serve.parse_arguments([*folders, "--allow-origin", "https://a.example"])
    told = serve.variables(
        options, {ALLOW_ORIGIN: "https://b.example", serve.CORS_ORIGINS: '["https://c.example/"]', "PYTHONPATH": ""}
    )
    assert told[ALLOW_ORIGIN].split(",") == ["https://a.example", "https://b.example", "https://c.example/"]
    assert told[serve.CORS_ORIGINS] == "[]"


@pytest.mark.parametrize("text", ["*", "{", '"https://a"', "[1]"])
def test_monai_label_s_own_list_of_origins_is_read_or_refused(folders, text):
    with pytest.raises(InputError, match=r"MONAI_LABEL_CORS_ORIGINS=.*write it like"):
        serve.variables(serve.parse_arguments(folders), {serve.CORS_ORIGINS: text})
    with pytest.raises(InputError, match="is no origin"):
        serve.variables(serve.parse_arguments(folders), {serve.CORS_ORIGINS: '["*"]'})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--studies"),
        (["--studies", "nowhere"], "nowhere: no such folder"),
        (["--studies", "https://me:secret@pacs/dicom-web"], "an address with a password shows in `ps`"),
        (["--studies", ".", "--app", "."], "holds no main.py"),
        (["--studies", ".", "--prot", "1"], "--prot"),
    ],
)
def test_wrong_options_are_said(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        serve.parse_arguments(arguments)
    assert message in capsys.readouterr().err


def test_the_command_reaches_the_server(folders, bare, monkeypatch, tmp_path):
    begun = []
    monkeypatch.setattr(serve, "_start", lambda options, log_config: begun.append((options, log_config)))
    monkeypatch.setattr(serve.logging.config, "dictConfig", lambda config: None)
    result = CliRunner().invoke(cli, ["serve", *folders, "--conf", "mode", "off", "--host", "0.0.0.0"])
    assert result.exit_code == 0, result.output
    [(options, log_config)] = begun
    assert (options.host, options.conf) == ("0.0.0.0", [["mode", "off"]])
    files = {handler["filename"] for handler in log_config["handlers"].values() if "filename" in handler}
    assert files == {str(tmp_path / "app" / "logs" / "app.log")}
    assert os.environ[HOST] == "0.0.0.0"


def test_what_cannot_start_is_one_line(folders, bare, monkeypatch):
    monkeypatch.setattr(serve.logging.config, "dictConfig", lambda config: None)
    with pytest.raises(SystemExit, match=r"--allow-origin '\*': is no origin"):
        serve.main([*folders, "--allow-origin", "*"])


@pytest.fixture
def starting(monkeypatch):
    """A uvicorn server as MONAI Label starts it, with this command line."""

    def start(*arguments, host="0.0.0.0"):
        server = SimpleNamespace(config=SimpleNamespace(host=host, port=8000, is_ssl=False))
        monkeypatch.setattr(uvicorn, "Server", SimpleNamespace)
        monkeypatch.setattr(loopback.gc, "get_objects", lambda: [1, server])
        monkeypatch.setattr(sys, "argv", ["monailabel", "start_server", *arguments])
        return server

    return start


def test_plain_monai_label_listens_on_loopback_unless_told(starting, bare):
    server = starting()
    assert loopback.listening_host() == "127.0.0.1"
    assert loopback.bind_to_loopback_unless_told() == "http://127.0.0.1:8000"
    assert server.config.host == "127.0.0.1"
    for arguments in (["--host", "0.0.0.0"], ["-i", "0.0.0.0"], ["--host=0.0.0.0"]):
        server = starting(*arguments)
        assert (loopback.listening_host(), loopback.bind_to_loopback_unless_told()) == (
            "0.0.0.0",
            "http://0.0.0.0:8000",
        )
    assert starting("--host", "10.1.2.3", host="10.1.2.3") and loopback.listening_host() == "10.1.2.3"


def test_our_own_server_s_address_is_not_changed(starting, bare):
    server = starting()
    os.environ[HOST] = "0.0.0.0"
    assert loopback.listening_host() == "0.0.0.0"
    assert loopback.bind_to_loopback_unless_told() == "http://0.0.0.0:8000"
    assert server.config.host == "0.0.0.0"


def test_without_a_server_there_is_no_address(monkeypatch, bare):
    monkeypatch.setattr(loopback.gc, "get_objects", list)
    assert (loopback.listening_host(), loopback.bind_to_loopback_unless_told()) == ("127.0.0.1", None)


@pytest.mark.parametrize("command", [["recursive_expand.server.serve"], ["monailabel.main", "start_server"]])
def test_either_way_of_starting_it_is_guarded(tmp_path, command):
    shutil.copytree(Path(__file__).parents[2] / "apps" / "recursive_ich", tmp_path / "app")
    (tmp_path / "studies").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folders = ["--studies", str(tmp_path / "studies"), "--app", str(tmp_path / "app"), "--port", str(port)]
    environ = {**os.environ, "PYTHONPATH": str(serve.LIBRARY), "RECURSIVE_ALLOW_ORIGIN": "https://desk.example"}
    environ.pop(HOST, None)
    url, log = f"http://127.0.0.1:{port}", (tmp_path / "log").open("w+")
    with subprocess.Popen([sys.executable, "-m", *command, *folders], env=environ, stdout=log, stderr=log) as server:
        try:
            for _ in range(600):
                with contextlib.suppress(requests.ConnectionError):
                    requests.get(f"{url}/info/", timeout=60).raise_for_status()
                    break
                assert server.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
            assert requests.post(f"{url}/reload", timeout=60).status_code == 403
            assert requests.get(f"{url}/info/", headers={"Host": "evil.example"}, timeout=60).status_code == 403
            assert (
                requests.get(f"{url}/info/", headers={"Origin": "http://evil.example"}, timeout=60).status_code == 403
            )
            allowed = requests.get(f"{url}/info/", headers={"Origin": "https://desk.example"}, timeout=60)
            assert allowed.headers["access-control-allow-origin"] == "https://desk.example"
            assert requests.get(f"{url}/static/favicon.ico", timeout=60).status_code == 403
        finally:
            server.terminate()
    log.close()
