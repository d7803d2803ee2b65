"""What a round trains on."""

import dataclasses
import hashlib
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.expand.training_set import AcceptedSlices, TrainingSet, build_training_set, lock_validation
from recursive_expand.ledger import CaseEntry, Ledger, ProposalDraft, VerdictKind
from recursive_expand.task import load_task

names = st.text("abc", min_size=1, max_size=3)
numbers = st.lists(st.integers(0, 40), max_size=4).map(tuple)
accepted = st.builds(AcceptedSlices, names, st.integers(0, 5), names, numbers)
training_sets = st.builds(
    TrainingSet,
    pixel=st.lists(st.tuples(names, st.integers(1, 40), names)).map(tuple),
    validation=st.lists(names).map(tuple),
    accepted=st.lists(accepted).map(tuple),
    clean=st.lists(st.tuples(names, numbers)).map(tuple),
    verdict_ids=numbers,
    new_slices=st.integers(0, 9),
    rejected=st.lists(accepted).map(tuple),
)


@pytest.fixture
def task(request):
    return load_task(request.config.rootpath / "apps" / "recursive_ich" / "task.yaml")


@pytest.fixture
def ledger(tmp_path):
    """Four pixel cases of 4 slices, and image cases a, b, c of 8, the last four of each labelled clean."""
    opened = Ledger(tmp_path / "ledger.sqlite")
    clean = {number: ImageLabels(frozenset()) for number in range(4, 8)}
    opened.register([CaseEntry(f"p{n}", Role.PIXEL, "", "1", slices=4, pixel_label="m") for n in range(4)])
    opened.register([CaseEntry(c, Role.IMAGE, "", "1", slices=8, image_labels=clean) for c in "abc"])
    yield opened
    opened.close()


def begin(ledger, round_index, training_set, slices=(0, 1)):
    """A round in review, with proposals of these slices for a, b and c."""
    ledger.start_round(
        round_index,
        base_model=None,
        config={},
        config_sha256="",
        training_set=training_set.to_json(),
        training_set_sha256=training_set.sha256,
        verdict_ids=training_set.verdict_ids,
        report={},
    )
    ledger.publish_model(round_index, trained_model="m", model="m", promoted=True, report={})
    for case_id in "abc":
        sha256 = hashlib.sha256(f"{case_id}{round_index}".encode()).hexdigest()
        ledger.freeze(round_index, ProposalDraft(case_id, sha256, "m", slices, (), {"subdural": 1}, 0.5, False))
    ledger.open_review(round_index, order=[c.proposal_id for c in ledger.open_candidates()], report={})


def say(ledger, case_id, verdict, rejected=()):
    proposal = ledger.current_proposal(case_id)
    return ledger.decide(case_id, proposal.sha256, verdict, rejected_slices=rejected, reviewer="x", client="x")


@given(training_sets)
def test_it_comes_back_from_json(training_set):
    assert TrainingSet.from_json(training_set.to_json()) == training_set


@given(training_sets, numbers, st.integers(0, 9))
def test_its_hash_is_of_what_is_trained_on(training_set, verdict_ids, new):
    same = dataclasses.replace(
        training_set,
        verdict_ids=verdict_ids,
        new_slices=new,
    )
    assert same.sha256 == training_set.sha256
    if training_set.pixel:
        redrawn = tuple((case_id, slices, f"{sha256} redrawn") for case_id, slices, sha256 in training_set.pixel)
        assert dataclasses.replace(training_set, pixel=redrawn).sha256 != training_set.sha256
    more = dataclasses.replace(training_set, accepted=(*training_set.accepted, AcceptedSlices("z", 0, "s", (1,))))
    assert more.sha256 != training_set.sha256
    more = dataclasses.replace(training_set, rejected=(*training_set.rejected, AcceptedSlices("z", 0, "s", (1,))))
    assert more.sha256 != training_set.sha256


