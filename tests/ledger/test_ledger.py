"""The ledger against a model of it in memory, under any order of what servers, readers and rounds do."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from recursive_expand.cases import Role
from recursive_expand.ledger import (
    Actor,
    AlreadyDecided,
    CaseEntry,
    Ledger,
    NotWithdrawable,
    NotYours,
    OutdatedTrainingSet,
    ProposalDraft,
    ProposalState,
    ProposedSlice,
    StaleProposal,
    VerdictKind,
)
from recursive_expand.ledger.states import state_of_proposal
from recursive_expand.ledger.tables import proposals

LEASE = 10.0
SLICES = range(3)
readers = st.sampled_from(["x", "y", "z"])
kinds = st.sampled_from(list(VerdictKind))
some_slices = st.sets(st.sampled_from(list(SLICES)))
some_cases = st.sets(st.integers(0, 4))


@dataclass
class Verdict:
    """A verdict as the model knows it."""

    kind: VerdictKind
    accepted: tuple[int, ...]
    rejected: tuple[int, ...]
    reader: str
    used_by: int | None = None
    withdrawn: bool = False


@dataclass
class Proposal:
    """A proposal as the model knows it; `sort_key` orders the queue. A second chance follows a verdict."""

    round: int
    sha256: str
    slices: tuple[int, ...]
    left_out: tuple[int, ...]
    made_as: ProposalState
    served: bool
    sort_key: int
    follows: Verdict | None = None
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    @property
    def decision(self) -> tuple[int, Verdict] | None:
        return next((item for item in self.verdicts.items() if not item[1].withdrawn), None)


@dataclass
class Case:
    """A case as the model knows it."""

    pixel: bool = False
    aside: bool = False
    proposals: list[Proposal] = field(default_factory=list)

    def state_of(self, proposal: Proposal, opened: set[int]) -> ProposalState:
        if proposal.decision:
            return ProposalState.DECIDED
        if self.pixel or proposal.round < self.proposals[-1].round or not self.rejection_stands(proposal):
            return ProposalState.SUPERSEDED
        hidden = self.aside or not (proposal.served or proposal.round in opened)
        return ProposalState.HELD if hidden and proposal.made_as is ProposalState.OPEN else proposal.made_as

    def rejection_stands(self, proposal: Proposal) -> bool:
        """Whether the first proposal of the round is rejected as it was when this second chance was made."""
        if proposal.follows is None:
            return True
        decision = self.first(proposal.round).decision
        return decision is not None and decision[1].rejected == proposal.follows.rejected

    def first(self, number: int) -> Proposal:
        return next(p for p in self.proposals if p.round == number and p.follows is None)

    @property
    def current(self) -> Proposal | None:
        seen = [p for p in self.proposals if p.follows is None or p.made_as is ProposalState.OPEN]
        return next((p for p in reversed(seen) if self.rejection_stands(p)), None)

    @property
    def standing(self) -> list[tuple[Proposal, int, Verdict]]:
        return [(p, *p.decision) for p in self.proposals if p.decision]

    @property
    def settled(self) -> bool:
        whole = [p for p, _, v in self.standing if v.kind is VerdictKind.ACCEPT and not v.rejected and not p.left_out]
        return self.pixel or bool(whole)

    @property
    def tags(self) -> set[str]:
        said = [v for _, _, v in self.standing]
        final = self.pixel or any(v.kind is VerdictKind.ACCEPT for v in said)
        rejected = any(v.kind is VerdictKind.REJECT or v.rejected for v in said)
        return {tag for tag, has in (("final", final), ("rejected", rejected)) if has}


class LedgerMachine(RuleBasedStateMachine):
    """Rounds and readers in any order; `cases`, `leases`, `opened` and `outbox` are the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = Ledger(self.folder / "ledger.sqlite")
        self.now = 0.0
        self.round = -1
        self.state = "none"
        self.opened: set[int] = set()
        self.cases: dict[str, Case] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.outbox: list[str] = []
        self.used: dict[int, int] = {}

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        for _ in range(3):
            self.register()
        self.train()
        self.propose(set(), set(SLICES), False)
        self.open_review(backwards=True)

    # The cases.

    @rule()
    @precondition(lambda self: len(self.cases) < 5)
    def register(self) -> None:
        case_id = f"case-{len(self.cases)}"
        self.ledger.cases.register([CaseEntry(case_id, Role.UNLABELLED, "", "1", slices=3)])
        self.cases[case_id] = Case()

    @rule(data=st.data())
    def set_aside_or_back(self, data: st.DataObject) -> None:
        case_id = data.draw(st.sampled_from(sorted(self.cases)))
        case = self.cases[case_id]
        if case.aside:
            self.ledger.cases.register([CaseEntry(case_id, Role.UNLABELLED, "", "1", slices=3)])
        else:
            self.ledger.cases.set_aside(case_id, "is gone")
        case.aside = not case.aside

    @rule(data=st.data())
    @precondition(lambda self: sum(case.pixel for case in self.cases.values()) < 2)
    def promote(self, data: st.DataObject) -> None:
        case_id = data.draw(st.sampled_from(sorted(self.cases)))
        self.ledger.cases.promote_to_pixel(case_id, reviewer="x", sha256="e" * 64)
        self.cases[case_id].pixel = True
        self.leases.pop(case_id, None)

    # The rounds.

    @rule()
    @precondition(lambda self: self.state in ("reviewing", "closed", "converged") and self.round < 6)
    def train(self) -> None:
        """The next round begins with all verdicts that stand, and publishes its model."""
        self.round += 1
        self._start(self.ledger.judgements.watermark())
        for case in self.cases.values():
            for _, _, verdict in case.standing:
                if verdict.used_by is None:
                    verdict.used_by = self.round
        model = f"{self.round:064d}"
        self.ledger.rounds.publish_model(self.round, trained_model=model, model=model, promoted=True, report={})
        self.state = "proposing"

    def _start(self, known: tuple[int, int]) -> None:
        self.ledger.rounds.start(
            self.round,
            base_model=None,
            config={},
            config_sha256="",
            training_set={"round": self.round},
            training_set_sha256="",
            known=known,
            report={},
        )

    @rule(left_out=some_cases, filled=some_slices, unchanged=st.booleans())
    @precondition(lambda self: self.state == "proposing")
    def propose(self, left_out: set[int], filled: set[int], unchanged: bool) -> None:
        """The round's bulk proposing of all unsettled cases but some."""
        for number, case_id in enumerate(sorted(self.cases)):
            if number not in left_out:
                self._freeze(case_id, filled, unchanged=unchanged, serve=False)

    @rule(data=st.data(), filled=some_slices)
    @precondition(lambda self: self.state in ("proposing", "reviewing"))
    def infer(self, data: st.DataObject, filled: set[int]) -> None:
        """A client asks for one case: its proposal is served at once."""
        self._freeze(data.draw(st.sampled_from(sorted(self.cases))), filled, unchanged=False, serve=True)

    def _freeze(self, case_id: str, filled: set[int], *, unchanged: bool, serve: bool) -> None:
        case = self.cases[case_id]
        made = case.proposals[-1] if case.proposals else None
        if case.settled or case.aside or (made is not None and made.round == self.round):
            return
        accepted = {n for _, _, verdict in case.standing for n in verdict.accepted}
        rejected = {n for _, _, verdict in case.standing for n in verdict.rejected}
        slices = tuple(sorted(filled - accepted))
        sha256 = f"{self.round:032d}{case_id:>32}"
        left_out = tuple(sorted(rejected - set(slices)))
        draft = ProposalDraft(
            case_id=case_id,
            sha256=sha256,
            model_sha256=f"{self.round:064d}",
            file=sha256,
            marked=tuple(ProposedSlice(n, "subdural", 1) for n in slices),
            confidence=0.5,
            unchanged_slices=left_out,
            unchanged=unchanged and bool(slices),
        )
        frozen = self.ledger.proposals.freeze(self.round, draft, serve=serve)
        assert self.ledger.proposals.freeze(self.round, draft, serve=serve) == frozen
        made_as = ProposalState.OPEN if slices else ProposalState.EMPTY
        made_as = ProposalState.UNCHANGED if draft.unchanged else made_as
        case.proposals.append(Proposal(self.round, sha256, slices, left_out, made_as, serve, self._last_key()))
        self.leases.pop(case_id, None)

    def _last_key(self) -> int:
        return max((p.sort_key for case in self.cases.values() for p in case.proposals), default=-1) + 1

    @rule(filled=some_slices)
    @precondition(lambda self: self.state == "reviewing")
    def second_chances(self, filled: set[int]) -> None:
        """What was rejected comes once more: these of its slices."""
        due = self.ledger.proposals.without_second_chance(self.round)
        expected = [
            (case_id, first.sha256, first.decision[1].rejected)
            for case_id, case in self.cases.items()
            for first in [p for p in case.proposals if p.round == self.round and p.follows is None]
            if not (case.pixel or case.aside) and first is case.proposals[-1]
            if first.decision and first.decision[1].rejected
        ]
        assert sorted((one.proposal.case_id, one.proposal.sha256, one.slices) for one in due) == sorted(expected)
        for one in due:
            case = self.cases[one.proposal.case_id]
            first = case.first(self.round)
            slices = tuple(sorted(filled & set(one.slices)))
            left_out = tuple(sorted({*first.left_out, *one.slices} - set(slices)))
            sha256 = f"{self.round:032d}{one.proposal.case_id + ' again':>32}"
            draft = ProposalDraft(
                case_id=one.proposal.case_id,
                sha256=sha256,
                model_sha256=f"{self.round:064d}",
                file=sha256,
                marked=tuple(ProposedSlice(n, "subdural", 1) for n in slices),
                confidence=0.5,
                unchanged_slices=left_out,
                chance=1,
                follows=one.verdict_id,
            )
            frozen = self.ledger.proposals.freeze(self.round, draft, serve=True)
            assert self.ledger.proposals.freeze(self.round, draft, serve=True) == frozen
            made_as = ProposalState.OPEN if slices else ProposalState.EMPTY
            said = first.verdicts[one.verdict_id]
            case.proposals.append(
                Proposal(self.round, sha256, slices, left_out, made_as, True, self._last_key(), follows=said)
            )
            self.leases.pop(one.proposal.case_id, None)

    @rule(backwards=st.booleans())
    @precondition(lambda self: self.state == "proposing")
    def open_review(self, backwards: bool) -> None:
        waiting = self.ledger.queue.candidates(round_index=self.round)
        self.ledger.rounds.open_review(
            self.round, order=self._to_the_front([one.proposal_id for one in waiting], backwards), report={}
        )
        self.opened.add(self.round)
        self.state = "reviewing"

    @rule(data=st.data(), backwards=st.booleans())
    def reorder(self, data: st.DataObject, backwards: bool) -> None:
        ids = [one.proposal_id for one in self.ledger.queue.candidates()]
        named = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
        order = self._to_the_front(named, backwards)
        self.ledger.queue.reorder(order, {proposal_id: 0.5 for proposal_id in order})

    def _to_the_front(self, ids: list[int], backwards: bool) -> list[int]:
        by_id = {}
        for case_id, case in self.cases.items():
            made = self.ledger.proposals.of_case(case_id)
            by_id |= {one.proposal_id: proposal for one, proposal in zip(made, case.proposals, strict=True)}
        first = min((p.sort_key for p in by_id.values()), default=0) - len(ids)
        order = sorted(ids, reverse=backwards)
        for place, proposal_id in enumerate(order):
            by_id[proposal_id].sort_key = first + place
        return order

    @rule(converged=st.booleans())
    @precondition(lambda self: self.state == "reviewing")
    def close_review(self, converged: bool) -> None:
        self.ledger.rounds.close_review(self.round, converged=converged, report={})
        self.state = "converged" if converged else "closed"

    @rule()
    @precondition(lambda self: self.state == "converged")
    def reopen_review(self) -> None:
        self.ledger.rounds.reopen_review(self.round)
        self.state = "reviewing"

    # The readers.

    @rule(reader=readers, skips=st.booleans(), seconds=st.floats(0, 2 * LEASE))
    def ask(self, reader: str, skips: bool, seconds: float) -> None:
        self.now += seconds
        self.leases = {c: (who, until) for c, (who, until) in self.leases.items() if until > self.now}
        queue = self._queue()
        held = [c for c in queue if self.leases.get(c, ("", 0))[0] == reader]
        skip = held[0] if skips and held else None
        if skip is not None:
            del self.leases[skip]
            held = held[1:]
        free = sorted((c for c in queue if c not in self.leases), key=lambda c: c == skip)
        expected = (held or free or [None])[0]
        assert self.ledger.queue.next(reader, now=self.now, lease_seconds=LEASE, skip=skip) == expected
        if expected is not None:
            self.leases[expected] = (reader, self.now + LEASE)

    @rule(reader=readers, said=st.lists(st.tuples(kinds, some_slices), min_size=1, max_size=3))
    def read(self, reader: str, said: list[tuple[VerdictKind, set[int]]]) -> None:
        """A reader asks for cases and judges them."""
        for kind, rejected in said:
            self.ask(reader, False, 1.0)
            held = [c for c in self._queue() if self.leases.get(c, ("", 0))[0] == reader]
            if held:
                self._decide(held[0], kind, rejected, reader)

    @rule(data=st.data(), kind=kinds, rejected=some_slices, reader=readers)
    def decide(self, data: st.DataObject, kind: VerdictKind, rejected: set[int], reader: str) -> None:
        self._decide(data.draw(st.sampled_from(sorted(self.cases))), kind, rejected, reader)

    def _decide(self, case_id: str, kind: VerdictKind, rejected: set[int], reader: str) -> None:
        case = self.cases[case_id]
        if not case.proposals:
            with pytest.raises(StaleProposal):
                self._say(case_id, "0" * 64, kind, set(), reader)
            return
        proposal = case.current
        assert proposal is not None
        meant = self._meant(proposal, kind, rejected, reader)
        if case.pixel and not proposal.decision:
            with pytest.raises(StaleProposal):
                self._say(case_id, proposal.sha256, kind, rejected, reader)
            return
        if proposal.decision:
            verdict_id, standing = proposal.decision
            if (standing.kind, standing.rejected, standing.reader) == (meant.kind, meant.rejected, reader):
                assert self._say(case_id, proposal.sha256, kind, rejected, reader).verdict_id == verdict_id
            else:
                with pytest.raises(AlreadyDecided):
                    self._say(case_id, proposal.sha256, kind, rejected, reader)
            return
        given = self._say(case_id, proposal.sha256, kind, rejected & set(proposal.slices), reader)
        assert (given.verdict, given.accepted_slices, given.rejected_slices) == (
            meant.kind,
            meant.accepted,
            meant.rejected,
        )
        assert given.verdict_id not in proposal.verdicts
        proposal.verdicts[given.verdict_id] = meant
        self.leases.pop(case_id, None)
        self.outbox.append(case_id)

    def _meant(self, proposal: Proposal, kind: VerdictKind, rejected: set[int], reader: str) -> Verdict:
        rejected &= set(proposal.slices)
        accepted = tuple(n for n in proposal.slices if n not in rejected)
        if kind is VerdictKind.REJECT or (proposal.slices and not accepted):
            return Verdict(VerdictKind.REJECT, (), proposal.slices, reader)
        return Verdict(kind, accepted, tuple(sorted(rejected)), reader)

    def _say(self, case_id: str, sha256: str, kind: VerdictKind, rejected: set[int], reader: str):
        return self.ledger.judgements.give(
            Actor(reader, reader), case_id, sha256, kind, rejected_slices=sorted(rejected)
        )

    @rule(data=st.data(), kind=kinds, reader=readers)
    def decide_an_old_proposal(self, data: st.DataObject, kind: VerdictKind, reader: str) -> None:
        older = [(case_id, p) for case_id, case in self.cases.items() for p in case.proposals if p is not case.current]
        if not older:
            return
        case_id, proposal = data.draw(st.sampled_from(older))
        standing = proposal.decision
        said = set(standing[1].rejected) if standing and kind is VerdictKind.ACCEPT else set()
        if standing and (standing[1].kind, standing[1].reader) == (kind, reader):
            assert self._say(case_id, proposal.sha256, kind, said, reader).verdict_id == standing[0]
        else:
            same_round = standing and proposal.round == self.cases[case_id].proposals[-1].round
            with pytest.raises(AlreadyDecided if same_round else StaleProposal):
                self._say(case_id, proposal.sha256, kind, set(), reader)

    @rule(data=st.data(), other=st.sampled_from([None, None, "x", "y"]), while_built=st.booleans())
    def withdraw(self, data: st.DataObject, other: str | None, while_built: bool) -> None:
        given = [
            (case_id, p, verdict_id, verdict)
            for case_id, case in self.cases.items()
            for p in case.proposals
            for verdict_id, verdict in p.verdicts.items()
        ]
        if not given:
            return
        case_id, proposal, verdict_id, verdict = data.draw(st.sampled_from(given))
        reader = other or verdict.reader
        actor = Actor(reader, "another client")
        known = self.ledger.judgements.watermark()
        newest = self.cases[case_id].proposals[-1].round == proposal.round
        if verdict.reader != reader:
            with pytest.raises(NotYours):
                self.ledger.judgements.withdraw(actor, verdict_id)
        elif verdict.withdrawn:
            assert self.ledger.judgements.withdraw(actor, verdict_id).withdrawn
        elif verdict.used_by is not None or not newest or self.state in ("closed", "converged"):
            with pytest.raises(NotWithdrawable):
                self.ledger.judgements.withdraw(actor, verdict_id)
        else:
            assert self.ledger.judgements.withdraw(actor, verdict_id).withdrawn
            verdict.withdrawn = True
            proposal.sort_key = self._last_key()
            if proposal.follows is None:  # what was said of its second chance goes with it
                for later in self.cases[case_id].proposals:
                    if later.round == proposal.round and later.decision:
                        later.decision[1].withdrawn = True
            self.outbox.append(case_id)
            if while_built and self.state == "reviewing":
                self.round += 1
                with pytest.raises(OutdatedTrainingSet):
                    self._start(known)
                self.round -= 1

    @rule()
    def write_labels(self) -> None:
        """The conductor writes the label objects of the oldest case that waits."""
        due = self.ledger.outbox.due(0.0)
        assert due == list(dict.fromkeys(self.outbox))
        if due:
            self.ledger.outbox.sent(due[0], self.ledger.outbox.newest(due[0]))
            self.outbox = [case_id for case_id in self.outbox if case_id != due[0]]

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.folder / "ledger.sqlite")

    # What always holds.

    def _queue(self) -> list[str]:
        found = [
            (p.follows is not None, p.sort_key, case_id)
            for case_id, case in self.cases.items()
            for p in case.proposals
            if case.state_of(p, self.opened) is ProposalState.OPEN
        ]
        return [case_id for *_, case_id in sorted(found)]

    def _standing(self) -> list[tuple[str, Proposal, int, Verdict]]:
        return [(case_id, *one) for case_id, case in sorted(self.cases.items()) for one in case.standing]

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        assert self.ledger.audit.verify() is None

    @invariant()
    def every_state_is_what_the_facts_and_the_model_say(self) -> None:
        with self.ledger.proposals._store.read() as connection:
            for stored, derived in connection.execute(select(proposals.c.state, state_of_proposal())):
                assert stored == derived
        counts: dict[tuple[int, ProposalState], int] = {}
        again: dict[tuple[int, ProposalState], int] = {}
        for case_id, case in self.cases.items():
            expected = [case.state_of(proposal, self.opened) for proposal in case.proposals]
            assert [p.state for p in self.ledger.proposals.of_case(case_id)] == expected
            for proposal, state in zip(case.proposals, expected, strict=True):
                if proposal.follows is None:
                    counts[proposal.round, state] = counts.get((proposal.round, state), 0) + 1
                elif proposal.made_as is ProposalState.OPEN:
                    again[proposal.round, state] = again.get((proposal.round, state), 0) + 1
        for number in range(self.round + 1):
            counted = self.ledger.proposals.count(number)
            assert counted == {state.value: counts.get((number, state), 0) for state in ProposalState}
            counted = self.ledger.proposals.count_second(number)
            assert counted == {state.value: again.get((number, state), 0) for state in ProposalState}

    @invariant()
    def what_stands_is_what_was_returned(self) -> None:
        standing = self._standing()
        found = [
            (j.case_id, j.round, j.verdict_id, j.reviewer, j.slice, j.accepted, j.used_by)
            for j in self.ledger.judgements.standing()
        ]
        assert found == [
            (case_id, p.round, verdict_id, v.reader, n, n in v.accepted, v.used_by)
            for case_id, p, verdict_id, v in standing
            for n in p.slices
        ]
        accepted = [(case_id, n) for case_id, _, _, v in standing for n in v.accepted]
        assert len(set(accepted)) == len(accepted)
        watermark = max((i for case in self.cases.values() for p in case.proposals for i in p.verdicts), default=0)
        assert self.ledger.judgements.watermark() == (watermark, len(standing))

    @invariant()
    def a_second_chance_counts_only_while_all_of_it_stands_rejected(self) -> None:
        standing = list(self.ledger.judgements.standing())
        for case_id, case in self.cases.items():
            for second in (p for p in case.proposals if p.follows is not None):
                first = case.first(second.round)
                rejected = {j.slice for j in standing if j.proposal_sha256 == first.sha256 and not j.accepted}
                said = {j.slice for j in standing if j.proposal_sha256 == second.sha256}
                assert said <= rejected
                open_ = case_id in self._queue() and case.current is second
                assert not open_ or set(second.slices) <= rejected

    @invariant()
    def counts_are_the_model_s(self) -> None:
        for number, unused, chance in ((None, False, 0), (None, False, 1), (self.round, True, None)):
            said = [
                v
                for _, p, _, v in self._standing()
                if number in (None, p.round) and not (unused and v.used_by is not None)
                if chance in (None, int(p.follows is not None))
            ]
            assert self.ledger.judgements.count(number, unused=unused, chance=chance) == {
                "accept": sum(v.kind is VerdictKind.ACCEPT for v in said),
                "reject": sum(v.kind is VerdictKind.REJECT for v in said),
                "accepted_slices": sum(len(v.accepted) for v in said),
                "rejected_slices": sum(len(v.rejected) for v in said),
            }

    @invariant()
    def a_verdict_is_used_once_and_for_good(self) -> None:
        for case in self.cases.values():
            for proposal in case.proposals:
                for verdict_id, verdict in proposal.verdicts.items():
                    found = self.ledger.judgements.verdict(verdict_id)
                    assert (found.used_by, found.withdrawn is not None) == (verdict.used_by, verdict.withdrawn)
                    if found.used_by is not None:
                        assert self.used.setdefault(verdict_id, found.used_by) == found.used_by
                    else:
                        assert verdict_id not in self.used

    @invariant()
    def no_case_is_leased_twice_and_the_queue_is_the_model_s(self) -> None:
        queue = self.ledger.queue.page(now=self.now)
        assert [p.case_id for p, _ in queue] == self._queue()
        leased = {p.case_id: reader for p, reader in queue if reader is not None}
        live = {c: who for c, (who, until) in self.leases.items() if until > self.now and c in self._queue()}
        assert leased == live
        assert self.ledger.queue.count() == len(queue)

    @invariant()
    def what_is_settled_and_labelled_is_what_the_model_says(self) -> None:
        usable = {case_id: case for case_id, case in self.cases.items() if not case.aside}
        unsettled = {case.case_id for case in self.ledger.cases.iterate(unsettled=True)}
        assert unsettled == {case_id for case_id, case in usable.items() if not case.settled}
        tags = {case.case_id: set(case.tags) for case in self.ledger.listing.cases()}
        assert tags == {case_id: case.tags for case_id, case in usable.items()}
        assert self.ledger.cases.count_labels() == (len(tags), sum("final" in has for has in tags.values()))


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=12,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # To shrink forty steps takes longer than a test may: the steps as they were are told.
    phases=(Phase.explicit, Phase.generate),
)
