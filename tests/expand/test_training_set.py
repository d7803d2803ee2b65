"""What a round trains on."""

import dataclasses
import hashlib
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.expand.locked import lock_validation
from recursive_expand.expand.training_set import (
    AcceptedSlices,
    TrainingSet,
    build_training_set,
    expansion,
)
from recursive_expand.ledger import (
    Actor,
    CaseEntry,
    Ledger,
    OutdatedTrainingSet,
    ProposalDraft,
    ProposedSlice,
    VerdictKind,
)

names = st.text("abc", min_size=1, max_size=3)
numbers = st.lists(st.integers(0, 40), max_size=4).map(tuple)
accepted = st.builds(AcceptedSlices, names, st.integers(0, 5), names, numbers, refined_sha256=st.none() | names)
training_sets = st.builds(
    TrainingSet,
    pixel=st.lists(st.tuples(names, st.integers(1, 40), names)).map(tuple),
    validation=st.lists(names).map(tuple),
    accepted=st.lists(accepted).map(tuple),
    clean=st.lists(st.tuples(names, numbers)).map(tuple),
    new_slices=st.integers(0, 9),
    rejected=st.lists(accepted).map(tuple),
    joined=st.lists(accepted).map(tuple),
    hosts=st.lists(st.tuples(names, numbers), max_size=2).map(tuple),
    labelled=st.lists(st.tuples(names, st.integers(0, 40), st.lists(names, max_size=2).map(tuple)), max_size=2).map(
        tuple
    ),
    held_out=st.lists(accepted).map(tuple),
    propagated=st.lists(accepted).map(tuple),
)


X = Actor("x", "slicer")
BY_0_1_0 = "2e5d148841cb4adfbff3eaac3b5c93b1128b32056c7b82adaa591f91f92c49b1"
"""What version 0.1.0 gave for the training set below."""


@pytest.fixture
def ledger(tmp_path):
    """Four pixel cases of 4 slices, and image cases a, b, c of 8, the last four of each labelled clean."""
    opened = Ledger(tmp_path / "ledger.sqlite")
    clean = {number: ImageLabels(frozenset()) for number in range(4, 8)}
    opened.cases.register([CaseEntry(f"p{n}", Role.PIXEL, "", "1", slices=4, pixel_sha256="m") for n in range(4)])
    opened.cases.register([CaseEntry(c, Role.IMAGE, "", "1", slices=8, image_labels=clean) for c in "abc"])
    yield opened
    opened.close()


@pytest.fixture
def method(ich):
    return ich.method


def with_training(method, **values):
    return method.model_copy(update={"training": method.training.model_copy(update=values)})


def begin(ledger, round_index, built, slices=(0, 1), *, reviewed=True):
    """A round in review, or closed without one, with proposals of these slices for a, b and c."""
    training_set, known = built
    ledger.rounds.start(
        round_index,
        base_model=None,
        config={},
        config_sha256="",
        training_set=training_set.to_json(),
        training_set_sha256=training_set.sha256,
        known=known,
        report={},
    )
    ledger.rounds.publish_model(round_index, trained_model="m", model="m", promoted=True, report={})
    for case_id in "abc":
        sha256 = hashlib.sha256(f"{case_id}{round_index}".encode()).hexdigest()
        marked = tuple(ProposedSlice(number, "subdural", 1, 0.5) for number in slices)
        ledger.proposals.freeze(round_index, ProposalDraft(case_id, sha256, "m", f"{sha256}.nii.gz", marked, 0.5))
    if not reviewed:
        ledger.rounds.close_unreviewed(round_index, converged=False, report={})
        return
    waiting = ledger.queue.candidates(round_index=round_index)
    ledger.rounds.open_review(round_index, order=[one.proposal_id for one in waiting], report={})


def say(ledger, case_id, verdict, rejected=()):
    proposal = ledger.proposals.current(case_id)
    return ledger.judgements.give(X, case_id, proposal.sha256, verdict, rejected_slices=rejected)


