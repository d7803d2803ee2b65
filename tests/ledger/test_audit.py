"""The audit: whatever is done to the file behind the ledger's back is found, and named."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing

import pytest

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.ledger import Actor, Ledger, ProposedSlice, VerdictKind
from recursive_expand.ledger.chain import canonical, event_sha256

WHO = Actor("admin", "command line")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def alter(path):
    """Run a statement on the file as somebody with SQLite's own program would; something must change."""

    def alter(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            assert sum(connection.execute(statement).rowcount for statement in statements) > 0

    return alter


@pytest.fixture
def judged(ledger, entry, draft, start, open_review, give):
    """Two rounds: a was accepted but for slice 1 in the first, p is a pixel case, c waits in the second."""
    labels = {None: ImageLabels(frozenset({"subdural"})), 2: ImageLabels(frozenset())}
    ledger.cases.register([entry(case_id) for case_id in "abc"])
    ledger.cases.register([entry("i", Role.IMAGE, image_labels=labels), entry("p", Role.PIXEL, pixel_sha256="e" * 64)])
    start(ledger, 0)
    for case_id in "abc":
        ledger.proposals.freeze(0, draft(case_id))
    open_review(ledger, 0)
    give(ledger, "a", VerdictKind.ACCEPT, (1,), comment='a "comment"\n', seconds=1.5)
    give(ledger, "b", VerdictKind.REJECT, reader="Ünal")
    start(ledger, 1)
    ledger.proposals.freeze(1, draft("c", (2,)))
    open_review(ledger, 1)
    return ledger


def test_nothing_is_found_in_what_the_ledger_did(judged, path):
    assert judged.audit.verify() is None
    again = Ledger(path)
    assert again.audit.verify() is None
    again.close()


def test_nothing_is_found_in_an_empty_ledger(ledger):
    assert ledger.audit.verify() is None


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        (
            "UPDATE verdicts SET verdict = 'reject' WHERE verdict_id = 1",
            "verdicts 1 has verdict 'reject', but event N recorded 'accept'",
        ),
        (
            "UPDATE verdicts SET reviewer = 'eve' WHERE verdict_id = 2",
            "verdicts 2 has reviewer 'eve', but event N recorded 'Ünal'",
        ),
        (
            "UPDATE verdicts SET withdrawn = '2020' WHERE verdict_id = 1",
            "verdicts 1 has withdrawn '2020', but event N recorded None",
        ),
        (
            "UPDATE judgements SET accepted = 1 WHERE verdict_id = 1 AND slice = 1",
            "judgements 1, 1 has accepted True, but event N recorded False",
        ),
        (
            "DELETE FROM judgements WHERE verdict_id = 1 AND slice = 1",
            "judgements 1, 1 is missing, but event N recorded it",
        ),
        (
            "INSERT INTO judgements VALUES (1, 2, 1)",
            "judgements 1, 2 is there, but no event recorded it",
        ),
        (
            'UPDATE cases SET image_labels = \'{"2": [], "case": ["epidural"]}\' WHERE case_id = \'i\'',
            "cases i has image_labels {'2': [], 'case': ['epidural']}, but event N recorded "
            "{'2': [], 'case': ['subdural']}",
        ),
        (
            "UPDATE cases SET role = 'pixel' WHERE case_id = 'i'",
            "cases i has role 'pixel', but event N recorded 'image'",
        ),
        (
            "UPDATE cases SET validation = 1 WHERE case_id = 'p'",
            "cases p has validation True, but event N recorded False",
        ),
        (
            f"UPDATE cases SET pixel_sha256 = '{'f' * 64}' WHERE case_id = 'p'",
            f"cases p has pixel_sha256 '{'f' * 64}', but event N recorded '{'e' * 64}'",
        ),
        (
            "INSERT INTO cases SELECT 'z', role, patient, state, reason, name, signature, slices, image_labels, "
            "pixel_sha256, validation, series_instance_uid, info FROM cases WHERE case_id = 'p'",
            "cases z is there, but no event recorded it",
        ),
        (
            'UPDATE rounds SET training_set = \'{"pixel": ["x"]}\' WHERE round = 1',
            "rounds 1 has training_set H, but event N recorded H",
        ),
        (
            "UPDATE rounds SET config = json_set(config, '$.seed', 7) WHERE round = 0",
            "rounds 0 has config H, but event N recorded H",
        ),
        (
            f"UPDATE rounds SET model = '{'f' * 64}' WHERE round = 0",
            f"rounds 0 has model '{'f' * 64}', but event N recorded '{0:064d}'",
        ),
        (
            "UPDATE proposals SET sha256 = 'f' WHERE proposal_id = 3",
            "proposals 3 has sha256 'f', but event N recorded H",
        ),
        (
            "UPDATE proposals SET unchanged_slices = '[2]' WHERE proposal_id = 1",
            "proposals 1 has unchanged_slices [2], but event N recorded []",
        ),
        (
            "UPDATE proposal_slices SET voxels = 11 WHERE proposal_id = 1 AND slice = 0",
            "proposal_slices 1, 0, subdural has voxels 11, but event N recorded 10",
        ),
        (
            "DELETE FROM proposal_slices WHERE proposal_id = 4",
            "proposal_slices 4, 2, subdural is missing, but event N recorded it",
        ),
        (
            "UPDATE proposals SET state = 'open' WHERE proposal_id = 1",
            "proposals 1 has state open, but its verdicts make it decided",
        ),
        (
            "UPDATE events SET body = replace(body, '\"accept\"', '\"reject\"') WHERE seq = 9",
            "event 9 (verdict) was changed, but the hash chain has it",
        ),
        ("UPDATE events SET ts = '2020-01-01' WHERE seq = 2", "event 2 (cases_registered) was changed, but"),
        ("UPDATE events SET kind = 'case_set_aside' WHERE seq = 1", "event 1 (case_set_aside) was changed, but"),
        ("DELETE FROM events WHERE seq = 3", "event 3 is missing, but the hash chain has it"),
        ("UPDATE events SET seq = 100 WHERE seq = 4", "event 4 is missing, but the hash chain has it"),
        ("DELETE FROM events WHERE seq = 1", "event 1 is missing, but the hash chain has it"),
        ("DELETE FROM events WHERE seq > 13", "rounds 1 has state 'reviewing', but event N recorded 'proposing'"),
        ("DELETE FROM events", "the chain of events ends at 0, but round 1 began after an event that is gone"),
    ],
)
def test_tampering_is_found_and_named(judged, alter, tampering, found):
    alter(tampering)
    told = judged.audit.verify()
    assert told is not None
    assert _without_numbers(str(told)).startswith(f"the ledger is not as it was recorded: {found}")
    assert "recursive-expand ledger accept WORKSPACE --reason WHY" in str(told)


