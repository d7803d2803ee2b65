"""The ledger's proposals: frozen masks, what they mark slice by slice, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, insert, select

from recursive_expand.cases import Role
from recursive_expand.ledger.errors import LedgerError, OutdatedDraft
from recursive_expand.ledger.records import (
    CaseState,
    ProposalDraft,
    ProposalRecord,
    ProposalState,
    ProposedSlice,
    Rejected,
)
from recursive_expand.ledger.states import refresh, shown
from recursive_expand.ledger.store import Store, chunks
from recursive_expand.ledger.tables import cases, judgements, leases, proposal_slices, proposals, rounds, verdicts


class Proposals:
    """Proposals.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def freeze(
        self, round_index: int, draft: ProposalDraft, *, serve: bool = False, judged: Collection[int] | None = None
    ) -> ProposalRecord:
        """Record a proposal whose files are durable; the case's undecided older one is superseded.

        A case has one first proposal a round, and one second chance: if it has that already, it stands and is returned.

        Args:
            round_index: the round it belongs to.
            draft: what is frozen.
            serve: put it at the end of the queue at once (it was made outside the round's bulk proposing).
            judged: ids of the case's standing verdicts that the draft takes account of, if it does.

        Raises:
            OutdatedDraft: those are no longer the case's standing verdicts.
        """
        with self._store.write() as connection:
            this = _of_round(draft.case_id, round_index).where(proposals.c.chance == draft.chance)
            existing = connection.execute(this).first()
            if existing:
                return to_proposals(connection, [existing])[0]
            standing = select(verdicts.c.verdict_id).where(
                verdicts.c.case_id == draft.case_id, verdicts.c.withdrawn.is_(None)
            )
            if judged is not None and set(connection.execute(standing).scalars()) != set(judged):
                raise OutdatedDraft(f"case {draft.case_id!r} was judged while it was proposed anew; propose it again")
            made_as = ProposalState.OPEN if draft.marked else ProposalState.EMPTY
            if draft.unchanged:
                made_as = ProposalState.UNCHANGED
            features = draft.features
            inserted = connection.execute(
                insert(proposals).values(
                    case_id=draft.case_id,
                    round=round_index,
                    chance=draft.chance,
                    follows=draft.follows,
                    sha256=draft.sha256,
                    model_sha256=draft.model_sha256,
                    tool=draft.tool,
                    file=draft.file,
                    made_as=made_as,
                    served=serve,
                    state=made_as,
                    unchanged_slices=list(draft.unchanged_slices),
                    confidence=draft.confidence,
                    leading_class=_leading_class(draft),
                    log_area=features.log_area if features else None,
                    components=features.components if features else None,
                    flip_dice=features.flip_dice if features else None,
                    snapshot_dice=features.snapshot_dice if features else None,
                    sort_key=last_key(),
                )
            )
            (proposal_id,) = inserted.inserted_primary_key or (None,)
            assert proposal_id is not None
            _insert_slices(connection, proposal_id, draft.marked)
            refresh(connection, proposals.c.case_id == draft.case_id)
            connection.execute(delete(leases).where(leases.c.case_id == draft.case_id))
            self._store.record(
                connection,
                "proposal_frozen",
                (proposals, proposals.c.proposal_id == proposal_id),
                (proposal_slices, proposal_slices.c.proposal_id == proposal_id),
                case_id=draft.case_id,
                round=round_index,
                proposal=draft.sha256,
            )
            return to_proposals(connection, [connection.execute(this).one()])[0]

    def proposed_in(self, round_index: int) -> set[str]:
        """Ids of the cases that have a proposal of this round."""
        with self._store.read() as connection:
            return set(
                connection.execute(select(proposals.c.case_id).where(proposals.c.round == round_index)).scalars()
            )

    def of_case(self, case_id: str) -> list[ProposalRecord]:
        """All proposals of a case, oldest first."""
        of_case = select(proposals).where(proposals.c.case_id == case_id)
        query = of_case.order_by(proposals.c.round, proposals.c.chance)
        with self._store.read() as connection:
            return to_proposals(connection, connection.execute(query).all())

    def current(self, case_id: str) -> ProposalRecord | None:
        """The newest proposal of a case, decided or not; a second chance while its rejection stands."""
        with self._store.read() as connection:
            return latest_proposal(connection, case_id)

    def get(self, proposal_id: int) -> ProposalRecord:
        """One proposal."""
        query = select(proposals).where(proposals.c.proposal_id == proposal_id)
        with self._store.read() as connection:
            return to_proposals(connection, connection.execute(query).all())[0]

    def of_round(self, case_id: str, round_index: int, *, sha256: str | None = None) -> ProposalRecord | None:
        """A case's proposal of one round.

        Args:
            case_id: the case.
            round_index: the round.
            sha256: the one of this hash, the first or the second chance; None: the newest, as `current` has it.
        """
        query = _of_round(case_id, round_index)
        if sha256 is None:
            query = query.where(shown()).order_by(proposals.c.chance.desc())
        else:  # of one hash are both only where the second chance is unchanged, and never shown
            query = query.where(proposals.c.sha256 == sha256).order_by(proposals.c.chance)
        with self._store.read() as connection:
            rows = connection.execute(query.limit(1)).all()
            return next(iter(to_proposals(connection, rows)), None)

    def without_second_chance(self, round_index: int) -> list[Rejected]:
        """A round's first proposals of usable cases that stand rejected, whole or in part, and have had none yet.

        Imported masks are none of them: nothing is known of how sure their tool was of a voxel.
        """
        second = proposals.alias("second")
        had = exists(second.c.proposal_id).where(
            second.c.case_id == proposals.c.case_id, second.c.round == proposals.c.round, second.c.chance > 0
        )
        query = (
            select(proposals, verdicts.c.verdict_id, judgements.c.slice)
            .join(verdicts, verdicts.c.proposal_id == proposals.c.proposal_id)
            .join(judgements, judgements.c.verdict_id == verdicts.c.verdict_id)
            .join(cases, cases.c.case_id == proposals.c.case_id)
            .where(
                proposals.c.round == round_index,
                proposals.c.chance == 0,
                proposals.c.tool.is_(None),
                verdicts.c.withdrawn.is_(None),
                judgements.c.accepted.is_(False),
                cases.c.state == CaseState.READY,
                cases.c.role.in_((Role.IMAGE, Role.UNLABELLED)),
                ~had.correlate(proposals),
            )
            .order_by(proposals.c.proposal_id, judgements.c.slice)
        )
        with self._store.read() as connection:
            by_proposal = groupby(connection.execute(query).all(), lambda row: row.proposal_id)
            rows = [list(found) for _, found in by_proposal]
            records = to_proposals(connection, [found[0] for found in rows])
        return [
            Rejected(
                record,
                found[0].verdict_id,
                tuple(row.slice for row in found),
                found[0].flip_dice,
                found[0].snapshot_dice,
            )
            for record, found in zip(records, rows, strict=True)
        ]

    def marked(self, proposal_id: int) -> list[ProposedSlice]:
        """What a proposal marks, by slice and class."""
        columns = proposal_slices.c
        query = select(columns.slice, columns["class"], columns.voxels, columns.confidence)
        in_order = query.where(columns.proposal_id == proposal_id).order_by(columns.slice, columns["class"])
        with self._store.read() as connection:
            return [ProposedSlice(*row) for row in connection.execute(in_order)]

    def first_marked_unreviewed(self, round_index: int | None = None) -> list[tuple[str, int, str, tuple[int, ...]]]:
        """Slices that no earlier proposal of their case marked, of rounds whose review never opened.

        Args:
            round_index: of this round alone.

        Returns:
            (case id, round, the proposal's SHA-256, slice numbers), by case and round.
        """
        of_slice = select(proposals.c.case_id, proposal_slices.c.slice, func.min(proposals.c.round).label("round"))
        joined = of_slice.join(proposal_slices, proposal_slices.c.proposal_id == proposals.c.proposal_id)
        first = joined.group_by(proposals.c.case_id, proposal_slices.c.slice).subquery()
        this = (proposals.c.case_id == first.c.case_id) & (proposals.c.round == first.c.round)
        query = (
            select(first.c.case_id, first.c.round, proposals.c.sha256, first.c.slice)
            .join(proposals, this)
            .join(rounds, rounds.c.round == first.c.round)
            .where(rounds.c.opened.is_(None))
            .order_by(first.c.case_id, first.c.round, first.c.slice)
        )
        if round_index is not None:
            query = query.where(first.c.round == round_index)
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        return [(*key, tuple(row.slice for row in group)) for key, group in groupby(rows, lambda row: tuple(row[:3]))]

    def files(self) -> set[str]:
        """The files of all proposals, relative to the workspace."""
        with self._store.read() as connection:
            return set(connection.execute(select(proposals.c.file)).scalars())

    def uncounted(self) -> list[ProposalRecord]:
        """Proposals with a slice of which it is not known how much it marks: those of a ledger of 0.1.0."""
        some = select(proposal_slices.c.proposal_id).where(proposal_slices.c.voxels == 0)
        query = select(proposals).where(proposals.c.proposal_id.in_(some)).order_by(proposals.c.proposal_id)
        with self._store.read() as connection:
            return to_proposals(connection, connection.execute(query).all())

    def recount(self, proposal_id: int, marked: Sequence[ProposedSlice]) -> None:
        """Replace what is known of a proposal's slices by what was counted in its mask.

        Args:
            proposal_id: the proposal.
            marked: what its mask marks, by slice and class.

        Raises:
            LedgerError: other slices are marked than those which were proposed, and maybe judged.
        """
        this = proposal_slices.c.proposal_id == proposal_id
        with self._store.write() as connection:
            key = select(proposal_slices.c.proposal_id, proposal_slices.c.slice, proposal_slices.c["class"])
            before = [tuple(row) for row in connection.execute(key.where(this))]
            proposed, counted = ({number for _, number, _ in before}, {one.slice for one in marked})
            if proposed != counted:
                raise LedgerError(
                    f"the mask of proposal {proposal_id} marks the slices {sorted(counted)}, but {sorted(proposed)} "
                    "were proposed: its file is not the one that was frozen; restore it from a backup"
                )
            connection.execute(delete(proposal_slices).where(this))
            _insert_slices(connection, proposal_id, marked)
            after = {(proposal_id, one.slice, one.class_name) for one in marked}
            removed = {proposal_slices.name: [list(one) for one in before if one not in after]}
            counts = (proposal_slices, this)
            self._store.record(connection, "proposal_recounted", counts, removed=removed, proposal_id=proposal_id)

    def count(self, round_index: int) -> dict[str, int]:
        """Number of a round's first proposals by state."""
        return self._count(round_index, proposals.c.chance == 0)

    def count_second(self, round_index: int) -> dict[str, int]:
        """Number of a round's second chances by state; empty and unchanged ones were none, and are left out."""
        return self._count(round_index, (proposals.c.chance > 0) & (proposals.c.made_as == ProposalState.OPEN))

    def _count(self, round_index: int, which: ColumnElement[bool]) -> dict[str, int]:
        counts = {state.value: 0 for state in ProposalState}
        query = select(proposals.c.state, func.count()).where(proposals.c.round == round_index, which)
        with self._store.read() as connection:
            counts.update({s: n for s, n in connection.execute(query.group_by(proposals.c.state))})
        return counts


