"""A server started by `recursive-expand serve`: what a reader does first, and that it listens where it was told."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest
import requests
from monailabel.client import MONAILabelClient

from .conftest import ROUND_SECONDS, Run
from .drive import MODEL, STRATEGY, read_native
from .server import Server
from .study import CONF


@pytest.mark.timeout(3 * ROUND_SECONDS)
def test_next_sample_infer_and_accept(undisturbed: Run, tmp_path: Path) -> None:
    shutil.copytree(undisturbed.at_review, tmp_path / "studies")
    with Server(tmp_path / "studies", log=tmp_path / "server.log", conf=CONF, serve=True) as server:
        listening = {c.laddr for c in server.process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        assert listening == {("127.0.0.1", server.port)}
        status = server.wait(lambda status: status["state"] == "reviewing", ROUND_SECONDS)
        assert status["step"] == "review"
        client = MONAILabelClient(server.url, str(tmp_path), "radiologist")
        case_id = client.next_sample(STRATEGY, {})["id"]
        mask, params = client.infer(MODEL, case_id, {"result_extension": ".nii.gz"})
        answer = client.save_label(case_id, mask)
        assert (answer["verdict"], answer["round"], answer["undecided"]) == ("accept", 0, status["undecided"] - 1)
        info = server.get("/datastore/label/info", label=case_id, tag="final")
        assert (info["reviewer"], info["proposal_sha256"]) == ("radiologist", params["proposal"])
        label = tmp_path / "studies" / "labels" / "final" / f"{case_id}.nii.gz"
        assert (read_native(label) == read_native(Path(mask))).all()
        evil = requests.get(f"{server.url}/recursive/status", headers={"Origin": "http://evil.example"}, timeout=10)
        assert evil.status_code == 403
        server.stop()
