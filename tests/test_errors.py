"""errors.py: no text from outside reaches a terminal or a log as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.errors import MAX_LINE, InputError, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kopf Ä 头.nii.gz", "Kopf Ä 头.nii.gz"),
        ("a\x1b[2J\n\t\0", r"a\x1b[2J\n\t\x00"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff", r"\udcff"),
        ("a\\n", "a\\n"),
    ],
)
def test_what_is_no_text_is_escaped(text, expected):
    assert shown(text) == expected


@given(st.text(max_size=3 * MAX_LINE))
def test_any_text_is_one_line_that_can_be_written(text):
    line = shown(text)
    assert line.isprintable() and line.encode() is not None
    assert len(line) <= 10 * MAX_LINE and (len(text) <= MAX_LINE) == ("characters)" not in line[-20:] or text == line)


def test_an_input_error_shows_its_source_and_its_reason():
    error = InputError("a\x07.nii", "holds\n'x'")
    assert (error.source, error.reason, str(error)) == (r"a\x07.nii", r"holds\n'x'", r"a\x07.nii: holds\n'x'")
