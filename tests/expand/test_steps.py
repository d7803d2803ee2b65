"""What comes next: the table of all states, what never happens, and states read from a ledger."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.cases import Role
from recursive_expand.expand.due import close_review
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.steps import State, Step, next_step, read_state
from recursive_expand.ledger import CaseEntry, RoundState, VerdictKind
from recursive_expand.settings import Review

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT
BEGINS = (Step.TRAIN, Step.PROPOSE, Step.NEXT_ROUND)
"""Steps with which the server begins to compute."""

REVIEW = Review(min_expansion=4, verdicts_per_round=3)
FACTS = {
    "asked": {"asked": True},
    "held": {"held": "the ledger is not as it was recorded"},
    "indexing": {"indexing": True},
    "pixel": {"has_pixel": True},
    "imported": {"imported": True},
    "start": {"can_start_without_masks": True},
    "model": {"has_model": True},
    "undecided": {"undecided": 2},
    "again": {"second_chances": True},
    "enough": {"verdicts": 3},
    "expanded": {"expansion": 5},
}
UNTRUE = {"verdicts": 2, "expansion": 4}
"""What a state holds where `enough` and `expanded` do not: one less."""

# A row: the round's state, which facts hold (a name) and which do not (-name), and what comes next. Facts that a row
# does not name do not matter.
TABLE = [
    (None, "indexing -asked", Step.READ_STUDIES),
    (None, "-indexing -pixel -start", Step.WAIT_FOR_PIXEL_LABELS),
    (None, "indexing asked -pixel -start", Step.WAIT_FOR_PIXEL_LABELS),
    (None, "pixel asked", Step.TRAIN),
    (None, "-pixel start asked", Step.TRAIN),
    (None, "-indexing pixel -asked -held", Step.TRAIN),
    (None, "-indexing -pixel start -asked -held", Step.TRAIN),
    (None, "-indexing pixel -asked held", Step.RESUME_NEEDED),
    (None, "-indexing -pixel start -asked held", Step.RESUME_NEEDED),
    (RoundState.TRAINING, "asked", Step.TRAIN),
    (RoundState.TRAINING, "-asked -held", Step.TRAIN),
    (RoundState.TRAINING, "-asked held", Step.RESUME_NEEDED),
    (RoundState.PROPOSING, "asked", Step.PROPOSE),
    (RoundState.PROPOSING, "-asked -held", Step.PROPOSE),
    (RoundState.PROPOSING, "-asked held", Step.RESUME_NEEDED),
    (RoundState.FAILED, "-asked", Step.RESUME_NEEDED),
    (RoundState.FAILED, "asked model", Step.PROPOSE),
    (RoundState.FAILED, "asked -model", Step.TRAIN),
    (RoundState.STOPPED, "-asked", Step.RESUME_NEEDED),
    (RoundState.STOPPED, "asked model", Step.PROPOSE),
    (RoundState.STOPPED, "asked -model", Step.TRAIN),
    (RoundState.CLOSED, "asked", Step.NEXT_ROUND),
    (RoundState.CLOSED, "-asked -held", Step.NEXT_ROUND),
    (RoundState.CLOSED, "-asked held", Step.RESUME_NEEDED),
    (RoundState.REVIEWING, "asked", Step.NEXT_ROUND),
    (RoundState.REVIEWING, "-asked again -enough", Step.SECOND_CHANCES),
    (RoundState.REVIEWING, "-asked again enough -expanded", Step.SECOND_CHANCES),
    (RoundState.REVIEWING, "-asked -again undecided -enough", Step.REVIEW),
    (RoundState.REVIEWING, "-asked -again undecided enough -expanded", Step.REVIEW),
    (RoundState.REVIEWING, "-asked enough expanded -held", Step.NEXT_ROUND),
    (RoundState.REVIEWING, "-asked enough expanded held", Step.RESUME_NEEDED),
    (RoundState.REVIEWING, "-asked -again -undecided -enough expanded -held", Step.NEXT_ROUND),
    (RoundState.REVIEWING, "-asked -again -undecided -enough expanded held", Step.RESUME_NEEDED),
    (RoundState.REVIEWING, "-asked -again -undecided -expanded", Step.CONVERGED),
    (RoundState.CONVERGED, "asked", Step.NEXT_ROUND),
    (RoundState.CONVERGED, "-asked undecided", Step.REVIEW),
    (RoundState.CONVERGED, "-asked -undecided", Step.CONVERGED),
]

ASKED_ONLY = [
    (None, "indexing -asked", Step.READ_STUDIES),
    (None, "-indexing -asked", Step.WAIT_FOR_PROPOSALS),
    (None, "asked -pixel -start", Step.WAIT_FOR_PIXEL_LABELS),
    (None, "pixel asked", Step.TRAIN),
    (None, "-pixel start asked", Step.TRAIN),
    (RoundState.TRAINING, "asked", Step.TRAIN),
    (RoundState.TRAINING, "-asked", Step.RESUME_NEEDED),
    (RoundState.PROPOSING, "asked", Step.PROPOSE),
    (RoundState.PROPOSING, "-asked", Step.RESUME_NEEDED),
    *[row for row in TABLE if row[0] in (RoundState.FAILED, RoundState.STOPPED, RoundState.CONVERGED)],
    (RoundState.CLOSED, "asked", Step.NEXT_ROUND),
    (RoundState.CLOSED, "-asked", Step.RESUME_NEEDED),
    (RoundState.REVIEWING, "asked", Step.NEXT_ROUND),
    (RoundState.REVIEWING, "-asked again", Step.SECOND_CHANCES),
    (RoundState.REVIEWING, "-asked -again undecided", Step.REVIEW),
    (RoundState.REVIEWING, "-asked -again -undecided", Step.DECIDED),
]
"""The same where rounds begin only when a person asks."""


def fits(row, facts):
    return all((name.lstrip("-") in facts) != name.startswith("-") for name in row.split())


@pytest.mark.parametrize("train", ["auto", "on", "off"])
@pytest.mark.parametrize("round_state", [None, *RoundState])
def test_every_state_has_one_row_in_the_table_and_goes_by_it(round_state, train):
    review = REVIEW.model_copy(update={"train": train})
    for held in itertools.product([False, True], repeat=len(FACTS)):
        facts = {name for name, holds in zip(FACTS, held, strict=True) if holds}
        asked_only = train == "off" or (train == "auto" and "imported" in facts and "pixel" not in facts)
        table = ASKED_ONLY if asked_only else TABLE
        [expected] = [step for state, row, step in table if state == round_state and fits(row, facts)]
        values = dict(UNTRUE)
        for name in facts:
            values |= FACTS[name]
        assert next_step(State(round_state=round_state, **values), review) is expected, facts


states = st.builds(
    State,
    round_state=st.sampled_from([None, *RoundState]),
    has_model=st.booleans(),
    imported=st.booleans(),
    has_pixel=st.booleans(),
    can_start_without_masks=st.booleans(),
    undecided=st.integers(0, 3),
    second_chances=st.booleans(),
    verdicts=st.integers(0, 5),
    expansion=st.none() | st.integers(0, 5),
    trained=st.sampled_from([0, 10, 100]),
    ended=st.booleans(),
    indexing=st.booleans(),
    asked=st.booleans(),
    held=st.none() | st.just("why"),
)
reviews = st.builds(
    Review,
    train=st.sampled_from(["auto", "on", "off"]),
    min_expansion=st.integers(0, 5),
    verdicts_per_round=st.integers(0, 5),
    offer_end=st.sampled_from([0.0, 0.02, 0.2]),
)


@given(states, reviews)
def test_no_round_follows_a_review_without_expansion_unless_asked(state, review):
    expanded = (state.expansion or 0) > review.min_expansion
    if next_step(state, review) is Step.NEXT_ROUND and state.round_state is not RoundState.CLOSED:
        assert expanded or state.asked


@given(states, reviews)
def test_with_training_off_nothing_begins_unless_asked(state, review):
    if review.train == "off" and not state.asked:
        assert next_step(state, review) not in BEGINS


@given(states, reviews)
def test_a_held_recursion_begins_nothing_unless_asked(state, review):
    if state.held is not None and not state.asked:
        assert next_step(state, review) not in BEGINS


@given(states, reviews)
def test_whoever_asks_gets_a_round_wherever_one_can_be_trained(state, review):
    if state.asked and (state.has_pixel or state.can_start_without_masks or state.round_state is not None):
        assert next_step(state, review) in BEGINS


@given(states, reviews)
def test_while_rejected_proposals_are_to_come_once_more_no_review_is_over(state, review):
    if state.round_state is RoundState.REVIEWING and state.second_chances:
        assert next_step(state, review) not in (Step.CONVERGED, Step.OFFER_END, Step.DECIDED)


@given(states, reviews)
def test_while_a_proposal_waits_nothing_has_converged_unless_a_person_ended_it(state, review):
    if state.undecided and not state.ended:
        assert next_step(state, review) not in (Step.CONVERGED, Step.OFFER_END)


@given(states, reviews)
def test_the_end_is_offered_where_a_decided_review_brought_something_but_little(state, review):
    if next_step(state, review) is Step.OFFER_END:
        assert state.round_state is RoundState.REVIEWING and not state.undecided and not state.asked
        assert review.min_expansion < (state.expansion or 0) < review.offer_end * state.trained


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State(RoundState.REVIEWING, expansion=5, trained=250), Step.NEXT_ROUND),
        (State(RoundState.REVIEWING, expansion=5, trained=251), Step.OFFER_END),
        (State(RoundState.REVIEWING, expansion=5, trained=251, asked=True), Step.NEXT_ROUND),
        (State(RoundState.REVIEWING, expansion=4, trained=251), Step.CONVERGED),
        (State(RoundState.REVIEWING, expansion=5, trained=251, undecided=1, verdicts=3), Step.REVIEW),
        (State(RoundState.REVIEWING, expansion=5, trained=251, held="why"), Step.OFFER_END),
        (State(RoundState.CONVERGED, undecided=2, ended=True), Step.CONVERGED),
        (State(RoundState.CONVERGED, undecided=2, ended=True, asked=True), Step.NEXT_ROUND),
    ],
)
def test_a_reader_is_offered_the_end_and_may_go_on(state, expected):
    assert next_step(state, REVIEW) is expected


@given(states, reviews)
def test_what_failed_or_was_stopped_waits_for_a_person(state, review):
    if state.round_state in (RoundState.FAILED, RoundState.STOPPED) and not state.asked:
        assert next_step(state, review) is Step.RESUME_NEEDED


@given(states, reviews)
def test_a_model_is_never_trained_twice(state, review):
    if next_step(state, review) is Step.TRAIN and state.has_model:
        assert state.round_state in (None, RoundState.TRAINING)


@given(states, st.integers(0, 5))
def test_without_verdicts_per_round_every_proposal_is_decided_first(state, least):
    if state.round_state is RoundState.REVIEWING and state.undecided and not state.asked:
        assert next_step(state, Review(min_expansion=least)) in (Step.REVIEW, Step.SECOND_CHANCES)


def step(recursion, **known):
    return next_step(read_state(recursion, **known), recursion.settings.review)


def test_before_the_first_round_expert_masks_decide(recursion):
    assert read_state(recursion) == State()
    assert step(recursion, indexing=True) is Step.READ_STUDIES
    assert step(recursion) is Step.WAIT_FOR_PIXEL_LABELS
    register_cases(recursion)
    assert read_state(recursion) == State(has_pixel=True)
    assert step(recursion) is Step.TRAIN
    assert read_state(recursion, indexing=True, asked=True, held="why") == State(
        has_pixel=True, indexing=True, asked=True, held="why"
    )


def test_with_a_pretrained_start_scans_are_enough(recursion, changed):
    pretrained = changed(recursion, pretrain="synthetic")
    assert step(pretrained) is Step.WAIT_FOR_PIXEL_LABELS  # no scan either
    recursion.ledger.cases.register([CaseEntry("u", Role.UNLABELLED, "u.nii", "1", slices=3)])
    assert read_state(pretrained) == State(can_start_without_masks=True)
    assert step(pretrained) is Step.TRAIN
    assert step(recursion) is Step.WAIT_FOR_PIXEL_LABELS


def test_an_expert_mask_that_was_set_aside_is_none_to_begin_with(recursion):
    recursion.ledger.cases.register([CaseEntry("p", Role.PIXEL, "p.nii", "1", reason="is truncated")])
    assert step(recursion) is Step.WAIT_FOR_PIXEL_LABELS


def test_expansion_is_counted_where_it_matters_alone(reviewing, changed, say):
    """Counting reads the round's training set, which has an entry for every case."""
    begun = {"round_state": RoundState.REVIEWING, "has_model": True, "has_pixel": True, "trained": 6}
    assert read_state(reviewing) == State(**begun, undecided=3)
    say(reviewing, "i0", ACCEPT)  # two slices
    assert read_state(reviewing) == State(**begun, undecided=2, verdicts=1)
    assert read_state(reviewing, asked=True).expansion == 2
    assert read_state(changed(reviewing, verdicts_per_round=1)).expansion == 2
    assert read_state(changed(reviewing, verdicts_per_round=2)).expansion is None


