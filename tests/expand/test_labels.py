"""Verdicts as label objects in the archive."""

import json
import time

import numpy as np
import pytest

from recursive_expand.archives.images import read_label
from recursive_expand.errors import Unreachable
from recursive_expand.expand.frozen import frozen_file
from recursive_expand.expand.judging import withdraw
from recursive_expand.expand.labels import deliver, deliver_due, heal, label_info, write_labels
from recursive_expand.ledger import Actor, VerdictKind

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT


@pytest.fixture
def give(reviewing):
    """A verdict in the ledger, whose labels nobody has written yet: as after a kill."""

    def _give(case_id, verdict, rejected=()):
        sha256 = reviewing.ledger.proposals.current(case_id).sha256
        return reviewing.ledger.judgements.give(
            Actor("ann", "slicer"), case_id, sha256, verdict, rejected_slices=rejected
        )

    return _give


def label(recursion, tag, case_id="u0"):
    """The label object's mask, slices first, or None where there is none."""
    path = recursion.archive.studies / "labels" / tag / f"{case_id}.nii.gz"
    return read_label(path).slices if path.exists() else None


def info(recursion, tag, case_id="u0"):
    return json.loads((recursion.archive.studies / "labels" / tag / f"{case_id}.json").read_text())


def only(mask, slices):
    kept = np.zeros_like(mask)
    kept[list(slices)] = mask[list(slices)]
    return kept


def pending(recursion):
    """Ids of the cases with an entry in the outbox, whenever it is due."""
    return recursion.ledger.outbox.due(time.time() + 1e6)


def test_an_accepted_mask_is_the_final_label_with_its_origin(reviewing, give, proposed):
    verdict = give("u0", ACCEPT)
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "final"), proposed(reviewing, "u0"))
    assert label(reviewing, "rejected") is None
    assert info(reviewing, "final") == {
        "verdict": "accept",
        "round": 0,
        "model_sha256": verdict.model_sha256,
        "proposal_sha256": verdict.proposal_sha256,
        "reviewer": "ann",
        "client": "slicer",
        "ts": verdict.ts,
        "authenticated": False,
        "reason": None,
        "rejected_slices": [],
    }
    assert reviewing.ledger.cases.ids(tag="final", labelled=False) == ["i0", "i1"]


def test_a_rejected_mask_is_the_rejected_label(reviewing, give, proposed):
    give("u0", REJECT)
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "rejected"), proposed(reviewing, "u0"))
    assert label(reviewing, "final") is None
    assert info(reviewing, "rejected")["slices"] == [0, 1, 2]
    assert reviewing.ledger.cases.ids(tag="rejected", labelled=True) == ["u0"]


def test_a_verdict_by_slices_makes_both(reviewing, give, proposed):
    give("u0", ACCEPT, [1])
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "final"), only(proposed(reviewing, "u0"), [0, 2]))
    assert np.array_equal(label(reviewing, "rejected"), only(proposed(reviewing, "u0"), [1]))
    assert info(reviewing, "final")["rejected_slices"] == [1]


def test_the_final_label_is_the_union_over_rounds(reviewing, give, freeze, proposed, begin):
    give("u0", ACCEPT, [1])
    begin(reviewing, 1)
    second = np.zeros((3, 48, 48), np.uint8)
    second[1, 10:20, 10:20] = 3
    freeze(reviewing, "u0", second, round_index=1)
    give("u0", ACCEPT)
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "final"), only(proposed(reviewing, "u0"), [0, 2]) + second)
    assert info(reviewing, "final")["round"] == 1
    assert info(reviewing, "rejected")["round"] == 0


def test_a_verdict_taken_back_removes_its_labels(reviewing, give, proposed):
    verdict = give("u0", ACCEPT, [1])
    write_labels(reviewing, "u0")
    reviewing.ledger.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
    write_labels(reviewing, "u0")
    assert label(reviewing, "final") is None
    assert label(reviewing, "rejected") is None
    assert not list((reviewing.archive.studies / "labels").rglob("u0*"))
    assert "u0" in reviewing.ledger.cases.ids(tag="final", labelled=False)


def test_labels_that_a_kill_left_out_are_written_at_the_next_start(reviewing, give, reopen):
    give("u0", ACCEPT)
    give("i0", REJECT)
    reviewing.ledger.close()
    again = reopen(reviewing.archive.studies)
    assert deliver_due(again) == 2
    assert label(again, "final") is not None
    assert label(again, "rejected", "i0") is not None
    assert deliver_due(again) == 0
    assert pending(again) == []


def test_a_case_whose_image_is_gone_keeps_its_labels_waiting_and_stops_nobody(reviewing, give):
    give("i0", ACCEPT)
    give("u0", ACCEPT)
    (reviewing.archive.studies / "i0.nii.gz").unlink()
    assert not deliver(reviewing, "i0")
    assert deliver_due(reviewing) == 1
    assert label(reviewing, "final") is not None
    assert pending(reviewing) == ["i0"]
    assert "names no case of this folder" in reviewing.ledger.outbox.count().error


def test_a_missing_frozen_mask_is_the_reason_that_is_shown(reviewing, give):
    give("u0", ACCEPT)
    frozen_file(reviewing.workspace, reviewing.ledger.proposals.current("u0")).unlink()
    assert not deliver(reviewing, "u0")
    assert ".nii.gz" in reviewing.ledger.outbox.count().error
    assert label(reviewing, "final") is None


