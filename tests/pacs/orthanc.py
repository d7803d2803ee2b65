"""A real PACS for the tests: Debian's Orthanc on loopback, with its own folders."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
INSTALL = "apt-get install --no-install-recommends orthanc orthanc-dicomweb dcmtk libgdcm-tools dicom3tools"


def program():
    return shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def installed():
    return program() is not None and PLUGIN.exists()


class Orthanc:
    """Start, stop and kill one; its contents stay."""

    def __init__(self, folder, users=None):
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.session = requests.Session()
        self.url = f"{self.root}/dicom-web"
        self.session.auth = next(iter(users.items())) if users else None
        self.config = folder / "orthanc.json"
        settings = {
            "Name": "tests",
            "Plugins": [str(PLUGIN)],
            "HttpPort": self.port,
            "RemoteAccessAllowed": False,
            "DicomServerEnabled": False,
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "AuthenticationEnabled": bool(users),
            "RegisteredUsers": users or {},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        self.config.write_text(json.dumps(settings))
        self.log = folder / "orthanc.log"
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([program(), self.config], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.session.get(f"{self.root}/system", timeout=2).ok:
                    return self
            except requests.RequestException:
                time.sleep(0.2)
        raise RuntimeError(self.log.read_text()[-2000:])

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def load(self, files):
        for path in files:
            answer = self.session.post(f"{self.root}/instances", data=path.read_bytes(), timeout=30)
            answer.raise_for_status()

    def series(self, modality):
        """Orthanc's ids of the series of a modality."""
        query = {"Level": "Series", "Query": {"Modality": modality}}
        return self.session.post(f"{self.root}/tools/find", json=query, timeout=30).json()

    def file(self, series):
        """The one instance of a series, as a file's bytes."""
        entry = self.session.get(f"{self.root}/series/{series}", timeout=30).json()
        return self.session.get(f"{self.root}/instances/{entry['Instances'][0]}/file", timeout=30).content
