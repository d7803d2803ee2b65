"""The hash chain: whole after anything the ledger does, also when two processes write."""

import sqlite3
import subprocess
import sys

import pytest

from recursive_expand.ledger import Ledger
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
    ledger.cases.register([CaseEntry(f"{sys.argv[2]}{n:02d}", Role.UNLABELLED, "", "1", slices=1)])
os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
"""


def test_the_hash_is_over_previous_time_kind_and_body():
    # Computed by hand: sha256sum of the four lines without a last newline.
    digest = event_sha256(previous=GENESIS, ts="t", kind="k", body=canonical({"b": 1, "a": "ü"}))
    assert digest == "8c73c37c9d688a2545616127730f2987c47934081531419264c14c539543c703"
    assert canonical({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"seconds": float("nan")})


def test_the_head_is_the_newest_event(ledger, entry):
    assert ledger.audit.head() == (0, GENESIS)
    ledger.cases.register([entry("a")])
    first = ledger.audit.head()
    ledger.cases.set_aside("a", "is gone")
    assert (first[0], ledger.audit.head()[0]) == (1, 2)
    assert first[1] != ledger.audit.head()[1]


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
    assert ledger.cases.ids() == [f"{name}{n:02d}" for name in "ab" for n in range(50)]
    assert ledger.audit.verify() is None
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*), max(seq) FROM events").fetchone() == (100, 100)
    ledger.close()
