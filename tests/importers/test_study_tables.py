"""study_tables.py: rows join the tables that are there, and nothing in them is lost."""

from __future__ import annotations

import errno
import os

import pytest

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.importers.studies_folder import StudiesError
from recursive_expand.importers.study_tables import LabelRows, RoleRows


def test_a_table_without_patients_gets_the_column_with_the_first_one(tmp_path):
    (tmp_path / "cases.csv").write_text('case_id,role\na,test\n"b,c",pixel', encoding="utf-8-sig")
    rows = RoleRows(tmp_path)
    rows.put("d", Role.IMAGE)
    rows.flush()
    assert (tmp_path / "cases.csv").read_text("utf-8-sig") == 'case_id,role\na,test\n"b,c",pixel\nd,image\n'
    rows.put("e", None, "p1")
    rows.put("f", Role.TEST)
    rows.flush()
    text = 'case_id,role,patient\na,test,\n"b,c",pixel,\nd,image,\ne,,p1\nf,test,\n'
    assert (tmp_path / "cases.csv").read_text() == text
    assert "unlabelled (e)" in RoleRows(tmp_path).refusal("x", Role.TEST, "p1")


def test_nothing_is_written_before_it_is_flushed(tmp_path):
    rows = RoleRows(tmp_path)
    rows.put("a", Role.PIXEL, "p")
    assert not (tmp_path / "cases.csv").exists()
    rows.flush()
    assert (tmp_path / "cases.csv").read_text() == "case_id,role,patient\na,pixel,p\n"


def test_a_row_from_before_is_replaced_and_its_patient_forgotten(tmp_path):
    (tmp_path / "cases.csv").write_text("case_id,role,patient\na,pixel,p\nb,pixel,q\n")
    rows = RoleRows(tmp_path)
    assert rows.put("a", Role.IMAGE, "q2") == "a: its row in cases.csv said pixel, p; it says image, q2 now"
    rows.flush()
    assert (tmp_path / "cases.csv").read_text() == "case_id,role,patient\na,image,q2\nb,pixel,q\n"
    for table in (rows, RoleRows(tmp_path)):
        assert table.refusal("x", Role.TEST, "p") is None
        assert "image (a)" in table.refusal("x", Role.TEST, "q2")


def test_a_role_that_nobody_gives_stays(tmp_path):
    (tmp_path / "cases.csv").write_text("case_id,role,patient\na,test,p\n")
    rows = RoleRows(tmp_path)
    assert rows.put("a", None, None) is None
    rows.put("a", None, "q")
    rows.flush()
    assert (tmp_path / "cases.csv").read_text() == "case_id,role,patient\na,test,q\n"


@pytest.mark.parametrize(
    ("row", "role", "fine"),
    [
        ("a,test,p", Role.TEST, True),
        ("a,test,p", None, True),
        ("a,test,p", Role.PIXEL, False),
        ("a,pixel,p", Role.TEST, True),
        ("a,,p", Role.TEST, True),
    ],
)
def test_what_was_held_out_stays_held_out(tmp_path, row, role, fine):
    (tmp_path / "cases.csv").write_text(f"case_id,role,patient\n{row}\n")
    assert (RoleRows(tmp_path).refusal("a", role, None) is None) is fine
    assert RoleRows(tmp_path).refusal("b", role, None) is None


def test_all_labels_of_a_case_are_replaced(tmp_path):
    (tmp_path / "image_labels.csv").write_text("case_id,slice,sdh\na,0,1\na,7,1\nb,,0\n")
    rows = LabelRows(tmp_path, ["sdh"])
    rows.put("a", [(0, ImageLabels(frozenset())), (1, ImageLabels(frozenset({"sdh"})))])
    rows.flush()
    assert (tmp_path / "image_labels.csv").read_text() == "case_id,slice,sdh\na,0,0\na,1,1\nb,,0\n"
    rows.put("a", [])
    rows.flush()
    assert (tmp_path / "image_labels.csv").read_text() == "case_id,slice,sdh\nb,,0\n"


def test_other_columns_and_encodings_are_refused(tmp_path):
    (tmp_path / "cases.csv").write_text("role,case_id\n")
    with pytest.raises(StudiesError, match="has other columns than case_id,role,patient"):
        RoleRows(tmp_path).put("a", Role.PIXEL)
    (tmp_path / "cases.csv").write_text("case_id,role\n", "utf-16")
    with pytest.raises(StudiesError, match=r"cases\.csv: is not UTF-8"):
        RoleRows(tmp_path)


def test_a_full_disk_leaves_the_table_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "cases.csv"
    path.write_text("case_id,role\na,test\n")
    rows = RoleRows(tmp_path)
    rows.put("b", Role.PIXEL)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        rows.flush()
    assert path.read_text() == "case_id,role\na,test\n"
