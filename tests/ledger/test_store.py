"""Transactions: synced to the disk before they count, undone where they raise."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from recursive_expand.ledger import Ledger
from recursive_expand.ledger.tables import cases


@pytest.mark.parametrize("transaction", ["read", "write"])
def test_every_connection_is_durable(ledger, transaction):
    with getattr(ledger, transaction)() as connection:
        pragmas = {p: connection.execute(text(f"PRAGMA {p}")).scalar() for p in ("journal_mode", "synchronous")}
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2: FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_transaction_that_raises_leaves_nothing(ledger, entry):
    ledger.register([entry("a")])

    def half() -> None:
        with ledger.write() as connection:
            connection.execute(cases.delete())
            ledger.record(connection, "half", of=1)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        half()
    assert ledger.case_ids() == ["a"]
    assert ledger.first_broken_event() is None


def test_a_reader_sees_one_state_while_another_process_writes(ledger, entry, tmp_path):
    other = Ledger(tmp_path / "ledger.sqlite")
    with ledger.read() as connection:
        before = connection.execute(cases.select()).all()
        other.register([entry("a")])
        assert connection.execute(cases.select()).all() == before == []
    assert ledger.case_ids() == ["a"]
    other.close()


def test_a_url_names_any_database(tmp_path, entry):
    ledger = Ledger(f"sqlite:///{tmp_path / 'elsewhere.sqlite'}")
    ledger.register([entry("a")])
    ledger.close()
    assert Ledger(tmp_path / "elsewhere.sqlite").case_ids() == ["a"]


def test_a_ledger_of_an_earlier_version_gets_the_new_columns(tmp_path):
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as old:
        old.execute("ALTER TABLE proposals DROP COLUMN score")
        old.execute("ALTER TABLE proposals DROP COLUMN features")
    ledger = Ledger(path)
    assert ledger.open_candidates() == []
    ledger.close()
    Ledger(path).close()  # nothing is added twice
