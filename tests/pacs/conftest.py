"""One Orthanc for the room, empty before each test."""

from __future__ import annotations

import pytest
import requests

from . import orthanc as debian
from .fake import FakePacs


@pytest.fixture(scope="session")
def shared_orthanc(tmp_path_factory):
    if not debian.installed():
        pytest.skip(f"Orthanc is not installed: {debian.INSTALL}")
    server = debian.Orthanc(tmp_path_factory.mktemp("orthanc")).start()
    yield server
    server.kill()


@pytest.fixture
def orthanc(shared_orthanc):
    for patient in requests.get(f"{shared_orthanc.root}/patients", timeout=30).json():
        requests.delete(f"{shared_orthanc.root}/patients/{patient}", timeout=30).raise_for_status()
    return shared_orthanc


@pytest.fixture
def fake():
    fake = FakePacs()
    yield fake
    fake.close()
