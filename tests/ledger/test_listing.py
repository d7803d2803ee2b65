"""What is listed of every usable case's labels."""

from recursive_expand.ledger import Actor, ProposalState, VerdictKind

REJECT, ACCEPT = VerdictKind.REJECT, VerdictKind.ACCEPT


def test_every_case_is_listed_with_its_tags_verdicts_and_notes(reviewing, give):
    give(reviewing, "b", REJECT)
    given = give(reviewing, "c", ACCEPT, (1,))
    reviewing.cases.update_label_note("c", "final", {"level": "easy"})
    found = {case.case_id: case for case in reviewing.listing.cases()}
    assert {case_id: (case.name, case.tags, case.rounds, case.newest) for case_id, case in found.items()} == {
        "a": ("a.nii", (), (0,), ProposalState.OPEN),
        "b": ("b.nii", ("rejected",), (0,), ProposalState.DECIDED),
        "c": ("c.nii", ("final", "rejected"), (0,), ProposalState.DECIDED),
    }
    assert (found["a"].verdicts, found["a"].notes) == ((), {})
    assert found["c"].notes == {"final": {"level": "easy"}}
    [verdict] = found["c"].verdicts
    assert (verdict.round, verdict.verdict, verdict.reviewer, verdict.ts) == (0, ACCEPT, given.reviewer, given.ts)
    reviewing.judgements.withdraw(Actor(given.reviewer, "x"), given.verdict_id)
    [listed] = [case for case in reviewing.listing.cases() if case.case_id == "c"]
    assert (listed.tags, listed.verdicts, listed.newest) == ((), (), ProposalState.OPEN)
