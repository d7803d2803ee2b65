"""`serve.py --pacs-demo`: an Orthanc with studies in it, which ends with the server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recursive_expand.phantom import make_head, write_dicom_series

from . import orthanc as debian

SCRIPTS = Path(__file__).parents[2] / "scripts"

START = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from _pacs_demo import start_pacs_demo
print(start_pacs_demo(pathlib.Path(sys.executable), pathlib.Path(sys.argv[2]), {}).url, flush=True)
input()
"""


def test_the_demo_starts_loads_and_ends_with_the_server(tmp_path):
    if not debian.installed():
        pytest.skip(f"Orthanc is not installed: {debian.INSTALL}")
    write_dicom_series(tmp_path / "dicom" / "000", make_head(1, size=32, slices=3), seed=1)
    command = [sys.executable, "-c", START, SCRIPTS, tmp_path]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    said, url = process.stdout.readline(), process.stdout.readline().strip()
    assert "it ends with this server" in said
    assert url.endswith("/dicom-web")
    (orthanc,) = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while orthanc.is_running() and orthanc.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not orthanc.is_running() or orthanc.status() == psutil.STATUS_ZOMBIE
    assert any((tmp_path / "storage").iterdir())
