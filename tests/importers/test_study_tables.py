"""study_tables.py: rows join the tables that are there, and nothing in them is lost."""

from __future__ import annotations

import pytest

from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.importers.study_tables import RoleRows


def test_a_table_without_patients_gets_the_column_with_the_first_one(tmp_path):
    (tmp_path / "cases.csv").write_text('case_id,role\na,test\n"b,c",pixel', encoding="utf-8-sig")
    rows = RoleRows(tmp_path)
    rows.add("d", Role.IMAGE)
    assert (tmp_path / "cases.csv").read_text("utf-8-sig") == 'case_id,role\na,test\n"b,c",pixel\nd,image\n'
    rows.add("e", None, "p1")
    rows.add("f", Role.TEST)
    text = 'case_id,role,patient\na,test,\n"b,c",pixel,\nd,image,\ne,,p1\nf,test,\n'
    assert (tmp_path / "cases.csv").read_text() == text
    assert RoleRows(tmp_path).others("x", "p1") == {Role.UNLABELLED: ["e"]}


def test_rows_that_are_there_count(tmp_path):
    (tmp_path / "cases.csv").write_text("case_id,role,patient\na,test,p\n")
    RoleRows(tmp_path).add("a", Role.PIXEL, "q")
    assert (tmp_path / "cases.csv").read_text() == "case_id,role,patient\na,test,p\n"


@pytest.mark.parametrize(
    ("row", "role", "fine"),
    [
        ("a,test,p", Role.TEST, True),
        ("a,test,p", None, True),
        ("a,pixel,p", Role.TEST, False),
        ("a,,p", Role.TEST, False),
    ],
)
def test_a_row_of_a_broken_off_import_with_another_role_is_noticed(tmp_path, row, role, fine):
    (tmp_path / "cases.csv").write_text(f"case_id,role,patient\n{row}\n")
    assert (RoleRows(tmp_path).contradicts("a", role) is None) is fine
    assert RoleRows(tmp_path).contradicts("b", role) is None


def test_other_columns_are_refused(tmp_path):
    (tmp_path / "cases.csv").write_text("role,case_id\n")
    with pytest.raises(InputError, match="has other columns than case_id,role,patient"):
        RoleRows(tmp_path).add("a", Role.PIXEL)
