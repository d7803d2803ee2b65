"""Locked patients: which, when, and that nothing of theirs is ever trained on."""

import dataclasses
import hashlib
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.expand.locked import FEWEST_ACCEPTED, lock_accepted, locked_patients, patient_of
from recursive_expand.expand.training_set import TrainingSet, build_training_set
from recursive_expand.ledger import Actor, CaseEntry, Ledger, ProposalDraft, ProposedSlice, VerdictKind

X = Actor("x", "slicer")
SLICES = 4
"""Of every image case; the last is labelled clean, the others are proposed."""


@pytest.fixture
def method(ich):
    """All that may join: clean slices, and rejected ones."""
    training = ich.method.training.model_copy(update={"rejects": "not_confident", "clean_share": 1.0})
    return ich.method.model_copy(update={"training": training})


def opened(folder, patients):
    """A ledger with an image case for each of these patients (None: not known)."""
    ledger = Ledger(folder / "ledger.sqlite")
    labels = {SLICES - 1: ImageLabels(frozenset())}
    ledger.cases.register([CaseEntry("pixel", Role.PIXEL, "", "1", slices=4, pixel_sha256="m")])
    ledger.cases.register(
        [
            CaseEntry(f"c{n:02d}", Role.IMAGE, "", "1", slices=SLICES, image_labels=labels, patient=patient)
            for n, patient in enumerate(patients)
        ]
    )
    return ledger


def round_of(ledger, method, index):
    """A round begins as `rounds._start` does; returns what it trains on."""
    lock_accepted(ledger, method, index)
    training_set, known = build_training_set(ledger, method, index)
    ledger.rounds.start(
        index,
        base_model=None,
        config={},
        config_sha256="",
        training_set=training_set.to_json(),
        training_set_sha256=training_set.sha256,
        known=known,
        report={},
    )
    ledger.rounds.publish_model(index, trained_model="m", model="m", promoted=True, report={})
    return training_set


def review(ledger, index, verdicts):
    """Propose for these cases, and give each its answer: the numbers of the slices that are accepted."""
    for case_id in verdicts:
        sha256 = hashlib.sha256(f"{case_id}{index}".encode()).hexdigest()
        marked = tuple(ProposedSlice(number, "subdural", 1, 0.5) for number in range(SLICES - 1))
        ledger.proposals.freeze(index, ProposalDraft(case_id, sha256, "m", f"{sha256}.nii.gz", marked, 0.5))
    waiting = ledger.queue.candidates(round_index=index)
    ledger.rounds.open_review(index, order=[one.proposal_id for one in waiting], report={})
    for case_id, accepted in verdicts.items():
        rejected = [number for number in range(SLICES - 1) if number not in accepted]
        sha256 = ledger.proposals.current(case_id).sha256
        ledger.judgements.give(X, case_id, sha256, VerdictKind.ACCEPT, rejected_slices=rejected)


def trained_on(training_set):
    """Case ids of which a slice is trained on."""
    groups = (*training_set.accepted, *training_set.rejected, *training_set.joined)
    return {one.case_id for one in groups} | {one[0] for one in (*training_set.pixel, *training_set.clean)}


def held_out(training_set):
    return {one.case_id for one in training_set.held_out}


def locked(ledger):
    return locked_patients(ledger.cases.iterate(state=None))


