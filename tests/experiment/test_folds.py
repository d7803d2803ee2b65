"""Leave one patient out: who is held out in which fold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.archives.patients import in_two_roles
from recursive_expand.archives.scan import FoundCase
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.experiment.folds import leave_out, patient_of, patients_to_leave_out


def _case(case_id: str, role: Role = Role.PIXEL, patient: str | None = None) -> FoundCase:
    return FoundCase(case_id, role, {}, "", patient=patient)


@st.composite
def _scans(draw: st.DrawFn) -> list[FoundCase]:
    """Cases as a scan finds them: nobody is in two splits. Two patients at least have expert masks."""
    ids = draw(st.lists(st.text("ab019", min_size=1, max_size=3), unique=True, max_size=12))
    whose = st.sampled_from([None, "p1", "p01", "p2", "p10", "a"])
    cases = [_case(case_id, draw(st.sampled_from(Role)), draw(whose)) for case_id in ids]
    cases += [_case("x"), _case("y")]
    refused = in_two_roles({case.case_id: (case.role, case.patient) for case in cases})
    return [case for case in cases if case.case_id not in refused]


@given(_scans())
def test_every_patient_is_held_out_once_and_never_trained_on_then(cases: list[FoundCase]) -> None:
    pixel = {case.case_id for case in cases if case.role is Role.PIXEL}
    held_out: list[str] = []
    for patient in patients_to_leave_out(cases):
        fold = leave_out(cases, patient)
        assert [case.case_id for case in fold] == [case.case_id for case in cases]
        tested = {patient_of(case) for case in fold if case.role is Role.TEST}
        learned = {patient_of(case) for case in fold if case.role is not Role.TEST}
        assert patient in tested and patient not in learned
        assert not in_two_roles({case.case_id: (case.role, case.patient) for case in fold})
        now = {case.case_id for case in fold if case.role is Role.PIXEL}
        assert now and now < pixel
        held_out += pixel - now
    assert sorted(held_out) == sorted(pixel)


def test_patients_are_in_the_natural_order_of_their_names() -> None:
    cases = [_case("x", patient="p10"), _case("y", patient="p2"), _case("p3"), _case("z", patient="p2")]
    assert patients_to_leave_out([*cases, _case("p1", Role.TEST)]) == ["p2", "p3", "p10"]


def test_unlabelled_cases_of_the_patient_go_too() -> None:
    cases = [_case("a", patient="p"), _case("b", Role.UNLABELLED, "p"), _case("c", Role.UNLABELLED, "q")]
    assert [case.role for case in leave_out(cases, "p")] == [Role.TEST, Role.TEST, Role.UNLABELLED]


@pytest.mark.parametrize("cases", [[], [_case("a", patient="p"), _case("b", patient="p")]])
def test_one_patient_is_too_few(cases: list[FoundCase]) -> None:
    with pytest.raises(InputError, match=f"at least two patients with expert masks, not {len(cases) // 2}"):
        patients_to_leave_out(cases)
