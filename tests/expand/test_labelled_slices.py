"""labelled_slices.py: which slices join for their image-level labels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.expand.labelled_slices import MINED_FROM, clean_slices, host_slices, labelled_cases, taught_slices
from recursive_expand.ledger import CaseEntry, Ledger

CLEAN, SUBDURAL = ImageLabels(frozenset()), ImageLabels(frozenset({"subdural"}))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Volumes v0 to v3 of 6 slices: 0 and 1 clean, 2 subdural, the whole case subdural; single slices s0 to s3, of
    which the whole case's label is the slice's."""
    opened = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
    labels = {0: CLEAN, 1: CLEAN, 2: SUBDURAL, None: SUBDURAL}
    opened.cases.register([CaseEntry(f"v{n}", Role.IMAGE, "", "1", slices=6, image_labels=labels) for n in range(4)])
    whole = {None: SUBDURAL}
    opened.cases.register([CaseEntry(f"s{n}", Role.IMAGE, "", "1", slices=1, image_labels=whole) for n in range(4)])
    known = {case.case_id for case in opened.cases.iterate(roles=[Role.IMAGE])}
    assert labelled_cases(opened, known - {"v3"}) == [
        one for one in labelled_cases(opened, known) if one.case_id != "v3"
    ]
    yield labelled_cases(opened, known)
    opened.close()


def _flat(by_case):
    return [(case_id, number) for case_id, numbers in by_case for number in numbers]


@given(marks=st.lists(st.integers(0, 5), min_size=8, max_size=8), most=st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_mined_negatives_are_those_on_which_f_marks_most(cases, ich, marks, most):
    asked = []

    def marked(pool):
        asked.extend(pool)
        return [marks[2 * int(case_id[1]) + number] for case_id, number in pool]

    chosen = _flat(clean_slices(cases, ich.method, 1, most=most, marked=marked))
    assert len(chosen) == most and set(chosen) <= set(asked) and len(asked) == min(8, MINED_FROM * most)
    least = min((marks[2 * int(case_id[1]) + number] for case_id, number in chosen), default=9)
    assert all(marks[2 * int(case_id[1]) + n] <= least for case_id, n in set(asked) - set(chosen))


def test_hosts_are_clean_slices_the_same_every_time_each_round_its_own(cases, ich):
    method = ich.method.model_copy(update={"training": ich.method.training.model_copy(update={"painted_share": 0.5})})
    first, again, later = (_flat(host_slices(cases, method, n, with_masks=4)) for n in (1, 1, 2))
    assert first == again != later and len(first) == 4
    assert all(number < 2 for _, number in first)
    assert host_slices(cases, ich.method, 1, with_masks=4) == []


def test_labels_are_taught_where_they_are_the_slice_s_own_and_no_mask_is(cases, ich):
    found = taught_slices(cases, ich.method, 0, taken={("v1", 2)}, most=99)
    known = {f"s{n}": 0 for n in range(4)} | {"v0": 2, "v2": 2, "v3": 2}
    assert found == sorted((case_id, number, ("subdural",)) for case_id, number in known.items())
    assert len(taught_slices(cases, ich.method, 0, taken=set(), most=3)) == 3