def _without_numbers(line: str) -> str:
    """Hashes and the number of the event that recorded a row are not what these tests are about."""
    line = re.sub(r"'(?!0{50})[0-9a-f]*[a-f0-9]{20}[0-9a-f]*'", lambda m: m[0] if len(set(m[0])) < 5 else "H", line)
    return re.sub(r"event \d+ recorded", "event N recorded", line)


def test_the_events_of_the_fixture_are_where_the_cases_above_say(judged, path):
    with closing(sqlite3.connect(path)) as connection:
        kinds = dict(connection.execute("SELECT seq, kind FROM events"))
    assert (kinds[9], kinds[13], kinds[14]) == ("verdict", "proposal_frozen", "review_opened")
    assert len(kinds) == 14


def test_a_tail_cut_off_with_its_rows_is_missed_by_the_round_that_began_after_it(judged, alter):
    # The verdict on b and what came of it, but not the round that trained on it.
    alter(
        "DELETE FROM judgements WHERE verdict_id = 2",
        "DELETE FROM verdicts WHERE verdict_id = 2",
        "DELETE FROM proposals WHERE round = 1",
        "DELETE FROM proposal_slices WHERE proposal_id = 4",
        "DELETE FROM events WHERE seq >= 10",
        "UPDATE proposals SET state = 'open' WHERE proposal_id IN (2, 3)",
        "UPDATE rounds SET state = 'reviewing' WHERE round = 0",
    )
    told = str(judged.audit.verify())
    assert "the chain of events ends at 9, but round 1 began after an event that is gone" in told


