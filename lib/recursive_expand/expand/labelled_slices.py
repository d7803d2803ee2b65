"""Slices that join a training set for their image-level labels, without a mask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

import numpy as np

from recursive_expand.cases import Role
from recursive_expand.expand.constraints import allowed_classes
from recursive_expand.ledger import CaseRecord, Ledger
from recursive_expand.settings import Method

SliceNumbers = tuple[str, tuple[int, ...]]
"""(case id, slice numbers)."""
CountMarked = Callable[[Sequence[tuple[str, int]]], Sequence[int]]
"""(case id, slice number) pairs to the number of voxels that f marks on each, whatever is known of it."""
MINED_FROM = 4
"""Mined negatives are chosen from so many times as many slices: f looks at all of these."""
HOSTS_PER_BLEED = 2
"""Slices recorded for each bleed that is painted or pasted: some have no outline."""
_CLEAN, _HOSTS, _TAUGHT = 2, 3, 4
_T = TypeVar("_T")


def labelled_cases(ledger: Ledger, proposable: Collection[str]) -> list[CaseRecord]:
    """Cases with image-level labels that may be trained on: none of a locked patient."""
    return [case for case in ledger.cases.iterate(roles=[Role.IMAGE]) if case.case_id in proposable]


def clean_slices(
    cases: Sequence[CaseRecord], method: Method, round_index: int, *, most: int, marked: CountMarked | None = None
) -> list[SliceNumbers]:
    """A seeded choice of at most `most` slices that image-level labels call clean, by case.

    Args:
        cases: those with labels.
        method: its seed.
        round_index: the round, which has its own choice.
        most: how many.
        marked: for mined negatives; None: by chance alone.
    """
    if marked is None:
        return _by_case(_drawn(_all_clean(cases), method, round_index, _CLEAN, most))
    pool = _drawn(_all_clean(cases), method, round_index, _CLEAN, MINED_FROM * most)
    worst_first = np.argsort(-np.array(marked(pool), np.int64), kind="stable")
    return _by_case(pool[i] for i in worst_first[:most])


def unmarked_slices(
    ledger: Ledger, cases: Iterable[CaseRecord], taken: Collection[tuple[str, int]]
) -> list[SliceNumbers]:
    """Slices that image-level labels call clean and the case's newest proposal leaves empty, but for those taken."""
    unmarked = []
    for case in cases:
        clean = _labelled_clean(case)
        proposal = ledger.proposals.current(case.case_id) if clean else None
        if proposal is None:
            continue
        marked = {*proposal.slices, *proposal.unchanged_slices}
        left = tuple(n for n in clean if n not in marked and (case.case_id, n) not in taken)
        if left:
            unmarked.append((case.case_id, left))
    return unmarked


def host_slices(
    cases: Sequence[CaseRecord], method: Method, round_index: int, *, with_masks: int
) -> list[SliceNumbers]:
    """A seeded choice of slices labelled clean that bleeds are painted or pasted into, by case.

    Args:
        cases, method, round_index: as `clean_slices` takes them.
        with_masks: number of slices with masks, which `painted_share` and `pasted_share` count by.
    """
    training = method.training
    bleeds = sum(int(share * with_masks) for share in (training.painted_share, training.pasted_share))
    if not bleeds:  # nearly always: the cases need not be gone through
        return []
    return _by_case(_drawn(_all_clean(cases), method, round_index, _HOSTS, HOSTS_PER_BLEED * bleeds))


def taught_slices(
    cases: Sequence[CaseRecord], method: Method, round_index: int, *, taken: Collection[tuple[str, int]], most: int
) -> list[tuple[str, int, tuple[str, ...]]]:
    """A seeded choice of slices whose image-level labels are taught: (case id, slice number, classes present).

    The label must be the slice's own, or its case must be one slice: of a slice of a volume nothing is known to be
    present. Slices labelled clean are learned as background instead.

    Args:
        cases, method, round_index, most: as `clean_slices` takes them.
        taken: slices that join with a mask.
    """
    known = []
    for case in cases:
        allowed = allowed_classes(case.image_labels, case.slices)
        for number, present in enumerate(allowed):
            own = case.slices == 1 or number in case.image_labels
            if present and own and (case.case_id, number) not in taken:
                known.append((case.case_id, number, tuple(sorted(present))))
    return sorted(_drawn(known, method, round_index, _TAUGHT, most))


def _all_clean(cases: Iterable[CaseRecord]) -> list[tuple[str, int]]:
    return [(case.case_id, n) for case in cases for n in _labelled_clean(case)]


def _labelled_clean(case: CaseRecord) -> list[int]:
    allowed = allowed_classes(case.image_labels, case.slices)
    return [number for number, names in enumerate(allowed) if names is not None and not names]


def _drawn(candidates: Sequence[_T], method: Method, round_index: int, purpose: int, most: int) -> list[_T]:
    """At most so many, in a seeded order."""
    order = np.random.default_rng([method.seed, purpose, round_index]).permutation(len(candidates))[:most]
    return [candidates[i] for i in order]


def _by_case(slices: Iterable[tuple[str, int]]) -> list[SliceNumbers]:
    by_case: dict[str, list[int]] = {}
    for case_id, number in sorted(slices):
        by_case.setdefault(case_id, []).append(number)
    return [(case_id, tuple(numbers)) for case_id, numbers in by_case.items()]
