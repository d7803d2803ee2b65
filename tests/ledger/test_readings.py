"""readings.py: how a verdict was read, and the id under which a client may send it again."""

import dataclasses

import pytest

from recursive_expand.ledger import Actor, Hold, ReadingFacts, VerdictIdTaken, VerdictKind


def facts(client_verdict_id="v1", **changed):
    known = ReadingFacts(
        client_verdict_id=client_verdict_id,
        session="s1",
        seed=0,
        position=3,
        first_paint=1000.0,
        first_input=None,
        decided=1002.5,
        visible_seconds=2.5,
        slices_seen=(0, 1),
        window_level=40.0,
        window_width=80.0,
        zoom=1.0,
        overlay=True,
        overlay_off_seconds=0.0,
        view="sheet",
        input_device="keyboard",
        client_version="0.2.0",
    )
    return dataclasses.replace(known, **changed)


def test_facts_are_kept_with_their_verdict(reviewing, give):
    verdict = give(reviewing, "a", facts=facts())
    assert reviewing.readings.facts(verdict.verdict_id) == facts()
    assert reviewing.readings.verdict_id("v1") == verdict.verdict_id
    assert reviewing.readings.facts(give(reviewing, "b").verdict_id) is None
    assert reviewing.audit.verify() is None


def test_the_same_id_gives_one_row_also_after_it_was_taken_back(reviewing, give):
    first = give(reviewing, "a", facts=facts())
    assert give(reviewing, "a", facts=facts()).verdict_id == first.verdict_id
    reviewing.judgements.withdraw(Actor("ann", "desk"), first.verdict_id)
    again = give(reviewing, "a", facts=facts())
    assert (again.verdict_id, again.withdrawn is not None) == (first.verdict_id, True)
    assert reviewing.judgements.verdicts() == []
    # A new id is a new verdict.
    assert give(reviewing, "a", facts=facts("v2")).verdict_id != first.verdict_id


def test_an_id_is_not_taken_for_another_verdict(reviewing, give):
    give(reviewing, "a", facts=facts())
    with pytest.raises(VerdictIdTaken, match="was used for another verdict, on case 'a'"):
        give(reviewing, "b", facts=facts())
    with pytest.raises(VerdictIdTaken):
        give(reviewing, "a", reader="bob", facts=facts())


def test_a_verdict_within_300_ms_is_quick():
    assert facts(decided=1000.29).quick and not facts(decided=1000.31).quick


def test_changed_facts_are_found(reviewing, give):
    give(reviewing, "a", facts=facts())
    with reviewing.readings._store.write() as connection:
        connection.exec_driver_sql("UPDATE reading_facts SET decided = 1009")
    assert "reading_facts" in str(reviewing.audit.verify())


def test_acceptance_by_class_counts_slices_of_standing_verdicts(reviewing, give):
    give(reviewing, "a", VerdictKind.ACCEPT, (1,))
    give(reviewing, "b", VerdictKind.REJECT)
    assert reviewing.readings.acceptance() == [(0, "subdural", 1, 4)]


def test_a_reader_holds_what_is_seen_and_gives_it_back(reviewing, give):
    queue = reviewing.queue
    assert queue.hold("ann", ["a", "b"], now=0.0, lease_seconds=10.0) == {"a": Hold.HELD, "b": Hold.HELD}
    assert queue.hold("bob", ["a", "c", "x"], now=5.0, lease_seconds=10.0) == {
        "a": Hold.TAKEN, "c": Hold.HELD, "x": Hold.GONE,
    }  # fmt: skip
    assert [one.case_id for one in queue.waiting("ann", now=5.0)] == ["a", "b"]
    assert [one.case_id for one in queue.waiting("bob", now=5.0)] == ["c"]
    assert queue.release("ann", ["b", "c"]) == 1
    assert [one.case_id for one in queue.waiting("bob", now=5.0)] == ["b", "c"]
    give(reviewing, "b", reader="bob")
    assert queue.hold("bob", ["b"], now=6.0, lease_seconds=1.0) == {"b": Hold.GONE}
    # A reader who vanished: the lease ran out.
    assert queue.hold("bob", ["a"], now=11.0, lease_seconds=1.0) == {"a": Hold.HELD}


def test_a_heartbeat_lengthens_a_lease(reviewing):
    for now in (0.0, 8.0):
        reviewing.queue.hold("ann", ["a"], now=now, lease_seconds=10.0)
    assert reviewing.queue.hold("bob", ["a"], now=17.0, lease_seconds=10.0) == {"a": Hold.TAKEN}


def test_looking_ahead_leases_nothing(reviewing):
    assert len(reviewing.queue.waiting("ann", now=0.0, limit=2)) == 2
    assert [reader for _, reader in reviewing.queue.page(now=0.0)] == [None, None, None]
