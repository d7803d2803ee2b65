"""patients.py: nobody is in two splits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.archives.patients import compatible, in_two_roles
from recursive_expand.cases import Role


@pytest.mark.parametrize(
    ("roles", "fine"),
    [
        ({Role.PIXEL}, True),
        ({Role.TEST}, True),
        ({Role.PIXEL, Role.UNLABELLED}, True),
        ({Role.IMAGE, Role.UNLABELLED}, True),
        ({Role.PIXEL, Role.IMAGE}, False),
        ({Role.PIXEL, Role.TEST}, False),
        ({Role.IMAGE, Role.TEST}, False),
        ({Role.UNLABELLED, Role.TEST}, False),
    ],
)
def test_which_roles_go_together(roles, fine):
    assert compatible(roles) is fine


def test_all_cases_of_such_a_patient_are_refused_by_name():
    found = in_two_roles(
        {"a": (Role.PIXEL, "P1"), "b": (Role.TEST, "P1"), "c": (Role.PIXEL, "P2"), "d": (Role.TEST, None)}
    )
    assert found.keys() == {"a", "b"}
    reason = "patient P1 is in 2 roles: pixel (a), test (b); give all cases of a patient one role"
    assert found["a"] == f"case a: {reason}"


def test_many_cases_are_not_all_listed():
    cases = {f"i{n}": (Role.IMAGE, "P") for n in range(9)} | {"t": (Role.TEST, "P")}
    assert "image (i0, i1, i2, i3, i4, and 4 more), test (t)" in in_two_roles(cases)["t"]


@given(st.dictionaries(st.text("abc", min_size=1), st.tuples(st.sampled_from(Role), st.sampled_from(["P", "Q", None]))))
def test_what_is_left_is_compatible(cases):
    left = {case: said for case, said in cases.items() if case not in in_two_roles(cases)}
    for patient in ("P", "Q"):
        roles = {role for role, whose in left.values() if whose == patient}
        assert not roles or compatible(roles)
