"""Migrations: a ledger of version 0.1.0 becomes one of today, with all that it knew, or stays as it was."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.ledger import (
    Actor,
    CaseState,
    Features,
    Ledger,
    ProposalState,
    ReadingFacts,
    RoundState,
    VerdictKind,
)
from recursive_expand.ledger.migrate import MIGRATIONS, NEWEST
from recursive_expand.ledger.tables import metadata

DATA = Path(__file__).parents[1] / "data"
FACTS = ReadingFacts(
    "v1", "s1", 0, 3, 1000.0, None, 1002.5, 2.5, (0, 1), 40.0, 80.0, 1.0, True, 0.0, "sheet", "keyboard", "0.2.0"
)
OPENER = """
import sys
from pathlib import Path
from recursive_expand.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
ledger = Ledger(Path(sys.argv[1]))
print(ledger.audit.verify(), ledger.audit.head()[0], flush=True)
"""


@pytest.fixture
def path(tmp_path):
    """The ledger of a study that 0.1.0 began; its second round was training when it was killed."""
    with tarfile.open(DATA / "study_0_1_0.tar.gz") as archive:
        archive.extract("./.recursive/ledger.sqlite", tmp_path, filter="data")
    return tmp_path / ".recursive" / "ledger.sqlite"


@pytest.fixture
def upgraded(path):
    ledger = Ledger(path)
    yield ledger
    ledger.close()


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def expected() -> dict:
    """What 0.1.0 itself made of round 0."""
    found = json.loads((DATA / "study_0_1_0.json").read_text())
    return {key: [row for row in found[key] if row[1] == 0] for key in ("proposals", "verdicts")}


@pytest.mark.parametrize("which", ["new", "of 0.1.0"])
def test_the_schema_is_that_of_the_tables(which, path, tmp_path):
    ledger = Ledger(path if which == "of 0.1.0" else tmp_path / "new.sqlite")
    with ledger.cases._store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == NEWEST
        differences = compare_metadata(context, metadata)
    ledger.close()
    assert differences == []


def test_cases_arrive_in_their_roles(upgraded):
    cases = {case.case_id: case for case in upgraded.cases.iterate()}
    assert {case_id: case.role for case_id, case in cases.items()} == {
        **dict.fromkeys(("i0", "i1"), Role.IMAGE),
        **dict.fromkeys(("p0", "p1", "p2"), Role.PIXEL),
        "t0": Role.TEST,
        **dict.fromkeys(("u0", "u1", "u2", "u3"), Role.UNLABELLED),
    }
    assert [case_id for case_id, case in cases.items() if case.validation] == ["p2"]
    assert [case_id for case_id, case in cases.items() if case.has_expert_mask] == ["p0", "p1", "p2", "t0"]
    bleeds, clean = ImageLabels(frozenset({"intraparenchymal"})), ImageLabels(frozenset())
    assert cases["i0"].image_labels == {0: bleeds, 1: bleeds, 2: clean}
    assert (cases["u2"].name, cases["u2"].slices, cases["u2"].info) == ("u2.nii.gz", 3, {"note": "x"})
    assert upgraded.cases.label_note("i0", "final") == {"level": "easy"}
    # Every image is looked at once more.
    assert set(upgraded.cases.signatures().values()) == {""}


def test_labels_and_what_is_settled_follow_from_the_verdicts_as_before(upgraded):
    tags = {case.case_id: list(case.tags) for case in upgraded.listing.cases()}
    assert tags == {
        **{case_id: ["final"] for case_id in ("i0", "p0", "p1", "p2", "t0", "u1")},
        "i1": ["final", "rejected"],
        "u0": ["rejected"],
        "u2": [],
        "u3": [],
    }
    unsettled = upgraded.cases.iterate(roles=[Role.IMAGE, Role.UNLABELLED], unsettled=True)
    assert [case.case_id for case in unsettled] == ["i1", "u0", "u2", "u3"]


def test_the_interrupted_round_arrives(upgraded):
    closed, training = upgraded.rounds.all()
    assert (closed.state, training.state) == (RoundState.CLOSED, RoundState.TRAINING)
    assert closed.model == closed.trained_model == training.base_model
    assert (closed.last_verdict, training.last_verdict) == (0, 5)
    assert upgraded.rounds.training_set(1)["verdict_ids"] == [2, 3, 4, 5]
    assert len(closed.report["losses"]) == 12
    assert upgraded.rounds.resume(1, config=training.config, config_sha256=training.config_sha256).attempts == 1


def test_proposals_arrive_with_their_states_and_scores(upgraded):
    found = [p for case_id in upgraded.cases.ids() for p in upgraded.proposals.of_case(case_id)]
    assert [[p.case_id, p.round, p.sha256, list(p.slices), list(p.unchanged_slices), p.confidence] for p in found] == [
        [case_id, number, sha256, slices, unchanged, confidence]
        for case_id, number, sha256, _, slices, unchanged, confidence in expected()["proposals"]
    ]
    states = {p.case_id: p.state for p in found}
    assert states == {
        **dict.fromkeys(("i0", "i1", "u0", "u1"), ProposalState.DECIDED),
        **dict.fromkeys(("u2", "u3"), ProposalState.OPEN),
    }
    assert all(p.file == f"proposals/round_0000/{p.case_id}.nii.gz" for p in found)
    assert found[0].voxels == {"intraparenchymal": 83}
    assert [(p.case_id, p.score == p.confidence) for p, _ in upgraded.queue.page(now=0)] == [("u2", True), ("u3", True)]
    candidate = upgraded.queue.candidates()[0]
    assert candidate.features == Features(pytest.approx(7.60887062919126), 3, None)
    assert candidate.leading_class == "intraparenchymal"


def test_verdicts_arrive_with_their_slices_and_the_round_that_used_them(upgraded):
    found = [v for case_id in upgraded.cases.ids() for v in upgraded.judgements.of_case(case_id)]
    assert [
        [v.case_id, v.round, v.verdict, list(v.accepted_slices), list(v.rejected_slices), v.reviewer, v.used_by]
        for v in found
    ] == expected()["verdicts"]
    partly = upgraded.judgements.verdict(3)
    assert (partly.comment, partly.client, partly.authenticated) == ("edge", "http", False)
    taken_back = upgraded.judgements.verdict(1)
    assert (taken_back.used_by, taken_back.seconds, taken_back.withdrawn is not None) == (None, 2.0, True)
    assert upgraded.judgements.count() == {"accept": 3, "reject": 1, "accepted_slices": 7, "rejected_slices": 4}
    assert [(one.accepted, one.rejected) for one in upgraded.queue.judged()] == [(2, 0), (2, 1), (0, 3), (3, 0)]


def test_leases_pending_labels_and_what_was_set_aside_arrive(path):
    change(
        path,
        "INSERT INTO leases VALUES ('u3', 'slicer', 100.0)",
        "UPDATE cases SET labels_pending = 1 WHERE case_id IN ('u1', 'i0')",
        "UPDATE cases SET state = 'set_aside', reason = 'is truncated' WHERE case_id = 'u2'",
        "INSERT INTO set_aside_rows VALUES ('cases.csv line 3', 'names no case')",
    )
    ledger = Ledger(path)
    assert [(p.case_id, reader) for p, reader in ledger.queue.page(now=50)] == [("u3", "slicer")]
    assert ledger.queue.next("slicer", now=50, lease_seconds=60) == "u3"
    assert ledger.outbox.due(0) == ["i0", "u1"]
    assert ledger.cases.list_set_aside() == [("u2", "is truncated"), ("cases.csv line 3", "names no case")]
    assert ledger.cases.get("u2").state is CaseState.SET_ASIDE
    assert ledger.proposals.current("u2").state is ProposalState.HELD
    ledger.close()


def test_proposals_that_were_empty_unchanged_or_superseded_arrive_as_such(path):
    change(
        path,
        "UPDATE proposals SET state = 'unchanged' WHERE case_id = 'u3'",
        "UPDATE proposals SET state = 'empty', slices = '[]', voxels = '{}', leading_class = NULL, features = NULL, "
        "position = NULL WHERE case_id = 'u2'",
        "UPDATE cases SET role = 'pixel' WHERE case_id = 'u3'",
        # An event says what a proposal was made as.
        'UPDATE events SET body = replace(body, \'"open"\', \'"unchanged"\') WHERE body LIKE \'%"u3"%"open"%\'',
        'UPDATE events SET body = replace(body, \'"open"\', \'"empty"\') WHERE body LIKE \'%"u2"%"open"%\'',
    )
    ledger = Ledger(path)
    assert ledger.proposals.current("u2").state is ProposalState.EMPTY
    assert ledger.proposals.current("u3").state is ProposalState.SUPERSEDED
    assert ledger.queue.count() == 0
    ledger.close()


def test_the_audit_finds_nothing_and_goes_on(upgraded):
    assert upgraded.audit.verify() is None
    newest = upgraded.proposals.current("u2")
    upgraded.judgements.give(Actor("anna", "http"), "u2", newest.sha256, VerdictKind.ACCEPT)
    assert upgraded.audit.verify() is None


def test_a_chain_that_was_broken_before_stays_so(path):
    change(path, "UPDATE events SET body = replace(body, '\"accept\"', '\"reject\"') WHERE seq = 21")
    ledger = Ledger(path)
    assert ledger.audit.verify().what == "event 21"
    ledger.close()


@pytest.mark.parametrize(
    ("tampering", "what"),
    [
        ("UPDATE judgements SET accepted = 0 WHERE verdict_id = 5", "judgements 5, 0"),
        ("UPDATE cases SET image_labels = '{}' WHERE case_id = 'i0'", "cases i0"),
        ("UPDATE events SET body = '{}' WHERE seq = 3", "event 3"),
        ("DELETE FROM events WHERE seq > 28", "cases i0"),
    ],
)
def test_tampering_after_the_upgrade_is_found(upgraded, path, tampering, what):
    change(path, tampering)
    assert upgraded.audit.verify().what == what


def test_a_second_opening_changes_nothing(upgraded, path):
    upgraded.close()
    before = dump(path)
    Ledger(path).close()
    assert dump(path) == before


def test_first_builds_of_0_1_0_had_fewer_columns(path):
    change(
        path,
        "ALTER TABLE proposals DROP COLUMN score",
        "ALTER TABLE proposals DROP COLUMN features",
        "ALTER TABLE cases DROP COLUMN patient",
    )
    ledger = Ledger(path)
    assert [one.features for one in ledger.queue.candidates()] == [None, None]
    assert ledger.audit.verify() is None
    ledger.close()


def test_slices_that_were_not_counted_can_be(upgraded):
    uncounted = upgraded.proposals.uncounted()
    assert [p.case_id for p in uncounted] == ["i0", "i1", "u0", "u1", "u2", "u3"]
    assert upgraded.audit.verify() is None


def test_a_ledger_of_a_later_version_is_refused_and_not_touched(upgraded, path):
    upgraded.close()
    change(path, "UPDATE alembic_version SET version_num = '0099'")
    before = dump(path)
    line = f"written by a later version \\(schema 0099; known is {NEWEST}\\): install that version"
    with pytest.raises(RecursiveExpandError, match=line):
        Ledger(path)
    assert dump(path) == before


@pytest.mark.parametrize("where", ["in the old rows", "after the tables were made"])
def test_a_failure_half_way_leaves_the_old_ledger_as_it_was(path, monkeypatch, where):
    if where == "in the old rows":
        change(path, "UPDATE verdicts SET accepted_slices = '[0' WHERE verdict_id = 5")
    else:

        def killed(*_: object) -> None:
            raise ValueError("killed")

        monkeypatch.setattr("recursive_expand.ledger.migrate.snapshot", killed)
    before = dump(path)
    with pytest.raises(ValueError, match=r"killed|Expecting"):
        Ledger(path)
    assert dump(path) == before
    if where == "after the tables were made":
        monkeypatch.undo()
        ledger = Ledger(path)
        assert ledger.audit.verify() is None
        ledger.close()


def test_a_ledger_in_which_a_case_had_one_proposal_a_round_keeps_everything(reviewing, give, tmp_path):
    """Schema 0005: rows are brought over as they were, and every proposal is a first one."""
    rejection = give(reviewing, "a", VerdictKind.REJECT, facts=FACTS)
    give(reviewing, "b", VerdictKind.ACCEPT, (1,))
    reviewing.queue.hold("bob", ["c"], now=0, lease_seconds=60)
    queue = [p.proposal_id for p, _ in reviewing.queue.page(now=0)]
    reviewing.close()
    path = tmp_path / "of_0005.sqlite"
    _older(path, "0005", rows_of=tmp_path / "ledger.sqlite")
    upgraded = Ledger(path)
    assert upgraded.audit.verify() is None
    assert [p.chance for case_id in "abc" for p in upgraded.proposals.of_case(case_id)] == [0, 0, 0]
    assert upgraded.judgements.of_case("a")[0].rejected_slices == (0, 1)
    assert upgraded.readings.facts(rejection.verdict_id) == FACTS
    assert [p.proposal_id for p, _ in upgraded.queue.page(now=0)] == queue
    assert [one.slices for one in upgraded.proposals.without_second_chance(0)] == [(0, 1), (1,)]
    upgraded.judgements.withdraw(Actor("ann", "slicer"), rejection.verdict_id)
    assert upgraded.audit.verify() is None
    upgraded.close()


def _older(path: Path, revision: str, *, rows_of: Path) -> None:
    """A ledger of an earlier schema with another's rows, as far as it has columns for them."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ATTACH ? AS newer", (str(rows_of),))
        for (table,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            if table != "alembic_version":
                columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
                named = ", ".join(f'"{name}"' for name in columns)
                connection.execute(f"INSERT INTO main.{table} ({named}) SELECT {named} FROM newer.{table}")


@pytest.mark.parametrize("which", ["new", "of 0.1.0"])
def test_processes_that_open_a_ledger_at_once_upgrade_it_once(path, tmp_path, which):
    target = path if which == "of 0.1.0" else tmp_path / "new.sqlite"
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    answers = {opener.communicate(timeout=60)[0] for opener in openers}
    assert len(answers) == 1
    assert answers.pop().startswith("None ")
