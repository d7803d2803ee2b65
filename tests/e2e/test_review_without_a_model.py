"""Review without a model: another tool's masks, a server that never imports PyTorch, verdicts, then training."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from recursive_expand.archives.images import read_label, write_label
from recursive_expand.cases import LabelMap
from recursive_expand.cli import app as cli
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.rounds import run_round

from .server import Server

# As `recursive-expand serve`, and on SIGUSR1 it says which modules it has imported.
TELLING = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGUSR1, lambda *_: Path({told!r}).write_text("\\n".join(sys.modules)))
from recursive_expand.cli import app
app()
"""


class TellingServer(Server):
    """A server that tells what it has imported."""

    @property
    def told(self) -> Path:
        """Where it says so."""
        return self.log.with_name("modules.txt")

    def _entry(self) -> list[str]:
        return ["-c", TELLING.format(told=str(self.told)), "serve"]

    def modules(self) -> set[str]:
        """Names of all modules that its process has imported by now."""
        self.told.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        self.wait(lambda _: self.told.is_file() and self.told.stat().st_size > 0, 30)
        return set(self.told.read_text().split())


@pytest.mark.timeout(120)
def test_masks_are_judged_without_pytorch_and_trained_on_when_that_is_asked_for(
    tmp_path: Path, write_studies: Callable[[Path], Any], reopen: Callable[..., Recursion], conf: dict[str, str]
) -> None:
    studies, masks = tmp_path / "studies", tmp_path / "masks"
    masks.mkdir()
    truth = write_studies(studies)
    shutil.rmtree(studies / "labels")
    (studies / "cases.csv").unlink()  # scans and image-level labels alone
    recursion = reopen(studies)
    for case_id in ("i0", "i1", "u0"):
        geometry = recursion.archive.read_volume(case_id).geometry
        write_label(masks / f"{case_id}.nii.gz", LabelMap.from_slices(truth[case_id], geometry), fsync=False)
    recursion.ledger.close()
    said = CliRunner().invoke(cli, ["import", "proposals", str(masks), "--studies", str(studies), "--tool", "Tool 1"])
    assert said.exit_code == 0, said.output
    assert "3 imported" in said.output

    with TellingServer(studies, log=tmp_path / "server.log", conf={**conf, "train": "off"}) as server:
        status = server.wait(lambda status: status["state"] == "reviewing", 60)
        assert (status["undecided"], status["round"], status["model_sha256"]) == (3, 0, None)
        given = {}
        for verdict in ("accept", "accept", "reject"):
            case_id = server.post("/activelearning/recursive_expand", {"client_id": "ann"}).json()["id"]
            origin = server.get("/datastore/label/info", label=case_id, tag="original")
            assert origin["tool"] == "Tool 1"
            body = {"case_id": case_id, "proposal": origin["proposal_sha256"], "verdict": verdict, "reviewer": "ann"}
            assert server.post("/recursive/verdicts", body).json()["tool"] == "Tool 1"
            given[case_id] = verdict
        status = server.wait(lambda status: status["undecided"] == 0, 10)
        assert (status["state"], status["step"]) == ("decided", "decided")
        assert not {"torch", "monai"} & server.modules()
    accepted = sorted(case_id for case_id, verdict in given.items() if verdict == "accept")
    assert sorted(path.name for path in (studies / "labels" / "final").glob("*.nii.gz")) == [
        f"{case_id}.nii.gz" for case_id in accepted
    ]
    for case_id in accepted:
        np.testing.assert_array_equal(
            read_label(studies / "labels" / "final" / f"{case_id}.nii.gz").slices, truth[case_id]
        )

    round_ = run_round(reopen(studies, train="on"))
    assert (round_.round, round_.state) == (1, "reviewing")
    assert round_.report["training_slices"]["accepted"] == sum(
        len(np.unique(np.nonzero(truth[c])[0])) for c in accepted
    )
