"""The ledger against a model of it in memory, under any order of what servers, clients and rounds do."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from recursive_expand.cases import Role
from recursive_expand.ledger import (
    AlreadyDecided,
    CaseEntry,
    Ledger,
    NotWithdrawable,
    NotYours,
    ProposalDraft,
    StaleProposal,
    VerdictKind,
)

LEASE = 10.0
SLICES = range(3)
clients = st.sampled_from(["x", "y"])
kinds = st.sampled_from(list(VerdictKind))
some_slices = st.sets(st.sampled_from(list(SLICES)))


class LedgerMachine(RuleBasedStateMachine):
    """Rounds, clients and reviewers in any order; `proposals`, `queue`, `leases` and `verdicts` are the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = Ledger(self.folder / "ledger.sqlite")
        self.now = 0.0
        self.round = -1
        self.state = "none"
        self.cases: list[str] = []
        self.settled: set[str] = set()
        self.proposals: dict[str, list[tuple[int, str, tuple[int, ...]]]] = {}
        self.decided: dict[tuple[str, int], int] = {}  # (case, round) -> verdict id that stands
        self.verdicts: dict[int, tuple] = {}
        self.queue: list[str] = []
        self.leases: dict[str, tuple[str, float]] = {}

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        for _ in range(3):
            self.register()
        self.run_a_round(set(), set(SLICES))

    @rule()
    @precondition(lambda self: len(self.cases) < 5)
    def register(self) -> None:
        case_id = f"case-{len(self.cases)}"
        self.ledger.register([CaseEntry(case_id, Role.UNLABELLED, "", "1", slices=3)])
        self.cases.append(case_id)
        self.proposals[case_id] = []

    @rule(left_out=st.sets(st.integers(0, 4)), filled=some_slices)
    @precondition(lambda self: self.state in ("none", "reviewing", "closed", "converged"))
    def run_a_round(self, left_out: set[int], filled: set[int]) -> None:
        """Train on all standing verdicts, propose for all unsettled cases but some, open the review."""
        self.round += 1
        self.ledger.start_round(
            self.round,
            base_model=None,
            config={},
            config_sha256="",
            training_set={},
            training_set_sha256="",
            verdict_ids=list(self.decided.values()),
            report={},
        )
        for verdict_id in self.decided.values():
            self.verdicts[verdict_id] = (*self.verdicts[verdict_id][:-1], True)
        model = f"{self.round:064d}"
        self.ledger.publish_model(self.round, trained_model=model, model=model, promoted=True, report={})
        for number, case_id in enumerate(self.cases):
            if case_id in self.settled or number in left_out:
                continue
            accepted = {n for v in self.ledger.verdicts_of(case_id) for n in v.accepted_slices}
            slices = tuple(sorted(filled - accepted))
            sha256 = f"{self.round:032d}{case_id:>32}"
            draft = ProposalDraft(case_id, sha256, model, slices, (), {"subdural": 1} if slices else {}, 0.5, False)
            frozen = self.ledger.freeze(self.round, draft)
            assert self.ledger.freeze(self.round, draft) == frozen
            self.proposals[case_id].append((self.round, sha256, slices))
            self.leases.pop(case_id, None)
            if case_id in self.queue:
                self.queue.remove(case_id)
            if slices:
                self.queue.append(case_id)
        candidates = {p: self.case_of(p) for p in (c.proposal_id for c in self.ledger.open_candidates())}
        assert sorted(candidates.values()) == sorted(self.queue)
        order = sorted(candidates, key=lambda p: candidates[p], reverse=True)
        self.ledger.open_review(self.round, order=order, report={})
        self.queue = [candidates[p] for p in order]
        self.state = "reviewing"

    def case_of(self, proposal_id: int) -> str:
        current = {case_id: self.ledger.current_proposal(case_id) for case_id in self.cases}
        return next(case_id for case_id, p in current.items() if p is not None and p.proposal_id == proposal_id)

    @rule(converged=st.booleans())
    @precondition(lambda self: self.state == "reviewing")
    def close_review(self, converged: bool) -> None:
        self.ledger.close_review(self.round, converged=converged, report={})
        self.state = "converged" if converged else "closed"

    @rule(seconds=st.floats(0.5, 2 * LEASE))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(client=clients)
    def next_proposal(self, client: str) -> None:
        self.leases = {c: (who, until) for c, (who, until) in self.leases.items() if until > self.now}
        held = [c for c in self.queue if self.leases.get(c, ("", 0))[0] == client]
        free = [c for c in self.queue if c not in self.leases]
        expected = (held or free or [None])[0]
        assert self.ledger.next_proposal(client, now=self.now, lease_seconds=LEASE) == expected
        if expected is not None:
            self.leases[expected] = (client, self.now + LEASE)

    @rule(data=st.data(), kind=kinds, rejected=some_slices, reviewer=clients)
    def decide(self, data: st.DataObject, kind: VerdictKind, rejected: set[int], reviewer: str) -> None:
        case_id = data.draw(st.sampled_from(self.cases))
        if not self.proposals[case_id]:
            with pytest.raises(StaleProposal):
                self.say(case_id, "0" * 64, kind, set(), reviewer)
            return
        round_index, sha256, slices = self.proposals[case_id][-1]
        rejected = rejected & set(slices) if kind is VerdictKind.ACCEPT else set()
        meant, accepted, refused = kind, tuple(n for n in slices if n not in rejected), tuple(sorted(rejected))
        if kind is VerdictKind.REJECT or (slices and not accepted):
            meant, accepted, refused = VerdictKind.REJECT, (), slices
        standing = self.decided.get((case_id, round_index))
        if standing is not None:
            if self.verdicts[standing][1:4] == (meant, refused, reviewer):
                assert self.say(case_id, sha256, kind, rejected, reviewer).verdict_id == standing
            else:
                with pytest.raises(AlreadyDecided):
                    self.say(case_id, sha256, kind, rejected, reviewer)
            return
        verdict = self.say(case_id, sha256, kind, rejected, reviewer)
        assert verdict.verdict_id not in self.verdicts
        assert (verdict.verdict, verdict.accepted_slices, verdict.rejected_slices) == (meant, accepted, refused)
        self.verdicts[verdict.verdict_id] = (case_id, meant, refused, reviewer, round_index, accepted, False)
        self.decided[case_id, round_index] = verdict.verdict_id
        if case_id in self.queue:
            self.queue.remove(case_id)
        self.leases.pop(case_id, None)
        (self.settled.add if meant is VerdictKind.ACCEPT and not refused else self.settled.discard)(case_id)

    def say(self, case_id, sha256, kind, rejected, reviewer):
        return self.ledger.decide(
            case_id, sha256, kind, rejected_slices=sorted(rejected), reviewer=reviewer, client=reviewer
        )

    @rule(data=st.data(), kind=kinds, reviewer=clients)
    def decide_an_old_proposal(self, data: st.DataObject, kind: VerdictKind, reviewer: str) -> None:
        older = [(c, r, sha) for c, made in self.proposals.items() for r, sha, _ in made[:-1]]
        if not older:
            return
        case_id, round_index, sha256 = data.draw(st.sampled_from(older))
        standing = self.decided.get((case_id, round_index))
        refused = self.verdicts[standing][2] if standing is not None else ()
        said = set(refused) if kind is VerdictKind.ACCEPT else set()
        if standing is not None and (self.verdicts[standing][1], self.verdicts[standing][3]) == (kind, reviewer):
            assert self.say(case_id, sha256, kind, said, reviewer).verdict_id == standing
        else:
            with pytest.raises(StaleProposal):
                self.say(case_id, sha256, kind, set(), reviewer)

    @rule(data=st.data(), reviewer=clients)
    @precondition(lambda self: self.verdicts)
    def withdraw(self, data: st.DataObject, reviewer: str) -> None:
        verdict_id = data.draw(st.sampled_from(sorted(self.verdicts)))
        case_id, _, _, author, round_index, _, used = self.verdicts[verdict_id]
        if self.decided.get((case_id, round_index)) != verdict_id:
            assert self.ledger.withdraw(verdict_id, reviewer=reviewer).withdrawn
            return
        newest, _, slices = self.proposals[case_id][-1]
        if author != reviewer:
            with pytest.raises(NotYours):
                self.ledger.withdraw(verdict_id, reviewer=reviewer)
        elif used or newest != round_index or self.state != "reviewing":
            with pytest.raises(NotWithdrawable):
                self.ledger.withdraw(verdict_id, reviewer=reviewer)
        else:
            assert self.ledger.withdraw(verdict_id, reviewer=reviewer).withdrawn
            del self.decided[case_id, round_index]
            self.settled.discard(case_id)
            if slices:
                self.queue.append(case_id)

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.folder / "ledger.sqlite")

    @invariant()
    def what_stands_is_what_was_returned(self) -> None:
        standing = list(self.ledger.standing_verdicts())
        assert {v.verdict_id for v in standing} == set(self.decided.values())
        assert len({v.proposal_id for v in standing}) == len(standing)
        for verdict in standing:
            case_id, kind, refused, reviewer, round_index, accepted, used = self.verdicts[verdict.verdict_id]
            assert (verdict.case_id, verdict.verdict, verdict.reviewer) == (case_id, kind, reviewer)
            assert (verdict.round, verdict.accepted_slices, verdict.rejected_slices) == (round_index, accepted, refused)
            assert (verdict.used_by is not None) == used

    @invariant()
    def no_slice_is_accepted_twice(self) -> None:
        accepted = [(v.case_id, n) for v in self.ledger.standing_verdicts() for n in v.accepted_slices]
        assert len(set(accepted)) == len(accepted)

    @invariant()
    def no_case_is_leased_twice_and_the_queue_is_the_model_s(self) -> None:
        queue = self.ledger.queue(now=self.now)
        assert [p.case_id for p, _ in queue] == self.queue
        leased = {p.case_id: client for p, client in queue if client is not None}
        assert leased == {c: who for c, (who, until) in self.leases.items() if until > self.now}
        assert len(set(leased.values())) == len(leased)
        assert self.ledger.count_undecided() == len(self.queue)

    @invariant()
    def what_is_settled_is_not_proposed_again(self) -> None:
        unsettled = {case.case_id for case in self.ledger.iter_cases(unsettled=True)}
        assert unsettled == set(self.cases) - self.settled

    @invariant()
    def the_chain_holds(self) -> None:
        assert self.ledger.first_broken_event() is None


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