@given(training_sets)
def test_it_comes_back_from_json(training_set):
    assert TrainingSet.from_json(training_set.to_json()) == training_set


@given(training_sets, st.integers(0, 9))
@settings(deadline=None)
def test_its_hash_is_of_what_is_trained_on(training_set, new):
    same = dataclasses.replace(training_set, new_slices=new)
    assert same.sha256 == training_set.sha256
    if training_set.pixel:
        redrawn = tuple((case_id, slices, f"{sha256} redrawn") for case_id, slices, sha256 in training_set.pixel)
        assert dataclasses.replace(training_set, pixel=redrawn).sha256 != training_set.sha256
    more = dataclasses.replace(training_set, accepted=(*training_set.accepted, AcceptedSlices("z", 0, "s", (1,))))
    assert more.sha256 != training_set.sha256
    for name in ("rejected", "joined"):
        more = dataclasses.replace(
            training_set, **{name: (*getattr(training_set, name), AcceptedSlices("z", 0, "s", (1,)))}
        )
        assert more.sha256 != training_set.sha256
    for name, further in (("hosts", ("z", (1,))), ("labelled", ("z", 1, ("subdural",)))):
        more = dataclasses.replace(training_set, **{name: (*getattr(training_set, name), further)})
        assert more.sha256 != training_set.sha256
    for number, one in enumerate(training_set.accepted):
        refined = list(training_set.accepted)
        refined[number] = dataclasses.replace(one, refined_sha256=f"{one.refined_sha256} other")
        assert dataclasses.replace(training_set, accepted=tuple(refined)).sha256 != training_set.sha256


def test_its_hash_is_that_of_earlier_versions_where_nothing_new_is_used():
    training_set = TrainingSet((("p", 2, "m"),), (), (AcceptedSlices("a", 0, "s", (0, 1), new=True),), (), 2)
    assert training_set.sha256 == BY_0_1_0


def test_what_is_switched_off_is_not_stored(ledger, method):
    """So that a ledger of a study that uses none of it reads as before."""
    stored = build_training_set(ledger, method, 1)[0].to_json()
    assert not {"hosts", "labelled"} & {*stored}


def test_slices_join_for_their_labels_alone_by_their_shares(ledger, method):
    """16 slices have masks; of a, b and c the slices 4 to 7 are labelled clean."""
    begin(ledger, 0, build_training_set(ledger, method, 0))
    say(ledger, "a", VerdictKind.ACCEPT)
    wanted = with_training(method, painted_share=0.25, pasted_share=0.125)
    training_set, _ = build_training_set(ledger, wanted, 1)
    assert sum(len(numbers) for _, numbers in training_set.hosts) == 2 * (4 + 2)
    assert build_training_set(ledger, wanted, 0)[0].hosts  # in round 0 too
    mined = with_training(method, clean_slices="false_positives")
    worst = build_training_set(ledger, mined, 1, marked=lambda pool: [int(one == ("b", 6)) for one in pool])[0]
    assert ("b", 6) in {(case_id, n) for case_id, numbers in worst.clean for n in numbers}
    without = wanted.model_copy(update={"use_image_labels": False})
    assert build_training_set(ledger, without, 1)[0].hosts == ()


def test_round_0_trains_on_expert_masks_alone(ledger, method):
    training_set, known = build_training_set(ledger, method, 0)
    assert training_set.counts() == {"pixel": 16, "accepted": 0, "clean": 0, "new": 0}
    assert known == (0, 0)


def test_the_validation_share_is_never_trained_on(ledger, method):
    lock_validation(ledger, method)
    training_set, _ = build_training_set(ledger, method, 0)
    assert len(training_set.validation) == 1
    assert {case_id for case_id, _, _ in training_set.pixel} == {"p0", "p1", "p2", "p3"} - {*training_set.validation}