def test_round_0_trains_on_expert_masks_alone(ledger, task):
    training_set = build_training_set(ledger, task, 0)
    assert training_set.counts() == {"pixel": 16, "accepted": 0, "clean": 0, "new": 0}
    assert training_set.verdict_ids == ()


def test_the_validation_share_is_never_trained_on(ledger, task):
    lock_validation(ledger, task)
    training_set = build_training_set(ledger, task, 0)
    assert len(training_set.validation) == 1
    assert {case_id for case_id, _, _ in training_set.pixel} == {"p0", "p1", "p2", "p3"} - {*training_set.validation}


@pytest.mark.parametrize(("cases", "share", "locked"), [(1, 0.9, 0), (2, 0.2, 0), (3, 0.2, 1), (4, 0, 0), (4, 0.99, 3)])
def test_something_is_left_to_train_on(tmp_path, task, cases, share, locked):
    ledger = Ledger(tmp_path / "other.sqlite")
    ledger.register([CaseEntry(f"p{n}", Role.PIXEL, "", "1", slices=1) for n in range(cases)])
    lock_validation(ledger, task.model_copy(update={"validation_share": share}))
    assert sum(case.validation for case in ledger.iter_cases()) == locked
    ledger.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_patient_s_cases_are_locked_together(tmp_path, task, seed):
    ledger = Ledger(tmp_path / "other.sqlite")
    entries = [CaseEntry(f"p{n}", Role.PIXEL, "", "1", slices=1, patient=f"{n // 2}") for n in range(8)]
    ledger.register(entries)
    lock_validation(ledger, task.model_copy(update={"validation_share": 0.5, "seed": seed}))
    locked = [case.patient for case in ledger.iter_cases() if case.validation]
    assert sorted(locked) == sorted([*set(locked), *set(locked)])
    assert len(set(locked)) == 2
    ledger.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
def test_whole_patients_are_locked_up_to_the_share_of_slices(tmp_path_factory, task, sizes, share, seed):
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "other.sqlite")
    ledger.register(
        [
            CaseEntry(f"p{n}-{k}", Role.PIXEL, "", "1", slices=1, patient=f"P{n}")
            for n, size in enumerate(sizes)
            for k in range(size)
        ]
    )
    lock_validation(ledger, task.model_copy(update={"validation_share": share, "seed": seed}))
    locked = Counter(case.patient for case in ledger.iter_cases() if case.validation)
    ledger.close()
    assert all(locked[patient] == sizes[int(patient[1:])] for patient in locked)
    assert len(locked) < len(sizes)
    assert locked or share == 0 or len(sizes) < 3
    # The one that is locked for want of a fitting one is the smallest.
    assert locked.total() <= share * sum(sizes) + max(locked.values(), default=0) / 2 or locked.total() == min(sizes)


def test_a_patient_with_most_of_the_slices_is_trained_on(tmp_path, task):
    ledger = Ledger(tmp_path / "other.sqlite")
    whose = ["many"] * 18 + ["few"] * 3 + ["one"]
    ledger.register([CaseEntry(f"p{n}", Role.PIXEL, "", "1", slices=1, patient=who) for n, who in enumerate(whose)])
    for seed in range(5):
        lock_validation(ledger, task.model_copy(update={"validation_share": 0.2, "seed": seed}))
        assert {case.patient for case in ledger.iter_cases() if case.validation} == {"few", "one"}
    ledger.close()


def test_a_single_patient_is_left_to_train_on(tmp_path, task):
    ledger = Ledger(tmp_path / "other.sqlite")
    ledger.register([CaseEntry(c, Role.PIXEL, "", "1", slices=1, patient="P") for c in "abcd"])
    lock_validation(ledger, task.model_copy(update={"validation_share": 0.5}))
    assert not any(case.validation for case in ledger.iter_cases())
    ledger.close()