def test_a_forged_event_with_its_own_right_hash_breaks_the_next_link(judged, path):
    with closing(sqlite3.connect(path)) as connection, connection:
        previous, ts = connection.execute("SELECT previous, ts FROM events WHERE seq = 2").fetchone()
        sha256 = event_sha256(previous=previous, ts=ts, kind="forged", body="{}")
        connection.execute("UPDATE events SET kind = 'forged', body = '{}', sha256 = ? WHERE seq = 2", (sha256,))
    assert judged.audit.verify().what == "event 3"


def test_a_chain_that_was_hashed_anew_does_not_hold_what_the_rounds_remember(judged, path):
    with closing(sqlite3.connect(path)) as connection, connection:
        previous = connection.execute("SELECT previous FROM events WHERE seq = 9").fetchone()[0]
        later = connection.execute("SELECT seq, ts, kind, body FROM events WHERE seq >= 9 ORDER BY seq").fetchall()
        for seq, ts, kind, body in later:
            changed = body.replace('"ann"', '"eve"')
            sha256 = event_sha256(previous=previous, ts=ts, kind=kind, body=changed)
            row = (changed, previous, sha256, seq)
            connection.execute("UPDATE events SET body = ?, previous = ?, sha256 = ? WHERE seq = ?", row)
            previous = sha256
        connection.execute("UPDATE verdicts SET reviewer = 'eve' WHERE reviewer = 'ann'")
    assert "round 1 began after an event that is gone" in str(judged.audit.verify())


def test_what_is_not_covered_may_change(judged, alter):
    alter(
        "UPDATE proposals SET sort_key = 7, score = 0.5",
        "UPDATE cases SET info = '{\"x\": 1}', signature = '', name = 'y', reason = NULL",
        "UPDATE rounds SET report = '{}', attempts = 3",
        "UPDATE verdicts SET seconds = 9",
        "DELETE FROM outbox",
    )
    assert judged.audit.verify() is None


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE judgements SET accepted = 1",
        "DELETE FROM judgements WHERE slice = 1",
        "UPDATE events SET body = '{}' WHERE seq = 9",
        "DELETE FROM events WHERE seq = 3",
        "DELETE FROM events WHERE seq > 10",
        "DELETE FROM events",
        'UPDATE cases SET image_labels = \'{"case":  [], "0": ["b"]}\'',
    ],
)
def test_what_is_accepted_is_the_new_record_and_what_was_wrong_stays_on_it(judged, alter, path, give, tampering):
    alter(tampering)
    told = judged.audit.verify()
    assert judged.audit.accept(WHO, "restored by hand") > 0
    assert judged.audit.verify() is None
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT body FROM events WHERE kind = 'audit_accepted' ORDER BY seq LIMIT 1"
        body = json.loads(connection.execute(query).fetchone()[0])
    assert (body["reviewer"], body["reason"], body["difference"]) == ("admin", "restored by hand", str(told))
    give(judged, "c")
    assert judged.audit.verify() is None
    alter("UPDATE judgements SET accepted = 0 WHERE verdict_id = 3")
    assert judged.audit.verify().what == "judgements 3, 2"


def test_a_derived_state_is_written_anew_when_the_tables_are_accepted(judged, alter):
    alter("UPDATE proposals SET state = 'open' WHERE proposal_id = 1")
    judged.audit.accept(WHO, "restored by hand")
    assert judged.audit.verify() is None
    assert judged.proposals.of_round("a", 0).state == "decided"


def test_tampering_is_found_after_an_acceptance(judged, alter, start):
    judged.audit.accept(WHO, "nothing was wrong")
    start(judged, 2)
    assert judged.audit.verify() is None
    alter("DELETE FROM events WHERE kind IN ('round_started', 'model_published')")
    assert judged.audit.verify() is not None