@pytest.mark.parametrize(("cases", "share", "locked"), [(1, 0.9, 0), (2, 0.2, 0), (3, 0.2, 1), (4, 0, 0), (4, 0.99, 3)])
def test_something_is_left_to_train_on(tmp_path, method, cases, share, locked):
    ledger = Ledger(tmp_path / "other.sqlite")
    ledger.cases.register([CaseEntry(f"p{n}", Role.PIXEL, "", "1", slices=1) for n in range(cases)])
    lock_validation(ledger, method.model_copy(update={"validation_share": share}))
    assert sum(case.validation for case in ledger.cases.iterate()) == locked
    ledger.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_patient_s_cases_are_locked_together(tmp_path, method, seed):
    ledger = Ledger(tmp_path / "other.sqlite")
    entries = [CaseEntry(f"p{n}", Role.PIXEL, "", "1", slices=1, patient=f"{n // 2}") for n in range(8)]
    ledger.cases.register(entries)
    lock_validation(ledger, method.model_copy(update={"validation_share": 0.5, "seed": seed}))
    locked = [case.patient for case in ledger.cases.iterate() if case.validation]
    assert sorted(locked) == sorted([*set(locked), *set(locked)])
    assert len(set(locked)) == 2
    ledger.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
def test_whole_patients_are_locked_up_to_the_share_of_slices(tmp_path_factory, method, sizes, share, seed):
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "other.sqlite")
    ledger.cases.register(
        [
            CaseEntry(f"p{n}-{k}", Role.PIXEL, "", "1", slices=1, patient=f"P{n}")
            for n, size in enumerate(sizes)
            for k in range(size)
        ]
    )
    lock_validation(ledger, method.model_copy(update={"validation_share": share, "seed": seed}))
    locked = Counter(case.patient for case in ledger.cases.iterate() if case.validation)
    ledger.close()
    assert all(locked[patient] == sizes[int(patient[1:])] for patient in locked)
    assert len(locked) < len(sizes)
    assert locked or share == 0 or len(sizes) < 3
    # The one that is locked for want of a fitting one is the smallest.
    assert locked.total() <= share * sum(sizes) + max(locked.values(), default=0) / 2 or locked.total() == min(sizes)


def test_a_patient_with_most_of_the_slices_is_trained_on(tmp_path, method):
    ledger = Ledger(tmp_path / "other.sqlite")
    whose = ["many"] * 18 + ["few"] * 3 + ["one"]
    ledger.cases.register(
        [CaseEntry(f"p{n}", Role.PIXEL, "", "1", slices=1, patient=who) for n, who in enumerate(whose)]
    )
    for seed in range(5):
        lock_validation(ledger, method.model_copy(update={"validation_share": 0.2, "seed": seed}))
        assert {case.patient for case in ledger.cases.iterate() if case.validation} == {"few", "one"}
    ledger.close()


def test_a_single_patient_is_left_to_train_on(tmp_path, method):
    ledger = Ledger(tmp_path / "other.sqlite")
    ledger.cases.register([CaseEntry(c, Role.PIXEL, "", "1", slices=1, patient="P") for c in "abcd"])
    lock_validation(ledger, method.model_copy(update={"validation_share": 0.5}))
    assert not any(case.validation for case in ledger.cases.iterate())
    ledger.close()


def test_accepted_slices_join_and_are_new_once(ledger, method):
    begin(ledger, 0, build_training_set(ledger, method, 0))
    say(ledger, "a", VerdictKind.ACCEPT, [1])
    second = say(ledger, "b", VerdictKind.REJECT)
    training_set, known = build_training_set(ledger, method, 1)
    sha256 = ledger.proposals.current("a").sha256
    assert training_set.accepted == (AcceptedSlices("a", 0, sha256, (0,), new=True),)
    assert known == (second.verdict_id, 2)
    assert training_set.new_slices == 1
    begin(ledger, 1, (training_set, known), (1,))
    say(ledger, "a", VerdictKind.ACCEPT)
    again, _ = build_training_set(ledger, method, 2)
    assert [(a.case_id, a.round, a.slices) for a in again.accepted] == [("a", 0, (0,)), ("a", 1, (1,))]
    assert again.new_slices == 1