def latest_proposal(connection: Connection, case_id: str) -> ProposalRecord | None:
    """The newest proposal of a case, within a transaction."""
    of_case = select(proposals).where(proposals.c.case_id == case_id, shown())
    query = of_case.order_by(proposals.c.round.desc(), proposals.c.chance.desc()).limit(1)
    return next(iter(to_proposals(connection, connection.execute(query).all())), None)


def to_proposals(connection: Connection, rows: Sequence[Row[Any]]) -> list[ProposalRecord]:
    """Rows of the proposals table as records, in their order."""
    slices: dict[int, set[int]] = {}
    voxels: dict[int, dict[str, int]] = {}
    columns = proposal_slices.c
    for part in chunks([row.proposal_id for row in rows]):
        marked = select(columns.proposal_id, columns.slice, columns["class"], columns.voxels)
        for proposal_id, number, name, count in connection.execute(marked.where(columns.proposal_id.in_(part))):
            slices.setdefault(proposal_id, set()).add(number)
            by_class = voxels.setdefault(proposal_id, {})
            by_class[name] = by_class.get(name, 0) + count
    return [
        ProposalRecord(
            proposal_id=row.proposal_id,
            case_id=row.case_id,
            round=row.round,
            sha256=row.sha256,
            model_sha256=row.model_sha256,
            file=row.file,
            state=ProposalState(row.state),
            slices=tuple(sorted(slices.get(row.proposal_id, ()))),
            unchanged_slices=tuple(row.unchanged_slices),
            voxels=dict(sorted(voxels.get(row.proposal_id, {}).items())),
            confidence=row.confidence,
            score=row.score,
            tool=row.tool,
            chance=row.chance,
        )
        for row in rows
    ]


def _insert_slices(connection: Connection, proposal_id: int, marked: Sequence[ProposedSlice]) -> None:
    rows = [
        {
            "proposal_id": proposal_id,
            "slice": one.slice,
            "class": one.class_name,
            "voxels": one.voxels,
            "confidence": one.confidence,
        }
        for one in marked
    ]
    if rows:
        connection.execute(insert(proposal_slices), rows)


def last_key() -> Any:
    """The sort key behind all others, as an expression."""
    return select(func.coalesce(func.max(proposals.c.sort_key), -1) + 1).scalar_subquery()


def _of_round(case_id: str, round_index: int) -> Any:
    return select(proposals).where(proposals.c.case_id == case_id, proposals.c.round == round_index)


def _leading_class(draft: ProposalDraft) -> str | None:
    """The class with most voxels; the first of equals, in the order in which they are given."""
    voxels: dict[str, int] = {}
    for one in draft.marked:
        voxels[one.class_name] = voxels.get(one.class_name, 0) + one.voxels
    return max(voxels, key=lambda name: voxels[name], default=None)
