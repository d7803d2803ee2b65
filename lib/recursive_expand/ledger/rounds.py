"""The ledger's rounds: the recursion's state machine, durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from recursive_expand.ledger.proposals import Proposals
from recursive_expand.ledger.records import RoundRecord, RoundState
from recursive_expand.ledger.store import utc_now
from recursive_expand.ledger.tables import rounds, verdicts

# A training set grows with the cases; it is read only where it is wanted.
_SELECT = select(*(column for column in rounds.c if column is not rounds.c.training_set))

RESUMABLE = (RoundState.TRAINING, RoundState.PROPOSING, RoundState.FAILED, RoundState.STOPPED)


class Rounds(Proposals):
    """Rounds and their models."""

    def current_round(self) -> RoundRecord | None:
        """The newest round, or None before the first."""
        with self.read() as connection:
            row = connection.execute(_SELECT.order_by(rounds.c.round.desc()).limit(1)).first()
        return _to_round(row) if row else None

    def list_rounds(self) -> list[RoundRecord]:
        """All rounds, oldest first."""
        with self.read() as connection:
            return [_to_round(row) for row in connection.execute(_SELECT.order_by(rounds.c.round))]

    def round(self, round_index: int) -> RoundRecord:
        """One round; it must exist."""
        with self.read() as connection:
            return _to_round(connection.execute(_SELECT.where(rounds.c.round == round_index)).one())

    def training_set(self, round_index: int) -> dict[str, Any]:
        """What a round trains on, as it recorded it at its start: one entry a case, so it may be large."""
        with self.read() as connection:
            return connection.execute(select(rounds.c.training_set).where(rounds.c.round == round_index)).scalar_one()

    def current_model(self) -> tuple[int, str] | None:
        """(round, SHA-256) of the newest published weights."""
        query = select(rounds.c.round, rounds.c.model).where(rounds.c.model.is_not(None))
        with self.read() as connection:
            row = connection.execute(query.order_by(rounds.c.round.desc()).limit(1)).first()
        return (row.round, row.model) if row else None

    def start_round(
        self,
        round_index: int,
        *,
        base_model: str | None,
        config: dict[str, Any],
        config_sha256: str,
        training_set: dict[str, Any],
        training_set_sha256: str,
        verdict_ids: Sequence[int],
        report: dict[str, Any],
    ) -> RoundRecord:
        """Open the next round with the training set that it will use; the verdicts in it can't be taken back now."""
        with self.write() as connection:
            connection.execute(
                update(rounds)
                .where(rounds.c.round == round_index - 1, rounds.c.state != RoundState.CLOSED)
                .values(state=RoundState.CLOSED, finished=func.coalesce(rounds.c.finished, utc_now()))
            )
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
                    report=report,
                )
            )
            for start in range(0, len(verdict_ids), 500):
                connection.execute(
                    update(verdicts)
                    .where(
                        verdicts.c.verdict_id.in_(list(verdict_ids[start : start + 500])), verdicts.c.used_by.is_(None)
                    )
                    .values(used_by=round_index)
                )
            self.record(
                connection,
                "round_started",
                round=round_index,
                base_model=base_model,
                config=config_sha256,
                training_set=training_set_sha256,
            )
        return self.round(round_index)

    def resume_round(self, round_index: int, *, config: dict[str, Any], config_sha256: str) -> RoundRecord:
        """Take up a round that was interrupted, stopped or failed, where it was.

        Args:
            round_index: the round.
            config, config_sha256: the task it goes on with. After a failure that may be another than it began with.
        """
        with self.write() as connection:
            row = connection.execute(select(rounds).where(rounds.c.round == round_index)).one()
            state = RoundState.PROPOSING if row.model is not None else RoundState.TRAINING
            values = {"state": state, "error": None, "attempts": row.attempts + 1}
            _set(connection, round_index, **values, config=config, config_sha256=config_sha256)
            self.record(connection, "round_resumed", round=round_index, state=state, config=config_sha256)
        return self.round(round_index)

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
        with self.write() as connection:
            row = connection.execute(select(rounds.c.report).where(rounds.c.round == round_index)).one()
            _set(
                connection,
                round_index,
                state=RoundState.PROPOSING,
                trained_model=trained_model,
                model=model,
                promoted=promoted,
                report=row.report | report,
                attempts=0,
            )
            self.record(
                connection,
                "model_published",
                round=round_index,
                trained_model=trained_model,
                model=model,
                promoted=promoted,
            )
        return self.round(round_index)

    def open_review(
        self,
        round_index: int,
        *,
        order: Sequence[int],
        report: dict[str, Any],
        scores: Mapping[int, float] | None = None,
    ) -> RoundRecord:
        """Every case is proposed: the queue opens.

        Args:
            round_index: the round.
            order: proposal ids as they are served.
            report: what to add to the round's report.
            scores: the probabilities of acceptance that the order rests on, by proposal id.
        """
        with self.write() as connection:
            self.order_queue(connection, order, scores or {})
            row = connection.execute(select(rounds.c.report).where(rounds.c.round == round_index)).one()
            _set(connection, round_index, state=RoundState.REVIEWING, report=row.report | report, attempts=0)
            self.record(connection, "review_opened", round=round_index, proposals=len(order))
        return self.round(round_index)

    def close_review(self, round_index: int, *, converged: bool, report: dict[str, Any]) -> RoundRecord:
        """The round's review is over: it expanded (the next round follows) or the recursion has converged."""
        state = RoundState.CONVERGED if converged else RoundState.CLOSED
        with self.write() as connection:
            row = connection.execute(select(rounds.c.report).where(rounds.c.round == round_index)).one()
            _set(connection, round_index, state=state, finished=utc_now(), report=row.report | report)
            self.record(connection, "converged" if converged else "review_closed", round=round_index, **report)
        return self.round(round_index)

    def reopen_review(self, round_index: int) -> None:
        """A converged round has proposals to judge again: cases were added."""
        with self.write() as connection:
            _set(connection, round_index, state=RoundState.REVIEWING, finished=None)
            self.record(connection, "review_reopened", round=round_index)

    def interrupt_round(self, round_index: int, *, error: str | None) -> None:
        """The round failed, for this reason, or (no error) was stopped by a person. The old model stays."""
        with self.write() as connection:
            row = connection.execute(select(rounds.c.state).where(rounds.c.round == round_index)).one()
            if row.state not in RESUMABLE:
                return
            state = RoundState.STOPPED if error is None else RoundState.FAILED
            _set(connection, round_index, state=state, error=error)
            self.record(connection, "round_failed" if error else "round_stopped", round=round_index, error=error)


def _set(connection: Connection, round_index: int, **values: Any) -> None:
    connection.execute(update(rounds).where(rounds.c.round == round_index).values(values))


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
        report=row.report,
        attempts=row.attempts,
    )
