"""Leave one patient out: every fold holds out a different patient of the pixel cases."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from recursive_expand.archives.scan import FoundCase
from recursive_expand.cases import Role
from recursive_expand.errors import InputError


def patient_of(case: FoundCase) -> str:
    """The patient of a case; without a known patient, the case is its own."""
    return case.patient or case.case_id


def patients_to_leave_out(cases: Iterable[FoundCase]) -> list[str]:
    """The patients of the pixel cases in the natural order of their names: `p2` before `p10`.

    Raises:
        InputError: there are fewer than two, so that leaving one out leaves nobody to learn from.
    """
    patients = sorted({patient_of(case) for case in cases if case.role is Role.PIXEL}, key=_natural)
    if len(patients) < 2:
        raise InputError("leave_one_patient_out", f"needs at least two patients with expert masks, not {len(patients)}")
    return patients


def leave_out(cases: Iterable[FoundCase], patient: str) -> tuple[FoundCase, ...]:
    """The same cases; all of this patient's have the role `test`."""
    return tuple(replace(case, role=Role.TEST) if patient_of(case) == patient else case for case in cases)


def _natural(name: str) -> tuple[str, str]:
    """Sort key that compares numbers by value; the name itself decides between `p1` and `p01`."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(20), name), name
