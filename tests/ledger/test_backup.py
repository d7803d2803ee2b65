"""A ledger's copy: whole, and without a trace beside the original."""

from __future__ import annotations

from pathlib import Path

import pytest

from recursive_expand.errors import InputError
from recursive_expand.ledger import Ledger
from recursive_expand.ledger.backup import back_up


@pytest.mark.parametrize("held", [True, False])
def test_the_copy_holds_what_the_log_holds_and_nothing_is_left(tmp_path: Path, held: bool) -> None:
    location = tmp_path / "workspace" / "ledger.sqlite"
    ledger = Ledger(location)
    ledger.cases.note_rows_set_aside([("cases.csv line 3", "why")])
    if not held:
        ledger.close()
    assert location.with_name("ledger.sqlite-wal").is_file() == held
    before = {path: path.stat().st_size for path in location.parent.iterdir()}
    back_up(location, tmp_path / "copy.sqlite")
    assert {path: path.stat().st_size for path in location.parent.iterdir()} == before
    copy = Ledger(tmp_path / "copy.sqlite")
    assert copy.cases.list_set_aside() == [("cases.csv line 3", "why")]
    copy.close()
    ledger.close()


def test_what_is_no_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ledger.sqlite: is not there"):
        back_up(tmp_path / "ledger.sqlite", tmp_path / "copy")
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match="cannot be read as a ledger"):
        back_up(tmp_path / "ledger.sqlite", tmp_path / "copy")