@pytest.mark.parametrize(("cases", "expected"), [(FEWEST_ACCEPTED // 3, 0), (FEWEST_ACCEPTED // 3 + 1, 1), (20, 2)])
def test_few_accepted_slices_are_all_learned_from(tmp_path, method, cases, expected):
    """Three accepted slices a case: below 20 none is locked, of 21 one case, of 60 two."""
    ledger = opened(tmp_path, [None] * cases)
    round_of(ledger, method, 0)
    review(ledger, 0, {f"c{n:02d}": (0, 1, 2) for n in range(cases)})
    training_set = round_of(ledger, method, 1)
    assert len(held_out(training_set)) == expected
    assert training_set.counts().get("held_out", 0) == 3 * expected
    assert training_set.counts()["new"] == 3 * (cases - expected)
    ledger.close()


@pytest.mark.parametrize("off", [{"gate": False}, {"accepted_validation_share": 0.0}])
def test_without_a_gate_nothing_is_kept_from_training(tmp_path, method, off):
    ledger = opened(tmp_path, [None] * 20)
    method = method.model_copy(update=off)
    round_of(ledger, method, 0)
    review(ledger, 0, {f"c{n:02d}": (0, 1, 2) for n in range(20)})
    assert round_of(ledger, method, 1).held_out == ()
    ledger.close()


def test_what_is_locked_stays_so_with_all_that_comes_of_the_patient_later(tmp_path, method):
    ledger = opened(tmp_path, [f"P{n // 2}" for n in range(20)])
    round_of(ledger, method, 0)
    review(ledger, 0, {f"c{n:02d}": (0, 1) for n in range(0, 20, 2)})  # of each patient the first case
    first = round_of(ledger, method, 1)
    (patient,) = locked(ledger)
    labels = {SLICES - 1: ImageLabels(frozenset())}
    more = [CaseEntry("later", Role.IMAGE, "", "1", slices=SLICES, image_labels=labels, patient=patient[1])]
    drawn = [CaseEntry("drawn", Role.PIXEL, "", "1", slices=4, pixel_sha256="m", patient=patient[1])]
    ledger.cases.register([*more, *drawn])
    review(ledger, 1, {"later": (0, 1, 2), **{f"c{n:02d}": (0, 1, 2) for n in range(1, 20, 2)}})
    second = round_of(ledger, method, 2)
    assert held_out(first) < held_out(second) and "later" in held_out(second)
    assert "drawn" in second.validation and trained_on(second).isdisjoint({"drawn", "later"})
    assert TrainingSet.from_json(second.to_json()) == second
    ledger.close()


patients = st.lists(st.none() | st.sampled_from("ABCDEF"), min_size=8, max_size=16)
answers = st.sets(st.integers(0, SLICES - 2))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    whose=patients,
    said=st.lists(st.dictionaries(st.integers(0, 15), answers), min_size=1, max_size=3),
    share=st.floats(0, 0.5),
    seed=st.integers(0, 9),
)
def test_what_is_held_out_is_never_trained_on_before_or_after(tmp_path_factory, method, whose, said, share, seed):
    ledger = opened(tmp_path_factory.mktemp("ledger"), whose)
    method = method.model_copy(update={"accepted_validation_share": share, "seed": seed})
    of = {case.case_id: patient_of(case) for case in ledger.cases.iterate()}
    learned, kept = {of[case_id] for case_id in trained_on(round_of(ledger, method, 0))}, set()
    for index, answer in enumerate(said):
        unsettled = {case.case_id for case in ledger.cases.iterate(roles=[Role.IMAGE], unsettled=True)}
        fresh = {f"c{n:02d}": accepted for n, accepted in answer.items() if f"c{n:02d}" in unsettled}
        if index == 0:  # enough that some may be locked
            fresh |= {case_id: {0, 1, 2} for case_id in sorted(unsettled) if case_id not in fresh}
        review(ledger, index, fresh)
        training_set = round_of(ledger, method, index + 1)
        learned |= {of[case_id] for case_id in trained_on(training_set)}
        kept |= {of[case_id] for case_id in held_out(training_set)}
        assert kept <= locked(ledger)
        assert learned.isdisjoint(kept)
        if index == 0:
            sizes = Counter({case_id: len(fresh[case_id]) for case_id in fresh})
            most = max(
                (sum(n for case_id, n in sizes.items() if of[case_id] == patient) for patient in kept), default=0
            )
            assert sum(len(one.slices) for one in training_set.held_out) <= share * sizes.total() + most / 2
    ledger.close()


def test_the_choice_is_seeded(tmp_path, method):
    chosen = []
    for number, seed in enumerate((1, 1, 2)):
        (tmp_path / str(number)).mkdir()
        ledger = opened(tmp_path / str(number), [None] * 20)
        seeded = method.model_copy(update={"seed": seed})
        round_of(ledger, seeded, 0)
        review(ledger, 0, {f"c{n:02d}": (0, 1, 2) for n in range(20)})
        round_of(ledger, seeded, 1)
        chosen.append(frozenset(locked(ledger)))
        ledger.close()
    assert chosen[0] == chosen[1] and len(set(chosen)) > 1


def test_what_is_held_out_is_no_part_of_the_hash_of_what_is_trained_on(tmp_path, method):
    ledger = opened(tmp_path, [None] * 20)
    round_of(ledger, method, 0)
    review(ledger, 0, {f"c{n:02d}": (0, 1, 2) for n in range(20)})
    training_set = round_of(ledger, method, 1)
    assert dataclasses.replace(training_set, held_out=()).sha256 == training_set.sha256
    ledger.close()
