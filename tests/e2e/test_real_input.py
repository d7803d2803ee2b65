"""Real scans, from import to a second round; skipped where they are not at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from monailabel.client import MONAILabelClient
from typer.testing import CliRunner

from recursive_expand.cli import app

from .drive import MODEL, STRATEGY
from .server import REPOSITORY, Server

DATA = REPOSITORY.parent / "shared" / "data"
SLICES, SERIES = DATA / "ct_ich_v1_slices", DATA / "ge_head_ct"
CONF = {
    "epochs": "2",
    "later_epochs": "1",
    "channels": "[8,16,32]",
    "working_spacing": "3",
    "validation_share": "0",
    "pretrain": "none",
    "region": "head",
    "gate": "false",
}
"""Coarse and short: what is tested is the way, not the masks."""

pytestmark = pytest.mark.skipif(
    not (SLICES.is_dir() and SERIES.is_dir()),
    reason=f"needs real scans in {DATA}: PhysioNet CT-ICH 1.0.0 slices and a DICOM head series",
)


def test_real_slices_teach_a_first_round_and_a_real_head_is_proposed_judged_and_learnt(tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    run = CliRunner().invoke
    masks = ["--masks", str(SLICES / "masks"), "--level", "40", "--width", "120", "--class", "intraparenchymal"]
    assert run(app, ["import", "slices", str(SLICES / "images"), "--studies", str(studies), *masks]).exit_code == 0
    assert run(app, ["import", "dicom", str(SERIES), "--studies", str(studies)]).exit_code == 0
    with Server(studies, log=tmp_path / "server.log", conf=CONF) as server:
        status = server.wait(lambda now: now["state"] in ("reviewing", "converged"), 240)
        assert status["cases"]["pixel"] == 36
        assert status["cases"]["unlabelled"] == 1
        client = MONAILabelClient(server.url, str(tmp_path), "radiologist")
        sample = client.next_sample(STRATEGY, {})
        assert sample, "an untrained network marks something everywhere"
        mask, params = client.infer(MODEL, sample["id"], {"result_extension": ".nii.gz"})
        assert params["round"] == 0
        client.save_label(sample["id"], mask)
        server.wait(lambda now: now["round"] == 1 and now["state"] in ("reviewing", "converged"), 240)
        [first, second] = requests.get(f"{server.url}/recursive/rounds", timeout=10).json()
    assert first["accepted"] == 1
    assert second["training_slices"]["accepted"] == len(params["slices"]) > 0
    assert second["model_sha256"] != first["model_sha256"]