def test_the_order_and_the_numbers_of_verdicts_do_not_matter(tmp_path, method, ledger):
    hashes = set()
    for order in ("abc", "cab"):
        other = Ledger(tmp_path / f"{order}.sqlite")
        other.cases.register([CaseEntry(c, Role.UNLABELLED, "", "1", slices=8) for c in "abc"])
        begin(other, 0, build_training_set(other, method, 0))
        if order == "cab":
            other.judgements.withdraw(X, say(other, "b", VerdictKind.REJECT).verdict_id)
        for case_id in order:
            say(other, case_id, VerdictKind.ACCEPT)
        hashes.add(build_training_set(other, method, 1)[0].sha256)
        other.close()
    assert len(hashes) == 1


def test_clean_slices_join_up_to_their_share(ledger, method):
    begin(ledger, 0, build_training_set(ledger, method, 0))
    say(ledger, "a", VerdictKind.ACCEPT)
    training_set, known = build_training_set(ledger, method, 1)
    assert training_set.counts() == {"pixel": 16, "accepted": 2, "clean": 4, "new": 2}  # a quarter of 18
    assert all(number >= 4 for _, numbers in training_set.clean for number in numbers)
    assert build_training_set(ledger, method, 1) == (training_set, known)
    assert build_training_set(ledger, method, 2)[0].clean != training_set.clean  # another choice each round
    without = method.model_copy(update={"use_image_labels": False})
    assert build_training_set(ledger, without, 1)[0].clean == ()


def test_what_can_no_longer_be_used_is_not_trained_on(ledger, method):
    begin(ledger, 0, build_training_set(ledger, method, 0))
    for case_id in "abc":
        say(ledger, case_id, VerdictKind.ACCEPT)
    ledger.cases.set_aside("a", "a.nii: is gone")
    ledger.cases.promote_to_pixel("b", reviewer="x", sha256="e" * 64)
    training_set, _ = build_training_set(ledger, method, 1)
    assert [a.case_id for a in training_set.accepted] == ["c"]
    assert "b" in {case_id for case_id, _, _ in training_set.pixel}


def test_rejected_slices_join_as_last_proposed_unless_they_were_accepted(ledger, method):
    method = with_training(method, rejects="not_confident")
    begin(ledger, 0, build_training_set(ledger, method, 0), slices=(0, 1, 2))
    say(ledger, "a", VerdictKind.REJECT)
    say(ledger, "b", VerdictKind.ACCEPT, [2])
    begin(ledger, 1, build_training_set(ledger, method, 1), slices=(0, 1))
    say(ledger, "a", VerdictKind.ACCEPT, [1])
    training_set, _ = build_training_set(ledger, method, 2)
    found = [(r.case_id, r.round, r.slices) for r in training_set.rejected]
    assert found == [("a", 0, (2,)), ("a", 1, (1,)), ("b", 0, (2,))]
    assert training_set.counts()["rejected"] == 3
    off = with_training(method, rejects="ignore")
    assert build_training_set(ledger, off, 2)[0].rejected == ()


def test_a_training_set_of_an_earlier_version_has_no_rejected_slices(ledger, method):
    training_set, _ = build_training_set(ledger, method, 0)
    stored = training_set.to_json()
    del stored["rejected"]
    assert TrainingSet.from_json(stored | {"verdict_ids": [1]}) == training_set


def test_verdicts_that_come_after_it_was_built_do_not_join_it_and_are_the_next_round_s(ledger, method):
    begin(ledger, 0, build_training_set(ledger, method, 0))
    say(ledger, "a", VerdictKind.ACCEPT)
    built = build_training_set(ledger, method, 1)
    late = say(ledger, "b", VerdictKind.ACCEPT)
    begin(ledger, 1, built)
    assert [a.case_id for a in built[0].accepted] == ["a"]
    assert ledger.judgements.verdict(late.verdict_id).used_by is None
    training_set, _ = build_training_set(ledger, method, 2)
    assert [(a.case_id, a.new) for a in training_set.accepted] == [("a", False), ("b", True)]
    assert training_set.new_slices == 2