def test_a_tail_cut_off_after_an_acceptance_is_missed_by_the_round_that_began_after_it(
    judged, alter, start, give, path
):
    alter("DELETE FROM events WHERE seq = 3")
    judged.audit.accept(WHO, "a disk error")
    head = judged.audit.head()[0]
    give(judged, "c")
    start(judged, 2)
    # Everything since, but for the round's own row and an event that records it.
    with closing(sqlite3.connect(path)) as connection, connection:
        kept = connection.execute(
            "SELECT ts, kind, body FROM events WHERE kind = 'model_published' AND seq > ?", (head,)
        )
        ts, kind, body = kept.fetchone()
        closed = connection.execute("SELECT body FROM events WHERE kind = 'round_started' AND seq > ?", (head,))
        rows = json.loads(body)["rows"]["rounds"] + json.loads(closed.fetchone()[0])["rows"]["rounds"][:1]
        forged = canonical({"rows": {"rounds": rows}})
        previous = connection.execute("SELECT sha256 FROM events WHERE seq = ?", (head,)).fetchone()[0]
        connection.execute("DELETE FROM events WHERE seq > ?", (head,))
        sha256 = event_sha256(previous=previous, ts=ts, kind=kind, body=forged)
        connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", (head + 1, ts, kind, forged, previous, sha256)
        )
        connection.execute("DELETE FROM judgements WHERE verdict_id = 3")
        connection.execute("DELETE FROM verdicts WHERE verdict_id = 3")
        connection.execute("UPDATE proposals SET state = 'open' WHERE proposal_id = 4")
    assert "round 2 began after an event that is gone" in str(judged.audit.verify())


def test_a_recount_is_covered_also_where_it_takes_rows_away(judged, alter):
    judged.proposals.recount(1, [ProposedSlice(0, "epidural", 5), ProposedSlice(1, "subdural", 10)])
    assert judged.audit.verify() is None
    alter("INSERT INTO proposal_slices VALUES (1, 0, 'subdural', 10, NULL)")
    assert str(judged.audit.verify().what) == "proposal_slices 1, 0, subdural"


def test_large_columns_are_recorded_by_their_hash(judged, path):
    with closing(sqlite3.connect(path)) as connection:
        (body,) = connection.execute("SELECT body FROM events WHERE kind = 'round_started' LIMIT 1").fetchone()
    row = json.loads(body)["rows"]["rounds"][0]
    assert hashlib.sha256(b'{"seed":0}').hexdigest() in row
    assert hashlib.sha256(b'{"pixel":[]}').hexdigest() in row


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (
            "json_set(report, '$.operating_point.thresholds.subdural', 0.9)",
            "proposes at {'thresholds': {'subdural': 0.9}, 'min_area': 25.0}, but event ",
        ),
        (
            "json_set(report, '$.operating_point.min_area', 1)",
            "proposes at {'thresholds': {'subdural': 0.4}, 'min_area': 1}, but event ",
        ),
        ("json_remove(report, '$.operating_point')", "proposes at None, but event "),
    ],
)
def test_an_operating_point_that_was_edited_is_found_until_it_is_accepted(ledger, start, alter, value, found):
    start(ledger, 0)
    ledger.rounds.choose_operating_point(0, {"thresholds": {"subdural": 0.4}, "min_area": 25.0})
    assert ledger.audit.verify() is None
    alter(f"UPDATE rounds SET report = {value}")
    assert f"rounds 0 {found}" in str(ledger.audit.verify())
    ledger.audit.accept(WHO, "mended by hand")
    assert ledger.audit.verify() is None


def test_thresholds_that_nobody_chose_are_found(ledger, start, alter):
    start(ledger, 0)
    alter("""UPDATE rounds SET report = '{"operating_point": {"thresholds": {"subdural": 0.9}}}'""")
    assert "no event recorded it" in str(ledger.audit.verify())
