"""Locked patients: no slice of theirs is trained on; by their masks the gate tells whether a new model holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from recursive_expand.cases import Role
from recursive_expand.ledger import CaseRecord, Ledger
from recursive_expand.settings import Method

FEWEST_ACCEPTED = 20
"""Accepted slices from which on some are locked: fewer are all needed to learn from, and would tell nothing."""

Patient = tuple[str, str]


def patient_of(case: CaseRecord) -> Patient:
    """Whose a case is; one whose patient is not known stands for a patient of its own."""
    return ("case", case.case_id) if case.patient is None else ("patient", case.patient)


def locked_patients(cases: Iterable[CaseRecord]) -> set[Patient]:
    """The patients of whom a case is locked: also what comes of them later is never trained on."""
    return {patient_of(case) for case in cases if case.validation}


def lock_validation(ledger: Ledger, method: Method) -> None:
    """Choose the locked validation share of the pixel slices, seeded and by patient.

    Patients are taken in a seeded order, each only where that brings the locked share of slices closer to the wanted
    one: locking the patient who has most of the slices would leave little to learn from. From three patients on at
    least one is locked, of those with the fewest slices if need be, and one at least is left to train on.
    """
    patients: dict[Patient, list[CaseRecord]] = {}
    for case in ledger.cases.iterate(roles=[Role.PIXEL]):
        patients.setdefault(patient_of(case), []).append(case)
    cases = list(patients.values())
    sizes = [sum(case.slices for case in members) for members in cases]
    order = np.random.default_rng([method.seed, 1]).permutation(len(cases)).tolist()
    chosen = _nearest(sizes, order, wanted=method.validation_share * sum(sizes), most=len(cases) - 1)
    if not chosen and method.validation_share > 0 and len(cases) >= 3:
        chosen.append(min(order, key=sizes.__getitem__))
    ledger.cases.lock_validation(case.case_id for i in chosen for case in cases[i])


def lock_accepted(ledger: Ledger, method: Method, round_index: int) -> None:
    """Lock some of the patients whose first slices were accepted, before a round learns from them.

    The locked slices approach `Method.accepted_validation_share` of all accepted ones, in the seeded order of
    `lock_validation`. A patient of whom any round has seen a slice is not locked any more. Nothing is locked without a
    gate, nor while fewer than `FEWEST_ACCEPTED` slices are accepted.

    Args:
        ledger: cases and judgements as they stand.
        method: the share, the gate, the seed.
        round_index: the round that is about to begin.
    """
    if not method.gate or not method.accepted_validation_share:
        return
    accepted = Counter(one.case_id for one in ledger.judgements.standing() if one.accepted)
    total = accepted.total()
    if total < FEWEST_ACCEPTED:
        return
    cases = list(ledger.cases.iterate(state=None))
    locked, learned = locked_patients(cases), _learned_from(ledger, round_index)
    patients: dict[Patient, list[str]] = {}
    for case in cases:
        patients.setdefault(patient_of(case), []).append(case.case_id)
    sizes = {patient: sum(accepted[case_id] for case_id in ids) for patient, ids in patients.items()}
    fresh = sorted(p for p in patients if sizes[p] and p not in locked and not learned.intersection(patients[p]))
    order = np.random.default_rng([method.seed, 3, round_index]).permutation(len(fresh)).tolist()
    wanted = method.accepted_validation_share * total - sum(sizes[patient] for patient in locked)
    chosen = _nearest([sizes[patient] for patient in fresh], order, wanted=wanted, most=len(fresh))
    ledger.cases.lock_validation(case_id for i in chosen for case_id in patients[fresh[i]])


def _nearest(sizes: Sequence[int], order: Iterable[int], *, wanted: float, most: int) -> list[int]:
    """Of these in this order, each that brings the sum of sizes closer to the wanted one; at most so many."""
    chosen: list[int] = []
    taken = 0
    for i in order:
        if len(chosen) < most and taken + sizes[i] / 2 <= wanted:
            chosen.append(i)
            taken += sizes[i]
    return chosen


def _learned_from(ledger: Ledger, round_index: int) -> set[str]:
    """Cases of which an earlier round has trained on a slice."""
    found: set[str] = set()
    for earlier in range(round_index):
        stored = ledger.rounds.training_set(earlier)
        for name in ("accepted", "rejected", "joined", "propagated"):
            found.update(one["case_id"] for one in stored.get(name, []))
        for name in ("pixel", "clean"):
            found.update(one[0] for one in stored[name])
    return found
