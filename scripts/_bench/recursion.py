"""A recursion of ours with a published model, made through the library's own functions."""

from __future__ import annotations

from pathlib import Path

from _bench.files import link
from _bench.material import CONF, TASK_FILE
from recursive_expand.expand.proposer import Proposer, cases_to_propose
from recursive_expand.expand.queue import order_for_review
from recursive_expand.expand.recursion import Recursion, open_recursion
from recursive_expand.expand.training_set import build_training_set
from recursive_expand.segment.predict import Predictor


def open_bench_recursion(studies: Path | str, conf: dict[str, str]) -> Recursion:
    """The recursion over a folder or a PACS, under the app's own settings."""
    return open_recursion(str(studies), TASK_FILE, {**CONF, **conf})


def begin_round(recursion: Recursion, model_sha256: str) -> None:
    """Begin round 0 and publish its model, as if it had been trained."""
    training_set, known = build_training_set(recursion.ledger, recursion.settings.method, 0)
    recursion.ledger.rounds.start(
        0,
        base_model=None,
        config=recursion.settings.round_config(),
        config_sha256="0" * 64,
        training_set=training_set.to_json(),
        training_set_sha256=training_set.sha256,
        known=known,
        report={},
    )
    recursion.ledger.rounds.publish_model(0, trained_model=model_sha256, model=model_sha256, promoted=True, report={})


def publish(recursion: Recursion, weights: Path, sha256: str) -> None:
    """Begin round 0 with these weights."""
    link(weights, recursion.workspace.model(sha256))
    begin_round(recursion, sha256)


def propose_all(recursion: Recursion) -> None:
    """Propose every case that round 0 has not proposed."""
    model = recursion.ledger.rounds.get(0).model
    assert model is not None
    predictor = Predictor(recursion.settings, recursion.network(model))  # on the CPU
    proposer = Proposer(recursion, 0, model, predictor)
    for _ in proposer.propose(cases_to_propose(recursion, 0)):
        pass


def open_review(recursion: Recursion) -> None:
    """Open round 0's review over the proposals there are."""
    order, scores = order_for_review(recursion, recursion.ledger.queue.candidates(round_index=0))
    recursion.ledger.rounds.open_review(0, order=order, report={}, scores=scores)