def test_a_round_does_not_start_on_a_verdict_that_was_taken_back_since(ledger, method):
    begin(ledger, 0, build_training_set(ledger, method, 0))
    verdict = say(ledger, "a", VerdictKind.ACCEPT)
    built = build_training_set(ledger, method, 1)
    ledger.judgements.withdraw(X, verdict.verdict_id)
    with pytest.raises(OutdatedTrainingSet):
        begin(ledger, 1, built)
    assert build_training_set(ledger, method, 1)[0].accepted == ()


def test_expansion_is_what_no_round_has_trained_on(ledger, method):
    begin(ledger, 0, build_training_set(ledger, method, 0), slices=(0, 1, 2))
    assert expansion(ledger, ledger.rounds.current()) == 0
    say(ledger, "a", VerdictKind.ACCEPT, [1])
    say(ledger, "b", VerdictKind.REJECT)
    assert expansion(ledger, ledger.rounds.current()) == 2
    ledger.cases.promote_to_pixel("c", reviewer="x", sha256="e" * 64)
    assert expansion(ledger, ledger.rounds.current()) == 2 + 8
    begin(ledger, 1, build_training_set(ledger, method, 1))
    assert expansion(ledger, ledger.rounds.current()) == 0


def test_slices_marked_for_the_first_time_in_a_round_that_is_not_reviewed_join_with_review_once(ledger, method):
    once = method.model_copy(update={"review": "once"})
    begin(ledger, 0, build_training_set(ledger, once, 0), slices=(0, 1))
    assert expansion(ledger, ledger.rounds.current()) == 0
    say(ledger, "a", VerdictKind.ACCEPT, [1])
    say(ledger, "b", VerdictKind.REJECT)
    built = build_training_set(ledger, once, 1)
    assert built[0].joined == ()  # what round 0 marked is the expert's to select
    begin(ledger, 1, built, slices=(0, 1, 2), reviewed=False)
    assert expansion(ledger, ledger.rounds.current()) == 3
    training_set, known = build_training_set(ledger, once, 2)
    assert [(j.case_id, j.round, j.slices, j.new) for j in training_set.joined] == [(c, 1, (2,), True) for c in "abc"]
    assert (training_set.new_slices, training_set.counts()["joined"]) == (3, 3)
    begin(ledger, 2, (training_set, known), slices=(2,), reviewed=False)
    assert expansion(ledger, ledger.rounds.current()) == 0
    again, _ = build_training_set(ledger, once, 3)
    assert [(j.case_id, j.round, j.slices, j.new) for j in again.joined] == [(c, 1, (2,), False) for c in "abc"]
    assert again.new_slices == 0
    assert build_training_set(ledger, method, 3)[0].joined == ()
    ledger.cases.set_aside("a", "a.nii: is gone")
    assert [j.case_id for j in build_training_set(ledger, once, 3)[0].joined] == ["b", "c"]


def test_slices_labelled_clean_join_where_f_marks_nothing(ledger, method):
    """Of a, b and c the slices 4 to 7 are labelled clean."""
    paper = with_training(method, clean_slices="unmarked", clean_share=0).model_copy(update={"use_image_labels": False})
    assert build_training_set(ledger, paper, 1)[0].clean == ()  # nothing was proposed
    begin(ledger, 0, build_training_set(ledger, paper, 0), slices=(0, 4, 5))
    say(ledger, "a", VerdictKind.ACCEPT)  # of slice 4 too: no background then
    assert build_training_set(ledger, paper, 0)[0].clean == ()
    training_set, known = build_training_set(ledger, paper, 1)
    assert training_set.clean == (("a", (6, 7)), ("b", (6, 7)), ("c", (6, 7)))
    assert training_set.new_slices == 3
    begin(ledger, 1, (training_set, known), slices=(6,))
    assert build_training_set(ledger, paper, 2)[0].clean == (("a", (7,)), ("b", (4, 5, 7)), ("c", (4, 5, 7)))
