"""Verdicts as label objects in the archive."""

import json

import numpy as np
import pytest

from recursive_expand.archives.images import read_mask
from recursive_expand.expand.frozen import frozen_mask
from recursive_expand.expand.labels import try_to_write_labels, write_labels, write_pending_labels
from recursive_expand.ledger import VerdictKind

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT


@pytest.fixture
def say(reviewing):
    def _say(case_id, verdict, rejected=()):
        sha256 = reviewing.ledger.current_proposal(case_id).sha256
        return reviewing.ledger.decide(
            case_id, sha256, verdict, rejected_slices=rejected, reviewer="ann", client="slicer"
        )

    return _say


def label(study, tag, case_id="u0"):
    """The label object's mask, slices first, or None where there is none."""
    path = study.archive.studies / "labels" / tag / f"{case_id}.nii.gz"
    return (
        study.volume(study.ledger.case(case_id)).geometry.orientation.to_slices(read_mask(path))
        if path.exists()
        else None
    )


def info(study, tag, case_id="u0"):
    return json.loads((study.archive.studies / "labels" / tag / f"{case_id}.json").read_text())


def proposed(study, round_index=0, case_id="u0"):
    native = frozen_mask(study.workspace, round_index, case_id)
    return study.volume(study.ledger.case(case_id)).geometry.orientation.to_slices(native)


def only(mask, slices):
    kept = np.zeros_like(mask)
    kept[list(slices)] = mask[list(slices)]
    return kept


def test_an_accepted_mask_is_the_final_label_with_its_origin(reviewing, say):
    verdict = say("u0", ACCEPT)
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "final"), proposed(reviewing))
    assert label(reviewing, "rejected") is None
    assert info(reviewing, "final") == {
        "verdict": "accept",
        "round": 0,
        "model_sha256": verdict.model_sha256,
        "proposal_sha256": verdict.proposal_sha256,
        "reviewer": "ann",
        "client": "slicer",
        "ts": verdict.ts,
        "rejected_slices": [],
    }
    assert reviewing.ledger.pending_labels() == []
    assert reviewing.ledger.case_ids(tag="final", labelled=False) == ["i0", "i1"]


def test_a_rejected_mask_is_the_rejected_label(reviewing, say):
    say("u0", REJECT)
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "rejected"), proposed(reviewing))
    assert label(reviewing, "final") is None
    assert info(reviewing, "rejected")["slices"] == [0, 1, 2]
    assert reviewing.ledger.case_ids(tag="rejected", labelled=True) == ["u0"]


def test_a_verdict_by_slices_makes_both(reviewing, say):
    say("u0", ACCEPT, [1])
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "final"), only(proposed(reviewing), [0, 2]))
    assert np.array_equal(label(reviewing, "rejected"), only(proposed(reviewing), [1]))
    assert info(reviewing, "final")["rejected_slices"] == [1]


def test_the_final_label_is_the_union_over_rounds(reviewing, say, freeze):
    say("u0", ACCEPT, [1])
    settings = {"config": {}, "config_sha256": "", "training_set": {}, "training_set_sha256": ""}
    reviewing.ledger.start_round(1, base_model=None, **settings, verdict_ids=[], report={})
    second = np.zeros((3, 48, 48), np.uint8)
    second[1, 10:20, 10:20] = 3
    freeze(reviewing, "u0", second, round_index=1)
    say("u0", ACCEPT)
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "final"), only(proposed(reviewing), [0, 2]) + second)
    assert info(reviewing, "final")["round"] == 1
    assert info(reviewing, "rejected")["round"] == 0


def test_a_verdict_taken_back_removes_its_labels(reviewing, say):
    verdict = say("u0", ACCEPT, [1])
    write_labels(reviewing, "u0")
    reviewing.ledger.withdraw(verdict.verdict_id, reviewer="ann")
    write_labels(reviewing, "u0")
    assert label(reviewing, "final") is None
    assert label(reviewing, "rejected") is None
    assert not list((reviewing.archive.studies / "labels").rglob("u0*"))
    assert "u0" in reviewing.ledger.case_ids(tag="final", labelled=False)


def test_labels_that_a_kill_left_out_are_written_at_the_next_start(reviewing, say, reopen):
    say("u0", ACCEPT)
    say("i0", REJECT)
    reviewing.ledger.close()
    again = reopen(reviewing.archive.studies)
    assert write_pending_labels(again) == 2
    assert label(again, "final") is not None
    assert label(again, "rejected", "i0") is not None
    assert write_pending_labels(again) == 0


def test_a_case_whose_image_is_gone_keeps_its_labels_pending_and_stops_nobody(reviewing, say):
    say("i0", ACCEPT)
    say("u0", ACCEPT)
    (reviewing.archive.studies / "i0.nii.gz").unlink()
    assert not try_to_write_labels(reviewing, "i0")
    assert write_pending_labels(reviewing) == 1
    assert label(reviewing, "final") is not None
    assert reviewing.ledger.pending_labels() == ["i0"]


def test_writing_twice_changes_nothing(reviewing, say):
    say("u0", ACCEPT, [1])
    write_labels(reviewing, "u0")
    before = label(reviewing, "final"), info(reviewing, "final")
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "final"), before[0])
    assert info(reviewing, "final") == before[1]
