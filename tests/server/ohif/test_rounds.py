"""Two whole rounds judged in OHIF: one closes, f is trained again, what it proposes comes up, the recursion ends."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from monailabel.utils.async_tasks import utils as async_tasks

from recursive_expand.archives.tables import CASES
from recursive_expand.cases import LabelMap, Role
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.rounds import run_round
from recursive_expand.ledger import RoundState
from recursive_expand.phantom import CLASSES, write_dicom_series
from recursive_expand.phantom import make_head as make_phantom

from .conftest import log_in

EXPERTS, READ = 3, 3
"""Series with an expert's mask, and series to read."""
CHANGING = {"gate": "false", "unchanged_dice": "1", "later_epochs": "3", "later_learning_rate": "0.01"}
"""Under which round 1 proposes other masks than round 0."""
SECONDS = 240.0

pytestmark = pytest.mark.timeout(3 * SECONDS)


@pytest.fixture
def recursion(orthanc, make_head, reopen, tmp_path, conf, monkeypatch):
    """Over small series in the PACS, their first review open."""
    log_in(monkeypatch)
    masks = {}
    for number in range(EXPERTS + READ):
        hu, mask = make_head(number)
        head = replace(make_phantom(number, size=48, slices=3), hu=hu, mask=mask)
        files = write_dicom_series(tmp_path / str(number), head, seed=number, patient_id=f"READ-{number}")
        orthanc.load(files)
        masks[str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)] = mask.transpose(2, 1, 0)
    where = {"workspace": tmp_path / "workspace", "dicomweb_series": ",".join(masks), "pacs_write": "none"}
    recursion = reopen(orthanc.url, **where, **CHANGING)
    experts = list(masks)[:EXPERTS]
    table = recursion.workspace.root / "pacs" / CASES
    table.write_text("\n".join(["case_id,role", *(f"{case_id},{Role.PIXEL}" for case_id in experts)]))
    register_cases(recursion)
    for case_id in experts:
        label = LabelMap(np.ascontiguousarray(masks[case_id]), recursion.volume(case_id).geometry, CLASSES)
        recursion.archive.put_label(case_id, "final", label, {})
    run_round(recursion)
    return recursion


@pytest.fixture
def conductor(recursion, make_app, conf, no_task):
    """The application's own, which is looked at by hand."""
    where = {"workspace": str(recursion.workspace.root), "pacs_write": "none"}
    where["dicomweb_series"] = ",".join(recursion.settings.pacs.dicomweb_series)
    app = make_app(recursion, **{**conf, **CHANGING, **where})
    app.conductor.indexing = False
    return app.conductor


@pytest.fixture
def server(conductor, serve_app):
    started = serve_app()
    yield started
    started.stop()


def test_two_rounds(radiologist, recursion, conductor):
    ledger, reader = recursion.ledger, radiologist()

    def shown(case_id, round_index):
        """Its frozen mask is what is drawn."""
        frozen = ledger.proposals.of_round(case_id, round_index)
        native = frozen_label(recursion.workspace, frozen, CLASSES).native
        drawn = reader.voxels()
        for number, uid in enumerate(recursion.archive.reference(case_id).sop_instance_uids):
            assert drawn[uid, 1] == native[:, :, number].T.ravel().tolist()
        return frozen

    def until(state):
        """Round 1 is in this state; the conductor works meanwhile."""
        ends = time.monotonic() + SECONDS
        while (current := ledger.rounds.current()).round != 1 or current.state is not state or conductor.running():
            conductor._guard(conductor._look)
            assert conductor.problem is None
            assert time.monotonic() < ends, async_tasks.tasks("train")
            reader.page.wait_for_timeout(100)
        return current

    first = reader.begin()
    assert reader.state() == f"Round 0 · {READ} to judge"
    reader.page.keyboard.press("Shift+A")
    second = reader.painted(first)
    reader.page.keyboard.press("Shift+U")
    assert reader.painted(second) == first
    assert len(shown(first, 0).slices) > 1
    reader.page.locator("[data-cy=recursiveSlice]").click()
    reader.page.locator("[data-cy=recursiveAccept]").click()
    assert reader.painted(first) == second
    shown(second, 0)
    reader.page.locator("[data-cy=recursiveReject]").click()
    reader.page.get_by_role("button", name="wrong class").click()
    third = reader.painted(second)
    reader.page.keyboard.press("Shift+A")
    reader.says("Nothing waits for your verdict")
    reader.sent()
    verdicts = {case_id: ledger.judgements.of_case(case_id)[-1] for case_id in (first, second, third)}
    assert [verdict.verdict for verdict in verdicts.values()] == ["accept", "reject", "accept"]
    assert (len(verdicts[first].rejected_slices), verdicts[second].reason) == (1, "wrong_class")

    current = until(RoundState.REVIEWING)
    assert ledger.rounds.get(0).state is RoundState.CLOSED
    assert current.base_model == ledger.rounds.get(0).model
    assert current.trained_model not in (None, ledger.rounds.get(0).trained_model)
    reader.says("Round 1: proposals wait for your verdict. Press Next.")
    case_id, judged = "", []
    reader.page.locator("[data-cy=recursiveNext]").click()
    for remaining in range(len(ledger.queue.page(now=0)), 0, -1):
        case_id = reader.painted(case_id)
        shown(case_id, 1)
        assert reader.state() == f"Round 1 · {remaining} to judge"
        judged.append(case_id)
        reader.page.keyboard.press("Shift+X")
        reader.page.keyboard.press("0")
    reader.says("Nothing waits for your verdict")
    reader.sent()
    assert judged
    until(RoundState.CONVERGED)
    assert reader.says("has converged").startswith("Nothing waits for your verdict")
    assert reader.state() == "Round 1 · converged"
    assert reader.errors == []
