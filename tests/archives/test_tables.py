"""tables.py: spreadsheets are read as people save them, and every bad row is named."""

from __future__ import annotations

import pytest

from recursive_expand.archives.tables import read_image_labels, read_roles
from recursive_expand.cases import Role
from recursive_expand.errors import InputError

CLASSES = ("epidural", "subdural")
CASES = ("a", "b", "Case C")


def roles(tmp_path, content):
    path = tmp_path / "cases.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_roles(path, CASES)


def labels(tmp_path, content, slice_count=lambda case: 10):
    path = tmp_path / "image_labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_image_labels(path, CASES, CLASSES, slice_count)


@pytest.mark.parametrize(
    "content",
    [
        "case_id,role\na,pixel\nCase C,test\n",
        "\ufeffcase_id,role\r\na,pixel\r\nCase C,test\r\n",
        "Case_ID ; ROLE\n a ; Pixel \n\n Case C;TEST",
        "role\tcase_id\tnote\npixel\ta\tx\ntest\tCase C\t",
        'case_id,role,,\na.nii.gz,"pixel",,\nCase C,test,,\n,,,\n',
    ],
)
def test_roles_in_the_shapes_that_spreadsheets_give_them(tmp_path, content):
    table = roles(tmp_path, content)
    assert table.roles == {"a": Role.PIXEL, "Case C": Role.TEST}
    assert not table.set_aside


def test_bad_rows_of_cases_are_named_and_the_rest_is_used(tmp_path):
    table = roles(tmp_path, "case_id,role\nghost,pixel\na,tset\nb,image\nb,test\nCase C,\n")
    assert table.roles == {"b": Role.IMAGE}
    assert [str(line) for line in table.set_aside] == [
        "cases.csv line 2: names no case of this folder: 'ghost'",
        "cases.csv line 3: unknown role 'tset' (choose one of pixel, image, test, unlabelled); case a is not used "
        "until then",
        "cases.csv line 5: case b already has a row (cases.csv line 4); that one counts",
        "cases.csv line 6: unknown role '' (choose one of pixel, image, test, unlabelled); case Case C is not used "
        "until then",
    ]
    # A misspelt `test` must not be trained on.
    assert [(line.case_id, line.kind) for line in table.set_aside] == [
        (None, "row"),
        ("a", "case"),
        ("b", "row"),
        ("Case C", "case"),
    ]


def test_patients_are_read_and_their_role_may_be_left_to_the_labels(tmp_path):
    table = roles(tmp_path, "case_id,role,Patient\na,,P1\nb,test,\nCase C,pixel,P 2\n")
    assert table.patients == {"a": "P1", "Case C": "P 2"}
    assert table.roles == {"b": Role.TEST, "Case C": Role.PIXEL}
    assert not table.set_aside


def test_a_row_with_neither_role_nor_patient_is_set_aside(tmp_path):
    (line,) = roles(tmp_path, "case_id,role,patient\na,,\n").set_aside
    assert (line.case_id, line.kind) == ("a", "case") and "unknown role ''" in line.reason


def test_image_labels_of_slices_and_whole_cases(tmp_path):
    table = labels(tmp_path, "case_id,slice,epidural,subdural\na,,0,1\nb,0,1,1\nb,9.0,0.0,0\n")
    assert not table.set_aside
    assert {case: {s: set(label.present) for s, label in rows.items()} for case, rows in table.labels.items()} == {
        "a": {None: {"subdural"}},
        "b": {0: {"epidural", "subdural"}, 9: set()},
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("ghost,1,0,0", "names no case of this folder: 'ghost'"),
        ("a,10,0,0", "slice 10 is out of range: slices are numbered 0 to 9"),
        ("a,-1,0,0", "'-1' is no slice number"),
        ("a,1.5,0,0", "'1.5' is no slice number"),
        ("a,nan,0,0", "'nan' is no slice number"),
        ("a,1,2,0", "epidural is '2'; only 0 and 1 are known"),
        ("a,1,0,", "subdural is ''; only 0 and 1 are known"),
        ("a,1,0", "subdural is ''; only 0 and 1 are known"),
        ("a,1,yes,0", "epidural is 'yes'; only 0 and 1 are known"),
        ("a,3,0,1", "slice 3 of case a already has a row; the first one counts"),
    ],
)
def test_bad_rows_of_image_labels_are_named_and_the_rest_is_used(tmp_path, row, reason):
    table = labels(tmp_path, f"case_id,slice,epidural,subdural\na,3,1,0\n{row}\nb,4,0,1\n")
    assert [str(line) for line in table.set_aside] == [f"image_labels.csv line 3: {reason}"]
    assert table.set_aside[0].kind == "row"
    assert {case: list(rows) for case, rows in table.labels.items()} == {"a": [3], "b": [4]}
    assert table.labels["a"][3].present == {"epidural"}


