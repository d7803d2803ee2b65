"""A ledger in a temporary file, and the records that its tests put into it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recursive_expand.cases import Role
from recursive_expand.ledger import (
    Actor,
    CaseEntry,
    Ledger,
    ProposalDraft,
    ProposedSlice,
    RoundRecord,
    VerdictKind,
    VerdictRecord,
)


def _entry(case_id: str, role: Role = Role.UNLABELLED, **values: Any) -> CaseEntry:
    """A case of three slices as registration finds it."""
    return CaseEntry(
        **{"case_id": case_id, "role": role, "name": f"{case_id}.nii", "signature": "1", "slices": 3, **values}
    )


def _draft(case_id: str, slices: tuple[int, ...] = (0, 1), **values: Any) -> ProposalDraft:
    """A proposal with ten voxels a slice; its hash depends on its case, its slices and its `model_sha256`."""
    model = values.get("model_sha256", "m" * 64)
    sha256 = hashlib.sha256(f"{case_id} {slices} {model}".encode()).hexdigest()
    settings = {
        "case_id": case_id,
        "sha256": sha256,
        "model_sha256": model,
        "file": f"proposals/{sha256}.nii.gz",
        "marked": tuple(ProposedSlice(number, "subdural", 10, 0.75) for number in slices),
        "confidence": 0.8,
    }
    return ProposalDraft(**{**settings, **values})


def _begin(ledger: Ledger, round_index: int, *, known: tuple[int, int] | None = None, **values: Any) -> RoundRecord:
    """Begin a round that knows all verdicts given so far."""
    settings: dict[str, Any] = {
        "base_model": None,
        "config": {"seed": 0},
        "config_sha256": "c" * 64,
        "training_set": {"pixel": []},
        "training_set_sha256": "t" * 64,
        "known": known or ledger.judgements.watermark(),
        "report": {},
    }
    return ledger.rounds.start(round_index, **{**settings, **values})


def _start(ledger: Ledger, round_index: int, *, known: tuple[int, int] | None = None) -> None:
    """A round that has begun and published its model."""
    _begin(ledger, round_index, known=known)
    model = f"{round_index:064d}"
    ledger.rounds.publish_model(round_index, trained_model=model, model=model, promoted=True, report={"losses": [1.0]})


def _open(ledger: Ledger, round_index: int) -> None:
    """The review of a round, in order of proposal."""
    waiting = ledger.queue.candidates(round_index=round_index)
    ledger.rounds.open_review(round_index, order=[one.proposal_id for one in waiting], report={})


def _give(
    ledger: Ledger,
    case_id: str,
    verdict: VerdictKind = VerdictKind.ACCEPT,
    rejected: tuple[int, ...] = (),
    *,
    reader: str = "ann",
    sha256: str | None = None,
    **kwargs: Any,
) -> VerdictRecord:
    """A reader's verdict on what a case's newest proposal marks."""
    if sha256 is None:
        newest = ledger.proposals.current(case_id)
        assert newest is not None
        sha256 = newest.sha256
    return ledger.judgements.give(Actor(reader, "slicer"), case_id, sha256, verdict, rejected_slices=rejected, **kwargs)


@pytest.fixture(scope="session")
def entry() -> Callable[..., CaseEntry]:
    return _entry


@pytest.fixture(scope="session")
def draft() -> Callable[..., ProposalDraft]:
    return _draft


@pytest.fixture(scope="session")
def begin() -> Callable[..., RoundRecord]:
    return _begin


@pytest.fixture(scope="session")
def start() -> Callable[..., None]:
    return _start


@pytest.fixture(scope="session")
def open_review() -> Callable[..., None]:
    return _open


@pytest.fixture(scope="session")
def give() -> Callable[..., VerdictRecord]:
    return _give


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger(tmp_path / "ledger.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def reviewing(ledger: Ledger) -> Ledger:
    """A ledger whose round 0 proposed for the cases a, b and c, two slices each."""
    ledger.cases.register([_entry(case_id) for case_id in "abc"])
    _start(ledger, 0)
    for case_id in "abc":
        ledger.proposals.freeze(0, _draft(case_id))
    _open(ledger, 0)
    return ledger
