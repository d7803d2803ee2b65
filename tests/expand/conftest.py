"""What tests of the recursion do with one: give verdicts, change settings, begin a round by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.judging import Answer, judge
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import Actor, RoundRecord, VerdictKind, VerdictRecord
from recursive_expand.settings import Settings, load_settings


def _say(
    recursion: Recursion, case_id: str, kind: VerdictKind, rejected: Sequence[int] = (), *, reader: str = "ann"
) -> VerdictRecord:
    """A reader's verdict on a case's newest proposal, through the one door."""
    proposal = recursion.ledger.proposals.current(case_id)
    assert proposal is not None
    answer = Answer(kind, rejected_slices=tuple(rejected))
    return judge(recursion, Actor(reader, "slicer"), case_id, proposal.sha256, answer)


def _decide_all(recursion: Recursion, kind: VerdictKind, rejected: Sequence[int] = ()) -> None:
    """The same verdict on all that waits, rejecting these slices where they have a mask."""
    for proposal, _ in recursion.ledger.queue.page(now=0):
        _say(recursion, proposal.case_id, kind, [n for n in rejected if n in proposal.slices])


def _changed(recursion: Recursion, **settings: Any) -> Recursion:
    """The recursion under other settings."""
    return dataclasses.replace(recursion, settings=recursion.settings.changed(**settings))


def _begin(recursion: Recursion, round_index: int) -> RoundRecord:
    """A round that knows all verdicts so far and has published its model."""
    ledger = recursion.ledger
    ledger.rounds.start(
        round_index,
        base_model=None,
        config=recursion.settings.round_config(),
        config_sha256="",
        training_set={"pixel": [], "validation": [], "accepted": [], "clean": [], "new_slices": 0},
        training_set_sha256="",
        known=ledger.judgements.watermark(),
        report={},
    )
    model = f"{round_index:064d}"
    return ledger.rounds.publish_model(round_index, trained_model=model, model=model, promoted=True, report={})


def _proposed(recursion: Recursion, case_id: str, round_index: int = 0) -> NDArray[np.uint8]:
    """(slices, rows, columns): a case's frozen mask of a round."""
    proposal = recursion.ledger.proposals.of_round(case_id, round_index)
    assert proposal is not None
    return frozen_label(recursion.workspace, proposal, recursion.settings.task.classes).slices


@pytest.fixture(scope="session")
def say() -> Callable[..., VerdictRecord]:
    return _say


@pytest.fixture(scope="session")
def decide_all() -> Callable[..., None]:
    return _decide_all


@pytest.fixture(scope="session")
def changed() -> Callable[..., Recursion]:
    return _changed


@pytest.fixture(scope="session")
def begin() -> Callable[..., RoundRecord]:
    return _begin


@pytest.fixture(scope="session")
def proposed() -> Callable[..., NDArray[np.uint8]]:
    return _proposed


@pytest.fixture(scope="session")
def ich() -> Settings:
    """The settings of Recursive ICH as they are shipped."""
    return load_settings(Path(__file__).parents[2] / "apps" / "recursive_ich" / "task.yaml")
