"""A proposal as OHIF gets it."""

from __future__ import annotations

import monailabel.app as monailabel_server
import numpy as np
import pytest
from fastapi.testclient import TestClient

from .conftest import SERIES, SIZE


@pytest.fixture
def ohif(over_pacs):
    return TestClient(monailabel_server.app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.mark.parametrize("name", ["five", "one", "two slices", "frames", "parts", "none"])
def test_its_voxels_lie_on_the_images_that_they_were_made_from(ohif, orthanc, proposed_mask, name):
    sha256, native = proposed_mask(name)
    answer = ohif.get("/recursive/ohif/overlay", params={"case_id": orthanc.cases[name], "proposal": sha256})
    assert answer.headers["cache-control"] == "no-store"
    overlay = answer.json()
    assert overlay["series"] == orthanc.cases[name]
    assert {plane["number"] for plane in overlay["planes"]} == set(SERIES[name][1])
    assert overlay["images"] == [[uid, frame] for uid, frame, _ in orthanc.images[name]]
    for number in range(len(overlay["images"])):
        flat = np.zeros(SIZE * SIZE, np.uint8)
        for plane in overlay["planes"]:
            if plane["number"] == number:
                for first, length, value in plane["runs"]:
                    flat[first : first + length] = value
        assert np.array_equal(flat.reshape(SIZE, SIZE), native[:, :, number].T)


def test_a_proposal_that_is_none_is_refused(ohif, orthanc):
    answer = ohif.get("/recursive/ohif/overlay", params={"case_id": orthanc.cases["one"], "proposal": "0" * 64})
    assert answer.status_code == 409
    answer = ohif.get("/recursive/ohif/overlay", params={"case_id": "1.2.3", "proposal": "0" * 64})
    assert answer.status_code == 404
