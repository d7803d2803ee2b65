"""The ledger's rounds: the recursion's state machine, durable. Every transition is a compare-and-set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from recursive_expand.ledger import chain
from recursive_expand.ledger.chain import OPERATING_POINT, POINT
from recursive_expand.ledger.errors import MovedOn, OutdatedTrainingSet
from recursive_expand.ledger.judgement_queries import watermark
from recursive_expand.ledger.queue import reorder
from recursive_expand.ledger.records import CalibrationSlice, Features, RoundRecord, RoundState
from recursive_expand.ledger.states import refresh
from recursive_expand.ledger.store import Changed, Store, utc_now
from recursive_expand.ledger.tables import proposals, rounds

# Long columns, read only where they are wanted.
_LONG = (rounds.c.training_set, rounds.c.calibration)
_SELECT = select(*(column for column in rounds.c if all(column is not long for long in _LONG)))

RESUMABLE = (RoundState.TRAINING, RoundState.PROPOSING, RoundState.FAILED, RoundState.STOPPED)
"""States of a round that has not proposed everything yet."""
OVER = (RoundState.REVIEWING, RoundState.CLOSED, RoundState.CONVERGED)
"""States of a round whose own work, training and proposing, is done: the round that is due is the next one."""


class Rounds:
    """Rounds and their models.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self) -> RoundRecord | None:
        """The newest round, or None before the first."""
        with self._store.read() as connection:
            row = connection.execute(_SELECT.order_by(rounds.c.round.desc()).limit(1)).first()
        return _to_round(row) if row else None

    def all(self) -> list[RoundRecord]:
        """All rounds, oldest first."""
        with self._store.read() as connection:
            return [_to_round(row) for row in connection.execute(_SELECT.order_by(rounds.c.round))]

    def get(self, round_index: int) -> RoundRecord:
        """One round; it must exist."""
        with self._store.read() as connection:
            return _to_round(connection.execute(_SELECT.where(rounds.c.round == round_index)).one())

    def training_set(self, round_index: int) -> dict[str, Any]:
        """What a round trains on, as it recorded it at its start: one entry a case, so it may be large."""
        with self._store.read() as connection:
            return connection.execute(select(rounds.c.training_set).where(rounds.c.round == round_index)).scalar_one()

    def calibration(self, round_index: int) -> list[CalibrationSlice]:
        """What a round's model proposed on slices whose truth is known; empty where nothing was recorded."""
        with self._store.read() as connection:
            query = select(rounds.c.calibration).where(rounds.c.round == round_index)
            stored = connection.execute(query).scalar_one() or []
        return [CalibrationSlice(**one | {"features": Features(**one["features"])}) for one in stored]

    def current_model(self) -> tuple[int, str] | None:
        """(round, SHA-256) of the newest weights that propose: while a round chooses where to propose, those before."""
        query = _SELECT.where(rounds.c.model.is_not(None)).order_by(rounds.c.round.desc()).limit(2)
        with self._store.read() as connection:
            newest = [_to_round(row) for row in connection.execute(query)]
        return next(((one.round, one.model) for one in newest if one.model and one.may_propose), None)

    def start(
        self,
        round_index: int,
        *,
        base_model: str | None,
        config: dict[str, Any],
        config_sha256: str,
        training_set: dict[str, Any],
        training_set_sha256: str,
        known: tuple[int, int],
        report: dict[str, Any],
    ) -> RoundRecord:
        """Begin the next round with the training set that it will use; the verdicts in it can't be taken back now.

        Args:
            round_index: its number; the round before must be over, and is closed.
            base_model: the weights it starts from.
            config, config_sha256: the settings it runs under.
            training_set, training_set_sha256: what it trains on.
            known: `Judgements.watermark` when the training set was built.
            report: its first entries.

        Raises:
            OutdatedTrainingSet: a verdict was taken back since.
            MovedOn: the round before is not over, or this one was begun already.
        """
        with self._store.write() as connection:
            newest = connection.execute(select(func.max(rounds.c.round))).scalar()
            if (newest if newest is not None else -1) != round_index - 1:
                raise MovedOn(f"round {round_index} cannot begin: the newest round is {newest}")
            if watermark(connection, until=known[0]) != known:
                raise OutdatedTrainingSet("a verdict was taken back while the training set was built; build it again")
            changed: list[Changed] = []
            if round_index > 0:
                before = round_index - 1
                finished = func.coalesce(rounds.c.finished, utc_now())
                _move(connection, before, OVER, RoundState.CLOSED, finished=finished)
                changed.append(_this(before))
            connection.execute(
                insert(rounds).values(
                    round=round_index,
                    state=RoundState.TRAINING,
                    started=utc_now(),
                    base_model=base_model,
                    config=config,
                    config_sha256=config_sha256,
                    training_set=training_set,
                    training_set_sha256=training_set_sha256,
                    last_verdict=known[0],
                    head=chain.head(connection)[1],
                    report=report,
                    attempts=0,
                )
            )
            self._store.record(connection, "round_started", *changed, _this(round_index), round=round_index)
        return self.get(round_index)

    def open_imported(
        self, *, config: dict[str, Any], config_sha256: str, training_set: dict[str, Any], training_set_sha256: str
    ) -> RoundRecord:
        """Open the review of masks that other tools made: as round 0, which trains nothing and has no model.

        Args:
            config, config_sha256: the settings as they are.
            training_set, training_set_sha256: an empty one.

        Raises:
            MovedOn: a round was begun already.
        """
        with self._store.write() as connection:
            newest = connection.execute(select(func.max(rounds.c.round))).scalar()
            if newest is not None:
                raise MovedOn(f"imported masks are round 0's, and round {newest} was begun already")
            now = utc_now()
            connection.execute(
                insert(rounds).values(
                    round=0,
                    state=RoundState.REVIEWING,
                    started=now,
                    opened=now,
                    config=config,
                    config_sha256=config_sha256,
                    training_set=training_set,
                    training_set_sha256=training_set_sha256,
                    last_verdict=0,
                    head=chain.head(connection)[1],
                    report={},
                    attempts=0,
                )
            )
            self._store.record(connection, "imported_review_opened", _this(0), round=0)
        return self.get(0)

    def resume(self, round_index: int, *, config: dict[str, Any], config_sha256: str) -> RoundRecord:
        """Take up a round that was interrupted, stopped or failed, where it was.

        Args:
            round_index: the round.
            config, config_sha256: the settings it goes on with. After a failure they may be others than it began with.
        """
        with self._store.write() as connection:
            row = connection.execute(select(rounds).where(rounds.c.round == round_index)).one()
            state = RoundState.PROPOSING if row.model is not None else RoundState.TRAINING
            values = {"error": None, "attempts": row.attempts + 1, "config": config, "config_sha256": config_sha256}
            _move(connection, round_index, RESUMABLE, state, **values)
            self._store.record(connection, "round_resumed", _this(round_index), round=round_index, state=state)
        return self.get(round_index)

    def publish_model(
        self, round_index: int, *, trained_model: str, model: str, promoted: bool, report: dict[str, Any]
    ) -> RoundRecord:
        """The round has its model, whose file is durable: from now on proposals come from `model`.

        Args:
            round_index: the round.
            trained_model: the weights it made.
            model: the weights it proposes with: those, their mean with the old ones, or the old ones where the gate
                held them back.
            promoted: whether they are not the old ones.
            report: what to add to the round's report.
        """
        with self._store.write() as connection:
            values = {"trained_model": trained_model, "model": model, "promoted": promoted, "attempts": 0}
            values["report"] = _report(connection, round_index) | report
            _move(connection, round_index, (RoundState.TRAINING,), RoundState.PROPOSING, **values)
            self._store.record(connection, "model_published", _this(round_index), round=round_index, model=model)
        return self.get(round_index)

    def choose_operating_point(self, round_index: int, chosen: dict[str, Any]) -> RoundRecord:
        """The round has chosen where it proposes, under its present settings.

        Args:
            round_index: the round, which has its model.
            chosen: `thresholds` by class, perhaps `min_area` in mm^2, and what led to them, plain JSON; into the report
                as `operating_point`.
        """
        with self._store.write() as connection:
            config = connection.execute(
                select(rounds.c.config_sha256).where(rounds.c.round == round_index)
            ).scalar_one()
            report = _report(connection, round_index) | {"operating_point": chosen | {"config_sha256": config}}
            _move(connection, round_index, (RoundState.PROPOSING,), RoundState.PROPOSING, report=report)
            event = {"round": round_index} | {name: chosen[name] for name in POINT if name in chosen}
            self._store.record(connection, OPERATING_POINT, _this(round_index), **event)
        return self.get(round_index)

    def open_review(
        self,
        round_index: int,
        *,
        order: Sequence[int],
        report: dict[str, Any],
        scores: Mapping[int, float] | None = None,
        calibration: Sequence[CalibrationSlice] = (),
    ) -> RoundRecord:
        """Every case is proposed: the queue opens.

        Args:
            round_index: the round.
            order: proposal ids as they are served.
            report: what to add to the round's report.
            scores: the probabilities of acceptance that the order rests on, by proposal id.
            calibration: what its model proposes on slices whose truth is known.
        """
        with self._store.write() as connection:
            values = {"report": _report(connection, round_index) | report, "attempts": 0, "opened": utc_now()}
            values["calibration"] = [asdict(one) for one in calibration]
            _move(connection, round_index, (RoundState.PROPOSING,), RoundState.REVIEWING, **values)
            refresh(connection, proposals.c.round == round_index)
            reorder(connection, order, scores or {})
            self._store.record(connection, "review_opened", _this(round_index), round=round_index, proposals=len(order))
        return self.get(round_index)

    def close_review(self, round_index: int, *, converged: bool, report: dict[str, Any]) -> RoundRecord:
        """The round's review is over: it expanded (the next round follows) or the recursion has converged."""
        state = RoundState.CONVERGED if converged else RoundState.CLOSED
        with self._store.write() as connection:
            values = {"finished": utc_now(), "report": _report(connection, round_index) | report}
            _move(connection, round_index, (RoundState.REVIEWING,), state, **values)
            kind = "converged" if converged else "review_closed"
            self._store.record(connection, kind, _this(round_index), round=round_index, report=report)
        return self.get(round_index)

    def close_unreviewed(self, round_index: int, *, converged: bool, report: dict[str, Any]) -> RoundRecord:
        """Every case is proposed, and nobody is asked: the round expanded (the next one follows) or has converged.

        Its proposals stay held.
        """
        state = RoundState.CONVERGED if converged else RoundState.CLOSED
        with self._store.write() as connection:
            values = {"finished": utc_now(), "attempts": 0, "report": _report(connection, round_index) | report}
            _move(connection, round_index, (RoundState.PROPOSING,), state, **values)
            kind = "converged" if converged else "round_closed"
            self._store.record(connection, kind, _this(round_index), round=round_index, report=report)
        return self.get(round_index)

    def reopen_review(self, round_index: int) -> None:
        """A converged round has proposals to judge again: cases were added."""
        with self._store.write() as connection:
            _move(connection, round_index, (RoundState.CONVERGED,), RoundState.REVIEWING, finished=None)
            self._store.record(connection, "review_reopened", _this(round_index), round=round_index)

    def interrupt(self, round_index: int, *, error: str | None) -> None:
        """The round failed, for this reason, or (no error) was stopped by a person. The old model stays."""
        state = RoundState.STOPPED if error is None else RoundState.FAILED
        with self._store.write() as connection:
            try:
                _move(connection, round_index, RESUMABLE, state, error=error)
            except MovedOn:
                return
            kind = "round_failed" if error else "round_stopped"
            self._store.record(connection, kind, _this(round_index), round=round_index, error=error)


