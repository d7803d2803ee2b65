"""docs/paper.md names code and tests that exist, and what the other documents promise is what it says."""

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


def test_every_step_names_code_and_a_test() -> None:
    steps = [line for line in TABLE.splitlines() if line.count(" | ") == 4 and not line.startswith("| the paper |")]
    assert len(steps) >= 28
    for step in steps:
        _, _, code, test, verdict = step.strip("| ").split(" | ")
        assert re.search(r"`[\w/]+\.py", code) or code.startswith("`tests`"), step
        assert re.search(r"`[\w/]+\.py::test_\w+`", test), step
        assert verdict.startswith(("same", "not public", "**differs**")), step


@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md", "apps/recursive_ich/task.yaml"])
def test_as_published_is_said_only_where_no_step_differs(file: str) -> None:
    text = " ".join((ROOT / file).read_text(encoding="utf-8").split())
    if re.search(r"as published|exactly the paper", text):
        assert not re.search(r"\| \*\*differs", TABLE)
