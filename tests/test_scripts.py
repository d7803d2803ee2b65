"""Tests of scripts/: what they decide before anything is installed or started."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"


def _load(name: str) -> ModuleType:
    """Import scripts/<name>.py, under a name that hides no other module (`test` is one of Python's own)."""
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        spec.loader.exec_module(module)
    return module


venv = _load("_venv")
serve = _load("serve")
runner = _load("test")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_text(f"# {name}\n")
    return tmp_path


@pytest.fixture
def environment(tmp_path: Path, repository: Path) -> Path:
    """A folder stamped as holding what `repository` asks for."""
    folder = tmp_path / "venv"
    folder.mkdir()
    for name in venv.DEVELOPMENT:
        (folder / f"{Path(name).stem}.installed").write_text(venv.stamp(name, repository))
    return folder


@pytest.mark.parametrize("version", [(3, 10), (3, 12), (3, 13, 1), (2, 7)])
def test_another_python_is_refused_by_name(version: tuple[int, ...]) -> None:
    with pytest.raises(SystemExit, match=rf"Python 3\.11 is needed, this is {version[0]}\.{version[1]}: "):
        venv.require_python(version)


def test_the_refusal_names_the_command_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venv.shutil, "which", lambda name: f"/opt/{name}")
    monkeypatch.setattr(sys, "argv", ["scripts/serve.py"])
    with pytest.raises(SystemExit, match=r"run: /opt/python3\.11 scripts/serve\.py$"):
        venv.require_python((3, 13))


def test_python_3_11_is_accepted() -> None:
    venv.require_python((3, 11, 9))


def test_nothing_is_outdated_after_installing(environment: Path, repository: Path) -> None:
    assert venv.outdated(environment, venv.DEVELOPMENT, repository) == []


@pytest.mark.parametrize("changed", ["constraints.txt", "pyproject.toml", "requirements.txt"])
def test_a_changed_file_makes_the_environment_outdated(environment: Path, repository: Path, changed: str) -> None:
    (repository / changed).write_text("# changed\n")
    assert "requirements.txt" in venv.outdated(environment, venv.RUNTIME, repository)


def test_development_requirements_do_not_concern_the_server(environment: Path, repository: Path) -> None:
    (repository / "requirements-dev.txt").write_text("# changed\n")
    assert venv.outdated(environment, venv.RUNTIME, repository) == []
    assert venv.outdated(environment, venv.DEVELOPMENT, repository) == ["requirements-dev.txt"]


def test_a_cut_installation_is_outdated(environment: Path, repository: Path) -> None:
    (environment / "requirements.installed").unlink()
    assert venv.outdated(environment, venv.RUNTIME, repository) == ["requirements.txt"]


def test_a_moved_checkout_has_another_stamp(repository: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        (moved / name).write_bytes((repository / name).read_bytes())
    assert venv.stamp("requirements.txt", moved) != venv.stamp("requirements.txt", repository)


def test_a_half_unpacked_package_is_installed_again(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for name, files in {"whole-1.dist-info": ["METADATA", "INSTALLER"], "torn-1.dist-info": ["METADATA"]}.items():
        (packages / name).mkdir(parents=True)
        for file in files:
            (packages / name / file).touch()
    assert venv.remove_torn_installs(tmp_path) == ["torn-1.dist-info"]
    assert [info.name for info in packages.iterdir()] == ["whole-1.dist-info"]


def test_environment_folder_can_be_named(tmp_path: Path) -> None:
    assert venv.environment_folder({"RECURSIVE_VENV": str(tmp_path)}) == tmp_path
    assert venv.environment_folder({"RECURSIVE_VENV": ""}) == venv.REPOSITORY / ".venv"


def test_a_failed_installation_leaves_no_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[object]] = []

    def fail(command: list[object], **_: object) -> subprocess.CompletedProcess[bytes]:
        calls.append(command)
        # The check of the interpreter passes, pip fails.
        return subprocess.CompletedProcess([], 1 if "pip" in command else 0)

    monkeypatch.setattr(venv.subprocess, "run", fail)
    with pytest.raises(SystemExit, match="Installing failed"):
        venv.ensure_environment(venv.RUNTIME, tmp_path)
    assert calls[-1][-4:] == ["--requirement", "requirements.txt", "--editable", "."]
    assert venv.outdated(tmp_path, venv.RUNTIME) == ["requirements.txt"]


def test_an_interrupted_installation_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(venv.subprocess, "run", interrupt)
    with pytest.raises(SystemExit, match="The same command goes on"):
        venv.ensure_environment(venv.RUNTIME, tmp_path)


def test_several_conf_pairs_reach_the_server() -> None:
    arguments = serve.parse_arguments(["--conf", "epochs", "10", "--port", "8123", "--conf", "workspace", "/a b"])
    command = serve.server_command(Path("/venv/bin/python"), "/data/my studies", arguments)
    assert command[:3] == ["/venv/bin/python", "-m", "recursive_expand.server.serve"]
    assert command[command.index("--studies") + 1] == "/data/my studies"
    assert command[command.index("--port") + 1] == "8123"
    assert command[-6:] == ["--conf", "epochs", "10", "--conf", "workspace", "/a b"]


def test_the_demo_starts_fresh_unless_told_otherwise() -> None:
    """Its heads are phantoms: a start from synthetic heads would flatter it."""
    told = serve.demo_conf([["epochs", "3"], ["pretrain", "synthetic"]])
    assert told == [["pretrain", "none"], ["epochs", "3"], ["pretrain", "synthetic"]]  # the server takes the last


def test_allowed_origins_reach_the_server() -> None:
    arguments = serve.parse_arguments(["--allow-origin", "https://a.example", "--allow-origin", "https://b.example"])
    command = serve.server_command(Path("python"), "/studies", arguments)
    assert command[-4:] == ["--allow-origin", "https://a.example", "--allow-origin", "https://b.example"]


def test_the_server_listens_on_loopback_unless_told_otherwise() -> None:
    assert serve.parse_arguments([]).host == "127.0.0.1"


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_an_impossible_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        serve.parse_arguments([f"--port={port}"])
    assert f"{port!r} is no port: give a number from 1 to 65535" in capsys.readouterr().err


def test_a_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"Port {port} on 127\.0\.0\.1 cannot be used .*--port"):
            serve.check_port("127.0.0.1", port)
    serve.check_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    # 192.0.2.0/24 is reserved for documentation (RFC 5737).
    with pytest.raises(SystemExit, match=r"on 192\.0\.2\.1 cannot be used"):
        serve.check_port("192.0.2.1", 8000)


