"""The ledger's cases: what is in the study, in which role, and what was set aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, literal_column, select, update

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.ledger.errors import UnknownCase
from recursive_expand.ledger.records import CaseRecord, CaseState
from recursive_expand.ledger.states import MASKED_ROLES, has_label, refresh, settled
from recursive_expand.ledger.store import Store, chunks
from recursive_expand.ledger.tables import cases, label_notes, leases, proposals, set_aside_rows


@dataclass(frozen=True)
class CaseEntry:
    """A case as it is registered: see `CaseRecord`."""

    case_id: str
    role: Role
    name: str
    signature: str
    slices: int = 0
    reason: str | None = None
    image_labels: dict[int | None, ImageLabels] = field(default_factory=dict)
    pixel_sha256: str | None = None
    patient: str | None = None
    series_instance_uid: str | None = None


class Cases:
    """Cases and their roles.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def register(self, entries: Sequence[CaseEntry]) -> None:
        """Add cases, or renew those whose image, labels or state changed. A case that was ever usable keeps its role.

        A case that was in use keeps its verdicts; only where it came from, its labels and its state are renewed.
        """
        if not entries:
            return
        with self._store.write() as connection:
            ids = [entry.case_id for entry in entries]
            settled_roles: dict[str, str | None] = {}  # of known cases; None where it was never usable
            for part in chunks(ids):
                known = select(cases.c.case_id, cases.c.role, cases.c.slices).where(cases.c.case_id.in_(part))
                settled_roles |= {row.case_id: row.role if row.slices else None for row in connection.execute(known)}
            for entry in entries:
                self._register(connection, entry, settled_roles)
            for part in chunks(ids):
                refresh(connection, proposals.c.case_id.in_(part))
                changed = (cases, cases.c.case_id.in_(part))
                self._store.record(connection, "cases_registered", changed, case_ids=list(part))

    def _register(self, connection: Connection, entry: CaseEntry, settled_roles: dict[str, str | None]) -> None:
        values: dict[str, Any] = {
            "state": CaseState.SET_ASIDE if entry.reason else CaseState.READY,
            "reason": entry.reason,
            "name": entry.name,
            "signature": entry.signature,
            "slices": entry.slices,
            "image_labels": _labels_to_json(entry.image_labels),
            "pixel_sha256": entry.pixel_sha256,
            "patient": entry.patient,
            "series_instance_uid": entry.series_instance_uid,
        }
        role = settled_roles.get(entry.case_id)
        if role is None:
            values["role"] = entry.role
        elif entry.reason:
            # What was known of it while it was usable is needed again once it is mended.
            values = {key: values[key] for key in ("state", "reason", "signature")}
        elif entry.pixel_sha256 is None or role not in MASKED_ROLES:
            del values["pixel_sha256"]
        if entry.case_id in settled_roles:
            connection.execute(update(cases).where(cases.c.case_id == entry.case_id).values(values))
        else:
            new = {"case_id": entry.case_id, "info": {}, "validation": False}
            connection.execute(insert(cases).values(values | new))

    def set_aside(self, case_id: str, reason: str) -> None:
        """Keep a case out until its image is looked at again, with the reason."""
        with self._store.write() as connection:
            values = {"state": CaseState.SET_ASIDE, "reason": reason, "signature": ""}
            changed = update(cases).where(cases.c.case_id == case_id, cases.c.state == CaseState.READY).values(values)
            if connection.execute(changed).rowcount == 0:
                return
            refresh(connection, proposals.c.case_id == case_id)
            this = (cases, cases.c.case_id == case_id)
            self._store.record(connection, "case_set_aside", this, case_id=case_id, reason=reason)

    def note_rows_set_aside(self, rows: Iterable[tuple[str, str]]) -> None:
        """Replace the list of (source, reason) of input that names no case: CSV rows, duplicate ids."""
        values = [{"source": source, "reason": reason} for source, reason in dict(rows).items()]
        with self._store.write() as connection:
            connection.execute(delete(set_aside_rows))
            if values:
                connection.execute(insert(set_aside_rows), values)

    def list_set_aside(self) -> list[tuple[str, str]]:
        """(source, reason) of everything that was set aside, cases first."""
        with self._store.read() as connection:
            aside = select(cases.c.case_id, cases.c.reason).where(cases.c.state == CaseState.SET_ASIDE)
            found = [(row.case_id, row.reason) for row in connection.execute(aside.order_by(cases.c.case_id))]
            rows = connection.execute(select(set_aside_rows).order_by(set_aside_rows.c.source))
            return found + [(row.source, row.reason) for row in rows]

    def signatures(self) -> dict[str, str]:
        """Signature of every known image, by case id."""
        with self._store.read() as connection:
            return {
                row.case_id: row.signature for row in connection.execute(select(cases.c.case_id, cases.c.signature))
            }

    def get(self, case_id: str) -> CaseRecord:
        """The case with this id.

        Raises:
            UnknownCase: where the study has none.
        """
        with self._store.read() as connection:
            row = connection.execute(select(cases).where(cases.c.case_id == case_id)).first()
        if row is None:
            raise UnknownCase(case_id)
        return _to_case(row)

    def iterate(
        self, *, roles: Iterable[Role] = tuple(Role), state: CaseState | None = CaseState.READY, unsettled: bool = False
    ) -> Iterator[CaseRecord]:
        """Cases in order of id, read a thousand at a time.

        Args:
            roles: only these roles.
            state: only this state; None for any.
            unsettled: only cases of which something can still be proposed.
        """
        after, wanted = "", list(roles)
        # Cases of several roles are met on the way through all of them: from the index by role, which would give them
        # role by role, SQLite would sort what is left for every thousand. (A `+` keeps it from taking that index.)
        of_role = cases.c.role == wanted[0] if len(wanted) == 1 else literal_column("+cases.role").in_(wanted)
        while True:
            query = select(cases).where(of_role, cases.c.case_id > after)
            if state is not None:
                query = query.where((cases.c.state if len(wanted) == 1 else literal_column("+cases.state")) == state)
            if unsettled:
                query = query.where(~settled())
            with self._store.read() as connection:
                page = [_to_case(row) for row in connection.execute(query.order_by(cases.c.case_id).limit(1000))]
            yield from page
            if len(page) < 1000:
                return
            after = page[-1].case_id

    def any_of(self, role: Role) -> bool:
        """Whether there is a usable case of this role."""
        query = select(cases.c.case_id).where(cases.c.state == CaseState.READY, cases.c.role == role)
        with self._store.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def ids(self, *, tag: str | None = None, labelled: bool | None = None) -> list[str]:
        """Ids of usable cases; with `labelled`, only those that have (or have not) a label object with this tag."""
        query = select(cases.c.case_id).where(cases.c.state == CaseState.READY)
        if labelled is not None:
            query = query.where(has_label(tag) if labelled else ~has_label(tag))
        with self._store.read() as connection:
            return list(connection.execute(query.order_by(cases.c.case_id)).scalars())

    def unlabelled(self, *, roles: Iterable[Role], first: bool) -> str | None:
        """A usable case of these roles without a final label: the first by id, or a random one."""
        query = select(cases.c.case_id).where(
            cases.c.state == CaseState.READY, cases.c.role.in_(list(roles)), ~has_label("final")
        )
        with self._store.read() as connection:
            return connection.execute(query.order_by(cases.c.case_id if first else func.random()).limit(1)).scalar()

    def update_info(self, case_id: str, info: dict[str, Any]) -> None:
        """Merge what a client says about an image into its info."""
        with self._store.write() as connection:
            row = connection.execute(select(cases.c.info).where(cases.c.case_id == case_id)).first()
            if row is None:
                raise UnknownCase(case_id)
            connection.execute(update(cases).where(cases.c.case_id == case_id).values(info=row.info | info))

    def update_label_note(self, case_id: str, tag: str, info: dict[str, Any]) -> None:
        """Merge what a client says about a label into its note (the verdict's own fields are not kept here)."""
        with self._store.write() as connection:
            where = (label_notes.c.case_id == case_id) & (label_notes.c.tag == tag)
            row = connection.execute(select(label_notes.c.info).where(where)).first()
            if row is None:
                connection.execute(insert(label_notes).values(case_id=case_id, tag=tag, info=info))
            else:
                connection.execute(update(label_notes).where(where).values(info=row.info | info))

    def label_note(self, case_id: str, tag: str) -> dict[str, Any]:
        """What clients said about a label."""
        with self._store.read() as connection:
            where = (label_notes.c.case_id == case_id) & (label_notes.c.tag == tag)
            row = connection.execute(select(label_notes.c.info).where(where)).first()
        return dict(row.info) if row else {}

    def promote_to_pixel(self, case_id: str, *, reviewer: str, sha256: str) -> None:
        """Take an expert mask for a case: it joins the pixel set from the next round on."""
        with self._store.write() as connection:
            values = {"role": Role.PIXEL, "pixel_sha256": sha256}
            if connection.execute(update(cases).where(cases.c.case_id == case_id).values(values)).rowcount == 0:
                raise UnknownCase(case_id)
            refresh(connection, proposals.c.case_id == case_id)
            connection.execute(delete(leases).where(leases.c.case_id == case_id))
            this = (cases, cases.c.case_id == case_id)
            self._store.record(connection, "expert_mask", this, case_id=case_id, reviewer=reviewer, mask_sha256=sha256)

    def lock_validation(self, case_ids: Iterable[str]) -> None:
        """Lock these cases, for good: they are never trained on."""
        chosen = sorted(case_ids)
        with self._store.write() as connection:
            for part in chunks(chosen):
                connection.execute(update(cases).where(cases.c.case_id.in_(part)).values(validation=True))
            changed = [(cases, cases.c.case_id.in_(part)) for part in chunks(chosen)]
            self._store.record(connection, "validation_locked", *changed, case_ids=chosen)

    def count_by_role(self) -> dict[str, int]:
        """Number of usable cases by role."""
        counts = {role.value: 0 for role in Role}
        query = select(cases.c.role, func.count()).where(cases.c.state == CaseState.READY).group_by(cases.c.role)
        with self._store.read() as connection:
            counts.update({role: count for role, count in connection.execute(query)})
        return counts

    def count_labels(self) -> tuple[int, int]:
        """(usable cases, those with a final label)."""
        usable = select(func.count()).select_from(cases).where(cases.c.state == CaseState.READY)
        with self._store.read() as connection:
            total = connection.execute(usable).scalar_one()
            return total, connection.execute(usable.where(has_label("final"))).scalar_one()


_WHOLE_CASE = "case"
"""What stands in the table for a label of the whole case, in place of a slice number."""


def _labels_to_json(labels: dict[int | None, ImageLabels]) -> dict[str, list[str]]:
    return {_WHOLE_CASE if number is None else str(number): sorted(one.present) for number, one in labels.items()}


def _labels_from_json(stored: dict[str, list[str]]) -> dict[int | None, ImageLabels]:
    return {
        None if number == _WHOLE_CASE else int(number): ImageLabels(frozenset(present))
        for number, present in stored.items()
    }


def _to_case(row: Row[Any]) -> CaseRecord:
    return CaseRecord(
        case_id=row.case_id,
        role=Role(row.role),
        state=CaseState(row.state),
        reason=row.reason,
        name=row.name,
        signature=row.signature,
        slices=row.slices,
        image_labels=_labels_from_json(row.image_labels),
        pixel_sha256=row.pixel_sha256,
        validation=row.validation,
        info=row.info,
        patient=row.patient,
        series_instance_uid=row.series_instance_uid,
    )
