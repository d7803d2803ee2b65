"""What is listed of every usable case's labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from recursive_expand.ledger.records import CaseState, ProposalState, VerdictKind
from recursive_expand.ledger.states import has_label, shown
from recursive_expand.ledger.store import Store
from recursive_expand.ledger.tables import cases, label_notes, proposals, verdicts


@dataclass(frozen=True)
class StandingVerdict:
    """A verdict that stands, in brief; see `VerdictRecord`."""

    round: int
    verdict: VerdictKind
    reviewer: str
    comment: str | None
    ts: str


@dataclass(frozen=True)
class ListedCase:
    """A usable case with its labels.

    Attributes:
        case_id: its id.
        info: what clients attached to the image; name: what they call its file.
        tags: of its label objects: `final`, `rejected`.
        rounds: that made a proposal, in order; newest: the state of the last one.
        verdicts: those that stand, oldest first.
        notes: what clients attached to its labels, by tag.
    """

    case_id: str
    info: dict[str, Any]
    name: str
    tags: tuple[str, ...]
    rounds: tuple[int, ...]
    newest: ProposalState | None
    verdicts: tuple[StandingVerdict, ...]
    notes: dict[str, dict[str, Any]]


class Listing:
    """All cases at once.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def cases(self) -> Iterator[ListedCase]:
        """Every usable case by id: in one transaction, with one query a table."""
        with self._store.read() as connection:
            made: dict[str, list[tuple[int, ProposalState]]] = {}
            proposed = select(proposals.c.case_id, proposals.c.round, proposals.c.state).where(shown())
            in_order = proposed.order_by(proposals.c.round, proposals.c.chance)
            for case_id, number, state in connection.execute(in_order):
                made.setdefault(case_id, []).append((number, ProposalState(state)))
            said: dict[str, list[StandingVerdict]] = {}
            brief = (getattr(verdicts.c, name) for name in ("round", "verdict", "reviewer", "comment", "ts"))
            standing = select(verdicts.c.case_id, *brief).where(verdicts.c.withdrawn.is_(None))
            for case_id, number, kind, *rest in connection.execute(standing.order_by(verdicts.c.verdict_id)):
                said.setdefault(case_id, []).append(StandingVerdict(number, VerdictKind(kind), *rest))
            notes: dict[str, dict[str, dict[str, Any]]] = {}
            for case_id, tag, info in connection.execute(select(label_notes)):
                notes.setdefault(case_id, {})[tag] = info
            query = select(
                cases.c.case_id,
                cases.c.info,
                cases.c.name,
                has_label("final").label("final"),
                has_label("rejected").label("rejected"),
            )
            for row in connection.execute(query.where(cases.c.state == CaseState.READY).order_by(cases.c.case_id)):
                rounds = made.get(row.case_id, [])
                yield ListedCase(
                    case_id=row.case_id,
                    info=row.info,
                    name=row.name,
                    tags=tuple(tag for tag, has in (("final", row.final), ("rejected", row.rejected)) if has),
                    rounds=tuple(dict.fromkeys(number for number, _ in rounds)),
                    newest=rounds[-1][1] if rounds else None,
                    verdicts=tuple(said.get(row.case_id, ())),
                    notes=notes.get(row.case_id, {}),
                )
