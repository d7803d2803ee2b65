"""The ledger's clusters: alike proposals of which readers see a few; if these are accepted, the others follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, exists, func, insert, select

from recursive_expand.ledger.records import ProposalState
from recursive_expand.ledger.states import refresh
from recursive_expand.ledger.store import Store
from recursive_expand.ledger.tables import cluster_members, judgements, proposal_slices, proposals, verdicts


@dataclass(frozen=True)
class Cluster:
    """Alike proposals, by id.

    Attributes:
        verified: those that readers are asked about.
        others: those that follow.
    """

    verified: tuple[int, ...]
    others: tuple[int, ...]


@dataclass(frozen=True)
class Propagated:
    """A proposal that nobody judged and that counts as accepted: all verified ones of its cluster are.

    Attributes:
        case_id, round, proposal_sha256: of the proposal.
        slices: numbers of the slices that it marks.
        verdict_ids: the standing verdicts from which that follows.
    """

    case_id: str
    round: int
    proposal_sha256: str
    slices: tuple[int, ...]
    verdict_ids: tuple[int, ...]


class Propagation:
    """Clusters, and what is accepted by propagation: a state that follows from verdicts, never a verdict.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def form(self, round_index: int, clusters: Sequence[Cluster]) -> None:
        """Record a round's clusters before its review opens. A round that has some keeps those.

        Args:
            round_index: the round.
            clusters: disjoint, of its proposals.
        """
        of_round = cluster_members.c.round == round_index
        rows = [
            {"proposal_id": proposal_id, "round": round_index, "cluster": number, "verified": verified}
            for number, cluster in enumerate(clusters)
            for verified, members in ((True, cluster.verified), (False, cluster.others))
            for proposal_id in members
        ]
        with self._store.write() as connection:
            if not rows or connection.execute(select(exists().where(of_round))).scalar_one():
                return
            connection.execute(insert(cluster_members), rows)
            refresh(connection, proposals.c.round == round_index)
            self._store.record(
                connection, "clusters_formed", (cluster_members, of_round), round=round_index, clusters=len(clusters)
            )

    def waiting(self) -> set[int]:
        """Ids of open proposals that may still follow: none of their cluster's verified ones was rejected."""
        sample = cluster_members.alias("sample")
        rejected = (
            exists(judgements.c.slice)
            .where(
                sample.c.round == cluster_members.c.round,
                sample.c.cluster == cluster_members.c.cluster,
                sample.c.verified,
                verdicts.c.proposal_id == sample.c.proposal_id,
                verdicts.c.withdrawn.is_(None),
                judgements.c.verdict_id == verdicts.c.verdict_id,
                judgements.c.accepted.is_(False),
            )
            .correlate(cluster_members)
        )
        query = (
            select(proposals.c.proposal_id)
            .join(cluster_members, cluster_members.c.proposal_id == proposals.c.proposal_id)
            .where(
                cluster_members.c.verified.is_(False),
                proposals.c.state.in_((ProposalState.OPEN, ProposalState.HELD)),
                ~rejected,
            )
        )
        with self._store.read() as connection:
            return set(connection.execute(query).scalars())

    def accepted(self) -> list[Propagated]:
        """All that is accepted by propagation, by case and round."""
        with self._store.read() as connection:
            return _propagated(connection, proposals.c.state == ProposalState.PROPAGATED)

    def count(self, round_index: int) -> int:
        """Number of slices of a round's proposals that are accepted by propagation."""
        query = (
            select(func.count(proposal_slices.c.slice.distinct()))
            .join(proposals, proposals.c.proposal_id == proposal_slices.c.proposal_id)
            .where(proposals.c.round == round_index, proposals.c.state == ProposalState.PROPAGATED)
            .group_by(proposals.c.proposal_id)
        )
        with self._store.read() as connection:
            return sum(connection.execute(query).scalars())


def follow(store: Store, connection: Connection, proposal_id: int) -> None:
    """After a verdict on a proposal, or its withdrawal: write the states of those that follow it anew.

    The audit lists what was accepted by propagation thereby, and from which verdicts, or no longer is.

    Args:
        store: the database.
        connection: the transaction that changed the verdict.
        proposal_id: what the verdict is on.
    """
    this, mate = cluster_members.alias("this"), cluster_members.alias("mate")
    mates = select(mate.c.proposal_id).where(
        this.c.proposal_id == proposal_id,
        this.c.verified,
        mate.c.round == this.c.round,
        mate.c.cluster == this.c.cluster,
        mate.c.verified.is_(False),
    )
    ids = connection.execute(mates).scalars().all()
    if not ids:
        return
    followed = proposals.c.proposal_id.in_(ids) & (proposals.c.state == ProposalState.PROPAGATED)
    before = _propagated(connection, followed)
    refresh(connection, proposals.c.proposal_id.in_(ids))
    after = _propagated(connection, followed)
    if after and not before:
        store.record(connection, "propagated", cases=_named(after), verdicts=list(after[0].verdict_ids))
    if before and not after:
        store.record(connection, "unpropagated", cases=_named(before))


def _named(followed: Sequence[Propagated]) -> list[list[str]]:
    return [[one.case_id, one.proposal_sha256] for one in followed]


def _propagated(connection: Connection, where: ColumnElement[bool]) -> list[Propagated]:
    sample = cluster_members.alias("sample")
    query = (
        select(
            proposals.c.case_id,
            proposals.c.round,
            proposals.c.sha256,
            proposals.c.proposal_id,
            proposal_slices.c.slice,
            verdicts.c.verdict_id,
        )
        .join(proposal_slices, proposal_slices.c.proposal_id == proposals.c.proposal_id)
        .join(cluster_members, cluster_members.c.proposal_id == proposals.c.proposal_id)
        .join(sample, (sample.c.round == cluster_members.c.round) & (sample.c.cluster == cluster_members.c.cluster))
        .outerjoin(verdicts, (verdicts.c.proposal_id == sample.c.proposal_id) & verdicts.c.withdrawn.is_(None))
        .where(where, sample.c.verified)
        .order_by(proposals.c.case_id, proposals.c.round, proposals.c.proposal_id)
    )
    found = []
    for (case_id, round_index, sha256, _), group in groupby(connection.execute(query), lambda row: tuple(row[:4])):
        rows = list(group)
        slices, ids = ({row.slice for row in rows}, {row.verdict_id for row in rows} - {None})
        found.append(Propagated(case_id, round_index, sha256, tuple(sorted(slices)), tuple(sorted(ids))))
    return found
