"""identifiers.py: no text from outside leads out of the studies folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.archives.identifiers import EXTENSIONS, SPELLINGS, check_id, check_new_id, split_name
from recursive_expand.errors import InputError


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "C:x",
        ".hidden",
        " a",
        "a ",
        "a\nb",
        "a\0",
        "a\u202eb",
        "\udcff",
        "a" * 129,
    ],
)
def test_texts_that_are_no_id(text):
    with pytest.raises(InputError, match="case id"):
        check_id(text)


@pytest.mark.parametrize("text", ["a", "Müller 3", "scan-01.v2", "a" * 128, "x..y"])
def test_texts_that_are_an_id(text):
    assert check_id(text) == text


@given(st.text(max_size=40))
def test_an_accepted_id_stays_in_its_folder(text):
    try:
        check_id(text)
    except InputError:
        return
    path = Path("studies") / f"{text}.nii.gz"
    assert path.parent == Path("studies") and path.name == f"{text}.nii.gz"
    text.encode()


@pytest.mark.parametrize("text", ["Müller", "a b", "-a", "_a", "a;b"])
def test_ids_that_clients_make_up_are_plain(text):
    with pytest.raises(InputError, match="letter or digit"):
        check_new_id(text)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.nii.gz", ("a", ".nii.gz")),
        ("a.b.NII", ("a.b", ".NII")),
        ("A.Nrrd", ("A", ".Nrrd")),
        ("a.nii.gz.txt", None),
        ("a.dcm", None),
    ],
)
def test_names_split_into_id_and_extension(name, parts):
    assert split_name(name) == parts


def test_every_spelling_of_an_extension_is_split_off() -> None:
    assert SPELLINGS[: len(EXTENSIONS)] == EXTENSIONS
    assert len(set(SPELLINGS)) == len(SPELLINGS) == 2**5 + 2**3 + 2**4
    for extension in SPELLINGS:
        assert split_name(f"case{extension}") == ("case", extension)
