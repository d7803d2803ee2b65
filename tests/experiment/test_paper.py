"""docs/paper.md names code and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE))), ids="::".join)
def test_every_test_that_is_named_exists(named: tuple[str, str]) -> None:
    file, test = named
    assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`([\w/]+\.py)(?:: (\w+))?`", TABLE))), ids=":".join)
def test_all_code_that_is_named_exists(named: tuple[str, str]) -> None:
    file, name = named
    text = (ROOT / "lib" / "recursive_expand" / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"^(def |class )?{name}\b", text, re.MULTILINE)
