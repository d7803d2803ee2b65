"""What was observed of a round's proposals: slice by slice, patient by patient, and in the random share."""

import dataclasses

import pytest

from recursive_expand.expand.observed import observed_acceptance
from recursive_expand.expand.random_share import RandomShare
from recursive_expand.ledger import VerdictKind


@pytest.fixture
def opened(reviewing):
    """Round 0 as if a share of its queue had been random."""
    round_ = reviewing.ledger.rounds.current()
    return lambda share: dataclasses.replace(round_, report=round_.report | {"random_share": share})


def test_a_round_without_promise_and_random_share_tells_nothing(reviewing, opened):
    assert observed_acceptance(reviewing.ledger, opened(0.0)) is None


def test_without_a_verdict_no_share_is_known(reviewing, opened):
    nothing = {"slices": 0, "accepted": None, "accepted_of_patients": None}
    assert observed_acceptance(reviewing.ledger, opened(0.5)) == {"judged": nothing, "random": nothing}


def test_slices_count_alike_in_one_share_and_patients_in_the_other(reviewing, opened, say):
    slices = {case: reviewing.ledger.proposals.current(case).slices for case in ("i0", "u0")}
    say(reviewing, "i0", VerdictKind.REJECT)
    say(reviewing, "u0", VerdictKind.ACCEPT, [slices["u0"][0]])
    number = {case: len(found) for case, found in slices.items()}
    found = observed_acceptance(reviewing.ledger, opened(0.5))["judged"]
    assert found["slices"] == number["i0"] + number["u0"]
    assert found["accepted"] == pytest.approx((number["u0"] - 1) / found["slices"])
    assert found["accepted_of_patients"] == pytest.approx((number["u0"] - 1) / number["u0"] / 2)


def test_the_random_share_is_told_apart(reviewing, opened, say):
    ids = {case: reviewing.ledger.proposals.current(case).proposal_id for case in ("i0", "i1", "u0")}
    share = next(s / 100 for s in range(100) if sum(map(RandomShare(0, s / 100).holds, ids.values())) == 1)
    for case, proposal_id in ids.items():
        say(reviewing, case, VerdictKind.ACCEPT if RandomShare(0, share).holds(proposal_id) else VerdictKind.REJECT)
    found = observed_acceptance(reviewing.ledger, opened(share))
    assert found["random"]["accepted"] == 1.0 and 0 < found["judged"]["accepted_of_patients"] < 0.5
