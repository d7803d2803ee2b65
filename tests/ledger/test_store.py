"""Transactions: synced to the disk before they count, undone where they raise."""

import sqlite3
import subprocess
import sys
import threading

import pytest
from sqlalchemy import text

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.ledger import Ledger
from recursive_expand.ledger.store import Store
from recursive_expand.ledger.tables import cases


@pytest.fixture
def store(ledger):
    return ledger.cases._store


@pytest.mark.parametrize("transaction", ["read", "write"])
def test_every_connection_is_durable(store, transaction):
    with getattr(store, transaction)() as connection:
        pragmas = {p: connection.execute(text(f"PRAGMA {p}")).scalar() for p in ("journal_mode", "synchronous")}
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2: FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_transaction_that_raises_leaves_nothing(ledger, store, entry):
    ledger.cases.register([entry("a")])

    def half() -> None:
        with store.write() as connection:
            connection.execute(cases.delete())
            store.record(connection, "half", of=1)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        half()
    assert ledger.cases.ids() == ["a"]
    assert ledger.audit.verify() is None


def test_a_reader_sees_one_state_while_another_process_writes(ledger, store, entry, tmp_path):
    other = Ledger(tmp_path / "ledger.sqlite")
    with store.read() as connection:
        before = connection.execute(cases.select()).all()
        other.cases.register([entry("a")])
        assert connection.execute(cases.select()).all() == before == []
    assert ledger.cases.ids() == ["a"]
    other.close()


def test_a_url_names_the_file(tmp_path, entry):
    ledger = Ledger(f"sqlite:///{tmp_path / 'elsewhere.sqlite'}")
    ledger.cases.register([entry("a")])
    ledger.close()
    again = Ledger(tmp_path / "elsewhere.sqlite")
    assert again.cases.ids() == ["a"]
    again.close()


def test_a_path_as_text_names_the_file_and_its_folder_is_made(tmp_path):
    Ledger(str(tmp_path / "new" / "ledger.sqlite")).close()
    assert (tmp_path / "new" / "ledger.sqlite").is_file()


@pytest.mark.parametrize(
    ("url", "backend"),
    [
        ("postgresql://reader@db.example/ledger", "postgresql"),
        ("postgresql+psycopg://db.example/ledger", "postgresql"),
        ("mysql://db.example/ledger", "mysql"),
    ],
)
def test_another_database_is_refused_with_one_line(url, backend):
    with pytest.raises(RecursiveExpandError) as refused:
        Store(url)
    line = f"--conf ledger: ledgers in {backend} are not supported yet; give a file or sqlite:///PATH"
    assert str(refused.value) == line


def test_rows_are_recorded_as_they_are_after_the_change(ledger, store, entry):
    ledger.cases.register([entry("ü")])
    with store.read() as connection:
        body = connection.execute(text("SELECT body FROM events")).scalar_one()
    row = '["ü","unlabelled",null,"ready",3,{},null,false]'
    assert body == f'{{"case_ids":["ü"],"rows":{{"cases":[{row}]}}}}'


OPENER = """
import sys
from pathlib import Path
from recursive_expand.ledger import Ledger
print("ready", flush=True)
for path in sys.stdin:
    Ledger(Path(path.rstrip())).close()
    print("opened", flush=True)
"""


def test_a_new_ledger_opened_by_several_processes_at_once_is_made_once(tmp_path):
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for _ in range(4)
    ]

    def answers() -> set[str]:
        return {opener.stdout.readline().rstrip() for opener in openers if opener.stdout}

    assert answers() == {"ready"}
    for n in range(20):
        for opener in openers:
            assert opener.stdin
            opener.stdin.write(f"{tmp_path / f'{n}.sqlite'}\n")
        assert answers() == {"opened"}
    for opener in openers:
        opener.communicate(timeout=60)


def test_switching_to_write_ahead_waits_for_another_process_s_lock(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path, isolation_level=None, check_same_thread=False) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        ending = threading.Timer(0.2, other.execute, ["COMMIT"])
        ending.start()
        Store(path).close()
        ending.join()