def test_a_review_goes_on_until_every_proposal_is_decided(reviewing, say):
    for case_id in ("i0", "i1"):
        say(reviewing, case_id, ACCEPT)
        assert step(reviewing) is Step.REVIEW
    say(reviewing, "u0", REJECT)
    assert step(reviewing) is Step.NEXT_ROUND
    assert read_state(reviewing).expansion == 5  # two slices of i0, three of i1


def test_a_round_that_brings_nothing_new_ends_the_recursion(reviewing, decide_all):
    decide_all(reviewing, REJECT)
    assert step(reviewing) is Step.CONVERGED


@pytest.mark.parametrize(("least", "found"), [(1, Step.NEXT_ROUND), (2, Step.CONVERGED), (3, Step.CONVERGED)])
def test_min_expansion_is_the_most_slices_that_do_not_count(reviewing, changed, say, least, found):
    say(reviewing, "i0", ACCEPT)  # two slices
    say(reviewing, "i1", REJECT)
    say(reviewing, "u0", REJECT)
    assert step(changed(reviewing, min_expansion=least)) is found


def test_enough_verdicts_end_a_review_early_if_they_brought_something(reviewing, changed, say):
    say(reviewing, "i0", REJECT)
    assert step(changed(reviewing, verdicts_per_round=1)) is Step.REVIEW
    say(reviewing, "i1", ACCEPT, [0])
    assert step(changed(reviewing, verdicts_per_round=3)) is Step.REVIEW
    assert step(changed(reviewing, verdicts_per_round=2)) is Step.NEXT_ROUND


def test_a_failed_round_says_whether_it_has_its_model(reviewing, begin):
    begin(reviewing, 1)
    assert step(reviewing) is Step.PROPOSE
    reviewing.ledger.rounds.interrupt(1, error="no space left")
    assert step(reviewing) is Step.RESUME_NEEDED
    assert step(reviewing, asked=True) is Step.PROPOSE


def test_a_converged_recursion_reviews_what_is_proposed_later(reviewing, decide_all, freeze, proposed):
    decide_all(reviewing, REJECT)
    close_review(reviewing, reviewing.ledger.rounds.current(), converged=True)
    assert step(reviewing) is Step.CONVERGED
    reviewing.ledger.cases.register([CaseEntry("u1", Role.UNLABELLED, "u1.nii.gz", "1", slices=3)])
    freeze(reviewing, "u1", proposed(reviewing, "u0"))
    assert step(reviewing) is Step.REVIEW
