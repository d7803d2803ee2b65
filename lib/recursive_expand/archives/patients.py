"""Splits are by patient: nobody may be in two of them."""

from __future__ import annotations

from collections.abc import Mapping

from recursive_expand.cases import Role


def in_two_roles(cases: Mapping[str, tuple[Role, str | None]]) -> dict[str, str]:
    """Find the patients whose cases would leak from one split into another.

    Args:
        cases: role and patient by case id; a case without a patient stands for itself.

    Returns:
        One clause by case id, for every case of such a patient; it names the cases by role.
    """
    by_patient: dict[str, dict[Role, list[str]]] = {}
    for case_id, (role, patient) in sorted(cases.items()):
        if patient is not None:
            by_patient.setdefault(patient, {}).setdefault(role, []).append(case_id)
    refused: dict[str, str] = {}
    for patient, by_role in by_patient.items():
        if compatible(by_role):
            continue
        named = ", ".join(f"{role} ({', '.join(_first(ids))})" for role, ids in by_role.items())
        reason = f"patient {patient} is in {len(by_role)} roles: {named}; give all cases of a patient one role"
        refused |= {case_id: f"case {case_id}: {reason}" for ids in by_role.values() for case_id in ids}
    return refused


def compatible(roles: Mapping[Role, object] | set[Role]) -> bool:
    """Whether one patient's cases may have these roles: one alone, or `unlabelled` beside `pixel` or `image`."""
    return len(set(roles)) == 1 or (Role.TEST not in roles and not {Role.PIXEL, Role.IMAGE} <= set(roles))


def _first(case_ids: list[str], most: int = 5) -> list[str]:
    return case_ids if len(case_ids) <= most else [*case_ids[:most], f"and {len(case_ids) - most} more"]
