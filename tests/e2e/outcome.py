"""What a run leaves behind: the ledger's content and the study's files, without times and row numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from recursive_expand.archives.images import read_label
from recursive_expand.ledger import Ledger

WORKSPACE = ".recursive"
TRANSIENT = ("cache", "checkpoints", "progress.json", "ledger.sqlite-wal", "ledger.sqlite-shm")
"""What in the workspace may differ: caches and what only a round in flight needs."""


def outcome(studies: Path) -> dict[str, Any]:
    """Everything that must be the same however often the run was killed.

    Args:
        studies: the studies folder; its server must have ended.
    """
    ledger = Ledger(studies / WORKSPACE / "ledger.sqlite")
    try:
        assert ledger.audit.verify() is None
        rounds = [
            _only(record, "round state base_model trained_model model promoted training_set_sha256 config_sha256")
            for record in ledger.rounds.all()
        ]
        cases = sorted(ledger.cases.ids())
        proposals = [
            _only(record, "case_id round sha256 model_sha256 state slices unchanged_slices voxels confidence")
            for case_id in cases
            for record in ledger.proposals.of_case(case_id)
        ]
        verdicts = [
            _only(record, "case_id round proposal_sha256 verdict accepted_slices rejected_slices reviewer")
            for case_id in cases
            for record in ledger.judgements.of_case(case_id)
        ]
    finally:
        ledger.close()
    return {
        "rounds": rounds,
        "proposals": proposals,
        "verdicts": verdicts,
        "labels": labels(studies),
        "files": files(studies),
    }


def labels(studies: Path) -> dict[str, str]:
    """SHA-256 of every label's voxels, by path."""
    found = sorted((studies / "labels").rglob("*.nii.gz"))
    return {str(path.relative_to(studies)): read_label(path).sha256 for path in found}


def files(studies: Path) -> list[str]:
    """Paths of all files that are to last: a half-written one would be one too many."""
    paths = (path.relative_to(studies) for path in studies.rglob("*") if path.is_file())
    return sorted(str(path) for path in paths if not (path.parts[0] == WORKSPACE and path.parts[1] in TRANSIENT))


def _only(record: Any, fields: str) -> dict[str, Any]:
    values = dataclasses.asdict(record)
    return {field: values[field] for field in fields.split()}