def test_an_unknown_class_column_is_named_and_ignored(tmp_path):
    table = labels(tmp_path, "case_id,slice,Epidural,subdural,any\na,,1,0,1\n")
    assert [str(line) for line in table.set_aside] == [
        "image_labels.csv column 'any': is no class of this task (epidural, subdural); the column is ignored"
    ]
    assert table.labels["a"][None].present == {"epidural"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("case_id,slice,epidural\na,,1\n", "has no column subdural"),
        ("slice,epidural,subdural\n1,1,0\n", "has no column case_id"),
        ("case_id,slice,epidural,epidural,subdural\n", "two columns of the same name"),
        (b"case_id,slice,epidural,subdural\n\x81,,1,0\n", "is not UTF-8 (byte 32)"),
        (b"\xff\xfec\0a\0s", "is not UTF-8"),
        (b"case_id,slice,epidural,subdural\na\0,,1,0\n", "holds NUL characters"),
        (f"case_id,slice,epidural,subdural\n{'a' * 2**20},,1,0\n", "is no CSV table (field larger than field limit"),
        ('case_id,slice,epidural,subdural\na,,"1,0\nb,,1,0\n', "is no CSV table (unexpected end of data)"),
        ('case_id,slice,epidural,subdural\na,,"1\nb,,"1,0\n', "is no CSV table (',' expected after '\"')"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(tmp_path, content, reason):
    table = labels(tmp_path, content)
    (line,) = table.set_aside
    assert str(line).startswith("image_labels.csv: ") and reason in str(line)
    assert not table.labels
    assert table.unusable == str(line) and "nothing is trained or proposed until it is mended" in table.unusable
    assert len(table.unusable) < 300


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_tables_in_the_encodings_of_spreadsheets_are_read(tmp_path, encoding):
    path = tmp_path / "cases.csv"
    path.write_bytes("case_id;role;patient\nKopf Ä;test;Müller\n".encode(encoding))
    table = read_roles(path, ["Kopf Ä"])
    assert (table.roles, table.patients) == ({"Kopf Ä": Role.TEST}, {"Kopf Ä": "Müller"})
    assert not table.set_aside and table.unusable is None


@pytest.mark.parametrize(
    "content",
    [
        "case_id,role,role\na,test,pixel\n",
        "id,role\na,test\n",
        f"case_id,role,note\na,test,{'x' * 2**20}\n",
        'case_id,role\na,pixel\nb,"image\nCase C,test\n',
        'case_id,role\na,"pixel\nb",test\n',
        'case_id,role\n"a,pixel\nb",test\n',
    ],
)
def test_a_table_of_roles_that_is_not_understood_is_unusable(tmp_path, content):
    table = roles(tmp_path, content)
    assert not table.roles and table.unusable is not None and table.unusable.startswith("cases.csv")
    assert [str(line) for line in table.set_aside] == [table.unusable]


def test_a_table_that_cannot_be_opened_is_unusable(tmp_path):
    (tmp_path / "cases.csv").mkdir()
    table = read_roles(tmp_path / "cases.csv", CASES)
    assert table.unusable is not None and table.unusable.startswith("cases.csv: cannot be read (Is a directory)")


def test_a_note_may_have_several_lines(tmp_path):
    table = roles(tmp_path, 'case_id,role,note\na,test,"first\nsecond"\nb,pixel,\n')
    assert table.roles == {"a": Role.TEST, "b": Role.PIXEL} and table.unusable is None


def test_control_characters_of_cells_are_escaped(tmp_path):
    table = roles(tmp_path, "case_id,role\na\x1b[2J,test\nb,te\x07st\n")
    assert all(str(line).isprintable() for line in table.set_aside) and len(table.set_aside) == 2


def test_a_case_whose_slices_cannot_be_counted_loses_the_row_only(tmp_path):
    def damaged(case):
        raise InputError("a.nii", "is truncated")

    table = labels(tmp_path, "case_id,slice,epidural,subdural\na,1,1,0\na,,1,0\n", damaged)
    assert [line.file for line in table.set_aside] == ["image_labels.csv line 2"]
    assert list(table.labels["a"]) == [None]


@pytest.mark.parametrize("content", ["", "\n\n", "case_id,role\n"])
def test_empty_and_missing_tables_are_fine(tmp_path, content):
    assert roles(tmp_path, content) == read_roles(tmp_path / "missing.csv", CASES)
    assert not roles(tmp_path, content).set_aside and roles(tmp_path, content).unusable is None