def test_a_server_that_is_asked_to_stop_leaves_the_rest_for_its_next_start(reviewing, give):
    give("u0", ACCEPT)
    give("i0", ACCEPT)
    asked = iter([False, True])
    assert deliver_due(reviewing, lambda: next(asked)) == 1
    assert pending(reviewing) == ["i0"]


def test_one_write_settles_all_that_a_case_had_waiting(reviewing, give):
    verdict = give("u0", ACCEPT)
    reviewing.ledger.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
    give("u0", REJECT)
    assert reviewing.ledger.outbox.count().waiting == 3
    assert deliver(reviewing, "u0")
    assert reviewing.ledger.outbox.count().waiting == 0
    assert label(reviewing, "final") is None and label(reviewing, "rejected") is not None


def test_a_verdict_given_while_labels_are_written_is_in_them(reviewing, give, proposed, monkeypatch):
    """It comes after `deliver` has read the verdicts: the entry that it queued is not taken for sent."""
    verdict, put_label = give("u0", ACCEPT), type(reviewing.archive).put_label
    later = [REJECT]

    def slow(self, *args):
        put_label(self, *args)
        if later:
            reviewing.ledger.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
            give("u0", later.pop())

    monkeypatch.setattr(type(reviewing.archive), "put_label", slow)
    assert deliver(reviewing, "u0")
    assert label(reviewing, "final") is None
    assert np.array_equal(label(reviewing, "rejected"), proposed(reviewing, "u0"))
    assert pending(reviewing) == []


def test_what_is_said_of_a_label_is_of_its_newest_verdict(reviewing, give, begin, freeze, proposed):
    first = give("u0", ACCEPT, [1])
    begin(reviewing, 1)
    freeze(reviewing, "u0", only(proposed(reviewing, "u0"), [1]), round_index=1)
    second = give("u0", ACCEPT)
    verdicts = reviewing.ledger.judgements.of_case("u0")
    assert label_info(verdicts, "final")["proposal_sha256"] == second.proposal_sha256
    assert label_info(verdicts, "rejected")["proposal_sha256"] == first.proposal_sha256
    assert label_info([], "final") is None
    assert label_info(verdicts[1:], "rejected") is None


def test_writing_twice_changes_nothing(reviewing, give, proposed):
    give("u0", ACCEPT, [1])
    write_labels(reviewing, "u0")
    before = label(reviewing, "final"), info(reviewing, "final")
    write_labels(reviewing, "u0")
    assert np.array_equal(label(reviewing, "final"), before[0])
    assert info(reviewing, "final") == before[1]


def test_labels_that_were_lost_or_left_behind_are_mended_at_start(reviewing, give):
    give("u0", ACCEPT)
    give("i0", ACCEPT)
    deliver_due(reviewing)
    folder = reviewing.archive.studies / "labels" / "final"
    left = (folder / "u0.nii.gz").read_bytes()
    (folder / "u0.nii.gz").unlink()
    (folder / "i1.nii.gz").write_bytes(left)  # says inside that a verdict left it, and none stands
    assert heal(reviewing) == 2
    deliver_due(reviewing)
    assert label(reviewing, "final") is not None
    assert label(reviewing, "final", "i1") is None
    assert heal(reviewing) == 0


def test_healing_leaves_an_expert_s_mask_alone(reviewing):
    folder = reviewing.archive.studies / "labels" / "final"
    drawn = (folder / "p0.nii.gz").read_bytes()
    (folder / "u0.nii.gz").write_bytes(drawn)
    heal(reviewing)
    deliver_due(reviewing)
    assert (folder / "u0.nii.gz").read_bytes() == drawn and (folder / "p0.nii.gz").read_bytes() == drawn


def test_a_reader_does_not_wait_for_an_archive_that_takes_its_time(reviewing, say, monkeypatch):
    monkeypatch.setattr(type(reviewing.archive), "immediate", False)
    verdict = say(reviewing, "u0", ACCEPT)
    assert label(reviewing, "final") is None
    assert deliver_due(reviewing) == 1
    assert label(reviewing, "final") is not None
    withdraw(reviewing, Actor("ann", "slicer"), verdict.verdict_id)
    assert label(reviewing, "final") is not None
    assert deliver_due(reviewing) == 1
    assert label(reviewing, "final") is None


def test_an_archive_that_is_down_is_tried_once_a_look_and_later_again(reviewing, give, monkeypatch):
    def down(self, *_):
        tried.append(1)
        raise Unreachable("pacs.example did not answer in time (storing)")

    tried, put_label = [], type(reviewing.archive).put_label
    monkeypatch.setattr(type(reviewing.archive), "immediate", False)
    monkeypatch.setattr(type(reviewing.archive), "put_label", down)
    give("u0", ACCEPT)
    give("i0", ACCEPT)
    assert deliver_due(reviewing) == 0
    assert len(tried) == 1
    outbox = reviewing.ledger.outbox
    assert (outbox.count().waiting, outbox.count().failing) == (2, 1)
    assert outbox.count().error == "pacs.example did not answer in time (storing)"
    monkeypatch.setattr(type(reviewing.archive), "put_label", put_label)
    outbox.retry()
    assert deliver_due(reviewing) == 2
