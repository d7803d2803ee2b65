"""What a round trains on, as the ledger stands when it begins."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from recursive_expand.cases import Role
from recursive_expand.expand.consensus import consensus
from recursive_expand.expand.labelled_slices import (
    CountMarked,
    clean_slices,
    host_slices,
    labelled_cases,
    taught_slices,
    unmarked_slices,
)
from recursive_expand.expand.locked import locked_patients, patient_of
from recursive_expand.ledger import Judgement, Ledger, Propagated, ProposalRecord, RoundRecord
from recursive_expand.ledger.chain import canonical
from recursive_expand.settings import Method


@dataclass(frozen=True)
class AcceptedSlices:
    """Slices of one proposal that an expert accepted (in `TrainingSet.rejected`: rejected; in `joined`: never saw).

    `round` is the proposal's; `new` says that no earlier round trained on them; `refined_sha256` is of the mask that g
    made of them, where that is trained on instead of the proposal (`expand/refined.py`).
    """

    case_id: str
    round: int
    proposal_sha256: str
    slices: tuple[int, ...]
    new: bool = False
    refined_sha256: str | None = None

    def proposal(self, ledger: Ledger) -> ProposalRecord:
        """The proposal."""
        found = ledger.proposals.of_round(self.case_id, self.round, sha256=self.proposal_sha256)
        assert found is not None
        return found

    def to_json(self) -> dict[str, Any]:
        """As the ledger keeps it; what earlier versions did not know is left out where it is not used."""
        stored = asdict(self)
        if self.refined_sha256 is None:
            del stored["refined_sha256"]
        return stored


@dataclass(frozen=True)
class TrainingSet:
    """The training set of a round.

    Attributes:
        pixel: (case id, slices, SHA-256 of the mask) of the expert masks trained on.
        validation: ids of the locked pixel cases, never trained on.
        accepted: accepted slices, by proposal.
        clean: (case id, slice numbers) labelled clean: exact background for free.
        new_slices: accepted and joined slices that no earlier round trained on.
        rejected: with `rejects: not_confident`, slices whose newest verdict rejects them, by proposal; none that was
            ever accepted.
        joined: with `review: once`, slices that f marked for the first time in a round that was not reviewed, as that
            round proposed them; none that an expert judged.
        propagated: slices that nobody looked at, of proposals like others that were all accepted (`Review.propagate`).
        hosts: (case id, slice numbers) labelled clean, which bleeds are painted or pasted into.
        labelled: (case id, slice number, classes present) of slices without an accepted mask whose labels are taught.
        held_out: accepted slices of locked patients: never trained on, they have a say in the gate.
    """

    pixel: tuple[tuple[str, int, str], ...]
    validation: tuple[str, ...]
    accepted: tuple[AcceptedSlices, ...]
    clean: tuple[tuple[str, tuple[int, ...]], ...]
    new_slices: int
    rejected: tuple[AcceptedSlices, ...] = ()
    joined: tuple[AcceptedSlices, ...] = ()
    held_out: tuple[AcceptedSlices, ...] = ()
    hosts: tuple[tuple[str, tuple[int, ...]], ...] = ()
    labelled: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    propagated: tuple[AcceptedSlices, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        names = ("accepted", "rejected", "joined", "held_out", "propagated")
        groups = {name: [one.to_json() for one in getattr(self, name)] for name in names}
        stored = asdict(self) | groups
        return {
            name: value for name, value in stored.items() if value or name not in ("hosts", "labelled", "propagated")
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> TrainingSet:
        """From what the ledger kept."""
        return cls(
            pixel=tuple((case_id, slices, sha256) for case_id, slices, sha256 in stored["pixel"]),
            validation=tuple(stored["validation"]),
            accepted=_slices_from_json(stored["accepted"]),
            clean=tuple((case_id, tuple(numbers)) for case_id, numbers in stored["clean"]),
            new_slices=stored["new_slices"],
            rejected=_slices_from_json(stored.get("rejected", [])),  # ledgers of earlier versions have none
            joined=_slices_from_json(stored.get("joined", [])),
            hosts=tuple((case_id, tuple(numbers)) for case_id, numbers in stored.get("hosts", [])),
            labelled=tuple((case_id, n, tuple(present)) for case_id, n, present in stored.get("labelled", [])),
            held_out=_slices_from_json(stored.get("held_out", [])),
            propagated=_slices_from_json(stored.get("propagated", [])),
        )

    @property
    def sha256(self) -> str:
        """Hash of what is trained on."""
        body = {
            "pixel": self.pixel,
            "accepted": [a.to_json() for a in self.accepted],
            "clean": self.clean,
            **({"rejected": [r.to_json() for r in self.rejected]} if self.rejected else {}),
            **({"joined": [j.to_json() for j in self.joined]} if self.joined else {}),
            **({"hosts": self.hosts} if self.hosts else {}),
            **({"labelled": self.labelled} if self.labelled else {}),
            **({"propagated": [p.to_json() for p in self.propagated]} if self.propagated else {}),
        }
        return hashlib.sha256(canonical(body).encode()).hexdigest()

    def counts(self) -> dict[str, int]:
        """Number of slices by source."""
        return {
            "pixel": sum(slices for _, slices, _ in self.pixel),
            "accepted": sum(len(a.slices) for a in self.accepted),
            "clean": sum(len(numbers) for _, numbers in self.clean),
            "new": self.new_slices,
            **({"rejected": sum(len(r.slices) for r in self.rejected)} if self.rejected else {}),
            **({"joined": sum(len(j.slices) for j in self.joined)} if self.joined else {}),
            **({"propagated": sum(len(p.slices) for p in self.propagated)} if self.propagated else {}),
            **({"labelled": len(self.labelled)} if self.labelled else {}),
            **({"held_out": sum(len(h.slices) for h in self.held_out)} if self.held_out else {}),
        }

    @property
    def with_masks(self) -> int:
        """Number of slices with a mask: what shares of other slices are counted by."""
        masks = sum(slices for _, slices, _ in self.pixel)
        return masks + sum(len(one.slices) for one in self.proposed)

    @property
    def proposed(self) -> tuple[AcceptedSlices, ...]:
        """Slices that are trained on as proposed: accepted, by propagation, or joined without a verdict."""
        return (*self.accepted, *self.propagated, *self.joined)


def build_training_set(
    ledger: Ledger, method: Method, round_index: int, *, marked: CountMarked | None = None
) -> tuple[TrainingSet, tuple[int, int]]:
    """Collect what the next round trains on.

    Args:
        ledger: cases and judgements as they stand.
        method: which clean slices may join, and whether slices join that no expert was asked about.
        round_index: the round, for the seeded choice of slices with labels alone. Clean ones join from round 1 on.
        marked: f's marks on clean slices, for `clean_slices: false_positives`; None: they are a sample.

    Returns:
        The training set, and `Judgements.watermark`: what it knows of.
    """
    known = ledger.judgements.watermark()
    locked = locked_patients(ledger.cases.iterate(state=None))
    pixel, validation = [], []
    for case in ledger.cases.iterate(roles=[Role.PIXEL]):
        if patient_of(case) in locked:
            validation.append(case.case_id)
        else:
            pixel.append((case.case_id, case.slices, case.pixel_sha256 or ""))
    # Not of cases that were set aside since, nor of those that an expert drew a mask for.
    proposable: set[str] = set()
    kept_out: set[str] = set()
    for case in ledger.cases.iterate(roles=[Role.IMAGE, Role.UNLABELLED]):
        (kept_out if patient_of(case) in locked else proposable).add(case.case_id)
    standing = [one for one in ledger.judgements.standing() if one.verdict_id <= known[0]]
    judged = [one for one in standing if one.case_id in proposable]
    accepted = _accepted_slices(judged)
    new_slices = sum(len(one.slices) for one in accepted if one.new)
    joined: tuple[AcceptedSlices, ...] = ()
    if method.review == "once":
        joined = _joined_slices(ledger, judged, proposable, round_index)
        new_slices += sum(len(one.slices) for one in joined if one.new)
    propagated = _propagated_slices(ledger, proposable, known[0])
    new_slices += sum(len(one.slices) for one in propagated if one.new)
    rejected: tuple[AcceptedSlices, ...] = ()
    if method.training.rejects == "not_confident":
        rejected = _rejected_slices(judged)
    training_set = TrainingSet(
        pixel=tuple(pixel),
        validation=tuple(validation),
        accepted=accepted,
        clean=(),
        new_slices=new_slices,
        rejected=rejected,
        joined=joined,
        propagated=propagated,
        held_out=_accepted_slices(one for one in standing if one.case_id in kept_out),
    )
    return _with_labelled(ledger, method, round_index, training_set, proposable, marked), known


def _with_labelled(
    ledger: Ledger,
    method: Method,
    round_index: int,
    masks: TrainingSet,
    proposable: Collection[str],
    marked: CountMarked | None,
) -> TrainingSet:
    """The training set with what joins it for its image-level labels: `clean`, `hosts` and `labelled`."""
    training, cases = method.training, labelled_cases(ledger, proposable)
    taken = {(one.case_id, number) for one in masks.proposed for number in one.slices}
    clean, hosts, labelled = [], [], []
    if round_index > 0 and training.clean_slices == "unmarked":
        accepted = {(one.case_id, number) for one in masks.accepted for number in one.slices}
        clean = unmarked_slices(ledger, cases, accepted)
    elif round_index > 0 and method.use_image_labels:
        most = int(training.clean_share * masks.with_masks)
        clean = clean_slices(cases, method, round_index, most=most, marked=marked)
    if method.use_image_labels:
        hosts = host_slices(cases, method, round_index, with_masks=masks.with_masks)
    if method.use_image_labels and training.slice_label_weight:
        most = int(training.slice_label_share * masks.with_masks)
        labelled = taught_slices(cases, method, round_index, taken=taken, most=most)
    return replace(masks, clean=tuple(clean), hosts=tuple(hosts), labelled=tuple(labelled))


def expansion(ledger: Ledger, round_: RoundRecord) -> int:
    """New slices since a round's training set: accepted ones, if only by propagation, those of cases that became pixel
    cases, and those that the round marked for the first time, if nobody is asked about its proposals."""
    trained = TrainingSet.from_json(ledger.rounds.training_set(round_.round))
    pixel = {case_id for case_id, _, _ in trained.pixel} | set(trained.validation)
    new = ledger.judgements.count(unused=True)["accepted_slices"]
    new += sum(len(one.slices) for one in ledger.propagation.accepted() if _is_new(one, round_))
    new += sum(len(slices) for *_, slices in ledger.proposals.first_marked_unreviewed(round_.round))
    return new + sum(c.slices for c in ledger.cases.iterate(roles=[Role.PIXEL]) if c.case_id not in pixel)


def _by_proposal(
    judged: Iterable[Judgement],
) -> Iterator[tuple[tuple[str, int, str], dict[int, bool], bool]]:
    """((case id, round, proposal), whether each slice is accepted, whether no round has used it) by case and round."""
    for (case_id, round_index, sha256), group in groupby(judged, lambda j: (j.case_id, j.round, j.proposal_sha256)):
        judgements = list(group)
        yield (case_id, round_index, sha256), consensus(judgements), all(j.used_by is None for j in judgements)


def _accepted_slices(judged: Iterable[Judgement]) -> tuple[AcceptedSlices, ...]:
    accepted = []
    for proposal, slices, new in _by_proposal(judged):
        taken = tuple(number for number, ok in slices.items() if ok)
        if taken:
            accepted.append(AcceptedSlices(*proposal, taken, new=new))
    return tuple(accepted)


def _rejected_slices(judged: Collection[Judgement]) -> tuple[AcceptedSlices, ...]:
    """Every slice that was rejected and never accepted, as the newest proposal had it."""
    newest: dict[tuple[str, int], tuple[str, int, str]] = {}
    accepted: set[tuple[str, int]] = set()
    for proposal, slices, _ in _by_proposal(judged):  # by case, oldest round first
        for number, ok in slices.items():
            if ok:
                accepted.add((proposal[0], number))
            else:
                newest[proposal[0], number] = proposal
    by_proposal: dict[tuple[str, int, str], list[int]] = {}
    for (case_id, number), proposal in sorted(newest.items(), key=lambda item: item[0]):
        if (case_id, number) not in accepted:
            by_proposal.setdefault(proposal, []).append(number)
    return tuple(AcceptedSlices(*proposal, tuple(numbers)) for proposal, numbers in sorted(by_proposal.items()))


def _slices_from_json(stored: list[dict[str, Any]]) -> tuple[AcceptedSlices, ...]:
    return tuple(AcceptedSlices(**{**one, "slices": tuple(one["slices"])}) for one in stored)


def _propagated_slices(ledger: Ledger, proposable: Collection[str], newest: int) -> tuple[AcceptedSlices, ...]:
    """What is accepted by propagation, as far as it follows from verdicts up to this one: a later one can be taken back
    while the round trains."""
    before = ledger.rounds.current()
    return tuple(
        AcceptedSlices(one.case_id, one.round, one.proposal_sha256, one.slices, new=_is_new(one, before))
        for one in ledger.propagation.accepted()
        if one.case_id in proposable and max(one.verdict_ids) <= newest
    )


def _is_new(followed: Propagated, newest: RoundRecord | None) -> bool:
    """Whether no round trained on what is accepted by propagation: none knew all of the verdicts behind it."""
    return newest is None or max(followed.verdict_ids) > newest.last_verdict


def _joined_slices(
    ledger: Ledger, judged: Iterable[Judgement], proposable: Collection[str], round_index: int
) -> tuple[AcceptedSlices, ...]:
    """Slices that were marked for the first time by a round whose review did not open, without those judged since."""
    known = {(one.case_id, one.slice) for one in judged}
    joined = []
    for case_id, marked_in, sha256, slices in ledger.proposals.first_marked_unreviewed():
        left = tuple(number for number in slices if (case_id, number) not in known)
        if left and case_id in proposable:
            joined.append(AcceptedSlices(case_id, marked_in, sha256, left, new=marked_in == round_index - 1))
    return tuple(joined)
