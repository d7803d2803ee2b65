"""A PACS to try: Debian's Orthanc on this machine, with demo studies in it."""

from __future__ import annotations

import ctypes
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
INSTALL = "apt-get install --no-install-recommends orthanc orthanc-dicomweb"

_WRITE = """
import pathlib, sys
from recursive_expand.dicom.coding import coding_of
from recursive_expand.archives.pacs.demo import write_pacs_demo
from recursive_expand.settings import load_settings
task = load_settings(pathlib.Path(sys.argv[1])).task
write_pacs_demo(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), coding_of(task.classes, task.codes))
"""
_APP = Path(__file__).resolve().parents[1] / "apps" / "recursive_ich" / "task.yaml"


@dataclass(frozen=True)
class PacsDemo:
    """Where the demo is: the PACS's DICOMweb, and the recursion's workspace."""

    url: str
    workspace: Path


def start_pacs_demo(python: Path, folder: Path, variables: Mapping[str, str]) -> PacsDemo:
    """Start an Orthanc that ends with this process, with the demo studies in it.

    Args:
        python: the environment's interpreter.
        folder: where it keeps everything; made if missing.
        variables: environment of the program that makes the studies.

    Raises:
        SystemExit: Orthanc is not installed or does not start, or the studies cannot be made.
    """
    if orthanc_program() is None:
        sys.exit(f"--pacs-demo needs Orthanc: {INSTALL}")
    dicom, workspace = folder / "dicom", folder / "workspace"
    if not dicom.is_dir():
        print(f"Making demo studies (synthetic head CT, no patient) in {folder}", flush=True)
        partial = folder / ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        command = [str(python), "-c", _WRITE, str(_APP), str(partial / "dicom"), str(workspace / "pacs")]
        if subprocess.run(command, env=dict(variables), check=False).returncode != 0:
            sys.exit("The demo studies could not be made (the reason is above)")
        (partial / "dicom").rename(dicom)
        partial.rmdir()
    root, _ = start_orthanc(folder)
    if not json.loads(_request(f"{root}/patients")):
        load(root, sorted(dicom.rglob("*.dcm")))
    print(f"Orthanc with the demo studies: {root} (it ends with this server)", flush=True)
    return PacsDemo(f"{root}/dicom-web", workspace)


def orthanc_program() -> str | None:
    """Orthanc, where it and its DICOMweb plugin are installed."""
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    return program if PLUGIN.exists() else None


def start_orthanc(folder: Path) -> tuple[str, subprocess.Popen]:
    """Start an Orthanc on loopback that keeps everything in a folder; it ends with this process.

    Returns:
        Its address, and its process.

    Raises:
        SystemExit: it does not start.
    """
    port = _port(folder / "port")
    config = folder / "orthanc.json"
    config.write_text(json.dumps(_settings(folder, port)))
    with (folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen(
            [str(orthanc_program()), config], stdout=log, stderr=log, preexec_fn=_end_with_parent
        )
    root = f"http://127.0.0.1:{port}"
    _wait(root, folder / "orthanc.log")
    return root, process


def load(root: str, files: Iterable[Path]) -> None:
    """Put DICOM files into an Orthanc."""
    for path in files:
        _request(f"{root}/instances", path.read_bytes())


def _settings(folder: Path, port: int) -> dict[str, object]:
    return {
        "Name": "Recursive ICH demo",
        "Plugins": [str(PLUGIN)],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": False,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


def _port(kept: Path) -> int:
    """A free port, the last one's where that is free: the address names the PACS."""
    for port in (int(kept.read_text()) if kept.exists() else 8042, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            kept.write_text(str(probe.getsockname()[1]))
            return int(probe.getsockname()[1])
    sys.exit("--pacs-demo: this machine has no free port")


def _wait(root: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            _request(f"{root}/system")
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"Orthanc does not start; see {log}")


def _request(address: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, data=data), timeout=30) as answer:
        return bytes(answer.read())


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