def test_missing_studies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nowhere: no such folder"):
        serve.resolve_studies(str(tmp_path / "nowhere"))


def test_studies_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scans").mkdir()
    monkeypatch.chdir(tmp_path)
    assert serve.resolve_studies("scans") == str((tmp_path / "scans").resolve())


def test_an_address_stays_as_it_is_unless_it_holds_a_password() -> None:
    assert serve.resolve_studies("https://pacs/dicom-web") == "https://pacs/dicom-web"
    with pytest.raises(SystemExit, match="shows in `ps`"):
        serve.resolve_studies("https://me:secret@pacs/dicom-web")


def test_the_pacs_demo_brings_its_own_studies() -> None:
    assert serve.parse_arguments(["--pacs-demo"]).pacs_demo
    with pytest.raises(SystemExit):
        serve.parse_arguments(["--pacs-demo", "--studies", "x"])


def test_server_variables_keep_what_the_user_has_set() -> None:
    variables = serve.server_variables(Path("/venv"), {"PYTHONPATH": "/mine"})
    assert variables["PYTHONPATH"] == "/mine"


def test_server_variables_activate_the_environment() -> None:
    variables = serve.server_variables(Path("/venv"), {"PATH": "/usr/bin", "PYTHONHOME": "/elsewhere"})
    assert variables["PATH"].split(os.pathsep)[-1] == "/usr/bin"
    assert Path(variables["PATH"].split(os.pathsep)[0]).parent == Path("/venv")
    assert "PYTHONHOME" not in variables
    assert variables["PYTHONPATH"]


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000"), ("0.0.0.0", "127.0.0.1:8000")],
)
def test_greeting_names_an_address_that_opens(host: str, url: str) -> None:
    assert f"{url}/review/" in serve.greeting("/studies", host, 8000)


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True), ("10.0.0.5", True)])
def test_greeting_warns_of_an_open_server(host: str, warned: bool) -> None:
    assert ("asks for no password" in serve.greeting("/studies", host, 8000)) is warned


def test_demo_studies_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(command: list[object], **_: object) -> subprocess.CompletedProcess[bytes]:
        Path(str(command[-1])).mkdir()
        return subprocess.CompletedProcess([], 0)

    monkeypatch.setattr(serve.subprocess, "run", write)
    assert serve.make_demo(Path("python"), tmp_path) == str(tmp_path / "studies")
    monkeypatch.setattr(serve.subprocess, "run", lambda *_, **__: pytest.fail("made again"))
    assert serve.make_demo(Path("python"), tmp_path) == str(tmp_path / "studies")


def test_cut_demo_studies_are_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(command: list[object], **_: object) -> subprocess.CompletedProcess[bytes]:
        Path(str(command[-1])).mkdir()
        return subprocess.CompletedProcess([], 1)

    monkeypatch.setattr(serve.subprocess, "run", cut)
    with pytest.raises(SystemExit, match="could not be made"):
        serve.make_demo(Path("python"), tmp_path)
    assert not (tmp_path / "studies").exists()


def test_test_arguments_reach_pytest() -> None:
    command = runner.pytest_command(Path("/venv/bin/python"), ["-k", "refine"])
    assert command[1:3] == ["-m", "pytest"]
    assert "-rs" in command
    assert command[-2:] == ["-k", "refine"]
    assert "-n" not in command


def test_all_tests_run_in_two_processes() -> None:
    command = runner.pytest_command(Path("/venv/bin/python"), [])
    assert command[command.index("-n") + 1] == "2"


def test_serve_needs_nothing_installed() -> None:
    # -S: without any installed package.
    outcome = subprocess.run(
        [sys.executable, "-S", SCRIPTS / "serve.py", "--help"], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "--studies FOLDER" in outcome.stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot replace a process")
def test_the_exit_status_is_that_of_the_program_become() -> None:
    program = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import _venv; "
    program += "_venv.become([sys.executable, '-c', 'import sys; sys.exit(7)'], {})"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7