def test_accepted_slices_join_and_are_new_once(ledger, task):
    begin(ledger, 0, build_training_set(ledger, task, 0))
    first = say(ledger, "a", VerdictKind.ACCEPT, [1])
    second = say(ledger, "b", VerdictKind.REJECT)
    training_set = build_training_set(ledger, task, 1)
    sha256 = ledger.current_proposal("a").sha256
    assert training_set.accepted == (AcceptedSlices("a", 0, sha256, (0,), new=True),)
    assert training_set.verdict_ids == (first.verdict_id, second.verdict_id)
    assert training_set.new_slices == 1
    begin(ledger, 1, training_set, (1,))
    say(ledger, "a", VerdictKind.ACCEPT)
    again = build_training_set(ledger, task, 2)
    assert [(a.case_id, a.round, a.slices) for a in again.accepted] == [("a", 0, (0,)), ("a", 1, (1,))]
    assert again.new_slices == 1


def test_the_order_and_the_numbers_of_verdicts_do_not_matter(tmp_path, task, ledger):
    hashes = set()
    for order in ("abc", "cab"):
        other = Ledger(tmp_path / f"{order}.sqlite")
        other.register([CaseEntry(c, Role.UNLABELLED, "", "1", slices=8) for c in "abc"])
        begin(other, 0, build_training_set(other, task, 0))
        if order == "cab":
            other.withdraw(say(other, "b", VerdictKind.REJECT).verdict_id, reviewer="x")
        for case_id in order:
            say(other, case_id, VerdictKind.ACCEPT)
        hashes.add(build_training_set(other, task, 1).sha256)
        other.close()
    assert len(hashes) == 1


def test_clean_slices_join_up_to_their_share(ledger, task):
    begin(ledger, 0, build_training_set(ledger, task, 0))
    say(ledger, "a", VerdictKind.ACCEPT)
    training_set = build_training_set(ledger, task, 1)
    assert training_set.counts() == {"pixel": 16, "accepted": 2, "clean": 4, "new": 2}  # a quarter of 18
    assert all(number >= 4 for _, numbers in training_set.clean for number in numbers)
    assert build_training_set(ledger, task, 1) == training_set
    assert build_training_set(ledger, task, 2).clean != training_set.clean  # another choice each round
    without = task.model_copy(update={"use_image_labels": False})
    assert build_training_set(ledger, without, 1).clean == ()


def test_what_can_no_longer_be_used_is_not_trained_on(ledger, task):
    begin(ledger, 0, build_training_set(ledger, task, 0))
    for case_id in "abc":
        say(ledger, case_id, VerdictKind.ACCEPT)
    ledger.set_aside("a", "a.nii: is gone")
    ledger.promote_to_pixel("b", "m", reviewer="x", sha256="e" * 64)
    training_set = build_training_set(ledger, task, 1)
    assert [a.case_id for a in training_set.accepted] == ["c"]
    assert "b" in {case_id for case_id, _, _ in training_set.pixel}


def test_rejected_slices_join_as_last_proposed_unless_they_were_accepted(ledger, task):
    task = task.model_copy(update={"training": task.training.model_copy(update={"rejects": "not_confident"})})
    begin(ledger, 0, build_training_set(ledger, task, 0), slices=(0, 1, 2))
    say(ledger, "a", VerdictKind.REJECT)
    say(ledger, "b", VerdictKind.ACCEPT, [2])
    begin(ledger, 1, build_training_set(ledger, task, 1), slices=(0, 1))
    say(ledger, "a", VerdictKind.ACCEPT, [1])
    training_set = build_training_set(ledger, task, 2)
    found = [(r.case_id, r.round, r.slices) for r in training_set.rejected]
    assert found == [("a", 0, (2,)), ("a", 1, (1,)), ("b", 0, (2,))]
    assert training_set.counts()["rejected"] == 3
    off = task.model_copy(update={"training": task.training.model_copy(update={"rejects": "ignore"})})
    assert build_training_set(ledger, off, 2).rejected == ()


def test_a_training_set_of_an_earlier_version_has_no_rejected_slices(ledger, task):
    stored = build_training_set(ledger, task, 0).to_json()
    del stored["rejected"]
    assert TrainingSet.from_json(stored) == build_training_set(ledger, task, 0)
