"""The hash chain: whole after anything the ledger does, broken by anything done behind its back."""

import sqlite3
import subprocess
import sys

import pytest

from recursive_expand.ledger import Ledger, VerdictKind
from recursive_expand.ledger.chain import GENESIS, canonical, event_sha256

WRITER = """
import os, signal, sys
from pathlib import Path
from recursive_expand.cases import Role
from recursive_expand.ledger import CaseEntry, Ledger
ledger = Ledger(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for n in range(50):
    ledger.register([CaseEntry(f"{sys.argv[2]}{n:02d}", Role.UNLABELLED, "", "1", slices=1)])
os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
"""


def test_the_chain_holds_after_a_review(reviewing, draft):
    reviewing.decide("a", draft("a").sha256, VerdictKind.ACCEPT, reviewer="Ünal", client="x", comment='a\nb"c')
    assert reviewing.first_broken_event() is None


@pytest.mark.parametrize(
    ("tampering", "first"),
    [
        ("UPDATE events SET body = replace(body, '\"accept\"', '\"reject\"') WHERE kind = 'verdict'", "last"),
        ("UPDATE events SET ts = '2020-01-01' WHERE seq = 2", 2),
        ("UPDATE events SET kind = 'case_set_aside' WHERE seq = 1", 1),
        ("DELETE FROM events WHERE seq = 3", 3),
        ("UPDATE events SET seq = 100 WHERE seq = 4", 4),
    ],
)
def test_tampering_is_found_where_it_was_done(reviewing, draft, tmp_path, tampering, first):
    reviewing.decide("a", draft("a").sha256, VerdictKind.ACCEPT, reviewer="x", client="x")
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        last = connection.execute("SELECT max(seq) FROM events").fetchone()[0]
        assert connection.execute(tampering).rowcount == 1
    assert reviewing.first_broken_event() == (last if first == "last" else first)


def test_a_forged_event_with_its_own_right_hash_breaks_the_next_link(reviewing, tmp_path):
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        previous, ts = connection.execute("SELECT previous, ts FROM events WHERE seq = 2").fetchone()
        sha256 = event_sha256(previous=previous, ts=ts, kind="forged", body="{}")
        connection.execute("UPDATE events SET kind = 'forged', body = '{}', sha256 = ? WHERE seq = 2", (sha256,))
    assert reviewing.first_broken_event() == 3


def test_the_hash_is_over_previous_time_kind_and_body():
    # Computed by hand: sha256sum of the four lines without a last newline.
    digest = event_sha256(previous=GENESIS, ts="t", kind="k", body=canonical({"b": 1, "a": "ü"}))
    assert digest == "8c73c37c9d688a2545616127730f2987c47934081531419264c14c539543c703"
    assert canonical({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"seconds": float("nan")})


def test_two_processes_write_at_once_and_are_killed_yet_nothing_is_lost(tmp_path):
    path = tmp_path / "ledger.sqlite"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.communicate(b"go\n", timeout=60)
    ledger = Ledger(path)
    assert ledger.case_ids() == [f"{name}{n:02d}" for name in "ab" for n in range(50)]
    assert ledger.first_broken_event() is None
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*), max(seq) FROM events").fetchone() == (100, 100)
    ledger.close()
