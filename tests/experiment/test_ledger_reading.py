"""What a run's ledger recorded."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.second_chances import propose_second_chances
from recursive_expand.experiment.ledger_reading import read_run
from recursive_expand.experiment.rounds import round_rows
from recursive_expand.experiment.verdicts import verdict_rows
from recursive_expand.ledger import Actor, VerdictKind
from recursive_expand.phantom import CLASSES


def test_verdicts_come_in_the_order_of_review_with_their_proposals_voxels(reviewing) -> None:
    ledger = reviewing.ledger
    shown = [proposal for proposal, _ in ledger.queue.page(now=0.0)][:2]
    for proposal, rejected in zip(reversed(shown), ([shown[1].slices[0]], []), strict=True):
        given = {"rejected_slices": rejected, "seconds": 3.0}
        ledger.judgements.give(Actor("a", "b"), proposal.case_id, proposal.sha256, VerdictKind.ACCEPT, **given)
    recorded = read_run(reviewing.workspace, CLASSES)
    assert [one.verdict.case_id for one in recorded.reviewed] == [shown[1].case_id, shown[0].case_id]
    for one, proposal in zip(recorded.reviewed, reversed(shown), strict=True):
        assert tuple(one.voxels) == proposal.slices
        assert sum(sum(by_class) for by_class in one.voxels.values()) == sum(proposal.voxels.values())
        assert (one.confidence, one.score) == (proposal.confidence, proposal.score)
    (round_,) = recorded.rounds
    slices = sum(len(proposal.slices) for proposal in shown)
    assert (round_.accepted, round_.rejected) == (2, 0)
    assert (round_.accepted_slices, round_.rejected_slices) == (slices - 1, 1)
    assert round_.weights.name == f"{round_.model}.safetensors" and round_.weights.is_file()
    assert recorded.roles["pixel"] == 3
    (row,) = round_rows(recorded.rounds)
    assert (row["verdicts_before"], row["verdicts"], row["model_sha256"]) == (0, 2, round_.model)
    assert row["proposed_cases"] == round_.proposed >= 2


def test_second_looks_are_counted_apart_but_as_verdicts_that_were_given(reviewing) -> None:
    ledger, actor = reviewing.ledger, Actor("a", "b")
    first = ledger.proposals.current("u0")
    ledger.judgements.give(actor, "u0", first.sha256, VerdictKind.REJECT)
    config = reviewing.settings.changed(second_chance="stricter", unchanged_dice=1.0).round_config()
    for case_id in ("i0", "i1"):
        ledger.judgements.give(actor, case_id, ledger.proposals.current(case_id).sha256, VerdictKind.ACCEPT)
    assert propose_second_chances(reviewing, dataclasses.replace(ledger.rounds.current(), config=config)) == 1
    second = ledger.proposals.current("u0")
    ledger.judgements.give(actor, "u0", second.sha256, VerdictKind.ACCEPT)
    recorded = read_run(reviewing.workspace, CLASSES)
    (row,) = round_rows(recorded.rounds)
    assert (row["verdicts"], row["second_verdicts"], row["second_accepted_slices"]) == (4, 1, len(second.slices))
    assert row["rejected_slices"] == len(first.slices)
    rows = verdict_rows(recorded.reviewed, CLASSES)
    again = [one for one in rows if one["second_look"]]
    assert {one["proposal_sha256"] for one in again} == {second.sha256}
    assert sum(one["voxels"] for one in again) == sum(second.voxels.values())


def test_a_changed_ledger_is_refused(reviewing) -> None:
    reviewing.ledger.close()
    with sqlite3.connect(reviewing.workspace.ledger) as connection:
        connection.execute("UPDATE events SET body = '{}' WHERE seq = 2")
    with pytest.raises(RecursiveExpandError, match="not as it was recorded"):
        read_run(reviewing.workspace, CLASSES)
