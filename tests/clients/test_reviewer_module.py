"""The unmodified MONAILabelReviewer against a running server: its list loads, and its buttons are verdicts."""

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs 3D Slicer's libraries: pip install slicer-core")

from recursive_expand.expand.frozen import frozen_label
from recursive_expand.phantom import CLASSES

from .stock_reviewer import PLUGIN, StockReviewer

pytestmark = pytest.mark.skipif(not PLUGIN.is_dir(), reason=f"no Slicer module in {PLUGIN}: pip install monailabel")


@pytest.fixture
def recursion(sixty):
    return sixty


@pytest.fixture
def reviewer(desk, tmp_path):
    def _reviewer(name="ann"):
        return StockReviewer(desk.url, tmp_path, name)

    return _reviewer


def standing(recursion):
    return {
        verdict.case_id: (verdict.verdict, verdict.reviewer, verdict.client, verdict.comment)
        for verdict in recursion.ledger.judgements.verdicts()
    }


def test_its_list_loads_and_shows_the_proposals(reviewer, recursion):
    ann = reviewer()
    assert ann.warnings == []
    assert ann.cases == [f"c{number:02d}" for number in range(60)]
    assert ann.ui.label_idx_seg_image.text == "60/60"
    for _ in range(3):
        assert ann.label == "version_0"
        proposal = recursion.ledger.proposals.current(ann.case)
        label = frozen_label(recursion.workspace, proposal, CLASSES)
        np.testing.assert_array_equal(ann.voxels(), label.native.T > 0)
        ann.ui.btn_next.click()
    # Turning pages judged nothing.
    assert standing(recursion) == {}


def test_approved_and_flagged_are_verdicts(reviewer, recursion):
    ann = reviewer()
    ann.ui.btn_approved.click()
    ann.ui.plainText_comment.setPlainText("thin rim")
    ann.ui.btn_next.click()
    ann.ui.btn_mark_revision.click()
    ann.ui.btn_next.click()
    assert standing(recursion) == {
        "c00": ("accept", "ann", "MONAILabelReviewer", "thin rim"),
        "c01": ("reject", "ann", "MONAILabelReviewer", None),
    }
    # Back, and a changed mind.
    ann.ui.btn_previous.click()
    assert ann.case == "c01"
    ann.ui.btn_approved.click()
    ann.ui.btn_next.click()
    assert standing(recursion)["c01"][0] == "accept"
    assert recursion.ledger.audit.verify() is None


def test_what_was_judged_is_shown_so_when_the_list_is_loaded_again(reviewer, recursion):
    ann = reviewer()
    ann.ui.btn_approved.click()
    ann.ui.btn_next.click()
    ann.ui.btn_mark_revision.click()
    ann.ui.btn_next.click()
    again = reviewer("bob")
    assert again.warnings == []
    assert again.ui.label_idx_appr_image.text == "1/60"
    assert "ann" in [again.ui.comboBox_reviewers.itemText(n) for n in range(again.ui.comboBox_reviewers.count)]
    shown = []
    for _ in range(3):
        shown.append((again.case, again.label, again.ui.lineEdit_status.text))
        again.ui.btn_next.click()
    assert shown == [("c00", "final (approved)", "approved"), ("c01", "version_0", "flagged"), ("c02", "version_0", "")]
    # Bob looked; the verdicts are still Ann's.
    assert {case_id: one[:2] for case_id, one in standing(recursion).items()} == {
        "c00": ("accept", "ann"),
        "c01": ("reject", "ann"),
    }
