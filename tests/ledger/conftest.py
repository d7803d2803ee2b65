"""A ledger in a temporary file, and the records that its tests put into it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recursive_expand.cases import Role
from recursive_expand.ledger import CaseEntry, Ledger, ProposalDraft


def _entry(case_id: str, role: Role = Role.UNLABELLED, **values: Any) -> CaseEntry:
    """A case of three slices as registration finds it."""
    return CaseEntry(
        **{"case_id": case_id, "role": role, "uri": f"/s/{case_id}.nii", "signature": "1", "slices": 3, **values}
    )


def _draft(case_id: str, slices: tuple[int, ...] = (0, 1), **values: Any) -> ProposalDraft:
    """A proposal with ten voxels a slice; its hash depends on its case, its slices and its `model_sha256`."""
    model = values.get("model_sha256", "m" * 64)
    sha256 = hashlib.sha256(f"{case_id} {slices} {model}".encode()).hexdigest()
    voxels = {"subdural": 10 * len(slices)} if slices else {}
    settings = {"model_sha256": model, "unchanged_slices": (), "voxels": voxels, "confidence": 0.8, "unchanged": False}
    return ProposalDraft(**{"case_id": case_id, "sha256": sha256, "slices": slices, **settings, **values})


def _start(ledger: Ledger, round_index: int, verdict_ids: tuple[int, ...] = ()) -> None:
    """A round that has begun and published its model."""
    ledger.start_round(
        round_index,
        base_model=None,
        config={"seed": 0},
        config_sha256="c" * 64,
        training_set={"pixel": []},
        training_set_sha256="t" * 64,
        verdict_ids=verdict_ids,
        report={},
    )
    model = f"{round_index:064d}"
    ledger.publish_model(round_index, trained_model=model, model=model, promoted=True, report={"losses": [1.0]})


def _open(ledger: Ledger, round_index: int) -> None:
    """The review of a round, in order of proposal."""
    ledger.open_review(round_index, order=[c.proposal_id for c in ledger.open_candidates()], report={})


@pytest.fixture(scope="session")
def entry() -> Callable[..., CaseEntry]:
    return _entry


@pytest.fixture(scope="session")
def draft() -> Callable[..., ProposalDraft]:
    return _draft


@pytest.fixture(scope="session")
def start() -> Callable[..., None]:
    return _start


@pytest.fixture(scope="session")
def open_review() -> Callable[..., None]:
    return _open


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger(tmp_path / "ledger.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def reviewing(ledger: Ledger) -> Ledger:
    """A ledger whose round 0 proposed for the cases a, b and c, two slices each."""
    ledger.register([_entry(case_id) for case_id in "abc"])
    _start(ledger, 0)
    for case_id in "abc":
        ledger.freeze(0, _draft(case_id))
    _open(ledger, 0)
    return ledger