def _move(
    connection: Connection, round_index: int, expected: Sequence[RoundState], to: RoundState, **values: Any
) -> None:
    """Compare and set: the round goes to a state only from one of these."""
    moved = update(rounds).where(rounds.c.round == round_index, rounds.c.state.in_(expected)).values(state=to, **values)
    if connection.execute(moved).rowcount:
        return
    state = connection.execute(select(rounds.c.state).where(rounds.c.round == round_index)).scalar()
    raise MovedOn(
        f"round {round_index} is {state or 'not there'}; only from {' or '.join(expected)} can it become {to}"
    )


def _this(round_index: int) -> Changed:
    return rounds, rounds.c.round == round_index


def _report(connection: Connection, round_index: int) -> dict[str, Any]:
    return connection.execute(select(rounds.c.report).where(rounds.c.round == round_index)).scalar_one()


def _to_round(row: Row[Any]) -> RoundRecord:
    return RoundRecord(
        round=row.round,
        state=RoundState(row.state),
        error=row.error,
        started=row.started,
        finished=row.finished,
        base_model=row.base_model,
        trained_model=row.trained_model,
        model=row.model,
        promoted=row.promoted,
        config=row.config,
        config_sha256=row.config_sha256,
        training_set_sha256=row.training_set_sha256,
        last_verdict=row.last_verdict,
        head=row.head,
        report=row.report,
        attempts=row.attempts,
    )
