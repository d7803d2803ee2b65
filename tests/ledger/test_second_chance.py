"""Second chances in the ledger: asked once, after everything was seen once, and only while their rejection stands."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.ledger import (
    Actor,
    AlreadyDecided,
    Ledger,
    LedgerError,
    NotWithdrawable,
    OutdatedDraft,
    ProposalState,
    StaleProposal,
    VerdictKind,
)

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT
ANN = Actor("ann", "slicer")


@pytest.fixture(scope="module")
def again(draft):
    """Freeze the second chances that are due, of these slices or all that were rejected."""

    def _again(ledger, slices=None, *, round_index=0):
        made = []
        for one in ledger.proposals.without_second_chance(round_index):
            marked = tuple(sorted(set(one.slices) & set(one.slices if slices is None else slices)))
            left_out = tuple(sorted(set(one.slices) - set(marked)))
            values = {"unchanged_slices": left_out, "chance": 1, "follows": one.verdict_id}
            second = draft(one.proposal.case_id, marked, model_sha256="second", **values)
            made.append(ledger.proposals.freeze(round_index, second, serve=True))
        return made

    return _again


def queue(ledger):
    return [(proposal.case_id, proposal.chance) for proposal, _ in ledger.queue.page(now=0)]


def state(ledger, case_id, chance):
    return [one.state for one in ledger.proposals.of_case(case_id) if one.chance == chance]


def test_only_rejected_slices_come_again_once(reviewing, give, again):
    give(reviewing, "a", ACCEPT, (1,))
    give(reviewing, "b", REJECT)
    give(reviewing, "c")
    due = reviewing.proposals.without_second_chance(0)
    assert [(one.proposal.case_id, one.slices) for one in due] == [("a", (1,)), ("b", (0, 1))]
    again(reviewing)
    assert queue(reviewing) == [("a", 1), ("b", 1)]
    assert reviewing.proposals.without_second_chance(0) == []
    assert give(reviewing, "b", REJECT).chance == 1
    assert reviewing.proposals.without_second_chance(0) == []
    assert queue(reviewing) == [("a", 1)]


def test_a_second_chance_comes_after_everything_that_was_not_seen_yet(reviewing, give, again):
    give(reviewing, "a", REJECT)
    again(reviewing)
    ids = [one.proposal_id for one in reviewing.queue.candidates()]
    reviewing.queue.reorder(ids[::-1], {})  # the newest in front
    assert queue(reviewing) == [("c", 0), ("b", 0), ("a", 1)]
    assert reviewing.queue.next("x", now=0, lease_seconds=9) == "c"
    assert [one.case_id for one in reviewing.queue.waiting("y", now=1)] == ["b", "a"]
    assert (reviewing.queue.count(), reviewing.queue.count(chance=0), reviewing.queue.count(chance=1)) == (3, 2, 1)


def test_of_first_and_second_looks_is_counted_apart(reviewing, give, again):
    give(reviewing, "a", REJECT)
    give(reviewing, "b")
    again(reviewing)
    give(reviewing, "a", ACCEPT, (0,))
    first, second = (reviewing.judgements.count(0, chance=chance) for chance in (0, 1))
    assert first == {"accept": 1, "reject": 1, "accepted_slices": 2, "rejected_slices": 2}
    assert second == {"accept": 1, "reject": 0, "accepted_slices": 1, "rejected_slices": 1}
    assert reviewing.judgements.count(unused=True)["accepted_slices"] == 3
    assert reviewing.readings.acceptance() == [(0, "subdural", 2, 4)]
    assert [one.slices for one in reviewing.queue.judged()] == [2, 2]


def test_a_rejection_taken_back_takes_its_open_second_chance_along(reviewing, give, again):
    rejection = give(reviewing, "a", REJECT)
    (second,) = again(reviewing)
    reviewing.judgements.withdraw(ANN, rejection.verdict_id)
    assert (state(reviewing, "a", 0), state(reviewing, "a", 1)) == ([ProposalState.OPEN], [ProposalState.SUPERSEDED])
    assert reviewing.proposals.current("a").chance == 0
    with pytest.raises(StaleProposal):
        give(reviewing, "a", sha256=second.sha256)
    give(reviewing, "a", ACCEPT)
    assert ("a", 1) not in queue(reviewing)
    assert reviewing.proposals.without_second_chance(0) == []
    assert reviewing.audit.verify() is None


@pytest.mark.parametrize("said", [ACCEPT, REJECT])
def test_and_the_verdict_on_it_whoever_gave_that(reviewing, give, again, said):
    rejection = give(reviewing, "a", REJECT)
    again(reviewing)
    later = give(reviewing, "a", said, reader="bob")
    reviewing.judgements.withdraw(ANN, rejection.verdict_id)
    assert reviewing.judgements.verdict(later.verdict_id).withdrawn
    assert list(reviewing.judgements.standing()) == []
    assert [case.tags for case in reviewing.listing.cases() if case.case_id == "a"] == [()]
    assert reviewing.audit.verify() is None


def test_the_same_rejection_given_again_brings_it_back_another_does_not(reviewing, give, again):
    rejection = give(reviewing, "a", ACCEPT, (1,))
    again(reviewing)
    reviewing.judgements.withdraw(ANN, rejection.verdict_id)
    rejection = give(reviewing, "a", ACCEPT, (1,), reader="bob")
    assert state(reviewing, "a", 1) == [ProposalState.OPEN]
    reviewing.judgements.withdraw(Actor("bob", "slicer"), rejection.verdict_id)
    give(reviewing, "a", REJECT)
    assert state(reviewing, "a", 1) == [ProposalState.SUPERSEDED]
    assert reviewing.proposals.without_second_chance(0) == []  # once a round


def test_a_verdict_on_a_second_chance_is_taken_back_alone(reviewing, give, again):
    rejection = give(reviewing, "a", REJECT)
    again(reviewing)
    later = give(reviewing, "a")
    reviewing.judgements.withdraw(ANN, later.verdict_id)
    assert (state(reviewing, "a", 0), state(reviewing, "a", 1)) == ([ProposalState.DECIDED], [ProposalState.OPEN])
    assert [one.verdict_id for one in reviewing.judgements.of_case("a")] == [rejection.verdict_id]


def test_the_first_verdict_is_repeated_or_refused_as_before(reviewing, give, again):
    first = reviewing.proposals.current("a")
    rejection = give(reviewing, "a", REJECT)
    again(reviewing)
    assert give(reviewing, "a", REJECT, sha256=first.sha256).verdict_id == rejection.verdict_id
    with pytest.raises(AlreadyDecided, match="take verdict 1 back first"):
        give(reviewing, "a", ACCEPT, sha256=first.sha256)


def test_where_nothing_is_left_nobody_is_asked_and_that_is_remembered(reviewing, give, again):
    first = reviewing.proposals.current("a")
    give(reviewing, "a", REJECT)
    again(reviewing, slices=())
    assert state(reviewing, "a", 1) == [ProposalState.EMPTY]
    assert reviewing.proposals.current("a").proposal_id == first.proposal_id
    assert reviewing.proposals.of_round("a", 0).proposal_id == first.proposal_id
    assert reviewing.proposals.without_second_chance(0) == []
    assert sum(reviewing.proposals.count_second(0).values()) == 0


def test_where_the_same_mask_is_left_the_verdict_stays_on_the_first(reviewing, give, draft, start):
    """A mask that f was sure of throughout: its second chance is unchanged, of the same hash, and never shown."""
    first = reviewing.proposals.current("a")
    rejection = give(reviewing, "a", REJECT)
    same = draft("a", chance=1, follows=rejection.verdict_id, unchanged=True)
    assert reviewing.proposals.freeze(0, same, serve=True).sha256 == first.sha256
    assert reviewing.proposals.of_round("a", 0, sha256=first.sha256).proposal_id == first.proposal_id
    start(reviewing, 1)
    reviewing.proposals.freeze(1, draft("a", model_sha256="n" * 64))
    assert give(reviewing, "a", REJECT, sha256=first.sha256).verdict_id == rejection.verdict_id


@pytest.mark.parametrize(
    ("slices", "rejected", "settled"), [((0, 1), (), True), ((1,), (), False), ((0, 1), (1,), False)]
)
def test_a_case_is_settled_where_all_that_was_rejected_is_accepted_then(
    reviewing, give, again, slices, rejected, settled
):
    give(reviewing, "a", REJECT)
    again(reviewing, slices)
    give(reviewing, "a", ACCEPT, rejected)
    unsettled = [case.case_id for case in reviewing.cases.iterate(unsettled=True)]
    assert ("a" not in unsettled) is settled


def test_the_next_round_supersedes_it_and_uses_the_verdicts(reviewing, give, again, draft, start):
    give(reviewing, "a", REJECT)
    give(reviewing, "b", REJECT)
    again(reviewing)
    later = give(reviewing, "a")
    start(reviewing, 1)
    reviewing.proposals.freeze(1, draft("b", (2,)))
    assert reviewing.judgements.verdict(later.verdict_id).used_by == 1
    assert state(reviewing, "b", 1) == [ProposalState.SUPERSEDED]
    with pytest.raises(NotWithdrawable):
        reviewing.judgements.withdraw(ANN, later.verdict_id)


def test_a_second_chance_of_what_was_taken_back_meanwhile_is_not_frozen(reviewing, give, draft):
    rejection = give(reviewing, "a", REJECT)
    reviewing.judgements.withdraw(ANN, rejection.verdict_id)
    second = draft("a", (0,), chance=1, follows=rejection.verdict_id)
    with pytest.raises(OutdatedDraft):
        reviewing.proposals.freeze(0, second, judged=[rejection.verdict_id])


def test_imported_masks_and_cases_that_take_no_verdicts_have_none(ledger, entry, draft, give, start, open_review):
    ledger.cases.register([entry(case_id) for case_id in "abc"])
    start(ledger, 0)
    for case_id in "abc":
        ledger.proposals.freeze(0, draft(case_id, tool="tool" if case_id == "a" else None))
    open_review(ledger, 0)
    for case_id in "abc":
        give(ledger, case_id, REJECT)
    ledger.cases.set_aside("b", "is gone")
    ledger.cases.promote_to_pixel("c", reviewer="x", sha256="e" * 64)
    assert ledger.proposals.without_second_chance(0) == []


@pytest.fixture(scope="module")
def under_review(entry, draft, start, open_review, tmp_path_factory):
    """The file of a ledger whose first review is open: making one anew takes longer than what is tried on it."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    ledger = Ledger(path)
    ledger.cases.register([entry(case_id) for case_id in "ab"])
    start(ledger, 0)
    for case_id in "ab":
        ledger.proposals.freeze(0, draft(case_id))
    open_review(ledger, 0)
    ledger.close()
    return path


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["accept", "reject", "reject one", "again", "withdraw", "withdraw first"]),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["ann", "bob"]),
        ),
        min_size=6,
        max_size=14,
    ),
    st.integers(0, 14),
)
def test_no_order_of_verdicts_loses_one_or_accepts_a_rejected_mask(under_review, give, start, again, steps, ends):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(under_review, Path(folder) / "ledger.sqlite")
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        given_ = []
        for number, (what, case_id, reader) in enumerate(steps):
            if number == ends:
                start(ledger, 1)
            mine = [one for one in given_ if (one.case_id, one.reviewer) == (case_id, reader)]
            with contextlib.suppress(LedgerError):
                if what == "again":
                    again(ledger)
                elif not what.startswith("withdraw"):
                    kind = REJECT if what == "reject" else ACCEPT
                    wrong = ledger.proposals.current(case_id).slices[-1:] if what == "reject one" else ()
                    given_.append(give(ledger, case_id, kind, wrong, reader=reader))
                elif mine:
                    newest = mine[0 if what.endswith("first") else -1]
                    ledger.judgements.withdraw(Actor(reader, "x"), newest.verdict_id)
        _consistent(ledger, given_)
        ledger.close()


def _consistent(ledger, given_):
    assert ledger.audit.verify() is None
    for one in given_:  # on record as it was given, whatever became of it
        kept = ledger.judgements.verdict(one.verdict_id)
        assert (kept.verdict, kept.accepted_slices, kept.reviewer) == (one.verdict, one.accepted_slices, one.reviewer)
    for case_id in "ab":
        standing = ledger.judgements.of_case(case_id)
        chances = [one.chance for one in standing]
        assert chances in ([], [0], [0, 1])  # each asked once, and none without the first
        accepted = [number for one in standing for number in one.accepted_slices]
        assert len(accepted) == len(set(accepted))
        if chances == [0, 1]:
            first, second = standing
            assert {*second.accepted_slices, *second.rejected_slices} <= set(first.rejected_slices)
        open_ = [one for one in ledger.proposals.of_case(case_id) if one.state is ProposalState.OPEN]
        assert len(open_) <= 1
        if open_ and open_[0].chance:
            assert set(open_[0].slices) <= set(standing[0].rejected_slices)
